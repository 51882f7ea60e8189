//! As injected_faults, for the types that need a kernel with more in it than usual ones have: steps of theirs fail
//! by order. Run in a guest by scripts/test, with every seventh step, since a guest is slow;
//! `CAUSEWAY_FAULTS=full` is all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::config::{everything, merge, newest, ptp_dual_stack};
use harness::injected::{Fault, Sweep};
use harness::uplink::{network, uplink};
use serde_json::{Value, json};

const ALL: [&str; 4] = ["ADD", "CHECK", "DEL", "GC"];

/// A type with an interface on the host's card, or by itself.
fn on_the_card(plugin: &'static str, more: Value) {
    let host = Host::new();
    let _other = uplink(&host);
    let blue = host.pod("blue");
    let plugin = Plugin::Causeway(plugin);
    Sweep::new(&blue, &blue.call(plugin, &network(plugin, more))).sampled().run(&ALL);
}

#[test]
fn of_dummy() {
    on_the_card("dummy", json!({}));
}

#[test]
fn of_vlan() {
    on_the_card("vlan", json!({"vlanId": 7}));
}

#[test]
fn of_ipvlan() {
    on_the_card("ipvlan", json!({"mode": "l3s"}));
}

#[test]
fn of_netkit() {
    let host = Host::new();
    let blue = host.pod("blue");
    let config = ptp_dual_stack(json!({"type": "netkit", "ipMasq": true}));
    Sweep::new(&blue, &blue.call(Plugin::Causeway("netkit"), &config)).sampled().run(&ALL);
}

#[test]
fn of_vrf() {
    let host = Host::new();
    let blue = host.pod("blue");
    // The kernel's rule for all VRFs of a namespace is there to stay.
    blue.run("ip link add warm type vrf table 77");
    blue.run("ip link del warm");
    let result = blue.call(Plugin::Causeway("bridge"), &everything()).add();
    let mut config = json!({"cniVersion": newest(), "name": "testnet", "type": "vrf"});
    merge(&mut config, json!({"vrfname": "red", "prevResult": result}));
    // The kernel says that a route is there which is to be put back; then nobody puts it back.
    let is_there = |verb: &str, fault: Fault| {
        verb != "ADD" && (fault.kind, fault.way) == ("netlink", "EEXIST")
    };
    let call = blue.call(Plugin::Causeway("vrf"), &config);
    Sweep::new(&blue, &call).but(is_there).sampled().run(&ALL);
}

#[test]
fn of_a_bridge_with_vlans() {
    let host = Host::new();
    let blue = host.pod("blue");
    let mut config = everything();
    merge(&mut config, json!({"vlan": 7, "vlanTrunk": [{"minID": 20, "maxID": 23}]}));
    Sweep::new(&blue, &blue.call(Plugin::Causeway("bridge"), &config)).sampled().run(&ALL);
}
