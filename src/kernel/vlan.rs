//! VLANs of bridge ports (RTM_SETLINK and RTM_DELLINK of family AF_BRIDGE, net/bridge/br_netlink.c).

use netlink_packet_route::link::{
    AfSpecBridge, BridgeFlag, BridgeVlanInfo, BridgeVlanInfoFlags, LinkAttribute, LinkExtentMask,
    LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::attr::{self, Reader};
use super::error::Error;
use super::netlink::{RouteSocket, flags};

fn message(port: u32, vlans: impl Iterator<Item = BridgeVlanInfo>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = port;
    let mut about = vec![AfSpecBridge::Flags(BridgeFlag::Controller)];
    about.extend(vlans.map(AfSpecBridge::VlanInfo));
    message.attributes.push(LinkAttribute::AfSpecBridge(about));
    message
}

/// Queues letting a port carry a VLAN as the one that untagged frames belong to (PVID, sent
/// untagged).
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_native(socket: &mut RouteSocket, port: u32, vid: u16) -> Result<(), Error> {
    let flags = BridgeVlanInfoFlags::Pvid | BridgeVlanInfoFlags::Untagged;
    let message = message(port, [BridgeVlanInfo { flags, vid }].into_iter());
    let doing = format!("let bridge port number {port} carry VLAN {vid}");
    socket.queue(RouteNetlinkMessage::SetLink(message), 0, doing)
}

/// Queues letting a port carry VLANs with tags, in as few requests as their runs allow.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_tagged(socket: &mut RouteSocket, port: u32, vids: &[u16]) -> Result<(), Error> {
    for (first, last) in runs(vids) {
        let ends = [
            BridgeVlanInfo { flags: BridgeVlanInfoFlags::RangeBegin, vid: first },
            BridgeVlanInfo { flags: BridgeVlanInfoFlags::RangeEnd, vid: last },
        ];
        let single = [BridgeVlanInfo { flags: BridgeVlanInfoFlags::empty(), vid: first }];
        let vlans: &[BridgeVlanInfo] = if first == last { &single } else { &ends };
        let message = message(port, vlans.iter().cloned());
        let doing = format!("let bridge port number {port} carry VLANs {first} to {last}");
        socket.queue(RouteNetlinkMessage::SetLink(message), 0, doing)?;
    }
    Ok(())
}

/// Takes a VLAN from a port, if it carries it.
///
/// # Errors
/// Any refusal.
pub fn remove(socket: &mut RouteSocket, port: u32, vid: u16) -> Result<(), Error> {
    let info = BridgeVlanInfo { flags: BridgeVlanInfoFlags::empty(), vid };
    let request = RouteNetlinkMessage::DelLink(message(port, [info].into_iter()));
    match socket.order(request, 0, format!("take VLAN {vid} from bridge port number {port}")) {
        Err(error) if error.is(Errno::ENOENT) => Ok(()),
        other => other,
    }
}

/// First and last of each run of consecutive numbers; `vids` ascend.
pub fn runs(vids: &[u16]) -> Vec<(u16, u16)> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for vid in vids {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*vid) => *last = *vid,
            _ => runs.push((*vid, *vid)),
        }
    }
    runs
}

/// What a kernel without VLAN filtering means by a refusal; any other refusal stays as it is.
pub fn explained(error: Error) -> Error {
    if error.is(Errno::EOPNOTSUPP) {
        Error::Missing {
            feature: "bridge VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING)".into(),
            needed_for: "a bridge with vlan or vlanTrunk".into(),
        }
    } else {
        error
    }
}

/// A VLAN that a port carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// The VLAN ID.
    pub vid: u16,
    /// Whether untagged frames from the port belong to it (PVID).
    pub native: bool,
    /// Whether the port gets its frames without tags.
    pub untagged: bool,
}

/// Lists the VLANs that a port carries. The kernel lists every port's; only CHECK asks.
///
/// # Errors
/// Any refusal.
pub fn list(socket: &mut RouteSocket, port: u32) -> Result<Vec<Carried>, Error> {
    let mut request = LinkMessage::default();
    request.header.interface_family = AddressFamily::Bridge;
    request.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::BrvlanCompressed]));
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
    pub(super) const UNTAGGED: u16 = 0x4;
    /// The first of a run; the next VLAN told of is the last.
    pub(super) const RANGE_BEGIN: u16 = 0x8;
}

/// Reads an RTM_NEWLINK message of family AF_BRIDGE; `None` for another port's.
pub(crate) fn read(kind: u16, message: &[u8], port: u32) -> Option<Vec<Carried>> {
    let index = message.get(wire::INDEX..)?.first_chunk::<4>()?;
    if kind != wire::RTM_NEWLINK || u32::from_ne_bytes(*index) != port {
        return None;
    }
    let vlans = attr::find(message.get(wire::ATTRIBUTES..)?, wire::AF_SPEC)?;
    let mut carried = Vec::new();
    let mut run_from = None;
    for one in Reader::new(vlans).filter(|one| one.kind == wire::VLAN) {
        let [a, b, c, d] = *one.value.first_chunk::<4>()?;
        let (flags, vid) = (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]));
        if flags & wire::RANGE_BEGIN != 0 {
            run_from = Some(vid);
            continue;
        }
        carried.extend((run_from.take().unwrap_or(vid)..=vid).map(|vid| Carried {
            vid,
            native: flags & wire::PVID != 0,
            untagged: flags & wire::UNTAGGED != 0,
        }));
    }
    Some(carried)
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn runs_join_neighbours() {
        assert_eq!(runs(&[]), []);
        assert_eq!(
            runs(&[1, 2, 3, 7, 9, 10, u16::MAX]),
            [(1, 3), (7, 7), (9, 10), (u16::MAX, u16::MAX)]
        );
    }
}
