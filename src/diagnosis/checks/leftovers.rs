//! What nobody owns any more: links, rules, leases, namespaces' names, files in the journal.

use std::collections::BTreeMap;

use super::{and_more, quoted};
use crate::diagnosis::facts::{Facts, Lease};
use crate::diagnosis::{Finding, Fix, Leftover, Severity};
use crate::engine::Owner;
use crate::kernel::legacy;

const REMOVE: &str = "causeway repair --leftovers";

pub(in crate::diagnosis) fn check(facts: &Facts, findings: &mut Vec<Finding>) {
    links(facts, findings);
    elements(facts, findings);
    chains(facts, findings);
    leases(facts, findings);
    for path in &facts.stale_namespaces {
        let what = format!("{} names a network namespace that is gone", path.display());
        let why = "Its mount is gone, so whatever uses the name fails, and a pod of that name cannot be \
                   made.";
        findings.push(
            Finding::new("namespace-stale", Severity::Warning, what, why)
                .mended_by(REMOVE)
                .fixed_by(Fix::Remove(Leftover::Namespace(path.clone()))),
        );
    }
    for (path, problem) in &facts.damaged {
        let file = quoted(&path.display().to_string());
        let what = format!("{} is no record of an attachment: {problem}", path.display());
        let why = "DEL goes without it and finds what it can by names and comments. What is left then \
                   is told here, so that the file can go.";
        let finding = Finding::new("record-damaged", Severity::Warning, what, why);
        findings.push(finding.mended_by(format!("rm {file}")));
    }
}

/// Whether there is an attachment of an owner. A text that was cut can only be compared.
fn has_attachment(facts: &Facts, owner: &str) -> bool {
    facts.attachments.iter().any(|one| one.owner.text() == owner)
}

fn links(facts: &Facts, findings: &mut Vec<Finding>) {
    for link in &facts.links {
        // An alias may be anybody's: only kinds that are made on the host for one attachment count.
        let is_ours = ["veth", "netkit", "ifb"].contains(&link.kind.as_str())
            && Owner::parse(&link.alias).is_some();
        if is_ours && !has_attachment(facts, &link.alias) {
            let what = format!(
                "{} on the host belongs to {}, of which there is no record",
                link.name, link.alias
            );
            // What a living pod sends is redirected to its ifb device, and lost without it.
            let has_living_end = facts.links.iter().any(|other| {
                other.alias == link.alias && other.kind != "ifb" && !other.both_ends_here
            });
            let is_nobodys = link.both_ends_here || (link.kind == "ifb" && !has_living_end);
            let why = if is_nobodys {
                "No pod can be behind it: its attachment was removed without it."
            } else {
                "Its other end is in a namespace that is alive. Its record is lost, or a process keeps \
                 the namespace of a pod that is gone. If nobody needs it, remove it."
            };
            let finding = Finding::new("link-leaked", Severity::Warning, what, why);
            let leftover = Leftover::Link { name: link.name.clone(), alias: link.alias.clone() };
            findings.push(if is_nobodys {
                finding.mended_by(REMOVE).fixed_by(Fix::Remove(leftover))
            } else {
                finding.mended_by(format!("ip link del {}", quoted(&link.name)))
            });
        } else if link.both_ends_here
            && link.master.is_some()
            && !has_attachment(facts, &link.alias)
        {
            let bridge = link.master.as_deref().unwrap_or_default();
            let used = facts.attachments.iter().any(|one| one.bridge.as_deref() == Some(bridge));
            if used {
                let what = format!(
                    "{} is a port of {bridge}, but its other end is on the host, too",
                    link.name
                );
                let why = "No pod is behind it. It may be meant so; if nobody knows it, remove it.";
                let command = format!("ip link del {}", quoted(&link.name));
                let finding = Finding::new("link-nowhere", Severity::Note, what, why);
                findings.push(finding.mended_by(command));
            }
        }
    }
}

fn elements(facts: &Facts, findings: &mut Vec<Finding>) {
    // Its record may be lost: then its link is still there, or its address in some namespace.
    let may_be_alive = |owner: &str| {
        facts.links.iter().any(|link| link.alias == owner && !link.both_ends_here)
            || facts.elements.iter().any(|element| {
                let address = element.what.parse().ok();
                element.owner == owner
                    && address.is_some_and(|address| facts.living_addresses.contains(&address))
            })
    };
    let mut leaked: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut places: BTreeMap<&str, &str> = BTreeMap::new();
    for element in &facts.elements {
        if Owner::parse(&element.owner).is_some() && !has_attachment(facts, &element.owner) {
            leaked.entry(&element.owner).or_default().push(&element.what);
            places.entry(&element.owner).or_insert(&element.table);
        }
    }
    for (owner, elements) in leaked {
        let table = places.get(owner).copied().unwrap_or_default();
        let what = format!(
            "table {table} has {} of {owner}, of which there is no record",
            and_more(elements.first().copied().unwrap_or_default(), elements.len())
        );
        let finding = |why| Finding::new("rule-leaked", Severity::Warning, what, why);
        findings.push(if may_be_alive(owner) {
            finding(
                "Its link or its address is alive all the same: its record is lost. They go with its \
                 DEL, or when the pod is gone.",
            )
        } else {
            finding(
                "Whoever gets the address next is treated as the old one was; a mapped port stays \
                 taken.",
            )
            .mended_by(REMOVE)
            .fixed_by(Fix::Remove(Leftover::Elements { owner: owner.to_owned() }))
        });
    }
}

fn chains(facts: &Facts, findings: &mut Vec<Finding>) {
    let mut known: Vec<String> = Vec::new();
    for attachment in &facts.attachments {
        let Owner { network, container_id, .. } = &attachment.owner;
        known.push(legacy::chain_name(network, container_id));
        let mapped = legacy::portmap::chain_name(network, container_id);
        known.push(mapped.replacen("-DN-", "-SN-", 1));
        known.push(mapped);
    }
    // Without a single attachment a runtime may keep its results elsewhere.
    if known.is_empty() {
        return;
    }
    for (program, chain) in facts.own_chains.iter().filter(|(_, chain)| !known.contains(chain)) {
        let what = format!("{program} has chain {chain} of an attachment that nobody knows");
        let why = "A plugin has left it there. It rewrites what comes from an address that may be \
                   another pod's by now.";
        let command = format!("{program}-save -t nat | grep -v {chain} | {program}-restore -T nat");
        let finding = Finding::new("chain-leaked", Severity::Warning, what, why);
        findings.push(finding.mended_by(command));
    }
}

fn leases(facts: &Facts, findings: &mut Vec<Finding>) {
    for lease in &facts.leases {
        let has_holder = facts.attachments.iter().any(|one| {
            one.owner.network == lease.network
                && one.owner.container_id == lease.container_id
                && (lease.ifname.is_empty() || one.owner.ifname == lease.ifname)
        });
        if has_holder || facts.living_addresses.contains(&lease.address) {
            continue;
        }
        let Lease { network, address, container_id, .. } = lease;
        let holder = if container_id.is_empty() { "nobody" } else { container_id };
        let what = format!(
            "{address} of network {network} is leased to {holder}, which has no attachment"
        );
        let why = "It is missing from the range until it is given back; a range full of these refuses \
                   new pods.";
        findings.push(
            Finding::new("lease-leaked", Severity::Warning, what, why).mended_by(REMOVE).fixed_by(
                Fix::Remove(Leftover::Lease { folder: lease.folder.clone(), lease: lease.clone() }),
            ),
        );
    }
}
