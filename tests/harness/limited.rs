//! What tests of bandwidth share: an attached pod, limits, and looking at them.

use serde_json::{Value, json};

use super::call::{Call, Plugin};
use super::config::{dual_stack, merge};
use super::list::with;
use super::{Host, Pod};

pub const BRIDGE: Plugin = Plugin::Causeway("bridge");
pub const BANDWIDTH: Plugin = Plugin::Causeway("bandwidth");
/// The ifb device of pod blue's, on network testnet: `bwp` and the start of sha512(testnetid-blue).
pub const IFB: &str = "bwpa56c00c833e0";

/// A configuration of bandwidth with these keys.
pub fn bandwidth(more: Value) -> Value {
    let mut config = json!({"cniVersion": "1.0.0", "name": "testnet", "type": "bandwidth"});
    merge(&mut config, more);
    config
}

/// Limits in both directions: 8 Mbit/s to the pod, 16 Mbit/s from it.
pub fn both() -> Value {
    bandwidth(json!({"ingressRate": 8_000_000, "ingressBurst": 800_000,
                     "egressRate": 16_000_000, "egressBurst": 1_600_000}))
}

/// A pod that the bridge plugin has attached, and the call of bandwidth with its result.
pub fn attached<'h>(pod: &Pod<'h>, config: &Value) -> (Call<'h>, Value) {
    let result = pod.call(BRIDGE, &dual_stack(json!({"cniVersion": "1.0.0"}))).add();
    (with(&pod.call(BANDWIDTH, config), &result), result)
}

/// The queueing disciplines of a link that somebody has set.
pub fn disciplines(host: &Host, link: &str) -> Vec<Value> {
    let all = host.json(&format!("tc -j qdisc show dev {link}"));
    let set = |one: &&Value| one["handle"] != "0:";
    all.as_array().unwrap().iter().filter(set).cloned().collect()
}

/// The tbf at the root of a link.
#[track_caller]
pub fn tbf(host: &Host, link: &str) -> Value {
    let all = disciplines(host, link);
    let found = all.iter().find(|one| one["kind"] == "tbf" && one["root"] == true);
    found.unwrap_or_else(|| panic!("{link} has no tbf: {all:?}")).clone()
}

/// The filters of what a link receives, or of what it sends.
pub fn filters(host: &Host, link: &str, parent: &str) -> Vec<Value> {
    let all = host.json(&format!("tc -j filter show dev {link} parent {parent}"));
    let all = all.as_array().unwrap().iter();
    all.filter(|one| one["options"]["match"].is_object()).cloned().collect()
}

/// Panics unless both limits of [`both`] are in place.
#[track_caller]
pub fn assert_both(host: &Host, veth: &str) {
    let limit = |link: &str| tbf(host, link)["options"].clone();
    assert_eq!(limit(veth), json!({"rate": 1_000_000, "burst": 100_000, "lat": 25_000}));
    assert_eq!(limit(IFB), json!({"rate": 2_000_000, "burst": 200_000, "lat": 25_000}));
    let found = filters(host, veth, "ffff:");
    assert_eq!(found.len(), 1, "{found:?}");
    let action = &found[0]["options"]["actions"][0];
    assert_eq!(action["kind"], "mirred", "{found:?}");
    assert_eq!(action["mirred_action"], "redirect", "{found:?}");
    assert_eq!(action["to_dev"], IFB, "{found:?}");
    assert_eq!(found[0]["protocol"], "all");
    assert_eq!(found[0]["pref"], 1);
}
