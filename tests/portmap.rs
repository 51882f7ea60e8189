//! portmap: what each verb does, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::chained::{List, Side, address, dual_entry};
use harness::killed::killed_add;
use harness::person::Person;
use harness::refusal::{BAD_CONFIG, CHECK_FAILED, refuse, refuse_late};
use harness::snapshot::nothing_stays;
use harness::{Host, Pod};
use serde_json::{Value, json};

const PORTMAP: Plugin = Plugin::Causeway("portmap");
/// A port of the host is another's.
const PORT_TAKEN: u64 = 108;

fn tcp(host_port: u32) -> Value {
    json!({"hostPort": host_port, "containerPort": 80, "protocol": "tcp"})
}

fn usual() -> Value {
    json!([tcp(8080), {"hostPort": 5353, "containerPort": 53, "protocol": "UDP"},
           {"hostPort": 7000, "containerPort": 7000, "protocol": "sctp", "hostIP": "10.88.0.1"}])
}

/// A list of a dual-stack bridge and port mappings, called one by one or as one.
fn list<'h>(pod: &Pod<'h>, side: Side, mappings: &Value, more: Value) -> List<'h> {
    let mut entry = json!({"type": "portmap", "capabilities": {"portMappings": true}});
    harness::config::merge(&mut entry, more);
    let runtime = json!({"portMappings": mappings});
    List::new(pod, side, &[dual_entry("br0", 88), entry])
        .map(|call| call.key("runtimeConfig", &runtime))
}

/// The elements of the table's maps and sets, as `set key`.
fn elements(host: &Host) -> Vec<String> {
    let found = host.nft_elements().into_iter();
    let ours = found.filter(|(set, _)| set.contains("causeway_portmap"));
    let mut texts: Vec<_> = ours
        .map(|(set, key)| format!("{set} {key}").replace("inet causeway_portmap ", ""))
        .collect();
    texts.sort();
    texts
}

/// A configuration of the plugin alone, with a prevResult as a bridge leaves it.
fn alone(mappings: &Value, more: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.1.0", "name": "testnet", "type": "portmap",
        "runtimeConfig": {"portMappings": mappings},
        "prevResult": {
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "br0"}, {"name": "veth1"},
                           {"name": "eth0", "sandbox": "/run/netns/blue"}],
            "ips": [{"address": "10.88.0.2/24", "interface": 2}]
        }
    });
    harness::config::merge(&mut config, more);
    config
}

#[test]
fn elements_come_and_go_with_the_pod() {
    for side in [Side::Causeway, Side::Fused] {
        let host = Host::new();
        let (blue, green) = (host.pod("blue"), host.pod("green"));
        let first = list(&blue, side, &usual(), json!({}));
        let result = first.add();
        first.check(&result);
        let found = elements(&host);
        // Of each family two ports for all addresses, and one of a single IPv4 address; each with
        // the near and the local set.
        assert_eq!(found.len(), 5 + 2 * 5, "{side:?}: {found:#?}");
        let table = host.run("nft list table inet causeway_portmap");
        let (v4, v6) = (address(&result, false), address(&result, true));
        for text in [
            format!("tcp . 8080 comment \"testnet/id-blue/eth0\" : {v4} . 80"),
            format!("udp . 5353 comment \"testnet/id-blue/eth0\" : {v6} . 53"),
            format!("10.88.0.1 . sctp . 7000 comment \"testnet/id-blue/eth0\" : {v4} . 7000"),
        ] {
            assert!(table.contains(&text), "{text} in {table}");
        }
        assert_eq!(host.read("/proc/sys/net/ipv4/conf/br0/route_localnet").trim(), "1");

        let second = list(&green, side, &json!([tcp(8081)]), json!({"masqAll": true}));
        let other = second.add();
        assert_eq!(elements(&host).len(), found.len() + 4);
        first.check(&result);
        second.check(&other);
        first.del(&result);
        first.del(&result);
        second.check(&other);
        assert_eq!(elements(&host).len(), 4);
        green.destroy();
        second.del(&other);
        assert_eq!(elements(&host), Vec::<String>::new());
        assert!(host.run("find /var/lib/cni/causeway -type f -name id-*").is_empty());
    }
}

