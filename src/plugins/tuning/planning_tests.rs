//! Plans of tuning from values.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsString;

use serde_json::{Value, json};

use super::settings::Settings;
use super::{Facts, planning};
use crate::engine::Resource;
use crate::engine::resource::veth::Veth;
use crate::kernel::link::Attributes;
use crate::plugins::{Error, Given};
use crate::protocol::request::Request;

fn request(more: Value) -> Request {
    let mut config = json!({
        "cniVersion": "1.1.0", "name": "net", "type": "tuning",
        "prevResult": {
            "cniVersion": "1.1.0",
            "interfaces": [
                {"name": "eth0", "mac": "0a:00:00:00:00:09"},
                {"name": "eth0", "mac": "0a:00:00:00:00:01", "mtu": 1500, "sandbox": "/run/netns/blue"}
            ],
            "ips": [{"address": "10.1.0.2/24", "interface": 1}, {"address": "fd00::2/64", "interface": 1},
                    {"address": "fd00::9/64", "interface": 0}]
        }
    });
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

/// Resources in JSON, and the interfaces of the result.
fn plan(more: Value, facts: &Facts, planned: &[Resource]) -> Result<(Value, Value), Error> {
    let request = request(more);
    let settings = Settings::read(&request)?;
    let previous = request.config.prev_result.clone().unwrap();
    let given = Given { lease: None, previous: Some(&previous), planned };
    let plan = planning::plan(&settings, &request, facts, &given)?;
    let resources = serde_json::to_value(&plan.resources).unwrap();
    Ok((resources, serde_json::to_value(&plan.result.interfaces).unwrap()))
}

fn there() -> Facts {
    let link = Attributes { mtu: Some(1500), ..Attributes::default() };
    let originals = [("net/ipv4/ip_forward".to_owned(), "0".to_owned())].into();
    Facts { attached: false, link: Some(link), originals }
}

fn veth() -> Resource {
    serde_json::from_value::<Veth>(json!({"host": "veth1", "pod": "eth0", "mac": "", "owner": "x"}))
        .unwrap()
        .into()
}

#[test]
fn what_was_there_before_is_kept_twice() {
    let more =
        json!({"mtu": 1400, "sysctl": {"net.ipv4.ip_forward": "1", "net.ipv4.route.flush": "1"}});
    let (resources, interfaces) = plan(more, &there(), &[]).unwrap();
    assert_eq!(
        resources,
        json!([
            {"kind": "sysctls", "values": [
                {"name": "net/ipv4/ip_forward", "value": "1", "original": "0"},
                {"name": "net/ipv4/route/flush", "value": "1"}]},
            {"kind": "linkAttributes", "link": "eth0", "wanted": {"mtu": 1400},
             "original": {"mtu": 1500}, "backup": "/run/cni/tuning/c0ffee_eth0.json"}
        ])
    );
    assert_eq!(interfaces[1]["mtu"], 1400);
    assert!(interfaces[0].get("mtu").is_none());
}

#[test]
fn an_interface_of_the_same_call_needs_no_backup() {
    let more = json!({"mtu": 1400, "sysctl": {"net/ipv4/conf/IFNAME/arp_filter": "1"}});
    let (resources, _) = plan(more, &Facts::default(), &[veth()]).unwrap();
    assert_eq!(
        resources,
        json!([
            {"kind": "sysctls", "values": [{"name": "net/ipv4/conf/eth0/arp_filter", "value": "1"}]},
            {"kind": "linkAttributes", "link": "eth0", "wanted": {"mtu": 1400}}
        ])
    );
}

#[test]
fn a_new_hardware_address_is_told_to_ipv6_neighbours_and_in_the_result() {
    let (resources, interfaces) = plan(json!({"mac": "0A-00-00-00-00-02"}), &there(), &[]).unwrap();
    assert_eq!(
        resources[1],
        json!({"kind": "announcement", "link": "eth0", "mac": "0a:00:00:00:00:02",
               "addresses": ["fd00::2"]})
    );
    // The host's link of that name is another one.
    assert_eq!(interfaces[0]["mac"], "0a:00:00:00:00:09");
    assert_eq!(interfaces[1]["mac"], "0a:00:00:00:00:02");
}

#[test]
fn a_mode_that_is_only_checked_is_not_kept() {
    let (resources, _) = plan(json!({"promisc": false}), &there(), &[]).unwrap();
    assert_eq!(
        resources,
        json!([{"kind": "linkAttributes", "link": "eth0", "wanted": {"promisc": false}}])
    );
}

#[test]
fn nothing_to_do_is_no_plan() {
    let (resources, _) = plan(json!({"mtu": 0, "mac": "", "sysctl": {}}), &there(), &[]).unwrap();
    assert_eq!(resources, json!([]));
    // Sysctls alone do without an interface.
    let wide = json!({"sysctl": {"net.ipv4.ip_forward": "1"}});
    assert!(plan(wide, &Facts::default(), &[]).is_ok());
}

#[test]
fn what_cannot_be_is_refused() {
    let error = plan(json!({"mtu": 1279}), &there(), &[]).unwrap_err().to_string();
    assert!(error.contains("fd00::2") && error.contains("1280"), "{error}");
    let error = plan(json!({"mtu": 1400}), &Facts::default(), &[]).unwrap_err().to_string();
    assert!(error.contains("eth0 is not in the container"), "{error}");
}
