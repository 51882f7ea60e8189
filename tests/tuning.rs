//! What tuning sets, that CHECK sees it, and that DEL puts it back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::config::{dual_stack, merge};
use harness::list::{List, with};
use harness::refusal::CHECK_FAILED;
use harness::snapshot::nothing_stays;
use harness::tuned::{
    BRIDGE, MAC, TUNING, assert_everything, attached, everything, has_flag, link, set_sysctl,
    sysctl, tuning, wide,
};
use serde_json::{Value, json};

#[test]
fn everything_is_set_and_put_back() {
    let host = Host::new();
    let (pod, other) = (host.pod("blue"), host.pod("green"));
    let beside = other.call(BRIDGE, &dual_stack(json!({}))).add();
    let (call, given) = attached(&pod, &everything());
    let before = (host.snapshot(), pod.snapshot());
    let wide_before = wide(&pod);
    let result = call.add();
    assert_everything(&pod);

    // The result tells of it, and of nothing else.
    let mut expected = given.clone();
    expected["interfaces"][2]["mac"] = MAC.into();
    expected["interfaces"][2]["mtu"] = 1400.into();
    assert_eq!(result, expected);

    // Packets go to the new hardware address, in both families.
    for ip in beside["ips"].as_array().unwrap() {
        let address = ip["address"].as_str().unwrap().split('/').next().unwrap();
        assert!(pod.reaches(address), "{address}");
    }
    assert!(pod.reaches("10.88.0.1") && pod.reaches("fd00:88::1"));

    call.check(&result).silence();
    let bridge = pod.call(BRIDGE, &dual_stack(json!({"cniVersion": "1.1.0"})));
    bridge.check(&result).silence();

    for _ in 0..2 {
        with(&call, &result).del();
        nothing_stays(&before, &pod, "after DEL");
        assert_eq!(wide(&pod), wide_before);
    }
}

#[test]
fn check_names_everything_that_is_different() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &everything());
    let result = call.add();
    let rows: &[(&str, &str, &[&str])] = &[
        (
            "ip link set eth0 address 0a:58:0a:01:00:06",
            "ip link set eth0 address 0a:58:0a:01:00:05",
            &["0a:58:0a:01:00:06", MAC],
        ),
        ("ip link set eth0 mtu 1399", "ip link set eth0 mtu 1400", &["1399", "1400"]),
        ("ip link set eth0 promisc off", "ip link set eth0 promisc on", &["promiscuous"]),
        ("ip link set eth0 allmulticast off", "ip link set eth0 allmulticast on", &["multicast"]),
        ("ip link set eth0 txqueuelen 78", "ip link set eth0 txqueuelen 77", &["78", "77"]),
    ];
    for (damage, repair, words) in rows {
        pod.run(damage);
        call.check(&result).fails(CHECK_FAILED, words);
        pod.run(repair);
        call.check(&result).silence();
    }
    for (name, value, set) in [
        ("core/somaxconn", "513", "512"),
        ("ipv4/tcp_rmem", "4096 16384 65537", "4096 16384 65536"),
        ("ipv4/conf/eth0/arp_filter", "0", "1"),
        ("ipv6/conf/eth0/hop_limit", "34", "33"),
    ] {
        set_sysctl(&pod, name, value);
        call.check(&result).fails(CHECK_FAILED, &[&name.replace('/', "."), value, set]);
        set_sysctl(&pod, name, set);
        call.check(&result).silence();
    }
    // All findings at once.
    pod.run("ip link set eth0 mtu 1399");
    set_sysctl(&pod, "core/somaxconn", "513");
    call.check(&result).fails(CHECK_FAILED, &["1399", "somaxconn"]);
    pod.run("ip link del eth0");
    call.check(&result).fails(CHECK_FAILED, &["eth0", "not in the container"]);
}

#[test]
fn modes_that_are_asked_to_be_off() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &tuning(json!({"allmulti": false, "promisc": false})));
    pod.run("ip link set eth0 allmulticast on promisc on");
    let before = (host.snapshot(), pod.snapshot());
    let result = call.add();
    // As with the reference plugin, allmulti is set either way, promisc only on.
    assert!(!has_flag(&link(&pod), "ALLMULTI"));
    assert!(has_flag(&link(&pod), "PROMISC"));
    call.check(&result).fails(CHECK_FAILED, &["promiscuous", "should not"]);
    pod.run("ip link set eth0 promisc off");
    call.check(&result).silence();
    pod.run("ip link set eth0 promisc on");
    call.del();
    nothing_stays(&before, &pod, "after DEL");
}

#[test]
fn nothing_to_do_leaves_no_trace() {
    let host = Host::new();
    let pod = host.pod("blue");
    for config in
        [tuning(json!({})), tuning(json!({"sysctl": {}, "mtu": 0, "mac": "", "allmulti": null}))]
    {
        let (call, given) = attached(&pod, &config);
        let before = (host.snapshot(), pod.snapshot());
        assert_eq!(call.add(), given);
        nothing_stays(&before, &pod, "after ADD");
        call.check(&given).silence();
        call.del();
        nothing_stays(&before, &pod, "after DEL");
        pod.call(BRIDGE, &dual_stack(json!({}))).del();
    }
}