#[test]
fn without_mappings_nothing_is_done() {
    let host = Host::new();
    let pod = host.pod("blue");
    for mappings in [
        json!([]),
        json!([{"hostPort": 1, "containerPort": 1, "protocol": "tcp",
                                         "hostIP": "::1"}]),
    ] {
        let call = pod.call(PORTMAP, &alone(&mappings, json!({})));
        let mut result = call.add();
        let mut given = alone(&mappings, json!({}))["prevResult"].clone();
        for text in [&mut result, &mut given] {
            text.as_object_mut().unwrap().remove("dns");
        }
        assert_eq!(result, given);
        call.check(&given).silence();
        call.del();
        assert_eq!(host.run("nft list ruleset"), "");
        assert!(!host.succeeds("test -e /var/lib/cni/causeway/testnet"));
    }
}

#[test]
fn bad_configurations_are_refused_before_anything_is_changed() {
    let host = Host::new();
    let pod = host.pod("blue");
    let mapping = |key: &str, value: Value| {
        let mut one = tcp(8080);
        one[key] = value;
        json!([tcp(1), one])
    };
    let at = "portMappings[1]";
    let rows: Vec<(Value, Value, Vec<&str>)> = vec![
        (mapping("hostPort", json!(0)), json!({}), vec![at, "hostPort", "65535"]),
        (mapping("containerPort", json!(0)), json!({}), vec![at, "containerPort"]),
        (mapping("protocol", json!("icmp")), json!({}), vec![at, "icmp", "tcp, udp, sctp"]),
        (mapping("protocol", json!("")), json!({}), vec![at, "protocol"]),
        (json!([tcp(80), tcp(80)]), json!({}), vec![at, "80/tcp", "portMappings[0]"]),
        (
            json!([tcp(80), {"hostPort": 80, "containerPort": 8, "protocol": "TCP",
                             "hostIP": "0.0.0.0"}]),
            json!({}),
            vec![at, "twice"],
        ),
        (json!([tcp(80)]), json!({"backend": "ipfw"}), vec!["backend", "ipfw", "nftables"]),
        (json!([tcp(80)]), json!({"markMasqBit": 32}), vec!["markMasqBit", "31"]),
        (json!([tcp(80)]), json!({"markMasqBit": -1}), vec!["markMasqBit"]),
        (
            json!([tcp(80)]),
            json!({"markMasqBit": 3, "externalSetMarkChain": "KUBE-MARK-MASQ"}),
            vec!["markMasqBit", "externalSetMarkChain"],
        ),
        (json!([tcp(80)]), json!({"externalSetMarkChain": "a b"}), vec!["externalSetMarkChain"]),
        (
            json!([tcp(80)]),
            json!({"backend": "nftables", "externalSetMarkChain": "KUBE-MARK-MASQ"}),
            vec!["backend", "externalSetMarkChain", "iptables"],
        ),
        (
            json!([tcp(80)]),
            json!({"backend": "nftables", "conditionsV4": ["-s", "10.0.0.0/8"]}),
            vec!["backend", "conditionsV4"],
        ),
        (
            json!([tcp(80)]),
            json!({"backend": "iptables", "conditionsV6": ["ip6", "saddr", "fd00::/8"]}),
            vec!["backend", "conditionsV6"],
        ),
        (
            json!([tcp(80)]),
            json!({"conditionsV4": ["ip saddr 10.0.0.0/8"], "conditionsV6": ["!", "-i", "x"]}),
            vec!["conditionsV4", "conditionsV6"],
        ),
        (
            json!([tcp(80)]),
            json!({"conditionsV4": ["tcp", "sport", "1"]}),
            vec!["conditionsV4", "tcp", "ip saddr"],
        ),
        (
            json!([tcp(80)]),
            json!({"conditionsV4": ["-s", "10.0.0.1\n-A OUTPUT -j DROP"]}),
            vec!["conditionsV4"],
        ),
    ];
    for (mappings, more, words) in rows {
        let call = pod.call(PORTMAP, &alone(&mappings, more));
        refuse(&pod, &call, "ADD", &[BAD_CONFIG], &words);
    }
    for wrong in [json!(65536), json!(-1), json!("80")] {
        let call = pod.call(PORTMAP, &alone(&mapping("hostPort", wrong), json!({})));
        refuse(&pod, &call, "ADD", &[6, BAD_CONFIG], &["hostPort"]);
    }
    let call = pod.call(PORTMAP, &alone(&usual(), json!({"prevResult": null})));
    refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], &["prevResult"]);
}

