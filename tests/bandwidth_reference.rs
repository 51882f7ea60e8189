//! bandwidth beside the reference plugin, and moving pods from one to the other.
//!
//! Debian's 1.1.1 differs from 1.9.1 only in that it leaves the ifb device's transmit queue at the
//! kernel's 32 packets where 1.9.1 and causeway have it at 0; a tbf has a queue of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::{dual_stack, merge};
use harness::limited::{BANDWIDTH, BRIDGE, IFB, bandwidth, both, disciplines};
use harness::list::with;
use harness::refusal::CHECK_FAILED;
use harness::snapshot::nothing_stays;
use harness::{Host, Pod, require_reference};
use serde_json::{Value, json};

const REFERENCE: Plugin = Plugin::Reference("bandwidth");

fn network() -> Value {
    dual_stack(json!({"cniVersion": "1.0.0"}))
}

/// What one side makes of a configuration: the result's interfaces, disciplines, filters, the ifb
/// device.
fn play(config: &Value, plugin: Plugin) -> Value {
    let host = Host::new();
    let pod = host.pod("blue");
    let given = pod.call(BRIDGE, &network()).env("CNI_ARGS", "MAC=0a:58:0a:01:00:01").add();
    let veth = host.host_veth();
    let call = with(&pod.call(plugin, config), &given);
    let result = call.add();
    let mut interfaces = result["interfaces"].clone();
    let filters = host.run(&format!("tc filter show dev {veth} parent ffff:"));
    // The reference plugin has the same action twice, of which the second is never reached.
    let filters =
        filters.split("action order 2").next().unwrap().replace("ref 2 bind 2", "ref 1 bind 1");
    let mut device = Value::Null;
    if host.link_names().contains(&IFB.to_owned()) {
        device = host.json(&format!("ip -j -d link show {IFB}"))[0].clone();
        assert_eq!(interfaces[3]["mac"], device["address"]);
        interfaces[3]["mac"] = "".into();
        for volatile in ["address", "ifindex", "ifalias", "txqlen"] {
            device.as_object_mut().unwrap().remove(volatile);
        }
    }
    // The bridge's and the veth's hardware addresses are drawn at random.
    for interface in interfaces.as_array_mut().unwrap() {
        interface["mac"] = "".into();
    }
    let seen = json!({
        "interfaces": interfaces,
        "ips": result["ips"],
        "veth": disciplines(&host, &veth),
        "exact": host.run("tc -d qdisc show").lines().filter(|line| line.contains("tbf")).collect::<Vec<_>>(),
        "ifb": if device.is_null() { Vec::new() } else { disciplines(&host, IFB) },
        "device": device,
        "filters": filters.trim(),
    });
    // Debian's reference plugin does not survive a CHECK without limits.
    if plugin == BANDWIDTH || seen["veth"] != json!([]) {
        call.check(&result).silence();
    }
    call.del();
    assert!(!host.link_names().contains(&IFB.to_owned()));
    seen
}

#[test]
fn both_make_the_same_of_every_configuration() {
    require_reference();
    let runtime = json!({"bandwidth": {"ingressRate": 8_000_000, "ingressBurst": 800_000}});
    for more in [
        json!({"ingressRate": 8_000_000, "ingressBurst": 800_000}),
        json!({"egressRate": 8_000_000, "egressBurst": 800_000}),
        json!({"ingressRate": 8_000_001, "ingressBurst": 800_007,
               "egressRate": 15_999_999, "egressBurst": 1_234_567}),
        json!({"ingressRate": 1000, "ingressBurst": 100_000}),
        json!({"ingressRate": 20_000_000, "ingressBurst": i32::MAX}),
        json!({"ingressRate": 10_000_000_000u64, "ingressBurst": 100_000_000,
               "egressRate": 30_000_000_000u64, "egressBurst": 12_345_678}),
        json!({"ingressRate": 80_000_000_000u64, "ingressBurst": 800_000_000,
               "egressRate": 80_000_000_000u64, "egressBurst": 800_000_000}),
        json!({"runtimeConfig": runtime}),
        json!({"runtimeConfig": runtime, "egressRate": 8_000_000, "egressBurst": 800_000}),
        json!({"runtimeConfig": runtime, "egressRate": 0}),
        json!({}),
    ] {
        let config = bandwidth(more);
        let (was, is) = (play(&config, REFERENCE), play(&config, BANDWIDTH));
        assert_eq!(is, was, "{config}");
    }
}

