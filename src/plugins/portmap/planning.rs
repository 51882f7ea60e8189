//! From configuration, facts and the result before to a plan: pure.

use ipnetwork::IpNetwork;

use super::Facts;
use super::settings::{Backend, Settings};
use crate::engine::resource::iptables_port_map::IptablesPortMap;
use crate::engine::resource::local_routing::LocalRouting;
use crate::engine::resource::port_map::PortMap;
use crate::engine::{self, Owner, Resource};
use crate::kernel::port::Mapping;
use crate::kernel::portmap::{Masquerading, Target};
use crate::plugins::{Error, Given, Plan};
use crate::protocol::result::AddResult;

pub(super) fn plan(
    settings: &Settings,
    ifname: &str,
    owner: &Owner,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Plan, Error> {
    let result = given.previous.cloned().unwrap_or_default();
    let pods = if settings.mappings.is_empty() { Vec::new() } else { pods(&result, ifname) };
    for pod in &pods {
        if let Some(taken) = facts.taken.iter().find(|taken| taken.v6 == pod.is_ipv6())
            && let Some(mapping) = settings.mappings.get(taken.mapping)
        {
            return Err(engine::Error::PortTaken {
                port: mapping.host_port,
                protocol: mapping.protocol.name(),
                at: mapping.only_at(),
                owner: taken.owner.clone(),
            }
            .into());
        }
    }
    let mut resources: Vec<Resource> = Vec::new();
    // The reference plugin does this for IPv4 alone; IPv6 has no such setting and needs none.
    if settings.masquerading != Masquerading::None
        && let Some(pod) = pods.iter().find(|pod| pod.is_ipv4())
    {
        resources.push(LocalRouting { to: pod.ip() }.into());
    }
    let of = |pod: &IpNetwork| -> Vec<Mapping> {
        settings.mappings.iter().filter(|one| one.concerns(pod.ip())).cloned().collect()
    };
    match &settings.backend {
        Backend::Nftables { conditions_v4, conditions_v6 } => {
            let targets = pods.iter().map(|pod| Target {
                pod: *pod,
                mappings: of(pod),
                masquerading: settings.masquerading,
                conditions: if pod.is_ipv4() { conditions_v4 } else { conditions_v6 }.clone(),
            });
            let targets: Vec<_> = targets.filter(|target| !target.mappings.is_empty()).collect();
            if targets.is_empty() {
                resources.clear();
            } else {
                let shared = facts.shared;
                resources.push(PortMap { targets, owner: owner.text(), shared }.into());
            }
        }
        Backend::Iptables { mark_bit, set_mark_chain, conditions_v4, conditions_v6 } => {
            if !pods.is_empty() {
                resources.push(
                    IptablesPortMap {
                        owner: owner.clone(),
                        pods,
                        mappings: settings.mappings.clone(),
                        snat: settings.masquerading != Masquerading::None,
                        masq_all: settings.masquerading == Masquerading::All,
                        mark_bit: *mark_bit,
                        set_mark_chain: set_mark_chain.clone(),
                        conditions_v4: conditions_v4.clone(),
                        conditions_v6: conditions_v6.clone(),
                    }
                    .into(),
                );
            }
        }
    }
    Ok(Plan { resources, result })
}

/// The first address of each family that the container's interface has; an address that no
/// interface is named for counts as the container's.
fn pods(result: &AddResult, ifname: &str) -> Vec<IpNetwork> {
    let mut pods: Vec<IpNetwork> = Vec::with_capacity(2);
    for ip in &result.ips {
        let interface = ip.interface.and_then(|index| result.interfaces.get(index));
        let elsewhere = interface
            .is_some_and(|interface| interface.name != ifname || interface.sandbox.is_empty());
        let known = pods.iter().any(|pod| pod.is_ipv4() == ip.address.is_ipv4());
        if !elsewhere && !known {
            pods.push(ip.address);
        }
    }
    pods
}
