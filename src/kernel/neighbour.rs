//! Neighbours: which hardware address the kernel has found for an address on a link (rtnetlink(7),
//! RTM_GETNEIGH; linux/neighbour.h). Only read; the kernel makes them itself.

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::NeighbourMessage;

use super::attr;
use super::error::Error;
use super::netlink::{RouteSocket, flags};

/// A neighbour as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The index of the link it is on.
    pub link: u32,
    /// Its address.
    pub address: IpAddr,
    /// It did not answer when it was asked for (`NUD_FAILED`).
    pub failed: bool,
}

mod wire {
    pub(super) const RTM_NEWNEIGH: u16 = 28;
    pub(super) const HEADER: usize = 16;
    /// `nlmsghdr` and `ndmsg` stand before the attributes.
    pub(super) const ATTRIBUTES: usize = HEADER + 12;
    pub(super) const LINK: usize = HEADER + 4;
    pub(super) const STATE: usize = HEADER + 8;
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const FAILED: u16 = 0x20;
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

fn read(message: &[u8]) -> Option<Neighbour> {
    let link = message.get(wire::LINK..)?.first_chunk::<4>()?;
    let state = message.get(wire::STATE..)?.first_chunk::<2>()?;
    let address = attr::find(message.get(wire::ATTRIBUTES..)?, wire::ADDRESS)?;
    let address = match address.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
    };
    Some(Neighbour {
        link: u32::from_ne_bytes(*link),
        address,
        failed: u16::from_ne_bytes(*state) & wire::FAILED != 0,
    })
}
