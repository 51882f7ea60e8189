//! The plan for every file in testdata/bridge: configuration, facts and lease in, resources and
//! result, or the error, out. `CAUSEWAY_BLESS=1 cargo test planning` writes what comes out into the
//! files; read the difference before committing it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsString;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::facts::Facts;
use super::planning::plan;
use super::settings::Settings;
use crate::engine::Owner;
use crate::ipam::Leased;
use crate::plugins::Error;
use crate::protocol::request::Request;
use crate::protocol::result::{Dns, IpConfig, Route};
use crate::protocol::version::Version;

#[derive(Deserialize, Default)]
#[serde(default)]
struct LeaseCase {
    ips: Vec<IpConfig>,
    routes: Vec<Route>,
    dns: Dns,
}

fn request(config: &Value) -> Result<Request, Error> {
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
    Ok(Request::read(&variables, &mut config.to_string().as_bytes())?)
}

fn outcome(case: &Value) -> Value {
    let attempt = || -> Result<Value, Error> {
        let request = request(&case["config"])?;
        let settings = Settings::read(&request)?;
        let mut facts: Facts =
            serde_json::from_value(case.get("facts").cloned().unwrap_or(json!({}))).unwrap();
        facts.host_link = "veth01234567".into();
        let lease = case.get("lease").map(|lease| {
            let LeaseCase { ips, routes, dns } = serde_json::from_value(lease.clone()).unwrap();
            Leased { source: "host-local".into(), ips, routes, dns }
        });
        let owner =
            Owner { network: "net".into(), container_id: "c0ffee".into(), ifname: "eth0".into() };
        let plan = plan(&settings, &request, &owner, &facts, lease.as_ref())?;
        let steps: Vec<String> =
            plan.resources.iter().map(|resource| resource.kind().describe()).collect();
        Ok(json!({
            "steps": steps,
            "resources": plan.resources,
            "result": plan.result.render(Version::CURRENT)?,
        }))
    };
    attempt().unwrap_or_else(|error| {
        let error = error.to_cni();
        json!({ "code": error.code, "msg": error.msg })
    })
}

#[test]
fn every_case_gives_its_plan() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/bridge");
    let bless = std::env::var_os("CAUSEWAY_BLESS").is_some();
    let mut cases = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let outcome = outcome(&case);
        cases += 1;
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
    assert!(cases > 20, "only {cases} cases in testdata/bridge");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_plan_survives_the_journal() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/bridge");
    for entry in std::fs::read_dir(folder).unwrap() {
        let case: Value =
            serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        let resources = outcome(&case)["resources"].clone();
        if resources.is_null() {
            continue;
        }
        let read: Vec<crate::engine::Resource> = serde_json::from_value(resources.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), resources);
    }
}
