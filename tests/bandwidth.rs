//! bandwidth as a plugin of its own, verb by verb.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::limited::{BANDWIDTH, BRIDGE, IFB, assert_both, attached, bandwidth, both};
use harness::limited::{disciplines, filters, tbf};
use harness::list::with;
use harness::refusal::{ALREADY_ATTACHED, CHECK_FAILED};
use harness::snapshot::nothing_stays;
use serde_json::{Value, json};

#[test]
fn both_directions_are_limited_and_the_result_has_the_ifb_device() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, given) = attached(&pod, &both());
    let before = (host.snapshot(), pod.snapshot());
    let veth = host.host_veth();
    let result = call.add();
    assert_both(&host, &veth);

    let link = host.json(&format!("ip -j -d link show {IFB}"))[0].clone();
    assert_eq!(link["mtu"], 1500);
    assert_eq!(link["ifalias"], "testnet/id-blue/eth0");
    assert!(link["flags"].as_array().unwrap().contains(&json!("UP")));
    assert_eq!(link["num_tx_queues"], 1);
    let mut expected = given["interfaces"].as_array().unwrap().clone();
    expected.push(json!({"name": IFB, "mac": link["address"]}));
    assert_eq!(result["interfaces"], Value::Array(expected));
    assert_eq!(result["ips"], given["ips"]);

    call.check(&result).silence();
    // The veth stays, and is as it was.
    call.del();
    nothing_stays(&before, &pod, "after DEL");
    call.del();
    nothing_stays(&before, &pod, "after a second DEL");
}

#[test]
fn each_direction_stands_alone() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (_, given) = attached(&pod, &both());
    let veth = host.host_veth();
    let limits = json!({"rate": 1_000_000, "burst": 100_000, "lat": 25_000});

    let config = bandwidth(json!({"ingressRate": 8_000_000, "ingressBurst": 800_000}));
    let call = with(&pod.call(BANDWIDTH, &config), &given);
    let result = call.add();
    assert_eq!(result["interfaces"], given["interfaces"]);
    assert_eq!(tbf(&host, &veth)["options"], limits);
    assert_eq!(disciplines(&host, &veth).len(), 1);
    assert!(!host.link_names().contains(&IFB.to_owned()));
    call.check(&result).silence();
    call.del();

    let config = bandwidth(json!({"egressRate": 8_000_000, "egressBurst": 800_000}));
    let call = with(&pod.call(BANDWIDTH, &config), &given);
    let result = call.add();
    assert_eq!(tbf(&host, IFB)["options"], limits);
    let found = disciplines(&host, &veth);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["kind"], "ingress");
    call.check(&result).silence();
    call.del();
    assert_eq!(disciplines(&host, &veth), [] as [Value; 0]);
}

#[test]
fn nothing_asked_for_passes_the_result_on() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (_, given) = attached(&pod, &both());
    let before = (host.snapshot(), pod.snapshot());
    for more in [
        json!({}),
        json!({"ingressRate": 0, "ingressBurst": 0, "egressRate": 0, "egressBurst": 0}),
        json!({"runtimeConfig": {}}),
        json!({"capabilities": {"bandwidth": true}, "runtimeConfig": {"bandwidth": {}}}),
    ] {
        let call = with(&pod.call(BANDWIDTH, &bandwidth(more)), &given);
        let result = call.add();
        assert_eq!(result, given);
        call.check(&result).silence();
        nothing_stays(&before, &pod, "after ADD");
        call.del();
    }
}

#[test]
fn what_the_runtime_gives_counts_where_the_configuration_says_nothing() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (_, given) = attached(&pod, &both());
    let veth = host.host_veth();
    let runtime = json!({"bandwidth": {"ingressRate": 8000, "ingressBurst": 80_000,
                                       "egressRate": 16_000, "egressBurst": 80_000}});
    let config = bandwidth(json!({"runtimeConfig": runtime}));
    let call = with(&pod.call(BANDWIDTH, &config), &given);
    call.add();
    assert_eq!(tbf(&host, &veth)["options"]["rate"], 1000);
    assert_eq!(tbf(&host, IFB)["options"]["rate"], 2000);
    call.del();

    let config = bandwidth(json!({"runtimeConfig": runtime,
                                  "ingressRate": 24_000, "ingressBurst": 80_000}));
    let call = with(&pod.call(BANDWIDTH, &config), &given);
    call.add();
    assert_eq!(tbf(&host, &veth)["options"]["rate"], 3000);
    assert!(!host.link_names().contains(&IFB.to_owned()));
}

