//! GC: what is left of attachments that nobody counts as valid any more (CNI spec 1.1.0, section 2,
//! "GC").

use std::collections::HashSet;

use super::call::{Call, home};
use super::chain::Member;
use super::{Error, Role, SELF, limits};
use crate::delegate;
use crate::engine::journal::Record;
use crate::engine::{self, Node, Owner, mass_removal};
use crate::ipam::host_local::Holder;

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
    let valid: HashSet<(&str, &str)> =
        valid.iter().map(|one| (one.container_id.as_str(), one.ifname.as_str())).collect();
    let is_valid = |container_id: &str, ifname: &str| valid.contains(&(container_id, ifname));
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
    let records = journal.list_where(&|container_id, ifname| !is_valid(container_id, ifname));
    let mut stale = records.unwrap_or_else(|error| {
        keep(Err(error.into()));
        Vec::new()
    });
    stale.retain(|Record { owner, .. }| !is_valid(&owner.container_id, &owner.ifname));
    stale.retain(|record| is_ours(call, record));
    // Leases are the address source's to collect.
    mass_removal::remove(stale, &mut |record, removed| {
        log::info!("collecting {}", record.owner.text());
        let forgotten = removed.and_then(|()| journal.remove(&record.owner, &record.plugin));
        keep(forgotten.map_err(Error::from));
    });
    journal.sweep(&valid);
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