#[test]
fn a_port_of_another_pod_is_refused_with_its_owner() {
    for side in [Side::Causeway, Side::Fused] {
        let host = Host::new();
        let (blue, green) = (host.pod("blue"), host.pod("green"));
        let owner = list(&blue, Side::Causeway, &usual(), json!({}));
        let result = owner.add();
        let at = |ip: &str| json!([{"hostPort": 8080, "containerPort": 81, "protocol": "tcp", "hostIP": ip}]);
        let sctp = json!([{"hostPort": 7000, "containerPort": 7, "protocol": "sctp",
                           "hostIP": "10.88.0.1"}]);
        for (mappings, port) in [
            (usual(), "8080/tcp"),
            (at("0.0.0.0"), "8080/tcp"),
            (at("::"), "8080/tcp"),
            (sctp, "7000/sctp of 10.88.0.1"),
        ] {
            let taken = list(&green, side, &mappings, json!({}));
            let before = elements(&host);
            let (outcome, _) = taken.try_add();
            outcome.fails(PORT_TAKEN, &[port, "testnet/id-blue/eth0"]);
            assert_eq!(elements(&host), before, "{side:?}");
            taken.del(&Value::Null);
        }
        // Another address of the host, protocol or port is free.
        for mappings in [at("10.88.0.1"), json!([tcp(8081)])] {
            let free = list(&green, side, &mappings, json!({}));
            let other = free.add();
            free.check(&other);
            free.del(&other);
        }
        owner.check(&result);
        owner.del(&result);
        let free = list(&green, side, &usual(), json!({}));
        free.add();
    }
}

/// podman asks each network of a container for all of its ports.
#[test]
fn a_second_interface_leaves_the_ports_to_the_first() {
    for backend in ["nftables", "iptables"] {
        for side in [Side::Causeway, Side::Fused] {
            let host = Host::new();
            let blue = host.pod("blue");
            let first = list(&blue, side, &json!([tcp(8080)]), json!({"backend": backend}));
            let result = first.add();
            let before = elements(&host);
            let entry = json!({"type": "portmap", "backend": backend,
                               "capabilities": {"portMappings": true}});
            let ports = json!({"portMappings": [tcp(8080), tcp(8081)]});
            let second = List::new(&blue, side, &[dual_entry("br1", 89), entry]).map(|call| {
                call.ifname("eth1").key("name", &json!("second")).key("runtimeConfig", &ports)
            });
            let other = second.add();
            // One port of each family, each with the near and the local set.
            let own = if backend == "nftables" { 6 } else { 0 };
            assert_eq!(elements(&host).len(), before.len() + own, "{:#?}", elements(&host));
            first.check(&result);
            second.check(&other);
            second.del(&other);
            assert_eq!(elements(&host), before);
            first.check(&result);

            let other = second.add();
            first.del(&result);
            let checked = second.check_last(&other);
            if backend == "nftables" {
                checked.fails(CHECK_FAILED, &["lacks an entry"]);
                Person::on(&host).succeeds("repair");
                assert_eq!(elements(&host).len(), 2 * own);
                second.check(&other);
            } else {
                checked.silence();
            }
            second.del(&other);
            assert_eq!(elements(&host), [""; 0]);
        }
    }
}

