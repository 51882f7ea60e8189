//! Sets, maps and their elements.

use std::net::IpAddr;

use super::Name;
use super::attribute;
use super::expr::Verdict;
use super::message::{Kind, Messages, flags};
use super::table::Family;
use super::userdata;
use crate::kernel::attr::Writer;

/// A part of a key or of a value, with nft's number for its type, so that `nft list` can print it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Field {
    /// What a message about neighbours is about: 16 bytes, of which older releases of nft do not know
    /// that they are an address.
    NeighbourTarget = 4,
    Ipv4Address = 7,
    Ipv6Address = 8,
    EtherAddress = 9,
    Protocol = 12,
    Port = 13,
    Mark = 19,
    InterfaceName = 41,
}

impl Field {
    /// Bytes that the field takes in a register: its size, rounded up to four.
    pub fn width(self) -> usize {
        match self {
            Self::Ipv4Address | Self::Protocol | Self::Port | Self::Mark => 4,
            Self::EtherAddress => 8,
            Self::Ipv6Address | Self::InterfaceName | Self::NeighbourTarget => 16,
        }
    }

    /// Bytes that the field takes alone, as the key of a set of one field.
    fn size(self) -> usize {
        match self {
            Self::Protocol => 1,
            Self::Port => 2,
            Self::EtherAddress => 6,
            _ => self.width(),
        }
    }

    /// 1 for the host's byte order, 2 for the network's (nft's `enum byteorder`).
    fn byte_order(self) -> u32 {
        match self {
            Self::Mark | Self::InterfaceName => 1,
            _ => 2,
        }
    }
}

/// The type and length of several fields side by side: nft packs six bits for each.
fn concatenated(fields: &[Field]) -> (u32, u32) {
    let kind = fields.iter().fold(0u32, |kind, field| (kind << 6) | *field as u32);
    let length = match fields {
        [field] => field.size(),
        fields => fields.iter().map(|field| field.width()).sum(),
    };
    (kind, u32::try_from(length).unwrap_or(u32::MAX))
}

/// What a map's keys lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapTo {
    /// Verdicts: jump, goto, drop and so on. Every added element makes the kernel walk all elements
    /// (`nft_chain_validate`), so use these only for what stays small.
    Verdict,
    /// Values, loaded into a register.
    Fields(&'static [Field]),
}

/// A set, or a map when `to` is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name, unique in its table.
    pub name: Name,
    /// What its keys are made of.
    pub key: &'static [Field],
    /// What its keys lead to; `None` for a set.
    pub to: Option<MapTo>,
    /// What it is for, as `nft list` shows it.
    pub comment: Option<Name>,
}

/// A set's full name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetName {
    /// The table's family.
    pub family: Family,
    /// The table.
    pub table: Name,
    /// The set.
    pub set: Name,
}

impl std::fmt::Display for SetName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "set {} of table {} {}", self.set, self.family, self.table)
    }
}

/// The bytes of a key or a value: its fields, each padded to four bytes when there are several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// A key of one address.
    pub fn address(address: IpAddr) -> Self {
        Self::default().and_address(address)
    }

    /// A key of one interface name.
    pub fn interface(name: &str) -> Self {
        Self::default().and_interface(name)
    }

    /// A key of bytes as they are: a single field that is not a multiple of four bytes long, or
    /// what was read before.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// One more field: an address.
    pub fn and_address(mut self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.0.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => self.0.extend_from_slice(&address.octets()),
        }
        self
    }

    /// One more field: an interface name; the kernel knows the first 15 bytes.
    pub fn and_interface(mut self, name: &str) -> Self {
        let mut field = [0u8; 16];
        for (place, byte) in field.iter_mut().zip(name.bytes().take(15)) {
            *place = byte;
        }
        self.0.extend_from_slice(&field);
        self
    }

    /// One more field: a hardware address.
    pub fn and_mac(mut self, mac: [u8; 6]) -> Self {
        self.0.extend_from_slice(&mac);
        self.0.extend_from_slice(&[0; 2]);
        self
    }

    /// One more field: an IP protocol number.
    pub fn and_protocol(mut self, protocol: u8) -> Self {
        self.0.extend_from_slice(&[protocol, 0, 0, 0]);
        self
    }

    /// One more field: a port.
    pub fn and_port(mut self, port: u16) -> Self {
        self.0.extend_from_slice(&port.to_be_bytes());
        self.0.extend_from_slice(&[0; 2]);
        self
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What an element of a map leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A verdict.
    Verdict(Verdict),
    /// Bytes for a register.
    Fields(Key),
}

/// One element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The set or map it belongs to.
    pub set: SetName,
    /// Its key.
    pub key: Key,
    /// What it leads to, in a map.
    pub value: Option<Value>,
    /// Whose it is, at most 128 bytes: see [`super::comment`].
    pub comment: Option<String>,
}

