//! What links have carried (`struct rtnl_link_stats64`, linux/if_link.h).

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;

use super::wire;
use crate::kernel::attr::{self, Attribute, Reader};
use crate::kernel::error::Error;
use crate::kernel::netlink::{RouteSocket, flags};

/// `IFLA_STATS64` of linux/if_link.h.
const STATS: u16 = 23;

/// What one link has carried since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that were received and dropped.
    pub rx_dropped: u64,
    /// Packets that should have been sent and were dropped.
    pub tx_dropped: u64,
}

impl Counters {
    /// The same seen from the other end of a pair.
    pub fn of_other_end(self) -> Self {
        Self {
            rx_packets: self.tx_packets,
            tx_packets: self.rx_packets,
            rx_bytes: self.tx_bytes,
            tx_bytes: self.rx_bytes,
            rx_dropped: self.tx_dropped,
            tx_dropped: self.rx_dropped,
        }
    }

    fn read(stats: &[u8]) -> Option<Self> {
        let (words, _) = stats.as_chunks::<8>();
        let mut words = words.iter().map(|bytes| u64::from_ne_bytes(*bytes));
        let mut next = || words.next();
        let (rx_packets, tx_packets, rx_bytes, tx_bytes) = (next()?, next()?, next()?, next()?);
        // Two counts of errors stand between.
        let (_, _, rx_dropped, tx_dropped) = (next()?, next()?, next()?, next()?);
        Some(Self { rx_packets, tx_packets, rx_bytes, tx_bytes, rx_dropped, tx_dropped })
    }
}

/// The counters of one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The interface index.
    pub index: u32,
    /// The name.
    pub name: String,
    /// What it has carried.
    pub counters: Counters,
}

/// The counters of every link of the namespace.
///
/// # Errors
/// Any refusal.
pub fn all(socket: &mut RouteSocket) -> Result<Vec<Counted>, Error> {
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    socket.ask(request, flags::DUMP, "read the counters of the links", &mut |kind, message| {
        Ok(read(kind, message))
    })
}

fn read(kind: u16, message: &[u8]) -> Option<Counted> {
    if kind != wire::RTM_NEWLINK {
        return None;
    }
    let index = super::word(message.get(wire::INDEX..)?)?;
    let (mut name, mut counters) = (String::new(), None);
    for Attribute { kind, value, .. } in Reader::new(message.get(wire::ATTRIBUTES..)?) {
        match kind {
            wire::NAME => name = attr::text(value)?.to_owned(),
            STATS => counters = Counters::read(value),
            _ => {}
        }
    }
    Some(Counted { index, name, counters: counters? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_where_the_kernel_puts_them() {
        let stats: Vec<u8> = (1u64..=24).flat_map(u64::to_ne_bytes).collect();
        let read = Counters::read(&stats).unwrap();
        assert_eq!((read.rx_packets, read.tx_packets), (1, 2));
        assert_eq!((read.rx_bytes, read.tx_bytes), (3, 4));
        assert_eq!((read.rx_dropped, read.tx_dropped), (7, 8));
        let other = read.of_other_end();
        assert_eq!((other.rx_bytes, other.tx_bytes), (4, 3));
        assert_eq!(Counters::read(&stats[..60]), None);
    }
}