/// Of several that want the same port at the same time one gets it, and the others leave nothing.
#[test]
fn one_of_many_gets_a_port() {
    let host = Host::new();
    let pods: Vec<_> = (0..6).map(|n| host.pod(&format!("pod{n}"))).collect();
    let lists: Vec<_> =
        pods.iter().map(|pod| list(pod, Side::Fused, &json!([tcp(8080)]), json!({}))).collect();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> =
            lists.iter().map(|list| scope.spawn(|| list.last().run("ADD"))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.status != Some(0)).collect();
    assert_eq!(failed.len(), 5);
    for outcome in failed {
        outcome.fails(PORT_TAKEN, &["8080/tcp", "testnet/id-pod"]);
    }
    assert_eq!(elements(&host).len(), 6);
}

/// Damages what an ADD made and expects CHECK to name it.
#[track_caller]
fn damaged(damage: &str, words: &[&str]) {
    let host = Host::new();
    let pod = host.pod("blue");
    let list = list(&pod, Side::Causeway, &usual(), json!({}));
    let result = list.add();
    list.check(&result);
    let damage = damage.replace("IPV4", &address(&result, false));
    host.run(&damage);
    list.check_last(&result).fails(CHECK_FAILED, words);
    // Damage is no reason for DEL to fail.
    list.del(&result);
    assert_eq!(elements(&host), Vec::<String>::new());
}

#[test]
fn check_finds_what_is_missing() {
    let table = "inet causeway_portmap";
    damaged(&format!("nft delete element {table} ports-ipv4 {{ tcp . 8080 }}"), &["ports-ipv4"]);
    damaged(&format!("nft flush map {table} addresses-ipv4"), &["addresses-ipv4"]);
    damaged(&format!("nft flush set {table} near-ipv4-24"), &["near-ipv4-24"]);
    damaged(&format!("nft flush set {table} local-ipv6"), &["local-ipv6"]);
    damaged(&format!("nft flush chain {table} prerouting-ipv4"), &["prerouting-ipv4"]);
    damaged(&format!("nft delete table {table}"), &["missing"]);
    damaged("sysctl -q -w net.ipv4.conf.br0.route_localnet=0", &["route_localnet"]);
}

#[test]
fn check_finds_a_port_that_leads_elsewhere() {
    let host = Host::new();
    let pod = host.pod("blue");
    let list = list(&pod, Side::Causeway, &json!([tcp(8080)]), json!({}));
    let result = list.add();
    let map = "inet causeway_portmap ports-ipv4";
    host.run(&format!("nft delete element {map} {{ tcp . 8080 }}"));
    let comment = "comment \"testnet/id-blue/eth0\"";
    host.nft(&format!("add element {map} {{ tcp . 8080 {comment} : 10.88.0.9 . 80 }}"));
    list.check_last(&result).fails(CHECK_FAILED, &["ports-ipv4", "elsewhere"]);
}

#[test]
fn elements_without_a_record_are_removed_by_their_owner() {
    let host = Host::new();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let other = list(&green, Side::Causeway, &json!([tcp(1)]), json!({}));
    let kept = other.add();
    let before = elements(&host);
    for with_result in [true, false] {
        let first = list(&blue, Side::Causeway, &usual(), json!({}));
        let result = first.add();
        host.run("rm /var/lib/cni/causeway/testnet/id-blue:eth0:portmap");
        first.del(if with_result { &result } else { &Value::Null });
        assert_eq!(elements(&host), before);
    }
    other.check(&kept);
}

