//! What attachments leave that no record tells of: elements, found by their owner, and what the
//! reference plugin has made, found by the addresses that prevResult names.

use std::net::IpAddr;

use super::planning;
use super::settings::{Backend, Settings};
use crate::engine::journal::Journal;
use crate::engine::reference::forward;
use crate::engine::{Node, Owner, Resource};
use crate::kernel::firewalld::Firewalld;
use crate::kernel::{self, firewall, nft, port_isolation};
use crate::plugins::Error;
use crate::protocol::request::Request;

/// Removes what one attachment has left.
pub(super) fn remove_of(
    settings: &Settings,
    request: &Request,
    owner: &Owner,
    node: &mut Node<'_>,
) -> Result<(), Error> {
    let text = owner.text();
    remove_elements(node, &|one| one == text)?;
    let Some(result) = &request.config.prev_result else { return Ok(()) };
    let mut addresses = planning::addresses(result);
    let firewalld = match settings.backend {
        None | Some(Backend::Firewalld) => Firewalld::running(),
        Some(_) => None,
    };
    if firewalld.is_none() {
        addresses = forward::present(&addresses, node)?;
    }
    // A DEL may come twice, and the address may be another's by now.
    if !addresses.is_empty() {
        let others = of_others(request, owner)?;
        addresses.retain(|address| !others.contains(address));
    }
    if let Some(mut firewalld) = firewalld {
        for address in &addresses {
            firewalld.remove_source(&settings.zone, *address)?;
        }
    }
    forward::remove(&addresses, node)?;
    Ok(node.flush()?)
}

/// Removes the elements whose owner is stale.
pub(super) fn remove_elements(
    node: &mut Node<'_>,
    is_stale: &dyn Fn(&str) -> bool,
) -> Result<(), Error> {
    let Some((pods, ports)) = elements(node)? else { return Ok(()) };
    for entry in pods.iter().filter(|entry| is_stale(&entry.owner)) {
        firewall::remove(&mut node.rules, &[entry.address], &entry.owner);
    }
    for entry in ports.iter().filter(|entry| is_stale(&entry.owner)) {
        port_isolation::remove(&mut node.rules, &entry.port, &entry.owner);
    }
    Ok(node.flush()?)
}

type Elements = (Vec<firewall::Entry>, Vec<port_isolation::Entry>);

/// All elements; `None` on a kernel without nf_tables.
fn elements(node: &mut Node<'_>) -> Result<Option<Elements>, Error> {
    let read = |node: &mut Node<'_>| -> Result<Elements, kernel::Error> {
        let socket = node.nft()?;
        Ok((firewall::entries(socket)?, port_isolation::entries(socket)?))
    };
    match read(node) {
        Err(kernel::Error::Nft(nft::Error::Unsupported { .. })) => Ok(None),
        elements => Ok(Some(elements?)),
    }
}

/// The addresses of the network's other attachments whose rules tell no owner.
fn of_others(request: &Request, owner: &Owner) -> Result<Vec<IpAddr>, Error> {
    let journal = Journal::of(request.config.state_dir.as_deref(), &request.config.name);
    let records = journal.list()?;
    let others = records.iter().filter(|record| record.owner != *owner);
    let addresses = others.flat_map(|record| &record.resources).filter_map(|one| match one {
        Resource::IptablesFirewall(rules) => Some(&rules.addresses),
        Resource::FirewalldSource(source) => Some(&source.addresses),
        _ => None,
    });
    Ok(addresses.flatten().copied().collect())
}
