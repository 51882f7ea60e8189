//! portmap with backend iptables: what each verb does, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::{Call, Plugin};
use harness::chained::{List, Side, dual_entry};
use harness::killed::killed_add;
use harness::refusal::CHECK_FAILED;
use harness::snapshot::nothing_stays;
use harness::{Host, Pod};
use serde_json::{Value, json};

const PORTMAP: Plugin = Plugin::Causeway("portmap");
/// A port of the host is another's.
const PORT_TAKEN: u64 = 108;
/// A program is not installed.
const MISSING_FEATURE: u64 = 106;

fn tcp(host_port: u32) -> Value {
    json!({"hostPort": host_port, "containerPort": 80, "protocol": "tcp"})
}

fn usual() -> Value {
    json!([tcp(8080), {"hostPort": 5353, "containerPort": 53, "protocol": "udp"},
           {"hostPort": 7000, "containerPort": 7000, "protocol": "sctp", "hostIP": "10.88.0.1"}])
}

fn entries(more: Value) -> [Value; 2] {
    let mut entry = json!({"type": "portmap", "capabilities": {"portMappings": true},
                           "backend": "iptables"});
    harness::config::merge(&mut entry, more);
    [dual_entry("br0", 88), entry]
}

fn list<'h>(pod: &Pod<'h>, side: Side, mappings: &Value, more: Value) -> List<'h> {
    let runtime = json!({"portMappings": mappings});
    List::new(pod, side, &entries(more)).map(|call| call.key("runtimeConfig", &runtime))
}

/// The nat tables of both families, rules alone.
fn rules(host: &Host) -> String {
    let of = |program: &str| {
        let saved = host.run(&format!("{program} -t nat"));
        saved.lines().filter(|line| line.starts_with('-')).collect::<Vec<_>>().join("\n")
    };
    ["iptables-save", "ip6tables-save", "iptables-legacy-save", "ip6tables-legacy-save"]
        .map(of)
        .join("\n")
}

/// Chains of attachments that are left, in all tables.
fn own_chains(host: &Host) -> usize {
    rules(host).lines().filter(|line| line.contains("CNI-DN-")).count()
}

/// Has iptables-legacy as iptables.
fn legacy<'h>(host: &Host, call: Call<'h>) -> Call<'h> {
    for program in ["iptables", "ip6tables"] {
        for work in ["", "-restore", "-save"] {
            let to = format!("/usr/sbin/{program}-legacy{work}");
            host.run("mkdir -p /run/cni-test/legacy");
            host.run(&format!("ln -sfn {to} /run/cni-test/legacy/{program}{work}"));
        }
    }
    call.env("PATH", "/run/cni-test/legacy:/usr/sbin:/usr/bin:/sbin:/bin")
}

#[test]
fn chains_come_and_go_with_the_pod() {
    for (side, by_legacy) in [(Side::Causeway, false), (Side::Fused, false), (Side::Causeway, true)]
    {
        let host = Host::new();
        let (blue, green) = (host.pod("blue"), host.pod("green"));
        let of = |pod, mappings: &Value| {
            let list = list(pod, side, mappings, json!({}));
            if by_legacy { list.map(|call| legacy(&host, call)) } else { list }
        };
        let first = of(&blue, &usual());
        let result = first.add();
        first.check(&result);
        let found = rules(&host);
        // Three jumps in each family; three rules for each IPv4 mapping, two for each IPv6 one.
        assert_eq!(found.matches("CNI-DN-").count(), 6 + 9 + 4, "{found}");
        assert_eq!(found.matches("-j CNI-HOSTPORT-DNAT").count(), 4, "{found}");
        assert_eq!(found.matches("--set-xmark 0x2000/0x2000").count(), 2, "{found}");
        assert_eq!(host.run("iptables-legacy-save -t nat").contains("CNI-DN-"), by_legacy);
        assert_eq!(host.read("/proc/sys/net/ipv4/conf/br0/route_localnet").trim(), "1");

        let second = of(&green, &json!([tcp(8081)]));
        let other = second.add();
        first.check(&result);
        second.check(&other);
        let both = rules(&host);
        assert_eq!(both.matches("-j CNI-HOSTPORT-DNAT").count(), 4, "{both}");
        assert_eq!(both.matches("-j MASQUERADE").count(), 2, "{both}");
        first.del(&result);
        first.del(&result);
        second.check(&other);
        assert_eq!(own_chains(&host), 2 + 3 + 2);
        green.destroy();
        second.del(&other);
        assert_eq!(own_chains(&host), 0);
        assert!(host.run("find /var/lib/cni/causeway -type f -name id-*").is_empty());
        assert_eq!(rules(&host).matches("-j CNI-HOSTPORT-DNAT").count(), 4);
    }
}

