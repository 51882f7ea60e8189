//! Frames byte by byte, as a container with CAP_NET_RAW can send them, whoever they say they are from.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socket};

use super::Pod;
use super::packets::Watch;

/// A frame with a name, which it carries as its last bytes.
#[derive(Clone)]
pub struct Forged {
    pub name: &'static str,
    bytes: Vec<u8>,
}

/// Who sends: the hardware address of the sending interface.
pub struct Forge {
    pub mac: [u8; 6],
    /// The hardware address that frames go to.
    pub to: [u8; 6],
}

impl Forge {
    /// Frames from a pod's `eth0` to everybody.
    pub fn of(pod: &Pod<'_>) -> Self {
        Self { mac: bytes_of(&pod.mac("eth0")), to: [0xff; 6] }
    }

    /// Frames from no hardware address yet, to everybody.
    pub fn of_nobody() -> Self {
        Self { mac: [0; 6], to: [0xff; 6] }
    }

    /// A frame of any protocol.
    pub fn frame(&self, name: &'static str, ethertype: u16, payload: &[u8]) -> Forged {
        let mut bytes = [&self.to[..], &self.mac, &ethertype.to_be_bytes(), payload].concat();
        bytes.resize(bytes.len().max(60), 0);
        bytes.extend_from_slice(token(name).as_bytes());
        Forged { name, bytes }
    }

    /// A datagram of UDP.
    pub fn udp(
        &self,
        name: &'static str,
        (from, port): (&str, u16),
        (to, to_port): (&str, u16),
    ) -> Forged {
        let length = 8 + token(name).len() as u16;
        let udp = [port, to_port, length, 0].map(u16::to_be_bytes).concat();
        self.ip(name, from, to, 17, &udp)
    }

    /// A message of ICMPv6: type, what follows the checksum.
    pub fn icmpv6(
        &self,
        name: &'static str,
        from: &str,
        to: &str,
        kind: u8,
        rest: &[u8],
    ) -> Forged {
        self.ip(name, from, to, 58, &[&[kind, 0, 0, 0], rest].concat())
    }

    /// A neighbour solicitation (135) or advertisement (136) of an address, with this hardware
    /// address.
    pub fn neighbour(&self, name: &'static str, from: &str, kind: u8, of: &str) -> Forged {
        let target = of.parse::<Ipv6Addr>().unwrap().octets();
        let option = if kind == 136 { 2 } else { 1 };
        let rest = [&[0x20, 0, 0, 0][..], &target, &[option, 1], &self.mac].concat();
        self.icmpv6(name, from, "ff02::1", kind, &rest)
    }

    /// An IP packet.
    pub fn ip(
        &self,
        name: &'static str,
        from: &str,
        to: &str,
        protocol: u8,
        payload: &[u8],
    ) -> Forged {
        // A bridge may cut off what follows the packet.
        let packet = packet(from, to, protocol, &[payload, token(name).as_bytes()].concat());
        self.frame(name, if from.contains(':') { 0x86dd } else { 0x0800 }, &packet)
    }

    /// ARP: 1 asks, 2 answers.
    pub fn arp(&self, name: &'static str, operation: u8, from: &str, of: &str) -> Forged {
        self.frame(name, 0x0806, &self.arp_packet(operation, from, of))
    }

    /// What is in the frame of [`Self::arp`].
    pub fn arp_packet(&self, operation: u8, from: &str, of: &str) -> Vec<u8> {
        let v4 = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
        let layout = [0, 1, 8, 0, 6, 4, 0, operation];
        [&layout[..], &self.mac, &v4(from), &[0; 6], &v4(of)].concat()
    }
}

/// An IP packet's bytes.
pub fn packet(from: &str, to: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (from.parse().unwrap(), to.parse().unwrap()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = (20 + payload.len() as u16).to_be_bytes();
            let mut header = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0];
            header.extend_from_slice(&from.octets());
            header.extend_from_slice(&to.octets());
            let sum = super::packets::checksum(&header).to_be_bytes();
            header[10..12].copy_from_slice(&sum);
            [&header[..], payload].concat()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let length = (payload.len() as u16).to_be_bytes();
            let header = [0x60, 0, 0, 0, length[0], length[1], protocol, 255];
            [&header[..], &from.octets(), &to.octets(), payload].concat()
        }
        mixed => panic!("addresses of two families: {mixed:?}"),
    }
}

/// What a frame is known by where it arrives.
fn token(name: &str) -> String {
    format!("<{name}>")
}

fn bytes_of(mac: &str) -> [u8; 6] {
    let bytes: Vec<u8> = mac.split(':').map(|b| u8::from_str_radix(b, 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

impl Pod<'_> {
    /// Sends frames through `eth0`, past everything that the pod's kernel would add.
    pub fn send_forged(&self, frames: &[Forged]) {
        let index = self.json("ip -j link show eth0")[0]["ifindex"].as_i64().unwrap();
        self.inside(|| {
            let flags = SockFlag::SOCK_CLOEXEC;
            let raw = socket(AddressFamily::Packet, SockType::Raw, flags, None).unwrap();
            causeway::kernel::raw::bind_packet_socket(raw.as_fd(), i32::try_from(index).unwrap())
                .unwrap();
            for frame in frames {
                send(raw.as_raw_fd(), &frame.bytes, MsgFlags::empty())
                    .unwrap_or_else(|e| panic!("send {}: {e}", frame.name));
            }
        });
    }

    /// Sends frames, and then `last`, which must get through: the names of those that `watch` sees.
    pub fn gets_through(
        &self,
        watch: &Watch,
        frames: &[Forged],
        last: &Forged,
    ) -> BTreeSet<&'static str> {
        self.send_forged(frames);
        self.send_forged(std::slice::from_ref(last));
        let mut seen = BTreeSet::new();
        let has = |frame: &super::packets::Frame, name: &str| {
            let token = token(name);
            frame.bytes.windows(token.len()).any(|part| part == token.as_bytes())
        };
        let mut look = |frame: &super::packets::Frame| {
            seen.extend(frames.iter().map(|one| one.name).filter(|name| has(frame, name)));
            has(frame, last.name)
        };
        assert!(watch.sees(&mut look), "{} does not get through", last.name);
        // One processor's queue may be ahead of another's.
        watch.misses(|frame| {
            look(frame);
            false
        });
        seen
    }
}
