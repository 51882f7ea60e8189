//! firewall with backend firewalld, over a real bus (dbus-daemon) to a firewalld that only remembers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod fake_firewalld;
mod harness;

use fake_firewalld::{ADDRESS, FakeBus};
use harness::call::{Call, Plugin};
use harness::chained::{List, Side, dual_entry};
use harness::refusal::{CHECK_FAILED, KERNEL_REFUSED};
use harness::snapshot::nothing_stays;
use harness::{Host, Pod, require_reference};
use serde_json::{Value, json};

fn list<'h>(pod: &Pod<'h>, side: Side, more: Value) -> List<'h> {
    let mut entry = json!({"type": "firewall"});
    harness::config::merge(&mut entry, more);
    let list = List::of_version(pod, side, &[dual_entry("br0", 88), entry], "1.0.0");
    list.map(|call| call.env("DBUS_SYSTEM_BUS_ADDRESS", ADDRESS))
}

fn call(method: &str, zone: &str, source: &str) -> [String; 3] {
    [method, zone, source].map(str::to_owned)
}

const SOURCES: [&str; 2] = ["10.88.0.2/32", "fd00:88::2/128"];

#[test]
fn addresses_are_in_the_zone_as_long_as_the_pod_is_there() {
    require_reference();
    for (more, zone) in [
        (json!({"backend": "firewalld"}), "trusted"),
        (json!({"backend": "firewalld", "firewalldZone": "public"}), "public"),
        // Where firewalld is running it is the backend.
        (json!({}), "trusted"),
    ] {
        for side in [Side::Reference, Side::Causeway, Side::Fused] {
            let host = Host::new();
            let bus = FakeBus::start(&host, true);
            let pod = host.pod("blue");
            let list = list(&pod, side, more.clone());
            let result = list.add();
            let each = |method| SOURCES.map(|source| call(method, zone, source));
            assert_eq!(bus.calls(), each("addSource"), "{side:?}");
            list.check(&result);
            assert_eq!(bus.calls(), each("querySource"), "{side:?}");
            list.del(&result);
            let mut calls = bus.calls();
            calls.sort();
            assert_eq!(calls, each("removeSource"), "{side:?}");
            assert_eq!(bus.sources(), []);
            list.del(&result);
            assert!(!host.run("nft list ruleset").contains("causeway_firewall"));
            assert!(!host.run("nft list ruleset").contains("CNI-FORWARD"));
        }
    }
}

#[test]
fn check_finds_an_address_that_is_not_in_its_zone() {
    let host = Host::new();
    let bus = FakeBus::start(&host, true);
    let pod = host.pod("blue");
    let list = list(&pod, Side::Causeway, json!({}));
    let result = list.add();
    bus.set(SOURCES[1], None);
    list.check_last(&result).fails(CHECK_FAILED, &["fd00:88::2", "trusted"]);
    bus.set(SOURCES[1], Some("public"));
    list.check_last(&result).fails(CHECK_FAILED, &["fd00:88::2", "trusted"]);
    bus.set(SOURCES[1], Some("trusted"));
    list.check(&result);
    drop(bus);
    list.check_last(&result).fails(CHECK_FAILED, &["firewalld"]);
    // What firewalld had in its running configuration went with it.
    list.del(&result);
}

#[test]
fn a_refusal_takes_everything_back() {
    for side in [Side::Causeway, Side::Fused] {
        let host = Host::new();
        let bus = FakeBus::start(&host, true);
        let pod = host.pod("blue");
        // The second address is in another zone, where an operator put it.
        bus.set(SOURCES[1], Some("public"));
        let refused = |more: Value, words: &[&str]| {
            let list = list(&pod, side, more);
            let first = list_without_firewall(&pod);
            first.del(&Value::Null);
            let before = (host.snapshot(), pod.snapshot());
            let (outcome, given) = list.try_add();
            outcome.fails(KERNEL_REFUSED, words);
            first.del(&given);
            if side == Side::Fused {
                nothing_stays(&before, &pod, "refused by firewalld");
            }
        };
        refused(json!({}), &["ZONE_CONFLICT", "fd00:88::", "trusted"]);
        refused(json!({"firewalldZone": "nowhere"}), &["INVALID_ZONE", "nowhere"]);
        let left: Vec<_> = bus.sources();
        assert_eq!(left, [(SOURCES[1].to_owned(), "public".to_owned())], "{side:?}");
    }
}

fn list_without_firewall<'h>(pod: &Pod<'h>) -> List<'h> {
    List::of_version(pod, Side::Causeway, &[dual_entry("br0", 88)], "1.0.0")
}

#[test]
fn what_the_reference_put_into_a_zone_is_taken_out() {
    require_reference();
    for (from, to) in [
        (Side::Reference, Side::Causeway),
        (Side::Reference, Side::Fused),
        (Side::Causeway, Side::Reference),
        (Side::Causeway, Side::Fused),
    ] {
        let host = Host::new();
        let bus = FakeBus::start(&host, true);
        let pod = host.pod("blue");
        let result = list(&pod, from, json!({})).add();
        assert_eq!(bus.sources().len(), 2);
        if to != Side::Reference {
            list(&pod, to, json!({})).check(&result);
        }
        list(&pod, to, json!({})).del(&result);
        assert_eq!(bus.sources(), [], "{from:?}, {to:?}");
    }
}

#[test]
fn a_bus_without_firewalld_leads_to_another_backend() {
    let host = Host::new();
    let _bus = FakeBus::start(&host, false);
    let pod = host.pod("blue");
    let other = list(&pod, Side::Causeway, json!({}));
    let result = other.add();
    other.check(&result);
    assert_eq!(host.nft_elements().len(), 2);
    other.del(&result);
    let (outcome, given) = list(&pod, Side::Causeway, json!({"backend": "firewalld"})).try_add();
    outcome.fails(KERNEL_REFUSED, &["firewalld", "not running", "backend"]);
    list_without_firewall(&pod).del(&given);
}

/// Policies are for bridges, of which firewalld knows nothing here.
#[test]
fn a_policy_is_kept_by_nftables_beside_firewalld() {
    let host = Host::new();
    let bus = FakeBus::start(&host, true);
    let pod = host.pod("blue");
    let list = list(&pod, Side::Causeway, json!({"ingressPolicy": "isolated"}));
    let result = list.add();
    list.check(&result);
    assert_eq!(bus.sources().len(), 2);
    assert!(host.nft_elements().iter().any(|(set, key)| set.ends_with("bridges") && key == "br0"));
    list.del(&result);
    assert_eq!(bus.sources(), []);
}

#[test]
fn gc_takes_stale_addresses_out() {
    let host = Host::new();
    let bus = FakeBus::start(&host, true);
    let pod = host.pod("blue");
    let config = json!({
        "cniVersion": "1.1.0", "name": "testnet", "type": "firewall",
        "prevResult": {"cniVersion": "1.1.0", "ips": [{"address": "10.88.0.2/24"}]}
    });
    let call: Call<'_> =
        pod.call(Plugin::Causeway("firewall"), &config).env("DBUS_SYSTEM_BUS_ADDRESS", ADDRESS);
    call.add();
    call.gc(&[("id-blue", "eth0")]);
    assert_eq!(bus.sources().len(), 1);
    call.gc(&[]);
    assert_eq!(bus.sources(), []);
}
