//! A TAP device in the container, whose other end is a program that opens it.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::link::{self, Attributes, Link};
use crate::kernel::mac::Mac;
use crate::kernel::tap;

/// A TAP device that stays until it is removed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tap {
    /// Its name.
    pub name: String,
    /// Its hardware address, in colon form.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// It has several queues.
    #[serde(default)]
    pub multi_queue: bool,
    /// The user who may open it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
    /// The group whose members may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// The SELinux label that it gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The bridge in the container that it is a port of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
}

/// The kind of both TUN and TAP devices.
const KIND: &str = "tun";

impl Tap {
    fn find(&self, node: &mut Node<'_>) -> Result<Option<Link>, Error> {
        Ok(link::find(&mut node.pod()?.route, &self.name)?)
    }

    fn bridge(&self, node: &mut Node<'_>) -> Result<Option<Link>, Error> {
        let Some(name) = &self.bridge else { return Ok(None) };
        Ok(link::find(&mut node.pod()?.route, name)?)
    }
}

impl Kind for Tap {
    fn describe(&self) -> String {
        let mut text = format!("add tap device {} in the container ({}", self.name, self.mac);
        if let Some(mtu) = self.mtu {
            text.push_str(&format!(", MTU {mtu}"));
        }
        if self.multi_queue {
            text.push_str(", several queues");
        }
        for (what, id) in [("user", self.owner), ("group", self.group)] {
            if let Some(id) = id {
                text.push_str(&format!(", {what} {id}"));
            }
        }
        text.push(')');
        if let Some(label) = &self.label {
            text.push_str(&format!(", by running ip under the label {label}"));
        }
        if let Some(bridge) = &self.bridge {
            text.push_str(&format!(", a port of {bridge}"));
        }
        text
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        node.host.flush()?;
        let bridge = self.bridge(node)?;
        let wanted = tap::Tap {
            name: &self.name,
            multi_queue: self.multi_queue,
            vnet_header: self.owner.is_some() && self.group.is_some(),
            owner: self.owner,
            group: self.group,
        };
        node.within(Side::Pod, || match &self.label {
            Some(label) => tap::make_labelled(&wanted, label),
            None => tap::make(&wanted),
        })??;
        let index = node.pod_index(&self.name)?;
        let socket = &mut node.pod()?.route;
        let attributes =
            Attributes { mac: Mac::parse(&self.mac), mtu: self.mtu, ..Attributes::default() };
        link::queue_attributes(socket, &self.name, &attributes)?;
        if let Some(bridge) = bridge {
            let master = Some((bridge.index, bridge.name.as_str()));
            link::queue_master(socket, index, &self.name, master)?;
        }
        socket.flush()?;
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let name = &self.name;
        let Some(link) = self.find(node)? else {
            return Ok(vec![format!("interface {name} is not in the container")]);
        };
        let mut wrong = Vec::new();
        if link.kind != KIND {
            wrong.push(format!("interface {name} in the container is no tap device"));
        }
        if !link.up {
            wrong.push(format!("interface {name} in the container is down"));
        }
        let mac = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
        if !self.mac.is_empty() && mac != self.mac {
            wrong.push(format!(
                "interface {name} in the container has hardware address {mac}, not {}",
                self.mac
            ));
        }
        if let Some(mtu) = self.mtu.filter(|mtu| *mtu != link.mtu) {
            wrong
                .push(format!("interface {name} in the container has MTU {}, not {mtu}", link.mtu));
        }
        if let Some(bridge) = &self.bridge {
            let master = self.bridge(node)?.map(|bridge| bridge.index);
            if master.is_none() || link.master != master {
                wrong.push(format!(
                    "interface {name} in the container is not a port of bridge {bridge}"
                ));
            }
        }
        Ok(wrong)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        if node.pod.is_none() {
            return Ok(());
        }
        let Some(link) = self.find(node)?.filter(|link| link.kind == KIND) else { return Ok(()) };
        let socket = &mut node.pod()?.route;
        link::queue_remove(socket, link.index, &self.name)?;
        match socket.flush() {
            Err(error) if error.is(Errno::ENODEV) => Ok(()),
            other => Ok(other?),
        }
    }

    fn outlives_namespace(&self) -> bool {
        false
    }
}
