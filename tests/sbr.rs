//! Routing by source: where packets go, that CHECK sees it, and that DEL leaves nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::config::dual_stack;
use harness::killed::killed_add;
use harness::list::with;
use harness::refusal::{ALREADY_ATTACHED, CHECK_FAILED, refuse};
use harness::routing::{answers, attached, rules, sbr, second, table, way};
use harness::snapshot::nothing_stays;
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");
const SBR: Plugin = Plugin::Causeway("sbr");

#[test]
fn packets_leave_by_the_interface_that_has_their_source() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.run("ip addr add 192.0.2.1/32 dev lo");
    host.run("ip addr add 2001:db8::1/128 dev lo");
    let (call, given) = attached(&pod, &sbr(json!({})));
    let before = (host.snapshot(), pod.snapshot());
    assert_eq!(way(&pod, "192.0.2.1", "10.99.0.2"), "eth0");
    let result = call.add();
    assert_eq!(result, given);

    assert_eq!(rules(&pod), ["from 10.99.0.2 lookup 100", "from fd00:99::2 lookup 101"]);
    assert_eq!(
        table(&pod, "-4", "100"),
        [
            "10.99.0.0/24 src 10.99.0.2",
            "198.51.100.0/24 via 10.99.0.1 mtu 1300",
            "default via 10.99.0.1"
        ]
    );
    assert_eq!(table(&pod, "-6", "101"), ["default via fd00:99::1", "fd00:99::/64"]);
    assert_eq!(table(&pod, "-4", "main"), Vec::<String>::new());
    // A link without its link-local subnet would be none of IPv6.
    assert_eq!(table(&pod, "-6", "main"), ["fe80::/64"]);
    assert_eq!(way(&pod, "192.0.2.1", "10.99.0.2"), "eth1");
    assert_eq!(way(&pod, "192.0.2.1", ""), "eth0");
    assert_eq!(way(&pod, "2001:db8::1", "fd00:99::2"), "eth1");

    // Packets, not only what the tables say.
    for (from, to, link) in [
        ("10.99.0.2", "192.0.2.1", "eth1"),
        ("fd00:99::2", "2001:db8::1", "eth1"),
        ("10.88.0.2", "192.0.2.1", "eth0"),
    ] {
        let mac = pod.mac(link);
        let watch = host.watch();
        assert!(answers(&pod, from, to), "{from} gets no answer of {to}");
        let sent = |frame: &harness::packets::Frame| {
            let is_udp = match frame.ethertype() {
                0x0800 => frame.bytes[23] == 17,
                0x86dd => frame.bytes[20] == 17,
                _ => false,
            };
            is_udp && frame.source() == mac
        };
        assert!(watch.sees(sent), "nothing from {from} left by {link}");
    }

    call.check(&result).silence();
    let bridge = pod.call(BRIDGE, &second(json!({"isDefaultGateway": null, "isGateway": true})));
    bridge.ifname("eth1").check(&result).silence();
    for _ in 0..2 {
        call.del();
        nothing_stays(&before, &pod, "after DEL");
    }
}

#[test]
fn the_default_route_moves_along() {
    let host = Host::new();
    let pod = host.pod("blue");
    let given = pod.call(BRIDGE, &second(json!({}))).ifname("eth1").add();
    let before = (host.snapshot(), pod.snapshot());
    let call = with(&pod.call(SBR, &sbr(json!({}))).ifname("eth1"), &given);
    let result = call.add();
    assert_eq!(table(&pod, "-4", "main"), Vec::<String>::new());
    assert_eq!(
        table(&pod, "-4", "100"),
        [
            "10.99.0.0/24 src 10.99.0.2",
            "198.51.100.0/24 via 10.99.0.1 mtu 1300",
            "default via 10.99.0.1"
        ]
    );
    assert_eq!(table(&pod, "-6", "101"), ["default via fd00:99::1", "fd00:99::/64"]);
    call.check(&result).silence();
    call.del();
    nothing_stays(&before, &pod, "after DEL");
}

