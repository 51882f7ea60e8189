//! What a picture is drawn from.

use std::path::PathBuf;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::inventory::State;
use crate::kernel::port::Mapping;

/// A node as it was read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The node's name.
    pub node: String,
    /// The host's own namespace.
    pub host: Namespace,
    /// The namespaces of attachments, and those that are kept under a name.
    pub namespaces: Vec<Namespace>,
    /// The attachments.
    pub attachments: Vec<Attachment>,
    /// What could not be read, in words.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// A network namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Namespace {
    /// Its inode number, by which links name it.
    pub inode: u64,
    /// The path that leads to it; none for the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Its links, without loopback.
    #[serde(default)]
    pub links: Vec<Link>,
    /// Its default routes.
    #[serde(default)]
    pub defaults: Vec<DefaultRoute>,
}

/// A link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// The interface index.
    pub index: u32,
    /// The name.
    pub name: String,
    /// The kind, such as "veth"; empty for hardware.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// What there is to say of its kind: a mode, a VLAN ID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Set up by the administrator.
    #[serde(default)]
    pub up: bool,
    /// Bytes.
    #[serde(default)]
    pub mtu: u32,
    /// The index of the bridge or bond it is a port of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<u32>,
    /// Its other half, or what it was made on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub far: Option<Far>,
    /// Addresses, without those that are of the link alone (fe80::/10).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpNetwork>,
}

impl Link {
    /// Whether it is one end of a pair.
    pub fn is_end_of_pair(&self) -> bool {
        self.kind == "veth" || self.kind == "netkit"
    }
}

/// A link somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Far {
    /// The inode number of its namespace; none when that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<u64>,
    /// Its interface index.
    pub index: u32,
}

/// A default route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultRoute {
    /// `0.0.0.0/0` or `::/0`.
    pub to: IpNetwork,
    /// The next hops; none when the link itself leads there.
    #[serde(default)]
    pub via: Vec<std::net::IpAddr>,
    /// The indices of the links.
    pub links: Vec<u32>,
}

/// An attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The network.
    pub network: String,
    /// The container.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The interface.
    pub ifname: String,
    /// `namespace/name` of the Kubernetes pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The addresses that it should have.
    #[serde(default)]
    pub addresses: Vec<IpNetwork>,
    /// The inode number of its namespace, if that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<u64>,
    /// The name of its link on the host, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_link: Option<String>,
    /// How it stands.
    pub state: State,
    /// Ports of the host that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Mapping>,
}
