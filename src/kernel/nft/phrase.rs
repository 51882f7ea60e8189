//! Phrases of rules: what `nft list` prints as one match is several expressions to the kernel.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::expr::{Compare, Expr, Header, Meta, Register};

/// The rule goes on only for packets of this address's family: `meta nfproto ipv4` or `ipv6`. nft
/// does not print it when an address follows.
pub fn of_family(address: IpAddr) -> [Expr; 2] {
    let protocol = if address.is_ipv4() { 2 } else { 10 };
    [
        Expr::Meta { key: Meta::NetworkProtocol, to: Register::FIRST },
        Expr::Compare { from: Register::FIRST, how: Compare::Equal, with: vec![protocol] },
    ]
}

/// Loads the packet's source address, in the family of `like`.
pub fn source(like: IpAddr, to: Register) -> Expr {
    let (offset, length) = if like.is_ipv4() { (12, 4) } else { (8, 16) };
    Expr::Payload { header: Header::Network, offset, length, to }
}

/// Loads the packet's destination address, in the family of `like`.
pub fn destination(like: IpAddr, to: Register) -> Expr {
    let (offset, length) = if like.is_ipv4() { (16, 4) } else { (24, 16) };
    Expr::Payload { header: Header::Network, offset, length, to }
}

/// Keeps the network part of an address of `network`'s family and prefix length; nothing to do for
/// a whole address.
pub fn network_part(network: IpNetwork, register: Register) -> Option<Expr> {
    let mask = octets(network.mask());
    if mask.iter().all(|byte| *byte == u8::MAX) {
        return None;
    }
    let xor = vec![0; mask.len()];
    Some(Expr::Bitwise { from: register, to: register, mask, xor })
}

/// The rule goes on only for packets whose destination is, or is not, in `network`.
///
/// A prefix of whole bytes is compared without a mask, as nft does it: rules that were saved and
/// loaded with nft stay the same.
pub fn destination_in(network: IpNetwork, how: Compare) -> Vec<Expr> {
    loaded_in(destination(network.ip(), Register::FIRST), network, how)
}

/// The rule goes on only for packets whose source is, or is not, in `network`.
pub fn source_in(network: IpNetwork, how: Compare) -> Vec<Expr> {
    loaded_in(source(network.ip(), Register::FIRST), network, how)
}

fn loaded_in(mut load: Expr, network: IpNetwork, how: Compare) -> Vec<Expr> {
    let from = Register::FIRST;
    let mut with = octets(network.network());
    let prefix = u32::from(network.prefix());
    if prefix > 0
        && prefix % 8 == 0
        && let Expr::Payload { length, .. } = &mut load
    {
        *length = prefix / 8;
        with.truncate(usize::from(network.prefix() / 8));
        return vec![load, Expr::Compare { from, how, with }];
    }
    let mask = network_part(network, from);
    [load].into_iter().chain(mask).chain([Expr::Compare { from, how, with }]).collect()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::super::expr::Verdict;
    use super::*;
    use crate::kernel::attr::Writer;

    /// The bytes that Debian's nft 1.0.6 sends for `ip daddr 224.0.0.0/4 return` in family inet.
    #[test]
    fn a_rule_has_the_bytes_that_nft_sends() {
        let like: IpNetwork = "224.0.0.0/4".parse().unwrap();
        let mut exprs = of_family(like.ip()).to_vec();
        exprs.extend(destination_in(like, Compare::Equal));
        exprs.push(Expr::Verdict(Verdict::Return));
        let nft = include_str!("../../../testdata/nft/ip-daddr-multicast-return.hex");
        let nft: Vec<u8> =
            nft.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let mut writer = Writer::default();
        exprs.iter().for_each(|expr| expr.write(&mut writer));
        assert_eq!(writer.as_bytes(), nft);
    }

    #[test]
    fn whole_bytes_and_whole_addresses_need_no_mask() {
        let length = |net: &str| match &destination_in(net.parse().unwrap(), Compare::Equal)[..] {
            [Expr::Payload { length, .. }, Expr::Compare { with, .. }] => (*length, with.len()),
            masked => panic!("{masked:?}"),
        };
        assert_eq!(length("ff00::/8"), (1, 1));
        assert_eq!(length("10.88.0.0/16"), (2, 2));
        assert_eq!(length("10.88.0.1/32"), (4, 4));
        let masked = destination_in("10.88.0.0/15".parse().unwrap(), Compare::Equal);
        assert_eq!(masked.len(), 3);
        assert_eq!(network_part("10.88.0.1/32".parse().unwrap(), Register::FIRST), None);
    }
}
