//! DHCP messages (RFC 2131, section 2; RFC 2132), and the frames that carry them before an
//! interface has an address.

use std::fmt;
use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpHardware, ArpOperation, ArpPacket, ArpRepr, DhcpFlags, DhcpOpCode, DhcpOption, DhcpPacket,
    EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket,
    UdpRepr,
};

use crate::kernel::mac::Mac;

/// The server's UDP port.
pub const SERVER_PORT: u16 = 67;
/// The client's UDP port.
pub const CLIENT_PORT: u16 = 68;

/// Numbers of options (RFC 2132, RFC 3442).
pub mod option {
    /// Subnet mask.
    pub const SUBNET_MASK: u8 = 1;
    /// Routers, in order of preference.
    pub const ROUTER: u8 = 3;
    /// Host name.
    pub const HOST_NAME: u8 = 12;
    /// Static routes to classful networks.
    pub const STATIC_ROUTES: u8 = 33;
    /// The address that a client asks for.
    pub const REQUESTED_ADDRESS: u8 = 50;
    /// Seconds for which an address is lent.
    pub const LEASE_TIME: u8 = 51;
    /// Which of the fields for a server name and a file hold options, too.
    pub const OVERLOAD: u8 = 52;
    /// The kind of message.
    pub const MESSAGE_TYPE: u8 = 53;
    /// The server that is meant, or speaks.
    pub const SERVER: u8 = 54;
    /// The options that a client wants.
    pub const REQUEST_LIST: u8 = 55;
    /// Why a server refuses, for people.
    pub const MESSAGE: u8 = 56;
    /// The longest message that is taken, in bytes.
    pub const LONGEST: u8 = 57;
    /// Seconds after which a lease is to be renewed (T1).
    pub const RENEWAL_TIME: u8 = 58;
    /// Seconds after which any server may renew it (T2).
    pub const REBINDING_TIME: u8 = 59;
    /// What kind of client it is.
    pub const CLASS: u8 = 60;
    /// By what a server knows a client.
    pub const CLIENT_ID: u8 = 61;
    /// The class of its user.
    pub const USER_CLASS: u8 = 77;
    /// Static routes to networks of any size.
    pub const CLASSLESS_ROUTES: u8 = 121;
}

/// The kind of a message (RFC 2132, section 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A client looks for servers.
    Discover = 1,
    /// A server has an address.
    Offer = 2,
    /// A client asks for it, or to keep it.
    Request = 3,
    /// A client found the address in use.
    Decline = 4,
    /// The server lends it.
    Ack = 5,
    /// The server does not.
    Nak = 6,
    /// A client gives it back.
    Release = 7,
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        use Kind::{Ack, Decline, Discover, Nak, Offer, Release, Request};
        [Discover, Offer, Request, Decline, Ack, Nak, Release]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }

    /// Whether it is a server that sends it.
    fn is_reply(self) -> bool {
        matches!(self, Self::Offer | Self::Ack | Self::Nak)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Discover => "DISCOVER",
            Self::Offer => "OFFER",
            Self::Request => "REQUEST",
            Self::Decline => "DECLINE",
            Self::Ack => "ACK",
            Self::Nak => "NAK",
            Self::Release => "RELEASE",
        })
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its kind.
    pub kind: Kind,
    /// By which question and answer know each other.
    pub transaction: u32,
    /// Seconds since the client began.
    pub seconds: u16,
    /// The client asks for answers to everybody.
    pub broadcast: bool,
    /// The address that the client has (`ciaddr`).
    pub client: Ipv4Addr,
    /// The address that it is to have (`yiaddr`).
    pub yours: Ipv4Addr,
    /// The relay that the message went through (`giaddr`).
    pub relay: Ipv4Addr,
    /// The client's hardware address.
    pub mac: Mac,
    /// Options other than the message's kind, in order.
    pub options: Vec<(u8, Vec<u8>)>,
}

/// The fixed part, before the options.
const FIXED: usize = 240;
/// What BOOTP relays and servers expect at least (RFC 1542, section 2.1).
const SHORTEST: usize = 300;
const MAGIC: u32 = 0x6382_5363;
/// Fields for which clients have no use, and which may hold more options (RFC 2132, section 9.3).
const SERVER_NAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const PAD: u8 = 0;
const END: u8 = 255;

