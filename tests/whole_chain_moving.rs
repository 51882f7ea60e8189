//! Whole lists that move between the reference plugins and causeway on a node in use.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::chained::{List, Side, dual_entry, fused};
use harness::config::{merge, newest};
use harness::snapshot::nothing_stays;
use harness::{Host, Pod, require_reference};
use serde_json::{Value, json};

/// The usual list as Debian's reference plugins know it.
fn usual(port: u16) -> Vec<Value> {
    let mut bridge = dual_entry("br0", 88);
    merge(&mut bridge, json!({"ipMasq": true}));
    let mappings = json!([
        {"hostPort": port, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": port + 1, "containerPort": 53, "protocol": "udp"}
    ]);
    let limits = json!({"ingressRate": 80_000_000, "ingressBurst": 8_000_000,
                        "egressRate": 40_000_000, "egressBurst": 4_000_000});
    vec![
        bridge,
        json!({"type": "portmap", "capabilities": {"portMappings": true},
               "runtimeConfig": {"portMappings": mappings}}),
        json!({"type": "firewall"}),
        json!({"type": "bandwidth", "capabilities": {"bandwidth": true},
               "runtimeConfig": {"bandwidth": limits}}),
        json!({"type": "tuning", "mtu": 1400, "sysctl": {"net.core.somaxconn": "512"}}),
    ]
}

/// As [`usual`], with the reference plugins' own ways of making rules.
fn by_iptables(port: u16) -> Vec<Value> {
    let mut entries = usual(port);
    entries[0]["ipMasqBackend"] = json!("iptables");
    entries[1]["backend"] = json!("iptables");
    entries[2]["backend"] = json!("iptables");
    entries
}

/// In the reference plugins' version, whoever speaks.
fn list<'h>(pod: &Pod<'h>, side: Side, entries: &[Value]) -> List<'h> {
    List::of_version(pod, side, entries, "1.0.0")
}

/// A host where a pod of the reference plugins has been and another is.
fn used_by_reference(host: &Host) -> Pod<'_> {
    let other = host.pod("green");
    list(&other, Side::Reference, &usual(9090)).add();
    let gone = host.pod("gone");
    let list = list(&gone, Side::Reference, &usual(7070));
    list.del(&list.add());
    // What causeway's own attachments share, too.
    let ours = List::new(&gone, Side::Causeway, &usual(7070));
    ours.del(&ours.add());
    gone.destroy();
    other
}

#[test]
fn a_pod_of_the_reference_plugins_is_checked_and_detached() {
    require_reference();
    for side in [Side::Causeway, Side::Fused] {
        for entries in [usual(8080), by_iptables(8080)] {
            let host = Host::new();
            let other = used_by_reference(&host);
            let pod = host.pod("blue");
            let before = (host.snapshot(), pod.snapshot());
            let result = list(&pod, Side::Reference, &usual(8080)).add();
            let ours = list(&pod, side, &entries);
            ours.check(&result);
            ours.del(&result);
            nothing_stays(&before, &pod, &format!("{side:?} {entries:?}"));
            assert!(other.reaches("10.88.0.1"));
            // Once more, as runtimes do.
            ours.del(&result);
        }
    }
}

#[test]
fn a_pod_of_the_reference_plugins_that_is_gone_is_cleaned_up() {
    require_reference();
    for side in [Side::Causeway, Side::Fused] {
        let host = Host::new();
        used_by_reference(&host);
        let before = host.snapshot().without_shared_files();
        let pod = host.pod("blue");
        let result = list(&pod, Side::Reference, &usual(8080)).add();
        pod.destroy();
        list(&pod, side, &usual(8080)).del(&result);
        before.assert_same(&host.snapshot().without_shared_files(), &format!("{side:?}"));
    }
}

#[test]
fn a_pod_of_causeway_is_detached_by_the_reference_plugins() {
    require_reference();
    let host = Host::new();
    used_by_reference(&host);
    let pod = host.pod("blue");
    let before = (host.snapshot(), pod.snapshot());
    let ours = list(&pod, Side::Causeway, &by_iptables(8080));
    let result = ours.add();
    list(&pod, Side::Reference, &usual(8080)).del(&result);
    // All that is left are causeway's records; they go at its next GC.
    let mut config = fused(&by_iptables(8080));
    merge(&mut config, json!({"cniVersion": newest(), "name": "testnet"}));
    host.call(harness::call::Plugin::Causeway("causeway"), &config).gc(&[("id-green", "eth0")]);
    nothing_stays(&before, &pod, "detached by the reference plugins");
}

#[test]
fn both_kinds_of_pods_live_side_by_side() {
    require_reference();
    let host = Host::new();
    let other = used_by_reference(&host);
    let pod = host.pod("blue");
    let before = (host.snapshot(), pod.snapshot());
    for side in [Side::Causeway, Side::Fused] {
        let ours = list(&pod, side, &usual(8080));
        let result = ours.add();
        ours.check(&result);
        let own = harness::chained::address(&result, false);
        assert!(other.reaches(&own), "{side:?}");
        ours.del(&result);
    }
    // What they share is there now, and nothing else.
    assert_eq!(host.nft_elements(), []);
    assert_eq!(before.0.links(), host.snapshot().links());
}
