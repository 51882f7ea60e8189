//! Addresses of links (rtnetlink(7), RTM_*ADDR).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use rtnetlink::AddressMessageBuilder;

pub mod whole;

use super::answer::{self, Said};
use super::attr;
use super::error::Error;
use super::netlink::{RouteSocket, flags};

/// The smallest MTU that carries IPv6, in bytes (RFC 8200, section 5). The kernel takes all that is
/// IPv6 from a link with less (`addrconf_notify`, net/ipv6/addrconf.c).
pub const IPV6_MTU: u32 = 1280;

/// An address as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address with its prefix length.
    pub network: IpNetwork,
    /// Duplicate address detection is still at work.
    pub tentative: bool,
    /// Duplicate address detection found another owner.
    pub duplicate: bool,
    /// An IPv6 address for everywhere that the kernel made from a router's advertisement, other than
    /// those it changes from time to time (RFC 8981). What programs add is permanent, if they give no
    /// lifetime.
    pub by_router: bool,
}

/// Lists the addresses of one link, of both families.
///
/// # Errors
/// Any refusal.
pub fn list(socket: &mut RouteSocket, link: u32) -> Result<Vec<Address>, Error> {
    let mut message = AddressMessage::default();
    message.header.index = link;
    let request = RouteNetlinkMessage::GetAddress(message);
    let mut all =
        socket.ask(request, flags::DUMP, "list the addresses", &mut |kind, message| {
            Ok(read(kind, message))
        })?;
    // Kernels before 4.20 list every link's.
    all.retain(|(index, _)| *index == link);
    Ok(all.into_iter().map(|(_, address)| address).collect())
}

/// Lists the addresses of every link, of both families, each with the link's index.
///
/// # Errors
/// Any refusal.
pub fn all(socket: &mut RouteSocket) -> Result<Vec<(u32, Address)>, Error> {
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    socket.ask(request, flags::DUMP, "list the addresses", &mut |kind, message| {
        Ok(read(kind, message))
    })
}

/// Kinds of attributes and values of linux/if_addr.h.
mod wire {
    pub(super) const RTM_NEWADDR: u16 = 20;
    pub(super) const RTM_DELADDR: u16 = 21;
    pub(super) const HEADER: usize = 16;
    /// `nlmsghdr` and `ifaddrmsg` stand before the attributes.
    pub(super) const ATTRIBUTES: usize = HEADER + 8;
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const LOCAL: u16 = 2;
    pub(super) const FLAGS: u16 = 8;
    /// `IFA_F_NODAD`.
    pub(super) const NO_DETECTION: u32 = 0x02;
    pub(super) const DADFAILED: u32 = 0x08;
    pub(super) const TENTATIVE: u32 = 0x40;
    pub(super) const TEMPORARY: u32 = 0x01;
    pub(super) const PERMANENT: u32 = 0x80;
    /// `RT_SCOPE_UNIVERSE`.
    pub(super) const EVERYWHERE: u8 = 0;
}

/// Reads an RTM_NEWADDR message: the link's index and the address.
pub(crate) fn read(kind: u16, message: &[u8]) -> Option<(u32, Address)> {
    if kind != wire::RTM_NEWADDR {
        return None;
    }
    let [_family, prefix, flags, scope, index @ ..] =
        message.get(wire::HEADER..)?.first_chunk::<8>()?;
    let attributes = message.get(wire::ATTRIBUTES..)?;
    let word = |value: &[u8]| value.try_into().ok().map(u32::from_ne_bytes);
    let flags = attr::find(attributes, wire::FLAGS).and_then(word).unwrap_or(u32::from(*flags));
    // The address itself is the local one; the other is a point-to-point peer's.
    let address = attr::find(attributes, wire::LOCAL).or(attr::find(attributes, wire::ADDRESS))?;
    let address: IpAddr = match address.len() {
        4 => <[u8; 4]>::try_from(address).ok()?.into(),
        _ => <[u8; 16]>::try_from(address).ok()?.into(),
    };
    let address = Address {
        network: IpNetwork::new(address, *prefix).ok()?,
        tentative: flags & wire::TENTATIVE != 0,
        duplicate: flags & wire::DADFAILED != 0,
        by_router: address.is_ipv6()
            && *scope == wire::EVERYWHERE
            && flags & (wire::PERMANENT | wire::TEMPORARY) == 0,
    };
    Some((u32::from_ne_bytes(*index), address))
}