impl Message {
    /// A message of a kind with nothing in it.
    pub fn new(kind: Kind, transaction: u32, mac: Mac) -> Self {
        Self {
            kind,
            transaction,
            seconds: 0,
            broadcast: false,
            client: Ipv4Addr::UNSPECIFIED,
            yours: Ipv4Addr::UNSPECIFIED,
            relay: Ipv4Addr::UNSPECIFIED,
            mac,
            options: Vec::new(),
        }
    }

    /// The value of an option.
    pub fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(known, _)| *known == code).map(|(_, value)| value.as_slice())
    }

    /// Sets an option, in the place of the one that is there.
    pub fn set(&mut self, code: u8, value: impl Into<Vec<u8>>) {
        let value = value.into();
        match self.options.iter_mut().find(|(known, _)| *known == code) {
            Some((_, old)) => *old = value,
            None => self.options.push((code, value)),
        }
    }

    /// An option that is one address, or begins with one.
    pub fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.option(code)?.first_chunk::<4>().copied().map(Ipv4Addr::from)
    }

    /// An option that is a number of four bytes.
    pub fn number(&self, code: u8) -> Option<u32> {
        self.option(code)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// The message as it is sent. Options longer than 255 bytes are left out.
    pub fn to_bytes(&self) -> Vec<u8> {
        let fits = |value: &Vec<u8>| value.len() <= usize::from(u8::MAX);
        let options = || self.options.iter().filter(|(_, value)| fits(value));
        let length = FIXED + 3 + options().map(|(_, value)| 2 + value.len()).sum::<usize>() + 1;
        let mut bytes = vec![0; length.max(SHORTEST)];
        let mut packet = DhcpPacket::new_unchecked(&mut bytes);
        packet.set_opcode(if self.kind.is_reply() {
            DhcpOpCode::Reply
        } else {
            DhcpOpCode::Request
        });
        packet.set_hardware_type(ArpHardware::Ethernet);
        packet.set_hardware_len(6);
        packet.set_transaction_id(self.transaction);
        packet.set_secs(self.seconds);
        packet.set_flags(if self.broadcast { DhcpFlags::BROADCAST } else { DhcpFlags::empty() });
        packet.set_client_ip(self.client);
        packet.set_your_ip(self.yours);
        packet.set_relay_agent_ip(self.relay);
        packet.set_client_hardware_address(EthernetAddress(self.mac.0));
        packet.set_magic_number(MAGIC);
        let mut writer = packet.options_mut();
        let kind = [self.kind as u8];
        // The room was counted above.
        let _ = writer.emit(DhcpOption { kind: option::MESSAGE_TYPE, data: &kind });
        for (code, value) in options() {
            let _ = writer.emit(DhcpOption { kind: *code, data: value });
        }
        let _ = writer.end();
        bytes
    }

    /// Reads a message; `None` for what is none. Pieces of one option are put together (RFC 3396), and
    /// options in the fields for a server name and a file are read if the message says that there are.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let packet = DhcpPacket::new_checked(bytes).ok()?;
        if packet.magic_number() != MAGIC {
            return None;
        }
        let mut options: Vec<(u8, Vec<u8>)> = Vec::new();
        let mut add =
            |kind: u8, data: &[u8]| match options.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, value)) => value.extend(data),
                None => options.push((kind, data.to_vec())),
            };
        let mut overload = 0;
        for DhcpOption { kind, data } in packet.options() {
            if kind == option::OVERLOAD {
                overload = data.first().copied().unwrap_or(0);
            } else {
                add(kind, data);
            }
        }
        // The order of RFC 3396, section 5.
        for (bit, place) in [(1, FILE), (2, SERVER_NAME)] {
            if overload & bit != 0 {
                each_option(bytes.get(place).unwrap_or_default(), &mut add);
            }
        }
        let place = options.iter().position(|(code, _)| *code == option::MESSAGE_TYPE)?;
        let (_, kind) = options.remove(place);
        let kind = Kind::of(*kind.first()?)?;
        let is_reply = packet.opcode() == DhcpOpCode::Reply;
        (is_reply == kind.is_reply()).then(|| Self {
            kind,
            transaction: packet.transaction_id(),
            seconds: packet.secs(),
            broadcast: packet.flags().contains(DhcpFlags::BROADCAST),
            client: packet.client_ip(),
            yours: packet.your_ip(),
            relay: packet.relay_agent_ip(),
            mac: Mac(packet.client_hardware_address().0),
            options,
        })
    }
}

