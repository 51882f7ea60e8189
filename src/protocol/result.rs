//! What an ADD made, free of any CNI version (CNI spec 1.1.0, section 5, "ADD Success").
//!
//! [`super::version`] names the versions; [`super::render`] writes a result in the form each of
//! them asks for and reads every form back.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Deserializer, Serialize};

use super::address::{cidr, optional_ip};

/// The success result of an ADD.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddResult {
    /// Every interface of the attachment, on the host and in the container.
    pub interfaces: Vec<Interface>,
    /// The addresses assigned.
    pub ips: Vec<IpConfig>,
    /// The routes made in the container.
    pub routes: Vec<Route>,
    /// Name resolution for the container.
    pub dns: Dns,
}

/// One interface of a result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The link's name.
    pub name: String,
    /// The hardware address in colon form, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Bytes; 1.1.0 and later.
    #[serde(default, deserialize_with = "nonzero", skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The namespace path given as CNI_NETNS; empty for a link on the host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
    /// A socket file that belongs to the interface; 1.1.0 and later.
    #[serde(rename = "socketPath", default, skip_serializing_if = "String::is_empty")]
    pub socket_path: String,
    /// The PCI device behind the interface; 1.1.0 and later.
    #[serde(rename = "pciID", default, skip_serializing_if = "String::is_empty")]
    pub pci_id: String,
}

/// One address of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpConfig {
    /// Index into [`AddResult::interfaces`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<usize>,
    /// The address with its prefix length; host bits are kept.
    #[serde(deserialize_with = "cidr")]
    pub address: IpNetwork,
    /// The default gateway of this subnet.
    #[serde(default, deserialize_with = "optional_ip", skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// One route of a result or of an `ipam` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Route {
    /// The destination, such as `0.0.0.0/0`.
    #[serde(deserialize_with = "cidr")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub dst: IpNetwork,
    /// The next hop; without one the gateway of the same family's address is used.
    #[serde(default, deserialize_with = "optional_ip", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub gw: Option<IpAddr>,
    /// Bytes; the path's MTU.
    #[serde(default, deserialize_with = "nonzero", skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Bytes; the TCP segment size to advertise.
    #[serde(default, deserialize_with = "nonzero", skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
    /// Lower is preferred.
    #[serde(default, deserialize_with = "nonzero", skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// The routing table; the main table when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// Global (0), link (253) or host (254).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
}

/// Name resolution settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Dns {
    /// Servers in order of priority.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Search domains in order of priority.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Resolver options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

/// A number for which 0 means that nothing is set, as the reference plugins have it.
fn nonzero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Ok(Option::<u32>::deserialize(deserializer)?.filter(|number| *number != 0))
}
