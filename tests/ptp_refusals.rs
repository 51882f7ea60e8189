//! What ptp, netkit and static refuse, and what they say; nothing is left of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::{bridge, merge, newest, ptp};
use harness::refusal::{
    ALREADY_ATTACHED, BAD_CONFIG, DELEGATE, MISSING_FEATURE, NOT_DECODED, refuse, refuse_late,
};
use harness::{Host, testing_reference};
use serde_json::{Value, json};

const PTP: Plugin = Plugin::Causeway("ptp");
const NETKIT: Plugin = Plugin::Causeway("netkit");
const STATIC: Plugin = Plugin::Causeway("static");

fn fixed(addresses: Value) -> Value {
    json!({"type": "static", "addresses": addresses})
}

/// The kernel has netkit, or has not, as ip(8) finds.
fn has_netkit(host: &Host) -> bool {
    let can = host.succeeds("ip link add probe type netkit");
    if can {
        host.run("ip link del probe");
    }
    can
}

/// A wrong key is named before anything is done.
#[test]
fn wrong_keys() {
    let host = Host::new();
    let pod = host.pod("blue");
    let rows: &[(Value, &[&str])] = &[
        (json!({"ipam": null}), &["ipam", "ptp"]),
        (json!({"ipam": {}}), &["ipam", "ptp"]),
        (json!({"mtu": 67}), &["mtu", "67"]),
        (json!({"mtu": 65536}), &["mtu", "65536"]),
        (json!({"mtu": -1}), &["mtu", "-1"]),
        (json!({"mtu": "1500"}), &["mtu"]),
        (json!({"ipMasq": "yes"}), &["ipMasq"]),
        (json!({"ipMasqBackend": "pf"}), &["ipMasqBackend", "pf", "nftables"]),
        (json!({"linkType": "tap"}), &["linkType", "tap", "veth", "netkit"]),
        (json!({"ipam": {"type": "host-local"}}), &["ipam", "subnet"]),
        (json!({"ipam": fixed(json!([{"address": "10.1.0.5"}]))}), &["ipam.addresses[0].address"]),
        (json!({"ipam": fixed(json!([{"gateway": "10.1.0.1"}]))}), &["ipam.addresses[0].address"]),
        (json!({"ipam": fixed(json!("10.1.0.5/24"))}), &["ipam.addresses"]),
        (
            json!({"ipam": {"type": "static", "routes": [{"dst": "everywhere"}]}}),
            &["ipam.routes[0].dst", "everywhere"],
        ),
        (
            json!({"ipam": fixed(json!([])), "runtimeConfig": {"ips": ["10.1.0.5"]}}),
            &["runtimeConfig.ips[0]", "10.1.0.5"],
        ),
        (
            json!({"ipam": fixed(json!([])), "args": {"cni": {"ips": ["10.1.0.5"]}}}),
            &["args.cni.ips[0]", "10.1.0.5"],
        ),
    ];
    for (more, words) in rows {
        refuse(&pod, &pod.call(PTP, &ptp(more.clone())), "ADD", &[BAD_CONFIG, NOT_DECODED], words);
    }
    let by_args = pod.call(PTP, &ptp(json!({"ipam": fixed(json!([]))})));
    let by_args = by_args.env("CNI_ARGS", "IP=10.1.0.5");
    refuse(&pod, &by_args, "ADD", &[BAD_CONFIG], &["CNI_ARGS", "10.1.0.5"]);
}

