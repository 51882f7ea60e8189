//! Doing what is safe about findings.

use std::collections::HashSet;
use std::path::Path;

use super::facts::Lease;
use super::{Finding, Fix, Leftover, Places};
use crate::engine::journal::{self, Journal, Record};
use crate::engine::{Error, Node, Owner, apply, repair};
use crate::ipam::host_local::{self, HeldBy};
use crate::kernel::netns::{self, Namespace};
use crate::kernel::{
    addrspoof, firewall, link, macspoof, masquerade, port_isolation, portmap, sysctl,
};

/// One thing that was done, or could not be.
#[derive(Debug)]
pub struct Deed {
    /// What, as an infinitive.
    pub what: String,
    /// Why it could not be done.
    pub failure: Option<String>,
}

/// Does what is safe about `findings`, each thing once: first what is left over goes, then settings
/// are set, then what is missing is put back, for which the first may have made room.
pub fn mend(places: &Places, findings: &[Finding]) -> Vec<Deed> {
    let fixes = || findings.iter().filter_map(|finding| finding.fix.as_ref());
    let mut deeds: Vec<Deed> = Vec::new();
    for fix in fixes() {
        if let Fix::Remove(leftover) = fix {
            deeds.push(remove(places, leftover));
        }
    }
    for fix in fixes() {
        if let Fix::Sysctl { name, value } = fix {
            let done = sysctl::ensure(name, value);
            deeds.push(Deed {
                what: format!("set {} to {value}", name.replace('/', ".")),
                failure: done.err().map(|error| error.to_string()),
            });
        }
    }
    if fixes().any(|fix| matches!(fix, Fix::Repair)) {
        deeds.extend(put_back(places, &|_| true));
    }
    deeds
}

/// Puts back what the recorded attachments lack that `wanted` is true of.
pub fn put_back(places: &Places, wanted: &dyn Fn(&Record) -> bool) -> Vec<Deed> {
    let failed = |what: String, error: String| Deed { what, failure: Some(error) };
    let mut deeds: Vec<Deed> = Vec::new();
    let mut records: Vec<(&Path, Record)> = Vec::new();
    for state in &places.inventory.state {
        match journal::all(state) {
            Ok((found, _)) => records.extend(found.into_iter().map(|one| (state.as_path(), one))),
            Err(error) => deeds.push(failed("read the records".into(), error.to_string())),
        }
    }
    let mut told = HashSet::new();
    for (state, record) in records.iter().filter(|(_, record)| wanted(record)) {
        let owner = record.owner.text();
        match repair::put_back(Some(state), record) {
            Ok(outcomes) => {
                for outcome in outcomes.into_iter().flatten() {
                    let what = format!("{} ({owner})", outcome.resource);
                    let left = outcome
                        .failure
                        .or_else(|| (!outcome.left.is_empty()).then(|| outcome.left.join("; ")));
                    if told.insert(what.clone()) {
                        deeds.push(Deed { what, failure: left });
                    }
                }
            }
            Err(error) => deeds.push(failed(format!("repair {owner}"), error.to_string())),
        }
    }
    deeds
}

fn remove(places: &Places, leftover: &Leftover) -> Deed {
    let (what, done) = match leftover {
        Leftover::Link { name, alias } => {
            (format!("remove link {name} of {alias}"), remove_link(name, alias))
        }
        Leftover::Elements { owner } => {
            (format!("remove the nftables elements of {owner}"), remove_elements(owner))
        }
        Leftover::Lease { folder, lease } => {
            (format!("give back the lease of {}", lease.address), give_back(folder, lease))
        }
        Leftover::Attachment(owner) => {
            (format!("remove what is left of {}", owner.text()), remove_attachment(places, owner))
        }
        Leftover::Namespace(path) => (format!("remove {}", path.display()), remove_namespace(path)),
    };
    Deed { what, failure: done.err() }
}

fn remove_link(name: &str, alias: &str) -> Result<(), String> {
    let done = || -> Result<(), Error> {
        let mut node = open()?;
        // Another may have got the name since.
        if let Some(link) = node.look_at(name)?.filter(|link| link.alias == alias) {
            link::queue_remove(&mut node.host, link.index, name)?;
            node.host.flush()?;
        }
        Ok(())
    };
    done().map_err(|error| error.to_string())
}

fn remove_elements(owner: &str) -> Result<(), String> {
    let done = || -> Result<(), Error> {
        let mut node = open()?;
        let nft = |error: crate::kernel::nft::Error| crate::kernel::Error::from(error);
        let is_theirs = |one: &str| one == owner;
        for entry in masquerade::entries(node.nft()?).map_err(nft)? {
            if is_theirs(&entry.owner) {
                masquerade::remove(&mut node.rules, &[entry.address], owner);
            }
        }
        for entry in firewall::entries(node.nft()?).map_err(nft)? {
            if is_theirs(&entry.owner) {
                firewall::remove(&mut node.rules, &[entry.address], owner);
            }
        }
        for entry in portmap::entries(node.nft()?).map_err(nft)? {
            if is_theirs(&entry.owner) {
                portmap::remove_entry(&mut node.rules, &entry);
            }
        }
        for entry in macspoof::entries(node.nft()?).map_err(nft)? {
            if is_theirs(&entry.owner) {
                macspoof::remove(&mut node.rules, &entry.link, entry.mac, owner);
            }
        }
        for entry in addrspoof::entries(node.nft()?).map_err(nft)? {
            if is_theirs(&entry.owner) {
                addrspoof::remove_entry(&mut node.rules, &entry);
            }
        }
        for entry in port_isolation::entries(node.nft()?).map_err(nft)? {
            if is_theirs(&entry.owner) {
                port_isolation::remove(&mut node.rules, &entry.port, owner);
            }
        }
        Ok(node.flush()?)
    };
    done().map_err(|error| error.to_string())
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

/// Removes an attachment as DEL would, with its leases and records, if its namespace is still gone.
fn remove_attachment(places: &Places, owner: &Owner) -> Result<(), String> {
    let in_words = |error: Error| error.to_string();
    for state in &places.inventory.state {
        let (records, _) = journal::all(state).map_err(in_words)?;
        let records: Vec<_> = records.into_iter().filter(|one| one.owner == *owner).collect();
        let is_alive = |record: &Record| {
            record.netns.as_deref().is_some_and(|path| Namespace::open(path).is_ok())
        };
        if records.iter().any(is_alive) {
            return Err("its namespace is there again".to_owned());
        }
        let journal = Journal::of(Some(state), &owner.network);
        for record in records.iter().rev() {
            apply::remove(&record.resources, &mut open().map_err(in_words)?).map_err(in_words)?;
            journal.remove(owner, &record.plugin).map_err(in_words)?;
        }
    }
    for leases in &places.inventory.leases {
        let folder = leases.join(&owner.network);
        for lease in host_local::stored(&folder).map_err(|error| error.to_string())? {
            let theirs = HeldBy::Holder {
                container_id: owner.container_id.clone(),
                ifname: owner.ifname.clone(),
            };
            if lease.held_by == theirs {
                host_local::give_back(&folder, &lease).map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(())
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
    let home = Namespace::current().map_err(crate::kernel::Error::from)?;
    Ok(Node::open(home, None, None)?)
}
