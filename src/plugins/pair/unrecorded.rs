//! What attachments by a pair of links leave that no record tells of: links and elements, found by
//! their owner, and what the reference plugins have made.

use crate::engine::{self, Node, Owner};
use crate::kernel::{self, addrspoof, link, macspoof, masquerade, nft};
use crate::plugins::Error;

/// Removes the rules of one attachment: ours, found by their owner, and those that the reference
/// plugins made.
pub(in crate::plugins) fn remove_rules_of(owner: &Owner, node: &mut Node<'_>) -> Result<(), Error> {
    let text = owner.text();
    match remove_rules(node, &|one| one == text) {
        Err(Error::Engine(engine::Error::Kernel(kernel::Error::Nft(
            nft::Error::Unsupported { .. },
        )))) => return Ok(()),
        removed => removed?,
    }
    Ok(engine::reference::remove(owner, node)?)
}

/// Removes the pairs whose alias is stale.
pub(in crate::plugins) fn remove_links(
    node: &mut Node<'_>,
    is_stale: &dyn Fn(&str) -> bool,
) -> Result<(), Error> {
    for one in link::list(&mut node.host)?
        .iter()
        .filter(|one| one.is_end_of_pair() && is_stale(&one.alias))
    {
        node.remove_link(one);
    }
    Ok(node.flush()?)
}

/// Removes the elements whose owner is stale.
pub(in crate::plugins) fn remove_rules(
    node: &mut Node<'_>,
    is_stale: &dyn Fn(&str) -> bool,
) -> Result<(), Error> {
    let pods = masquerade::entries(node.nft()?).map_err(kernel::Error::from)?;
    let guards = macspoof::entries(node.nft()?).map_err(kernel::Error::from)?;
    let addresses = addrspoof::entries(node.nft()?).map_err(kernel::Error::from)?;
    for entry in pods.iter().filter(|entry| is_stale(&entry.owner)) {
        masquerade::remove(&mut node.rules, &[entry.address], &entry.owner);
    }
    for entry in guards.iter().filter(|entry| is_stale(&entry.owner)) {
        macspoof::remove(&mut node.rules, &entry.link, entry.mac, &entry.owner);
    }
    for entry in addresses.iter().filter(|entry| is_stale(&entry.owner)) {
        addrspoof::remove_entry(&mut node.rules, entry);
    }
    Ok(node.flush()?)
}
