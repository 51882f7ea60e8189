//! Where a packet would be sent (RTM_GETROUTE without NLM_F_DUMP): the kernel's own answer, with all
//! rules and tables.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use nix::errno::Errno;
use rtnetlink::RouteMessageBuilder;

use super::{read, wire, word};
use crate::kernel::attr;
use crate::kernel::error::Error;
use crate::kernel::netlink::RouteSocket;

/// The index of the link that leads to an address; `None` without a route to it.
///
/// # Errors
/// Any refusal but that there is no route.
pub fn link_to(socket: &mut RouteSocket, address: IpAddr) -> Result<Option<u32>, Error> {
    let request = RouteNetlinkMessage::GetRoute(question(address));
    let cloned = super::Cloned::Kept;
    let mut read = |kind: u16, message: &[u8]| Ok(read(kind, message, address.is_ipv6(), cloned));
    match socket.ask(request, 0, format!("look up the route to {address}"), &mut read) {
        Ok(found) => Ok(found.first().and_then(|route| route.links.first().copied())),
        Err(error) if error.is(Errno::ENETUNREACH) || error.is(Errno::EHOSTUNREACH) => Ok(None),
        Err(error) => Err(error),
    }
}

fn question(to: IpAddr) -> RouteMessage {
    let mut message = match to {
        IpAddr::V4(to) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to, 32).build(),
        IpAddr::V6(to) => {
            RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(to, 128).build()
        }
    };
    // What the builder fills in for a new route, a question must leave out.
    message.header.protocol = RouteProtocol::Unspec;
    message.header.kind = RouteType::Unspec;
    message.header.scope = RouteScope::Universe;
    message.header.table = RouteHeader::RT_TABLE_UNSPEC;
    message
}

/// The way that the kernel would choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The link it goes out by.
    pub link: Option<u32>,
    /// The next hop; `None` when the destination is on the link itself.
    pub via: Option<IpAddr>,
    /// The source address that a packet of the namespace's own would get.
    pub source: Option<IpAddr>,
    /// Whether the destination is the namespace itself.
    pub local: bool,
    /// The table that the route is in.
    pub table: u32,
    /// The route's MTU, in bytes, if it has one of its own.
    pub mtu: Option<u32>,
}

/// What the kernel answers to the question for a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// This one.
    Way(Way),
    /// There is none, and why.
    None(Errno),
}

/// `RTA_PREFSRC` and `RTA_METRICS` of linux/rtnetlink.h, `RTAX_MTU` within, and `RTN_LOCAL`.
const PREFERRED_SOURCE: u16 = 7;
const METRICS: u16 = 8;
const METRIC_MTU: u16 = 2;
const LOCAL: u8 = 2;

/// Which way a packet to `to` would take: one of the namespace's own, or with `from` one that comes in
/// by the link of that index from that address.
///
/// # Errors
/// Any refusal but that there is no way.
pub fn way(
    socket: &mut RouteSocket,
    to: IpAddr,
    from: Option<(IpAddr, u32)>,
) -> Result<Answer, Error> {
    let mut message = question(to);
    if let Some((source, link)) = from {
        message.header.source_prefix_length = if source.is_ipv4() { 32 } else { 128 };
        let source = match source {
            IpAddr::V4(source) => RouteAddress::Inet(source),
            IpAddr::V6(source) => RouteAddress::Inet6(source),
        };
        message.attributes.push(RouteAttribute::Source(source));
        message.attributes.push(RouteAttribute::Iif(link));
    }
    let request = RouteNetlinkMessage::GetRoute(message);
    let mut read = |kind: u16, message: &[u8]| Ok(read_way(kind, message, to.is_ipv6()));
    match socket.ask(request, 0, format!("look up the route to {to}"), &mut read) {
        Ok(found) => {
            Ok(found.into_iter().next().map_or(Answer::None(Errno::ENETUNREACH), Answer::Way))
        }
        Err(Error::Refused { errno, .. })
            if matches!(
                errno,
                Errno::ENETUNREACH
                    | Errno::EHOSTUNREACH
                    | Errno::EACCES
                    | Errno::EINVAL
                    | Errno::EXDEV
                    | Errno::EPERM
            ) =>
        {
            Ok(Answer::None(errno))
        }
        Err(error) => Err(error),
    }
}

fn read_way(kind: u16, message: &[u8], v6: bool) -> Option<Way> {
    let route = read(kind, message, v6, super::Cloned::Kept)?;
    let route_type = message.get(wire::HEADER..)?.first_chunk::<12>()?.get(7).copied();
    let attributes = message.get(wire::ATTRIBUTES..)?;
    let metrics = attr::find(attributes, METRICS).unwrap_or_default();
    Some(Way {
        link: route.links.first().copied(),
        via: route.via.first().copied(),
        source: attr::find(attributes, PREFERRED_SOURCE).and_then(super::address),
        local: route_type == Some(LOCAL),
        table: route.table,
        mtu: attr::find(metrics, METRIC_MTU).and_then(word),
    })
}
