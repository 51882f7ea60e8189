//! Plans of ptp and netkit from values.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsString;

use serde_json::{Value, json};

use super::planning::plan;
use super::settings::Settings;
use super::{Facts, PodEnd};
use crate::engine::Owner;
use crate::ipam::Leased;
use crate::plugins::{Error, Plan};
use crate::protocol::request::Request;
use crate::protocol::result::{Dns, IpConfig, Route};

const HOST: &str = "veth01234567";

fn request(more: Value) -> Request {
    let mut config = json!({"cniVersion": "1.1.0", "name": "net", "type": "ptp",
                            "ipam": {"type": "host-local"}});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
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

fn lease(ips: &[(&str, Option<&str>)], routes: Value) -> Leased {
    let ip = |(address, gateway): &(&str, Option<&str>)| IpConfig {
        interface: None,
        address: address.parse().unwrap(),
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
    };
    let routes: Vec<Route> = serde_json::from_value(routes).unwrap();
    let dns = Dns { domain: "leased.test".into(), ..Dns::default() };
    Leased { source: "host-local".into(), ips: ips.iter().map(ip).collect(), routes, dns }
}

fn of(more: Value, own_type: &str, facts: &Facts, lease: &Leased) -> Result<Plan, Error> {
    let request = request(more);
    let settings = Settings::read(&request, own_type)?;
    let owner =
        Owner { network: "net".into(), container_id: "c0ffee".into(), ifname: "eth0".into() };
    plan(&settings, &request, &owner, facts, lease)
}

fn fresh() -> Facts {
    Facts { host_link: HOST.into(), attached: None }
}

fn steps(plan: &Plan) -> Vec<String> {
    plan.resources.iter().map(|resource| resource.kind().describe()).collect()
}

fn mac() -> String {
    let owner =
        Owner { network: "net".into(), container_id: "c0ffee".into(), ifname: "eth0".into() };
    owner.mac().to_string()
}

#[test]
fn ipv4() {
    let lease = lease(
        &[("10.1.0.5/24", Some("10.1.0.1"))],
        json!([{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.9"}]),
    );
    let plan = of(json!({"ipMasq": true, "mtu": 1400}), "ptp", &fresh(), &lease).unwrap();
    let mac = mac();
    assert_eq!(
        steps(&plan),
        [
            "lease 10.1.0.5/24 from host-local".to_owned(),
            "let the host forward IPv4".into(),
            format!("make veth pair {HOST} on the host, eth0 in the container ({mac}, MTU 1400)"),
            format!("give {HOST} on the host 10.1.0.1, and route 10.1.0.5 to it"),
            "add 10.1.0.5/24 to eth0 in the container and bring it up".into(),
            "add route 10.1.0.1/32 through eth0 with source 10.1.0.5 in the container".into(),
            "add route 0.0.0.0/0 via 10.1.0.1 through eth0 in the container".into(),
            "add route 10.9.0.0/16 via 10.1.0.9 through eth0 in the container".into(),
            "replace the kernel's route 10.1.0.0/24 through eth0 by one via 10.1.0.1 with source \
             10.1.0.5 in the container"
                .into(),
            "masquerade what 10.1.0.5/24 sends to outside its subnet (nftables)".into(),
        ]
    );
    let names: Vec<_> = plan.result.interfaces.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, [HOST, "eth0"]);
    assert_eq!(plan.result.ips[0].interface, Some(1));
    assert_eq!(plan.result.routes, lease.routes);
    assert_eq!(plan.result.dns.domain, "leased.test");
}

#[test]
fn ipv6_waits_for_nobody() {
    let lease = lease(&[("fd00::5/64", Some("fd00::1"))], json!([]));
    let steps = steps(&of(json!({}), "ptp", &fresh(), &lease).unwrap());
    let host = format!("set net.ipv6.conf.{HOST}.accept_dad=0 on the host");
    let pair = steps.iter().position(|step| step.starts_with("make veth")).unwrap();
    assert_eq!(steps[pair + 1], host);
    assert!(steps.iter().any(|step| step.contains("net.ipv6.conf.eth0.accept_dad=0")), "{steps:?}");
    assert!(steps.contains(&"let the host forward IPv6".to_owned()), "{steps:?}");
}

#[test]
fn gateways_and_subnets_are_counted_once() {
    let lease = lease(
        &[
            ("10.1.0.5/24", Some("10.1.0.1")),
            ("10.1.0.6/24", Some("10.1.0.1")),
            ("10.2.0.5/32", Some("10.1.0.1")),
        ],
        json!([]),
    );
    let steps = steps(&of(json!({}), "ptp", &fresh(), &lease).unwrap());
    let end = format!(
        "give {HOST} on the host 10.1.0.1, and route 10.1.0.5 and 10.1.0.6 and 10.2.0.5 to it"
    );
    assert!(steps.contains(&end), "{steps:?}");
    let count = |text: &str| steps.iter().filter(|step| step.contains(text)).count();
    assert_eq!(count("add route 10.1.0.1/32"), 1, "{steps:?}");
    assert_eq!(count("replace the kernel's route"), 1, "{steps:?}");
}

#[test]
fn a_netkit_pair_has_hardware_addresses_in_mode_l2_alone() {
    let lease = lease(&[("10.1.0.5/24", Some("10.1.0.1"))], json!([]));
    let mac = mac();
    for (more, own_type, text, has_mac) in [
        (json!({}), "netkit", "(L3)".to_owned(), false),
        (json!({"linkType": "netkit"}), "ptp", "(L3)".into(), false),
        (json!({"mode": "l2", "mtu": 1400}), "netkit", format!("(L2, {mac}, MTU 1400)"), true),
        (
            json!({"policy": "blackhole"}),
            "netkit",
            "(L3, the host's end a blackhole without a BPF program)".into(),
            false,
        ),
    ] {
        let plan = of(more, own_type, &fresh(), &lease).unwrap();
        let pair = format!("make netkit pair {HOST} on the host, eth0 in the container {text}");
        assert!(steps(&plan).contains(&pair), "{:?}", steps(&plan));
        assert_eq!(!plan.result.interfaces[1].mac.is_empty(), has_mac);
    }
}

#[test]
fn what_cannot_be_is_named() {
    for (more, ips, words) in [
        (json!({}), vec![], ["ipam", "no address"]),
        (json!({}), vec![("10.1.0.5/24", None)], ["ipam", "10.1.0.5/24"]),
        (json!({}), vec![("10.1.0.5/24", Some("fd00::1"))], ["ipam", "fd00::1"]),
        (json!({}), vec![("10.1.0.5/24", Some("10.1.0.5"))], ["ipam", "itself"]),
        (json!({"mtu": 1279}), vec![("fd00::5/64", Some("fd00::1"))], ["mtu", "1280"]),
    ] {
        let error = of(more, "ptp", &fresh(), &lease(&ips, json!([]))).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{error}");
        }
    }
    let small = [("10.1.0.5/24", Some("10.1.0.1"))];
    assert!(of(json!({"mtu": 1279}), "ptp", &fresh(), &lease(&small, json!([]))).is_ok());
}

/// CHECK goes by what prevResult says, of an attachment that may be the reference plugin's.
#[test]
fn check_takes_what_is_attached() {
    let end = PodEnd { mac: "02:00:00:00:00:07".into(), mtu: Some(1300) };
    let facts = Facts { host_link: "veth7".into(), attached: Some(end) };
    let lease = lease(&[("10.1.0.5/24", None)], json!([]));
    let steps = steps(&of(json!({"mtu": 1400}), "ptp", &facts, &lease).unwrap());
    let pair =
        "make veth pair veth7 on the host, eth0 in the container (02:00:00:00:00:07, MTU 1300)";
    assert!(steps.contains(&pair.to_owned()), "{steps:?}");
    assert!(steps.contains(&"route 10.1.0.5 to veth7 on the host".to_owned()), "{steps:?}");
}
