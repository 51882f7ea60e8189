//! Links as devices of the host: what tells one from all others wherever it is, and moving one from
//! one namespace to another.

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::DefaultNla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask};
use nix::errno::Errno;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use serde::{Deserialize, Serialize};

use super::{Link, wire};
use crate::kernel::attr;
use crate::kernel::error::Error;
use crate::kernel::netlink::{RouteSocket, flags};

/// Kinds of attributes of linux/if_link.h.
mod device_wire {
    pub(super) const ALIAS: u16 = 20;
    pub(super) const ALT_NAME: u16 = 53;
    pub(super) const PERMANENT_ADDRESS: u16 = 54;
    pub(super) const PARENT_NAME: u16 = 56;
    pub(super) const PARENT_BUS: u16 = 57;
}

/// The longest name of a link in bytes; a longer one can only be one of its other names
/// (`IFLA_ALT_IFNAME`).
const LONGEST_NAME: usize = 15;

/// A hardware address of any length: six bytes of Ethernet, twenty of InfiniBand. In records and
/// results it is in colon form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HardwareAddress(Vec<u8>);

impl HardwareAddress {
    /// Reads the colon, dash or dot notation of an address of 6, 8 or 20 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let (separator, digits) = match text.chars().find(|c| !c.is_ascii_hexdigit())? {
            separator @ (':' | '-') => (separator, 2),
            '.' => ('.', 4),
            _ => return None,
        };
        let mut bytes = Vec::new();
        for part in text.split(separator) {
            if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            let number = u16::from_str_radix(part, 16).ok()?.to_be_bytes();
            bytes.extend(number.into_iter().skip(2 - digits / 2));
        }
        matches!(bytes.len(), 6 | 8 | 20).then_some(Self(bytes))
    }

    /// Whether there is none, as with a point-to-point link, or it is all zero.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }
}

impl fmt::Display for HardwareAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if place > 0 {
                out.write_str(":")?;
            }
            write!(out, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A link with what tells it from others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// What every link has.
    pub link: Link,
    /// The hardware address.
    pub address: HardwareAddress,
    /// What identifies it.
    pub identity: Identity,
}

/// What stays the same of a device wherever it goes and whatever it is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Identity {
    /// The kind, such as "veth"; empty for hardware.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The hardware address that it was made with, in colon form; empty for most virtual links and
    /// before Linux 5.6.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub permanent: String,
    /// The device behind it, such as "0000:03:00.0"; empty for virtual links and before Linux 5.14.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// The bus of the device behind it, such as "pci".
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bus: String,
}

impl Identity {
    /// Whether it is hardware, which outlives the namespace it is in: the kernel gives it to its
    /// first namespace (`default_device_exit_net`, net/core/dev.c).
    pub fn is_hardware(&self) -> bool {
        self.kind.is_empty()
    }

    /// Whether it says which hardware; else only names and addresses can tell.
    pub fn is_certain(&self) -> bool {
        self.is_hardware() && !(self.permanent.is_empty() && self.parent.is_empty())
    }
}

impl Device {
    fn read(kind: u16, message: &[u8]) -> Option<Self> {
        let link = Link::read(kind, message)?;
        let attributes = message.get(wire::ATTRIBUTES..)?;
        let text =
            |kind: u16| attr::find_str(attributes, kind).map(str::to_owned).unwrap_or_default();
        let bytes = |kind: u16| {
            HardwareAddress(attr::find(attributes, kind).map(<[u8]>::to_vec).unwrap_or_default())
        };
        let identity = Identity {
            kind: link.kind.clone(),
            permanent: bytes(device_wire::PERMANENT_ADDRESS).to_string(),
            parent: text(device_wire::PARENT_NAME),
            bus: text(device_wire::PARENT_BUS),
        };
        Some(Self { link, address: bytes(wire::ADDRESS), identity })
    }
}

/// Finds a device by its name or one of its other names; `None` when there is none.
///
/// # Errors
/// Any refusal but `ENODEV`.
pub fn find_device(socket: &mut RouteSocket, name: &str) -> Result<Option<Device>, Error> {
    let which = if name.len() > LONGEST_NAME {
        let mut text = name.as_bytes().to_vec();
        text.push(0);
        LinkMessageBuilder::<LinkUnspec>::default().append_extra_attribute(LinkAttribute::Other(
            DefaultNla::new(device_wire::ALT_NAME, text),
        ))
    } else {
        LinkUnspec::new_with_name(name)
    };
    let message = which
        .append_extra_attribute(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]))
        .build();
    let request = RouteNetlinkMessage::GetLink(message);
    let doing = format!("read link {name}");
    match socket.ask(request, 0, doing, &mut |kind, message| Ok(Device::read(kind, message))) {
        Ok(answers) => Ok(answers.into_iter().next()),
        // EINVAL comes from a kernel without other names, before 5.5.
        Err(error)
            if error.is(Errno::ENODEV)
                || (name.len() > LONGEST_NAME && error.is(Errno::EINVAL)) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Lists every device of the namespace, in the order of their indexes.
///
/// # Errors
/// Any refusal.
pub fn devices(socket: &mut RouteSocket) -> Result<Vec<Device>, Error> {
    let message = LinkMessageBuilder::<LinkUnspec>::default()
        .append_extra_attribute(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]))
        .build();
    let request = RouteNetlinkMessage::GetLink(message);
    let mut all = socket.ask(request, flags::DUMP, "list the links", &mut |kind, message| {
        Ok(Device::read(kind, message))
    })?;
    all.sort_by_key(|device| device.link.index);
    Ok(all)
}

