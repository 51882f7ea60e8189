//! The rules that the reference plugins make, for pods attached by them before the swap, and for
//! operators who choose the iptables backend.
//!
//! Chain names and comments are theirs, so that either side removes what the other has made.

pub mod forward;
pub mod hostport;

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{Error, Node, Owner};
use crate::kernel::nft::Socket;
use crate::kernel::{self, iptables, legacy, nft};

/// Removes the masquerading rules and the spoofing check of an attachment, whichever backend made
/// them; none is fine.
///
/// # Errors
/// The kernel's refusal, or that of iptables-legacy where that is in use.
pub fn remove(owner: &Owner, node: &mut Node<'_>) -> Result<(), Error> {
    let nft = match node.nft() {
        // A kernel without nf_tables has no rules of any backend that would be ours to remove.
        Err(kernel::Error::Nft(kernel::nft::Error::Unsupported { .. })) => return Ok(()),
        nft => nft?,
    };
    legacy::remove_masquerade(nft, &owner.network, &owner.container_id, &owner.ifname)
        .map_err(Error::Legacy)?;
    legacy::remove_macspoof(nft, &owner.container_id, &owner.ifname).map_err(Error::Legacy)
}

/// Whether masquerading rules of the reference plugins are there for an attachment.
///
/// # Errors
/// The kernel's refusal.
pub fn masquerade_present(owner: &Owner, node: &mut Node<'_>) -> Result<bool, Error> {
    legacy::masquerade_present(node.nft()?, &owner.network, &owner.container_id, &owner.ifname)
        .map_err(Error::Legacy)
}

/// Whether the reference plugins' spoofing check is there for an attachment.
///
/// # Errors
/// The kernel's refusal.
pub fn macspoof_present(owner: &Owner, node: &mut Node<'_>) -> Result<bool, Error> {
    legacy::macspoof_present(node.nft()?, &owner.container_id, &owner.ifname).map_err(Error::Legacy)
}

/// Makes the iptables masquerading chain of an attachment, with one run of iptables-restore per
/// family.
///
/// # Errors
/// When the program is not there or refuses.
pub fn add_masquerade(owner: &Owner, addresses: &[IpNetwork]) -> Result<(), Error> {
    for v6 in [false, true] {
        let family: Vec<_> = addresses.iter().filter(|address| address.is_ipv6() == v6).collect();
        if family.is_empty() {
            continue;
        }
        let restore = if v6 { iptables::Family::Ipv6 } else { iptables::Family::Ipv4 };
        restore.restore(&rules(owner, &family, v6), "ipMasqBackend \"iptables\"")?;
    }
    Ok(())
}

fn rules(owner: &Owner, addresses: &[&IpNetwork], v6: bool) -> String {
    let chain = legacy::chain_name(&owner.network, &owner.container_id);
    let multicast = if v6 { "ff00::/8" } else { "224.0.0.0/4" };
    // Quotes are iptables-restore's own; the names themselves can hold none.
    let comment = format!(
        r#"-m comment --comment "name: \"{}\" id: \"{}\"""#,
        owner.network, owner.container_id
    );
    let mut text = format!("*nat\n:{chain} - [0:0]\n");
    for address in addresses {
        let pod: IpAddr = address.ip();
        text.push_str(&format!("-A {chain} -d {address} {comment} -j ACCEPT\n"));
        text.push_str(&format!("-A {chain} ! -d {multicast} {comment} -j MASQUERADE\n"));
        text.push_str(&format!("-A POSTROUTING -s {pod} {comment} -j {chain}\n"));
    }
    text.push_str("COMMIT\n");
    text
}

/// Removes the port mappings of an attachment, whichever backend made them, and says whether there
/// were any; none is fine.
///
/// # Errors
/// The kernel's refusal, or that of iptables-legacy where that is in use.
pub fn remove_portmap(owner: &Owner, node: &mut Node<'_>) -> Result<bool, Error> {
    let socket = nf_tables(node)?;
    Ok(legacy::portmap::remove(socket, &owner.network, &owner.container_id)?)
}

/// Whether port mappings of the reference plugin are there for an attachment in one family.
///
/// # Errors
/// As [`remove_portmap`].
pub fn portmap_present(owner: &Owner, v6: bool, node: &mut Node<'_>) -> Result<bool, Error> {
    let socket = nf_tables(node)?;
    Ok(legacy::portmap::present(socket, &owner.network, &owner.container_id, v6)?)
}

/// The nftables socket; `None` on a kernel without.
fn nf_tables<'n>(node: &'n mut Node<'_>) -> Result<Option<&'n mut Socket>, Error> {
    match node.nft() {
        Err(kernel::Error::Nft(nft::Error::Unsupported { .. })) => Ok(None),
        socket => Ok(Some(socket?)),
    }
}
