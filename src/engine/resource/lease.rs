//! Addresses held from an address source. They are leased before the plan is made, since the plan
//! depends on them; as a resource they are verified and given back with everything else.

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::{Error, Node};

/// The address source that keeps nothing: its addresses stand in the configuration.
const STATIC: &str = "static";

/// A lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// The address source's type, such as "host-local".
    pub source: String,
    /// The addresses with their subnets' prefix lengths.
    pub addresses: Vec<IpNetwork>,
}

impl Kind for Lease {
    fn describe(&self) -> String {
        let list: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        format!("lease {} from {}", list.join(" and "), self.source)
    }

    fn create(&self, _node: &mut Node<'_>) -> Result<Made, Error> {
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        Ok(node.leases.and_then(|keeper| keeper.verify().err()).into_iter().collect())
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        let Some(keeper) = node.leases else { return Ok(()) };
        // Somebody else may have the address the next moment.
        node.remove_leaving()?;
        keeper.release().map_err(Error::Lease)
    }

    fn outlives_namespace(&self) -> bool {
        self.source != STATIC
    }
}
