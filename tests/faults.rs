//! Every system call of ADD, CHECK and DEL is refused in turn: the error is well formed, a failed ADD
//! leaves nothing, and DEL removes whatever else there is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::chained::whole_list;
use harness::config::{bridge, everything, newest, ptp_dual_stack};
use harness::devices::{host_device, v4_ipam, wired};
use harness::faults::refuse_each;
use serde_json::{Value, json};

/// In a host where another attachment of the same network has made what they share.
fn beside_another(plugin: &'static str, config: &Value, other: &Value) {
    let host = Host::new();
    let (green, blue) = (host.pod("green"), host.pod("blue"));
    let plugin = Plugin::Causeway(plugin);
    green.call(plugin, other).add();
    refuse_each(&blue, &blue.call(plugin, config));
}

#[test]
fn of_a_bridge() {
    beside_another("bridge", &everything(), &everything());
}

/// The iptables programs of a bridge are children, which are refused nothing.
#[test]
fn of_a_bridge_with_iptables() {
    let config = bridge(json!({"ipMasq": true, "ipMasqBackend": "iptables"}));
    beside_another("bridge", &config, &config);
}

#[test]
fn of_a_list_as_one() {
    beside_another("causeway", &whole_list(8080), &whole_list(9090));
}

#[test]
fn of_ptp() {
    let config = ptp_dual_stack(json!({"ipMasq": true}));
    beside_another("ptp", &config, &config);
}

#[test]
fn of_tap() {
    let config =
        json!({"cniVersion": newest(), "name": "testnet", "type": "tap", "ipam": v4_ipam()});
    beside_another("tap", &config, &config);
}

#[test]
fn of_macvlan() {
    let host = Host::new();
    let blue = host.pod("blue");
    host.run("ip link add up0 type veth peer name up1");
    host.run("ip link set up0 up");
    host.run("ip link set up1 up");
    let config = json!({"cniVersion": newest(), "name": "testnet", "type": "macvlan",
                        "master": "up0", "ipam": v4_ipam()});
    refuse_each(&blue, &blue.call(Plugin::Causeway("macvlan"), &config));
}

#[test]
fn of_host_device() {
    let host = wired();
    let blue = host.pod("blue");
    let config = host_device(json!({"device": "dev0", "ipam": v4_ipam()}));
    refuse_each(&blue, &blue.call(Plugin::Causeway("host-device"), &config));
}
