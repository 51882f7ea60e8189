//! The gateway's address on the bridge, or on a VLAN's own interface of the bridge; shared.

use ipnetwork::IpNetwork;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::link::{self, VethEnd};
use crate::kernel::{addr, sysctl, vlan};

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

/// A VLAN's own interface on the host: one end of a veth pair whose other end is a port of the
/// bridge in that VLAN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VlanGateway {
    /// The bridge.
    pub bridge: String,
    /// The interface's name: bridge, dot, VLAN ID.
    pub name: String,
    /// The name of its other end, the bridge port.
    pub port: String,
    /// The VLAN ID.
    pub vlan: u16,
    /// Whether the port keeps the bridge's default VLAN.
    #[serde(default)]
    pub keep_default: bool,
}

impl Kind for VlanGateway {
    fn describe(&self) -> String {
        format!(
            "make {} for VLAN {} of bridge {} if it is not there",
            self.name, self.vlan, self.bridge
        )
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        if node.look_at(&self.name)?.is_some() {
            return Ok(Made::Before);
        }
        let bridge = node.link(Side::Host, &self.bridge)?;
        let near = VethEnd { name: &self.port, mac: None, namespace: None };
        let far = VethEnd { name: &self.name, mac: None, namespace: None };
        match link::add_veth(&mut node.host, &near, &far, Some(bridge.mtu), Some(bridge.index)) {
            // Another ADD was faster.
            Err(error) if error.is(Errno::EEXIST) => return Ok(Made::Before),
            other => other?,
        }
        let port = node.link(Side::Host, &self.port)?.index;
        if !self.keep_default && bridge.default_vlan != 0 {
            vlan::queue_remove(&mut node.host, port, bridge.default_vlan)?;
            node.host.flush()?;
        }
        vlan::queue_add(&mut node.host, port, self.vlan, true)?;
        let _ = sysctl::write(&format!("net/ipv6/conf/{}/accept_ra", self.port), "0");
        link::queue_up(&mut node.host, &self.name)?;
        node.host.flush()?;
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let found = node.look_at(&self.name)?;
        Ok(found.is_none().then(|| format!("{} is not there", self.name)).into_iter().collect())
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn take_back(&self, node: &mut Node<'_>) -> Result<(), Error> {
        if let Some(link) = node.look_at(&self.name)? {
            link::queue_remove(&mut node.host, link.index, &self.name)?;
            node.host.flush()?;
            node.forget(&self.name);
        }
        Ok(())
    }
}