#[test]
fn large_rates_and_bursts() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (_, given) = attached(&pod, &both());
    let veth = host.host_veth();
    // More than 32 bits of bytes a second.
    let config = bandwidth(json!({"ingressRate": 80_000_000_000u64, "ingressBurst": 800_000_000}));
    let call = with(&pod.call(BANDWIDTH, &config), &given);
    let result = call.add();
    let options = tbf(&host, &veth)["options"].clone();
    assert_eq!(options["rate"], 10_000_000_000u64);
    // tc rounds it by the kernel's ticks.
    let burst = options["burst"].as_f64().unwrap();
    assert!((burst - 1e8).abs() < 1e3, "{options}");
    call.check(&result).silence();
    call.del();
    // What the kubelet gives where nobody has said a burst.
    let config = bandwidth(json!({"ingressRate": 1_000_000, "ingressBurst": i32::MAX,
                                  "egressRate": 1_000_000, "egressBurst": i32::MAX}));
    let call = with(&pod.call(BANDWIDTH, &config), &given);
    let result = call.add();
    assert_eq!(tbf(&host, &veth)["options"]["rate"], 125_000);
    let burst = tbf(&host, &veth)["options"]["burst"].as_f64().unwrap();
    assert!(burst > 30e6, "{burst}");
    call.check(&result).silence();
}

#[test]
fn networks_are_told_apart() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (_, given) = attached(&pod, &both());
    let before = (host.snapshot(), pod.snapshot());
    let veth = host.host_veth();
    for (key, default, class) in
        [("shapedSubnets", "0x1", "1:30"), ("unshapedSubnets", "0x30", "1:1")]
    {
        let mut config = both();
        config[key] = json!(["10.9.0.1/16", "fd00:9::/64", "192.0.2.7/32", "2001:db8::/48"]);
        let call = with(&pod.call(BANDWIDTH, &config), &given);
        let result = call.add();
        for (link, rate, v4, v6) in [(veth.as_str(), 1_000_000, 12, 8), (IFB, 2_000_000, 16, 24)] {
            let root = &disciplines(&host, link)[0];
            assert_eq!((&root["kind"], &root["handle"]), (&json!("htb"), &json!("1:")), "{root}");
            assert_eq!(root["options"]["default"], default, "{root}");
            let classes = host.run(&format!("tc class show dev {link}"));
            let mbit = rate / 125_000;
            for line in [
                format!("class htb 1:30 root prio 0 rate {mbit}Mbit ceil {}Mbit burst", 2 * mbit),
                "class htb 1:1 root prio 0 rate 800Gbit ceil 800Gbit".to_owned(),
            ] {
                assert!(classes.contains(&line), "no {line}: {classes}");
            }
            let text = host.run(&format!("tc filter show dev {link} parent 1:"));
            for part in [
                format!("match 0a090000/ffff0000 at {v4}"),
                format!("match c0000207/ffffffff at {v4}"),
                format!("match fd000009/ffffffff at {v6}"),
                format!("match 20010db8/ffffffff at {v6}"),
                format!("match 00000000/ffff0000 at {}", v6 + 4),
            ] {
                assert!(text.contains(&part), "no {part}: {text}");
            }
            let found = filters(&host, link, "1:");
            assert_eq!(found.len(), 4, "{found:?}");
            for one in &found {
                assert_eq!(one["options"]["flowid"], class, "{one}");
                let is_v4 = one["protocol"] == "ip";
                assert_eq!(one["pref"], if is_v4 { 16 } else { 15 }, "{one}");
            }
        }
        call.check(&result).silence();
        host.run(&format!("tc filter del dev {veth} parent 1: prio 15"));
        call.check(&result)
            .fails(CHECK_FAILED, &[&veth, "no filter for fd00:9::/64", "2001:db8::"]);
        host.run(&format!("tc class change dev {IFB} parent 1: classid 1:30 htb rate 1mbit"));
        call.check(&result).fails(CHECK_FAILED, &[IFB, "class 1:30", "1000000 bit/s"]);
        call.del();
        nothing_stays(&before, &pod, "after DEL");
    }
}

