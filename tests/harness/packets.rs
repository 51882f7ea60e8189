//! Real packets: echo requests, frames as they pass, and datagrams that tell who sent them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6,
    SockaddrLike, recv, recvfrom, sendto, setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::patience::{patience, silence};
use super::{Host, Pod};

impl Pod<'_> {
    /// Whether `to` answers an echo request of this pod before patience ends.
    pub fn reaches(&self, to: &str) -> bool {
        self.inside(|| echo(to, patience()))
    }

    /// Whether `to` stays silent to this pod. Meaningful next to a check that it can answer.
    pub fn gets_no_answer(&self, to: &str) -> bool {
        !self.inside(|| echo(to, silence()))
    }

    /// The source address that a listener at `to` in `there` sees of this pod's datagram.
    pub fn seen_by(&self, there: &Pod<'_>, to: &str) -> Option<IpAddr> {
        let listener = there.inside(|| UdpSocket::bind((to, 0)).expect("listen"));
        let port = listener.local_addr().expect("the listener's port").port();
        let to = SocketAddr::new(to.parse().expect("an address"), port);
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let sender = self.inside(|| UdpSocket::bind(any).expect("a sender"));
        listener.set_read_timeout(Some(Duration::from_millis(100))).expect("set a timeout");
        let start = Instant::now();
        while start.elapsed() < patience() {
            // The first datagrams may be lost to neighbour discovery.
            let _ = sender.send_to(b"who am I?", to);
            if let Ok((_, from)) = listener.recv_from(&mut [0; 64]) {
                return Some(from.ip());
            }
        }
        None
    }

    /// A watcher of every frame that the pod sees from now on.
    pub fn watch(&self) -> Watch {
        self.inside(Watch::new)
    }
}

impl Host {
    /// Whether `to` answers an echo request of this host before patience ends.
    pub fn reaches(&self, to: &str) -> bool {
        self.inside(|| echo(to, patience()))
    }

    /// A watcher of every frame that this host sees from now on.
    pub fn watch(&self) -> Watch {
        self.inside(Watch::new)
    }
}

/// Sends echo requests to `to` until one is answered or `limit` has passed.
fn echo(to: &str, limit: Duration) -> bool {
    let to: IpAddr = to.parse().expect("an address to ping");
    let (family, protocol, request, reply) = match to {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, 8, 0),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, 128, 129),
    };
    let socket =
        socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).expect("a raw socket");
    setsockopt(&socket, ReceiveTimeout, &TimeVal::milliseconds(50)).expect("set a timeout");
    let token = socket.as_raw_fd().to_be_bytes();
    let start = Instant::now();
    let mut sequence = 0u8;
    while start.elapsed() < limit {
        sequence = sequence.wrapping_add(1);
        let mut packet = [request, 0, 0, 0, token[3], 77, 0, sequence, b'c', b'n', b'i', b'!'];
        if to.is_ipv4() {
            let sum = checksum(&packet);
            packet[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        // No route, or a neighbour that does not answer yet, is a reason to try again.
        let sent = match to {
            IpAddr::V4(ip) => {
                send(&socket, &packet, &SockaddrIn::from(std::net::SocketAddrV4::new(ip, 0)))
            }
            IpAddr::V6(ip) => {
                let to = std::net::SocketAddrV6::new(ip, 0, 0, 0);
                send(&socket, &packet, &SockaddrIn6::from(to))
            }
        };
        let until = Instant::now() + Duration::from_millis(50);
        if sent.is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        while Instant::now() < until {
            let mut buffer = [0u8; 256];
            let Ok(length) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) else {
                break;
            };
            let header = if to.is_ipv4() { usize::from(buffer[0] & 15) * 4 } else { 0 };
            let answer = &buffer[header..length];
            if answer.len() >= 8 && answer[0] == reply && answer[4..6] == [token[3], 77] {
                return true;
            }
        }
    }
    false
}

fn send(socket: &OwnedFd, packet: &[u8], to: &impl SockaddrLike) -> Result<(), Errno> {
    sendto(socket.as_raw_fd(), packet, to, MsgFlags::empty()).map(|_| ())
}

/// The Internet checksum (RFC 1071).
pub fn checksum(packet: &[u8]) -> u16 {
    let mut sum: u32 =
        packet.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A frame that passed a link.
pub struct Frame {
    /// Ethernet header and all.
    pub bytes: Vec<u8>,
    /// Whether the namespace that was watched sent it itself (PACKET_OUTGOING).
    pub outgoing: bool,
}

impl Frame {
    /// The hardware address of the sender.
    pub fn source(&self) -> String {
        let parts: Vec<String> = self.bytes[6..12].iter().map(|b| format!("{b:02x}")).collect();
        parts.join(":")
    }

    /// The EtherType.
    pub fn ethertype(&self) -> u16 {
        u16::from_be_bytes([self.bytes[12], self.bytes[13]])
    }

    /// Whether this is ARP that announces `address`: sender and target are both it.
    pub fn announces_v4(&self, address: &str) -> bool {
        let ip: std::net::Ipv4Addr = address.parse().expect("an IPv4 address");
        self.ethertype() == 0x0806
            && self.bytes.len() >= 42
            && self.bytes[28..32] == ip.octets()
            && self.bytes[38..42] == ip.octets()
    }

    /// Whether this is a neighbour advertisement for `address` to all nodes (RFC 4861, 7.2.6).
    pub fn announces_v6(&self, address: &str) -> bool {
        let ip: std::net::Ipv6Addr = address.parse().expect("an IPv6 address");
        let all_nodes = std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        self.ethertype() == 0x86dd
            && self.bytes.len() >= 78
            && self.bytes[20] == 58
            && self.bytes[38..54] == all_nodes.octets()
            && self.bytes[54] == 136
            && self.bytes[62..78] == ip.octets()
    }
}

/// A packet socket that sees every frame of a namespace.
pub struct Watch(OwnedFd);

impl Watch {
    fn new() -> Self {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)
            .expect("a packet socket");
        setsockopt(&socket, ReceiveTimeout, &TimeVal::milliseconds(20)).expect("set a timeout");
        Self(socket)
    }

    /// Whether a frame that satisfies `wanted` passes before patience ends.
    pub fn sees(&self, wanted: impl FnMut(&Frame) -> bool) -> bool {
        self.until(patience(), wanted)
    }

    /// Whether no frame that satisfies `unwanted` passes for a while.
    pub fn misses(&self, unwanted: impl FnMut(&Frame) -> bool) -> bool {
        !self.until(silence(), unwanted)
    }

    fn until(&self, limit: Duration, mut wanted: impl FnMut(&Frame) -> bool) -> bool {
        let start = Instant::now();
        while start.elapsed() < limit {
            let mut buffer = [0u8; 2048];
            let Ok((length, from)) = recvfrom::<LinkAddr>(self.0.as_raw_fd(), &mut buffer) else {
                continue;
            };
            if length < 14 {
                continue;
            }
            // PACKET_OUTGOING of linux/if_packet.h.
            let outgoing = from.is_some_and(|from| from.pkttype() == 4);
            if wanted(&Frame { bytes: buffer[..length].to_vec(), outgoing }) {
                return true;
            }
        }
        false
    }
}
