//! Removing what nobody owns: what can go together does, since the kernel waits for each request that removes
//! links, and since lists are long.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::Deed;
use crate::diagnosis::facts::Lease;
use crate::diagnosis::{Leftover, Places};
use crate::engine::journal::{self, Journal, Record};
use crate::engine::{Error, Node, Owner, mass_removal};
use crate::ipam::host_local::{self, HeldBy};
use crate::kernel::netns::{self, Namespace};
use crate::kernel::{
    self, addrspoof, firewall, macspoof, masquerade, nft, port_isolation, portmap,
};

/// What came of one removal.
type Done = Result<(), String>;

/// Removes all of `leftovers`; gives what was done, in their order.
pub(super) fn remove(places: &Places, leftovers: &[&Leftover]) -> Vec<Deed> {
    let owners = leftovers.iter().filter_map(|one| match one {
        Leftover::Attachment(owner) => Some(owner),
        _ => None,
    });
    let links = leftovers.iter().filter_map(|one| match one {
        Leftover::Link { name, alias } => Some((name.as_str(), alias.as_str())),
        _ => None,
    });
    let elements = leftovers.iter().filter_map(|one| match one {
        Leftover::Elements { owner } => Some(owner.as_str()),
        _ => None,
    });
    let failures = remove_attachments(places, &owners.collect());
    let mut links = remove_links(&links.collect::<Vec<_>>()).into_iter();
    let mut elements = remove_elements(&elements.collect::<Vec<_>>()).into_iter();
    let deed = |leftover: &&Leftover| {
        let (what, failure) = match leftover {
            Leftover::Link { name, alias } => {
                (format!("remove link {name} of {alias}"), links.next().and_then(Result::err))
            }
            Leftover::Elements { owner } => (
                format!("remove the nftables elements of {owner}"),
                elements.next().and_then(Result::err),
            ),
            Leftover::Lease { folder, lease } => (
                format!("give back the lease of {}", lease.address),
                give_back(folder, lease).err(),
            ),
            Leftover::Attachment(owner) => (
                format!("remove what is left of {}", owner.text()),
                failures.get(owner).map(|all| all.join("; ")),
            ),
            Leftover::Namespace(path) => {
                (format!("remove {}", path.display()), remove_namespace(path).err())
            }
        };
        Deed { what, failure }
    };
    leftovers.iter().map(deed).collect()
}

/// Removes links of the host; gives what came of each.
fn remove_links(links: &[(&str, &str)]) -> Vec<Done> {
    let remove_one = |&(name, alias): &(&str, &str)| remove_links_at_once(&[(name, alias)]);
    match links {
        [] | [_] => links.iter().map(remove_one).collect(),
        _ if remove_links_at_once(links).is_ok() => vec![Ok(()); links.len()],
        // Which of them it was shows one by one.
        _ => links.iter().map(remove_one).collect(),
    }
}

fn remove_links_at_once(links: &[(&str, &str)]) -> Done {
    let done = || -> Result<(), Error> {
        let mut node = open()?;
        for (name, alias) in links {
            // Another may have got the name since.
            if let Some(link) = node.look_at(name)?.filter(|link| link.alias == *alias) {
                node.remove_link(&link);
            }
        }
        Ok(node.flush()?)
    };
    done().map_err(|error| error.to_string())
}

/// Removes the elements of owners; gives what came of each.
fn remove_elements(owners: &[&str]) -> Vec<Done> {
    let remove_one = |owner: &&str| remove_elements_of(&HashSet::from([*owner]));
    match owners {
        [] | [_] => owners.iter().map(remove_one).collect(),
        _ if remove_elements_of(&owners.iter().copied().collect()).is_ok() => {
            vec![Ok(()); owners.len()]
        }
        _ => owners.iter().map(remove_one).collect(),
    }
}

fn remove_elements_of(owners: &HashSet<&str>) -> Result<(), String> {
    let done = || -> Result<(), Error> {
        let mut node = open()?;
        let nft = |error: nft::Error| kernel::Error::from(error);
        let is_theirs = |one: &str| owners.contains(one);
        for entry in masquerade::entries(node.nft()?).map_err(nft)? {
            if is_theirs(&entry.owner) {
                masquerade::remove(&mut node.rules, &[entry.address], &entry.owner);
            }
        }
        for entry in firewall::entries(node.nft()?).map_err(nft)? {
            if is_theirs(&entry.owner) {
                firewall::remove(&mut node.rules, &[entry.address], &entry.owner);
            }
        }
        for entry in portmap::entries(node.nft()?).map_err(nft)? {
            if is_theirs(&entry.owner) {
                portmap::remove_entry(&mut node.rules, &entry);
            }
        }
        for entry in macspoof::entries(node.nft()?).map_err(nft)? {
            if is_theirs(&entry.owner) {
                macspoof::remove(&mut node.rules, &entry.link, entry.mac, &entry.owner);
            }
        }
        for entry in addrspoof::entries(node.nft()?).map_err(nft)? {
            if is_theirs(&entry.owner) {
                addrspoof::remove_entry(&mut node.rules, &entry);
            }
        }
        for entry in port_isolation::entries(node.nft()?).map_err(nft)? {
            if is_theirs(&entry.owner) {
                port_isolation::remove(&mut node.rules, &entry.port, &entry.owner);
            }
        }
        Ok(node.flush()?)
    };
    match done() {
        // Then there are no elements, either.
        Err(Error::Kernel(kernel::Error::Nft(nft::Error::Unsupported { .. }))) => Ok(()),
        done => done.map_err(|error| error.to_string()),
    }
}

