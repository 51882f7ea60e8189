//! tuning beside the reference plugin, and moving pods from one to the other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::{bridge, merge};
use harness::list::{List, with};
use harness::snapshot::{nothing_stays, readable};
use harness::{Host, Pod, require_reference};
use serde_json::{Value, json};

const BACKUP: &str = "/run/cni/tuning/id-blue_eth0.json";
const MAC: &str = "0a:58:0a:01:00:05";
/// The hardware address that the bridge plugin gives, so that both sides begin alike.
const FIRST: &str = "0a:58:0a:01:00:01";

/// What Debian's reference plugin knows; it has no txQLen yet.
fn everything() -> Value {
    json!({
        "mac": MAC, "mtu": 1400, "promisc": true, "allmulti": true,
        "sysctl": {
            "net.core.somaxconn": "512",
            "net/ipv4/ip_local_port_range": "10000\t20000",
            "net.ipv4.conf.IFNAME.arp_filter": "1",
            "net/ipv6/conf/eth0/hop_limit": "33"
        }
    })
}

fn tuning(more: Value) -> Value {
    let mut config = json!({"cniVersion": "1.0.0", "name": "testnet", "type": "tuning"});
    merge(&mut config, more);
    config
}

/// A pod attached by causeway's bridge plugin, and its result.
fn attached(pod: &Pod<'_>) -> Value {
    let config = bridge(json!({"cniVersion": "1.0.0", "isGateway": true}));
    pod.call(Plugin::Causeway("bridge"), &config).env("CNI_ARGS", &format!("MAC={FIRST}")).add()
}

fn wide(pod: &Pod<'_>) -> String {
    pod.run("cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_local_port_range")
}

/// What one side makes of a configuration: the result, the pod and the backup file.
fn play(
    config: &Value,
    plugin: Plugin,
    args: &str,
) -> (Value, harness::snapshot::Snapshot, String, String) {
    let host = Host::new();
    let pod = host.pod("blue");
    let given = attached(&pod);
    let call = with(&pod.call(plugin, config), &given).env("CNI_ARGS", args);
    let result = call.add();
    let has_backup = host.succeeds(&format!("test -e {BACKUP}"));
    let backup = if has_backup { host.read(BACKUP) } else { String::new() };
    let mode = if has_backup { host.run(&format!("stat -c %a {BACKUP}")) } else { String::new() };
    let seen = (result.clone(), pod.snapshot(), wide(&pod), backup + &mode);
    // Debian's reference plugin does not fill IFNAME in when it checks.
    if plugin == Plugin::Causeway("tuning") || !config.to_string().contains("IFNAME") {
        call.check(&result).silence();
    }
    call.del();
    seen
}

#[test]
fn both_make_the_same_of_every_configuration() {
    require_reference();
    let rows: &[(Value, &str)] = &[
        (everything(), ""),
        (json!({}), ""),
        (json!({"mtu": 1400}), ""),
        (json!({"mac": MAC}), ""),
        (json!({"promisc": true}), ""),
        (json!({"promisc": false}), ""),
        (json!({"allmulti": true}), ""),
        (json!({"allmulti": false}), ""),
        (json!({"sysctl": {"net.core.somaxconn": "512"}}), ""),
        (json!({"mac": "0a:58:0a:01:00:06"}), "IgnoreUnknown=1;MAC=0a:58:0a:01:00:05"),
        (json!({"runtimeConfig": {"mac": MAC}}), "MAC=0a:58:0a:01:00:06"),
        (
            json!({"mtu": 1300, "allmulti": true, "promisc": true, "sysctl": {"net.core.somaxconn": "7"},
                   "args": {"cni": {"mac": MAC, "mtu": 1350, "allmulti": false, "promisc": false,
                                    "sysctl": {"net.core.somaxconn": "9"}}}}),
            "MAC=0a:58:0a:01:00:06",
        ),
        (json!({"mac": MAC, "args": {"cni": {"mac": ""}}}), ""),
    ];
    for (more, args) in rows {
        let config = tuning(more.clone());
        let was = play(&config, Plugin::Reference("tuning"), args);
        let is = play(&config, Plugin::Causeway("tuning"), args);
        assert_eq!(is.0["interfaces"][2], was.0["interfaces"][2], "{config}");
        assert_eq!(is.0["ips"], was.0["ips"], "{config}");
        let differences = was.1.diff(&is.1);
        // The name of the host's end follows from the owner and so is the same on both sides.
        assert!(differences.is_empty(), "{config}:\n{}", readable(&differences));
        assert_eq!(is.2, was.2, "{config}");
        assert_eq!(is.3, was.3, "{config}");
    }
}

