//! Whether the namespace forwards packets between its links (linux/netconf.h, RTM_GETNETCONF).
//!
//! The same is in files under /proc/sys/net. But the kernel keeps a name there for each network namespace in
//! which somebody has looked, all in one chain, and goes through it to find ours: with 500 containers that
//! is half a millisecond.

use netlink_packet_core::NetlinkSerializable;

use super::attr::{self, Writer};
use super::error::Error;
use super::netlink::RouteSocket;

mod wire {
    pub(super) const RTM_NEWNETCONF: u16 = 80;
    pub(super) const RTM_GETNETCONF: u16 = 82;
    /// `nlmsghdr` and `netconfmsg`, padded, stand before the attributes.
    pub(super) const ATTRIBUTES: usize = 16 + 4;
    /// `netconfmsg`, padded, and one attribute of four bytes.
    pub(super) const REQUEST: usize = 4 + 8;
    pub(super) const AF_INET: u8 = 2;
    pub(super) const AF_INET6: u8 = 10;
    pub(super) const IFINDEX: u16 = 1;
    pub(super) const FORWARDING: u16 = 2;
    /// `NETCONFA_IFINDEX_ALL`: the settings of the namespace, not of a link.
    pub(super) const ALL: i32 = -1;
}

/// What asks for a family's settings of the namespace.
#[derive(Clone, Copy)]
struct OfAll {
    v6: bool,
}

impl OfAll {
    fn body(self) -> Writer {
        let mut body = Writer::with_capacity(self.buffer_len());
        body.raw(&[if self.v6 { wire::AF_INET6 } else { wire::AF_INET }, 0, 0, 0]);
        body.bytes(wire::IFINDEX, &wire::ALL.to_ne_bytes());
        body
    }
}

impl NetlinkSerializable for OfAll {
    fn message_type(&self) -> u16 {
        wire::RTM_GETNETCONF
    }

    fn buffer_len(&self) -> usize {
        wire::REQUEST
    }

    fn serialize(&self, buffer: &mut [u8]) {
        for (place, byte) in buffer.iter_mut().zip(self.body().as_bytes()) {
            *place = *byte;
        }
    }
}

/// Whether packets of a family are forwarded: the sysctls `net.ipv4.ip_forward` and
/// `net.ipv6.conf.all.forwarding`. `None` when the kernel does not say; it may lack the family.
///
/// # Errors
/// [`Error::Socket`].
pub fn forwards(socket: &mut RouteSocket, v6: bool) -> Result<Option<bool>, Error> {
    let doing = "ask whether packets are forwarded";
    let answer = socket.ask(OfAll { v6 }, 0, doing, &mut |kind, message| {
        let attributes = message.get(wire::ATTRIBUTES..).unwrap_or_default();
        let value = attr::find(attributes, wire::FORWARDING).and_then(|value| value.first_chunk());
        Ok(value.filter(|_| kind == wire::RTM_NEWNETCONF).map(|value| i32::from_ne_bytes(*value)))
    });
    match answer {
        Ok(values) => Ok(values.first().map(|value| *value != 0)),
        Err(Error::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
