//! Telling the neighbours where the container's addresses are now, since they may have been another
//! container's a moment ago.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::announce::Announcer;
use crate::kernel::link;
use crate::kernel::mac::Mac;

/// Gratuitous ARP and unsolicited neighbour advertisements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Announcement {
    /// The container's interface.
    pub link: String,
    /// Its hardware address in colon form.
    pub mac: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

impl Announcement {
    fn send(&self, node: &mut Node<'_>) -> Result<(), Error> {
        let Some(mac) = Mac::parse(&self.mac) else { return Ok(()) };
        if self.addresses.iter().any(IpAddr::is_ipv4) {
            // With arp_notify set this makes the kernel send gratuitous ARP.
            let pod = node.pod()?;
            link::queue_mac(&mut pod.route, &self.link, mac)?;
            pod.route.flush()?;
        }
        let v6: Vec<_> = self
            .addresses
            .iter()
            .filter_map(|address| match address {
                IpAddr::V6(address) => Some(*address),
                IpAddr::V4(_) => None,
            })
            .collect();
        if !v6.is_empty() {
            let index = node.pod_index(&self.link)?;
            for address in v6 {
                let announcer = node.within(Side::Pod, Announcer::open)??;
                announcer.announce(index, address, mac)?;
            }
        }
        Ok(())
    }
}

impl Kind for Announcement {
    fn describe(&self) -> String {
        let list: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        format!("tell the neighbours that {} is at {}", list.join(" and "), self.mac)
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        // The attachment works without; neighbours would learn a little later.
        if let Err(error) = self.send(node) {
            log::warn!("the neighbours could not be told: {error}");
        }
        Ok(Made::Now)
    }

    fn verify(&self, _node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }
}
