//! The loopback interface of the container, up.

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::link;

/// `lo`, whatever CNI_IFNAME says.
pub const NAME: &str = "lo";

/// The loopback interface, up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Loopback {}

impl Kind for Loopback {
    fn describe(&self) -> String {
        "bring lo up in the container".to_owned()
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        link::queue_up(&mut node.pod()?.route, NAME)?;
        Ok(Made::Now)
    }

    fn outlives_namespace(&self) -> bool {
        false
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let up = node.link(Side::Pod, NAME)?.up;
        Ok((!up).then(|| "lo is down in the container".to_owned()).into_iter().collect())
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        match &mut node.pod {
            Some(pod) => Ok(link::queue_down(&mut pod.route, NAME)?),
            None => Ok(()),
        }
    }
}
