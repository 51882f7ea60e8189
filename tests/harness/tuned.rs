//! What tests of tuning share: an attached pod, all that can be set, and looking at it.

use serde_json::{Value, json};

use super::Pod;
use super::call::{Call, Plugin};
use super::config::{dual_stack, merge};
use super::list::with;

pub const BRIDGE: Plugin = Plugin::Causeway("bridge");
pub const TUNING: Plugin = Plugin::Causeway("tuning");
pub const BACKUP: &str = "/run/cni/tuning/id-blue_eth0.json";
pub const RECORD: &str = "/var/lib/cni/causeway/testnet/id-blue:eth0:tuning";
pub const MAC: &str = "0a:58:0a:01:00:05";

/// A configuration of tuning with these keys.
pub fn tuning(more: Value) -> Value {
    let mut config = json!({"cniVersion": "1.1.0", "name": "testnet", "type": "tuning"});
    merge(&mut config, more);
    config
}

/// Everything that tuning can set.
pub fn everything() -> Value {
    tuning(json!({
        "mac": MAC, "mtu": 1400, "promisc": true, "allmulti": true, "txQLen": 77,
        "sysctl": {
            "net.core.somaxconn": "512",
            "net/ipv4/tcp_rmem": "4096 16384 65536",
            "net.ipv4.conf.IFNAME.arp_filter": "1",
            "net.ipv6.conf.eth0.hop_limit": "33"
        }
    }))
}

/// A pod that the bridge plugin has attached, and the call of tuning with its result.
pub fn attached<'h>(pod: &Pod<'h>, config: &Value) -> (Call<'h>, Value) {
    let result = pod.call(BRIDGE, &dual_stack(json!({"cniVersion": "1.1.0"}))).add();
    (with(&pod.call(TUNING, config), &result), result)
}

/// The interface as ip tells it.
pub fn link(pod: &Pod<'_>) -> Value {
    pod.json("ip -j -d link show eth0")[0].clone()
}

/// Whether the interface has this flag.
pub fn has_flag(link: &Value, flag: &str) -> bool {
    link["flags"].as_array().unwrap().iter().any(|one| one == flag)
}

/// A sysctl of the pod below net/, with one space between numbers.
pub fn sysctl(pod: &Pod<'_>, name: &str) -> String {
    // In one read: the kernel gives lists of numbers only to the first.
    let text = pod.run(&format!("cat /proc/sys/net/{name}"));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Sets a sysctl of the pod below net/.
pub fn set_sysctl(pod: &Pod<'_>, name: &str, value: &str) {
    pod.inside(|| std::fs::write(format!("/proc/sys/net/{name}"), value).unwrap());
}

/// The namespace-wide sysctls that these tests set, which no snapshot has.
pub fn wide(pod: &Pod<'_>) -> [String; 2] {
    [sysctl(pod, "core/somaxconn"), sysctl(pod, "ipv4/tcp_rmem")]
}

/// Panics unless all of [`everything`] is set.
#[track_caller]
pub fn assert_everything(pod: &Pod<'_>) {
    let link = link(pod);
    assert_eq!(link["address"], MAC);
    assert_eq!(link["mtu"], 1400);
    assert_eq!(link["txqlen"], 77);
    assert!(has_flag(&link, "PROMISC") && has_flag(&link, "ALLMULTI"), "{link}");
    assert_eq!(wide(pod), ["512", "4096 16384 65536"]);
    assert_eq!(sysctl(pod, "ipv4/conf/eth0/arp_filter"), "1");
    assert_eq!(sysctl(pod, "ipv6/conf/eth0/hop_limit"), "33");
}
