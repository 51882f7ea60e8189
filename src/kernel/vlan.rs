//! VLANs of bridge ports (RTM_SETLINK and RTM_DELLINK of family AF_BRIDGE, net/bridge/br_netlink.c).

use netlink_packet_route::link::{
    AfSpecBridge, BridgeFlag, BridgeVlanInfo, BridgeVlanInfoFlags, LinkAttribute, LinkExtentMask,
    LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

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
    let mut carried = Vec::new();
    for answer in socket.ask(request, flags::DUMP, "list the VLANs of bridge ports")? {
        let RouteNetlinkMessage::NewLink(message) = answer else { continue };
        if message.header.index != port {
            continue;
        }
        for attribute in message.attributes {
            let LinkAttribute::AfSpecBridge(entries) = attribute else { continue };
            for entry in entries {
                if let AfSpecBridge::VlanInfo(info) = entry {
                    let native = info.flags.contains(BridgeVlanInfoFlags::Pvid);
                    carried.push(Carried { vid: info.vid, native });
                }
            }
        }
    }
    Ok(carried)
}
