//! Rules that the reference plugins have made for a pod: finding and removing them.
//!
//! Pods attached before causeway took the place of the reference plugins have their masquerading
//! in one of three places, depending on the plugins' version and on the host's iptables:
//!
//! * nftables (1.6 and later): rules in chain `masq_checks` of table inet `cni_plugins_masquerade`,
//!   told apart by their comments;
//! * iptables on nf_tables: a chain of the pod's own in tables ip `nat` and ip6 `nat`, to which
//!   rules in `POSTROUTING` jump;
//! * iptables-legacy: the same, but outside nf_tables; see [`xtables`].
//!
//! Their port mappings are in [`portmap`]. Their protection against forged hardware addresses is in table bridge `nat`: two chains of the
//! pod's own, to which a rule in `PREROUTING` jumps.

pub mod portmap;
pub mod xtables;

use std::fmt::Write as _;

use sha2::{Digest, Sha512};

use super::nft::{self, ChainName, Change, Family, FoundChain, Name, Socket};

/// Why rules of the reference plugins could not be found or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// nf_tables refused.
    #[error(transparent)]
    Nft(#[from] nft::Error),
    /// A program of iptables-legacy failed.
    #[error("{program} failed: {problem}; run it by hand to see why")]
    Program {
        /// The program's name.
        program: String,
        /// What it said, or why it could not be run.
        problem: String,
    },
}

/// The longest name that iptables allows a chain, as the reference plugins count it.
const LONGEST_CHAIN: usize = 28;
/// Hex digits of a hash in a comment.
const COMMENT_HASH: usize = 16;

/// The chain in which the reference plugins' iptables backend masquerades an attachment:
/// `CNI-` and 24 hex digits. The interface name has no part in it.
pub fn chain_name(network: &str, container_id: &str) -> String {
    prefixed_chain_name("", network, container_id)
}

/// A chain of an attachment's own: `CNI-`, a prefix that tells what it is for, and hex digits up to
/// 28 characters.
fn prefixed_chain_name(prefix: &str, network: &str, container_id: &str) -> String {
    let mut name = format!("CNI-{prefix}{}", sha512(&format!("{network}{container_id}")));
    name.truncate(LONGEST_CHAIN);
    name
}

/// What the comments of an attachment's rules begin with in the nftables backend.
fn comment_prefix(network: &str, container_id: &str, ifname: &str) -> String {
    let short = |text: &str| {
        let mut hash = sha512(text);
        hash.truncate(COMMENT_HASH);
        hash
    };
    format!("{}-{}", short(network), short(&format!("{ifname}:{container_id}")))
}

/// The chains of the check against forged hardware addresses: the interface's, and that of its
/// hardware address.
fn guard_chains(container_id: &str, ifname: &str) -> [ChainName; 2] {
    let name = format!("cni-br-iface-{container_id}-{ifname}");
    let mac = format!("{name}-mac");
    [name, mac].map(|chain| in_nat(Family::Bridge, chain))
}

/// Removes the masquerading rules of an attachment, wherever they are; none is fine, and costs a
/// few requests.
///
/// iptables-legacy is looked at in the network namespace of the calling thread, nf_tables in that
/// of `socket`.
///
/// # Errors
/// [`Error::Nft`] when the kernel refuses, [`Error::Program`] when iptables-legacy is in use and
/// fails.
pub fn remove_masquerade(
    socket: &mut Socket,
    network: &str,
    container_id: &str,
    ifname: &str,
) -> Result<(), Error> {
    let mut change = Change::new();
    let checks = masq_checks();
    let prefix = comment_prefix(network, container_id, ifname);
    for handle in rules_commented(socket, &checks, &prefix)? {
        change.remove_rule(checks.clone(), handle);
    }
    let name = chain_name(network, container_id);
    let chains = [Family::Ip, Family::Ip6].map(|family| in_nat(family, name.clone()));
    remove_chains(socket, &mut change, "POSTROUTING", &chains)?;
    socket.commit(&change)?;
    for family in xtables::FAMILIES {
        if family.has_nat() {
            family.remove_chains(&[("POSTROUTING", &name)])?;
        }
    }
    Ok(())
}

/// Removes the check against forged hardware addresses of an attachment; none is fine.
///
/// # Errors
/// [`Error::Nft`].
pub fn remove_macspoof(socket: &mut Socket, container_id: &str, ifname: &str) -> Result<(), Error> {
    let mut change = Change::new();
    let chains = guard_chains(container_id, ifname);
    remove_chains(socket, &mut change, "PREROUTING", &chains)?;
    socket.commit(&change)?;
    Ok(())
}

