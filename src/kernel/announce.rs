//! Telling the neighbours which hardware address an IPv6 address has (RFC 4861, section 7.2.6).
//!
//! For IPv4 the kernel does this itself: see [`super::link::queue_mac`]. Neither way opens a packet
//! socket, whose closing makes the kernel wait for all packets in flight, some 10 ms.

use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, bind, sendto, socket,
};

use super::error::Error;
use super::mac::Mac;
use super::raw;

const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Override: replace what neighbours have cached.
const OVERRIDE: u8 = 0x20;
const TARGET_LINK_ADDRESS: u8 = 2;
/// Advertisements with any other hop limit are dropped (RFC 4861, section 7.1.2).
const HOP_LIMIT: libc::c_int = 255;

/// A socket that sends neighbour advertisements; of the namespace it was opened in.
pub struct Announcer {
    socket: OwnedFd,
}

impl Announcer {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Socket`], for instance without CAP_NET_RAW.
    pub fn open() -> Result<Self, Error> {
        let failed =
            |errno| Error::Socket { doing: "open a socket for neighbour advertisements", errno };
        let socket = socket(
            AddressFamily::Inet6,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::IcmpV6,
        )
        .map_err(failed)?;
        raw::socket_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS, HOP_LIMIT)
            .map_err(failed)?;
        Ok(Self { socket })
    }

    /// Sends one unsolicited advertisement of `address` at `mac` to all nodes on `link`.
    ///
    /// # Errors
    /// [`Error::Socket`].
    pub fn announce(&self, link: u32, address: Ipv6Addr, mac: Mac) -> Result<(), Error> {
        let failed = |errno| Error::Socket { doing: "send a neighbour advertisement", errno };
        let from = std::net::SocketAddrV6::new(address, 0, 0, link);
        bind(self.socket.as_raw_fd(), &SockaddrIn6::from(from)).map_err(failed)?;
        // The kernel fills the checksum in.
        let mut message = vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0];
        message.extend(address.octets());
        message.extend([TARGET_LINK_ADDRESS, 1]);
        message.extend(mac.0);
        let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let to = std::net::SocketAddrV6::new(all_nodes, 0, 0, link);
        sendto(self.socket.as_raw_fd(), &message, &SockaddrIn6::from(to), MsgFlags::empty())
            .map(drop)
            .map_err(failed)
    }
}
