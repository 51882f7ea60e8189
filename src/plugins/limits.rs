//! What a call may do, from the moment that it has opened the container's namespace (SECURITY.md,
//! "Privileges").

use super::call::Call;
use super::chain::Member;
use crate::engine::Resource;
use crate::engine::journal::Record;
use crate::ipam::Source;
use crate::kernel::privileges::{self, Capabilities, Children};
use crate::protocol::request::Verb;

/// Gives up what the verb does not need. `record` is what the attachment's record tells, for DEL: it
/// may name plugins that the configuration does not name any more. Without one, and at GC, whose
/// records are of many attachments, they may be any.
pub(super) fn keep_what_is_needed(call: &Call<'_>, record: Option<&Record>) {
    let network = Capabilities::FILES.and(Capabilities::NETWORK);
    let own = match call.request.verb {
        Verb::Status | Verb::Version => network,
        // The namespaces that records name are opened later, and one that has lost its path with a device
        // of the host's in it is looked for by its processes.
        Verb::Gc => network.and(Capabilities::NAMESPACES).and(Capabilities::PROCESSES),
        Verb::Del if record.is_some_and(holds_device) => {
            network.and(Capabilities::NAMESPACES).and(Capabilities::PROCESSES)
        }
        Verb::Add | Verb::Check | Verb::Del => network.and(Capabilities::NAMESPACES),
    };
    let recorded = match (call.request.verb, record) {
        (Verb::Del | Verb::Gc, None) => Children::Any,
        (_, Some(record)) if record.resources.iter().any(is_foreign) => Children::Any,
        _ => Children::Modest,
    };
    privileges::keep(own, recorded.max(children(call)));
}

fn holds_device(record: &Record) -> bool {
    record.resources.iter().any(|one| matches!(one, Resource::HostDevice(_)))
}

fn is_foreign(resource: &Resource) -> bool {
    matches!(resource, Resource::Foreign(_))
}

/// What the programs need that the configuration has the call run.
fn children(call: &Call<'_>) -> Children {
    if let Some(Source::Foreign { .. }) = call.source {
        return Children::Any;
    }
    let members = call.members.iter().map(|member| match member {
        Member::Own(step) => step.children(),
        Member::Foreign(_) => Children::Any,
    });
    members.max().unwrap_or(Children::Modest)
}
