//! The container's interface as prevResult tells it, for CHECK.

use super::Error;
use super::inside::sandbox;
use crate::protocol::request::Request;
use crate::protocol::result::{AddResult, Interface};

/// The interface that CNI_IFNAME names.
///
/// # Errors
/// [`Error::Foreign`] when there is none in the container, or it is in another one.
pub(super) fn interface<'r>(
    request: &Request,
    result: &'r AddResult,
) -> Result<&'r Interface, Error> {
    let ours = |one: &&Interface| one.name == request.ifname && !one.sandbox.is_empty();
    let found = result.interfaces.iter().find(ours).ok_or_else(|| {
        Error::Foreign(format!(
            "lists no interface {} in a container; it is not this attachment's",
            request.ifname
        ))
    })?;
    let netns = sandbox(request);
    if found.sandbox == netns {
        return Ok(found);
    }
    Err(Error::Foreign(format!(
        "interface {} is in {}, but CNI_NETNS is {netns}",
        request.ifname, found.sandbox
    )))
}
