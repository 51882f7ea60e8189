//! Masquerading by iptables, for operators who ask for it: the reference plugins' chains, made with
//! one run of iptables-restore per family.

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::{Error, Node, Owner, reference};
use crate::kernel::iptables;

/// The container's addresses in an iptables chain of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IptablesMasquerade {
    /// The addresses with their subnets' prefix lengths.
    pub addresses: Vec<IpNetwork>,
    /// Whose they are; the chain's name follows from network and container ID.
    pub owner: Owner,
}

impl Kind for IptablesMasquerade {
    fn describe(&self) -> String {
        let list: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        format!("masquerade what {} sends to outside its subnet (iptables)", list.join(" and "))
    }

    fn create(&self, _node: &mut Node<'_>) -> Result<Made, Error> {
        let _lock = iptables::lock()?;
        reference::add_masquerade(&self.owner, &self.addresses)?;
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let present = reference::masquerade_present(&self.owner, node)?;
        Ok((!present)
            .then(|| "the iptables masquerading chain is not there".to_owned())
            .into_iter()
            .collect())
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        // A program that an ADD has run which was killed since may still be at work.
        let _lock = iptables::lock()?;
        reference::remove(&self.owner, node)
    }
}
