//! The gateway's address on the bridge, or on a VLAN's own interface of the bridge; shared.

use ipnetwork::IpNetwork;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::{addr, link};

/// An address that containers use as their gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gateway {
    /// The host link that has it.
    pub link: String,
    /// The address with the subnet's prefix length.
    pub address: IpNetwork,
    /// Whether an address that stands in its way is removed.
    #[serde(default)]
    pub force: bool,
    /// Whether the link had it when the plan was made, so that ADD need not look again.
    #[serde(default)]
    pub seen: bool,
}

/// The addresses among `present` that keep a link from getting `wanted`: any other IPv4 address,
/// and IPv6 addresses of an overlapping subnet, as the reference plugins have it.
pub fn in_the_way(present: &[IpNetwork], wanted: IpNetwork) -> Vec<IpNetwork> {
    present
        .iter()
        .copied()
        .filter(|one| one.is_ipv4() == wanted.is_ipv4() && *one != wanted)
        .filter(|one| one.is_ipv4() || one.contains(wanted.ip()) || wanted.contains(one.ip()))
        .collect()
}

impl Kind for Gateway {
    fn describe(&self) -> String {
        let force = if self.force { ", in place of another" } else { "" };
        format!("have gateway address {} on {}{force}", self.address, self.link)
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        if self.seen {
            return Ok(Made::Before);
        }
        let link = node.link(Side::Host, &self.link)?;
        let present: Vec<IpNetwork> =
            addr::list(&mut node.host, link.index)?.iter().map(|address| address.network).collect();
        if present.contains(&self.address) {
            return Ok(Made::Before);
        }
        for other in in_the_way(&present, self.address) {
            if !self.force {
                return Err(Error::Conflict(format!(
                    "{} already has address {other}, not {}; set forceAddress to replace it",
                    self.link, self.address
                )));
            }
            addr::queue_remove(&mut node.host, link.index, &self.link, other)?;
        }
        addr::queue_add(&mut node.host, link.index, &self.link, self.address)?;
        // Its own address set once more stays, whatever ports come and go; else the bridge takes
        // the lowest of its ports'.
        if let Some(mac) = link.mac {
            link::queue_mac(&mut node.host, &self.link, mac)?;
        }
        node.forget(&self.link);
        match node.host.flush() {
            // Another ADD was faster.
            Err(error) if error.is(Errno::EEXIST) => Ok(Made::Before),
            other => {
                // Of several requests one may have been refused and the address be there.
                node.has_made = true;
                other?;
                Ok(Made::Now)
            }
        }
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let Some(link) = node.host_link(&self.link)? else {
            return Ok(vec![format!("{} is not there", self.link)]);
        };
        let found = addr::list(&mut node.host, link.index)?
            .iter()
            .any(|address| address.network == self.address);
        Ok((!found)
            .then(|| format!("gateway address {} is not on {}", self.address, self.link))
            .into_iter()
            .collect())
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn take_back(&self, node: &mut Node<'_>) -> Result<(), Error> {
        if let Some(link) = node.look_at(&self.link)? {
            addr::queue_remove(&mut node.host, link.index, &self.link, self.address)?;
            match node.host.flush() {
                Err(error) if error.is(Errno::EADDRNOTAVAIL) => {}
                other => other?,
            }
        }
        Ok(())
    }
}
