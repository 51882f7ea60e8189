//! Where the host would send a packet (RTM_GETROUTE without NLM_F_DUMP).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteHeader, RouteProtocol, RouteScope, RouteType};
use nix::errno::Errno;
use rtnetlink::RouteMessageBuilder;

use super::read;
use crate::kernel::error::Error;
use crate::kernel::netlink::RouteSocket;

/// The index of the link that leads to an address; `None` without a route to it.
///
/// # Errors
/// Any refusal but that there is no route.
pub fn link_to(socket: &mut RouteSocket, address: IpAddr) -> Result<Option<u32>, Error> {
    let mut message = match address {
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
    let request = RouteNetlinkMessage::GetRoute(message);
    let cloned = super::Cloned::Kept;
    let mut read = |kind: u16, message: &[u8]| Ok(read(kind, message, address.is_ipv6(), cloned));
    match socket.ask(request, 0, format!("look up the route to {address}"), &mut read) {
        Ok(found) => Ok(found.first().and_then(|route| route.links.first().copied())),
        Err(error) if error.is(Errno::ENETUNREACH) || error.is(Errno::EHOSTUNREACH) => Ok(None),
        Err(error) => Err(error),
    }
}