/// Reads options as they stand one after the other, up to the end or the first that is cut off.
fn each_option(mut bytes: &[u8], add: &mut dyn FnMut(u8, &[u8])) {
    loop {
        bytes = match bytes {
            [] | [END, ..] => return,
            [PAD, rest @ ..] => rest,
            [kind, length, rest @ ..] => {
                let Some((data, rest)) = rest.split_at_checked(usize::from(*length)) else {
                    return;
                };
                add(*kind, data);
                rest
            }
            [_] => return,
        };
    }
}

/// What a frame holds that matters to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message, and the address that it came from.
    Message(Box<Message>, Ipv4Addr),
    /// Somebody has an address.
    Claim(Ipv4Addr, Mac),
}

/// Reads a frame; `None` for what does not matter.
///
/// The checksum of UDP is not looked at: between containers of one host it is often left for
/// hardware to fill in that is not there.
pub fn read_frame(frame: &[u8]) -> Option<Heard> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Arp => read_claim(frame.payload()),
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            if packet.next_header() != IpProtocol::Udp || packet.frag_offset() != 0 {
                return None;
            }
            let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
            let message = Message::read(datagram.payload())?;
            Some(Heard::Message(Box::new(message), packet.src_addr()))
        }
        _ => None,
    }
}

fn read_claim(bytes: &[u8]) -> Option<Heard> {
    let packet = ArpPacket::new_checked(bytes).ok()?;
    let ArpRepr::EthernetIpv4 { source_hardware_addr, source_protocol_addr, .. } =
        ArpRepr::parse(&packet).ok()?
    else {
        return None;
    };
    // A probe comes from no address (RFC 5227, section 2.1.1). Another client's is no claim: the server
    // may have offered one address to both, and will give it to one.
    let claim = Heard::Claim(source_protocol_addr, Mac(source_hardware_addr.0));
    (!source_protocol_addr.is_unspecified()).then_some(claim)
}

/// The frame that carries a client's message to everybody, from the address that the client has.
pub fn broadcast_frame(message: &Message) -> Vec<u8> {
    let from = message.client;
    let payload = message.to_bytes();
    let udp = UdpRepr { src_port: CLIENT_PORT, dst_port: SERVER_PORT };
    let to = Ipv4Addr::BROADCAST;
    let ip = Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + payload.len(),
        hop_limit: 64,
    };
    let header = EthernetFrame::<&[u8]>::header_len();
    let mut bytes = vec![0; header + ip.buffer_len() + ip.payload_len];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_src_addr(EthernetAddress(message.mac.0));
    frame.set_dst_addr(EthernetAddress::BROADCAST);
    frame.set_ethertype(EthernetProtocol::Ipv4);
    let checksums = ChecksumCapabilities::default();
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &checksums);
    let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
    udp.emit(
        &mut datagram,
        &from.into(),
        &to.into(),
        payload.len(),
        |place| place.copy_from_slice(&payload),
        &checksums,
    );
    bytes
}

/// The frame that asks whether somebody has `address` (RFC 5227, section 2.1.1).
pub fn probe_frame(address: Ipv4Addr, mac: Mac) -> Vec<u8> {
    let arp = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(mac.0),
        source_protocol_addr: Ipv4Addr::UNSPECIFIED,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: address,
    };
    let header = EthernetFrame::<&[u8]>::header_len();
    let mut bytes = vec![0; header + arp.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_src_addr(EthernetAddress(mac.0));
    frame.set_dst_addr(EthernetAddress::BROADCAST);
    frame.set_ethertype(EthernetProtocol::Arp);
    arp.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
