//! Plans of port mappings from values: no root, no kernel.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::planning::plan;
use super::settings::{Backend, Settings};
use super::{Facts, Taken};
use crate::engine::Owner;
use crate::kernel::port::{Mapping, Transport};
use crate::kernel::portmap::Masquerading;
use crate::plugins::{Error, Given};
use crate::protocol::result::{AddResult, Interface, IpConfig};

fn mapping(host_ip: Option<&str>) -> Mapping {
    let host_ip = host_ip.map(|ip| ip.parse().unwrap());
    Mapping { protocol: Transport::Tcp, host_ip, host_port: 8080, container_port: 80 }
}

fn settings(mappings: Vec<Mapping>, masquerading: Masquerading) -> Settings {
    let backend = Backend::Nftables { conditions_v4: Vec::new(), conditions_v6: Vec::new() };
    Settings { mappings, masquerading, backend }
}

fn before(ips: &[(usize, &str)]) -> AddResult {
    let interface = |name: &str, sandbox: &str| Interface {
        name: name.into(),
        sandbox: sandbox.into(),
        ..Interface::default()
    };
    let ip = |(index, address): &(usize, &str)| IpConfig {
        interface: Some(*index),
        address: address.parse().unwrap(),
        gateway: None,
    };
    AddResult {
        interfaces: vec![interface("br0", ""), interface("eth0", "/run/netns/a")],
        ips: ips.iter().map(ip).collect(),
        ..AddResult::default()
    }
}

fn planned(settings: &Settings, facts: &Facts, before: &AddResult) -> Result<Value, Error> {
    let owner = Owner { network: "net".into(), container_id: "id".into(), ifname: "eth0".into() };
    let given = Given { previous: Some(before), ..Given::default() };
    let plan = plan(settings, "eth0", &owner, facts, &given)?;
    assert_eq!(&plan.result, before, "the result is passed on");
    Ok(serde_json::to_value(plan.resources).unwrap())
}

#[test]
fn the_first_address_of_each_family_of_the_interface_counts() {
    let before = before(&[
        (0, "192.0.2.1/24"),
        (1, "10.88.0.2/24"),
        (1, "10.88.0.3/24"),
        (1, "fd00:88::2/64"),
    ]);
    let settings = settings(vec![mapping(None), mapping(Some("::1"))], Masquerading::Near);
    let tcp = json!({"protocol": "tcp", "hostPort": 8080, "containerPort": 80});
    let v6 = json!({"protocol": "tcp", "hostIP": "::1", "hostPort": 8080, "containerPort": 80});
    assert_eq!(
        planned(&settings, &Facts::default(), &before).unwrap(),
        json!([
            {"kind": "localRouting", "to": "10.88.0.2"},
            {"kind": "portMap", "owner": "net/id/eth0", "targets": [
                {"pod": "10.88.0.2/24", "mappings": [tcp], "masquerading": "near"},
                {"pod": "fd00:88::2/64", "mappings": [tcp, v6], "masquerading": "near"}
            ]}
        ])
    );
}

#[test]
fn nothing_is_planned_without_a_mapping_that_fits() {
    let v4 = before(&[(1, "10.88.0.2/24")]);
    for mappings in [vec![], vec![mapping(Some("::1"))]] {
        let settings = settings(mappings, Masquerading::Near);
        assert_eq!(planned(&settings, &Facts::default(), &v4).unwrap(), json!([]));
    }
    let settings = settings(vec![mapping(None)], Masquerading::None);
    assert_eq!(planned(&settings, &Facts::default(), &before(&[])).unwrap(), json!([]));
    let plan = planned(&settings, &Facts::default(), &v4).unwrap();
    assert_eq!(plan.as_array().unwrap().len(), 1, "no routing of loopback without snat");
}

/// Each pod's address counts, as with the reference plugin, whether or not a mapping concerns it.
#[test]
fn iptables_gets_all_mappings_in_one_resource() {
    let before = before(&[(1, "10.88.0.2/24"), (1, "fd00:88::2/64")]);
    let backend = Backend::Iptables {
        mark_bit: 13,
        set_mark_chain: None,
        conditions_v4: vec!["-i".into(), "eth0".into()],
        conditions_v6: Vec::new(),
    };
    let settings = Settings { backend, ..settings(vec![mapping(Some("::1"))], Masquerading::All) };
    assert_eq!(
        planned(&settings, &Facts::default(), &before).unwrap(),
        json!([
            {"kind": "localRouting", "to": "10.88.0.2"},
            {"kind": "iptablesPortMap",
             "owner": {"network": "net", "containerID": "id", "ifname": "eth0"},
             "pods": ["10.88.0.2/24", "fd00:88::2/64"],
             "mappings": [{"protocol": "tcp", "hostIP": "::1", "hostPort": 8080,
                           "containerPort": 80}],
             "snat": true, "masqAll": true, "markBit": 13, "conditionsV4": ["-i", "eth0"]}
        ])
    );
}

#[test]
fn a_port_taken_in_another_family_is_free() {
    let taken = |v6| {
        let taken = vec![Taken { mapping: 0, v6, owner: "net/other/eth0".into() }];
        Facts { taken, shared: false }
    };
    let settings = settings(vec![mapping(None)], Masquerading::Near);
    let v4 = before(&[(1, "10.88.0.2/24")]);
    assert!(planned(&settings, &taken(true), &v4).is_ok());
    let error = planned(&settings, &taken(false), &v4).unwrap_err();
    assert!(error.to_string().contains("8080/tcp is already taken by net/other/eth0"), "{error}");
}

#[test]
fn a_plan_says_that_another_interface_of_the_container_has_ports() {
    let facts = Facts { taken: Vec::new(), shared: true };
    let settings = settings(vec![mapping(None)], Masquerading::Near);
    let plan = planned(&settings, &facts, &before(&[(1, "10.88.0.2/24")])).unwrap();
    assert_eq!(plan[1]["targets"].as_array().unwrap().len(), 1, "{plan}");
    assert_eq!(plan[1]["shared"], true);
}