#[test]
fn tables_that_are_in_use_are_passed_over() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &sbr(json!({})));
    pod.run("ip rule add fwmark 7 lookup 100");
    pod.run("ip -6 rule add from fd00:1::/64 lookup 102");
    pod.run("ip route add 203.0.113.0/24 via 10.88.0.1 table 101");
    let before = (host.snapshot(), pod.snapshot());
    let result = call.add();
    let taken: Vec<String> = rules(&pod)
        .into_iter()
        .filter(|rule| rule.contains(":99:") || rule.contains(".99."))
        .collect();
    assert_eq!(taken, ["from 10.99.0.2 lookup 103", "from fd00:99::2 lookup 104"]);
    call.check(&result).silence();
    call.del();
    nothing_stays(&before, &pod, "after DEL");
}

#[test]
fn a_table_of_ones_own_gets_only_rules() {
    let host = Host::new();
    let pod = host.pod("blue");
    for number in ["7", "1234567890"] {
        let config = sbr(json!({"table": number.parse::<u32>().unwrap(), "addSourceHints": true}));
        let (call, _) = attached(&pod, &config);
        let before = (host.snapshot(), pod.snapshot());
        let result = call.add();
        assert_eq!(
            rules(&pod),
            [format!("from 10.99.0.2 lookup {number}"), format!("from fd00:99::2 lookup {number}")]
        );
        assert_eq!(before.1.get("/routes"), pod.snapshot().get("/routes"));
        call.check(&result).silence();
        pod.run(&format!("ip rule del from 10.99.0.2 lookup {number}"));
        pod.run("ip rule add from 10.99.0.2 lookup 8");
        call.check(&result).fails(CHECK_FAILED, &[number, "10.99.0.2"]);
        pod.run("ip rule del from 10.99.0.2 lookup 8");
        call.del();
        nothing_stays(&before, &pod, "after DEL");

        // One that is there already is somebody else's.
        pod.run(&format!("ip rule add from 10.99.0.2 lookup {number}"));
        refuse(&pod, &call, "ADD", &[ALREADY_ATTACHED], &["10.99.0.2", number]);
        pod.run(&format!("ip rule del from 10.99.0.2 lookup {number}"));
        pod.run("ip link del eth1");
        pod.call(BRIDGE, &second(json!({}))).ifname("eth1").del();
        pod.call(BRIDGE, &dual_stack(json!({}))).del();
        host.run("rm -r /var/lib/cni/networks");
    }
}

#[test]
fn source_hints_keep_the_subnets_in_the_main_table() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &sbr(json!({"addSourceHints": true})));
    let before = (host.snapshot(), pod.snapshot());
    let result = call.add();
    assert_eq!(table(&pod, "-4", "main"), ["10.99.0.0/24 src 10.99.0.2"]);
    assert_eq!(table(&pod, "-6", "main"), ["fd00:99::/64 src fd00:99::2", "fe80::/64"]);
    assert_eq!(way(&pod, "10.99.0.9", ""), "eth1");
    assert_eq!(way(&pod, "fd00:99::9", ""), "eth1");
    assert!(pod.reaches("10.99.0.1") && pod.reaches("fd00:99::1"));
    call.check(&result).silence();
    pod.run("ip route del 10.99.0.0/24 dev eth1 table main");
    call.check(&result).fails(CHECK_FAILED, &["main table", "10.99.0.2/24"]);
    pod.run("ip route add 10.99.0.0/24 dev eth1 src 10.99.0.2 scope link");
    call.check(&result).silence();
    call.del();
    nothing_stays(&before, &pod, "after DEL");
}

