//! Routes with everything that the kernel tells of them, so that they can be made again in another
//! table, or put back, without loss: metrics, preferred sources, encapsulations, whatever a kernel
//! may have.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_core::DefaultNla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{address, dump, word};
use crate::kernel::attr::{self, Reader};
use crate::kernel::error::Error;
use crate::kernel::netlink::{RouteSocket, flags};

/// `RT_TABLE_MAIN`.
pub const MAIN: u32 = 254;

/// Kinds of attributes and values of linux/rtnetlink.h.
mod wire {
    pub(super) const RTM_NEWROUTE: u16 = 24;
    /// The length of `struct nlmsghdr`, and of `struct rtmsg`.
    pub(super) const HEADER: usize = 16;
    pub(super) const ROUTE: usize = 12;
    pub(super) const DESTINATION: u16 = 1;
    pub(super) const LINK: u16 = 4;
    pub(super) const GATEWAY: u16 = 5;
    pub(super) const PRIORITY: u16 = 6;
    pub(super) const PREFERRED_SOURCE: u16 = 7;
    pub(super) const MULTIPATH: u16 = 9;
    pub(super) const CACHE_INFO: u16 = 12;
    pub(super) const TABLE: u16 = 15;
    pub(super) const VIA: u16 = 18;
    pub(super) const ENCAPSULATION_TYPE: u16 = 21;
    pub(super) const ENCAPSULATION: u16 = 22;
    /// A next hop that is an object of its own, beside which the others are told but not taken.
    pub(super) const NEXT_HOP: u16 = 30;
    pub(super) const UNICAST: u8 = 1;
    pub(super) const KERNEL: u8 = 2;
    pub(super) const LINK_SCOPE: u8 = 253;
    /// Made for one destination from another route.
    pub(super) const CLONED: u32 = 0x200;
    /// Of the flags, the one that is a wish and not a state: the gateway is taken as reachable.
    pub(super) const ON_LINK: u32 = 4;
    pub(super) const NESTED: u16 = 0x8000;
    pub(super) const INET6: u8 = 10;
}

/// A route, as its `rtmsg` and attributes.
#[derive(Clone, PartialEq, Eq)]
pub struct Whole {
    message: Vec<u8>,
}

impl Whole {
    /// Reads an RTM_NEWROUTE message.
    fn read(kind: u16, message: &[u8]) -> Option<Self> {
        let message = message.get(wire::HEADER..)?.to_vec();
        let route = Self { message };
        let is_one = kind == wire::RTM_NEWROUTE && route.flags()? & wire::CLONED == 0;
        is_one.then_some(route)
    }

    fn header(&self) -> Option<&[u8; wire::ROUTE]> {
        self.message.first_chunk()
    }

    fn flags(&self) -> Option<u32> {
        let [.., a, b, c, d] = *self.header()?;
        Some(u32::from_ne_bytes([a, b, c, d]))
    }

    fn attributes(&self) -> &[u8] {
        self.message.get(wire::ROUTE..).unwrap_or_default()
    }

    fn find(&self, kind: u16) -> Option<&[u8]> {
        attr::find(self.attributes(), kind)
    }

