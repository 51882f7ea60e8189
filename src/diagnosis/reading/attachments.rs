//! Attachments: their records, what a runtime has kept of them, and how they are inside and outside.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use ipnetwork::IpNetwork;
use serde_json::Value;

use crate::diagnosis::facts::{Attachment, Facts, IpFamily, Wrong};
use crate::engine::journal::{Record, boot_id};
use crate::engine::{Error, Node, Resource, repair};
use crate::inventory::{self, Inventory, State};
use crate::kernel::difference::Difference;
use crate::kernel::netlink::RouteSocket;
use crate::kernel::netns::Namespace;
use crate::kernel::route::lookup;
use crate::kernel::{addr, link, netns};

/// Every attachment that there is a record or a result of.
pub(super) fn read(inventory: Inventory, facts: &mut Facts) {
    for found in inventory.attachments {
        // That is a matter of the lease.
        if found.state == State::LeaseOnly {
            continue;
        }
        let inventory::Attachment { owner, pod, addresses, netns, records, .. } = found;
        let mut attachment = Attachment {
            owner,
            records: records.iter().map(|record| record.plugin.clone()).collect(),
            pod,
            netns,
            alive: false,
            this_boot: records.is_empty() || records.iter().any(|one| one.boot == boot_id()),
            addresses,
            leased: false,
            forwarded: Vec::new(),
            paired: false,
            bridge: None,
            host_link: None,
            mtu: None,
            elsewhere: Vec::new(),
            wrong: Vec::new(),
        };
        let resources = records.iter().flat_map(|record| &record.resources);
        resources.for_each(|resource| note(resource, &mut attachment));
        if let Err(error) = look(&mut attachment, &records, facts) {
            facts.unread.push(format!("{}: {error}", attachment.title()));
        }
        facts.attachments.push(attachment);
    }
}

/// Notes what a resource says of its attachment.
fn note(resource: &Resource, attachment: &mut Attachment) {
    let mut forwards = |v6: bool| {
        let family = if v6 { IpFamily::Ipv6 } else { IpFamily::Ipv4 };
        if !attachment.forwarded.contains(&family) {
            attachment.forwarded.push(family);
        }
    };
    match resource {
        Resource::Lease(lease) => attachment.leased |= lease.source == "host-local",
        Resource::Bridge(bridge) => attachment.bridge = Some(bridge.name.clone()),
        Resource::Veth(_) | Resource::Netkit(_) => attachment.paired = true,
        Resource::Forwarding(forwarding) => forwards(forwarding.v6),
        _ => {}
    }
}

/// Looks at an attachment's namespace and at its place on the host.
fn look(attachment: &mut Attachment, records: &[Record], facts: &Facts) -> Result<(), Error> {
    let Some(path) = attachment.netns.clone() else { return Ok(()) };
    let home = Namespace::current().map_err(crate::kernel::Error::from)?;
    let Ok(pod) = Namespace::open(&path) else { return Ok(()) };
    attachment.alive = true;
    if pod.is_same(&home) {
        return Ok(());
    }
    let mut node = Node::open(home, Some(pod), None)?;
    let inside = link::find(&mut node.pod()?.route, &attachment.owner.ifname)?;
    attachment.mtu = inside.as_ref().map(|link| link.mtu);
    let outside = match inside.filter(link::Link::is_end_of_pair) {
        Some(inside) => match inside.peer {
            Some(index) => link::find_index(&mut node.host, index)?
                .filter(|link| link.peer == Some(inside.index)),
            None => None,
        },
        None => None,
    };
    let master = outside.as_ref().and_then(|link| link.master);
    let master = facts.links.iter().find(|link| master == Some(link.index));
    // Of a pod of the reference plugins nothing else tells the bridge.
    attachment.bridge = attachment.bridge.take().or_else(|| master.map(|link| link.name.clone()));
    attachment.host_link = outside.map(|link| link.name);
    for record in records {
        for resource in &record.resources {
            // To verify another program's plugin would be to run it.
            if matches!(resource, Resource::Foreign(_)) {
                continue;
            }
            let kind = kind(resource);
            for Difference { what, taken } in resource.kind().differences(&mut node)? {
                let put_back = repair::is_put_back(resource)
                    && (attachment.mtu.is_some() || !repair::needs_interface(resource));
                let wrong = Wrong { kind: kind.clone(), what, put_back, taken };
                if !attachment.wrong.contains(&wrong) {
                    attachment.wrong.push(wrong);
                }
            }
        }
    }
    ways_back(attachment, &mut node, facts)
}

/// By which links the host reaches the addresses.
fn ways_back(attachment: &mut Attachment, node: &mut Node<'_>, facts: &Facts) -> Result<(), Error> {
    let expected = attachment.bridge.as_ref().or(attachment.host_link.as_ref());
    let Some(expected) = expected else { return Ok(()) };
    for address in attachment.addresses.iter().map(IpNetwork::ip) {
        let Some(index) = lookup::link_to(&mut node.host, address)? else { continue };
        let link = facts.links.iter().find(|link| link.index == index);
        if let Some(link) = link.filter(|link| link.name != *expected) {
            attachment.elsewhere.push((address, link.name.clone()));
        }
    }
    Ok(())
}

/// A resource's kind as records name it.
fn kind(resource: &Resource) -> String {
    let value = serde_json::to_value(resource).unwrap_or_default();
    value.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Reads the addresses of all namespaces that a process is in or that are kept, if a lease or an
/// element has no attachment, or an attachment no namespace: it may be that of a runtime that keeps no
/// results, its record may be lost, or a process may keep the namespace.
pub(super) fn living_addresses(facts: &mut Facts) {
    let owners: Vec<String> = facts.attachments.iter().map(|one| one.owner.text()).collect();
    let has_holder = |lease: &crate::diagnosis::facts::Lease| {
        facts.attachments.iter().any(|one| {
            one.owner.network == lease.network && one.owner.container_id == lease.container_id
        })
    };
    if facts.leases.iter().all(has_holder)
        && facts.attachments.iter().all(|attachment| attachment.alive)
        && facts.elements.iter().all(|element| owners.contains(&element.owner))
    {
        return;
    }
    let Ok(home) = Namespace::current() else { return };
    let mut namespaces: HashMap<u64, Namespace> = HashMap::new();
    let mut see = |path: &Path| {
        if let Ok(namespace) = Namespace::open(path) {
            namespaces.entry(namespace.inode()).or_insert(namespace);
        }
    };
    for entry in netns::list(Path::new(netns::DIRECTORY)).unwrap_or_default() {
        see(&entry.path);
    }
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name();
        if name.to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            see(&process.path().join("ns/net"));
        }
    }
    let mut living: Vec<IpAddr> = Vec::new();
    for namespace in namespaces.values().filter(|namespace| !namespace.is_same(&home)) {
        let Ok(Ok(mut socket)) = namespace.enter_from(&home, RouteSocket::open) else { continue };
        let found = addr::all(&mut socket).unwrap_or_default();
        living.extend(found.into_iter().map(|(_, address)| address.network.ip()));
    }
    living.sort_unstable();
    living.dedup();
    facts.living_addresses = living;
}