#[test]
fn gateways_of_the_configuration_win() {
    let host = Host::new();
    let pod = host.pod("blue");
    // eth1 has default routes of its own, which must not be what the tables get.
    let given = pod.call(BRIDGE, &second(json!({}))).ifname("eth1").add();
    let before = (host.snapshot(), pod.snapshot());
    let config = sbr(json!({"gateways": ["fd00:99::fe", "10.99.0.254"]}));
    let call = with(&pod.call(SBR, &config).ifname("eth1"), &given);
    let result = call.add();
    assert_eq!(
        table(&pod, "-4", "100"),
        [
            "10.99.0.0/24 src 10.99.0.2",
            "198.51.100.0/24 via 10.99.0.1 mtu 1300",
            "default via 10.99.0.254"
        ]
    );
    assert_eq!(table(&pod, "-6", "101"), ["default via fd00:99::fe", "fd00:99::/64"]);
    call.check(&result).silence();
    call.del();
    nothing_stays(&before, &pod, "after DEL");
}

#[test]
fn an_address_without_a_gateway_gets_no_default_route() {
    let host = Host::new();
    let pod = host.pod("blue");
    let network = second(
        json!({"isDefaultGateway": null, "ipam": {"type": "host-local", "subnet": "10.99.0.0/24"}}),
    );
    pod.call(BRIDGE, &network).ifname("eth1").add();
    let previous = json!({"cniVersion": "1.1.0", "interfaces": [{"name": "eth1", "sandbox": "/run/netns/blue"}],
                          "ips": [{"address": "10.99.0.2/24", "interface": 0}]});
    let call = with(&pod.call(SBR, &sbr(json!({}))).ifname("eth1"), &previous);
    let result = call.add();
    assert_eq!(table(&pod, "-4", "100"), ["10.99.0.0/24 src 10.99.0.2"]);
    call.check(&result).silence();
    pod.run("ip route flush table 100");
    call.check(&result).fails(CHECK_FAILED, &["100", "eth1"]);
    call.del();
}

#[test]
fn check_names_what_is_missing() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &sbr(json!({})));
    let result = call.add();
    for (damage, repair, words) in [
        (
            "ip rule del from 10.99.0.2",
            "ip rule add from 10.99.0.2 lookup 100",
            &["10.99.0.2", "rule"][..],
        ),
        (
            "ip -6 rule del from fd00:99::2",
            "ip -6 rule add from fd00:99::2 lookup 101",
            &["fd00:99::2", "rule"],
        ),
        (
            "ip route del default table 100",
            "ip route add default via 10.99.0.1 table 100",
            &["100", "10.99.0.1"],
        ),
        (
            "ip -6 route del default table 101",
            "ip -6 route add default via fd00:99::1 table 101",
            &["101", "fd00:99::1"],
        ),
    ] {
        pod.run(damage);
        call.check(&result).fails(CHECK_FAILED, words);
        pod.run(repair);
        call.check(&result).silence();
    }
    pod.run("ip link del eth1");
    call.check(&result).fails(CHECK_FAILED, &["eth1", "not in the container"]);
}

#[test]
fn rules_go_whatever_else_is_gone() {
    let host = Host::new();
    let pod = host.pod("blue");
    let record = "/var/lib/cni/causeway/second/id-blue:eth1:sbr";
    let (call, given) = attached(&pod, &sbr(json!({})));
    // Without a record, the interface's addresses tell which rules they are.
    call.add();
    pod.run("ip rule add from 10.99.0.2 fwmark 3 lookup 200");
    host.run(&format!("rm {record}"));
    call.clone().key("prevResult", &Value::Null).del();
    assert_eq!(rules(&pod), ["from 10.99.0.2 fwmark 0x3 lookup 200"]);
    pod.run("ip rule del fwmark 3");

    // Without the interface, prevResult does.
    pod.run("ip rule add from 10.99.0.2 lookup 100");
    pod.run("ip link del eth1");
    call.del();
    assert_eq!(rules(&pod), Vec::<String>::new());

    // With a record, nothing else is needed.
    pod.call(BRIDGE, &second(json!({}))).ifname("eth1").del();
    host.run("rm -r /var/lib/cni/networks/second");
    let again = pod.call(BRIDGE, &second(json!({"isDefaultGateway": null, "isGateway": true})));
    let again = again.ifname("eth1").add();
    assert_eq!(again["ips"], given["ips"]);
    call.add();
    pod.run("ip link del eth1");
    call.clone().key("prevResult", &Value::Null).del();
    assert_eq!(rules(&pod), Vec::<String>::new());
    assert!(!host.succeeds(&format!("test -e {record}")));
}

