//! Plans of sbr from values.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsString;

use serde_json::{Value, json};

use super::settings::Settings;
use super::{Facts, planning};
use crate::engine::Resource;
use crate::kernel::rule::Rule;
use crate::plugins::{Error, Given};
use crate::protocol::request::Request;

fn request(more: Value) -> Request {
    let mut config = json!({
        "cniVersion": "1.1.0", "name": "net", "type": "sbr",
        "prevResult": {
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "br0"}, {"name": "eth0", "sandbox": "/run/netns/blue"}],
            "ips": [{"address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 1},
                    {"address": "fd00::2/64", "gateway": "fd00::1", "interface": 1},
                    {"address": "10.9.0.1/24", "interface": 0},
                    {"address": "10.2.0.2/24"}]
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

fn plan(more: Value, facts: &Facts, planned: &[Resource]) -> Result<Value, Error> {
    let request = request(more);
    let settings = Settings::read(&request)?;
    let previous = request.config.prev_result.clone().unwrap();
    let given = Given { lease: None, previous: Some(&previous), planned };
    let plan = planning::plan(&settings, &request, facts, &given)?;
    assert_eq!(plan.result, previous);
    Ok(serde_json::to_value(&plan.resources).unwrap())
}

fn there() -> Facts {
    Facts { routes: Some(Vec::new()), ..Facts::default() }
}

fn resource(value: Value) -> Resource {
    serde_json::from_value(value).unwrap()
}

#[test]
fn every_address_of_the_interface_gets_a_table() {
    assert_eq!(
        plan(json!({}), &there(), &[]).unwrap(),
        json!([{
            "kind": "sourceRouting", "link": "eth0", "rulesOnly": false, "addSourceHints": false,
            "moved": [],
            "sources": [
                {"address": "10.1.0.2/24", "table": 100, "gateway": "10.1.0.1", "fixed": false},
                {"address": "fd00::2/64", "table": 101, "gateway": "fd00::1", "fixed": false},
                {"address": "10.2.0.2/24", "table": 102, "fixed": false}
            ]
        }])
    );
}

#[test]
fn tables_of_others_are_passed_over() {
    let route =
        resource(json!({"kind": "route", "link": "eth0", "to": "10.5.0.0/16", "table": 102}));
    let facts = Facts { tables: [100, 254].into(), ..there() };
    let plan = plan(json!({}), &facts, &[route]).unwrap();
    let tables: Vec<_> =
        plan[0]["sources"].as_array().unwrap().iter().map(|one| &one["table"]).collect();
    assert_eq!(tables, [101, 103, 104]);
    let facts = Facts { tables: (100..=252).collect(), ..there() };
    let plan = self::plan(json!({}), &facts, &[]).unwrap();
    assert_eq!(plan[0]["sources"][0]["table"], 256, "253 to 255 have a meaning");
}

#[test]
fn an_interface_of_the_same_call_has_no_routes_to_be_put_back() {
    let veth =
        resource(json!({"kind": "veth", "host": "v", "pod": "eth0", "mac": "", "owner": "x"}));
    let plan = plan(json!({}), &Facts::default(), &[veth]).unwrap();
    assert_eq!(plan[0].get("moved"), None);
}

#[test]
fn gateways_replace_those_of_their_family() {
    let plan = plan(json!({"gateways": ["10.1.0.9"]}), &there(), &[]).unwrap();
    let of = |place: usize| {
        (plan[0]["sources"][place]["gateway"].clone(), plan[0]["sources"][place]["fixed"].clone())
    };
    assert_eq!(of(0), (json!("10.1.0.9"), json!(true)));
    assert_eq!(of(1), (json!("fd00::1"), json!(false)));
    assert_eq!(of(2), (json!("10.1.0.9"), json!(true)));
}

#[test]
fn a_table_of_ones_own_means_rules_only() {
    let more = json!({"table": 7, "addSourceHints": true, "gateways": ["10.1.0.9"]});
    let plan = plan(more, &there(), &[]).unwrap();
    assert_eq!(plan[0]["rulesOnly"], true);
    assert_eq!(plan[0]["addSourceHints"], false);
    assert_eq!(plan[0].get("moved"), None);
    assert!(plan[0]["sources"].as_array().unwrap().iter().all(|one| one["table"] == 7));
}

#[test]
fn check_asks_for_any_table_but_one_that_is_configured() {
    let facts = Facts { attached: true, ..Facts::default() };
    let any = plan(json!({}), &facts, &[]).unwrap();
    assert_eq!(any[0]["sources"][0].get("table"), None);
    let one = plan(json!({"table": 7}), &facts, &[]).unwrap();
    assert_eq!(one[0]["sources"][0]["table"], 7);
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |more: Value, facts: &Facts| plan(more, facts, &[]).unwrap_err().to_string();
    let empty = json!({"prevResult": {"cniVersion": "1.1.0", "ips": []}});
    assert!(refused(empty, &there()).contains("no address of interface eth0"));
    assert!(refused(json!({}), &Facts::default()).contains("eth0 is not in the container"));
    let from = "10.1.0.2/32".parse().unwrap();
    let rule = Rule { from, table: 7, priority: 32765, is_plain: true };
    let facts = Facts { rules: vec![rule], ..there() };
    assert!(refused(json!({"table": 7}), &facts).contains("10.1.0.2 use table 7"));
    assert!(plan(json!({"table": 8}), &facts, &[]).is_ok());
}
