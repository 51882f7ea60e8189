//! A VLAN's own interface on the host, for the gateway's address; shared, so DEL leaves it.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::link::{self, Link, VethEnd};
use crate::kernel::{sysctl, vlan};

/// One end of a veth pair whose other end is a port of the bridge in the VLAN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VlanGateway {
    /// The bridge.
    pub bridge: String,
    /// The interface's name: bridge, dot, VLAN ID.
    pub name: String,
    /// The name that the other end, the bridge port, gets.
    pub port: String,
    /// The VLAN ID.
    pub vlan: u16,
    /// Whether the port keeps the bridge's default VLAN.
    #[serde(default)]
    pub keep_default: bool,
}

impl VlanGateway {
    /// The bridge port that is the other end of `link`. The reference plugins give it another name.
    fn port_of(&self, link: &Link, node: &mut Node<'_>) -> Result<Option<Link>, Error> {
        let (Some(bridge), Some(peer)) = (node.host_link(&self.bridge)?, link.peer) else {
            return Ok(None);
        };
        let port = link::find_index(&mut node.host, peer)?;
        Ok(port.filter(|port| port.kind == "veth" && port.master == Some(bridge.index)))
    }

    /// Puts the port into the VLAN and, after that, brings the interface up: one that is up has all.
    fn finish(&self, port: &Link, node: &mut Node<'_>) -> Result<(), Error> {
        let default = node.link(Side::Host, &self.bridge)?.default_vlan;
        if !self.keep_default && default != 0 {
            vlan::remove(&mut node.host, port.index, default).map_err(vlan::explained)?;
        }
        vlan::queue_native(&mut node.host, port.index, self.vlan)?;
        node.host.flush().map_err(vlan::explained)?;
        // Without IPv6 there is no such setting.
        let _ = sysctl::write(&format!("net/ipv6/conf/{}/accept_ra", port.name), "0");
        link::queue_up(&mut node.host, &self.name)?;
        Ok(node.host.flush()?)
    }
}

impl Kind for VlanGateway {
    fn describe(&self) -> String {
        format!(
            "make {} for VLAN {} of bridge {} if it is not there",
            self.name, self.vlan, self.bridge
        )
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        let mut made = Made::Before;
        if node.look_at(&self.name)?.is_none() {
            let bridge = node.link(Side::Host, &self.bridge)?;
            let near = VethEnd { name: &self.port, mac: None, namespace: None, up: true };
            let far = VethEnd { name: &self.name, mac: None, namespace: None, up: false };
            let (mtu, master) = (Some(bridge.mtu), Some(bridge.index));
            match link::add_veth(&mut node.host, &near, &far, mtu, master) {
                Ok(()) => made = Made::Now,
                // Another ADD was faster.
                Err(error) if error.is(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
            node.forget(&self.name);
            // It takes the lowest of its ports' hardware addresses.
            node.forget(&self.bridge);
        }
        let link = node.link(Side::Host, &self.name)?;
        if link.up {
            return Ok(made);
        }
        // Another ADD is at it, or was killed; without such a port it is somebody else's link.
        let Some(port) = self.port_of(&link, node)? else { return Ok(made) };
        let finished = self.finish(&port, node);
        node.forget(&self.name);
        if finished.is_err() && made == Made::Now {
            self.take_back(node)?;
        }
        finished.map(|()| made)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let Some(link) = node.look_at(&self.name)? else {
            return Ok(vec![format!("{} is not there", self.name)]);
        };
        let mut wrong = Vec::new();
        if !link.up {
            wrong.push(format!("{} is down", self.name));
        }
        if link.kind == "veth" {
            let carried = match self.port_of(&link, node)? {
                Some(port) => vlan::list(&mut node.host, port.index)?,
                None => Vec::new(),
            };
            if !carried.iter().any(|one| one.vid == self.vlan && one.native && one.untagged) {
                wrong.push(format!(
                    "{} is not connected to VLAN {} of bridge {}",
                    self.name, self.vlan, self.bridge
                ));
            }
        }
        Ok(wrong)
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