/// Whether an attachment is masqueraded by rules of the reference plugins.
///
/// # Errors
/// As [`remove_masquerade`].
pub fn masquerade_present(
    socket: &mut Socket,
    network: &str,
    container_id: &str,
    ifname: &str,
) -> Result<bool, Error> {
    let prefix = comment_prefix(network, container_id, ifname);
    if !rules_commented(socket, &masq_checks(), &prefix)?.is_empty() {
        return Ok(true);
    }
    let name = chain_name(network, container_id);
    for family in [Family::Ip, Family::Ip6] {
        let chain = in_nat(family, name.clone());
        if find(socket, std::slice::from_ref(&chain))?.contains(&true)
            && !jumps(socket, "POSTROUTING", &[chain])?.is_empty()
        {
            return Ok(true);
        }
    }
    for family in xtables::FAMILIES {
        if family.has_nat() && family.jumps_to("POSTROUTING", &name)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an attachment is protected by the reference plugins' check.
///
/// # Errors
/// [`Error::Nft`].
pub fn macspoof_present(
    socket: &mut Socket,
    container_id: &str,
    ifname: &str,
) -> Result<bool, Error> {
    let chains = guard_chains(container_id, ifname);
    Ok(!find(socket, &chains)?.contains(&false)
        && !jumps(socket, "PREROUTING", &chains)?.is_empty())
}

/// Puts into `change` that those of `chains` that are there go, with the rules in the base chain
/// `from` that jump to them.
fn remove_chains(
    socket: &mut Socket,
    change: &mut Change,
    from: &'static str,
    chains: &[ChainName],
) -> Result<(), Error> {
    let there = find(socket, chains)?;
    let there: Vec<_> =
        chains.iter().zip(there).filter(|(_, there)| *there).map(|(chain, _)| chain).collect();
    let names: Vec<_> = there.iter().map(|chain| (*chain).clone()).collect();
    for (base, handle) in jumps(socket, from, &names)? {
        change.remove_rule(base, handle);
    }
    // All are emptied before any goes, since one may jump to another.
    for chain in &there {
        change.flush_chain((*chain).clone());
    }
    for chain in there {
        change.remove_chain(chain.clone());
    }
    Ok(())
}

/// Which of `chains` are there.
fn find(socket: &mut Socket, chains: &[ChainName]) -> Result<Vec<bool>, Error> {
    let chains: Vec<_> = chains.iter().collect();
    let found = or_none(socket.chains_named(&chains))?;
    let there = |place: usize| found.get(place).is_some_and(Option::<FoundChain>::is_some);
    Ok((0..chains.len()).map(there).collect())
}

/// The rules in base chain `from` that jump to one of `chains`, with the base chain.
fn jumps(
    socket: &mut Socket,
    from: &'static str,
    chains: &[ChainName],
) -> Result<Vec<(ChainName, u64)>, Error> {
    let mut found = Vec::new();
    let mut bases: Vec<ChainName> = Vec::new();
    for chain in chains {
        let base = in_nat(chain.family, from);
        if !bases.contains(&base) {
            bases.push(base);
        }
    }
    for base in bases {
        for rule in or_none(socket.rules(&base))? {
            let to_one = chains.iter().any(|chain| {
                chain.family == base.family && rule.jump_target() == Some(&*chain.chain)
            });
            if to_one {
                found.push((base.clone(), rule.handle));
            }
        }
    }
    Ok(found)
}

/// The handles of the rules in `chain` whose comments begin with `prefix`.
fn rules_commented(
    socket: &mut Socket,
    chain: &ChainName,
    prefix: &str,
) -> Result<Vec<u64>, Error> {
    let rules = or_none(socket.rules(chain))?;
    let ours = rules
        .iter()
        .filter(|rule| rule.comment.as_ref().is_some_and(|comment| comment.starts_with(prefix)));
    Ok(ours.map(|rule| rule.handle).collect())
}

/// Where there is no nf_tables, there are no rules.
fn or_none<T>(found: Result<Vec<T>, nft::Error>) -> Result<Vec<T>, Error> {
    match found {
        Err(nft::Error::Unsupported { .. }) => Ok(Vec::new()),
        found => Ok(found?),
    }
}

fn masq_checks() -> ChainName {
    ChainName {
        family: Family::Inet,
        table: "cni_plugins_masquerade".into(),
        chain: "masq_checks".into(),
    }
}

fn in_nat(family: Family, chain: impl Into<Name>) -> ChainName {
    ChainName { family, table: "nat".into(), chain: chain.into() }
}

/// SHA-512 in hex digits, from which the reference plugins make names.
pub fn sha512(text: &str) -> String {
    let mut hex = String::with_capacity(128);
    for byte in Sha512::digest(text.as_bytes()) {
        // Writing into a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// The digits are those of `printf test1234 | sha512sum` and so on.
    #[test]
    fn names_follow_from_hashes() {
        assert_eq!(chain_name("test", "1234"), "CNI-2bbe0c48b91a7d1b8a6753a8");
        assert_eq!(comment_prefix("net", "id", "eth0"), "a4861f4ae9f7d238-9de139b3fbb6a326");
    }
}
