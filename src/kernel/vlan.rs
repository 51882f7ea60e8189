//! VLANs of bridge ports (RTM_SETLINK and RTM_DELLINK of family AF_BRIDGE, net/bridge/br_netlink.c).

use netlink_packet_route::link::{
    AfSpecBridge, BridgeFlag, BridgeVlanInfo, BridgeVlanInfoFlags, LinkAttribute, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::error::Error;
use super::netlink::RouteSocket;

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
