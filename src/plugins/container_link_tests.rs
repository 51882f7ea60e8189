//! The plan for every file in testdata/{macvlan,ipvlan,vlan,dummy}: configuration, facts, lease and the
//! result before in; resources and result, or the error, out. `CAUSEWAY_BLESS=1 cargo test planning`
//! writes what comes out into the files; read the difference before committing it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsString;
use std::path::Path;

use serde_json::{Value, json};

use super::container_link::Facts;
use super::dummy::Dummy;
use super::ipvlan::Ipvlan;
use super::macvlan::Macvlan;
use super::vlan::Vlan;
use super::{Error, Given, Plugin};
use crate::engine::{Owner, Resource};
use crate::ipam::Leased;
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;
use crate::protocol::version::Version;

fn request(case: &Value, plugin_type: &str) -> Result<Request, Error> {
    let mut config = json!({"cniVersion": "1.1.0", "name": "net", "type": plugin_type});
    for (key, value) in case["config"].as_object().unwrap() {
        config[key] = value.clone();
    }
    let args = case["args"].as_str().unwrap_or_default().to_owned();
    let variables = |name: &str| -> Option<OsString> {
        let value = match name {
            "CNI_COMMAND" => "ADD",
            "CNI_CONTAINERID" => "c0ffee",
            "CNI_NETNS" => "/run/netns/blue",
            "CNI_IFNAME" => "eth0",
            "CNI_ARGS" => &args,
            _ => return None,
        };
        Some(value.into())
    };
    Ok(Request::read(&variables, &mut config.to_string().as_bytes())?)
}

fn leased(lease: &Value) -> Leased {
    let read = |key: &str| lease.get(key).cloned().unwrap_or(json!([]));
    Leased {
        source: "host-local".into(),
        ips: serde_json::from_value(read("ips")).unwrap(),
        routes: serde_json::from_value(read("routes")).unwrap(),
        dns: serde_json::from_value(lease.get("dns").cloned().unwrap_or(json!({}))).unwrap(),
    }
}

fn outcome<P: Plugin<Facts = Facts>>(case: &Value) -> Value {
    let attempt = || -> Result<Value, Error> {
        let request = request(case, P::TYPE)?;
        let plugin = P::configure(&request)?;
        let previous =
            case.get("previous").map(|result| AddResult::read(result).expect("a result before"));
        // With a result to check against, the facts are that one's.
        let facts = match case.get("check") {
            Some(result) => plugin.attached(&request, &AddResult::read(result).unwrap())?,
            None => {
                serde_json::from_value(case.get("facts").cloned().unwrap_or(json!({}))).unwrap()
            }
        };
        let lease = case.get("lease").map(leased);
        let owner =
            Owner { network: "net".into(), container_id: "c0ffee".into(), ifname: "eth0".into() };
        let given =
            Given { lease: lease.as_ref(), previous: previous.as_ref(), ..Given::default() };
        let plan = plugin.plan(&request, &owner, &facts, &given)?;
        let steps: Vec<_> = plan.resources.iter().map(|one| one.kind().describe()).collect();
        Ok(json!({
            "steps": steps,
            "resources": plan.resources,
            "result": plan.result.render(Version::CURRENT)?,
        }))
    };
    attempt().unwrap_or_else(|error| {
        let error = error.to_cni();
        json!({"code": error.code, "msg": error.msg})
    })
}

fn every_case<P: Plugin<Facts = Facts>>(at_least: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(P::TYPE);
    let bless = std::env::var_os("CAUSEWAY_BLESS").is_some();
    let mut cases = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let outcome = outcome::<P>(&case);
        cases += 1;
        if let Some(resources) = outcome.get("resources") {
            let read: Vec<Resource> = serde_json::from_value(resources.clone()).unwrap();
            assert_eq!(&serde_json::to_value(read).unwrap(), resources, "{}", path.display());
        }
        if bless {
            case["expect"] = outcome;
            let mut text = serde_json::to_string_pretty(&case).unwrap();
            text.push('\n');
            std::fs::write(&path, text).unwrap();
        } else if case["expect"] != outcome {
            wrong.push(format!(
                "{}: expected\n{:#}\ngot\n{:#}",
                path.display(),
                case["expect"],
                outcome
            ));
        }
    }
    assert!(cases >= at_least, "only {cases} cases of {}", P::TYPE);
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn planning_of_macvlan() {
    every_case::<Macvlan>(10);
}

#[test]
fn planning_of_ipvlan() {
    every_case::<Ipvlan>(8);
}

#[test]
fn planning_of_vlan() {
    every_case::<Vlan>(7);
}

#[test]
fn planning_of_dummy() {
    every_case::<Dummy>(3);
}
