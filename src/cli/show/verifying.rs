//! Looking at every part of an attachment: of its records, or, when other plugins made it, at what
//! its kept result tells.

use ipnetwork::IpNetwork;
use serde_json::Value;

use super::super::error::Error;
use crate::engine::resource::address::Addresses;
use crate::engine::{Node, Resource};
use crate::inventory::{Attachment, Life};
use crate::ipam::host_local::DATA_DIR;
use crate::kernel;
use crate::kernel::netns::Namespace;

/// One part.
pub(super) struct Part {
    /// In words, as "this would …".
    pub(super) what: String,
    /// The plugin whose record has it; empty for what no record has.
    pub(super) plugin: String,
    /// How it is.
    pub(super) verdict: Verdict,
    /// The resource as the record has it.
    pub(super) resource: Option<Value>,
}

/// What looking at a part came to.
pub(super) enum Verdict {
    /// As it should be.
    Good,
    /// What is missing or different.
    Wrong(Vec<String>),
    /// It could not be looked at, and why.
    NotSeen(String),
}

/// Looks at everything the attachment owns.
///
/// # Errors
/// When the kernel cannot be spoken to at all.
pub(super) fn parts_of(one: &Attachment) -> Result<Vec<Part>, Error> {
    let home = Namespace::current().map_err(kernel::Error::from)?;
    let pod = one.netns.as_deref().filter(|_| matches!(one.life, Life::Alive(_)));
    // It may have gone since it was looked at.
    let pod = pod.and_then(|path| Namespace::open(path).ok());
    let is_gone = pod.is_none();
    let mut node = Node::open(home, pod, None)?;
    let mut parts = Vec::new();
    for record in &one.records {
        for resource in &record.resources {
            let verdict = match resource {
                Resource::Lease(lease) => lease_of(one, &lease.source, &lease.addresses),
                other => look(other, &mut node, is_gone),
            };
            parts.push(Part {
                what: resource.kind().describe(),
                plugin: record.plugin.clone(),
                verdict,
                resource: serde_json::to_value(resource).ok(),
            });
        }
    }
    if one.records.is_empty() {
        unrecorded(one, &mut node, is_gone, &mut parts);
    }
    Ok(parts)
}

fn look(resource: &Resource, node: &mut Node<'_>, is_gone: bool) -> Verdict {
    match resource.kind().verify(node) {
        Ok(findings) if findings.is_empty() => Verdict::Good,
        Ok(findings) => Verdict::Wrong(findings),
        Err(_) if is_gone => Verdict::NotSeen("the container's namespace is gone".to_owned()),
        Err(error) => Verdict::NotSeen(error.to_string()),
    }
}

/// Whether a lease is on disk as the record has it.
fn lease_of(one: &Attachment, source: &str, addresses: &[IpNetwork]) -> Verdict {
    match source {
        "static" => Verdict::Good,
        "host-local" => {
            let lost = addresses.iter().filter(|address| !one.leased.contains(&address.ip()));
            let lost: Vec<_> = lost
                .map(|address| {
                    format!(
                        "{} is not leased to it any more, so another container may get it; \
                         see {DATA_DIR}/{}",
                        address.ip(),
                        one.owner.network
                    )
                })
                .collect();
            if lost.is_empty() { Verdict::Good } else { Verdict::Wrong(lost) }
        }
        other => Verdict::NotSeen(format!("leases of {other} are not looked at here")),
    }
}

/// The parts that a kept result tells of.
fn unrecorded(one: &Attachment, node: &mut Node<'_>, is_gone: bool, parts: &mut Vec<Part>) {
    let mut add = |what: String, verdict| {
        parts.push(Part { what, plugin: String::new(), verdict, resource: None });
    };
    if let Some(link) = &one.host_link {
        let verdict = match link.index {
            Some(_) => Verdict::Good,
            None => Verdict::Wrong(vec![format!("link {} is not on the host", link.name)]),
        };
        add(format!("link {} on the host", link.name), verdict);
    }
    if one.cached.is_some() {
        let addresses = Addresses {
            link: one.owner.ifname.clone(),
            addresses: one.addresses.clone(),
            quiet: true,
        };
        let what = match one.addresses.is_empty() {
            true => format!("interface {} in the container", one.owner.ifname),
            false => {
                format!("{} on {} in the container", super::list::addresses(one), one.owner.ifname)
            }
        };
        add(what, look(&addresses.into(), node, is_gone));
        for address in &one.leased {
            let is_its =
                one.addresses.is_empty() || one.addresses.iter().any(|one| one.ip() == *address);
            let wrong = || format!("{address} is leased to it, but is not among its addresses");
            let verdict = if is_its { Verdict::Good } else { Verdict::Wrong(vec![wrong()]) };
            add(format!("lease {address} from host-local"), verdict);
        }
    } else {
        for address in &one.leased {
            let why = "nothing else tells of this attachment; `causeway leases` says more";
            let verdict = Verdict::Wrong(vec![why.to_owned()]);
            add(format!("lease {address} from host-local"), verdict);
        }
    }
}
