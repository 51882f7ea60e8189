//! Plans from values: no root, no kernel.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::planning::plan;
use super::settings::{Backend, Ingress, Settings};
use crate::engine::Owner;
use crate::plugins::{Error, Given};
use crate::protocol::result::{AddResult, Interface, IpConfig};

fn settings(ingress: Ingress) -> Settings {
    Settings { backend: None, admin_chain: "CNI-ADMIN".into(), zone: "trusted".into(), ingress }
}

fn result(interfaces: &[(&str, &str)], ips: &[&str]) -> AddResult {
    AddResult {
        interfaces: interfaces
            .iter()
            .map(|(name, sandbox)| Interface {
                name: (*name).into(),
                sandbox: (*sandbox).into(),
                ..Interface::default()
            })
            .collect(),
        ips: ips
            .iter()
            .map(|ip| IpConfig { interface: None, address: ip.parse().unwrap(), gateway: None })
            .collect(),
        ..AddResult::default()
    }
}

fn of_bridge() -> AddResult {
    let interfaces = [("br0", ""), ("veth1", ""), ("eth0", "/run/netns/a")];
    result(&interfaces, &["10.88.0.2/24", "fd00:88::2/64", "10.88.0.2/16"])
}

fn planned(ingress: Ingress, backend: Backend, before: &AddResult) -> Result<Value, Error> {
    let owner = Owner { network: "net".into(), container_id: "id".into(), ifname: "eth0".into() };
    let given = Given { previous: Some(before), ..Given::default() };
    let plan = plan(&settings(ingress), &owner, backend, &given)?;
    assert_eq!(&plan.result, before, "the result is passed on");
    Ok(serde_json::to_value(plan.resources).unwrap())
}

const ADDRESSES: [&str; 2] = ["10.88.0.2", "fd00:88::2"];

#[test]
fn open_lets_each_address_through_once() {
    let before = of_bridge();
    assert_eq!(
        planned(Ingress::Open, Backend::Nftables, &before).unwrap(),
        json!([{"kind": "firewall", "addresses": ADDRESSES, "owner": "net/id/eth0"}])
    );
    assert_eq!(
        planned(Ingress::Open, Backend::Iptables, &before).unwrap(),
        json!([{"kind": "iptablesFirewall", "addresses": ADDRESSES, "adminChain": "CNI-ADMIN"}])
    );
    assert_eq!(
        planned(Ingress::Open, Backend::Firewalld, &before).unwrap(),
        json!([{"kind": "firewalldSource", "addresses": ADDRESSES, "zone": "trusted"}])
    );
}

#[test]
fn a_policy_is_for_the_first_interface_and_isolation_for_the_port_too() {
    let before = of_bridge();
    assert_eq!(
        planned(Ingress::SameBridge, Backend::Nftables, &before).unwrap()[0],
        json!({"kind": "bridgePolicy", "bridge": "br0", "isolated": false, "owner": "net/id/eth0"})
    );
    for backend in [Backend::Nftables, Backend::Firewalld] {
        assert_eq!(
            planned(Ingress::Isolated, backend, &before).unwrap()[0],
            json!({"kind": "bridgePolicy", "bridge": "br0", "isolated": true, "port": "veth1",
                   "owner": "net/id/eth0"})
        );
    }
    assert_eq!(
        planned(Ingress::Isolated, Backend::Iptables, &before).unwrap()[0]["policy"],
        json!({"bridge": "br0", "isolated": true})
    );
    // ptp has the host's end first and no bridge.
    let ptp = result(&[("veth1", ""), ("eth0", "/run/netns/a")], &["10.88.0.2/32"]);
    assert_eq!(planned(Ingress::Isolated, Backend::Nftables, &ptp).unwrap()[0].get("port"), None);
}

#[test]
fn without_addresses_there_is_nothing_to_let_through() {
    let before = result(&[("br0", "")], &[]);
    for backend in [Backend::Nftables, Backend::Iptables, Backend::Firewalld] {
        assert_eq!(planned(Ingress::Open, backend, &before).unwrap(), json!([]));
    }
    assert_eq!(planned(Ingress::SameBridge, Backend::Iptables, &before).unwrap(), json!([]));
}

#[test]
fn a_policy_without_a_fit_bridge_is_refused() {
    let refused = |backend, name: Option<&str>| {
        let interfaces: Vec<_> = name.iter().map(|name| (*name, "")).collect();
        planned(Ingress::SameBridge, backend, &result(&interfaces, &["10.88.0.2/24"]))
            .unwrap_err()
            .to_string()
    };
    assert!(refused(Backend::Nftables, None).contains("ingressPolicy"));
    for name in ["", "a/b", "a b", "sixteen-letters-"] {
        assert!(refused(Backend::Nftables, Some(name)).contains("interfaces[0].name"), "{name}");
    }
    for name in ["br+", "br\"0", "br!0"] {
        assert!(refused(Backend::Iptables, Some(name)).contains("interfaces[0].name"), "{name}");
    }
}
