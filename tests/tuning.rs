//! What tuning sets, that CHECK sees it, and that DEL puts it back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::{Call, Plugin};
use harness::config::{dual_stack, merge};
use harness::killed::killed_add;
use harness::list::{List, with};
use harness::refusal::CHECK_FAILED;
use harness::snapshot::nothing_stays;
use harness::{Host, Pod};
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");
const TUNING: Plugin = Plugin::Causeway("tuning");
const BACKUP: &str = "/run/cni/tuning/id-blue_eth0.json";
const RECORD: &str = "/var/lib/cni/causeway/testnet/id-blue:eth0:tuning";
const MAC: &str = "0a:58:0a:01:00:05";

fn tuning(more: Value) -> Value {
    let mut config = json!({"cniVersion": "1.1.0", "name": "testnet", "type": "tuning"});
    merge(&mut config, more);
    config
}

fn everything() -> Value {
    tuning(json!({
        "mac": MAC, "mtu": 1400, "promisc": true, "allmulti": true, "txQLen": 77,
        "sysctl": {
            "net.core.somaxconn": "512",
            "net/ipv4/tcp_rmem": "4096 16384 65536",
            "net.ipv4.conf.IFNAME.arp_filter": "1",
            "net.ipv6.conf.eth0.hop_limit": "33"
        }
    }))
}

/// A pod that the bridge plugin has attached, and the call of tuning with its result.
fn attached<'h>(pod: &Pod<'h>, config: &Value) -> (Call<'h>, Value) {
    let result = pod.call(BRIDGE, &dual_stack(json!({"cniVersion": "1.1.0"}))).add();
    (with(&pod.call(TUNING, config), &result), result)
}

fn link(pod: &Pod<'_>) -> Value {
    pod.json("ip -j -d link show eth0")[0].clone()
}

fn has_flag(link: &Value, flag: &str) -> bool {
    link["flags"].as_array().unwrap().iter().any(|one| one == flag)
}

fn sysctl(pod: &Pod<'_>, name: &str) -> String {
    // In one read: the kernel gives lists of numbers only to the first.
    let text = pod.run(&format!("cat /proc/sys/net/{name}"));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn set_sysctl(pod: &Pod<'_>, name: &str, value: &str) {
    pod.inside(|| std::fs::write(format!("/proc/sys/net/{name}"), value).unwrap());
}

/// The namespace-wide sysctls that these tests set, which no snapshot has.
fn wide(pod: &Pod<'_>) -> [String; 2] {
    [sysctl(pod, "core/somaxconn"), sysctl(pod, "ipv4/tcp_rmem")]
}

#[track_caller]
fn assert_everything(pod: &Pod<'_>) {
    let link = link(pod);
    assert_eq!(link["address"], MAC);
    assert_eq!(link["mtu"], 1400);
    assert_eq!(link["txqlen"], 77);
    assert!(has_flag(&link, "PROMISC") && has_flag(&link, "ALLMULTI"), "{link}");
    assert_eq!(wide(pod), ["512", "4096 16384 65536"]);
    assert_eq!(sysctl(pod, "ipv4/conf/eth0/arp_filter"), "1");
    assert_eq!(sysctl(pod, "ipv6/conf/eth0/hop_limit"), "33");
}

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
fn a_namespace_that_is_gone_leaves_nothing() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &everything());
    call.add();
    assert!(host.succeeds(&format!("test -e {BACKUP}")));
    assert!(host.succeeds(&format!("test -e {RECORD}")));
    pod.destroy();
    for _ in 0..2 {
        call.del();
        assert!(!host.succeeds(&format!("test -e {BACKUP}")));
        assert!(!host.succeeds(&format!("test -e {RECORD}")));
    }
    call.clone().without("CNI_NETNS").del();
    assert_eq!(host.run("ls -A /run/cni/tuning"), "");
}

#[test]
fn without_a_record_the_backup_tells() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &everything());
    let before = link(&pod);
    call.add();
    host.run(&format!("rm {RECORD}"));
    call.del();
    assert_eq!(link(&pod), before);
    assert!(!host.succeeds(&format!("test -e {BACKUP}")));
}

#[test]
fn without_a_backup_the_record_tells_of_what_is_still_ours() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &everything());
    let before = link(&pod);
    call.add();
    host.run(&format!("rm {BACKUP}"));
    pod.run("ip link set eth0 mtu 1350");
    set_sysctl(&pod, "core/somaxconn", "700");
    call.del();
    let after = link(&pod);
    assert_eq!(after["mtu"], 1350);
    assert_eq!(sysctl(&pod, "core/somaxconn"), "700");
    for key in ["address", "txqlen", "flags"] {
        assert_eq!(after[key], before[key], "{key}");
    }
}

#[test]
fn a_garbled_backup_is_no_reason_to_keep_the_pod() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &everything());
    let before = link(&pod);
    for garbage in ["", "{", "[]", r#"{"mtu": "big"}"#, r#"{"mac": "nowhere"}"#] {
        call.add();
        host.write(BACKUP, garbage);
        call.del();
        assert_eq!(link(&pod), before, "{garbage}");
        assert!(!host.succeeds(&format!("test -e {BACKUP}")));
    }
}

#[test]
fn gc_puts_back_what_nobody_owns() {
    let host = Host::new();
    let (pod, other) = (host.pod("blue"), host.pod("green"));
    let (stays, _) = attached(&other, &everything());
    let kept = stays.add();
    let (call, _) = attached(&pod, &everything());
    let before = (host.snapshot(), pod.snapshot());
    call.add();
    host.call(TUNING, &everything()).gc(&[("id-green", "eth0")]);
    nothing_stays(&before, &pod, "after GC");
    assert_everything(&other);
    stays.check(&kept).silence();
    host.call(TUNING, &everything()).gc(&[]);
    assert_eq!(link(&other)["mtu"], 1500);
}

#[test]
fn a_second_add_starts_from_what_was_before_the_first() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &everything());
    let before = (host.snapshot(), pod.snapshot());
    call.add();
    call.add();
    assert_everything(&pod);
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

#[test]
fn what_a_killed_add_has_set_is_put_back() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &everything());
    call.add();
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    let untouched = (link(&pod), wide(&pod));
    let mut half_set = 0;
    // Every one that changes something, and those between them.
    for name in ["openat", "write", "/^rename", "setns", "sendto", "close"] {
        let mut nth = 1;
        while killed_add(&host, &call, TUNING, name, nth) {
            let is_half = (link(&pod), wide(&pod)) != untouched;
            half_set += u32::from(is_half);
            if nth % 2 == 0 {
                call.check(&call.add()).silence();
                assert_everything(&pod);
            }
            call.del();
            let when = format!("after a kill at {name} number {nth}");
            assert_eq!((link(&pod), wide(&pod)), untouched, "{when}");
            if is_half {
                nothing_stays(&before, &pod, &when);
            }
            nth += 1;
        }
        assert!(nth > 1, "ADD makes no {name}");
        call.del();
    }
    assert!(half_set > 10, "only {half_set} kills found something half done");
    nothing_stays(&before, &pod, "at the end");
}
