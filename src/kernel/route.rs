//! Routes (rtnetlink(7), RTM_*ROUTE).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
};
use nix::errno::Errno;
use rtnetlink::RouteMessageBuilder;
use serde::{Deserialize, Serialize};

pub mod lookup;
pub mod whole;

use super::attr::{self, Attribute, Reader};
use super::error::Error;
use super::netlink::{Reading, RouteSocket, flags};

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

/// As [`queue_add`], but `EEXIST` comes back when there is a route to the same destination with the
/// same priority, wherever it leads.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_add_alone(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    route: &Route,
) -> Result<(), Error> {
    let request = RouteNetlinkMessage::NewRoute(message(route, link));
    let doing = format!("add route {route} dev {name}");
    socket.queue(request, flags::CREATE | flags::EXCL, doing)
}

/// Queues adding a route that gives packets the source address `source`, in the place of one to the
/// same destination with the same priority. The address must be on a link already.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_add_from(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    route: &Route,
    source: IpAddr,
) -> Result<(), Error> {
    let mut message = message(route, link);
    message.attributes.push(RouteAttribute::PrefSource(address_attribute(source)));
    let doing = format!("add route {route} dev {name} with source {source}");
    socket.queue(RouteNetlinkMessage::NewRoute(message), flags::CREATE | flags::REPLACE, doing)
}

/// Queues removing the route that the kernel makes for an address's subnet. `ESRCH` comes back when it
/// is not there.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_remove_connected(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    subnet: IpNetwork,
) -> Result<(), Error> {
    let scope = if subnet.is_ipv4() { RouteScope::Link } else { RouteScope::Universe };
    let route = Route {
        to: subnet,
        via: None,
        mtu: None,
        advmss: None,
        priority: None,
        table: None,
        scope: Some(u8::from(scope)),
    };
    let mut message = message(&route, link);
    message.header.protocol = RouteProtocol::Kernel;
    let doing = format!("remove the kernel's route {subnet} dev {name}");
    socket.queue(RouteNetlinkMessage::DelRoute(message), 0, doing)
}

/// Queues a route on the link itself that gives packets a source address, in the place of one to the
/// same destination with the same priority.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_source_hint(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    source: IpNetwork,
) -> Result<(), Error> {
    let request = RouteNetlinkMessage::NewRoute(source_hint(link, source));
    let doing = format!("add route {source} dev {name} with source {}", source.ip());
    socket.queue(request, flags::CREATE | flags::REPLACE, doing)
}

/// Queues removing what [`queue_source_hint`] made. `ESRCH` comes back when it is not there.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_remove_source_hint(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    source: IpNetwork,
) -> Result<(), Error> {
    let request = RouteNetlinkMessage::DelRoute(source_hint(link, source));
    let doing = format!("remove route {source} dev {name} with source {}", source.ip());
    socket.queue(request, 0, doing)
}

fn source_hint(link: u32, source: IpNetwork) -> RouteMessage {
    let scope = u8::from(RouteScope::Link);
    let route = Route {
        to: source,
        via: None,
        mtu: None,
        advmss: None,
        priority: None,
        table: None,
        scope: Some(scope),
    };
    let mut message = message(&route, link);
    message.attributes.push(RouteAttribute::PrefSource(address_attribute(source.ip())));
    message
}

fn address_attribute(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
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
    dump(socket, v6, &mut |kind, message| Ok(read(kind, message, v6, Cloned::PassedOver)))
}

fn dump<T>(socket: &mut RouteSocket, v6: bool, read: Reading<'_, T>) -> Result<Vec<T>, Error> {
    let mut request = RouteMessage::default();
    request.header.address_family = if v6 {
        netlink_packet_route::AddressFamily::Inet6
    } else {
        netlink_packet_route::AddressFamily::Inet
    };
    // A kernel without IPv6 answers with the routes of all the families that it has (rtnetlink_rcv_msg in
    // net/core/rtnetlink.c).
    let family = u8::from(request.header.address_family);
    let mut of_family = |kind: u16, message: &[u8]| match message.get(wire::HEADER) {
        Some(other) if *other != family => Ok(None),
        _ => read(kind, message),
    };
    let request = RouteNetlinkMessage::GetRoute(request);
    match socket.ask(request, flags::DUMP, "list the routes", &mut of_family) {
        // A namespace without IPv6 has no routes of it.
        Err(error) if v6 && (error.is(Errno::EOPNOTSUPP) || error.is(Errno::EAFNOSUPPORT)) => {
            Ok(Vec::new())
        }
        other => other,
    }
}

/// Kinds of attributes and values of linux/rtnetlink.h.
mod wire {
    pub(super) const RTM_NEWROUTE: u16 = 24;
    pub(super) const HEADER: usize = 16;
    /// `nlmsghdr` and `rtmsg` stand before the attributes.
    pub(super) const ATTRIBUTES: usize = HEADER + 12;
    pub(super) const DESTINATION: u16 = 1;
    pub(super) const LINK: u16 = 4;
    pub(super) const GATEWAY: u16 = 5;
    pub(super) const PRIORITY: u16 = 6;
    pub(super) const MULTIPATH: u16 = 9;
    pub(super) const TABLE: u16 = 15;
    /// Made for one destination from another route.
    pub(super) const CLONED: u32 = 0x200;
    /// The length of `struct rtnexthop`.
    pub(super) const HOP: usize = 8;
}

/// What becomes of routes that were made for one destination from another route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cloned {
    /// A list of routes does without.
    PassedOver,
    /// A lookup gives nothing else.
    Kept,
}

/// Reads an RTM_NEWROUTE message.
pub(crate) fn read(kind: u16, message: &[u8], v6: bool, cloned: Cloned) -> Option<Present> {
    let header = message.get(wire::HEADER..)?.first_chunk::<12>()?;
    let [_family, prefix, _source, _tos, table, _protocol, _scope, _type, flags @ ..] = header;
    let is_cloned = u32::from_ne_bytes(*flags) & wire::CLONED != 0;
    if kind != wire::RTM_NEWROUTE || (is_cloned && cloned == Cloned::PassedOver) {
        return None;
    }
    let mut to: IpAddr =
        if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let mut present = Present {
        to: IpNetwork::from(to),
        via: Vec::new(),
        table: u32::from(*table),
        links: Vec::new(),
        priority: 0,
    };
    for Attribute { kind, value, .. } in Reader::new(message.get(wire::ATTRIBUTES..)?) {
        match kind {
            wire::DESTINATION => to = address(value)?,
            wire::GATEWAY => present.via.extend(address(value)),
            wire::LINK => present.links.extend(word(value)),
            wire::TABLE => present.table = word(value)?,
            wire::PRIORITY => present.priority = word(value)?,
            wire::MULTIPATH => present.read_hops(value),
            _ => {}
        }
    }
    present.to = IpNetwork::new(to, *prefix).ok()?;
    Some(present)
}

impl Present {
    fn read_hops(&mut self, mut hops: &[u8]) {
        while let Some([a, b, _flags, _weight, index @ ..]) = hops.first_chunk::<{ wire::HOP }>() {
            self.links.push(u32::from_ne_bytes(*index));
            let length = usize::from(u16::from_ne_bytes([*a, *b])).max(wire::HOP);
            let attributes = hops.get(wire::HOP..length).unwrap_or_default();
            self.via.extend(attr::find(attributes, wire::GATEWAY).and_then(address));
            hops = hops.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// The number that `bytes` are, in the machine's byte order.
fn word(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

/// The address that `bytes` are, of either family.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}