#[test]
fn gc_removes_what_no_valid_attachment_owns() {
    let host = Host::new();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let valid = list(&green, Side::Causeway, &json!([tcp(1)]), json!({}));
    let kept = valid.add();
    let before = elements(&host);
    for with_record in [true, false] {
        let stale = list(&blue, Side::Causeway, &usual(), json!({}));
        let result = stale.add();
        if !with_record {
            host.run("rm /var/lib/cni/causeway/testnet/id-blue:eth0:portmap");
        }
        valid.last().gc(&[("id-green", "eth0")]);
        assert_eq!(elements(&host), before, "record: {with_record}");
        stale.del(&result);
    }
    valid.check(&kept);
}

#[test]
fn a_failed_list_takes_its_ports_back() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.script_plugin("fails", "#!/bin/sh\n[ $CNI_COMMAND != ADD ]\n");
    let once = list(&pod, Side::Fused, &usual(), json!({}));
    let result = once.add();
    once.del(&result);
    let portmap = json!({"type": "portmap", "capabilities": {"portMappings": true}});
    let bad = [dual_entry("br0", 88), portmap, json!({"type": "fails"})];
    let before = (host.snapshot(), pod.snapshot());
    let runtime = json!({"portMappings": usual()});
    let failing =
        List::new(&pod, Side::Fused, &bad).map(|call| call.key("runtimeConfig", &runtime));
    failing.last().run("ADD").error();
    nothing_stays(&before, &pod, "after a failed list");
}

/// Whenever an ADD is killed, DEL clears what it left, and so does the next ADD.
#[test]
fn what_a_killed_add_leaves_is_cleared() {
    let host = Host::new();
    let pod = host.pod("blue");
    let bridge = List::new(&pod, Side::Causeway, &[dual_entry("br0", 88)]);
    let previous = bridge.add();
    let call = pod.call(PORTMAP, &alone(&usual(), json!({}))).key("prevResult", &previous);
    // The constant rules stay, so they are made first.
    call.add();
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    let mut kills = 0;
    for name in ["sendto", "write", "/rename.*"] {
        for nth in 1..40 {
            if !killed_add(&host, &call, PORTMAP, name, nth) {
                call.del();
                break;
            }
            kills += 1;
            if nth % 2 == 0 {
                let result = call.add();
                call.check(&result).silence();
            }
            call.del();
            assert_eq!(elements(&host), Vec::<String>::new(), "killed at {name} {nth}");
        }
    }
    assert!(kills > 6, "{kills}");
    nothing_stays(&before, &pod, "after kills");
}

#[test]
fn no_process_is_started() {
    let host = Host::new();
    let pod = host.pod("blue");
    let script = "#!/bin/sh\nexec strace -f -o /run/cni-test/trace -e trace=execve \
                  /run/cni-test/causeway/causeway\n";
    host.script_plugin("traced", script);
    let fused = list(&pod, Side::Fused, &usual(), json!({}))
        .map(|call| call.program("/run/cni-test/causeway/traced"));
    let result = fused.add();
    assert_eq!(host.read("/run/cni-test/trace").matches("execve(").count(), 1);
    fused.del(&result);
    assert_eq!(host.read("/run/cni-test/trace").matches("execve(").count(), 1);
}

/// Sockets are left to the kernel to close, which it must do by itself, soon, and with all of them.
#[test]
fn no_socket_outlives_its_call_for_long() {
    let host = Host::new();
    let blue = host.pod("blue");
    let calls = list(&blue, Side::Causeway, &usual(), json!({}));
    for _ in 0..5 {
        let result = calls.add();
        calls.del(&result);
    }
    // The second column is the family, of which NETLINK_NETFILTER is 12; the third is 0 for the kernel's own.
    let netfilter = |host: &Host| {
        let sockets = host.run("cat /proc/self/net/netlink");
        let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let ours = |line: &str| matches!(&columns(line)[..], [_, family, id, ..] if family == "12" && id != "0");
        sockets.lines().filter(|line| ours(line)).count()
    };
    host.wait("every netfilter socket is closed", |host| netfilter(host) == 0);
}
