//! The host's end of the container's interface.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::Node;
use crate::kernel::Error;
use crate::kernel::link::{self, Link};

/// The host's end of a veth or netkit pair, by its name or by the container's interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEnd {
    /// The interface in the container.
    pub pod: String,
    /// The link on the host. Absent when a foreign plugin is yet to make it, or when nobody has said
    /// it; then it is the other end of the container's interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl HostEnd {
    /// The link on the host; `None` when it is gone, or the container's namespace is and only that
    /// could tell.
    ///
    /// # Errors
    /// Any refusal.
    pub fn find(&self, node: &mut Node<'_>) -> Result<Option<Link>, Error> {
        if let Some(name) = &self.host {
            return Ok(node.host_link(name)?.filter(Link::is_end_of_pair));
        }
        let Some(pod) = &mut node.pod else { return Ok(None) };
        let inside = link::find(&mut pod.route, &self.pod)?;
        match inside.as_ref().and_then(|inside| Some((inside, inside.peer?))) {
            Some((inside, peer)) => other_end(inside, peer, node),
            None => Ok(None),
        }
    }

    /// The link on the host, which must be there.
    ///
    /// # Errors
    /// [`Error::Refused`] with `ENODEV` when it is not.
    pub fn require(&self, node: &mut Node<'_>) -> Result<Link, Error> {
        self.find(node)?.ok_or_else(|| Error::Refused {
            doing: format!("find the host's end of the container's interface {}", self.pod),
            errno: Errno::ENODEV,
            said: None,
        })
    }
}

/// The host's end of a pair that ends in the container.
///
/// # Errors
/// Any refusal.
pub fn other_end(inside: &Link, peer: u32, node: &mut Node<'_>) -> Result<Option<Link>, Error> {
    if !inside.is_end_of_pair() {
        return Ok(None);
    }
    let found = link::find_index(&mut node.host, peer)?;
    // The number may be a third namespace's, in which the pair has its other end.
    Ok(found.filter(|link| link.is_end_of_pair() && link.peer == Some(inside.index)))
}
