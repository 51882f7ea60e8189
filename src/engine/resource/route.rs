//! A route in the container.

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::{Error, Node};
use crate::kernel::route::{self, Route};

/// A route through an interface of the container; it goes with the interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodRoute {
    /// The interface.
    pub link: String,
    /// The route.
    #[serde(flatten)]
    pub route: Route,
}

/// `RT_TABLE_MAIN`.
const MAIN: u32 = 254;

impl Kind for PodRoute {
    fn describe(&self) -> String {
        format!("add route {} through {} in the container", self.route, self.link)
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        let index = node.pod_index(&self.link)?;
        route::queue_add(&mut node.pod()?.route, index, &self.link, &self.route)?;
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let present = route::list(&mut node.pod()?.route, self.route.to.is_ipv6())?;
        let wanted = &self.route;
        // A later plugin may have moved it to another table or given it another metric; what must
        // be there is the destination and the next hop, as the reference plugins look at it.
        let found = present.iter().any(|one| {
            one.to.network() == wanted.to.network()
                && one.to.prefix() == wanted.to.prefix()
                && wanted.via.is_none_or(|via| one.via.contains(&via))
                && wanted.table.is_none_or(|table| one.table == table || table == MAIN)
        });
        Ok((!found)
            .then(|| format!("route {wanted} is not in the container"))
            .into_iter()
            .collect())
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }
}
