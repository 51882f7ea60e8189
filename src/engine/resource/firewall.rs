//! What the container sends, and the answers to it, are let through: addresses in nftables sets.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::reference::forward;
use crate::engine::{Error, Node};
use crate::kernel::difference::{self, Difference};
use crate::kernel::firewall;

/// The container's addresses in the firewall's sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Firewall {
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// The elements' comment.
    pub owner: String,
}

impl Kind for Firewall {
    fn describe(&self) -> String {
        format!("let through what {} sends and the answers (nftables)", in_words(&self.addresses))
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        firewall::add(&mut node.rules, &self.addresses, &self.owner);
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        Ok(difference::in_words(self.differences(node)?))
    }

    fn differences(&self, node: &mut Node<'_>) -> Result<Vec<Difference>, Error> {
        let missing = firewall::missing(node.nft()?, &self.addresses, &self.owner)
            .map_err(crate::kernel::Error::from)?;
        // A pod attached by the reference plugins has their rules, which are as good.
        if !missing.is_empty() && forward::missing(&self.addresses, None, None, node)?.is_empty() {
            return Ok(Vec::new());
        }
        Ok(missing)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        firewall::remove(&mut node.rules, &self.addresses, &self.owner);
        Ok(())
    }
}

/// Addresses as part of a sentence.
pub(super) fn in_words(addresses: &[IpAddr]) -> String {
    let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    list.join(" and ")
}
