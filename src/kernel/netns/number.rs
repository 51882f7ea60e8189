//! The numbers by which a namespace knows others (RTM_GETNSID, net/core/net_namespace.c).

use std::os::fd::AsRawFd;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use super::Namespace;
use crate::kernel::attr;
use crate::kernel::error::Error;
use crate::kernel::netlink::RouteSocket;

const RTM_NEWNSID: u16 = 88;
/// `nlmsghdr` and the padded `rtgenmsg` stand before the attributes.
const ATTRIBUTES: usize = 16 + 4;
const NETNSA_NSID: u16 = 1;

/// The number by which the socket's namespace knows `namespace`, which links tell of their other half
/// ([`crate::kernel::link::Link::peer_namespace`]); `None` when it has none, for no link leads there.
///
/// # Errors
/// Any refusal.
pub fn number(socket: &mut RouteSocket, namespace: &Namespace) -> Result<Option<i32>, Error> {
    let mut message = NsidMessage::default();
    let fd = namespace.file.as_raw_fd();
    message.attributes.push(NsidAttribute::Fd(u32::try_from(fd).unwrap_or(u32::MAX)));
    let request = RouteNetlinkMessage::GetNsId(message);
    let doing = format!("ask for the number of {}", namespace.path.display());
    let found = socket.ask(request, 0, doing, &mut |kind, message| {
        let attributes = message.get(ATTRIBUTES..).filter(|_| kind == RTM_NEWNSID);
        let value = attributes.and_then(|attributes| attr::find(attributes, NETNSA_NSID));
        Ok(value.and_then(|value| value.try_into().ok()).map(i32::from_ne_bytes))
    })?;
    Ok(found.into_iter().find(|number| *number >= 0))
}
