//! An IPv6 address that the container's kernel makes from a router's advertisements (RFC 4862).

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::addr::Address;
use crate::kernel::netlink::RouteSocket;
use crate::kernel::{self, addr, link, neighbour_discovery, route};

/// Addresses of one interface of the container that routers give; they go with the interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slaac {
    /// The interface.
    pub link: String,
    /// How long ADD waits for the first.
    pub seconds: u16,
    /// What ADD got, for CHECK; else any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpNetwork>,
    /// The routers that ADD found, for CHECK.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routers: Vec<Ipv6Addr>,
}

/// What routers gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    /// Addresses with their prefix lengths.
    pub addresses: Vec<IpNetwork>,
    /// The default routers' addresses.
    pub routers: Vec<Ipv6Addr>,
}

fn usable(address: &Address) -> bool {
    address.by_router && !address.tentative && !address.duplicate
}

impl Slaac {
    /// What routers have given by now.
    ///
    /// # Errors
    /// The kernel's refusal, or that the container or the interface is gone.
    pub fn given(&self, node: &mut Node<'_>) -> Result<Given, Error> {
        let index = node.pod_index(&self.link)?;
        let socket = &mut node.pod()?.route;
        let addresses = addr::list(socket, index)?;
        let addresses = addresses.iter().filter(|one| usable(one)).map(|one| one.network).collect();
        let mut routers = Vec::new();
        for route in route::list(socket, true)? {
            if route.to.prefix() == 0 && route.links.contains(&index) {
                routers.extend(route.via.iter().filter_map(|via| match via {
                    IpAddr::V6(via) if via.is_unicast_link_local() => Some(*via),
                    _ => None,
                }));
            }
        }
        Ok(Given { addresses, routers })
    }

    /// Why there is no address: what was sent and heard.
    fn failure(&self, node: &mut Node<'_>) -> Result<String, Error> {
        let link = &self.link;
        let counted = node.within(Side::Pod, || neighbour_discovery::count(link))??;
        let has_carrier = link::find(&mut node.pod()?.route, link)?.is_none_or(|one| one.running);
        let why = match counted.advertisements {
            _ if !has_carrier => format!("{link} has no carrier"),
            0 => "no router answers on its network".to_owned(),
            _ => "none has a prefix of 64 bits from which addresses may be made \
                  (in radvd.conf AdvAutonomous)"
                .to_owned(),
        };
        Ok(format!(
            "slaac: {link} has no IPv6 address from router advertisements after {} s: {} router \
             solicitations sent, {} router advertisements heard; {why}",
            self.seconds, counted.solicitations, counted.advertisements
        ))
    }
}

impl Kind for Slaac {
    fn describe(&self) -> String {
        format!(
            "wait up to {} s until {} has an IPv6 address from a router's advertisement",
            self.seconds, self.link
        )
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        node.flush()?;
        let start = Instant::now();
        let limit = Duration::from_secs(self.seconds.into());
        let index = node.pod_index(&self.link)?;
        let groups = (libc::RTMGRP_IPV6_IFADDR | libc::RTMGRP_IPV6_ROUTE) as u32;
        let mut listener = node.within(Side::Pod, || RouteSocket::listen(groups))??;
        loop {
            if addr::list(&mut node.pod()?.route, index)?.iter().any(usable) {
                return Ok(Made::Now);
            }
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(kernel::Error::TimedOut(self.failure(node)?).into());
            }
            let wait = u16::try_from(left.as_millis()).unwrap_or(u16::MAX).max(1);
            // The kernel tries an address that is another's again with the next advertisement.
            if let Some(taken) = addr::given_up(listener.hear(wait)?, index) {
                return Err(kernel::Error::TimedOut(format!(
                    "slaac: address {taken} of {} is in use by another host (duplicate address \
                     detection failed)",
                    self.link
                ))
                .into());
            }
        }
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let link = &self.link;
        if link::index(&node.pod()?.route, link)?.is_none() {
            return Ok(vec![format!("interface {link} is not in the container")]);
        }
        let given = self.given(node)?;
        let mut wrong = Vec::new();
        if given.addresses.is_empty() {
            wrong.push(format!("{link} has no IPv6 address from router advertisements"));
        }
        for address in self.addresses.iter().filter(|one| !given.addresses.contains(one)) {
            wrong.push(format!("address {address} from a router's advertisement is not on {link}"));
        }
        for router in self.routers.iter().filter(|one| !given.routers.contains(one)) {
            wrong.push(format!("{link} has no default route via router {router}"));
        }
        Ok(wrong)
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        // It goes with the interface.
        Ok(())
    }

    fn outlives_namespace(&self) -> bool {
        false
    }
}
