//! Every system call of ADD, CHECK and DEL is refused in turn: the error is well formed, a failed ADD
//! leaves nothing, and DEL removes whatever else there is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::chained::whole_list;
use harness::config::{bridge, everything, ptp_dual_stack};
use harness::devices::{host_device, v4_ipam, wired};
use harness::dhcp::{World, by_dhcp};
use harness::dhcp_server::Manner;
use harness::faults::refuse_each;
use harness::types::{self, after_a_bridge, of_type};
use serde_json::{Value, json};

/// In a host where another attachment of the same network has made what they share.
fn beside_another(plugin: &'static str, config: &Value, other: &Value) {
    let host = Host::new();
    let (green, blue) = (host.pod("green"), host.pod("blue"));
    let plugin = Plugin::Causeway(plugin);
    green.call(plugin, other).add();
    refuse_each(&blue, &blue.call(plugin, config));
}

/// A plugin of a list, after a bridge.
fn chained(plugin: &'static str, keys: Value) {
    let host = Host::new();
    let blue = host.pod("blue");
    let config = after_a_bridge(&blue, plugin, keys);
    refuse_each(&blue, &blue.call(Plugin::Causeway(plugin), &config));
}

fn alone(plugin: &'static str, config: &Value) {
    let host = Host::new();
    let blue = host.pod("blue");
    refuse_each(&blue, &blue.call(Plugin::Causeway(plugin), config));
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
    let config = of_type("tap", json!({"ipam": v4_ipam()}));
    beside_another("tap", &config, &config);
}

#[test]
fn of_macvlan() {
    let host = Host::new();
    let blue = host.pod("blue");
    host.run("ip link add up0 type veth peer name up1");
    host.run("ip link set up0 up");
    host.run("ip link set up1 up");
    let config = of_type("macvlan", json!({"master": "up0", "ipam": v4_ipam()}));
    refuse_each(&blue, &blue.call(Plugin::Causeway("macvlan"), &config));
}

#[test]
fn of_host_device() {
    let host = wired();
    let blue = host.pod("blue");
    let config = host_device(json!({"device": "dev0", "ipam": v4_ipam()}));
    refuse_each(&blue, &blue.call(Plugin::Causeway("host-device"), &config));
}

#[test]
fn of_host_local() {
    alone("host-local", &types::host_local());
}

#[test]
fn of_static_addresses() {
    alone("bridge", &types::bridge_with_static_addresses());
}

#[test]
fn of_loopback() {
    let host = Host::new();
    let blue = host.pod("blue");
    let config = of_type("loopback", json!({}));
    refuse_each(&blue, &blue.call(Plugin::Causeway("loopback"), &config).ifname("lo"));
}

/// The daemon is whole, and so must be what it keeps and what the server has lent.
#[test]
fn of_dhcp() {
    let world = World::new(Manner::default());
    let blue = world.host.pod("blue");
    refuse_each(&blue, &blue.call(Plugin::Causeway("bridge"), &by_dhcp(json!({}))));
    world.server.has_all_back();
}

#[test]
fn of_portmap() {
    chained("portmap", types::portmap("nftables"));
}

#[test]
fn of_portmap_with_iptables() {
    chained("portmap", types::portmap("iptables"));
}

#[test]
fn of_firewall() {
    chained("firewall", json!({"backend": "nftables"}));
}

#[test]
fn of_firewall_with_iptables() {
    chained("firewall", json!({"backend": "iptables"}));
}

#[test]
fn of_bandwidth() {
    chained("bandwidth", types::bandwidth());
}

#[test]
fn of_tuning() {
    chained("tuning", types::tuning());
}

#[test]
fn of_sbr() {
    chained("sbr", json!({}));
}
