//! What the runtime adds to a configuration for one attachment: capability arguments in
//! `runtimeConfig`, and `args.cni` (CONVENTIONS).

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use super::address::{RequestedIp, optional_ip};
use super::keys::filled;

/// `runtimeConfig` (CONVENTIONS, "Well-known Capabilities").
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RuntimeConfig {
    /// Addresses to give the attachment.
    pub ips: Vec<RequestedIp>,
    /// Ranges to lease from, of the form of host-local's `ranges`.
    pub ip_ranges: Option<Value>,
    /// The hardware address to give the interface, as written.
    #[serde(deserialize_with = "filled")]
    pub mac: Option<String>,
    /// Name resolution.
    pub dns: RuntimeDns,
    /// Names for the attachment.
    pub aliases: Vec<String>,
    /// Ports of the host to forward.
    pub port_mappings: Vec<PortMapping>,
    /// Limits of the interface.
    pub bandwidth: Option<Bandwidth>,
    /// The device behind the network, such as a PCI address.
    #[serde(rename = "deviceID", deserialize_with = "filled")]
    pub device_id: Option<String>,
    /// The pod's cgroup.
    #[serde(deserialize_with = "filled")]
    pub cgroup_path: Option<String>,
}

/// `runtimeConfig.dns`, whose keys differ from those of `dns`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RuntimeDns {
    /// Servers in order of priority.
    pub servers: Vec<String>,
    /// Search domains in order of priority.
    pub searches: Vec<String>,
    /// Resolver options.
    pub options: Vec<String>,
}

/// One of `runtimeConfig.portMappings`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// The port on the host; 0 forwards nothing.
    #[serde(default)]
    pub host_port: u16,
    /// The port in the container.
    #[serde(default)]
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`, as written; may be empty.
    #[serde(default)]
    pub protocol: String,
    /// The address on the host; every one when absent.
    #[serde(rename = "hostIP", default, deserialize_with = "optional_ip")]
    pub host_ip: Option<IpAddr>,
}

/// `runtimeConfig.bandwidth`; 0 means no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Bandwidth {
    /// Bits per second, towards the container.
    pub ingress_rate: u64,
    /// Bits, towards the container.
    pub ingress_burst: u64,
    /// Bits per second, from the container.
    pub egress_rate: u64,
    /// Bits, from the container.
    pub egress_burst: u64,
    /// The only networks to which the limits apply, as written.
    pub shaped_subnets: Vec<String>,
    /// The networks to which they do not apply, as written.
    pub unshaped_subnets: Vec<String>,
}

/// `args.cni` (CONVENTIONS, "args in network config").
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CniArgs {
    /// Addresses to give the attachment.
    pub ips: Vec<RequestedIp>,
    /// The hardware address to give the interface, as written.
    #[serde(deserialize_with = "filled")]
    pub mac: Option<String>,
    /// Labels.
    pub labels: Vec<Label>,
}

/// One of `args.cni.labels`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Label {
    /// The label's name.
    pub key: String,
    /// The label's value.
    #[serde(default)]
    pub value: String,
}