/// Whatever is in a chain of the attachment's name gives way.
#[test]
fn a_leftover_is_replaced() {
    let host = Host::new();
    let pod = host.pod("blue");
    let list = list(&pod, Side::Causeway, &usual(), json!({}));
    let result = list.add();
    let whole = rules(&host);
    for record in [true, false] {
        for leave in [
            "-A CNI-DN-a56c00c833e06d039d2d2 -p tcp --dport 9 -j DNAT --to-destination 10.88.0.9:9",
            "-A CNI-HOSTPORT-DNAT -p tcp --dport 9 -j CNI-DN-a56c00c833e06d039d2d2",
        ] {
            host.run(&format!("iptables -t nat {leave}"));
        }
        if !record {
            host.run("rm /var/lib/cni/causeway/testnet/id-blue:eth0:portmap");
        }
        let again = list.last().clone().key("prevResult", &result).add();
        assert_eq!(again["ips"], result["ips"]);
        assert_eq!(rules(&host), whole);
    }
    list.check(&result);
    list.del(&result);
    assert_eq!(own_chains(&host), 0);
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
            let before = rules(&host);
            let (outcome, _) = taken.try_add();
            outcome.fails(PORT_TAKEN, &[port, "testnet/id-blue"]);
            assert_eq!(rules(&host), before, "{side:?}");
            taken.del(&Value::Null);
        }
        for mappings in [at("10.88.0.1"), json!([tcp(8081)])] {
            let free = list(&green, side, &mappings, json!({}));
            let other = free.add();
            free.check(&other);
            free.del(&other);
        }
        owner.check(&result);
        owner.del(&result);
        list(&green, side, &usual(), json!({})).add();
    }
}

#[test]
fn a_port_in_the_maps_of_nftables_is_taken() {
    let host = Host::new();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    list(&blue, Side::Causeway, &usual(), json!({"backend": "nftables"})).add();
    let taken = list(&green, Side::Causeway, &json!([tcp(8080)]), json!({}));
    let (outcome, _) = taken.try_add();
    outcome.fails(PORT_TAKEN, &["8080/tcp", "testnet/id-blue/eth0"]);
    assert_eq!(own_chains(&host), 0);
}

#[test]
fn one_of_many_gets_a_port() {
    let host = Host::new();
    let pods: Vec<_> = (0..6).map(|n| host.pod(&format!("pod{n}"))).collect();
    let lists: Vec<_> = pods
        .iter()
        .enumerate()
        .map(|(n, pod)| {
            // Three want the same one, three each their own.
            let port = if n < 3 { 8080 } else { 8080 + u32::try_from(n).unwrap() };
            list(pod, Side::Fused, &json!([tcp(port)]), json!({}))
        })
        .collect();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> =
            lists.iter().map(|list| scope.spawn(|| list.last().run("ADD"))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.status != Some(0)).collect();
    assert_eq!(failed.len(), 2);
    for outcome in failed {
        outcome.fails(PORT_TAKEN, &["8080/tcp", "testnet/id-pod"]);
    }
    let found = rules(&host);
    assert_eq!(found.matches("-j DNAT").count(), 8, "{found}");
    assert_eq!(found.matches("-j CNI-HOSTPORT-DNAT").count(), 4, "{found}");
}

#[test]
fn without_the_programs_nothing_is_changed() {
    let host = Host::new();
    let pod = host.pod("blue");
    for side in [Side::Causeway, Side::Fused] {
        let before = (host.snapshot(), pod.snapshot());
        let without =
            list(&pod, side, &usual(), json!({})).map(|call| call.env("PATH", "/nonexistent"));
        let (outcome, given) = without.try_add();
        let words = ["iptables-restore", "backend \"iptables\"", "install"];
        outcome.fails(MISSING_FEATURE, &words);
        if side == Side::Fused {
            nothing_stays(&before, &pod, "no iptables");
        } else {
            assert_eq!(host.run("nft list ruleset"), "");
            assert_eq!(host.read("/proc/sys/net/ipv4/conf/br0/route_localnet").trim(), "0");
            List::new(&pod, side, &entries(json!({}))[..1]).del(&given);
        }
    }
    let mut config = entries(json!({}))[1].clone();
    harness::config::merge(&mut config, json!({"cniVersion": "1.1.0", "name": "testnet"}));
    let status = host.call(PORTMAP, &config);
    status.run("STATUS").silence();
    status.env("PATH", "/nonexistent").run("STATUS").fails(50, &["iptables-restore"]);
}

#[test]
fn what_iptables_refuses_leaves_nothing() {
    let host = Host::new();
    let pod = host.pod("blue");
    let bad = list(&pod, Side::Fused, &usual(), json!({"conditionsV6": ["--no-such-option", "1"]}));
    let fine = list(&pod, Side::Fused, &usual(), json!({}));
    let result = fine.add();
    fine.del(&result);
    let before = (host.snapshot(), pod.snapshot());
    bad.last().run("ADD").fails(100, &["ip6tables-restore", "no-such-option"]);
    nothing_stays(&before, &pod, "a condition that is none");
    let absent = json!({"externalSetMarkChain": "NOT-THERE"});
    list(&pod, Side::Fused, &usual(), absent).last().run("ADD").fails(100, &["iptables-restore"]);
    nothing_stays(&before, &pod, "an external chain that is not there");
}

