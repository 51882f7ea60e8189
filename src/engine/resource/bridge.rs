//! The bridge that containers are attached to; shared, so DEL leaves it.

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::{link, sysctl};

/// A bridge on the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bridge {
    /// The link's name.
    pub name: String,
    /// Bytes, for a bridge that is made; one that is there keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Whether a bridge that is made filters VLANs.
    #[serde(default)]
    pub vlan_filtering: bool,
    /// Promiscuous mode.
    #[serde(default)]
    pub promiscuous: bool,
}

impl Kind for Bridge {
    fn describe(&self) -> String {
        let mut text = format!("make bridge {} if it is not there, and bring it up", self.name);
        if let Some(mtu) = self.mtu {
            text.push_str(&format!(", MTU {mtu}"));
        }
        if self.vlan_filtering {
            text.push_str(", filtering VLANs");
        }
        if self.promiscuous {
            text.push_str(", promiscuous");
        }
        text
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        let mut made = Made::Before;
        if node.host_link(&self.name)?.is_none() {
            match link::add_bridge(&mut node.host, &self.name, self.mtu, self.vlan_filtering) {
                Ok(()) => made = Made::Now,
                // Another ADD was faster; its bridge is as good.
                Err(error) if error.is(nix::errno::Errno::EEXIST) => {}
                Err(error) => {
                    // The answer may be all that was lost.
                    node.has_made = true;
                    return Err(error.into());
                }
            }
            node.has_made = made == Made::Now;
        }
        let bridge = node.link(Side::Host, &self.name)?;
        if bridge.kind != "bridge" {
            return Err(Error::Conflict(format!(
                "{} is there already but is no bridge ({})",
                self.name,
                if bridge.kind.is_empty() { "a device" } else { &bridge.kind },
            )));
        }
        if self.vlan_filtering && !bridge.vlan_filtering {
            log::warn!(
                "bridge {name} was there before and does not filter VLANs, so that vlan and vlanTrunk \
                 part nobody; change that with: ip link set {name} type bridge vlan_filtering 1",
                name = self.name
            );
        }
        // A router's advertisement must not give the host routes through a bridge of containers.
        if bridge.accept_ra.is_some_and(|value| value != 0) {
            // A read-only /proc/sys is no reason to fail.
            let _ = sysctl::write(&format!("net/ipv6/conf/{}/accept_ra", self.name), "0");
        }
        if self.promiscuous && !bridge.promiscuous {
            link::queue_promiscuous(&mut node.host, &self.name)?;
        }
        if !bridge.up {
            link::queue_up(&mut node.host, &self.name)?;
        }
        Ok(made)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let mut wrong = Vec::new();
        match node.look_at(&self.name)? {
            None => wrong.push(format!("bridge {} is not there", self.name)),
            Some(link) if link.kind != "bridge" => {
                wrong.push(format!("{} is no bridge", self.name))
            }
            Some(link) => {
                if !link.up {
                    wrong.push(format!("bridge {} is down", self.name));
                }
                if self.vlan_filtering && !link.vlan_filtering {
                    wrong.push(format!("bridge {} does not filter VLANs", self.name));
                }
                if link.promiscuous != self.promiscuous {
                    let (is, should) = if self.promiscuous { ("not ", "") } else { ("", "not ") };
                    wrong.push(format!(
                        "bridge {} is {is}promiscuous and should {should}be",
                        self.name
                    ));
                }
            }
        }
        Ok(wrong)
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn take_back(&self, node: &mut Node<'_>) -> Result<(), Error> {
        let Some(bridge) = node.look_at(&self.name)? else { return Ok(()) };
        if link::ports(&mut node.host, bridge.index)?.is_empty() {
            link::queue_remove(&mut node.host, bridge.index, &self.name)?;
            node.forget(&self.name);
        }
        Ok(())
    }
}
