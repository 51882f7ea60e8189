//! GC: what is left of attachments that nobody counts as valid any more (CNI spec 1.1.0, section 2,
//! "GC").

use super::call::{Call, home};
use super::chain::Member;
use super::{Error, Role, SELF, limits};
use crate::delegate;
use crate::engine::journal::Record;
use crate::engine::{self, Node, Owner, apply};
use crate::ipam::host_local::Holder;
use crate::kernel::netns::Namespace;

const VALID: &str = "cni.dev/valid-attachments";

/// Removes every trace of attachments that are not in the configuration's list of valid ones. Goes on
/// after failures and reports them all.
pub(super) fn collect(call: &Call<'_>) -> Result<(), Error> {
    let config = &call.request.config;
    let Some(valid) = &config.valid_attachments else {
        if config.value.get(VALID).is_some() {
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
    limits::keep_what_is_needed(call, None);
    let is_valid = |container_id: &str, ifname: &str| {
        valid.iter().any(|one| one.container_id == container_id && one.ifname == ifname)
    };
    let mut left = Vec::new();
    let mut keep = |result: Result<(), Error>| {
        if let Err(error) = result {
            left.push(error.to_string());
        }
    };

    let valid_holder = |holder: Holder<'_>| is_valid(holder.container_id, holder.ifname);
    // What is given back through the links goes before them.
    let (first, last) = match &call.source {
        Some(source) if source.needs_link() => (Some(source), None),
        other => (None, other.as_ref()),
    };
    if let Some(source) = first {
        keep(source.retain(&valid_holder).map_err(Error::from));
    }
    let journal = call.journal();
    let records = journal.list().unwrap_or_else(|error| {
        keep(Err(error.into()));
        Vec::new()
    });
    for record in records {
        let owner = &record.owner;
        if !is_ours(call, &record) || is_valid(&owner.container_id, &owner.ifname) {
            continue;
        }
        log::info!("collecting {}", owner.text());
        let removed = remove_record(&record);
        keep(removed.and_then(|()| Ok(journal.remove(owner, &record.plugin)?)));
    }
    journal.sweep();
    // Attachments whose record is lost.
    let mut node = Node::open(home()?, None, None)?;
    let is_stale = |text: &str| {
        Owner::parse(text).is_some_and(|owner| {
            owner.network == config.name && !is_valid(&owner.container_id, &owner.ifname)
        })
    };
    for member in &call.members {
        match member {
            Member::Own(step) => keep(step.collect(&mut node, &is_stale)),
            Member::Foreign(foreign) => keep(foreign.program().and_then(|program| {
                Ok(delegate::gc(&program, foreign.stdin(None)?.to_string().as_bytes())?)
            })),
        }
    }
    if let Some(source) = last {
        keep(source.retain(&valid_holder).map_err(Error::from));
    }
    if left.is_empty() { Ok(()) } else { Err(engine::Error::Incomplete(left).into()) }
}

/// Whether a record was made by this call's plugins, as a list or one by one.
fn is_ours(call: &Call<'_>, record: &Record) -> bool {
    record.plugin == call.name
        || (record.plugin == SELF && call.has(Role::Interface))
        || call.steps().any(|(_, step)| step.plugin_type() == record.plugin)
        // Asked by itself, by another program's plugin.
        || call.source.as_ref().is_some_and(|source| source.name() == record.plugin)
}

fn remove_record(record: &Record) -> Result<(), Error> {
    let pod = record.netns.as_deref().and_then(|path| Namespace::open(path).ok());
    // Leases are the address source's to collect.
    let mut node = Node::open(home()?, pod, None)?;
    Ok(apply::remove(&record.resources, &mut node)?)
}
