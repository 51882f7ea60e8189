//! Port mappings that the reference plugin `portmap` has made: finding and removing them.
//!
//! * iptables, of either variant: a chain `CNI-DN-…` of the attachment's own in table `nat`, to which
//!   rules in `CNI-HOSTPORT-DNAT` jump. Before release 0.8 there was also `CNI-SN-…`, called from
//!   `CNI-HOSTPORT-SNAT`.
//! * nftables (1.7 and later): rules in tables ip and ip6 `cni_hostport`, whose comment is the
//!   container ID.

use super::{Error, in_nat, jumps, or_none, prefixed_chain_name, remove_chains, xtables};
use crate::kernel::nft::{ChainName, Change, Family, FoundRule, Socket};

/// The chain that all attachments share.
pub const ALL: &str = "CNI-HOSTPORT-DNAT";
/// What old releases had for rewriting source addresses.
const OLD_ALL: &str = "CNI-HOSTPORT-SNAT";
/// The table of the nftables backend.
const TABLE: &str = "cni_hostport";
/// Its chains that have rules of attachments. The second has none since 1.8.
const CHAINS: [&str; 3] = ["hostports", "hostip_hostports", "masquerading"];
const FAMILIES: [Family; 2] = [Family::Ip, Family::Ip6];

/// The chain of an attachment by iptables: `CNI-DN-` and 21 hex digits. The interface name has no
/// part in it.
pub fn chain_name(network: &str, container_id: &str) -> String {
    prefixed_chain_name("DN-", network, container_id)
}

/// Removes the port mappings of an attachment, wherever they are, and says whether there were any;
/// none is fine, and costs a few requests.
///
/// iptables-legacy is looked at in the network namespace of the calling thread, nf_tables in that of
/// `socket`, of which there is none on a kernel without.
///
/// # Errors
/// [`Error::Nft`] when the kernel refuses, [`Error::Program`] when iptables-legacy is in use and
/// fails.
pub fn remove(
    mut socket: Option<&mut Socket>,
    network: &str,
    container_id: &str,
) -> Result<bool, Error> {
    let name = chain_name(network, container_id);
    let old = prefixed_chain_name("SN-", network, container_id);
    let chains = [(ALL, name.as_str()), (OLD_ALL, old.as_str())];
    let mut any = false;
    if let Some(socket) = &mut socket {
        let mut change = Change::new();
        for (from, name) in chains {
            let chains = FAMILIES.map(|family| in_nat(family, name.to_owned()));
            remove_chains(socket, &mut change, from, &chains)?;
        }
        for family in FAMILIES {
            for (chain, rule) in commented(socket, family, container_id)? {
                change.remove_rule(chain, rule.handle);
            }
        }
        any = !change.is_empty();
        socket.commit(&change)?;
    }
    for family in xtables::FAMILIES {
        if family.has_nat() {
            any |= family.remove_chains(&chains)?;
        }
    }
    Ok(any)
}

/// Whether an attachment has port mappings of the reference plugin in one family.
///
/// # Errors
/// As [`remove`].
pub fn present(
    socket: Option<&mut Socket>,
    network: &str,
    container_id: &str,
    v6: bool,
) -> Result<bool, Error> {
    let name = chain_name(network, container_id);
    if let Some(socket) = socket {
        let family = if v6 { Family::Ip6 } else { Family::Ip };
        let chain = in_nat(family, name.clone());
        if !or_none(socket.rules(&chain))?.is_empty() && !jumps(socket, ALL, &[chain])?.is_empty() {
            return Ok(true);
        }
        let found = commented(socket, family, container_id)?;
        if found.iter().any(|(chain, _)| &*chain.chain != "masquerading") {
            return Ok(true);
        }
    }
    let [ipv4, ipv6] = xtables::FAMILIES;
    let family = if v6 { ipv6 } else { ipv4 };
    Ok(family.has_nat() && family.jumps_to(ALL, &name)?)
}

/// The rules of a container in one family of the nftables backend.
fn commented(
    socket: &mut Socket,
    family: Family,
    container_id: &str,
) -> Result<Vec<(ChainName, FoundRule)>, Error> {
    let chains = CHAINS.map(|chain| ChainName { family, table: TABLE.into(), chain: chain.into() });
    let there = or_none(socket.chains_named(&chains.each_ref()))?;
    let mut found = Vec::new();
    for (chain, _) in chains.into_iter().zip(there).filter(|(_, there)| there.is_some()) {
        for rule in or_none(socket.rules(&chain))? {
            if rule.comment.as_deref() == Some(container_id) {
                found.push((chain.clone(), rule));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Debian's reference plugin names it.
    #[test]
    fn the_name_follows_from_a_hash() {
        assert_eq!(chain_name("testnet", "id-blue"), "CNI-DN-a56c00c833e06d039d2d2");
    }
}
