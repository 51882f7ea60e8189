//! Addresses with everything that the kernel tells of them, so that they can be put back as they
//! were: lifetimes, flags, priorities of their routes, whatever a kernel may have.

use std::fmt;

use netlink_packet_core::DefaultNla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Address, read, wire};
use crate::kernel::attr::Reader;
use crate::kernel::error::Error;
use crate::kernel::netlink::{RouteSocket, flags};

/// The length of `struct ifaddrmsg`.
const ADDRESS: usize = 8;

/// An IPv6 address of a link, as its `ifaddrmsg` and attributes.
#[derive(Clone, PartialEq, Eq)]
pub struct Whole {
    message: Vec<u8>,
}

impl Whole {
    fn parts(&self) -> Option<(u32, Address)> {
        let mut message = vec![0; wire::HEADER];
        message.extend(&self.message);
        read(wire::RTM_NEWADDR, &message)
    }

    /// The address; `None` for what is none.
    pub fn address(&self) -> Option<Address> {
        self.parts().map(|(_, address)| address)
    }

    fn scope(&self) -> Option<u8> {
        let [_family, _prefix, _flags, scope, ..] = *self.message.first_chunk::<ADDRESS>()?;
        Some(scope)
    }

    /// The message that gives it to a link that had it a moment ago, so that nobody need be asked
    /// whether he has it.
    fn request(&self, link: u32) -> AddressMessage {
        let mut message = AddressMessage::default();
        let Some([family, prefix, _flags, scope, ..]) = self.message.first_chunk::<ADDRESS>()
        else {
            return message;
        };
        message.header.family = (*family).into();
        message.header.prefix_len = *prefix;
        message.header.scope = (*scope).into();
        message.header.index = link;
        for attribute in Reader::new(self.message.get(ADDRESS..).unwrap_or_default()) {
            let value = if attribute.kind == wire::FLAGS {
                let was = attribute.value.first_chunk().copied().map_or(0, u32::from_ne_bytes);
                let wishes = was & !(wire::TENTATIVE | wire::DADFAILED);
                (wishes | wire::NO_DETECTION).to_ne_bytes().to_vec()
            } else {
                attribute.value.to_vec()
            };
            let same = DefaultNla::new(attribute.kind, value);
            message.attributes.push(AddressAttribute::Other(same));
        }
        message
    }

    /// Queues giving the address to a link. `EEXIST` comes back when the link has it.
    ///
    /// # Errors
    /// As [`RouteSocket::queue`].
    pub fn queue_add(&self, socket: &mut RouteSocket, link: u32, name: &str) -> Result<(), Error> {
        let request = RouteNetlinkMessage::NewAddress(self.request(link));
        let doing = format!("give address {self} back to {name}");
        socket.queue(request, flags::CREATE | flags::EXCL, doing)
    }
}

impl fmt::Display for Whole {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => write!(out, "{}", address.network),
            None => out.write_str("?"),
        }
    }
}

impl fmt::Debug for Whole {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
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
        let address = message.map(|message| Self { message }).filter(|one| one.parts().is_some());
        address.ok_or_else(|| de::Error::custom("not an address"))
    }
}

/// Lists the global IPv6 addresses of a link, but for those that are another host's.
///
/// # Errors
/// Any refusal.
pub fn global_v6(socket: &mut RouteSocket, link: u32) -> Result<Vec<Whole>, Error> {
    let mut message = AddressMessage::default();
    message.header.family = netlink_packet_route::AddressFamily::Inet6;
    message.header.index = link;
    let request = RouteNetlinkMessage::GetAddress(message);
    let mut all =
        socket.ask(request, flags::DUMP, "list the addresses", &mut |kind, message| {
            let is_one = kind == wire::RTM_NEWADDR;
            let rest = message.get(wire::HEADER..).filter(|_| is_one);
            Ok(rest.map(|rest| Whole { message: rest.to_vec() }))
        })?;
    // Kernels before 4.20 list every link's.
    all.retain(|one| {
        one.scope() == Some(0)
            && one.parts().is_some_and(|(index, address)| {
                index == link && address.network.is_ipv6() && !address.duplicate
            })
    });
    Ok(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use netlink_packet_core::Emitable;

    use super::*;
    use crate::kernel::attr::Writer;

    fn one() -> Whole {
        let mut writer = Writer::default();
        writer.raw(&[10, 64, 0xc0, 0]);
        writer.raw(&7_u32.to_ne_bytes());
        writer.bytes(wire::ADDRESS, &"fd00::2".parse::<std::net::Ipv6Addr>().unwrap().octets());
        writer.bytes(6, &[0xff; 16]);
        writer.bytes(wire::FLAGS, &0x2c0_u32.to_ne_bytes());
        Whole { message: writer.as_bytes().to_vec() }
    }

    #[test]
    fn it_is_given_back_with_all_it_had_and_without_detection() {
        assert_eq!(one().to_string(), "fd00::2/64");
        let message = one().request(9);
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        let again = Whole { message: bytes };
        assert_eq!(again.parts().map(|(index, _)| index), Some(9));
        let of = |one: &Whole, kind: u16| {
            crate::kernel::attr::find(&one.message[ADDRESS..], kind).map(<[u8]>::to_vec)
        };
        assert_eq!(of(&again, 6), of(&one(), 6));
        assert_eq!(of(&again, wire::FLAGS), Some(0x282_u32.to_ne_bytes().to_vec()));
    }

    #[test]
    fn a_record_gives_it_back() {
        let text = serde_json::to_string(&one()).unwrap();
        assert_eq!(serde_json::from_str::<Whole>(&text).unwrap(), one());
        for text in ["\"\"", "\"0\"", "\"zz\"", "7"] {
            assert!(serde_json::from_str::<Whole>(text).is_err(), "{text}");
        }
    }
}
