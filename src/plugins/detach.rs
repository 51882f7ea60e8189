//! DEL: what the record says, or without one what can be found (CNI spec 1.1.0, section 2, "DEL").

use super::call::{Call, home, keeper};
use super::chain::{Foreign, Member};
use super::{Error, Role, SELF, Step, limits};
use crate::delegate;
use crate::engine::journal::{Journal, Record};
use crate::engine::node::LeaseKeeper;
use crate::engine::{self, Node, apply};
use crate::ipam::Source;

/// Removes an attachment, whatever is left of it.
pub(super) fn del(call: &Call<'_>) -> Result<(), Error> {
    let home = home()?;
    let pod = call.namespace_if_there(&home)?;
    if let Some(pod) = &pod {
        call.lock(pod)?;
    }
    let keeper = keeper(&call.source, &call.owner);
    let keeper = keeper.as_ref().map(|keeper| keeper as &dyn LeaseKeeper);
    let mut node = Node::open(home, pod, keeper)?;
    let journal = call.journal();

    let record = journal.read(&call.owner, call.name)?;
    limits::keep_what_is_needed(call, record.as_ref());
    if let Some(record) = record {
        return remove_record(call, &record, &journal, &mut node);
    }
    journal.remove_unfinished(&call.owner, call.name);
    let mut failures = Vec::new();
    for member in call.members.iter().rev() {
        let removed = match member {
            Member::Own(step) => remove_step(call, &**step, &journal, &mut node),
            Member::Foreign(foreign) => remove_foreign(foreign),
        };
        failures.extend(removed.err());
    }
    match failures.len() {
        0 | 1 => failures.pop().map_or(Ok(()), Err),
        _ => {
            let left = failures.iter().map(ToString::to_string).collect();
            Err(engine::Error::Incomplete(left).into())
        }
    }
}

fn remove_record(
    call: &Call<'_>,
    record: &Record,
    journal: &Journal,
    node: &mut Node<'_>,
) -> Result<(), Error> {
    // The specification's promise that the interface is gone holds whatever the record says.
    let interface = call.steps().find(|(_, step)| step.role() == Role::Interface);
    let traces = interface.map(|(_, step)| step.traces(&call.owner)).unwrap_or_default();
    let resources: Vec<_> =
        traces.into_iter().take(1).chain(record.resources.iter().cloned()).collect();
    apply::remove(&resources, node)?;
    Ok(journal.remove(&call.owner, &record.plugin)?)
}

/// Removes what one plugin has made of an attachment that has no record under the call's name: the
/// configuration may have been another at ADD, with the plugin in a list of its own or in none.
fn remove_step(
    call: &Call<'_>,
    step: &dyn Step,
    journal: &Journal,
    node: &mut Node<'_>,
) -> Result<(), Error> {
    let other = match step.role() {
        _ if call.name == SELF => Some(step.plugin_type()),
        // The last that is called of an attachment which was made by one list.
        Role::Interface => Some(SELF),
        _ => None,
    };
    let record = other.map(|name| journal.read(&call.owner, name)).transpose()?.flatten();
    if let Some(record) = record {
        return remove_record(call, &record, journal, node);
    }
    let source = step.source()?;
    let release = || source.as_ref().map_or(Ok(()), |source| source.release(&call.owner));
    // Through the link, if that is how the source is told.
    let needs_link = source.as_ref().is_some_and(Source::needs_link);
    let released = if needs_link { release() } else { Ok(()) };
    apply::remove(&step.traces(&call.owner), node)?;
    step.remove_unrecorded(&call.owner, node)?;
    if needs_link {
        released?
    } else {
        release()?
    }
    // Another program's plugin may have made the interface, and asked the address source by itself.
    source.map_or(Ok(()), |source| Ok(journal.remove(&call.owner, source.name())?))
}

fn remove_foreign(foreign: &Foreign<'_>) -> Result<(), Error> {
    let stdin = foreign.stdin(foreign.request.config.prev_result.as_ref())?.to_string();
    Ok(delegate::del(&foreign.program()?, stdin.as_bytes())?)
}