/// What only the addresses tell is found before anything but the lease is made.
#[test]
fn addresses_that_do_not_do() {
    let host = Host::new();
    let pod = host.pod("blue");
    let ipv6 = json!({"type": "host-local", "subnet": "fd00:88::/64"});
    let of = |address: &str, gateway: Value| json!({"ipam": fixed(json!([{"address": address, "gateway": gateway}]))});
    let rows: &[(Value, &[&str])] = &[
        (json!({"mtu": 1279, "ipam": ipv6}), &["mtu", "1280", "fd00:88::2"]),
        (json!({"ipam": fixed(json!([]))}), &["ipam", "static", "no address"]),
        (of("10.88.0.5/24", Value::Null), &["ipam", "10.88.0.5/24", "gateway"]),
        (of("10.88.0.5/24", json!("10.88.0.5")), &["ipam", "10.88.0.5/24", "gateway"]),
        (of("10.88.0.5/24", json!("fd00::1")), &["ipam.addresses[0].gateway", "fd00::1"]),
    ];
    for (more, words) in rows {
        refuse_late(&pod, &pod.call(PTP, &ptp(more.clone())), "ADD", &[BAD_CONFIG], words);
    }
    // The smallest that does is taken.
    let call = pod.call(PTP, &ptp(json!({"mtu": 1280, "ipam": ipv6})));
    call.add();
    call.del();
    let nowhere = ptp(json!({"ipam": {"type": "no-such-ipam"}}));
    refuse(&pod, &pod.call(PTP, &nowhere), "ADD", &[DELEGATE], &["no-such-ipam"]);
    host.script_plugin("empty-ipam", "#!/bin/sh\necho '{\"cniVersion\": \"1.0.0\"}'\n");
    let empty = ptp(json!({"ipam": {"type": "empty-ipam"}}));
    refuse_late(&pod, &pod.call(PTP, &empty), "ADD", &[BAD_CONFIG], &["empty-ipam", "no address"]);
}

#[test]
fn an_interface_that_is_there() {
    let host = Host::new();
    let pod = host.pod("blue");
    pod.run("ip link add eth0 type veth peer other");
    refuse(&pod, &pod.call(PTP, &ptp(json!({}))), "ADD", &[ALREADY_ATTACHED], &["eth0"]);
}

#[test]
fn check_of_another_attachments_result() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(PTP, &ptp(json!({})));
    let result = call.add();
    call.run("CHECK").fails(BAD_CONFIG, &["prevResult"]);
    let mut other = result.clone();
    other["interfaces"][1]["sandbox"] = json!("/run/netns/other");
    call.check(&other).fails(BAD_CONFIG, &["/run/netns/other", "/run/netns/blue"]);
    other["interfaces"].as_array_mut().unwrap().pop();
    call.check(&other).fails(BAD_CONFIG, &["eth0"]);
    other = result.clone();
    other["interfaces"].as_array_mut().unwrap().remove(0);
    other["ips"][0]["interface"] = json!(0);
    call.check(&other).fails(BAD_CONFIG, &["host"]);
    call.check(&result).silence();
}

/// DEL does its work whatever has become of the configuration's address source.
#[test]
fn del_with_a_configuration_that_add_refuses() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = ptp(json!({"ipam": fixed(json!([
        {"address": "10.88.0.5/24", "gateway": "10.88.0.1"}]))}));
    for broken in [fixed(json!([{"address": "nonsense"}])), Value::Null] {
        pod.call(PTP, &config).add();
        pod.call(PTP, &ptp(json!({"ipam": broken}))).del();
        assert_eq!(pod.link_names(), ["lo"]);
        assert_eq!(host.link_names(), ["lo"]);
    }
}

/// A kernel without netkit is found out before anything is made, and told which has it.
#[test]
fn netkit_on_a_kernel_without() {
    let host = Host::new();
    if has_netkit(&host) {
        // What it does there is for tests/guest_netkit.rs.
        let config = ptp(json!({"type": "netkit"}));
        host.call(NETKIT, &config).run("STATUS").silence();
        return;
    }
    let pod = host.pod("blue");
    let release = host.read("/proc/sys/kernel/osrelease");
    let words = ["netkit", "6.7", release.trim()];
    for (plugin, more) in [
        (NETKIT, json!({"type": "netkit"})),
        (NETKIT, json!({"type": "netkit", "mode": "l2"})),
        (PTP, json!({"linkType": "netkit"})),
    ] {
        let config = ptp(more);
        let call = pod.call(plugin, &config);
        let error = call.run("ADD").fails(MISSING_FEATURE, &words);
        assert!(error.details.contains("kernel"), "{error:?}");
        refuse(&pod, &call, "ADD", &[MISSING_FEATURE], &words);
        host.call(plugin, &config).run("STATUS").fails(50, &words);
        // The DEL that follows finds nothing, and that is well.
        call.del();
    }
}

