//! Plans of bandwidth from values.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsString;

use serde_json::{Value, json};

use super::settings::Settings;
use super::{Facts, planning};
use crate::engine::resource::veth::Veth;
use crate::engine::{Owner, Resource};
use crate::plugins::{Error, Given};
use crate::protocol::request::Request;

fn owner() -> Owner {
    Owner { network: "net".into(), container_id: "c0ffee".into(), ifname: "eth0".into() }
}

fn request(more: Value) -> Request {
    let mut config = json!({
        "cniVersion": "1.0.0", "name": "net", "type": "bandwidth",
        "prevResult": {
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "br0"}, {"name": "vethA"},
                           {"name": "eth0", "sandbox": "/run/netns/blue"}]
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
    let plan = planning::plan(&settings, &request, &owner(), facts, &given)?;
    let resources = serde_json::to_value(&plan.resources).unwrap();
    Ok((resources, serde_json::to_value(&plan.result.interfaces).unwrap()))
}

fn there() -> Facts {
    Facts { attached: false, host: Some("vethA".into()) }
}

fn both() -> Value {
    json!({"ingressRate": 8000, "ingressBurst": 16000, "egressRate": 9000, "egressBurst": 17000})
}

#[test]
fn the_name_of_the_ifb_device_is_the_references() {
    // printf netc0ffee | sha512sum
    assert_eq!(planning::ifb_name(&owner()), "bwp73decd76befe");
}

#[test]
fn both_directions() {
    let (resources, interfaces) = plan(both(), &there(), &[]).unwrap();
    let ifb = planning::ifb_name(&owner());
    let (mac, text) = (owner().ifb_mac().to_string(), owner().text());
    assert_eq!(
        resources,
        json!([
            {"kind": "shaper", "pod": "eth0", "host": "vethA", "rate": 8000, "burst": 16000,
             "owner": text},
            {"kind": "ifb", "name": ifb, "mac": mac, "pod": "eth0", "host": "vethA",
             "queueLength": 0, "owner": text, "any": false},
            {"kind": "shaper", "pod": "eth0", "host": "vethA", "rate": 9000, "burst": 17000,
             "ifb": ifb, "owner": text}
        ])
    );
    assert_eq!(interfaces[3], json!({"name": ifb, "mac": mac}));
    let read: Vec<Resource> = serde_json::from_value(resources.clone()).unwrap();
    assert_eq!(
        serde_json::to_value(read).unwrap(),
        resources,
        "a record is read as it was written"
    );
}

#[test]
fn one_direction_alone() {
    let more = json!({"ingressRate": 8000, "ingressBurst": 16000});
    let (resources, interfaces) = plan(more, &there(), &[]).unwrap();
    assert_eq!(resources.as_array().unwrap().len(), 1);
    assert_eq!(interfaces.as_array().unwrap().len(), 3);
    let more = json!({"egressRate": 8000, "egressBurst": 16000});
    let (resources, interfaces) = plan(more, &there(), &[]).unwrap();
    assert_eq!(resources.as_array().unwrap().len(), 2);
    assert_eq!(interfaces.as_array().unwrap().len(), 4);
}

#[test]
fn nothing_to_do_is_no_plan() {
    for more in [
        json!({}),
        json!({"ingressRate": 0, "ingressBurst": 0}),
        json!({"shapedSubnets": ["10.0.0.0/8"]}),
        json!({"runtimeConfig": {"bandwidth": {}}}),
    ] {
        let (resources, interfaces) = plan(more, &Facts::default(), &[]).unwrap();
        assert_eq!(resources, json!([]));
        assert_eq!(interfaces.as_array().unwrap().len(), 3);
    }
}

#[test]
fn the_configuration_goes_before_the_runtime() {
    let runtime = json!({"bandwidth": {"ingressRate": 80, "ingressBurst": 160}});
    let rate = |more: Value| {
        let (resources, _) = plan(more, &there(), &[]).unwrap();
        resources[0]["rate"].clone()
    };
    assert_eq!(rate(json!({"runtimeConfig": runtime})), 80);
    assert_eq!(rate(json!({"runtimeConfig": runtime, "ingressRate": 88, "ingressBurst": 88})), 88);
    // One of the keys is enough, whatever it says.
    assert!(rate(json!({"runtimeConfig": runtime, "egressRate": 0})).is_null());
    assert_eq!(rate(json!({"runtimeConfig": runtime, "egressRate": null})), 80);
    assert_eq!(rate(json!({"INGRESSrate": 96, "ingressburst": 88})), 96);
}

#[test]
fn subnets_go_along() {
    let mut more = both();
    more["shapedSubnets"] = json!(["10.0.0.0/8", "fd00::/8"]);
    let (resources, _) = plan(more, &there(), &[]).unwrap();
    assert_eq!(resources[0]["subnets"], json!({"only": ["10.0.0.0/8", "fd00::/8"]}));
    assert_eq!(resources[1]["queueLength"], 1000);
    let bandwidth = json!({"ingressRate": 80, "ingressBurst": 160,
                           "unshapedSubnets": ["10.1.2.3/8"], "shapedSubnets": []});
    let more = json!({"runtimeConfig": {"bandwidth": bandwidth}});
    let (resources, _) = plan(more, &there(), &[]).unwrap();
    assert_eq!(resources[0]["subnets"], json!({"allBut": ["10.1.2.3/8"]}));
}

#[test]
fn the_end_on_the_host_is_the_planned_one_or_is_left_to_be_found() {
    let veth: Veth =
        serde_json::from_value(json!({"host": "veth1", "pod": "eth0", "mac": "", "owner": "x"}))
            .unwrap();
    let (resources, _) = plan(both(), &Facts::default(), &[veth.into()]).unwrap();
    assert_eq!(resources[0]["host"], "veth1");
    let foreign: Resource = serde_json::from_value(
        json!({"kind": "foreign", "program": "/x", "environment": {}, "config": {}}),
    )
    .unwrap();
    let (resources, _) = plan(both(), &Facts::default(), &[foreign]).unwrap();
    assert!(resources[0].get("host").is_none());
    let attached = Facts { attached: true, host: None };
    assert!(plan(both(), &attached, &[]).unwrap().0[0].get("host").is_none());
}

#[test]
fn what_cannot_be_is_refused() {
    let error = plan(both(), &Facts::default(), &[]).unwrap_err().to_string();
    assert!(error.contains("eth0 is not in the container"), "{error}");
    let other = Facts { attached: false, host: Some("vethB".into()) };
    let error = plan(both(), &other, &[]).unwrap_err().to_string();
    assert!(error.contains("does not list vethB"), "{error}");
}