#[test]
fn check_says_what_is_missing_or_different() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &both());
    let veth = host.host_veth();
    let (v, i) = (veth.as_str(), IFB);
    let tbf = "root handle 1: tbf burst 100000 limit 125000 rate";
    let rows: &[(&[String], &[&str])] = &[
        (&[format!("tc qdisc del dev {v} root")], &[v, "tbf", "to the container"]),
        (&[format!("tc qdisc del dev {i} root")], &[i, "tbf", "from the container"]),
        (&[format!("tc qdisc replace dev {v} root handle 2: pfifo")], &[v, "tbf"]),
        (&[format!("tc qdisc change dev {v} {tbf} 9mbit")], &[v, "9000000", "8000000", "burst"]),
        (
            &[format!(
                "tc qdisc change dev {v} root handle 1: tbf burst 100000 limit 125001 rate 8mbit"
            )],
            &[v, "queue of 125001 bytes", "125000"],
        ),
        (&[format!("tc qdisc del dev {v} ingress")], &[v, "ingress", "container sends"]),
        (&[format!("tc filter del dev {v} parent ffff:")], &[v, "not redirected", i]),
        (&[format!("ip link set {i} down")], &[i, "down"]),
        (&[format!("ip link del {i}")], &[i, "is not on the host"]),
        (
            &[format!("ip link del {i}"), format!("ip link add {i} type bridge")],
            &[i, "no ifb device"],
        ),
        (&["ip link del br0".to_owned(), format!("ip link del {v}")], &["host end of eth0"]),
    ];
    for (commands, words) in rows {
        let result = call.add();
        call.check(&result).silence();
        for command in *commands {
            host.run(command);
        }
        call.check(&result).fails(CHECK_FAILED, words);
        call.del();
        // Others' stays.
        if host.link_names().contains(&v.to_owned()) {
            host.succeeds(&format!("tc qdisc del dev {v} root"));
        }
        if host.link_names().contains(&i.to_owned()) {
            // It is somebody else's now.
            host.run(&format!("ip link del {i}"));
        }
    }
}

#[test]
fn what_is_limited_already_is_refused_and_stays() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &both());
    let veth = host.host_veth();
    for (command, undo, words) in [
        (
            format!(
                "tc qdisc add dev {veth} root handle 1: tbf rate 8mbit burst 100000 limit 125000"
            ),
            format!("tc qdisc del dev {veth} root"),
            [veth.as_str(), "root"],
        ),
        (
            format!("tc qdisc add dev {veth} clsact"),
            format!("tc qdisc del dev {veth} clsact"),
            [veth.as_str(), "ingress"],
        ),
        (
            format!("ip link add {IFB} type ifb"),
            format!("ip link del {IFB}"),
            [IFB, "already there"],
        ),
    ] {
        host.run(&command);
        let before = (host.snapshot(), pod.snapshot());
        call.run("ADD").fails(ALREADY_ATTACHED, &words);
        nothing_stays(&before, &pod, &format!("with {command}"));
        host.run(&undo);
    }
    call.add();
    assert_both(&host, &veth);
}

#[test]
fn a_second_add_begins_anew() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &both());
    let before = (host.snapshot(), pod.snapshot());
    call.add();
    call.add();
    assert_both(&host, &host.host_veth());
    call.del();
    nothing_stays(&before, &pod, "after DEL");
}

