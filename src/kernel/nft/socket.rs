//! The netlink socket: opening, sending, reading.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt,
};

use super::error::Error;
use super::founding::Before;
use super::message::Messages;
use crate::kernel::parting::Parting;
use crate::kernel::raw;

/// A dump's datagram is at most this large (`netlink_dump`, net/netlink/af_netlink.c).
const ANSWER: usize = 32 * 1024;
/// A datagram larger than this may not fit the default send buffer of 212,992 bytes, of which the
/// kernel keeps a part for its own bookkeeping.
const SEND_DEFAULT: usize = 64 * 1024;
/// Bytes for answers when the default of 212,992 did not do.
const RECEIVE_LARGE: usize = 16 * 1024 * 1024;

/// A socket that speaks to the nf_tables of one network namespace: the one that the thread was in
/// when it was opened. It can be used from everywhere afterwards.
#[derive(Debug)]
pub struct Socket {
    socket: OwnedFd,
    // Closed after the socket: fields are dropped in their order.
    parting: Option<Parting>,
    /// Whether something was removed, for which the kernel would have us wait.
    pub(super) has_removed: bool,
    pub(super) messages: Messages,
    /// What there was before tables, sets and chains were made.
    pub(super) before: Vec<Before>,
    answer: Vec<u8>,
    send_buffer: usize,
}

/// What reading gave.
pub(super) enum Received<'a> {
    /// One datagram of answers.
    Answers(&'a [u8]),
    /// Nothing is left.
    Nothing,
    /// The kernel had more to say than the buffer holds; some answers are lost.
    Overflow,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the kernel has no netfilter netlink, [`Error::Socket`] otherwise.
    pub fn open() -> Result<Self, Error> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )
        .map_err(|errno| match errno {
            Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT => Error::Unsupported {
                feature: "netfilter's netlink interface (CONFIG_NETFILTER_NETLINK)".to_owned(),
            },
            errno => Error::Socket { doing: "open a netlink socket", errno },
        })?;
        // Texts with refusals, and no copy of the request in acknowledgements; kernels before 4.12
        // do without.
        let _ = raw::socket_option(&socket, libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1);
        let _ = raw::socket_option(&socket, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1);
        Ok(Self {
            socket,
            parting: None,
            has_removed: false,
            messages: Messages::default(),
            before: Vec::new(),
            answer: Vec::with_capacity(ANSWER),
            send_buffer: SEND_DEFAULT,
        })
    }

    /// Sends what was written into `self.messages`. The kernel has worked it off, and its answers
    /// are there to be read, when this returns.
    pub(super) fn send(&mut self) -> Result<(), Error> {
        let bytes = self.messages.as_bytes();
        if bytes.len() > self.send_buffer {
            let wanted = bytes.len().saturating_mul(2);
            // Without CAP_NET_ADMIN the limit in net.core.wmem_max holds and sending may fail.
            let _ = setsockopt(&self.socket, sockopt::SndBufForce, &wanted);
            self.send_buffer = wanted;
        }
        raw::transmit(self.socket.as_fd(), bytes)
            .map_err(|errno| Error::Socket { doing: "send a request", errno })
    }

    /// Reads one datagram of answers. Never waits: answers are there once [`Self::send`] is back.
    pub(super) fn receive(&mut self) -> Result<Received<'_>, Error> {
        loop {
            match raw::receive(self.socket.as_fd(), &mut self.answer, MsgFlags::MSG_DONTWAIT) {
                Ok(()) => return Ok(Received::Answers(&self.answer)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(Received::Nothing),
                Err(Errno::ENOBUFS) => return Ok(Received::Overflow),
                Err(errno) => {
                    return Err(Error::Socket { doing: "read an answer", errno });
                }
            }
        }
    }

    /// Throws away answers that nobody has read, so that the next request does not meet them.
    pub(super) fn drain(&mut self) -> Result<(), Error> {
        while !matches!(self.receive()?, Received::Nothing) {}
        Ok(())
    }

    /// Makes room for many answers at once.
    pub(super) fn enlarge(&self) {
        // Without CAP_NET_ADMIN it stays as it is, and the overflow is reported again.
        let _ = setsockopt(&self.socket, sockopt::RcvBufForce, &RECEIVE_LARGE);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.has_removed {
            self.parting = Parting::from(&self.socket);
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