#[test]
fn a_pod_attached_by_the_reference_is_checked_and_detached() {
    require_reference();
    let host = Host::new();
    let pod = host.pod("blue");
    let given = attached(&pod);
    let before = (host.snapshot(), pod.snapshot());
    let config = tuning(everything());
    let reference = with(&pod.call(Plugin::Reference("tuning"), &config), &given);
    let own = with(&pod.call(Plugin::Causeway("tuning"), &config), &given);
    let result = reference.add();
    own.check(&result).silence();
    pod.run("ip link set eth0 mtu 1399");
    own.check(&result).fails(harness::refusal::CHECK_FAILED, &["1399"]);
    for _ in 0..2 {
        own.del();
        let after = (host.snapshot(), pod.snapshot());
        assert!(!host.succeeds(&format!("test -e {BACKUP}")));
        let links = before.1.get("/links").clone();
        assert_eq!(after.1.get("/links"), &links);
    }
    // A fused list finds it as well.
    reference.add();
    let bridge = bridge(json!({"isGateway": true}));
    let list = json!({"cniVersion": "1.0.0", "name": "testnet", "type": "causeway",
                      "plugins": [bridge, config]});
    pod.call(Plugin::Causeway("causeway"), &list).del();
    assert!(!host.succeeds(&format!("test -e {BACKUP}")));
    assert_eq!(pod.link_names(), ["lo"]);

    // With the namespace gone the file goes.
    let given = attached(&pod);
    with(&reference, &given).add();
    pod.destroy();
    own.del();
    assert!(!host.succeeds(&format!("test -e {BACKUP}")));
}

#[test]
fn a_pod_attached_by_causeway_is_checked_and_detached_by_the_reference() {
    require_reference();
    let host = Host::new();
    let pod = host.pod("blue");
    let given = attached(&pod);
    let mut without_sysctl = everything();
    merge(&mut without_sysctl, json!({"sysctl": null}));
    let config = tuning(without_sysctl);
    let reference = with(&pod.call(Plugin::Reference("tuning"), &config), &given);
    let own = with(&pod.call(Plugin::Causeway("tuning"), &config), &given);
    let before = (host.snapshot(), pod.snapshot());
    let result = own.add();
    reference.check(&result).silence();
    reference.del();
    before.1.assert_same(&pod.snapshot(), "in the pod");
    assert!(!host.succeeds(&format!("test -e {BACKUP}")));
    // Only the record is left; GC and DEL find nothing to put back, whatever was set since.
    pod.run("ip link set eth0 mtu 1450");
    own.del();
    assert_eq!(pod.json("ip -j link show eth0")[0]["mtu"], 1450);
    pod.run("ip link set eth0 mtu 1500");
    nothing_stays(&before, &pod, "after DEL by both");
}

#[test]
fn either_can_stand_after_the_other_ones_bridge() {
    require_reference();
    let host = Host::new();
    let pod = host.pod("blue");
    let network = bridge(json!({"cniVersion": "1.0.0", "isGateway": true}));
    let config = tuning(everything());
    for (first, second) in [
        (Plugin::Reference("bridge"), Plugin::Causeway("tuning")),
        (Plugin::Causeway("bridge"), Plugin::Reference("tuning")),
    ] {
        let list = List::of(&pod, &[(first, network.clone()), (second, config.clone())]);
        let result = list.add();
        assert_eq!(pod.mac("eth0"), MAC);
        assert!(pod.reaches("10.88.0.1"), "{first:?}");
        list.calls[0].check(&result).silence();
        if second == Plugin::Causeway("tuning") {
            list.calls[1].check(&result).silence();
        }
        list.del(&result);
        assert_eq!(pod.link_names(), ["lo"]);
    }
}
