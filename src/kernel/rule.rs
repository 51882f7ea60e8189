//! Rules that choose a routing table (rtnetlink(7), RTM_*RULE; linux/fib_rules.h).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::attr::{Attribute, Reader};
use super::error::Error;
use super::netlink::{RouteSocket, flags};

/// A rule as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Packets from here it is about; every one when of length 0.
    pub from: IpNetwork,
    /// The table that it has looked up; 0 when it does something else.
    pub table: u32,
    /// Rules are gone through from the lowest to the highest.
    pub priority: u32,
    /// Whether the source is all that it looks at, and a table all that it gives.
    pub is_plain: bool,
}

impl Rule {
    /// Whether it does no more than to have a table looked up for packets from one address; which
    /// one, if a table is given.
    pub fn is_for(&self, address: IpAddr, table: Option<u32>) -> bool {
        let whole = if address.is_ipv6() { 128 } else { 32 };
        self.is_plain
            && self.from.ip() == address
            && self.from.prefix() == whole
            && table.is_none_or(|table| table == self.table)
    }
}

/// Kinds of attributes and values of linux/fib_rules.h and linux/rtnetlink.h.
mod wire {
    pub(super) const RTM_NEWRULE: u16 = 32;
    pub(super) const HEADER: usize = 16;
    /// `nlmsghdr` and `fib_rule_hdr` stand before the attributes.
    pub(super) const ATTRIBUTES: usize = HEADER + 12;
    pub(super) const SOURCE: u16 = 2;
    pub(super) const PRIORITY: u16 = 6;
    pub(super) const SUPPRESS_GROUP: u16 = 13;
    pub(super) const SUPPRESS_PREFIX: u16 = 14;
    pub(super) const TABLE: u16 = 15;
    pub(super) const PADDING: u16 = 18;
    pub(super) const PROTOCOL: u16 = 21;
    pub(super) const TO_TABLE: u8 = 1;
    /// What the kernel says of a rule that suppresses nothing.
    pub(super) const NOTHING: [u8; 4] = [0xff; 4];
    /// The rule is turned round: it is about every other packet.
    pub(super) const INVERT: u32 = 2;
}

fn message(from: IpAddr, table: u32) -> RuleMessage {
    let mut message = RuleMessage::default();
    (message.header.family, message.header.src_len) = match from {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.header.action = RuleAction::ToTable;
    message.attributes.push(RuleAttribute::Source(from));
    match u8::try_from(table) {
        Ok(small) => message.header.table = small,
        Err(_) => message.attributes.push(RuleAttribute::Table(table)),
    }
    message
}

/// Queues a rule that has `table` looked up for packets from one address, before every rule but the
/// first. `EEXIST` comes back for one that is there.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_add(socket: &mut RouteSocket, from: IpAddr, table: u32) -> Result<(), Error> {
    let request = RouteNetlinkMessage::NewRule(message(from, table));
    let doing = format!("add the rule that packets from {from} use table {table}");
    socket.queue(request, flags::CREATE | flags::EXCL, doing)
}

/// Removes the rule that has `table` looked up for packets from one address, and sends the batch
/// before it. Says whether it was there.
///
/// # Errors
/// As [`RouteSocket::flush`].
pub fn remove(socket: &mut RouteSocket, from: IpAddr, table: u32) -> Result<bool, Error> {
    socket.flush()?;
    let request = RouteNetlinkMessage::DelRule(message(from, table));
    let doing = format!("remove the rule that packets from {from} use table {table}");
    match socket.order(request, 0, doing) {
        Ok(()) => Ok(true),
        Err(error) if [Errno::ENOENT, Errno::ESRCH].iter().any(|errno| error.is(*errno)) => {
            Ok(false)
        }
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Lists the rules of one family. A namespace without IPv6 has none of that.
///
/// # Errors
/// Any refusal; [`Error::Missing`] for a kernel that has no rules.
pub fn list(socket: &mut RouteSocket, v6: bool) -> Result<Vec<Rule>, Error> {
    let mut request = RuleMessage::default();
    request.header.family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let mut read = |kind: u16, message: &[u8]| Ok(read(kind, message, v6));
    let request = RouteNetlinkMessage::GetRule(request);
    match socket.ask(request, flags::DUMP, "list the rules", &mut read) {
        Err(error) if v6 && is_absent(&error) => Ok(Vec::new()),
        Err(error) if is_absent(&error) => Err(Error::Missing {
            feature: "rules that choose a routing table (CONFIG_IP_MULTIPLE_TABLES)".into(),
            needed_for: "routing by source".into(),
        }),
        other => other,
    }
}

fn is_absent(error: &Error) -> bool {
    error.is(Errno::EOPNOTSUPP) || error.is(Errno::EAFNOSUPPORT)
}

/// Reads an RTM_NEWRULE message.
pub(crate) fn read(kind: u16, message: &[u8], v6: bool) -> Option<Rule> {
    let header = message.get(wire::HEADER..)?.first_chunk::<12>()?;
    let [_family, to, prefix, tos, table, _, _, action, rule_flags @ ..] = header;
    if kind != wire::RTM_NEWRULE {
        return None;
    }
    let any: IpAddr = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let (mut from, mut table, mut priority) = (any, u32::from(*table), 0);
    let mut is_plain = *to == 0
        && *tos == 0
        && *action == wire::TO_TABLE
        && u32::from_ne_bytes(*rule_flags) & wire::INVERT == 0;
    for Attribute { kind, value, .. } in Reader::new(message.get(wire::ATTRIBUTES..)?) {
        match kind {
            wire::SOURCE => from = address(value)?,
            wire::TABLE => table = word(value)?,
            wire::PRIORITY => priority = word(value)?,
            wire::SUPPRESS_GROUP | wire::SUPPRESS_PREFIX => is_plain &= value == wire::NOTHING,
            wire::PADDING | wire::PROTOCOL => {}
            _ => is_plain = false,
        }
    }
    let table = if *action == wire::TO_TABLE { table } else { 0 };
    Some(Rule { from: IpNetwork::new(from, *prefix).ok()?, table, priority, is_plain })
}

/// The number that `bytes` are, in the machine's byte order.
fn word(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

/// The address that `bytes` are, of either family.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}
