//! A configuration for each plugin type, for tests that do the same to all of them.

use serde_json::{Value, json};

use super::Pod;
use super::call::Plugin;
use super::chained::{limits, two_ports};
use super::config::{bridge, everything, merge, newest};

/// The keys of a type, and those that every configuration has.
pub fn of_type(plugin: &str, keys: Value) -> Value {
    let mut config = json!({"cniVersion": newest(), "name": "testnet", "type": plugin});
    merge(&mut config, keys);
    config
}

/// The same after a bridge, which is made.
pub fn after_a_bridge(pod: &Pod<'_>, plugin: &str, keys: Value) -> Value {
    let result = pod.call(Plugin::Causeway("bridge"), &everything()).add();
    let mut config = of_type(plugin, keys);
    merge(&mut config, json!({"prevResult": result}));
    config
}

pub fn host_local() -> Value {
    let ranges = json!([[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]]);
    of_type("host-local", json!({"ipam": {"type": "host-local", "ranges": ranges}}))
}

pub fn bridge_with_static_addresses() -> Value {
    let addresses = json!([{"address": "10.88.0.5/24", "gateway": "10.88.0.1"}]);
    bridge(json!({"ipam": {"type": "static", "addresses": addresses}}))
}

pub fn portmap(backend: &str) -> Value {
    json!({"backend": backend, "capabilities": {"portMappings": true},
           "runtimeConfig": {"portMappings": two_ports(8080)}})
}

pub fn bandwidth() -> Value {
    json!({"capabilities": {"bandwidth": true}, "runtimeConfig": {"bandwidth": limits()}})
}

pub fn tuning() -> Value {
    json!({"mac": "0a:58:0a:01:00:05", "mtu": 1300, "promisc": true,
           "sysctl": {"net.core.somaxconn": "512"}})
}
