//! Neighbours: which hardware address the kernel has found for an address on a link (rtnetlink(7),
//! RTM_GETNEIGH; linux/neighbour.h), and behind which port a bridge has found a hardware address. Only read;
//! the kernel makes them itself.

use std::net::IpAddr;

use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::attr;
use super::error::Error;
use super::mac::Mac;
use super::netlink::{RouteSocket, flags};

/// A neighbour as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The index of the link it is on.
    pub link: u32,
    /// Its address.
    pub address: IpAddr,
    /// The hardware address that packets to it are sent to; `None` while nobody has answered.
    pub mac: Option<Mac>,
    /// It did not answer when it was asked for (`NUD_FAILED`).
    pub failed: bool,
    /// Somebody has written it down for good (`NUD_PERMANENT`, `NUD_NOARP`), so it is not asked for.
    pub fixed: bool,
}

/// Where a bridge sends what is for a hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forwarding {
    /// The index of the port.
    pub port: u32,
    /// The index of the bridge; `None` for what a link itself does with such addresses.
    pub bridge: Option<u32>,
    /// The hardware address.
    pub mac: Mac,
    /// Somebody has written it down (`NUD_NOARP`), so it is not learned anew; or it is the port's own
    /// (`NUD_PERMANENT`).
    pub fixed: bool,
}

mod wire {
    pub(super) const RTM_NEWNEIGH: u16 = 28;
    pub(super) const HEADER: usize = 16;
    /// `nlmsghdr` and `ndmsg` stand before the attributes.
    pub(super) const ATTRIBUTES: usize = HEADER + 12;
    pub(super) const LINK: usize = HEADER + 4;
    pub(super) const STATE: usize = HEADER + 8;
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const MAC: u16 = 2;
    pub(super) const MASTER: u16 = 9;
    pub(super) const FAILED: u16 = 0x20;
    /// `NUD_NOARP` and `NUD_PERMANENT`.
    pub(super) const FIXED: u16 = 0x40 | 0x80;
}

/// Lists the neighbours of every link of the namespace, of both families.
///
/// # Errors
/// Any refusal.
pub fn list(socket: &mut RouteSocket) -> Result<Vec<Neighbour>, Error> {
    let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
    socket.ask(request, flags::DUMP, "list the neighbours", &mut |kind, message| {
        Ok((kind == wire::RTM_NEWNEIGH).then(|| read(message)).flatten())
    })
}

/// Lists where the bridges of the namespace send what is for which hardware address.
///
/// # Errors
/// Any refusal.
pub fn forwarding(socket: &mut RouteSocket) -> Result<Vec<Forwarding>, Error> {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    let request = RouteNetlinkMessage::GetNeighbour(message);
    socket.ask(request, flags::DUMP, "list what bridges forward where", &mut |kind, message| {
        if kind != wire::RTM_NEWNEIGH {
            return Ok(None);
        }
        let Some((port, state, attributes)) = parts(message) else { return Ok(None) };
        let bridge = attr::find(attributes, wire::MASTER)
            .and_then(|value| value.first_chunk().copied())
            .map(u32::from_ne_bytes);
        let fixed = state & wire::FIXED != 0;
        Ok(mac(attributes).map(|mac| Forwarding { port, bridge, mac, fixed }))
    })
}

/// The link's index, the state, and the attributes.
fn parts(message: &[u8]) -> Option<(u32, u16, &[u8])> {
    let link = message.get(wire::LINK..)?.first_chunk::<4>()?;
    let state = message.get(wire::STATE..)?.first_chunk::<2>()?;
    let attributes = message.get(wire::ATTRIBUTES..)?;
    Some((u32::from_ne_bytes(*link), u16::from_ne_bytes(*state), attributes))
}

fn mac(attributes: &[u8]) -> Option<Mac> {
    attr::find(attributes, wire::MAC)?.try_into().ok().map(Mac)
}

fn read(message: &[u8]) -> Option<Neighbour> {
    let (link, state, attributes) = parts(message)?;
    let address = attr::find(attributes, wire::ADDRESS)?;
    let address = match address.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
    };
    Some(Neighbour {
        link,
        address,
        mac: mac(attributes),
        failed: state & wire::FAILED != 0,
        fixed: state & wire::FIXED != 0,
    })
}