/// A pod attached by causeway's bridge plugin, its result, and the calls of both sides.
fn prepared<'h>(pod: &Pod<'h>) -> (Value, harness::call::Call<'h>, harness::call::Call<'h>) {
    let given = pod.call(BRIDGE, &network()).add();
    let reference = with(&pod.call(REFERENCE, &both()), &given);
    let own = with(&pod.call(BANDWIDTH, &both()), &given);
    (given, reference, own)
}

#[test]
fn a_pod_attached_by_the_reference_is_checked_and_detached() {
    require_reference();
    let host = Host::new();
    let pod = host.pod("blue");
    let (given, reference, own) = prepared(&pod);
    own.add();
    own.del();
    let before = (host.snapshot(), pod.snapshot());
    let result = reference.add();
    own.check(&result).silence();
    host.run(&format!(
        "tc qdisc change dev {IFB} root handle 1: tbf rate 9mbit burst 100000 limit 125000"
    ));
    own.check(&result).fails(CHECK_FAILED, &[IFB, "9000000", "16000000"]);
    own.del();
    nothing_stays(&before, &pod, "after DEL");
    own.del();

    // The configuration no longer asks for anything: the device goes all the same.
    reference.add();
    with(&pod.call(BANDWIDTH, &bandwidth(json!({}))), &given).del();
    assert!(!host.link_names().contains(&IFB.to_owned()));
    pod.call(BRIDGE, &network()).del();

    // All of it by a list in one process.
    let (_, reference, _) = prepared(&pod);
    reference.add();
    let list = json!({"cniVersion": "1.0.0", "name": "testnet", "type": "causeway",
                      "plugins": [network(), both()]});
    pod.call(Plugin::Causeway("causeway"), &list).del();
    assert_eq!(host.link_names(), ["lo", "br0"]);
    assert_eq!(pod.link_names(), ["lo"]);
}

#[test]
fn a_burst_that_the_reference_cannot_count_is_checked_as_it_has_it() {
    require_reference();
    let host = Host::new();
    let pod = host.pod("blue");
    let (given, ..) = prepared(&pod);
    let config = bandwidth(json!({"ingressRate": 1_000_000, "ingressBurst": i32::MAX}));
    let reference = with(&pod.call(REFERENCE, &config), &given);
    let own = with(&pod.call(BANDWIDTH, &config), &given);
    own.check(&reference.add()).silence();
    own.del();
    let result = own.add();
    own.check(&result).silence();
}

#[test]
fn a_pod_that_is_gone_leaves_no_ifb_device_of_the_references() {
    require_reference();
    let host = Host::new();
    let pod = host.pod("blue");
    let (_, reference, own) = prepared(&pod);
    reference.add();
    pod.destroy();
    own.del();
    assert!(!host.link_names().contains(&IFB.to_owned()));
}

#[test]
fn a_pod_attached_by_causeway_is_checked_and_detached_by_the_reference() {
    require_reference();
    let host = Host::new();
    let pod = host.pod("blue");
    let (_, reference, own) = prepared(&pod);
    own.add();
    own.del();
    let before = (host.snapshot(), pod.snapshot());
    let result = own.add();
    reference.check(&result).silence();
    reference.del();
    assert!(!host.link_names().contains(&IFB.to_owned()));
    // What the reference leaves on the veth, and the record.
    own.del();
    nothing_stays(&before, &pod, "after DEL by both");
}

#[test]
fn either_can_stand_after_the_other_ones_bridge() {
    require_reference();
    let host = Host::new();
    let pod = host.pod("blue");
    for (first, second) in [(Plugin::Reference("bridge"), BANDWIDTH), (BRIDGE, REFERENCE)] {
        let bridge = pod.call(first, &network());
        let given = bridge.add();
        let call = with(&pod.call(second, &both()), &given);
        let result = call.add();
        harness::limited::assert_both(&host, &host.host_veth());
        call.check(&result).silence();
        call.del();
        bridge.del();
        assert_eq!(host.link_names(), ["lo", "br0"], "{first:?} {second:?}");
    }
    // Debian's bridge makes links without a transmit queue, which classes would take theirs from.
    let bridge = pod.call(Plugin::Reference("bridge"), &network());
    let given = bridge.add();
    let mut config = both();
    merge(&mut config, json!({"shapedSubnets": ["10.88.0.0/24"]}));
    let call = with(&pod.call(BANDWIDTH, &config), &given);
    let result = call.add();
    call.check(&result).silence();
    assert!(pod.reaches("10.88.0.1"));
    assert!(pod.reaches("fd00:88::1"));
}
