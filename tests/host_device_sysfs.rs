//! host-device by PCI address and by what a device plugin allotted, on a host whose /sys/bus is the
//! test's: veth ends stand where sysfs would show hardware.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::os::unix::fs::symlink;

use harness::Host;
use harness::call::Plugin;
use harness::devices::{MAC, assert_home, host_device, in_pod, v4_ipam, wired};
use harness::refusal::{ALREADY_ATTACHED, BAD_CONFIG, refuse_late};
use nix::mount::{MsFlags, mount};
use serde_json::json;

const DEVICE: Plugin = Plugin::Causeway("host-device");
const NIC: &str = "0000:03:00.0";
const VIRTIO: &str = "0000:04:00.0";
const DPDK: &str = "0000:05:00.0";
const EMPTY: &str = "0000:06:00.0";
const FUNCTION: &str = "mlx5_core.sf.2";

/// A host on whose buses `dev0` is behind the NIC, the virtio device and the auxiliary device.
fn with_buses() -> Host {
    let host = wired();
    host.inside(|| {
        let none: Option<&str> = None;
        mount(Some("tmpfs"), "/sys/bus", Some("tmpfs"), MsFlags::empty(), none).unwrap();
        let pci = |path: &str| format!("/sys/bus/pci/devices/{path}");
        for folder in [
            pci(&format!("{NIC}/net/dev0")),
            pci(&format!("{VIRTIO}/virtio1/net/dev0")),
            pci(DPDK),
            pci(&format!("{EMPTY}/net")),
            format!("/sys/bus/auxiliary/devices/{FUNCTION}/net/dev0"),
            "/sys/bus/pci/drivers/vfio-pci".to_owned(),
            "/sys/bus/pci/drivers/ixgbe".to_owned(),
        ] {
            fs::create_dir_all(folder).unwrap();
        }
        for (device, driver) in
            [(NIC, "ixgbe"), (VIRTIO, "ixgbe"), (DPDK, "vfio-pci"), (EMPTY, "ixgbe")]
        {
            symlink(format!("../../drivers/{driver}"), pci(&format!("{device}/driver"))).unwrap();
        }
    });
    host
}

#[test]
fn buses_lead_to_the_device() {
    let host = with_buses();
    let pod = host.pod("blue");
    for (keys, pci) in [
        (json!({"pciBusID": NIC}), NIC),
        (json!({"pciBusID": VIRTIO}), VIRTIO),
        (json!({"runtimeConfig": {"deviceID": NIC}}), NIC),
        (json!({"runtimeConfig": {"deviceID": FUNCTION}}), ""),
        // What is allotted wins over what all share.
        (json!({"runtimeConfig": {"deviceID": NIC}, "pciBusID": DPDK}), NIC),
        (json!({"runtimeConfig": {"deviceID": FUNCTION}, "pciBusID": DPDK}), ""),
        (json!({"device": "dev0", "pciBusID": NIC}), NIC),
    ] {
        let call = pod.call(DEVICE, &host_device(keys.clone()));
        let result = call.add();
        let told = result["interfaces"][0]["pciID"].as_str().unwrap_or_default();
        assert_eq!((told, in_pod(&pod, "eth0")["address"].as_str()), (pci, Some(MAC)), "{keys}");
        call.check(&result).silence();
        call.del();
        assert_home(&host, &keys.to_string());
    }
}

#[test]
fn a_device_of_a_program_in_user_space_is_left_alone() {
    let host = with_buses();
    let pod = host.pod("blue");
    for keys in [json!({"pciBusID": DPDK}), json!({"runtimeConfig": {"deviceID": DPDK}})] {
        let before = (host.snapshot().without("/files"), pod.snapshot());
        let call = pod.call(DEVICE, &host_device(keys.clone()));
        let result = call.add();
        let interface = json!({"name": "eth0", "sandbox": "/run/netns/blue", "pciID": DPDK});
        assert_eq!(result["interfaces"], json!([interface]));
        call.check(&result).silence();
        call.del();
        let mut config = host_device(keys.clone());
        config["ipam"] = v4_ipam();
        let call = pod.call(DEVICE, &config);
        let result = call.add();
        assert_eq!(result["ips"][0]["interface"], 0);
        assert_eq!(host.snapshot().files("/networks/testnet/10.").len(), 1);
        before.0.assert_same(&host.snapshot().without("/files"), "on the host");
        before.1.assert_same(&pod.snapshot(), "in the pod");
        call.check(&result).silence();
        call.del();
        call.del();
        assert!(host.snapshot().files("/networks/testnet/10.").is_empty());
        assert!(host.snapshot().files("id-blue").is_empty());
        assert_home(&host, "after DEL");
    }
}

#[test]
fn what_leads_nowhere_is_refused() {
    let host = with_buses();
    let (pod, other) = (host.pod("blue"), host.pod("green"));
    host.run(&format!("mkdir -p /sys/bus/pci/devices/0000:07:00.0 /sys/bus/pci/devices/{EMPTY}"));
    for (keys, words) in [
        (json!({"pciBusID": EMPTY}), vec!["pciBusID", EMPTY, "no network interface"]),
        (json!({"pciBusID": "0000:07:00.0"}), vec!["pciBusID", "0000:07:00.0", "no driver"]),
        (json!({"pciBusID": "0000:99:00.0"}), vec!["pciBusID", "0000:99:00.0"]),
        (json!({"device": "wire0", "pciBusID": NIC}), vec!["pciBusID", "wire0", "dev0"]),
        (json!({"runtimeConfig": {"deviceID": "sf.9"}}), vec!["deviceID", "sf.9", "auxiliary"]),
    ] {
        let call = pod.call(DEVICE, &host_device(keys));
        refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], &words);
    }
    // A link that sysfs tells of and that somebody has.
    let call = pod.call(DEVICE, &host_device(json!({"device": "dev0"})));
    call.add();
    let words = ["testnet/id-blue/eth0"];
    let late = other.call(DEVICE, &host_device(json!({"pciBusID": NIC, "device": "dev0"})));
    refuse_late(&other, &late, "ADD", &[ALREADY_ATTACHED], &words);
    call.del();
}
