//! Putting together what the sources tell, by owner. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ipnetwork::IpNetwork;

use super::attachment::{Attachment, HostLink, Life, State};
use super::leases::{Leak, Lease, NetworkLeases, Standing};
use super::{Inventory, Sources};
use crate::engine::journal::Record;
use crate::engine::{Owner, Resource};
use crate::ipam::host_local::HeldBy;
use crate::kernel::link::Link;
use crate::libcni::Cached;
use crate::protocol::result::AddResult;

/// Network, container ID, interface.
type Key = (String, String, String);

/// What is known of one owner, while it is put together.
#[derive(Default)]
struct Parts {
    records: Vec<Record>,
    cached: Option<Cached>,
    leased: Vec<IpAddr>,
    lease_written: Option<SystemTime>,
}

fn key(owner: &Owner) -> Key {
    (owner.network.clone(), owner.container_id.clone(), owner.ifname.clone())
}

/// See [`Inventory::join`].
pub(super) fn join(sources: Sources) -> Inventory {
    let Sources { records, cached, leases, links, namespaces, problems } = sources;
    let mut parts: BTreeMap<Key, Parts> = BTreeMap::new();
    for record in records {
        parts.entry(key(&record.owner)).or_default().records.push(record);
    }
    for cached in cached {
        // Of two results of one attachment, in two places, the later one counts.
        let place = &mut parts.entry(key(&cached.owner())).or_default().cached;
        if place.as_ref().is_none_or(|known| known.written < cached.written) {
            *place = Some(cached);
        }
    }
    for folder in &leases {
        for lease in &folder.leases {
            let owners = match &lease.held_by {
                HeldBy::Holder { container_id, ifname } => {
                    vec![(folder.network.clone(), container_id.clone(), ifname.clone())]
                }
                HeldBy::Container(id) => of_container(&parts, &folder.network, id),
                HeldBy::Nobody | HeldBy::Garbage => Vec::new(),
            };
            for owner in owners {
                let parts = parts.entry(owner).or_default();
                parts.leased.push(lease.address);
                parts.lease_written = parts.lease_written.max(lease.written);
            }
        }
    }

    let host = Host::new(&links);
    let attachments: Vec<Attachment> = parts
        .into_iter()
        .map(|((network, container_id, ifname), parts)| {
            let owner = Owner { network, container_id, ifname };
            attachment(owner, parts, &host, &namespaces)
        })
        .collect();
    let by_key: HashMap<Key, &Attachment> =
        attachments.iter().map(|one| (key(&one.owner), one)).collect();
    let leases = leases
        .into_iter()
        .map(|folder| {
            let network = folder.network;
            let leases = folder.leases.into_iter();
            let leases = leases.map(|stored| {
                let mut lease =
                    Lease { stored, owner: None, pod: None, standing: Standing::Damaged };
                settle(&mut lease, &network, &by_key);
                lease
            });
            let leases = leases.collect();
            NetworkLeases { network, path: folder.path, leases, sets: folder.sets }
        })
        .collect();
    Inventory { attachments, leases, problems }
}

/// Every interface of a container on a network, or none by name if nothing else tells of it.
fn of_container(parts: &BTreeMap<Key, Parts>, network: &str, container_id: &str) -> Vec<Key> {
    let known = parts.keys().filter(|(net, id, _)| net == network && id == container_id);
    let known: Vec<Key> = known.cloned().collect();
    if known.is_empty() {
        vec![(network.to_owned(), container_id.to_owned(), String::new())]
    } else {
        known
    }
}

fn attachment(
    owner: Owner,
    parts: Parts,
    host: &Host<'_>,
    namespaces: &HashMap<std::path::PathBuf, Life>,
) -> Attachment {
    let Parts { records, cached, leased, lease_written } = parts;
    let result = cached.as_ref().and_then(|cached| cached.add_result().ok());
    let netns = records.iter().find_map(|record| record.netns.clone());
    let netns = netns.or_else(|| cached.as_ref().and_then(|cached| cached.netns.clone()));
    let life = netns.as_deref().map_or(Life::Unknown, |path: &Path| {
        namespaces.get(path).copied().unwrap_or(Life::Unknown)
    });
    let host_link = host.link_of(&owner, &records, result.as_ref());
    let seconds = |time: SystemTime| Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs());
    let made = records.iter().map(|record| record.created).min();
    let written = cached.as_ref().and_then(|cached| cached.written).or(lease_written);
    let is_missing = host_link.as_ref().is_some_and(|link| link.index.is_none());
    let state = match (records.is_empty(), &cached) {
        (true, None) => State::LeaseOnly,
        _ if life == Life::Gone => State::NamespaceGone,
        (_, None) if is_missing => State::HalfMade,
        _ if is_missing => State::LinkGone,
        _ => State::Attached,
    };
    let pod = records.iter().find_map(|record| record.pod.clone());
    Attachment {
        pod: pod.or_else(|| cached.as_ref().and_then(Cached::pod)).map(printable),
        addresses: addresses(&owner, result.as_ref(), &records, &leased),
        host_link,
        netns,
        life,
        since: made.or_else(|| written.and_then(seconds)),
        state,
        records,
        cached,
        leased,
        owner,
    }
}

