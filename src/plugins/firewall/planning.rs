//! From configuration, backend and the result before to a plan: pure.

use std::net::IpAddr;

use super::settings::{Backend, Ingress, Settings};
use crate::engine::resource::bridge_policy::BridgePolicy;
use crate::engine::resource::firewall::Firewall;
use crate::engine::resource::firewalld_source::FirewalldSource;
use crate::engine::resource::iptables_firewall::{IptablesFirewall, IptablesPolicy};
use crate::engine::{Owner, Resource};
use crate::plugins::{Error, Given, Plan};
use crate::protocol::names;
use crate::protocol::result::AddResult;

pub(super) fn plan(
    settings: &Settings,
    owner: &Owner,
    backend: Backend,
    given: &Given<'_>,
) -> Result<Plan, Error> {
    let result = given.previous.cloned().unwrap_or_default();
    let addresses = addresses(&result);
    let isolated = settings.ingress == Ingress::Isolated;
    let bridge = match settings.ingress {
        Ingress::Open => None,
        Ingress::SameBridge | Ingress::Isolated => Some(bridge(&result)?),
    };
    let mut resources: Vec<Resource> = Vec::new();
    if backend == Backend::Iptables {
        if bridge.is_some_and(|name| !name.bytes().all(is_plain)) {
            return Err(Error::config(
                "prevResult.interfaces[0].name",
                "iptables reads characters other than letters, digits, '_', '.' and '-' in another \
                 way; rename the bridge, or use backend \"nftables\"",
            ));
        }
        if !addresses.is_empty() {
            let policy =
                bridge.map(|bridge| IptablesPolicy { bridge: bridge.to_owned(), isolated });
            let admin_chain = settings.admin_chain.clone();
            resources.push(IptablesFirewall { addresses, admin_chain, policy }.into());
        }
        return Ok(Plan { resources, result });
    }
    if let Some(bridge) = bridge {
        let port = port(&result).filter(|_| isolated);
        let bridge = bridge.to_owned();
        resources.push(BridgePolicy { bridge, isolated, port, owner: owner.text() }.into());
    }
    if !addresses.is_empty() {
        resources.push(match backend {
            Backend::Firewalld => FirewalldSource { addresses, zone: settings.zone.clone() }.into(),
            _ => Firewall { addresses, owner: owner.text() }.into(),
        });
    }
    Ok(Plan { resources, result })
}

/// Every address of a result, once.
pub(super) fn addresses(result: &AddResult) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for ip in &result.ips {
        if !addresses.contains(&ip.address.ip()) {
            addresses.push(ip.address.ip());
        }
    }
    addresses
}

/// The bridge: as the reference plugin has it, the first interface, whatever it is.
fn bridge(result: &AddResult) -> Result<&str, Error> {
    let first = result.interfaces.first().map(|interface| interface.name.as_str());
    let name = first.ok_or_else(|| {
        Error::config(
            "ingressPolicy",
            "the plugin before it names no interface, but a policy is for a bridge; put firewall \
             after bridge in the list of plugins",
        )
    })?;
    names::interface_name(name)
        .map_err(|error| Error::config("prevResult.interfaces[0].name", error.to_string()))?;
    Ok(name)
}

/// The container's port: the host's first interface after the bridge.
fn port(result: &AddResult) -> Option<String> {
    let on_host = |name: &str| names::interface_name(name).is_ok();
    let mut after = result.interfaces.iter().skip(1);
    after.find(|one| one.sandbox.is_empty() && on_host(&one.name)).map(|one| one.name.clone())
}

/// Whether iptables-restore takes a character in a name as it is.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}