#[test]
fn whoever_speaks_last_is_heard() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (_, given) = attached(&pod, &tuning(json!({})));
    let own = json!({"mac": "0a:00:00:00:00:01", "mtu": 1301, "txQLen": 1,
                     "allmulti": true, "sysctl": {"net.core.somaxconn": "301", "net.ipv4.tcp_rmem": "4096 8192 65536"}});
    let play = |more: Value, args: &str| {
        let mut config = tuning(own.clone());
        merge(&mut config, more);
        let call = with(&pod.call(TUNING, &config).env("CNI_ARGS", args), &given);
        let result = call.add();
        call.check(&result).silence();
        let link = link(&pod);
        let seen = (
            link["address"].as_str().unwrap().to_owned(),
            link["mtu"].as_u64().unwrap(),
            link["txqlen"].as_u64().unwrap(),
            has_flag(&link, "ALLMULTI"),
            sysctl(&pod, "core/somaxconn"),
        );
        assert_eq!(sysctl(&pod, "ipv4/tcp_rmem"), "4096 8192 65536");
        call.del();
        seen
    };
    let told = |mac: &str, mtu, queue, multi, backlog: &str| {
        (mac.to_owned(), mtu, queue, multi, backlog.to_owned())
    };
    assert_eq!(play(json!({}), ""), told("0a:00:00:00:00:01", 1301, 1, true, "301"));
    assert_eq!(
        play(json!({}), "IgnoreUnknown=1;MAC=0a:00:00:00:00:02"),
        told("0a:00:00:00:00:02", 1301, 1, true, "301")
    );
    let capability = json!({"runtimeConfig": {"mac": "0a:00:00:00:00:03"}});
    assert_eq!(
        play(capability.clone(), "MAC=0a:00:00:00:00:02"),
        told("0a:00:00:00:00:03", 1301, 1, true, "301")
    );
    let mut all = capability;
    merge(
        &mut all,
        json!({"args": {"cni": {"mac": "0A-00-00-00-00-04", "mtu": 1304, "txQLen": 4, "allmulti": false,
               "promisc": true, "sysctl": {"net/core/somaxconn": "304"}}}}),
    );
    assert_eq!(
        play(all, "MAC=0a:00:00:00:00:02"),
        told("0a:00:00:00:00:04", 1304, 4, false, "304")
    );
    // An empty one of args.cni takes the others away.
    let own_mac = pod.mac("eth0");
    assert_eq!(
        play(json!({"args": {"cni": {"mac": "", "mtu": 0}}}), "MAC=0a:00:00:00:00:02"),
        told(&own_mac, 1500, 1, true, "301")
    );
}

#[test]
fn a_setting_that_can_only_be_written_is_written() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &tuning(json!({"sysctl": {"net.ipv4.route.flush": "1"}})));
    let result = call.add();
    call.check(&result).silence();
    call.del();
}

#[test]
fn an_empty_value_is_put_back_as_well() {
    let host = Host::new();
    let pod = host.pod("blue");
    let name = "ipv4/ip_local_reserved_ports";
    let ports =
        "1000,1002,1004,1006,1008,1010-1020,2000,2002,2004,2006,2008,3000,3002,3004,3006,3008";
    let (call, _) =
        attached(&pod, &tuning(json!({"sysctl": {"net.ipv4.ip_local_reserved_ports": ports}})));
    assert_eq!(sysctl(&pod, name), "");
    let result = call.add();
    assert_eq!(sysctl(&pod, name), ports);
    call.check(&result).silence();
    call.del();
    assert_eq!(sysctl(&pod, name), "");
}

#[test]
fn a_data_directory_of_ones_own() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &tuning(json!({"mtu": 1400, "dataDir": "/run/deep/down/"})));
    call.add();
    let file = "/run/deep/down/id-blue_eth0.json";
    assert_eq!(host.read(file), "{\n \"mtu\": 1500\n}");
    assert_eq!(host.run(&format!("stat -c %a {file} /run/deep/down")), "600\n700\n");
    // The directory may have changed in the configuration since.
    let other = with(&pod.call(TUNING, &tuning(json!({"mtu": 1400}))), &Value::Null);
    other.del();
    assert!(!host.succeeds(&format!("test -e {file}")));
    assert_eq!(link(&pod)["mtu"], 1500);
}

#[test]
fn older_results_keep_their_form() {
    let host = Host::new();
    let pod = host.pod("blue");
    for version in ["0.2.0", "0.3.1", "0.4.0", "1.0.0"] {
        let mut bridge = dual_stack(json!({"cniVersion": version}));
        let mut own = everything();
        for config in [&mut bridge, &mut own] {
            merge(config, json!({"cniVersion": version}));
        }
        let list = List::of(&pod, &[(BRIDGE, bridge), (TUNING, own)]);
        let result = list.add();
        assert_eq!(result["cniVersion"], version);
        if version != "0.2.0" {
            assert_eq!(result["interfaces"][2]["mac"], MAC);
            assert!(result["interfaces"][2].get("mtu").is_none());
        }
        assert_everything(&pod);
        if version >= "0.4.0" {
            list.check(&result);
        }
        list.del(&result);
    }
}