/// The first address of a link that messages, as [`RouteSocket::hear`] gives them, say was taken away
/// since another host has it. That becomes of one that came from a router (`addrconf_dad_stop` in
/// net/ipv6/addrconf.c); others stay, as duplicates.
pub fn given_up(mut heard: &[u8], link: u32) -> Option<IpNetwork> {
    while let Some((answer, rest)) = answer::split(heard) {
        heard = rest;
        if let Said::Object(object) = answer.said
            && object.kind == wire::RTM_DELADDR
            && let Some((index, address)) = read(wire::RTM_NEWADDR, object.message)
            && index == link
            && address.duplicate
        {
            return Some(address.network);
        }
    }
    None
}

fn message(link: u32, address: IpNetwork) -> AddressMessage {
    match address {
        IpNetwork::V4(net) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(link)
            .address(net.ip(), net.prefix())
            .build(),
        IpNetwork::V6(net) => AddressMessageBuilder::<Ipv6Addr>::new()
            .index(link)
            .address(net.ip(), net.prefix())
            .build(),
    }
}

/// Makes sure that the kernel has IPv6. It says so by a socket rather than by /proc/sys/net/ipv6, which the
/// kernel takes the longer to find the more containers there are ([`super::netconf`]).
///
/// # Errors
/// [`Error::Missing`] when it has none.
pub fn needs_ipv6(needed_for: impl FnOnce() -> String) -> Result<(), Error> {
    let opened = socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
    if matches!(opened, Err(Errno::EAFNOSUPPORT)) {
        return Err(Error::Missing {
            feature: "IPv6 (CONFIG_IPV6, and no ipv6.disable=1 among the kernel's arguments)"
                .into(),
            needed_for: needed_for(),
        });
    }
    Ok(())
}

/// Queues adding an address, with the subnet's broadcast address for IPv4. `EEXIST` comes back
/// when the link has it already.
///
/// # Errors
/// As [`RouteSocket::queue`]; [`Error::Missing`] for an IPv6 address where the kernel has no IPv6.
pub fn queue_add(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    address: IpNetwork,
) -> Result<(), Error> {
    if address.is_ipv6() {
        needs_ipv6(|| format!("address {address} of {name}"))?;
    }
    let request = RouteNetlinkMessage::NewAddress(message(link, address));
    let doing = format!("add address {address} to {name}");
    socket.queue(request, flags::CREATE | flags::EXCL, doing)
}

/// Queues removing an address. `EADDRNOTAVAIL` comes back when the link does not have it.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_remove(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    address: IpNetwork,
) -> Result<(), Error> {
    let request = RouteNetlinkMessage::DelAddress(message(link, address));
    socket.queue(request, 0, format!("remove address {address} from {name}"))
}

/// Waits until no IPv6 address of the link is tentative. `listener` must have been opened in the
/// link's namespace with `RTMGRP_IPV6_IFADDR`, before the addresses were added.
///
/// # Errors
/// [`Error::TimedOut`] after `limit`, also when detection found a duplicate: the text says which.
pub fn settle(
    socket: &mut RouteSocket,
    listener: &mut RouteSocket,
    link: u32,
    name: &str,
    limit: Duration,
) -> Result<(), Error> {
    let start = Instant::now();
    loop {
        let addresses = list(socket, link)?;
        let v6 = || addresses.iter().filter(|address| address.network.is_ipv6());
        if let Some(taken) = v6().find(|address| address.duplicate) {
            return Err(Error::TimedOut(format!(
                "address {} of {name} is in use by another host (duplicate address detection failed)",
                taken.network
            )));
        }
        let Some(waiting) = v6().find(|address| address.tentative) else {
            return Ok(());
        };
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(Error::TimedOut(format!(
                "address {} of {name} is still tentative after {} s",
                waiting.network,
                limit.as_secs()
            )));
        }
        listener.hear(u16::try_from(left.as_millis()).unwrap_or(u16::MAX).max(1))?;
    }
}