fn give_back(folder: &Path, lease: &Lease) -> Result<(), String> {
    let stored = host_local::stored(folder).map_err(|error| error.to_string())?;
    let as_found = stored.into_iter().find(|one| {
        one.address == lease.address
            && match &one.held_by {
                HeldBy::Holder { container_id, ifname } => {
                    *container_id == lease.container_id && *ifname == lease.ifname
                }
                HeldBy::Container(container_id) => *container_id == lease.container_id,
                HeldBy::Nobody | HeldBy::Garbage => lease.container_id.is_empty(),
            }
    });
    match as_found {
        Some(lease) => {
            host_local::give_back(folder, &lease).map(drop).map_err(|error| error.to_string())
        }
        None => Ok(()),
    }
}

/// Removes attachments as DEL would, with their leases and records, as far as their namespaces are still gone.
/// Gives why some could not be.
fn remove_attachments(places: &Places, owners: &HashSet<&Owner>) -> HashMap<Owner, Vec<String>> {
    let mut failures: HashMap<Owner, Vec<String>> = HashMap::new();
    if owners.is_empty() {
        return failures;
    }
    let mut found: Vec<(&Path, Vec<Record>)> = Vec::new();
    for state in &places.inventory.state {
        match journal::all(state) {
            Ok((mut records, _)) => {
                records.retain(|record| owners.contains(&record.owner));
                records.reverse();
                found.push((state, records));
            }
            Err(error) => {
                for owner in owners {
                    failures.entry((*owner).clone()).or_default().push(error.to_string());
                }
            }
        }
    }
    for record in found.iter().flat_map(|(_, records)| records) {
        // One that cannot be looked at now may be there.
        let namespace = record.netns.as_deref().map(Namespace::open_if_there);
        if !matches!(namespace, None | Some(Ok(None))) {
            failures.insert(record.owner.clone(), vec!["its namespace is there again".to_owned()]);
        }
    }
    let recorded: HashSet<Owner> = found
        .iter()
        .flat_map(|(_, records)| records.iter().map(|record| record.owner.clone()))
        .collect();
    for (state, mut records) in found {
        records.retain(|record| !failures.contains_key(&record.owner));
        mass_removal::remove(records, &mut |record, removed| {
            let owner = &record.owner;
            let journal = Journal::of(Some(state), &owner.network);
            if let Err(error) = removed.and_then(|()| journal.remove(owner, &record.plugin)) {
                failures.entry(owner.clone()).or_default().push(error.to_string());
            }
        });
    }
    // What is known of an attachment by its lease alone, or by what a runtime has kept, may have rules, too.
    let is_unrecorded =
        |owner: &&&Owner| !recorded.contains(**owner) && !failures.contains_key(**owner);
    let unrecorded: Vec<_> = owners.iter().filter(is_unrecorded).collect();
    let texts: Vec<_> = unrecorded.iter().map(|owner| owner.text()).collect();
    let removed = remove_elements(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    for (owner, error) in
        unrecorded.iter().zip(removed).filter_map(|(owner, done)| Some((owner, done.err()?)))
    {
        failures.entry((**owner).clone()).or_default().push(error);
    }
    let mut networks: BTreeMap<&str, Vec<&Owner>> = BTreeMap::new();
    for owner in owners.iter().filter(|owner| !failures.contains_key(**owner)) {
        networks.entry(&owner.network).or_default().push(owner);
    }
    for (network, owners) in networks {
        for leases in &places.inventory.leases {
            for (owner, failure) in give_back_all(&leases.join(network), &owners) {
                failures.entry(owner.clone()).or_default().push(failure);
            }
        }
    }
    failures
}

/// Gives back the leases that owners have in a folder; gives why some could not be.
fn give_back_all<'o>(folder: &Path, owners: &[&'o Owner]) -> Vec<(&'o Owner, String)> {
    let stored = match host_local::stored(folder) {
        Ok(stored) => stored,
        Err(error) => return owners.iter().map(|owner| (*owner, error.to_string())).collect(),
    };
    let by_name: HashMap<(&str, &str), &'o Owner> = owners
        .iter()
        .map(|owner| ((owner.container_id.as_str(), owner.ifname.as_str()), *owner))
        .collect();
    let mut failures = Vec::new();
    for lease in &stored {
        if let HeldBy::Holder { container_id, ifname } = &lease.held_by
            && let Some(owner) = by_name.get(&(container_id.as_str(), ifname.as_str()))
            && let Err(error) = host_local::give_back(folder, lease)
        {
            failures.push((*owner, error.to_string()));
        }
    }
    failures
}

fn remove_namespace(path: &Path) -> Result<(), String> {
    let (Some(directory), Some(name)) =
        (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(());
    };
    if Namespace::open(path).is_ok() {
        return Err("a namespace is there again".to_owned());
    }
    netns::delete(directory, name).map(drop).map_err(|error| error.to_string())
}

fn open<'a>() -> Result<Node<'a>, Error> {
    let home = Namespace::current().map_err(kernel::Error::from)?;
    Ok(Node::open(home, None, None)?)
}