#[test]
fn wrong_keys_of_netkit() {
    let host = Host::new();
    let pod = host.pod("blue");
    for (plugin, more, words) in [
        (NETKIT, json!({"type": "netkit", "mode": "l4"}), ["mode", "l4"]),
        (NETKIT, json!({"type": "netkit", "policy": "drop"}), ["policy", "blackhole"]),
        (NETKIT, json!({"type": "netkit", "peerPolicy": "x"}), ["peerPolicy", "blackhole"]),
        (NETKIT, json!({"type": "netkit", "linkType": "veth"}), ["linkType", "veth"]),
        (NETKIT, json!({"type": "netkit", "macspoofchk": true}), ["macspoofchk", "addrspoofchk"]),
        (NETKIT, json!({"type": "netkit", "ipam": null}), ["ipam", "netkit"]),
        (PTP, json!({"linkType": "netkit", "mode": "L3"}), ["mode", "L3"]),
    ] {
        refuse(&pod, &pod.call(plugin, &ptp(more)), "ADD", &[BAD_CONFIG], &words);
    }
    // To a veth pair they mean nothing.
    let call = pod.call(PTP, &ptp(json!({"mode": "l4", "policy": 7})));
    call.add();
    call.del();
}

/// static by its own name, as another program's interface plugin calls it.
#[test]
fn static_by_itself() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    let config = |ipam: Value| json!({"cniVersion": newest(), "name": "testnet", "type": "macvlan", "ipam": ipam});
    let own = fixed(json!([{"address": "10.88.0.5/24", "gateway": "10.88.0.1"}]));
    let before = host.snapshot();
    let call = pod.call(STATIC, &config(own.clone()));
    let result = call.add();
    assert_eq!(result["ips"], json!([{"address": "10.88.0.5/24", "gateway": "10.88.0.1"}]));
    // Nothing is leased, so nothing is kept, and another may have the same.
    before.without_shared_files().assert_same(&host.snapshot().without_shared_files(), "after ADD");
    assert_eq!(call.add(), result);
    call.check(&result).silence();
    let mut other = result.clone();
    other["ips"][0]["gateway"] = json!("10.88.0.2");
    call.check(&other).fails(104, &["10.88.0.5", "10.88.0.2", "10.88.0.1"]);
    call.run("CHECK").fails(BAD_CONFIG, &["prevResult"]);
    host.call(STATIC, &config(own)).run("STATUS").silence();
    call.del();
    call.del();
    for (ipam, words) in [
        (Value::Null, ["ipam", "static"]),
        (fixed(json!([{"address": "10.88.0.5"}])), ["ipam.addresses[0].address", "10.88.0.5"]),
    ] {
        refuse(&pod, &pod.call(STATIC, &config(ipam.clone())), "ADD", &[BAD_CONFIG], &words);
        host.call(STATIC, &config(ipam)).run("STATUS").fails(BAD_CONFIG, &words);
    }
}

/// static below bridge, in the same process: a program of that name is not even needed.
#[test]
fn static_below_bridge() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.run("rm /run/cni-test/causeway/static");
    let mut config = bridge(json!({"isDefaultGateway": true}));
    merge(&mut config, json!({"ipam": fixed(json!([{"address": "10.88.0.5/24"}]))}));
    let call = pod.call(Plugin::Causeway("bridge"), &config);
    if testing_reference() {
        return;
    }
    let before = (host.snapshot(), pod.snapshot());
    let result = call.add();
    assert_eq!(result["ips"][0]["address"], "10.88.0.5/24");
    assert_eq!(result["ips"][0]["gateway"], "10.88.0.1");
    call.check(&result).silence();
    assert!(pod.reaches("10.88.0.1"));
    call.del();
    host.run("ip link del br0");
    before.1.assert_same(&pod.snapshot(), "after DEL, in the pod");
    let left = host.snapshot();
    assert!(left.files("id-blue").is_empty(), "{:?}", left.files("id-blue"));
}
