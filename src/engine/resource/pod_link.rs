//! An interface in the container that this program did not make or has no record of. The
//! specification has DEL remove the interface that CNI_IFNAME names (CNI spec 1.1.0, section 2).

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::{Error, Node};
use crate::kernel::link;

/// An interface of the container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodLink {
    /// Its name.
    pub name: String,
}

impl Kind for PodLink {
    fn describe(&self) -> String {
        format!("have interface {} in the container", self.name)
    }

    fn create(&self, _node: &mut Node<'_>) -> Result<Made, Error> {
        Ok(Made::Before)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let found = link::find(&mut node.pod()?.route, &self.name)?;
        Ok(found
            .is_none()
            .then(|| format!("interface {} is not in the container", self.name))
            .into_iter()
            .collect())
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        node.remove_leaving()?;
        let Some(pod) = node.pod.as_mut() else { return Ok(()) };
        let Some(link) = link::find(&mut pod.route, &self.name)? else { return Ok(()) };
        link::queue_remove(&mut pod.route, link.index, &self.name)?;
        match pod.route.flush() {
            Err(error) if error.is(Errno::ENODEV) => Ok(()),
            other => Ok(other?),
        }
    }
}
