//! The bridge plugin's VLANs beside the reference, and each taking over from the other, on a kernel
//! that has them. Debian's reference plugins know `vlan`; they always keep the default VLAN, and
//! know no trunks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config;
use harness::side_by_side::{Case, compare};
use harness::{Host, require_reference};
use serde_json::{Value, json};

/// The address of a bridge that is there before. Without one, a bridge wears the lowest of its ports',
/// which are drawn at random: with two ports, either's.
const MAC: &str = "02:00:00:00:00:b0";

/// A bridge configuration that means the same to both.
fn bridge(more: Value) -> Value {
    let mut config = config::bridge(json!({"cniVersion": "1.0.0", "preserveDefaultVlan": true}));
    config::merge(&mut config, more);
    config
}

fn dual_stack() -> Value {
    json!({"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]]})
}

#[test]
fn vlan() {
    compare(&Case::of(bridge(json!({"vlan": 100}))));
}

#[test]
fn vlan_on_a_bridge_that_is_there() {
    let case = Case::of(bridge(json!({"vlan": 100, "isGateway": true})));
    compare(&case.mac(MAC).prepare(|host| {
        let kind = "type bridge vlan_filtering 1 vlan_default_pvid 7";
        host.run(&format!("ip link add br0 address {MAC} {kind}"));
    }));
}

/// Neither turns it on.
#[test]
fn vlan_on_a_bridge_that_does_not_filter() {
    let case = Case::of(bridge(json!({"vlan": 100})));
    compare(&case.prepare(|host| {
        host.run("ip link add br0 type bridge");
    }));
}

#[test]
fn vlan_with_its_gateway() {
    let case = Case::of(bridge(json!({
        "vlan": 100, "isDefaultGateway": true, "mtu": 1400, "ipam": dual_stack()
    })));
    compare(&case.mac(MAC).prepare(|host| {
        host.run(&format!("ip link add br0 address {MAC} mtu 1300 type bridge vlan_filtering 1"));
    }));
}

/// What the reference attached, causeway checks, joins and removes, and the other way round.
#[test]
fn either_goes_on_from_the_other() {
    require_reference();
    let config = bridge(json!({"vlan": 100, "isDefaultGateway": true, "ipam": dual_stack()}));
    let (ours, theirs) = (Plugin::Causeway("bridge"), Plugin::Reference("bridge"));
    for (first, second) in [(theirs, ours), (ours, theirs)] {
        let when = format!("first {first:?}, then {second:?}");
        let host = Host::new();
        let (blue, green) = (host.pod("blue"), host.pod("green"));
        let empty = blue.snapshot();
        let result = blue.call(first, &config).add();
        let shared = host.link_names();
        // A bridge without an address has the lowest hardware address of its ports until it is set,
        // and the reference's CHECK wants the one that ADD reported.
        let bridge = host.json("ip -j link show br0");
        host.run(&format!("ip link set br0 address {}", bridge[0]["address"].as_str().unwrap()));
        let joined = green.call(second, &config).add();
        assert_eq!(host.link_names().len(), shared.len() + 1, "one more port: {when}");
        for address in ["10.88.0.1", "fd00:88::1", "10.88.0.2", "fd00:88::2"] {
            assert!(green.reaches(address), "{address}: {when}");
        }
        blue.call(second, &config).check(&result).silence();
        green.call(first, &config).check(&joined).silence();
        blue.call(second, &config).del();
        empty.assert_same(&blue.snapshot(), &when);
        assert!(green.reaches("10.88.0.1"), "{when}");
        green.call(first, &config).del();
        let left = host.link_names();
        assert_eq!(left.len(), 4, "lo, the bridge, and a pair for the VLAN: {left:?}, {when}");
        assert!(left.contains(&"br0.100".to_owned()), "{left:?}, {when}");
    }
}
