//! The veth pair between the host and the container. The container's addresses and routes go with
//! it when it is removed.

use std::os::fd::AsFd;

use serde::{Deserialize, Serialize};

use super::pair::Pair;
use super::{Kind, Made};
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::link::{self, VethEnd};
use crate::kernel::mac::Mac;
use crate::kernel::sysctl;

/// A veth pair with its host end up and, for a bridge, enslaved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Veth {
    /// The host end's name.
    pub host: String,
    /// The container end's name.
    pub pod: String,
    /// The container end's hardware address, in colon form.
    pub mac: String,
    /// Bytes, of both ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The bridge that gets the host end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// The host end becomes a port of the bridge later, by a
    /// [`BridgePort`](super::bridge_port::BridgePort).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joins_later: bool,
    /// The bridge sends a container's frames back to it.
    #[serde(default)]
    pub hairpin: bool,
    /// The port reaches only ports that are not isolated.
    #[serde(default)]
    pub isolated: bool,
    /// The container end stays down.
    #[serde(default)]
    pub leave_down: bool,
    /// Written on the host end as its alias.
    pub owner: String,
}

impl Veth {
    fn pair(&self) -> Pair<'_> {
        Pair {
            kind: "veth",
            host: &self.host,
            pod: &self.pod,
            mac: &self.mac,
            mtu: self.mtu,
            leave_down: self.leave_down,
            owner: &self.owner,
        }
    }
}

impl Kind for Veth {
    fn describe(&self) -> String {
        let mut text =
            format!("make veth pair {} on the host, {} in the container", self.host, self.pod);
        text.push_str(&format!(" ({}", self.mac));
        if let Some(mtu) = self.mtu {
            text.push_str(&format!(", MTU {mtu}"));
        }
        text.push(')');
        let Some(bridge) = self.bridge.as_ref().filter(|_| !self.joins_later) else { return text };
        text.push_str(&format!(", {} a port of {bridge}", self.host));
        if self.hairpin {
            text.push_str(", hairpin");
        }
        if self.isolated {
            text.push_str(", isolated");
        }
        text
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        let bridge = self.bridge.as_ref().filter(|_| !self.joins_later);
        let master = match bridge {
            Some(bridge) => Some(node.link(Side::Host, bridge)?.index),
            None => None,
        };
        let mac = Mac::parse(&self.mac);
        let Some(pod) = node.pod.as_mut() else {
            node.pod()?;
            return Ok(Made::Before);
        };
        let near = VethEnd { name: &self.host, mac: None, namespace: None, up: false };
        let namespace = Some(pod.namespace.as_fd());
        let far = VethEnd { name: &self.pod, mac, namespace, up: false };
        link::add_veth(&mut node.host, &near, &far, self.mtu, master)?;
        // In a batch of their own: with a name that is somebody else's, the first request fails and
        // these must not reach their link.
        link::queue_owner(&mut node.host, &self.host, &self.owner)?;
        link::queue_up(&mut node.host, &self.host)?;
        if master.is_some() {
            link::queue_port_flags(&mut node.host, &self.host, self.hairpin, self.isolated)?;
        }
        // Without IPv6 there is no such setting.
        let _ = sysctl::write(&format!("net/ipv6/conf/{}/accept_ra", self.host), "0");
        node.forget(&self.host);
        // A bridge takes the lowest of its ports' hardware addresses unless it was given one.
        if let Some(bridge) = bridge {
            node.forget(bridge);
        }
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let mut wrong = Vec::new();
        let Some(outside) = self.pair().check(node, &mut wrong)? else { return Ok(wrong) };
        if let Some(name) = &self.bridge {
            let bridge = node.host_link(name)?.map(|bridge| bridge.index);
            if bridge.is_none() || outside.master != bridge {
                wrong.push(format!("{} is not a port of bridge {name}", outside.name));
            } else if outside.hairpin != self.hairpin {
                let (is, should) = if self.hairpin { ("off", "on") } else { ("on", "off") };
                wrong.push(format!("hairpin mode of {} is {is}, not {should}", outside.name));
            } else if outside.isolated != self.isolated {
                let (is, should) = if self.isolated { ("not ", "") } else { ("", "not ") };
                wrong.push(format!(
                    "bridge port {} is {is}isolated and should {should}be",
                    outside.name
                ));
            }
        }
        Ok(wrong)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        self.pair().remove(node)
    }
}
