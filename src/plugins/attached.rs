//! Whether the container's interface is there already, and what prevResult tells of it.

use serde::Deserialize;

use super::Error;
use super::inside::sandbox;
use crate::engine::Node;
use crate::kernel::link;
use crate::protocol::request::Request;
use crate::protocol::result::{AddResult, Interface};

/// What prevResult tells of the container's interface.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PodEnd {
    /// The hardware address in colon form; empty for a link that has none.
    pub mac: String,
    /// Bytes. Not told before 1.1.0, and then not checked either: a later plugin such as tuning may
    /// have changed it.
    pub mtu: Option<u32>,
}

/// Refuses an ADD whose interface is in the container already.
///
/// # Errors
/// [`Error::AlreadyAttached`].
pub(super) fn refuse_second(request: &Request, node: &mut Node<'_>) -> Result<(), Error> {
    if let Some(pod) = &mut node.pod
        && link::index(&pod.route, &request.ifname)?.is_some()
    {
        return Err(Error::AlreadyAttached(format!(
            "interface {} is already in the container's namespace; detach it first (DEL), or use \
             another CNI_IFNAME",
            request.ifname
        )));
    }
    Ok(())
}

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

/// What prevResult tells of the interface that CNI_IFNAME names.
///
/// # Errors
/// As [`interface`].
pub(super) fn pod_end(request: &Request, result: &AddResult) -> Result<PodEnd, Error> {
    let inside = interface(request, result)?;
    Ok(PodEnd { mac: inside.mac.clone(), mtu: inside.mtu })
}
