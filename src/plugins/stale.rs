//! What is left of attachments that nobody counts as valid any more: GC, and what other programs'
//! plugins have left.

use super::call::{home, journal, source};
use super::{Error, Plugin};
use crate::engine::apply;
use crate::engine::{self, Node, Owner};
use crate::ipam::host_local::Holder;
use crate::kernel::netns::Namespace;
use crate::kernel::{self, link, macspoof, masquerade};
use crate::protocol::request::Request;

const VALID: &str = "cni.dev/valid-attachments";

/// Removes every trace of attachments that are not in the configuration's list of valid ones
/// (CNI spec 1.1.0, section 2, "GC"). Goes on after failures and reports them all.
///
/// # Errors
/// The list is missing, or some of it could not be removed.
pub fn collect<P: Plugin>(request: &Request) -> Result<(), Error> {
    let plugin = P::configure(request)?;
    let Some(valid) = &request.config.valid_attachments else {
        if request.config.value.get(VALID).is_some() {
            // libcni writes null for a list it was given none of, and nobody can tell that from an
            // empty one; removing every attachment on a guess would be worse than removing none.
            log::warn!("{VALID} is null; nothing was removed");
            return Ok(());
        }
        return Err(Error::config(
            VALID,
            "is missing; without the list of valid attachments nothing is removed",
        ));
    };
    let network = &request.config.name;
    let is_valid = |container_id: &str, ifname: &str| {
        valid.iter().any(|one| one.container_id == container_id && one.ifname == ifname)
    };
    let mut left = Vec::new();
    let mut keep = |result: Result<(), Error>| {
        if let Err(error) = result {
            left.push(error.to_string());
        }
    };

    let journal = journal(request);
    for record in journal.list()? {
        let owner = &record.owner;
        if record.plugin != P::TYPE || is_valid(&owner.container_id, &owner.ifname) {
            continue;
        }
        log::info!("collecting {}", owner.text());
        keep(remove_record(&record).and_then(|()| Ok(journal.remove(owner, P::TYPE)?)));
    }
    journal.sweep();
    // Attachments whose record is lost.
    let mut node = Node::open(home()?, None, None)?;
    let is_stale = |text: &str| {
        Owner::parse(text).is_some_and(|owner| {
            owner.network == *network && !is_valid(&owner.container_id, &owner.ifname)
        })
    };
    keep(remove_links(&mut node, &is_stale));
    if plugin.uses_rules() {
        keep(remove_rules(&mut node, &is_stale));
    }
    if let Some(source) = source(&plugin, request)? {
        let valid_holder = |holder: Holder<'_>| is_valid(holder.container_id, holder.ifname);
        keep(source.retain(&valid_holder).map_err(Error::from));
    }
    if left.is_empty() { Ok(()) } else { Err(engine::Error::Incomplete(left).into()) }
}

fn remove_record(record: &engine::journal::Record) -> Result<(), Error> {
    let pod = record.netns.as_deref().and_then(|path| Namespace::open(path).ok());
    // Leases are the address source's to collect.
    let mut node = Node::open(home()?, pod, None)?;
    Ok(apply::remove(&record.resources, &mut node)?)
}

fn remove_links(node: &mut Node<'_>, is_stale: &dyn Fn(&str) -> bool) -> Result<(), Error> {
    for one in
        link::list(&mut node.host)?.iter().filter(|one| one.kind == "veth" && is_stale(&one.alias))
    {
        link::queue_remove(&mut node.host, one.index, &one.name)?;
    }
    Ok(node.flush()?)
}

fn remove_rules(node: &mut Node<'_>, is_stale: &dyn Fn(&str) -> bool) -> Result<(), Error> {
    let pods = masquerade::entries(node.nft()?).map_err(kernel::Error::from)?;
    let guards = macspoof::entries(node.nft()?).map_err(kernel::Error::from)?;
    for entry in pods.iter().filter(|entry| is_stale(&entry.owner)) {
        masquerade::remove(&mut node.rules, &[entry.address], &entry.owner);
    }
    for entry in guards.iter().filter(|entry| is_stale(&entry.owner)) {
        macspoof::remove(&mut node.rules, &entry.link, entry.mac, &entry.owner);
    }
    Ok(node.flush()?)
}

/// Removes the rules of one attachment of which there is no record: ours, found by their owner, and
/// those that the reference plugins made.
///
/// # Errors
/// The kernel's refusal.
pub fn remove_unrecorded_rules<P: Plugin>(
    plugin: &P,
    owner: &Owner,
    node: &mut Node<'_>,
) -> Result<(), Error> {
    if !plugin.uses_rules() {
        return Ok(());
    }
    let text = owner.text();
    match remove_rules(node, &|one| one == text) {
        Err(Error::Engine(engine::Error::Kernel(kernel::Error::Nft(
            kernel::nft::Error::Unsupported { .. },
        )))) => return Ok(()),
        removed => removed?,
    }
    Ok(engine::reference::remove(owner, node)?)
}

/// Whether rules could be made.
///
/// # Errors
/// That the kernel has no nf_tables.
pub fn probe_rules(node: &mut Node<'_>) -> Result<(), Error> {
    masquerade::entries(node.nft()?).map_err(kernel::Error::from)?;
    Ok(())
}