/// `NFT_SET_MAP`.
const MAP: u32 = 8;
/// `NFT_DATA_VERDICT`.
const VERDICTS: u32 = 0xffff_ff00;

impl Set {
    pub(super) fn write(&self, writer: &mut Writer, table: &str, id: u32) {
        let (key_type, key_length) = concatenated(self.key);
        writer.string(attribute::SET_TABLE, table);
        writer.string(attribute::SET_NAME, &self.name);
        writer.u32(attribute::SET_FLAGS, if self.to.is_some() { MAP } else { 0 });
        writer.u32(attribute::SET_KEY_TYPE, key_type);
        writer.u32(attribute::SET_KEY_LENGTH, key_length);
        match self.to {
            Some(MapTo::Verdict) => writer.u32(attribute::SET_DATA_TYPE, VERDICTS),
            Some(MapTo::Fields(fields)) => {
                let (data_type, data_length) = concatenated(fields);
                writer.u32(attribute::SET_DATA_TYPE, data_type);
                writer.u32(attribute::SET_DATA_LENGTH, data_length);
            }
            None => {}
        }
        writer.u32(attribute::SET_ID, id);
        let byte_order = match self.key {
            [field] => field.byte_order(),
            _ => 0,
        };
        let comment = self.comment.as_deref();
        userdata::write_set(writer, attribute::SET_USERDATA, byte_order, self.key, comment);
    }
}

impl Element {
    /// Writes a message that adds the element and fails with `EEXIST` when its key is there.
    pub(super) fn write_add(&self, messages: &mut Messages) -> u32 {
        messages.request(Kind::NewElement, flags::CREATE | flags::EXCL, self.set.family, |writer| {
            write_list(writer, &self.set, |writer| {
                write_key(writer, &self.key);
                match &self.value {
                    Some(Value::Verdict(verdict)) => {
                        writer.nested(attribute::ELEMENT_DATA, |writer| verdict.write(writer));
                    }
                    Some(Value::Fields(value)) => {
                        writer.nested(attribute::ELEMENT_DATA, |writer| {
                            writer.bytes(attribute::DATA_VALUE, value.as_bytes());
                        });
                    }
                    None => {}
                }
                if let Some(comment) = &self.comment {
                    userdata::write_comment(writer, attribute::ELEMENT_USERDATA, comment);
                }
            });
        })
    }
}

/// Writes a message that removes an element.
pub(super) fn write_delete(messages: &mut Messages, set: &SetName, key: &Key) -> u32 {
    messages.request(Kind::DelElement, 0, set.family, |writer| {
        write_list(writer, set, |writer| write_key(writer, key));
    })
}

/// Writes a message that asks for an element.
pub(super) fn write_get(messages: &mut Messages, set: &SetName, key: &Key) -> u32 {
    messages.request(Kind::GetElement, 0, set.family, |writer| {
        write_list(writer, set, |writer| write_key(writer, key));
    })
}

fn write_list(writer: &mut Writer, set: &SetName, element: impl FnOnce(&mut Writer)) {
    writer.string(attribute::LIST_TABLE, &set.table);
    writer.string(attribute::LIST_SET, &set.set);
    writer
        .nested(attribute::LIST_ELEMENTS, |writer| writer.nested(attribute::LIST_ELEMENT, element));
}

fn write_key(writer: &mut Writer, key: &Key) {
    writer.nested(attribute::ELEMENT_KEY, |writer| {
        writer.bytes(attribute::DATA_VALUE, key.as_bytes())
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn types_are_numbered_as_nft_numbers_them() {
        assert_eq!(concatenated(&[Field::Ipv4Address]), (7, 4));
        assert_eq!(concatenated(&[Field::Ipv4Address, Field::Ipv4Address]), (0x1c7, 8));
        assert_eq!(concatenated(&[Field::InterfaceName, Field::EtherAddress]), (0xa49, 24));
        assert_eq!(concatenated(&[Field::Protocol, Field::Port]), (0x30d, 8));
        assert_eq!(concatenated(&[Field::Port]), (13, 2));
    }

    #[test]
    fn key_fields_are_padded() {
        let key = Key::interface("veth0").and_mac([1, 2, 3, 4, 5, 6]);
        assert_eq!(key.as_bytes(), b"veth0\0\0\0\0\0\0\0\0\0\0\0\x01\x02\x03\x04\x05\x06\0\0");
        let key = Key::default().and_protocol(6).and_port(80);
        assert_eq!(key.as_bytes(), [6, 0, 0, 0, 0, 80, 0, 0]);
        assert_eq!(Key::interface("a-very-long-interface").as_bytes().len(), 16);
    }
}
