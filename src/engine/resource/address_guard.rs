//! The container may send only from its own IP addresses.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::firewall::in_words;
use super::{Kind, Made};
use crate::engine::{Error, Node};
use crate::kernel::addrspoof::{self, Guarded};
use crate::kernel::difference::{self, Difference};

/// The host's end of the container's interface and the addresses that it may carry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddressGuard {
    /// Its name on the host.
    pub link: String,
    /// Whether it is a port of a bridge.
    pub bridged: bool,
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether the container may ask DHCP servers for an address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dhcp: bool,
    /// The elements' comment.
    pub owner: String,
}

impl AddressGuard {
    fn guarded(&self) -> Guarded<'_> {
        let Self { link, bridged, addresses, dhcp, .. } = self;
        Guarded { link, bridged: *bridged, addresses, dhcp: *dhcp }
    }
}

impl Kind for AddressGuard {
    fn describe(&self) -> String {
        let asks = if self.dhcp { " and asks of DHCP" } else { "" };
        let own = in_words(&self.addresses);
        format!("drop what {} sends but from {own}{asks} (nftables)", self.link)
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        addrspoof::add(&mut node.rules, &self.guarded(), &self.owner);
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        Ok(difference::in_words(self.differences(node)?))
    }

    fn differences(&self, node: &mut Node<'_>) -> Result<Vec<Difference>, Error> {
        let missing = addrspoof::missing(node.nft()?, &self.guarded(), &self.owner);
        Ok(missing.map_err(crate::kernel::Error::from)?)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        addrspoof::remove(&mut node.rules, &self.guarded(), &self.owner);
        Ok(())
    }
}
