//! A router that advertises itself and a prefix (RFC 4861, section 4.2), several times a second.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::sockopt::{Ipv6MulticastHops, Ipv6Ttl};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, bind, sendto,
    setsockopt, socket,
};

/// The router's own address, which its link must have.
pub const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The prefix that it advertises, of 64 bits.
pub const PREFIX: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, 0);

/// What a router says.
#[derive(Clone, Copy)]
pub struct Advertisement {
    /// Whether machines may make addresses of the prefix.
    pub autonomous: bool,
    /// Seconds for which it is a default router.
    pub lifetime: u16,
}

impl Default for Advertisement {
    fn default() -> Self {
        Self { autonomous: true, lifetime: 1800 }
    }
}

impl Advertisement {
    fn message(self) -> Vec<u8> {
        // The kernel fills the checksum in.
        let mut message = vec![134, 0, 0, 0, 64, 0];
        message.extend(self.lifetime.to_be_bytes());
        message.extend([0; 8]);
        // Prefix information: on the link, and perhaps for addresses.
        message.extend([3, 4, 64, if self.autonomous { 0xc0 } else { 0x80 }]);
        message.extend(86400_u32.to_be_bytes());
        message.extend(14400_u32.to_be_bytes());
        message.extend([0; 4]);
        message.extend(PREFIX.octets());
        message
    }
}

/// A router; it falls silent when dropped.
pub struct Router {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Router {
    /// Starts a router on `link` of the calling thread's namespace, so call it inside a host or pod. The
    /// link must be up and have [`ROUTER`].
    pub fn start(link: &str, says: Advertisement) -> Self {
        let kind = SockType::Raw;
        let protocol = SockProtocol::IcmpV6;
        let socket = socket(AddressFamily::Inet6, kind, SockFlag::SOCK_CLOEXEC, protocol);
        let socket = socket.expect("a raw socket");
        setsockopt(&socket, Ipv6MulticastHops, &255).expect("hop limit");
        setsockopt(&socket, Ipv6Ttl, &255).expect("hop limit");
        let index = nix::net::if_::if_nametoindex(link).expect("the router's link");
        let own = SockaddrIn6::from(SocketAddrV6::new(ROUTER, 0, 0, index));
        bind(socket.as_raw_fd(), &own).expect("the router's address");
        let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let all = SockaddrIn6::from(SocketAddrV6::new(all, 0, 0, index));
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                // Its link may be gone by now.
                let _ = sendto(socket.as_raw_fd(), &says.message(), &all, MsgFlags::empty());
                thread::sleep(Duration::from_millis(100));
            }
        });
        Self { ends, thread: Some(thread) }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
