//! A device to give away, and what tests of host-device ask about it.

use serde_json::{Value, json};

use super::config::{merge, newest};
use super::{Host, Pod};

/// The device's hardware address.
pub const MAC: &str = "0a:58:0a:01:00:05";

/// A host with a device `dev0`, up, whose wire ends at `wire0`: 10.88.0.1/24 and fd00:88::1/64.
pub fn wired() -> Host {
    let host = Host::new();
    plug(&host, "dev0", MAC);
    host
}

/// Gives a host the device `name` with a wire to `wire0`.
pub fn plug(host: &Host, name: &str, mac: &str) {
    host.run(&format!("ip link add {name} address {mac} type veth peer name wire0"));
    host.run(&format!("ip link set {name} up"));
    host.run("ip link set wire0 up");
    host.run("ip addr add 10.88.0.1/24 dev wire0");
    host.run("ip addr add fd00:88::1/64 dev wire0 nodad");
}

/// A configuration of host-device with these keys.
pub fn host_device(more: Value) -> Value {
    let mut config = json!({"cniVersion": newest(), "name": "testnet", "type": "host-device"});
    merge(&mut config, more);
    config
}

/// Of both families, with default routes.
pub fn dual_ipam() -> Value {
    json!({"type": "host-local",
           "ranges": [[{"subnet": "10.88.0.0/24", "rangeStart": "10.88.0.2", "gateway": "10.88.0.1"}],
                      [{"subnet": "fd00:88::/64", "rangeStart": "fd00:88::2", "gateway": "fd00:88::1"}]],
           "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]})
}

/// Of IPv4 alone, which nobody has to wait for.
pub fn v4_ipam() -> Value {
    json!({"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}],
           "ranges": [[{"subnet": "10.88.0.0/24", "rangeStart": "10.88.0.2", "gateway": "10.88.0.1"}]]})
}

/// A link of the host as ip tells it.
pub fn on_host(host: &Host, name: &str) -> Value {
    host.json(&format!("ip -j -d link show {name}"))[0].clone()
}

/// A link of the pod as ip tells it.
pub fn in_pod(pod: &Pod<'_>, name: &str) -> Value {
    pod.json(&format!("ip -j -d link show {name}"))[0].clone()
}

/// Whether the link has the flag UP.
pub fn is_up(link: &Value) -> bool {
    link["flags"].as_array().expect("flags").iter().any(|flag| flag == "UP")
}

/// Panics unless `dev0` is on the host as it was, but down, and nothing else has come there.
#[track_caller]
pub fn assert_home(host: &Host, when: &str) {
    let names = host.link_names();
    assert_eq!(sorted(names), ["dev0", "lo", "wire0"], "{when}");
    let link = on_host(host, "dev0");
    assert_eq!(link["address"], MAC, "{when}");
    assert!(link.get("ifalias").is_none(), "{when}: {link}");
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}
