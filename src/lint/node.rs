//! The node's own networks, and configurations that get in their way.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::networks::{Leasing, Segment, leasing, segment};
use super::{Finding, Report, Severity};
use crate::ipam::host_local::number;
use crate::kernel::netlink::RouteSocket;
use crate::kernel::{Error, addr, link, route};

/// The kernel's table for what is local (linux/rtnetlink.h).
const LOCAL: u32 = 255;

/// What the node has of its own.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// The names of its links, other names as well.
    pub links: Vec<String>,
    /// Addresses of links that no plugin made for a container.
    pub addresses: Vec<Address>,
    /// Routes through such links, but for default routes.
    pub routes: Vec<Route>,
}

/// An address with its link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Address {
    /// The link's name.
    pub link: String,
    /// The address with its prefix length.
    pub address: IpNetwork,
}

/// A route with its link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Route {
    /// The link's name.
    pub link: String,
    /// The destination.
    pub to: IpNetwork,
}

impl Node {
    /// Reads them from the kernel, in the namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn read() -> Result<Self, Error> {
        let mut socket = RouteSocket::open()?;
        let links = link::list(&mut socket)?;
        let mut node = Self::default();
        node.links.extend(links.iter().map(|link| link.name.clone()));
        // The host's end of a container's pair has addresses and routes that are the container's.
        let own: Vec<_> = links
            .into_iter()
            .filter(|link| !link.loopback && !link.is_end_of_pair() && link.alias.is_empty())
            .collect();
        for link in &own {
            for address in addr::list(&mut socket, link.index)? {
                let is_everywhere =
                    matches!(address.network.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local());
                if !is_everywhere {
                    node.addresses
                        .push(Address { link: link.name.clone(), address: address.network });
                }
            }
        }
        for v6 in [false, true] {
            for route in route::list(&mut socket, v6)? {
                let through = own.iter().find(|link| route.links.contains(&link.index));
                let is_everywhere = matches!(route.to.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local() || ip.is_multicast());
                if let Some(link) = through
                    && route.table != LOCAL
                    && route.to.prefix() != 0
                    && !is_everywhere
                {
                    node.routes.push(Route { link: link.name.clone(), to: route.to });
                }
            }
        }
        Ok(node)
    }
}

/// Checks every network against the node.
pub(super) fn check(report: &mut Report, node: &Node) {
    let mut findings = Vec::new();
    for leasing in &leasing(&report.networks) {
        addresses(report, leasing, node, &mut findings);
        routes(report, leasing, node, &mut findings);
    }
    for network in &report.networks {
        for plugin in &network.plugins {
            let Segment::Master(master, _) = segment(plugin) else { continue };
            if !node.links.iter().any(|link| link == master) {
                findings.push(
                    Finding::new(
                        Severity::Warning,
                        "no-master",
                        report.place(network.document, &plugin.key("master")),
                        format!("this node has no link {master}"),
                    )
                    .label("is not there")
                    .advice(format!("the node has {}", node.links.join(", "))),
                );
            }
        }
    }
    report.findings.extend(findings);
}

/// An address of the node that a container may get.
fn addresses(report: &Report, leasing: &Leasing<'_>, node: &Node, findings: &mut Vec<Finding>) {
    let range = &leasing.range;
    for Address { link, address } in &node.addresses {
        let ip = address.ip();
        if !range.contains(ip) || range.is_barred(number(ip)) {
            continue;
        }
        findings.push(
            Finding::new(
                Severity::Error,
                "node-address",
                leasing.place(report),
                format!("{ip} is this node's own address, on {link}, and may be given to a container"),
            )
            .label(format!("{ip} is in the range"))
            .advice(format!(
                "leave it out: \"exclude\": [\"{ip}\"], or bound the range by rangeStart and rangeEnd"
            )),
        );
    }
}

/// A network that the node reaches another way. Where containers are on a network of the node's, that
/// is as it should be.
fn routes(report: &Report, leasing: &Leasing<'_>, node: &Node, findings: &mut Vec<Finding>) {
    let own = match leasing.segment() {
        Segment::Bridge(name) => Some(name),
        Segment::Pair => None,
        Segment::Master(..) | Segment::Unknown => return,
    };
    let subnet = leasing.range.subnet;
    let touches = |to: &IpNetwork| {
        to.is_ipv4() == subnet.is_ipv4()
            && (to.contains(subnet.network()) || subnet.contains(to.network()))
    };
    // A VLAN of the bridge has the bridge's name before its own.
    let is_own = |link: &str| {
        own.is_some_and(|own| {
            link == own || link.strip_prefix(own).is_some_and(|rest| rest.starts_with('.'))
        })
    };
    let found = node.routes.iter().find(|route| touches(&route.to) && !is_own(&route.link));
    if let Some(Route { link, to }) = found {
        findings.push(
            Finding::new(
                Severity::Error,
                "node-network",
                leasing.place(report),
                format!(
                    "the subnet {subnet} overlaps {to}, which this node reaches through {link}"
                ),
            )
            .label(format!("is also reached through {link}"))
            .advice("choose a subnet that the node does not use"),
        );
    }
}