    /// Whether it is a route of IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.header().is_some_and(|[family, ..]| *family == wire::INET6)
    }

    /// The table.
    pub fn table(&self) -> u32 {
        let small = self.header().map_or(0, |[_, _, _, _, table, ..]| u32::from(*table));
        self.find(wire::TABLE).and_then(word).unwrap_or(small)
    }

    /// The link, of a route with one next hop.
    pub fn link(&self) -> Option<u32> {
        self.find(wire::LINK).and_then(word)
    }

    /// The destination.
    pub fn to(&self) -> Option<IpNetwork> {
        let [_, prefix, ..] = *self.header()?;
        let any: IpAddr = if self.is_ipv6() {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        let to = self.find(wire::DESTINATION).map_or(Some(any), address)?;
        IpNetwork::new(to, prefix).ok()
    }

    /// The next hop, if it is of the same family.
    pub fn via(&self) -> Option<IpAddr> {
        self.find(wire::GATEWAY).and_then(address)
    }

    /// The source address that packets get which have none yet.
    pub fn source(&self) -> Option<IpAddr> {
        self.find(wire::PREFERRED_SOURCE).and_then(address)
    }

    /// Lower is preferred; 0 when none is set.
    pub fn priority(&self) -> u32 {
        self.find(wire::PRIORITY).and_then(word).unwrap_or(0)
    }

    /// Whether the kernel made it by itself, for an address of the link (`RTPROT_KERNEL`).
    pub fn is_of_kernel(&self) -> bool {
        self.header().is_some_and(|[_, _, _, _, _, protocol, ..]| *protocol == wire::KERNEL)
    }

    /// Whether its destinations are on the link itself, as IPv4 has it.
    pub fn has_link_scope(&self) -> bool {
        self.header().is_some_and(|[_, _, _, _, _, _, scope, ..]| *scope == wire::LINK_SCOPE)
    }

    /// Whether it leads to one host or subnet, and is no rejection or broadcast.
    pub fn is_unicast(&self) -> bool {
        self.header().is_some_and(|[_, _, _, _, _, _, _, kind, ..]| *kind == wire::UNICAST)
    }

    /// Whether it leads to addresses that only have a meaning on their link (RFC 4291, 2.5.6).
    fn is_link_local(&self) -> bool {
        matches!(self.to(), Some(IpNetwork::V6(to)) if to.ip().is_unicast_link_local())
    }

    /// Whether it is a route of the main table to other hosts through `link`. Those to the link's own
    /// IPv6 addresses are not: without them IPv6 does not work on a link at all.
    pub fn is_main_through(&self, link: u32) -> bool {
        self.table() == MAIN
            && self.link() == Some(link)
            && self.is_unicast()
            && !self.is_link_local()
    }

    /// The message that makes this very route in a table.
    fn request(&self, table: u32) -> RouteMessage {
        let mut message = RouteMessage::default();
        let Some(header) = self.header() else { return message };
        // Family, lengths, TOS, protocol, scope and type are well-formed whatever they are.
        message.header = RouteHeader::parse(header).unwrap_or_default();
        message.header.table = u8::try_from(table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
        let wish = self.flags().unwrap_or(0) & wire::ON_LINK;
        message.header.flags = netlink_packet_route::route::RouteFlags::from_bits_retain(wish);
        let has_object = self.find(wire::NEXT_HOP).is_some();
        for attribute in Reader::new(self.attributes()) {
            let is_told_only = match attribute.kind {
                wire::TABLE | wire::CACHE_INFO => true,
                wire::LINK
                | wire::GATEWAY
                | wire::MULTIPATH
                | wire::VIA
                | wire::ENCAPSULATION_TYPE
                | wire::ENCAPSULATION => has_object,
                _ => false,
            };
            if is_told_only {
                continue;
            }
            let kind = attribute.kind | if attribute.nested { wire::NESTED } else { 0 };
            let same = DefaultNla::new(kind, attribute.value.to_vec());
            message.attributes.push(RouteAttribute::Other(same));
        }
        message.attributes.push(RouteAttribute::Table(table));
        message
    }

    /// Queues making this route in a table. `EEXIST` comes back when there is one to the same
    /// destination with the same priority, but for IPv6 only when it has the same next hop.
    ///
    /// # Errors
    /// As [`RouteSocket::queue`].
    pub fn queue_add(&self, socket: &mut RouteSocket, table: u32) -> Result<(), Error> {
        let request = RouteNetlinkMessage::NewRoute(self.request(table));
        let doing = format!("add route {self} to table {table}");
        let more = if self.is_ipv6() { 0 } else { flags::EXCL };
        socket.queue(request, flags::CREATE | more, doing)
    }

    /// As [`Self::queue_add`], in the place of one to the same destination with the same priority.
    ///
    /// # Errors
    /// As [`RouteSocket::queue`].
    pub fn queue_replace(&self, socket: &mut RouteSocket, table: u32) -> Result<(), Error> {
        let request = RouteNetlinkMessage::NewRoute(self.request(table));
        let doing = format!("add route {self} to table {table}");
        socket.queue(request, flags::CREATE | flags::REPLACE, doing)
    }

    /// Queues removing this route from a table. `ESRCH` comes back when it is not there.
    ///
    /// # Errors
    /// As [`RouteSocket::queue`].
    pub fn queue_remove(&self, socket: &mut RouteSocket, table: u32) -> Result<(), Error> {
        let request = RouteNetlinkMessage::DelRoute(self.request(table));
        socket.queue(request, 0, format!("remove route {self} from table {table}"))
    }
}

impl fmt::Display for Whole {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to() {
            Some(to) => write!(out, "{to}")?,
            None => out.write_str("?")?,
        }
        self.via().map_or(Ok(()), |via| write!(out, " via {via}"))
    }
}

