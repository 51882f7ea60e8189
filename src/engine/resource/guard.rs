//! The container may send only from its own hardware address.

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::{Error, Node, Owner, reference};
use crate::kernel::difference::{self, Difference};
use crate::kernel::mac::Mac;
use crate::kernel::macspoof;

/// The bridge port and the hardware address it may carry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// The port's name on the host.
    pub port: String,
    /// The hardware address in colon form.
    pub mac: String,
    /// The elements' comment.
    pub owner: String,
}

impl Guard {
    fn bytes(&self) -> [u8; 6] {
        Mac::parse(&self.mac).map_or([0; 6], |mac| mac.0)
    }
}

impl Kind for Guard {
    fn describe(&self) -> String {
        format!(
            "drop what {} sends from another hardware address than {} (nftables)",
            self.port, self.mac
        )
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        macspoof::add(&mut node.rules, &self.port, self.bytes(), &self.owner);
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        Ok(difference::in_words(self.differences(node)?))
    }

    fn differences(&self, node: &mut Node<'_>) -> Result<Vec<Difference>, Error> {
        let missing = macspoof::missing(node.nft()?, &self.port, self.bytes(), &self.owner)
            .map_err(crate::kernel::Error::from)?;
        // A pod attached by the reference plugins has their rules, which are as good.
        if !missing.is_empty()
            && let Some(owner) = Owner::parse(&self.owner)
            && reference::macspoof_present(&owner, node)?
        {
            return Ok(Vec::new());
        }
        Ok(missing)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        macspoof::remove(&mut node.rules, &self.port, self.bytes(), &self.owner);
        Ok(())
    }
}
