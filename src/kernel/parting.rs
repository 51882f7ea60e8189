//! Closing a netfilter socket without waiting for what it has removed.
//!
//! A change of nf_tables is in force when it is answered. The memory of what it removed is freed later, when no
//! packet can be looking at it any more, and whoever closes any netfilter socket in between is made to wait for that
//! (`nft_rcv_nl_event`, net/netfilter/nf_tables_api.c): some 14 ms, in which a plugin would have ended long
//! since. So the last reference to the socket is left with the kernel, which closes it from a thread of its own: the
//! socket is sent through a pair of sockets which are sent along, and which nobody can read from once they are closed
//! here. Such a circle is what the kernel's garbage collector is for; it runs as the pair is closed
//! (`unix_release_sock`, net/unix/af_unix.c). Before Linux 6.10 it runs in the closing process, which then waits as
//! it would have anyway.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
};

/// What must be closed after the socket, which it keeps from being closed at once.
#[derive(Debug)]
pub struct Parting {
    _pair: (OwnedFd, OwnedFd),
}

impl Parting {
    /// Leaves a reference to `socket` with the kernel. None where that cannot be done: then closing it takes
    /// its time.
    pub fn from(socket: impl AsFd) -> Option<Self> {
        let (near, far) =
            socketpair(AddressFamily::Unix, SockType::Datagram, None, SockFlag::SOCK_CLOEXEC)
                .ok()?;
        let left = [socket.as_fd().as_raw_fd(), near.as_raw_fd(), far.as_raw_fd()];
        let message = [IoSlice::new(b".")];
        let rights = [ControlMessage::ScmRights(&left)];
        sendmsg::<()>(near.as_raw_fd(), &message, &rights, MsgFlags::empty(), None).ok()?;
        Some(Self { _pair: (near, far) })
    }
}
