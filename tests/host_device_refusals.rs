//! What host-device refuses, before anything is changed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::devices::{MAC, host_device, v4_ipam, wired};
use harness::refusal::{ALREADY_ATTACHED, BAD_CONFIG, KERNEL_REFUSED, refuse_late};
use serde_json::{Value, json};

const DEVICE: Plugin = Plugin::Causeway("host-device");

#[test]
fn bad_configurations_are_refused() {
    let host = wired();
    let pod = host.pod("blue");
    let rows: &[(Value, &[&str])] = &[
        (json!({}), &["device", "hwaddr", "kernelpath", "pciBusID", "missing"]),
        (json!({"device": ""}), &["device", "missing"]),
        (json!({"device": 7}), &["device"]),
        (json!({"device": "a/b"}), &["device", "a/b"]),
        (json!({"device": ".."}), &["device"]),
        (json!({"device": "dev7"}), &["device", "dev7", "no link of the host"]),
        (json!({"device": "a-long-name-that-is-nobody's-at-all"}), &["a-long-name"]),
        (json!({"hwaddr": "here"}), &["hwaddr", "here", "0a:58"]),
        (json!({"hwaddr": "00:00:00:00:00:00"}), &["hwaddr"]),
        (json!({"hwaddr": "0a:58:0a:01:00:06"}), &["hwaddr", "0a:58:0a:01:00:06", "no link"]),
        (json!({"kernelpath": "/sys/class/net"}), &["kernelpath", "/sys/devices/"]),
        (json!({"kernelpath": "/sys/devices/../class"}), &["kernelpath", ".."]),
        (json!({"kernelpath": "/sys/devices/nowhere"}), &["kernelpath", "/sys/devices/nowhere"]),
        (json!({"kernelpath": "/sys/devices/system"}), &["kernelpath", "no network interface"]),
        (json!({"pciBusID": "ffff:99:00.0"}), &["pciBusID", "ffff:99:00.0"]),
        (json!({"pciBusID": "../../net"}), &["pciBusID", "../../net"]),
        (json!({"runtimeConfig": {"deviceID": "ffff:99:00.0"}}), &["deviceID", "ffff:99:00.0"]),
        (
            json!({"device": "dev0", "runtimeConfig": {"deviceID": "mlx5_core.sf.99"}}),
            &["deviceID", "mlx5_core.sf.99"],
        ),
        (json!({"device": "dev0", "kernelpath": 1}), &["kernelpath"]),
        (json!({"device": "wire0", "hwaddr": MAC}), &["hwaddr", "dev0", "wire0", "keep one"]),
    ];
    for (keys, words) in rows {
        let call = pod.call(DEVICE, &host_device(keys.clone()));
        refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], words);
    }
}

#[test]
fn a_device_that_another_attachment_has_names_it() {
    let host = wired();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let rows = [json!({"device": "dev0"}), json!({"hwaddr": MAC})];
    for first in &rows {
        let call = blue.call(DEVICE, &host_device(first.clone()));
        call.add();
        for second in &rows {
            let config = host_device(second.clone());
            let words = &["testnet/id-blue/eth0", "DEL"];
            let other = green.call(DEVICE, &config);
            refuse_late(&green, &other, "ADD", &[ALREADY_ATTACHED], words);
            // Named twice for one pod.
            let twice = blue.call(DEVICE, &config).ifname("eth1");
            refuse_late(&blue, &twice, "ADD", &[ALREADY_ATTACHED], words);
            let list = json!({"cniVersion": "1.1.0", "name": "other", "type": "causeway",
            "plugins": [second.as_object().map(|keys| {
                let mut keys = keys.clone();
                keys.insert("type".into(), "host-device".into());
                keys
            })]});
            let fused = green.call(Plugin::Causeway("causeway"), &list);
            refuse_late(&green, &fused, "ADD", &[ALREADY_ATTACHED], &["plugins[0]", words[0]]);
        }
        call.del();
    }
}

#[test]
fn what_is_there_already_is_not_replaced() {
    let host = wired();
    let pod = host.pod("blue");
    let call = pod.call(DEVICE, &host_device(json!({"device": "dev0"})));
    pod.run("ip link add eth0 type bridge");
    refuse_late(&pod, &call, "ADD", &[ALREADY_ATTACHED], &["eth0", "CNI_IFNAME"]);
    pod.run("ip link del eth0");
    call.add();
    call.run("ADD").fails(ALREADY_ATTACHED, &["eth0"]);
    call.del();
    let twice = json!({"cniVersion": "1.1.0", "name": "testnet", "type": "causeway", "plugins": [
        {"type": "host-device", "device": "dev0"}, {"type": "host-device", "device": "dev0"}]});
    let call = pod.call(Plugin::Causeway("causeway"), &twice);
    refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], &["plugins[1]", "second"]);
}

#[test]
fn what_cannot_be_moved_stays() {
    let host = wired();
    let pod = host.pod("blue");
    for device in ["lo", "br0"] {
        if device == "br0" {
            host.run("ip link add br0 type bridge");
            host.run("ip link set br0 up");
        }
        let call = pod.call(DEVICE, &host_device(json!({"device": device})));
        let code = [KERNEL_REFUSED, BAD_CONFIG];
        refuse_late(&pod, &call, "ADD", &code, &[device]);
    }
}

#[test]
fn an_mtu_too_small_for_ipv6_is_refused() {
    let host = wired();
    let pod = host.pod("blue");
    host.run("ip link set dev0 mtu 1200");
    let ipam = json!({"type": "host-local", "ranges": [[{"subnet": "fd00:99::/64"}]]});
    let call = pod.call(DEVICE, &host_device(json!({"device": "dev0", "ipam": ipam})));
    refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], &["dev0", "1200", "1280"]);
    let call = pod.call(DEVICE, &host_device(json!({"device": "dev0", "ipam": v4_ipam()})));
    call.add();
    call.del();
}

#[test]
fn check_wants_this_attachments_result() {
    let host = wired();
    let pod = host.pod("blue");
    let call = pod.call(DEVICE, &host_device(json!({"device": "dev0"})));
    let result = call.add();
    call.run("CHECK").fails(BAD_CONFIG, &["prevResult"]);
    let mut other = result.clone();
    other["interfaces"][0]["sandbox"] = json!("/run/netns/green");
    call.check(&other).fails(BAD_CONFIG, &["/run/netns/green"]);
    other["interfaces"][0]["name"] = json!("eth7");
    call.check(&other).fails(BAD_CONFIG, &["eth0"]);
    call.check(&result).silence();
}
