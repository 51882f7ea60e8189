//! Plans of tap from values.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsString;

use serde_json::{Value, json};

use super::Facts;
use super::planning::plan;
use super::settings::Settings;
use crate::engine::{Owner, Resource};
use crate::ipam::Leased;
use crate::plugins::{Error, Plan};
use crate::protocol::request::Request;
use crate::protocol::result::{Dns, IpConfig};
use crate::protocol::version::Version;

fn planned(more: Value, args: &str, lease: Option<&Leased>) -> Result<Plan, Error> {
    let mut config = json!({"cniVersion": "1.1.0", "name": "net", "type": "tap"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let variables = |name: &str| -> Option<OsString> {
        let value = match name {
            "CNI_COMMAND" => "ADD",
            "CNI_CONTAINERID" => "c0ffee",
            "CNI_NETNS" => "/run/netns/blue",
            "CNI_IFNAME" => "eth0",
            "CNI_ARGS" => args,
            _ => return None,
        };
        Some(value.into())
    };
    let request = Request::read(&variables, &mut config.to_string().as_bytes())?;
    let owner =
        Owner { network: "net".into(), container_id: "c0ffee".into(), ifname: "eth0".into() };
    plan(&Settings::read(&request)?, &request, &owner, &Facts::default(), lease)
}

fn steps(plan: &Plan) -> Vec<String> {
    plan.resources.iter().map(|one| one.kind().describe()).collect()
}

fn leased(address: &str) -> Leased {
    let ip = IpConfig { interface: None, address: address.parse().unwrap(), gateway: None };
    Leased { source: "static".into(), ips: vec![ip], routes: Vec::new(), dns: Dns::default() }
}

#[test]
fn a_device_follows_from_its_attachment() {
    let plan = planned(json!({}), "", None).unwrap();
    let Resource::Tap(tap) = &plan.resources[0] else { panic!() };
    let again = planned(json!({"dns": {"domain": "example"}}), "", None).unwrap();
    assert_eq!(again.resources, plan.resources);
    let result = again.result.render(Version::CURRENT).unwrap();
    let interface = json!({"name": "eth0", "mac": tap.mac, "sandbox": "/run/netns/blue"});
    assert_eq!(
        result,
        json!({"cniVersion": "1.1.0", "interfaces": [interface], "dns": {"domain": "example"}})
    );
    assert_eq!(steps(&plan)[1], "bring eth0 up in the container");
}

#[test]
fn every_key_is_part_of_the_plan() {
    let keys = json!({
        "multiQueue": true, "mtu": 1400, "mac": "0a:58:0a:01:00:05", "owner": 7, "group": 8,
        "selinuxContext": "u:r:t:s0", "bridge": "br0"
    });
    let plan = planned(keys, "", Some(&leased("10.1.0.2/24"))).unwrap();
    let steps = steps(&plan);
    assert_eq!(
        steps[1],
        "add tap device eth0 in the container (0a:58:0a:01:00:05, MTU 1400, several queues, user 7, \
         group 8), by running ip under the label u:r:t:s0, a port of br0"
    );
    assert!(steps[2].contains("accept_dad=0"), "{steps:?}");
    let text = serde_json::to_string(&plan.resources).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Resource>>(&text).unwrap(), plan.resources);
}

#[test]
fn hardware_addresses_have_an_order() {
    let mac = |keys: Value, args: &str| {
        let plan = planned(keys, args, None).unwrap();
        plan.result.interfaces[0].mac.clone()
    };
    let (own, args, runtime) = ("0a:00:00:00:00:01", "0a:00:00:00:00:02", "0a:00:00:00:00:03");
    let given = format!("MAC={args}");
    let both = json!({"mac": own, "runtimeConfig": {"mac": runtime}});
    assert_eq!(mac(json!({"mac": own}), ""), own);
    assert_eq!(mac(json!({"mac": own}), &given), args);
    assert_eq!(mac(both, &given), runtime);
}

#[test]
fn a_small_mtu_carries_no_ipv6() {
    let keys = json!({"mtu": 1279});
    assert!(planned(keys.clone(), "", Some(&leased("10.1.0.2/24"))).is_ok());
    let error = planned(keys, "", Some(&leased("fd00::2/64"))).unwrap_err().to_string();
    assert!(error.contains("1279"), "{error}");
}