impl fmt::Debug for Whole {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self} table {}", self.table())
    }
}

/// In records as hexadecimal digits: what is in it is the kernel's business.
impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = self.message.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        };
        let message: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        let route = message.map(|message| Self { message }).filter(|one| one.header().is_some());
        route.ok_or_else(|| de::Error::custom("not a route"))
    }
}

/// Lists the routes of one family, of all tables.
///
/// # Errors
/// Any refusal.
pub fn list(socket: &mut RouteSocket, v6: bool) -> Result<Vec<Whole>, Error> {
    dump(socket, v6, &mut |kind, message| Ok(Whole::read(kind, message)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use netlink_packet_core::Emitable;

    use super::*;

    /// 10.1.0.0/24 dev 7 proto kernel scope link src 10.1.0.2 mtu 1400, as the kernel tells it.
    fn connected() -> Whole {
        let mut writer = attr::Writer::default();
        // nlmsghdr, then rtmsg with flags that are a state.
        writer.raw(&[0; 16]);
        writer.raw(&[2, 24, 0, 0, 254, 2, 253, 1]);
        writer.raw(&0x14_u32.to_ne_bytes());
        writer.bytes(wire::TABLE, &254_u32.to_ne_bytes());
        writer.bytes(wire::DESTINATION, &[10, 1, 0, 0]);
        writer.nested(8, |metrics| metrics.bytes(2, &1400_u32.to_ne_bytes()));
        writer.bytes(wire::PREFERRED_SOURCE, &[10, 1, 0, 2]);
        writer.bytes(wire::LINK, &7_u32.to_ne_bytes());
        writer.bytes(wire::CACHE_INFO, &[0; 32]);
        Whole::read(wire::RTM_NEWROUTE, writer.as_bytes()).unwrap()
    }

    #[test]
    fn what_the_kernel_tells_is_read() {
        let route = connected();
        assert_eq!(route.to(), "10.1.0.0/24".parse().ok());
        assert_eq!(route.source(), "10.1.0.2".parse().ok());
        assert_eq!((route.table(), route.link(), route.via()), (MAIN, Some(7), None));
        assert!(route.has_link_scope() && route.is_main_through(7) && !route.is_main_through(8));
    }

    #[test]
    fn it_is_asked_for_in_another_table_with_all_it_has() {
        let message = connected().request(1000);
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        let again = Whole { message: bytes };
        assert_eq!(again.table(), 1000);
        assert_eq!(again.flags(), Some(wire::ON_LINK));
        assert_eq!(again.find(wire::CACHE_INFO), None);
        for kind in [wire::DESTINATION, wire::PREFERRED_SOURCE, wire::LINK, 8] {
            assert_eq!(again.find(kind), connected().find(kind), "{kind}");
        }
        assert!(again.has_link_scope());
        assert_eq!(
            Reader::new(again.attributes()).filter(|one| one.kind == wire::TABLE).count(),
            1
        );
    }

    #[test]
    fn a_record_gives_it_back() {
        let text = serde_json::to_string(&connected()).unwrap();
        assert_eq!(serde_json::from_str::<Whole>(&text).unwrap(), connected());
        for text in ["\"\"", "\"0\"", "\"zz\"", "\"00ff\"", "7", "\"ä0\""] {
            assert!(serde_json::from_str::<Whole>(text).is_err(), "{text}");
        }
    }
}
