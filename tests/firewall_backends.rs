//! firewall: which backend is chosen, what it runs, and what happens without it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::chained::{List, Side, dual_entry};
use harness::refusal::{CHECK_FAILED, KERNEL_REFUSED, MISSING_FEATURE, refuse_late};
use harness::snapshot::nothing_stays;
use harness::{Host, Pod};
use serde_json::{Value, json};

const FIREWALL: Plugin = Plugin::Causeway("firewall");

fn firewall(more: Value) -> Value {
    let mut entry = json!({"type": "firewall"});
    harness::config::merge(&mut entry, more);
    entry
}

fn list<'h>(pod: &Pod<'h>, side: Side, more: Value) -> List<'h> {
    List::new(pod, side, &[dual_entry("br0", 88), firewall(more)])
}

/// The elements of the firewall's sets, as `set key`.
fn elements(host: &Host) -> Vec<String> {
    let found = host.nft_elements().into_iter();
    let ours = found.filter(|(set, _)| set.contains("causeway_firewall"));
    let mut texts: Vec<_> =
        ours.map(|(set, key)| format!("{set} {key}").replace("causeway_firewall ", "")).collect();
    texts.sort();
    texts
}

/// A configuration of one plugin with a prevResult as a bridge leaves it.
fn alone(more: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.1.0", "name": "testnet", "type": "firewall",
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
fn a_backend_that_is_not_there_is_refused_before_anything_is_changed() {
    let host = Host::new();
    let pod = host.pod("blue");
    for side in [Side::Causeway, Side::Fused] {
        let before = (host.snapshot(), pod.snapshot());
        let entries = [dual_entry("br0", 88), firewall(json!({"backend": "iptables"}))];
        let list = List::new(&pod, side, &entries);
        let without = list.map(|call| call.env("PATH", "/nonexistent"));
        let (outcome, given) = without.try_add();
        outcome.fails(MISSING_FEATURE, &["iptables-restore", "backend \"iptables\"", "install"]);
        if side == Side::Fused {
            nothing_stays(&before, &pod, "no iptables");
        } else {
            assert_eq!(host.run("nft list ruleset"), "");
            List::new(&pod, side, &entries[..1]).del(&given);
        }
    }
    // The host of a test has no system bus, unless the variable leads to one.
    let call = pod
        .call(FIREWALL, &alone(json!({"backend": "firewalld"})))
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus");
    refuse_late(&pod, &call, "ADD", &[KERNEL_REFUSED], &["firewalld", "not running"]);
}

/// What the choice is made by, and that CHECK and DEL stay with it.
#[test]
fn without_a_backend_the_host_decides() {
    let rows: &[(&str, &str, bool)] = &[
        ("nothing", "", false),
        ("a rule elsewhere", "iptables -A INPUT -i lo -j ACCEPT", false),
        ("iptables drops", "iptables -P FORWARD DROP", true),
        ("ip6tables drops", "ip6tables -P FORWARD DROP", true),
        ("iptables has a rule", "iptables -A FORWARD -i lo -j ACCEPT", true),
        ("legacy", "iptables-legacy -A FORWARD -i lo -j ACCEPT", true),
        ("legacy nat alone", "iptables-legacy -t nat -A POSTROUTING -o lo -j ACCEPT", false),
    ];
    for (what, prepare, iptables) in rows {
        let host = Host::new();
        if !prepare.is_empty() {
            host.run(prepare);
        }
        let pod = host.pod("blue");
        let list = list(&pod, Side::Causeway, json!({}));
        let result = list.add();
        let by_iptables = host.run("iptables-save -t filter").contains("CNI-FORWARD");
        assert_eq!(by_iptables, *iptables, "{what}");
        assert_eq!(elements(&host).is_empty(), *iptables, "{what}");
        // The host has changed its ways since: what was added is what is checked and removed.
        let opposite =
            if *iptables { "iptables -P FORWARD ACCEPT" } else { "iptables -P FORWARD DROP" };
        host.run(opposite);
        list.check(&result);
        list.del(&result);
        assert_eq!(elements(&host), Vec::<String>::new(), "{what}");
        assert!(!host.run("iptables-save -t filter").contains("10.88.0."), "{what}");
    }
}

/// With iptables-legacy as iptables, its tables are read by iptables-save.
#[test]
fn iptables_legacy_is_used_where_it_is_iptables() {
    let host = Host::new();
    for (name, to) in [
        ("iptables-restore", "iptables-legacy-restore"),
        ("ip6tables-restore", "ip6tables-legacy-restore"),
    ] {
        host.run("mkdir -p /run/cni-test/legacy");
        host.run(&format!("ln -s /usr/sbin/{to} /run/cni-test/legacy/{name}"));
    }
    let path = "/run/cni-test/legacy:/usr/sbin:/usr/bin:/sbin:/bin";
    let rules = || host.run("iptables-legacy-save -t filter");
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let more = || json!({"backend": "iptables", "ingressPolicy": "isolated"});
    let of = |pod| list(pod, Side::Causeway, more()).map(|call| call.env("PATH", path));
    let (first, second) = (of(&blue), of(&green));
    let result = first.add();
    assert!(rules().contains("-s 10.88.0.2/32 -j ACCEPT"), "{}", rules());
    host.run("iptables-legacy -A CNI-ADMIN -d 192.0.2.2 -j DROP");
    let other = second.add();
    assert_eq!(rules().matches("-j CNI-FORWARD").count(), 1);
    assert_eq!(rules().matches("-d 192.0.2.2/32 -j DROP").count(), 1);
    first.check(&result);
    first.del(&result);
    first.del(&result);
    assert!(!rules().contains("10.88.0.2/32"), "{}", rules());
    second.check(&other);
    host.run("iptables-legacy -D CNI-FORWARD -s 10.88.0.3 -j ACCEPT");
    second.check_last(&other).fails(CHECK_FAILED, &["10.88.0.3"]);
    second.del(&other);
    assert!(!rules().contains("10.88.0."), "{}", rules());
    assert!(!host.run("nft list ruleset").contains("CNI-"));
}

#[test]
fn pods_that_come_and_go_at_once_do_not_disturb_each_other() {
    for backend in ["iptables", "nftables"] {
        let host = Host::new();
        let pods: Vec<_> = (0..6).map(|number| host.pod(&format!("pod{number}"))).collect();
        let more = json!({"backend": backend, "ingressPolicy": "same-bridge"});
        std::thread::scope(|scope| {
            for pod in &pods {
                let more = &more;
                scope.spawn(move || {
                    let list = list(pod, Side::Causeway, more.clone());
                    let result = list.add();
                    list.check(&result);
                    list.del(&result);
                    let result = list.add();
                    list.check(&result);
                });
            }
        });
        if backend == "iptables" {
            let saved = host.run("iptables-save -t filter");
            assert_eq!(saved.matches("-j ACCEPT").count(), 12, "{saved}");
            for chain in ["CNI-FORWARD", "CNI-ADMIN", "CNI-ISOLATION-STAGE-1"] {
                assert_eq!(saved.matches(&format!("-j {chain}\n")).count(), 1, "{saved}");
            }
        }
        assert_eq!(elements(&host).len(), if backend == "iptables" { 0 } else { 14 });
    }
}

#[test]
fn nftables_runs_no_program_and_iptables_one_for_each_family() {
    let host = Host::new();
    let pod = host.pod("blue");
    let runs = |backend: &str, verb: &str| {
        let mut config = alone(json!({"backend": backend, "ingressPolicy": "isolated"}));
        config["prevResult"]["ips"] =
            json!([{"address": "10.88.0.2/24"}, {"address": "fd00:88::2/64"}]);
        let script = "#!/bin/sh\nexec strace -f -qq -e trace=execve -o /run/cni-test/trace \
                      /run/cni-test/causeway/firewall\n";
        host.script_plugin("traced", script);
        let call = pod.call(FIREWALL, &config).program("/run/cni-test/causeway/traced");
        let outcome = call.run(verb);
        assert_eq!(outcome.status, Some(0), "{outcome}");
        let trace = host.read("/run/cni-test/trace");
        trace.lines().filter(|line| line.contains("execve(") && line.contains("= 0")).count() - 1
    };
    for verb in ["ADD", "CHECK", "DEL", "DEL"] {
        assert_eq!(runs("nftables", verb), 0, "{verb} by nftables");
    }
    for (verb, programs) in [("ADD", 2), ("CHECK", 0), ("DEL", 0), ("DEL", 0)] {
        assert_eq!(runs("iptables", verb), programs, "{verb} by iptables");
    }
}

#[test]
fn status_tells_whether_the_backend_is_there() {
    let host = Host::new();
    let status = |more: Value| {
        let mut config = alone(more);
        config.as_object_mut().unwrap().remove("prevResult");
        host.call(FIREWALL, &config)
    };
    status(json!({})).run("STATUS").silence();
    status(json!({"backend": "iptables"})).run("STATUS").silence();
    status(json!({"backend": "iptables"}))
        .env("PATH", "/nonexistent")
        .run("STATUS")
        .fails(50, &["iptables-restore"]);
    status(json!({"backend": "firewalld"}))
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
        .run("STATUS")
        .fails(50, &["firewalld"]);
}