#[test]
fn what_others_have_put_there_stays() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &both());
    let veth = host.host_veth();
    call.add();
    host.run(&format!(
        "tc filter add dev {veth} parent ffff: prio 7 protocol ip u32 match u32 0 0 flowid 1:7"
    ));
    host.run(&format!("tc qdisc replace dev {veth} root handle 2: pfifo limit 7"));
    call.del();
    let found = disciplines(&host, &veth);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(filters(&host, &veth, "ffff:").len(), 1);
    assert!(!host.link_names().contains(&IFB.to_owned()));
}

#[test]
fn the_second_interface_of_a_container_cannot_have_the_same_ifb_device() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &both());
    let veth = host.host_veth();
    call.add();
    let bridge = harness::config::dual_stack(json!({"cniVersion": "1.0.0"}));
    let second =
        |plugin: Plugin, config: &Value| pod.call(plugin, config).env("CNI_IFNAME", "eth1");
    let given = second(BRIDGE, &bridge).add();
    let other = with(&second(BANDWIDTH, &both()), &given);
    other.run("ADD").fails(ALREADY_ATTACHED, &[IFB]);
    other.del();
    assert_both(&host, &veth);
    // In one process it is found when the device is made.
    second(BRIDGE, &bridge).del();
    let entries = [bridge, both()];
    let list =
        json!({"cniVersion": "1.0.0", "name": "testnet", "type": "causeway", "plugins": entries});
    let fused = second(Plugin::Causeway("causeway"), &list);
    fused.run("ADD").fails_with(&[harness::refusal::BAD_CONFIG], &[IFB, "already there"]);
    assert_both(&host, &veth);
    assert_eq!(pod.link_names(), ["lo", "eth0"]);
}

#[test]
fn gc_removes_what_nobody_owns() {
    let host = Host::new();
    let (pod, other) = (host.pod("blue"), host.pod("green"));
    let (stays, _) = attached(&other, &both());
    let kept = stays.add();
    let (call, _) = attached(&pod, &both());
    let before = (host.snapshot(), pod.snapshot());
    let collect = |valid: &[(&str, &str)]| {
        let mut config = both();
        config["cniVersion"] = json!("1.1.0");
        host.call(BANDWIDTH, &config).gc(valid);
    };
    call.add();
    collect(&[("id-green", "eth0")]);
    nothing_stays(&before, &pod, "after GC");
    // A lost record is no reason to keep the device.
    call.add();
    host.run("rm /var/lib/cni/causeway/testnet/id-blue:eth0:bandwidth");
    collect(&[("id-green", "eth0")]);
    assert!(!host.link_names().contains(&IFB.to_owned()));
    stays.check(&kept).silence();
    collect(&[]);
    assert!(host.link_names().iter().all(|name| !name.starts_with("bwp")));
}

#[test]
fn a_pod_that_is_gone_leaves_nothing() {
    let host = Host::new();
    let idle = host.snapshot();
    let pod = host.pod("blue");
    let bridge = pod.call(BRIDGE, &harness::config::dual_stack(json!({"cniVersion": "1.0.0"})));
    let given = bridge.add();
    let call = with(&pod.call(BANDWIDTH, &both()), &given);
    call.add();
    pod.destroy();
    call.del();
    assert!(!host.link_names().contains(&IFB.to_owned()));
    bridge.del();
    let left = |host: &Host| host.snapshot().without_shared_files();
    let differing = idle.without_shared_files().diff(&left(&host));
    assert!(differing.iter().all(|one| !one.path.contains("bwp") && !one.path.contains("id-blue")));
}

#[test]
fn status_knows_the_kernel() {
    let host = Host::new();
    let call = host.call(
        BANDWIDTH,
        &bandwidth(json!({"cniVersion": "1.1.0", "ingressRate": 8000,
                                                      "ingressBurst": 8000})),
    );
    let before = host.snapshot();
    call.run("STATUS").silence();
    before.assert_same(&host.snapshot(), "after STATUS");
}

#[test]
fn the_name_of_the_device_follows_from_network_and_container() {
    let host = Host::new();
    host.write("/run/name", "testnetid-blue");
    assert_eq!(IFB, format!("bwp{}", &host.run("sha512sum /run/name")[..12]));
}
