//! Routes (rtnetlink(7), RTM_*ROUTE).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric,
    RouteProtocol, RouteScope,
};
use nix::errno::Errno;
use rtnetlink::RouteMessageBuilder;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::netlink::{RouteSocket, flags};

/// A route through a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The destination; host bits are ignored.
    pub to: IpNetwork,
    /// The next hop; on-link without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// Bytes; the path's MTU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Bytes; the TCP segment size to advertise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
    /// Lower is preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// The main table without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// `rtm_scope`: 0 global, 253 link, 254 host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
}

impl std::fmt::Display for Route {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.to)?;
        if let Some(via) = self.via {
            write!(out, " via {via}")?;
        }
        if let Some(priority) = self.priority {
            write!(out, " metric {priority}")?;
        }
        if let Some(table) = self.table {
            write!(out, " table {table}")?;
        }
        Ok(())
    }
}

fn message(route: &Route, link: u32) -> RouteMessage {
    let mut message = match route.to {
        IpNetwork::V4(to) => {
            let mut builder = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(to.network(), to.prefix());
            if let Some(IpAddr::V4(via)) = route.via {
                builder = builder.gateway(via);
            }
            builder.build()
        }
        IpNetwork::V6(to) => {
            let mut builder = RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(to.network(), to.prefix());
            if let Some(IpAddr::V6(via)) = route.via {
                builder = builder.gateway(via);
            }
            builder.build()
        }
    };
    // The reference plugins leave the protocol at "boot"; `ip route` shows that as the default.
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::from(route.scope.unwrap_or(0));
    match route.table {
        Some(table) => match u8::try_from(table) {
            Ok(small) => message.header.table = small,
            Err(_) => {
                message.header.table = RouteHeader::RT_TABLE_UNSPEC;
                message.attributes.push(RouteAttribute::Table(table));
            }
        },
        None => message.header.table = RouteHeader::RT_TABLE_MAIN,
    }
    message.attributes.push(RouteAttribute::Oif(link));
    if let Some(priority) = route.priority {
        message.attributes.push(RouteAttribute::Priority(priority));
    }
    let metrics: Vec<RouteMetric> =
        [route.mtu.map(RouteMetric::Mtu), route.advmss.map(RouteMetric::Advmss)]
            .into_iter()
            .flatten()
            .collect();
    if !metrics.is_empty() {
        message.attributes.push(RouteAttribute::Metrics(metrics));
    }
    message
}

/// Queues adding a route. Beside an equal one with another next hop, IPv4 puts it first and IPv6
/// makes it a further hop; `EEXIST` comes back for one that is there exactly.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_add(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    route: &Route,
) -> Result<(), Error> {
    let request = RouteNetlinkMessage::NewRoute(message(route, link));
    let doing = format!("add route {route} dev {name}");
    socket.queue(request, flags::CREATE, doing)
}

/// Queues removing a route. `ESRCH` comes back when it is not there.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_remove(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    route: &Route,
) -> Result<(), Error> {
    let request = RouteNetlinkMessage::DelRoute(message(route, link));
    socket.queue(request, 0, format!("remove route {route} dev {name}"))
}

/// A route as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The destination.
    pub to: IpNetwork,
    /// The next hops.
    pub via: Vec<IpAddr>,
    /// The table.
    pub table: u32,
    /// The outgoing links.
    pub links: Vec<u32>,
    /// The priority; 0 when none is set.
    pub priority: u32,
}

/// Lists the routes of one family, of all tables.
///
/// # Errors
/// Any refusal.
pub fn list(socket: &mut RouteSocket, v6: bool) -> Result<Vec<Present>, Error> {
    let mut request = RouteMessage::default();
    request.header.address_family = if v6 {
        netlink_packet_route::AddressFamily::Inet6
    } else {
        netlink_packet_route::AddressFamily::Inet
    };
    let answers =
        match socket.ask(RouteNetlinkMessage::GetRoute(request), flags::DUMP, "list the routes") {
            // A namespace without IPv6 has no routes of it.
            Err(error) if v6 && (error.is(Errno::EOPNOTSUPP) || error.is(Errno::EAFNOSUPPORT)) => {
                return Ok(Vec::new());
            }
            other => other?,
        };
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(message) => read(message, v6),
            _ => None,
        })
        .collect())
}

fn read(message: RouteMessage, v6: bool) -> Option<Present> {
    if message.header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let unspecified: IpAddr =
        if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let mut to = unspecified;
    let mut table = u32::from(message.header.table);
    let (mut via, mut links, mut priority) = (Vec::new(), Vec::new(), 0);
    let plain = |address: &RouteAddress| match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = plain(address)?,
            RouteAttribute::Gateway(address) => via.extend(plain(address)),
            RouteAttribute::Oif(index) => links.push(*index),
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(number) => priority = *number,
            RouteAttribute::MultiPath(hops) => {
                for hop in hops {
                    links.push(hop.interface_index);
                    for attribute in &hop.attributes {
                        if let RouteAttribute::Gateway(address) = attribute {
                            via.extend(plain(address));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    let to = IpNetwork::new(to, message.header.destination_prefix_length).ok()?;
    Some(Present { to, via, table, links, priority })
}
