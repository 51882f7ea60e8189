//! Masquerading what the container sends to outside its own subnets.

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::{Error, Node, Owner, reference};
use crate::kernel::difference::{self, Difference};
use crate::kernel::masquerade;

/// The container's addresses in the masquerading maps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Masquerade {
    /// The addresses with their subnets' prefix lengths.
    pub addresses: Vec<IpNetwork>,
    /// The elements' comment.
    pub owner: String,
}

impl Kind for Masquerade {
    fn describe(&self) -> String {
        let list: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        format!("masquerade what {} sends to outside its subnet (nftables)", list.join(" and "))
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        masquerade::add(&mut node.rules, &self.addresses, &self.owner);
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        Ok(difference::in_words(self.differences(node)?))
    }

    fn differences(&self, node: &mut Node<'_>) -> Result<Vec<Difference>, Error> {
        let missing = masquerade::missing(node.nft()?, &self.addresses, &self.owner)
            .map_err(crate::kernel::Error::from)?;
        // A pod attached by the reference plugins has their rules, which are as good.
        if !missing.is_empty()
            && let Some(owner) = Owner::parse(&self.owner)
            && reference::masquerade_present(&owner, node)?
        {
            return Ok(Vec::new());
        }
        Ok(missing)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        masquerade::remove(&mut node.rules, &self.addresses, &self.owner);
        Ok(())
    }
}