/// Damages what an ADD made and expects CHECK to name it.
#[track_caller]
fn damaged(damage: &[&str], words: &[&str]) {
    let host = Host::new();
    let pod = host.pod("blue");
    let conditions = json!({"conditionsV6": ["!", "-s", "2001:db8::9"]});
    let list = list(&pod, Side::Causeway, &usual(), conditions);
    let result = list.add();
    list.check(&result);
    for damage in damage {
        host.run(damage);
    }
    list.check_last(&result).fails(CHECK_FAILED, words);
    // Damage is no reason for DEL to fail.
    list.del(&result);
    assert_eq!(own_chains(&host), 0);
}

#[test]
fn check_finds_what_is_missing() {
    let own = "CNI-DN-a56c00c833e06d039d2d2";
    damaged(&[&format!("iptables -t nat -D {own} 3")], &["iptables chain", own, "8080", "DNAT"]);
    damaged(&[&format!("ip6tables -t nat -D {own} 1")], &["ip6tables chain", "fd00:88::/64"]);
    damaged(&["iptables -t nat -D CNI-HOSTPORT-DNAT 1"], &["CNI-HOSTPORT-DNAT", "--dports 7000"]);
    damaged(&["ip6tables -t nat -D CNI-HOSTPORT-DNAT 2"], &["ip6tables", "--dports 8080"]);
    damaged(&["iptables -t nat -F PREROUTING"], &["PREROUTING", "CNI-HOSTPORT-DNAT"]);
    damaged(&["iptables -t nat -F POSTROUTING"], &["POSTROUTING", "CNI-HOSTPORT-MASQ"]);
    damaged(&["iptables -t nat -F CNI-HOSTPORT-SETMARK"], &["CNI-HOSTPORT-SETMARK", "0x2000"]);
    damaged(
        &[
            "iptables -t nat -F CNI-HOSTPORT-DNAT",
            &format!("iptables -t nat -F {own}"),
            &format!("iptables -t nat -X {own}"),
        ],
        &["iptables has no chain", own],
    );
    damaged(&["nft delete table ip nat"], &["iptables has no chain"]);
}

#[test]
fn gc_removes_what_no_valid_attachment_owns() {
    let host = Host::new();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let valid = list(&green, Side::Causeway, &json!([tcp(1)]), json!({}));
    let kept = valid.add();
    let before = rules(&host);
    let stale = list(&blue, Side::Causeway, &usual(), json!({}));
    stale.add();
    blue.destroy();
    assert_ne!(rules(&host), before);
    // Whatever the backend is by now.
    let now = valid.last().clone().key("backend", &json!("nftables"));
    now.gc(&[("id-green", "eth0")]);
    assert_eq!(rules(&host), before);
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
    let [bridge, portmap] = entries(json!({}));
    let before = (host.snapshot(), pod.snapshot());
    let runtime = json!({"portMappings": usual()});
    let failing = List::new(&pod, Side::Fused, &[bridge, portmap, json!({"type": "fails"})])
        .map(|call| call.key("runtimeConfig", &runtime));
    failing.last().run("ADD").error();
    nothing_stays(&before, &pod, "after a failed list");
}

/// Whenever an ADD is killed, DEL clears what it left, and so does the next ADD.
#[test]
fn what_a_killed_add_leaves_is_cleared() {
    let host = Host::new();
    let pod = host.pod("blue");
    let previous = List::new(&pod, Side::Causeway, &entries(json!({}))[..1]).add();
    let mut config = entries(json!({}))[1].clone();
    let more = json!({"cniVersion": "1.1.0", "name": "testnet", "prevResult": previous,
                      "runtimeConfig": {"portMappings": usual()}});
    harness::config::merge(&mut config, more);
    let call = pod.call(PORTMAP, &config);
    // The shared chains stay, so they are made first.
    call.add();
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    let mut kills = 0;
    for name in ["sendto", "write", "/wait.*", "/rename.*"] {
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
            // The programs that the killed one ran may go on for a moment; DEL waits for them.
            call.del();
            assert_eq!(own_chains(&host), 0, "killed at {name} {nth}");
        }
    }
    assert!(kills > 6, "{kills}");
    nothing_stays(&before, &pod, "after kills");
}

#[test]
fn one_restore_of_each_family_and_none_to_remove() {
    let host = Host::new();
    let pod = host.pod("blue");
    let script = "#!/bin/sh\nexec strace -f -qq -o /run/cni-test/trace -e trace=execve \
                  /run/cni-test/causeway/causeway\n";
    host.script_plugin("traced", script);
    let fused = list(&pod, Side::Fused, &usual(), json!({}))
        .map(|call| call.program("/run/cni-test/causeway/traced"));
    let runs = |what: &str| {
        let trace = host.read("/run/cni-test/trace");
        trace.lines().filter(|line| line.contains(what) && line.ends_with(" = 0")).count()
    };
    let result = fused.add();
    assert_eq!((runs("tables-restore\""), runs("execve(")), (2, 5));
    fused.check(&result);
    assert_eq!((runs("tables-restore\""), runs("execve(")), (0, 3));
    fused.del(&result);
    assert_eq!(runs("execve("), 1);
}
