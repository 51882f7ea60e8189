//! VLANs of bridge ports (RTM_SETLINK and RTM_DELLINK of family AF_BRIDGE, net/bridge/br_netlink.c).

use netlink_packet_route::link::{
    AfSpecBridge, BridgeFlag, BridgeVlanInfo, BridgeVlanInfoFlags, LinkAttribute, LinkExtentMask,
    LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::attr::{self, Reader};
use super::error::Error;
use super::netlink::{RouteSocket, flags};

fn message(port: u32, vid: u16, flags: BridgeVlanInfoFlags) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = port;
    message.attributes.push(LinkAttribute::AfSpecBridge(vec![
        AfSpecBridge::Flags(BridgeFlag::Controller),
        AfSpecBridge::VlanInfo(BridgeVlanInfo { flags, vid }),
    ]));
    message
}

/// Queues letting a port carry a VLAN; `native` makes it the one that untagged frames belong to
/// (PVID, sent untagged).
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_add(socket: &mut RouteSocket, port: u32, vid: u16, native: bool) -> Result<(), Error> {
    let flags = if native {
        BridgeVlanInfoFlags::Pvid | BridgeVlanInfoFlags::Untagged
    } else {
        BridgeVlanInfoFlags::empty()
    };
    let request = RouteNetlinkMessage::SetLink(message(port, vid, flags));
    socket.queue(request, 0, format!("let bridge port number {port} carry VLAN {vid}"))
}

/// Queues taking a VLAN from a port.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_remove(socket: &mut RouteSocket, port: u32, vid: u16) -> Result<(), Error> {
    let request = RouteNetlinkMessage::DelLink(message(port, vid, BridgeVlanInfoFlags::empty()));
    socket.queue(request, 0, format!("take VLAN {vid} from bridge port number {port}"))
}

/// A VLAN that a port carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// The VLAN ID.
    pub vid: u16,
    /// Whether untagged frames belong to it.
    pub native: bool,
}

/// Lists the VLANs that a port carries. The kernel lists every port's; only CHECK asks.
///
/// # Errors
/// Any refusal.
pub fn list(socket: &mut RouteSocket, port: u32) -> Result<Vec<Carried>, Error> {
    let mut request = LinkMessage::default();
    request.header.interface_family = AddressFamily::Bridge;
    request.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::Brvlan]));
    let request = RouteNetlinkMessage::GetLink(request);
    let mut read = |kind: u16, message: &[u8]| Ok(read(kind, message, port));
    let of_port = socket.ask(request, flags::DUMP, "list the VLANs of bridge ports", &mut read)?;
    Ok(of_port.into_iter().flatten().collect())
}

/// Kinds of attributes and values of linux/if_bridge.h.
mod wire {
    pub(super) const RTM_NEWLINK: u16 = 16;
    pub(super) const INDEX: usize = 16 + 4;
    /// `nlmsghdr` and `ifinfomsg` stand before the attributes.
    pub(super) const ATTRIBUTES: usize = 16 + 16;
    pub(super) const AF_SPEC: u16 = 26;
    pub(super) const VLAN: u16 = 2;
    pub(super) const PVID: u16 = 0x2;
}

/// Reads an RTM_NEWLINK message of family AF_BRIDGE; `None` for another port's.
fn read(kind: u16, message: &[u8], port: u32) -> Option<Vec<Carried>> {
    let index = message.get(wire::INDEX..)?.first_chunk::<4>()?;
    if kind != wire::RTM_NEWLINK || u32::from_ne_bytes(*index) != port {
        return None;
    }
    let vlans = attr::find(message.get(wire::ATTRIBUTES..)?, wire::AF_SPEC)?;
    let carried = Reader::new(vlans).filter(|one| one.kind == wire::VLAN).filter_map(|one| {
        let [a, b, c, d] = *one.value.first_chunk::<4>()?;
        let native = u16::from_ne_bytes([a, b]) & wire::PVID != 0;
        Some(Carried { vid: u16::from_ne_bytes([c, d]), native })
    });
    Some(carried.collect())
}
