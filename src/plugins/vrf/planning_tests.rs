//! Plans of vrf from values.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsString;

use serde_json::{Value, json};

use super::planning::plan;
use super::settings::Settings;
use super::{Before, Facts};
use crate::engine::Resource;
use crate::engine::resource::veth::Veth;
use crate::engine::resource::{tap::Tap, vrf::Vrf, vrf_port::VrfPort};
use crate::plugins::{Error, Given, Plan};
use crate::protocol::request::Request;

fn planned(more: Value, facts: &Facts, planned: &[Resource]) -> Result<Plan, Error> {
    let mut config = json!({
        "cniVersion": "1.1.0", "name": "net", "type": "vrf", "vrfname": "red",
        "prevResult": {"cniVersion": "1.1.0",
                       "interfaces": [{"name": "eth0", "sandbox": "/run/netns/blue"}]}
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
    let request = Request::read(&variables, &mut config.to_string().as_bytes())?;
    let settings = Settings::read(&request)?;
    let given = Given { planned, previous: request.config.prev_result.as_ref(), lease: None };
    plan(&settings, &request, facts, &given)
}

fn found(vrf: Option<u32>, tables: &[u32]) -> Facts {
    Facts::Found { vrf, tables: tables.to_vec(), interface: Some(Before::default()) }
}

/// The VRF that a plan has, which comes before its port.
fn vrf(plan: &Plan) -> &Vrf {
    match plan.resources.as_slice() {
        [Resource::Vrf(vrf), Resource::VrfPort(_), ..] => vrf,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_lowest_free_table_is_taken() {
    let table = |more: Value, facts: &Facts| vrf(&planned(more, facts, &[]).unwrap()).table;
    assert_eq!(table(json!({}), &found(None, &[])), Some(1));
    assert_eq!(table(json!({}), &found(None, &[2, 1, 254, 4])), Some(3));
    let many: Vec<u32> = (1..=252).collect();
    assert_eq!(table(json!({}), &found(None, &many)), Some(256));
    assert_eq!(table(json!({"table": 1000}), &found(None, &[])), Some(1000));
    assert_eq!(table(json!({"table": 0}), &found(Some(7), &[7])), Some(7));
    // CHECK knows only what the configuration says.
    assert_eq!(table(json!({}), &Facts::Attached), None);
    assert_eq!(table(json!({"table": 1000}), &Facts::Attached), Some(1000));
}

#[test]
fn a_vrf_that_was_there_is_marked() {
    assert!(vrf(&planned(json!({}), &found(Some(7), &[7]), &[]).unwrap()).was_there);
    assert!(!vrf(&planned(json!({}), &found(None, &[7]), &[]).unwrap()).was_there);
}

#[test]
fn what_is_made_in_the_same_call_is_taken() {
    let nothing = Facts::Found { vrf: None, tables: Vec::new(), interface: None };
    let error = planned(json!({}), &nothing, &[]).unwrap_err().to_string();
    assert!(error.contains("eth0 is not in the container"), "{error}");
    let tap: Resource = Tap { name: "eth0".into(), ..Tap::default() }.into();
    assert_eq!(planned(json!({}), &nothing, &[tap]).unwrap().resources.len(), 2);
    let veth: Resource = Veth {
        host: "veth0".into(),
        pod: "eth0".into(),
        mac: String::new(),
        mtu: None,
        bridge: Some("br0".into()),
        joins_later: false,
        hairpin: false,
        isolated: false,
        leave_down: false,
        owner: String::new(),
    }
    .into();
    let plan = planned(json!({}), &nothing, &[veth]).unwrap();
    assert!(matches!(&plan.resources[2], Resource::Readiness(one) if one.port == "veth0"));
    let [_, Resource::VrfPort(port), _] = plan.resources.as_slice() else { panic!() };
    assert_eq!(port.before, None);
}

#[test]
fn an_interface_is_in_one_vrf() {
    let port = VrfPort { link: "eth0".into(), vrf: "blue".into(), before: None };
    let error = planned(json!({}), &found(None, &[]), &[port.into()]).unwrap_err().to_string();
    assert!(error.contains("vrfname") && error.contains("blue"), "{error}");
}

#[test]
fn the_result_is_passed_on_and_the_record_can_be_read() {
    let plan = planned(json!({}), &found(None, &[]), &[]).unwrap();
    assert_eq!(plan.result.interfaces[0].name, "eth0");
    let text = serde_json::to_string(&plan.resources).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Resource>>(&text).unwrap(), plan.resources);
}
