//! sbr beside the reference plugin, and moving pods from one to the other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::{dual_stack, merge};
use harness::list::with;
use harness::side_by_side::matches;
use harness::snapshot::{Difference, nothing_stays, readable};
use harness::{Host, Pod, require_reference};
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");

/// Where what both make differs, and why.
const DIFFERS: &[(&str, &str)] = &[
    (
        "/routes/6 table * unicast fe80::/64 *",
        "the reference plugin moves the link-local subnet, too, if the kernel has made it by then",
    ),
    (
        "/routes/6 table 100 unicast *",
        "the reference plugin copies IPv6 routes without a source into the table of an IPv4 address, \
         in which nobody looks for them",
    ),
];

fn network(more: Value) -> Value {
    let mut config = dual_stack(json!({
        "cniVersion": "1.0.0",
        "ipam": {"type": "host-local", "routes": [{"dst": "198.51.100.0/24"}, {"dst": "2001:db8::/32"}],
                 "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]]}
    }));
    merge(&mut config, more);
    config
}

fn sbr(more: Value) -> Value {
    let mut config = json!({"cniVersion": "1.0.0", "name": "testnet", "type": "sbr"});
    merge(&mut config, more);
    config
}

/// A pod with the same hardware address on both sides, and its result.
fn attached(pod: &Pod<'_>, config: &Value) -> Value {
    pod.call(BRIDGE, config).env("CNI_ARGS", "MAC=0a:58:0a:01:00:01").add()
}

/// Routes and rules that one side makes.
fn play(network: &Value, config: &Value, plugin: Plugin) -> harness::snapshot::Snapshot {
    let host = Host::new();
    let pod = host.pod("blue");
    let given = attached(&pod, network);
    // So that the link-local subnet is there.
    pod.snapshot();
    let call = with(&pod.call(plugin, config), &given);
    let result = call.add();
    assert_eq!(result["ips"], given["ips"]);
    let seen = pod.snapshot();
    call.check(&result).silence();
    call.del();
    let rules = pod.run("ip rule") + &pod.run("ip -6 rule");
    assert!(!rules.contains("lookup 100"), "{plugin:?}: {rules}");
    seen
}

#[test]
fn both_make_the_same_of_every_configuration() {
    require_reference();
    let single = json!({"ipam": {"type": "host-local", "subnet": "10.88.0.0/24"}});
    let rows = [
        (network(json!({})), sbr(json!({})), DIFFERS),
        (network(json!({"isDefaultGateway": null, "isGateway": true})), sbr(json!({})), DIFFERS),
        (network(single), sbr(json!({})), DIFFERS),
    ];
    // Debian's reference plugin has none of the keys yet.
    for (network, config, differs) in &rows {
        let was = play(network, config, Plugin::Reference("sbr"));
        let is = play(network, config, Plugin::Causeway("sbr"));
        let excused =
            |one: &Difference| differs.iter().any(|(pattern, _)| matches(pattern, &one.path));
        let found: Vec<_> = was.diff(&is).into_iter().filter(|one| !excused(one)).collect();
        assert!(found.is_empty(), "{network} {config}:\n{}", readable(&found));
    }
}

#[test]
fn a_pod_attached_by_the_reference_is_checked_and_detached() {
    require_reference();
    let host = Host::new();
    let pod = host.pod("blue");
    let network = network(json!({}));
    attached(&pod, &network);
    pod.call(BRIDGE, &network).del();
    let before = (host.snapshot(), pod.snapshot());
    host.run("rm -r /var/lib/cni/networks");
    let given = attached(&pod, &network);
    let rules = pod.snapshot().get("/rules").clone();
    let reference = with(&pod.call(Plugin::Reference("sbr"), &sbr(json!({}))), &given);
    let own = with(&pod.call(Plugin::Causeway("sbr"), &sbr(json!({}))), &given);
    let result = reference.add();
    assert_ne!(pod.snapshot().get("/rules"), &rules);
    own.check(&result).silence();
    pod.run("ip rule del from 10.88.0.2");
    own.check(&result).fails(harness::refusal::CHECK_FAILED, &["10.88.0.2"]);
    own.del();
    own.del();
    assert_eq!(pod.snapshot().get("/rules"), &rules);
    // All of it by a list in one process.
    pod.call(BRIDGE, &network).del();
    let given = attached(&pod, &network);
    let reference = with(&reference, &given);
    reference.add();
    let list = json!({"cniVersion": "1.0.0", "name": "testnet", "type": "causeway",
                          "plugins": [network, sbr(json!({}))]});
    with(&pod.call(Plugin::Causeway("causeway"), &list), &given).del();
    nothing_stays(&before, &pod, "after DEL of a list");
}

#[test]
fn a_pod_attached_by_causeway_is_detached_by_the_reference() {
    require_reference();
    let host = Host::new();
    let pod = host.pod("blue");
    let network = network(json!({}));
    attached(&pod, &network);
    pod.call(BRIDGE, &network).del();
    host.run("rm -r /var/lib/cni/networks");
    let before = (host.snapshot(), pod.snapshot());
    let given = attached(&pod, &network);
    let own = with(&pod.call(Plugin::Causeway("sbr"), &sbr(json!({}))), &given);
    let reference = with(&pod.call(Plugin::Reference("sbr"), &sbr(json!({}))), &given);
    let result = own.add();
    reference.check(&result).silence();
    reference.del();
    assert_eq!(pod.snapshot().get("/rules"), before.1.get("/rules"));
    with(&pod.call(Plugin::Reference("bridge"), &network), &given).del();
    // Only the record is left, and the bridge plugin's.
    own.del();
    pod.call(BRIDGE, &network).del();
    nothing_stays(&before, &pod, "after DEL by both");
}