#[test]
fn a_namespace_that_is_gone_leaves_nothing() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &sbr(json!({})));
    call.add();
    pod.destroy();
    for _ in 0..2 {
        call.del();
        assert_eq!(host.run("ls /var/lib/cni/causeway/second").matches("sbr").count(), 0);
    }
    call.clone().without("CNI_NETNS").del();
}

#[test]
fn gc_removes_the_rules_of_what_nobody_owns() {
    let host = Host::new();
    let (pod, other) = (host.pod("blue"), host.pod("green"));
    let (stays, _) = attached(&other, &sbr(json!({})));
    let kept = stays.add();
    let (call, _) = attached(&pod, &sbr(json!({})));
    let before = (host.snapshot(), pod.snapshot());
    call.add();
    host.call(SBR, &sbr(json!({}))).gc(&[("id-green", "eth1")]);
    nothing_stays(&before, &pod, "after GC");
    stays.check(&kept).silence();
    host.call(SBR, &sbr(json!({}))).run("STATUS").silence();
}

#[test]
fn a_second_add_starts_from_what_was_before_the_first() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &sbr(json!({})));
    let before = (host.snapshot(), pod.snapshot());
    call.add();
    let result = call.add();
    assert_eq!(rules(&pod), ["from 10.99.0.2 lookup 100", "from fd00:99::2 lookup 101"]);
    call.check(&result).silence();
    call.del();
    nothing_stays(&before, &pod, "after DEL");
}

#[test]
fn several_addresses_and_interfaces_have_tables_of_their_own() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, given) = attached(&pod, &sbr(json!({})));
    pod.run("ip addr add 10.99.0.77/24 dev eth1");
    let mut more = given.clone();
    let ips = more["ips"].as_array_mut().unwrap();
    ips.push(json!({"address": "10.99.0.77/24", "gateway": "10.99.0.1", "interface": 2}));
    let first = pod.call(SBR, &sbr(json!({"name": "testnet"})));
    let first = with(
        &first,
        &json!({"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/blue"}],
                "ips": [{"address": "10.88.0.2/24", "gateway": "10.88.0.1", "interface": 0}]}),
    );
    let before = (host.snapshot(), pod.snapshot());
    let call = with(&call, &more);
    let result = call.add();
    first.add();
    assert_eq!(
        rules(&pod),
        [
            "from 10.88.0.2 lookup 103",
            "from 10.99.0.2 lookup 100",
            "from 10.99.0.77 lookup 102",
            "from fd00:99::2 lookup 101"
        ]
    );
    for table_of in ["100", "102"] {
        assert_eq!(
            table(&pod, "-4", table_of),
            [
                "10.99.0.0/24 src 10.99.0.2",
                "198.51.100.0/24 via 10.99.0.1 mtu 1300",
                "default via 10.99.0.1"
            ]
        );
    }
    call.check(&result).silence();
    call.del();
    assert_eq!(rules(&pod), ["from 10.88.0.2 lookup 103"]);
    first.del();
    nothing_stays(&before, &pod, "after DEL");
}

#[test]
fn what_a_killed_add_has_moved_is_put_back() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &sbr(json!({})));
    call.add();
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    let mut half_done = 0;
    for name in ["sendto", "recvfrom"] {
        let mut nth = 1;
        while killed_add(&host, &call, SBR, name, nth) {
            half_done += u32::from(!rules(&pod).is_empty());
            if nth % 2 == 0 {
                call.check(&call.add()).silence();
            }
            call.del();
            nothing_stays(&before, &pod, &format!("after a kill at {name} number {nth}"));
            nth += 1;
        }
        assert!(nth > 1, "ADD makes no {name}");
        call.del();
    }
    assert!(half_done > 3, "only {half_done} kills found something half done");
}
