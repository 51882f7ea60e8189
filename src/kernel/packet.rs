//! A packet socket on one interface, for talking before the interface has an address (packet(7)).
//!
//! Closing one makes the kernel wait until no packet can be in flight, some 10 ms; so nothing that a
//! runtime waits for may close one.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socket};

use super::error::Error;
use super::raw;

/// Lets ARP through, and UDP over IPv4 to `port` (`BPF_*` of linux/bpf_common.h). A frame that is too
/// short for one of the loads is dropped.
const fn filter(port: u32) -> [(u16, u8, u8, u32); 12] {
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF_INDEXED: u16 = 0x48;
    const LOAD_IP_HEADER_LENGTH: u16 = 0xb1;
    const JUMP_EQUAL: u16 = 0x15;
    const JUMP_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const ARP: u32 = 0x0806;
    const IPV4: u32 = 0x0800;
    const UDP: u32 = 17;
    // Jumps count from the instruction after; the last two are "whole frame" and "nothing".
    [
        (LOAD_HALF, 0, 0, 12),
        (JUMP_EQUAL, 8, 0, ARP),
        (JUMP_EQUAL, 0, 8, IPV4),
        (LOAD_BYTE, 0, 0, 23),
        (JUMP_EQUAL, 0, 6, UDP),
        (LOAD_HALF, 0, 0, 20),
        // A fragment other than the first has no ports.
        (JUMP_SET, 4, 0, 0x1fff),
        (LOAD_IP_HEADER_LENGTH, 0, 0, 14),
        (LOAD_HALF_INDEXED, 0, 0, 16),
        (JUMP_EQUAL, 0, 1, port),
        (RETURN, 0, 0, 0xffff),
        (RETURN, 0, 0, 0),
    ]
}

/// A packet socket, of the namespace it was opened in.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
}

impl PacketSocket {
    /// Opens a socket in the calling thread's network namespace that hears ARP, and UDP over IPv4 to
    /// `port`, on the interface of this index.
    ///
    /// # Errors
    /// [`Error::Socket`], for instance without CAP_NET_RAW.
    pub fn open(interface: u32, port: u16) -> Result<Self, Error> {
        let failed = |doing| move |errno| Error::Socket { doing, errno };
        // Without a protocol it hears nothing until it is bound, and so nothing unfiltered.
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )
        .map_err(failed("open a packet socket"))?;
        raw::attach_filter(socket.as_fd(), &filter(u32::from(port)))
            .map_err(failed("filter what a packet socket hears"))?;
        let interface = i32::try_from(interface).unwrap_or(0);
        raw::bind_packet_socket(socket.as_fd(), interface)
            .map_err(failed("bind a packet socket"))?;
        Ok(Self { socket })
    }

    /// Sends one frame, Ethernet header and all.
    ///
    /// # Errors
    /// [`Error::Socket`], for instance `ENETDOWN`.
    pub fn send(&self, frame: &[u8]) -> Result<(), Error> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty())
            .map(drop)
            .map_err(|errno| Error::Socket { doing: "send a frame", errno })
    }

    /// The next frame that has come, if any.
    ///
    /// # Errors
    /// [`Error::Socket`]: `ENETDOWN` once when the interface goes down.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, Error> {
        match recv(self.socket.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(length) => Ok(buffer.get(..length)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(Error::Socket { doing: "receive a frame", errno }),
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
