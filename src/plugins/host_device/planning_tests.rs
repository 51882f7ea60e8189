//! Plans of host-device from values.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsString;

use serde_json::{Value, json};

use super::planning::plan;
use super::settings::{Named, Settings};
use super::{Device, Facts};
use crate::engine::Resource;
use crate::ipam::Leased;
use crate::kernel::link::{HardwareAddress, Identity, Link};
use crate::plugins::Error;
use crate::protocol::request::Request;
use crate::protocol::result::{Dns, IpConfig, Route};
use crate::protocol::version::Version;

fn request(more: Value) -> Request {
    let mut config = json!({"cniVersion": "1.1.0", "name": "net", "type": "host-device"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let variables = |name: &str| -> Option<OsString> {
        let value = match name {
            "CNI_COMMAND" => "ADD",
            "CNI_CONTAINERID" => "c0ffee",
            "CNI_NETNS" => "/run/netns/blue",
            "CNI_IFNAME" => "eth0",
            _ => return None,
        };
        Some(value.into())
    };
    Request::read(&variables, &mut config.to_string().as_bytes()).unwrap()
}

fn settings(more: Value) -> Result<Settings, Error> {
    Settings::read(&request(more))
}

fn on_host(mtu: u32, identity: Identity) -> Facts {
    let link = Link {
        index: 7,
        name: "enp3s0".into(),
        alias: "uplink".into(),
        mtu,
        up: true,
        ..Link::default()
    };
    let address = HardwareAddress::parse("0a:58:0a:01:00:05").unwrap();
    Facts::OnHost { device: Box::new(Device { link, address, identity }), namespace: 4711 }
}

fn hardware() -> Identity {
    Identity { bus: "pci".into(), parent: "0000:03:00.0".into(), ..Identity::default() }
}

fn leased(addresses: &[&str]) -> Leased {
    let ip =
        |text: &&str| IpConfig { interface: None, address: text.parse().unwrap(), gateway: None };
    let to_all: Value = json!({"dst": "0.0.0.0/0"});
    Leased {
        source: "host-local".into(),
        ips: addresses.iter().map(ip).collect(),
        routes: vec![serde_json::from_value::<Route>(to_all).unwrap()],
        dns: Dns { domain: "leased.example".into(), ..Dns::default() },
    }
}

fn steps(facts: &Facts, lease: Option<&Leased>) -> (Vec<String>, Value) {
    let request = request(json!({"device": "enp3s0", "dns": {"domain": "example"}}));
    let plan = plan(&request, facts, lease).unwrap();
    let steps = plan.resources.iter().map(|one| one.kind().describe()).collect();
    (steps, plan.result.render(Version::CURRENT).unwrap())
}

#[test]
fn the_device_is_moved_and_brought_up() {
    let (steps, result) = steps(&on_host(1500, hardware()), None);
    assert_eq!(
        steps,
        [
            "move enp3s0 (0a:58:0a:01:00:05) from the host into the container as eth0",
            "bring eth0 up in the container"
        ]
    );
    let interface = json!({"name": "eth0", "mac": "0a:58:0a:01:00:05",
                           "sandbox": "/run/netns/blue", "pciID": "0000:03:00.0"});
    assert_eq!(result, json!({"cniVersion": "1.1.0", "interfaces": [interface]}));
}

#[test]
fn addresses_come_after_the_move() {
    let lease = leased(&["10.1.0.2/24", "fd00::2/64"]);
    let (steps, result) = steps(&on_host(1500, Identity::default()), Some(&lease));
    assert!(steps[0].starts_with("lease ") && steps[1].starts_with("move "), "{steps:?}");
    assert!(steps[2].contains("net.ipv6.conf.eth0.accept_dad=1"), "{steps:?}");
    assert!(steps[3].starts_with("add 10.1.0.2/24 and fd00::2/64 to eth0"), "{steps:?}");
    assert!(steps[4].starts_with("add route 0.0.0.0/0"), "{steps:?}");
    assert!(steps[5].contains("fd00::2 is at"), "{steps:?}");
    assert_eq!(result["ips"][1], json!({"address": "fd00::2/64", "interface": 0}));
    assert_eq!(result["dns"], json!({"domain": "example"}));
    assert!(result["interfaces"][0].get("pciID").is_none());
}

#[test]
fn a_device_in_user_space_is_left_alone() {
    let facts = Facts::UserSpace { pci: "0000:05:00.0".into() };
    let (steps_alone, result) = steps(&facts, None);
    assert!(steps_alone.is_empty());
    let interface = json!({"name": "eth0", "sandbox": "/run/netns/blue", "pciID": "0000:05:00.0"});
    assert_eq!(result["interfaces"], json!([interface]));
    let (steps, result) = steps(&facts, Some(&leased(&["10.1.0.2/24"])));
    assert_eq!(steps, ["lease 10.1.0.2/24 from host-local"]);
    assert_eq!(result["ips"][0]["interface"], 0);
}

#[test]
fn the_record_tells_which_device_it_is() {
    let plan =
        plan(&request(json!({"device": "enp3s0"})), &on_host(1500, hardware()), None).unwrap();
    let text = serde_json::to_string(&plan.resources).unwrap();
    let read: Vec<Resource> = serde_json::from_str(&text).unwrap();
    assert_eq!(read, plan.resources);
    let Resource::HostDevice(device) = &read[0] else { panic!("{text}") };
    assert_eq!((device.host.as_str(), device.alias.as_str()), ("enp3s0", "uplink"));
    assert_eq!((device.was_up, device.namespace), (true, Some(4711)));
    assert_eq!(device.identity, hardware());
}

#[test]
fn a_small_mtu_carries_no_ipv6() {
    let request = request(json!({"device": "enp3s0"}));
    let facts = on_host(1279, Identity::default());
    assert!(plan(&request, &facts, Some(&leased(&["10.1.0.2/24"]))).is_ok());
    let error = plan(&request, &facts, Some(&leased(&["fd00::2/64"]))).unwrap_err().to_string();
    assert!(error.contains("1279") && error.contains("enp3s0"), "{error}");
    assert!(plan(&request, &facts, Some(&leased(&[]))).is_err());
}

#[test]
fn keys_have_an_order() {
    let all = settings(json!({
        "pciBusID": "0000:03:00.0", "kernelpath": "/sys/devices/x", "hwaddr": "0a58.0a01.0005",
        "device": "enp3s0", "runtimeConfig": {"deviceID": "mlx5_core.sf.2"}
    }))
    .unwrap();
    let keys: Vec<_> = all.named.iter().map(Named::key).collect();
    assert_eq!(keys, ["device", "hwaddr", "kernelpath", "runtimeConfig.deviceID"]);
    let shared = settings(json!({"PCIBUSID": "0000:03:00.0"})).unwrap();
    assert_eq!(shared.named, [Named::Pci("0000:03:00.0".into())]);
}
