//! Removing what the records of many attachments tell of. Links of several attachments go in one request
//! and their rules in one transaction: the kernel waits once for each of those, however much they hold.

use super::journal::Record;
use super::{Error, Node, Resource, apply};
use crate::kernel::netns::Namespace;

/// Attachments whose things go together. While the kernel removes the links of one request nobody else can
/// change any, an ADD for instance, so there is a limit; this many share the waiting well enough.
const TOGETHER: usize = 128;

/// Removes what `records` tell of, but for their leases, and tells of each record what came of it, as soon as
/// that is known: nothing of it is left, or why something is. What of one cannot be removed keeps no other
/// back.
pub fn remove(records: Vec<Record>, done: &mut dyn FnMut(&Record, Result<(), Error>)) {
    // A foreign plugin wants to find all that was made after it gone, and is not to be asked twice.
    let (alone, shared): (Vec<_>, Vec<_>) = records.into_iter().partition(runs_programs);
    for group in shared.chunks(TOGETHER) {
        if let [_, _, ..] = group
            && remove_together(group)
                .inspect_err(|error| log::debug!("one by one: {error}"))
                .is_ok()
        {
            group.iter().for_each(|record| done(record, Ok(())));
            continue;
        }
        // Whose failure it was shows when each is removed by itself; most of it is gone by now.
        for record in group {
            done(record, remove_one(record));
        }
    }
    for record in &alone {
        done(record, remove_one(record));
    }
}

fn runs_programs(record: &Record) -> bool {
    record.resources.iter().any(|resource| matches!(resource, Resource::Foreign(_)))
}

fn remove_one(record: &Record) -> Result<(), Error> {
    let home = Namespace::current().map_err(crate::kernel::Error::from)?;
    let mut node = Node::open(home, namespace(record)?, None)?;
    apply::remove(&record.resources, &mut node)
}

/// Removes a group. After a failure everything was tried of some, and nothing of others.
fn remove_together(group: &[Record]) -> Result<(), Error> {
    let home = Namespace::current().map_err(crate::kernel::Error::from)?;
    let mut node = Node::open(home, None, None)?;
    for record in group {
        match namespace(record)? {
            Some(pod) => node.take_pod(pod)?,
            None => node.leave_pod(),
        }
        for resource in record.resources.iter().rev() {
            resource.kind().remove(&mut node)?;
        }
        if let Some(pod) = &mut node.pod {
            pod.route.flush()?;
        }
    }
    Ok(node.flush()?)
}

/// The container's namespace, if that is still there.
fn namespace(record: &Record) -> Result<Option<Namespace>, Error> {
    let found = record.netns.as_deref().map(Namespace::open_if_there).transpose();
    Ok(found.map_err(crate::kernel::Error::from)?.flatten())
}
