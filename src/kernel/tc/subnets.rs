//! Which packets are limited: those that the other side of a connection is in some networks of, or
//! all but those. As filters of u32 and classes of htb.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::tc::TcHandle;
use serde::{Deserialize, Serialize};

use super::{SHAPED, UNSHAPED};

/// `ETH_P_IP` and `ETH_P_IPV6` of linux/if_ether.h.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// What is limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Subnets {
    /// Everything.
    #[default]
    All,
    /// What has its other side in one of these networks.
    Only(Vec<IpNetwork>),
    /// What has not.
    AllBut(Vec<IpNetwork>),
}

/// Which address of a packet is the other side's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// Of packets to the container.
    Source,
    /// Of packets from the container.
    Destination,
}

/// 32 bits of a packet, counted from the start of its IP header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Key {
    /// What is looked at.
    pub mask: u32,
    /// What it must be.
    pub value: u32,
    /// Bytes from the start.
    pub offset: u32,
}

/// A filter of u32 that puts packets into a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// For messages.
    pub network: IpNetwork,
    /// Two protocols cannot have one priority.
    pub priority: u16,
    /// The EtherType.
    pub protocol: u16,
    /// All must match.
    pub keys: Vec<Key>,
    /// The class.
    pub class: TcHandle,
}

impl Subnets {
    /// Whether no network is told apart.
    pub fn is_empty(&self) -> bool {
        self.networks().is_empty()
    }

    /// The discipline that this needs.
    pub fn kind(&self) -> &'static str {
        if self.is_empty() { "tbf" } else { "htb" }
    }

    /// The class of what no filter is about.
    pub fn default_class(&self) -> TcHandle {
        match self {
            Self::Only(_) => UNSHAPED,
            Self::All | Self::AllBut(_) => SHAPED,
        }
    }

    /// The filters, with the reference plugin's priorities.
    pub fn filters(&self, side: Match) -> impl Iterator<Item = Filter> {
        let class = if matches!(self, Self::Only(_)) { SHAPED } else { UNSHAPED };
        self.networks().iter().map(move |network| filter(*network, side, class))
    }

    fn networks(&self) -> &[IpNetwork] {
        match self {
            Self::All => &[],
            Self::Only(networks) | Self::AllBut(networks) => networks,
        }
    }
}

fn filter(network: IpNetwork, side: Match, class: TcHandle) -> Filter {
    let bytes = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (priority, protocol) = if network.is_ipv4() { (16, IPV4) } else { (15, IPV6) };
    let start = match (network.is_ipv4(), side) {
        (true, Match::Source) => 12,
        (true, Match::Destination) => 16,
        (false, Match::Source) => 8,
        (false, Match::Destination) => 24,
    };
    let words = |address| {
        let bytes = bytes(address);
        let words = bytes.chunks_exact(4);
        words.filter_map(|word| word.try_into().ok().map(u32::from_be_bytes)).collect::<Vec<_>>()
    };
    let offsets = (start..).step_by(4);
    let mut keys: Vec<Key> = words(network.mask())
        .into_iter()
        .zip(words(network.network()))
        .zip(offsets)
        .map(|((mask, value), offset)| Key { mask, value, offset })
        .filter(|key| key.mask != 0)
        .collect();
    if keys.is_empty() {
        keys.push(Key::default());
    }
    Filter { network, priority, protocol, keys, class }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn keys(network: &str, side: Match) -> Vec<(u32, u32, u32)> {
        let subnets = Subnets::Only(vec![network.parse().unwrap()]);
        let filter = subnets.filters(side).next().unwrap();
        filter.keys.iter().map(|key| (key.mask, key.value, key.offset)).collect()
    }

    #[test]
    fn keys_are_words_of_the_address_that_matter() {
        assert_eq!(
            keys("10.1.2.3/20", Match::Destination),
            [(0xffff_f000, 0x0a01_0000, 16)],
            "host bits are left out"
        );
        assert_eq!(keys("10.1.2.3/32", Match::Source), [(0xffff_ffff, 0x0a01_0203, 12)]);
        assert_eq!(
            keys("2001:db8:1::/40", Match::Destination),
            [(0xffff_ffff, 0x2001_0db8, 24), (0xff00_0000, 0, 28)]
        );
        assert_eq!(keys("2001:db8::/32", Match::Source), [(0xffff_ffff, 0x2001_0db8, 8)]);
        for all in ["0.0.0.0/0", "::/0"] {
            assert_eq!(keys(all, Match::Source), [(0, 0, 0)]);
        }
    }

    #[test]
    fn what_no_filter_is_about_goes_to_the_other_class() {
        let networks = vec!["10.0.0.0/8".parse().unwrap()];
        let only = Subnets::Only(networks.clone());
        assert_eq!(only.default_class(), UNSHAPED);
        assert!(only.filters(Match::Source).all(|filter| filter.class == SHAPED));
        let all_but = Subnets::AllBut(networks);
        assert_eq!(all_but.default_class(), SHAPED);
        assert!(all_but.filters(Match::Source).all(|filter| filter.class == UNSHAPED));
        assert_eq!((Subnets::All.kind(), only.kind()), ("tbf", "htb"));
    }
}
