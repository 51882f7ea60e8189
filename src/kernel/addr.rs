//! Addresses of links (rtnetlink(7), RTM_*ADDR).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use rtnetlink::AddressMessageBuilder;

use super::error::Error;
use super::netlink::{RouteSocket, flags};

/// An address as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address with its prefix length.
    pub network: IpNetwork,
    /// Duplicate address detection is still at work.
    pub tentative: bool,
    /// Duplicate address detection found another owner.
    pub duplicate: bool,
}

/// Lists the addresses of one link, of both families.
///
/// # Errors
/// Any refusal.
pub fn list(socket: &mut RouteSocket, link: u32) -> Result<Vec<Address>, Error> {
    let mut message = AddressMessage::default();
    message.header.index = link;
    let answers =
        socket.ask(RouteNetlinkMessage::GetAddress(message), flags::DUMP, "list the addresses")?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(message) if message.header.index == link => read(message),
            _ => None,
        })
        .collect())
}

fn read(message: AddressMessage) -> Option<Address> {
    let mut header = message.header.flags;
    let (mut tentative, mut duplicate) = (false, false);
    let mut local = None;
    let mut far = None;
    for attribute in message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(address),
            AddressAttribute::Address(address) => far = Some(address),
            AddressAttribute::Flags(all) => {
                tentative |= all.contains(AddressFlags::Tentative);
                duplicate |= all.contains(AddressFlags::Dadfailed);
                header = AddressHeaderFlags::empty();
            }
            _ => {}
        }
    }
    tentative |= header.contains(AddressHeaderFlags::Tentative);
    duplicate |= header.contains(AddressHeaderFlags::Dadfailed);
    let network = IpNetwork::new(local.or(far)?, message.header.prefix_len).ok()?;
    Some(Address { network, tentative, duplicate })
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

/// Queues adding an address, with the subnet's broadcast address for IPv4. `EEXIST` comes back
/// when the link has it already.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_add(socket: &mut RouteSocket, link: u32, name: &str, address: IpNetwork) -> Result<(), Error> {
    let request = RouteNetlinkMessage::NewAddress(message(link, address));
    let doing = format!("add address {address} to {name}");
    socket.queue(request, flags::CREATE | flags::EXCL, doing)
}

/// Queues removing an address. `EADDRNOTAVAIL` comes back when the link does not have it.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_remove(socket: &mut RouteSocket, link: u32, name: &str, address: IpNetwork) -> Result<(), Error> {
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

/// Whether an address is of the same family as another.
pub fn same_family(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}