/// The addresses, from the best source that has any.
fn addresses(
    owner: &Owner,
    result: Option<&AddResult>,
    records: &[Record],
    leased: &[IpAddr],
) -> Vec<IpNetwork> {
    if let Some(result) = result {
        let of_interface = |index: usize| {
            result.interfaces.get(index).is_none_or(|link| link.name == owner.ifname)
        };
        let ours = result.ips.iter().filter(|ip| ip.interface.is_none_or(of_interface));
        let found: Vec<_> = ours.map(|ip| ip.address).collect();
        if !found.is_empty() {
            return found;
        }
    }
    let resources = || records.iter().flat_map(|record| &record.resources);
    let mut found: Vec<IpNetwork> = Vec::new();
    for resource in resources() {
        let addresses = match resource {
            Resource::Addresses(inside) if inside.link == owner.ifname => &inside.addresses,
            Resource::Lease(lease) => &lease.addresses,
            _ => continue,
        };
        for address in addresses {
            if !found.contains(address) {
                found.push(*address);
            }
        }
    }
    if found.is_empty() {
        found.extend(leased.iter().map(|address| IpNetwork::from(*address)));
    }
    found
}

/// The host's links, by name and by alias.
struct Host<'a> {
    by_name: HashMap<&'a str, &'a Link>,
    by_alias: HashMap<&'a str, &'a Link>,
}

impl<'a> Host<'a> {
    fn new(links: &'a [Link]) -> Self {
        // An attachment's other links, such as an ifb device, bear its alias, too.
        let aliased = links.iter().filter(|link| link.is_end_of_pair() && !link.alias.is_empty());
        Self {
            by_name: links.iter().map(|link| (link.name.as_str(), link)).collect(),
            by_alias: aliased.map(|link| (link.alias.as_str(), link)).collect(),
        }
    }

    /// The host's end of the attachment's pair: what carries its alias, what a record names, or what
    /// the result shows.
    fn link_of(
        &self,
        owner: &Owner,
        records: &[Record],
        result: Option<&AddResult>,
    ) -> Option<HostLink> {
        let there = |link: &Link| HostLink { name: link.name.clone(), index: Some(link.index) };
        let text = owner.text();
        if let Some(link) = self.by_alias.get(text.as_str()) {
            return Some(there(link));
        }
        let resources = records.iter().flat_map(|record| &record.resources);
        let named = resources.into_iter().find_map(|resource| match resource {
            Resource::Veth(veth) if veth.pod == owner.ifname => Some(veth.host.as_str()),
            Resource::Netkit(pair) if pair.pod == owner.ifname => Some(pair.host.as_str()),
            _ => None,
        });
        if let Some(name) = named {
            // A link of that name with somebody else's alias is somebody else's.
            let link = self.by_name.get(name).filter(|link| link.alias.is_empty());
            return Some(link.map_or_else(
                || HostLink { name: name.to_owned(), index: None },
                |link| there(link),
            ));
        }
        let outside: Vec<_> =
            result?.interfaces.iter().filter(|one| one.sandbox.is_empty()).collect();
        let found = outside.iter().find_map(|one| {
            self.by_name.get(one.name.as_str()).filter(|link| link.is_end_of_pair())
        });
        if let Some(link) = found {
            return Some(there(link));
        }
        // The reference plugins name them so; others on the host are bridges.
        let gone = outside.iter().find(|one| {
            one.name.starts_with("veth") && !self.by_name.contains_key(one.name.as_str())
        })?;
        Some(HostLink { name: gone.name.clone(), index: None })
    }
}

/// Whose a lease is and how it stands.
fn settle(lease: &mut Lease, network: &str, attachments: &HashMap<Key, &Attachment>) {
    let of = |container_id: &str, ifname: &str| Owner {
        network: network.to_owned(),
        container_id: container_id.to_owned(),
        ifname: ifname.to_owned(),
    };
    let holders: Vec<&Attachment> = match &lease.stored.held_by {
        HeldBy::Holder { container_id, ifname } => {
            let owner = of(container_id, ifname);
            let found = attachments.get(&key(&owner)).copied();
            lease.owner = Some(owner);
            found.into_iter().collect()
        }
        HeldBy::Container(container_id) => {
            lease.owner = Some(of(container_id, ""));
            let all = attachments.values().copied();
            all.filter(|one| {
                one.owner.network == network && one.owner.container_id == *container_id
            })
            .collect()
        }
        HeldBy::Nobody => {
            lease.standing = Standing::Leaked(Leak::Empty);
            return;
        }
        HeldBy::Garbage => return,
    };
    lease.pod = holders.iter().find_map(|one| one.pod.clone());
    let states = || holders.iter().map(|one| one.state);
    lease.standing = if states().all(|state| state == State::LeaseOnly) {
        Standing::Leaked(Leak::NoAttachment)
    } else if states().all(|state| matches!(state, State::NamespaceGone | State::LeaseOnly)) {
        Standing::Leaked(Leak::NamespaceGone)
    } else {
        Standing::Held
    };
}

/// A pod's name as it may be printed: whoever started the container has chosen it, and could have a
/// terminal do things.
fn printable(name: String) -> String {
    if !name.contains(char::is_control) {
        return name;
    }
    name.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[path = "join_tests.rs"]
mod tests;
