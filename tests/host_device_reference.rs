//! host-device beside the reference plugin, and devices that one moves in and the other out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::merge;
use harness::devices::{MAC, assert_home, dual_ipam, in_pod, is_up, on_host, v4_ipam, wired};
use harness::side_by_side::matches;
use harness::snapshot::{Snapshot, readable};
use harness::{Host, require_reference};
use serde_json::{Value, json};

const REFERENCE: Plugin = Plugin::Reference("host-device");
const OWN: Plugin = Plugin::Causeway("host-device");

/// Where causeway differs, and why.
const DIFFERS: &[(&str, &str)] = &[
    ("/sysctls/eth0/ipv4.arp_notify", "the neighbours hear at once where the addresses are"),
    ("/sysctls/eth0/ipv6.keep_addr_on_down", "later reference plugins set it too"),
];

fn config(more: Value) -> Value {
    let mut config = json!({"cniVersion": "1.0.0", "name": "testnet", "type": "host-device"});
    merge(&mut config, more);
    config
}

/// Debian's reference plugin leaves the alias; later ones take it away.
fn forget_alias(host: &Host, plugin: Plugin) {
    if plugin == REFERENCE {
        host.inside(|| {
            let mut command = std::process::Command::new("ip");
            command.args(["link", "set", "dev0", "alias", ""]);
            assert!(command.status().unwrap().success());
        });
    }
}

/// What one side makes of a configuration: the result, the pod, the device when it is back.
fn play(config: &Value, plugin: Plugin) -> (Value, Snapshot, Value) {
    let host = wired();
    let pod = host.pod("blue");
    let call = pod.call(plugin, config);
    let mut result = call.add();
    // Debian's prints an empty one, later ones do not.
    result.as_object_mut().unwrap().remove("dns");
    let seen = pod.snapshot();
    call.check(&result).silence();
    call.del();
    forget_alias(&host, plugin);
    assert_home(&host, "after DEL");
    let mut back = on_host(&host, "dev0");
    for key in ["ifindex", "link_index", "linkmode"] {
        back.as_object_mut().unwrap().remove(key);
    }
    (result, seen, back)
}

#[test]
fn both_make_the_same_of_every_configuration() {
    require_reference();
    let rows = [
        json!({"device": "dev0"}),
        json!({"hwaddr": MAC}),
        json!({"kernelpath": "/sys/devices/virtual"}),
        json!({"device": "dev0", "ipam": v4_ipam()}),
        json!({"device": "dev0", "ipam": dual_ipam(), "dns": {"nameservers": ["10.88.0.53"]}}),
        json!({"device": "dev0", "dns": {"nameservers": ["10.88.0.53"]}}),
    ];
    for row in rows {
        let was = play(&config(row.clone()), REFERENCE);
        let is = play(&config(row.clone()), OWN);
        assert_eq!(is.0, was.0, "{row}");
        let mut differences = was.1.diff(&is.1);
        differences.retain(|one| !DIFFERS.iter().any(|(path, _)| matches(path, &one.path)));
        assert!(differences.is_empty(), "{row}:\n{}", readable(&differences));
        assert_eq!(is.2, was.2, "{row}");
    }
}

#[test]
fn either_brings_back_what_the_other_has_moved() {
    require_reference();
    let host = wired();
    let pod = host.pod("blue");
    let config = config(json!({"device": "dev0", "ipam": v4_ipam()}));
    let (reference, own) = (pod.call(REFERENCE, &config), pod.call(OWN, &config));

    let result = reference.add();
    own.check(&result).silence();
    pod.run("ip link set eth0 down");
    own.check(&result).fails(harness::refusal::CHECK_FAILED, &["eth0", "down"]);
    for _ in 0..2 {
        own.del();
        assert_home(&host, "by causeway");
        assert!(host.snapshot().files("/networks/testnet/10.").is_empty());
    }

    let result = own.add();
    reference.check(&result).silence();
    reference.del();
    assert_eq!(on_host(&host, "dev0")["address"], MAC);
    // Its record is left; DEL finds the device at home, as it is.
    host.run("ip link set dev0 up");
    own.del();
    assert_home(&host, "by both");
    assert!(is_up(&on_host(&host, "dev0")));
    assert!(host.snapshot().files("id-blue").is_empty());

    // A fused list finds what the reference has moved, too.
    reference.add();
    let list = json!({"cniVersion": "1.0.0", "name": "testnet", "type": "causeway",
                      "plugins": [{"type": "host-device", "device": "dev0", "ipam": v4_ipam()}]});
    pod.call(Plugin::Causeway("causeway"), &list).del();
    assert_home(&host, "by a list");
}

#[test]
fn both_keep_a_device_whose_name_is_taken() {
    require_reference();
    for plugin in [REFERENCE, OWN] {
        let host = wired();
        let pod = host.pod("blue");
        let call = pod.call(plugin, &config(json!({"device": "dev0"})));
        call.add();
        host.run("ip link add dev0 type bridge");
        call.run("DEL").error();
        assert_eq!(in_pod(&pod, "eth0")["address"], MAC, "{plugin:?}");
        host.run("ip link del dev0");
    }
}