/// What a device becomes on its way into another namespace.
pub struct Move<'a> {
    /// What it is called now, for errors.
    pub from: &'a str,
    /// What it is to be called.
    pub to: &'a str,
    /// Its alias there; empty for none.
    pub alias: &'a str,
    /// Where it goes.
    pub namespace: BorrowedFd<'a>,
}

/// Moves a device to another namespace, names it and gives it its alias, all in one message. Its
/// addresses and routes are lost, and it is down afterwards.
///
/// When the new name is taken there, the device may have been moved and not renamed.
///
/// # Errors
/// `EEXIST` for a name that is taken; `EINVAL` for a link that cannot be moved, such as a bridge.
pub fn move_device(socket: &mut RouteSocket, index: u32, how: &Move<'_>) -> Result<(), Error> {
    let message = LinkUnspec::new_with_index(index)
        .setns_by_fd(how.namespace.as_raw_fd())
        .name(how.to)
        .append_extra_attribute(alias(how.alias))
        .build();
    let doing = format!("move link {} to another namespace as {}", how.from, how.to);
    socket.order(RouteNetlinkMessage::SetLink(message), 0, doing)
}

/// Takes a device down and gives it another name and alias.
///
/// # Errors
/// `EEXIST` when the name is taken.
pub fn rename_device(
    socket: &mut RouteSocket,
    index: u32,
    from: &str,
    to: &str,
    new_alias: &str,
) -> Result<(), Error> {
    // A link that is up keeps its name before Linux 6.2; flags are the last thing that one message
    // changes.
    let down = LinkUnspec::new_with_index(index).down().build();
    socket.queue(RouteNetlinkMessage::SetLink(down), 0, format!("take {from} down"))?;
    let rename =
        LinkUnspec::new_with_index(index).name(to).append_extra_attribute(alias(new_alias));
    socket.order(RouteNetlinkMessage::SetLink(rename.build()), 0, format!("rename {from} to {to}"))
}

/// Queues giving a link another alias; empty takes it away.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_alias(
    socket: &mut RouteSocket,
    index: u32,
    name: &str,
    text: &str,
) -> Result<(), Error> {
    let message = LinkUnspec::new_with_index(index).append_extra_attribute(alias(text)).build();
    socket.queue(RouteNetlinkMessage::SetLink(message), 0, format!("set the alias of {name}"))
}

/// Without the closing NUL, which would be part of the alias; empty takes it away.
fn alias(text: &str) -> LinkAttribute {
    LinkAttribute::Other(DefaultNla::new(device_wire::ALIAS, text.as_bytes().to_vec()))
}

/// Queues making a link a port of `master` or, without one, of nothing.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_master(
    socket: &mut RouteSocket,
    index: u32,
    name: &str,
    master: Option<(u32, &str)>,
) -> Result<(), Error> {
    let message = LinkUnspec::new_with_index(index);
    let (message, doing) = match master {
        Some((master, of)) => (message.controller(master), format!("make {name} a port of {of}")),
        None => (message.nocontroller(), format!("take {name} from its master")),
    };
    socket.queue(RouteNetlinkMessage::SetLink(message.build()), 0, doing)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_length_are_read() {
        let infiniband = "80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:00:00:01";
        for text in ["0a:58:0a:01:00:ff", "02:00:5e:10:00:00:00:01", infiniband] {
            assert_eq!(HardwareAddress::parse(text).unwrap().to_string(), text);
        }
        for text in ["0A-58-0A-01-00-FF", "0a58.0a01.00ff"] {
            assert_eq!(HardwareAddress::parse(text).unwrap().to_string(), "0a:58:0a:01:00:ff");
        }
        for text in ["", "0a", "0a:58:0a:01:00", "0a:58:0a:01:00:f", "0a:58:0a:01:00:fg", "eth0"] {
            assert_eq!(HardwareAddress::parse(text), None, "{text}");
        }
        assert!(HardwareAddress::parse("00:00:00:00:00:00").unwrap().is_empty());
    }
}
