//! macvlan beside the reference plugin: links, flags, addresses, routes, sysctls, leases and results of
//! the same configuration in two fresh hosts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::config::merge;
use harness::side_by_side::{Case, compare};
use harness::uplink::{fixed, network, uplink};
use serde_json::{Value, json};

fn macvlan(more: Value) -> Case {
    let mut config = network(Plugin::Causeway("macvlan"), json!({"cniVersion": "1.0.0"}));
    merge(&mut config, more);
    Case::of(config).prepare(|host| drop(uplink(host)))
}

#[test]
fn minimal() {
    compare(&macvlan(json!({})));
}

#[test]
fn every_mode() {
    for mode in ["", "bridge", "private", "vepa", "passthru"] {
        compare(&macvlan(json!({"mode": mode, "mtu": 1400})));
    }
}

#[test]
fn both_families() {
    compare(&macvlan(json!({"ipam": fixed()})));
}

#[test]
fn without_addresses() {
    compare(&macvlan(json!({"ipam": {}})));
    compare(&macvlan(json!({"ipam": null, "mtu": 1300})));
}

#[test]
fn a_hardware_address() {
    const MAC: &str = "0a:58:0a:01:00:05";
    compare(&macvlan(json!({"mac": MAC})).mac(MAC));
    compare(
        &macvlan(json!({"mac": "0a:58:0a:01:00:06"}))
            .env("CNI_ARGS", "IgnoreUnknown=1;MAC=0a:58:0a:01:00:05")
            .mac(MAC),
    );
    let capability = json!({"runtimeConfig": {"mac": MAC}, "capabilities": {"mac": true}});
    compare(&macvlan(capability).mac(MAC));
    // In mode passthru it counts for nothing.
    compare(&macvlan(json!({"mode": "passthru", "mac": MAC})).mac(MAC));
}

#[test]
fn routes_and_name_resolution() {
    compare(&macvlan(json!({
        "dns": {"nameservers": ["10.88.0.254"], "domain": "pods.test", "search": ["test"]},
        "ipam": {"type": "host-local", "subnet": "10.88.0.0/24",
                 "routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.88.0.9"},
                            {"dst": "172.16.0.0/12"}]}
    })));
}

#[test]
fn the_master_of_the_default_route() {
    let case = macvlan(json!({"master": null}));
    compare(&case.prepare(|host: &Host| {
        drop(uplink(host));
        host.run("ip addr add 10.88.0.1/24 dev up0");
        host.run("ip route add default via 10.88.0.254");
    }));
}

#[test]
fn every_version_of_the_protocol() {
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0"] {
        compare(&macvlan(json!({"cniVersion": version})));
    }
}
