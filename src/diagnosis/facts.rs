//! What a diagnosis is made from.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::engine::Owner;
use crate::kernel::verdict::Ruleset;

/// The node as it was read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Facts {
    /// What this process may do.
    pub rights: Rights,
    /// Sysctls of the host that matter, by their names with slashes; those that are not there lack.
    pub sysctls: BTreeMap<String, String>,
    /// The kernel.
    pub kernel: Kernel,
    /// The host's links.
    pub links: Vec<HostLink>,
    /// The links that the default routes of IPv4 and IPv6 lead to.
    pub uplinks: Vec<Uplink>,
    /// Every chain that filters what is forwarded.
    pub ruleset: Ruleset,
    /// iptables' tables that are in use outside nf_tables: "iptables filter", "ip6tables nat".
    pub legacy_tables: Vec<String>,
    /// Those that are in use within nf_tables.
    pub nft_tables: Vec<String>,
    /// Chains of the reference plugins that belong to one attachment each: program, chain.
    pub own_chains: Vec<(String, String)>,
    /// Elements of causeway's tables.
    pub elements: Vec<Element>,
    /// Attachments that there are records of, or a runtime's results.
    pub attachments: Vec<Attachment>,
    /// Leases of host-local.
    pub leases: Vec<Lease>,
    /// Addresses that are on a link of any namespace; read only when there is a lease without an
    /// attachment.
    pub living_addresses: Vec<IpAddr>,
    /// Files in the state directory that are no records, with the reason.
    pub damaged: Vec<(PathBuf, String)>,
    /// Files in the directory of kept namespaces that no namespace is mounted on.
    pub stale_namespaces: Vec<PathBuf>,
    /// Directories that the plugins write into.
    pub directories: Vec<Directory>,
    /// The directories of plugins, and what is in them.
    pub programs: Programs,
    /// Configurations that can be loaded.
    pub configurations: Vec<Configuration>,
    /// Configurations that cannot, with the reason.
    pub broken_configurations: Vec<(PathBuf, String)>,
    /// Configurations that can be loaded, and what `causeway lint` calls an error in them.
    pub faulty_configurations: Vec<(PathBuf, Vec<String>)>,
    /// What could not be read, in words.
    pub unread: Vec<String>,
}

impl Facts {
    /// A sysctl's value; empty when it is not there.
    pub fn sysctl(&self, name: &str) -> &str {
        self.sysctls.get(name).map(String::as_str).unwrap_or_default()
    }

    /// A link of the host.
    pub fn link(&self, name: &str) -> Option<&HostLink> {
        self.links.iter().find(|link| link.name == name)
    }

    /// The link that the default route of a family leads to.
    pub fn uplink(&self, v6: bool) -> Option<&HostLink> {
        let uplink = self.uplinks.iter().find(|uplink| uplink.v6 == v6)?;
        self.link(&uplink.link)
    }
}

/// What this process may do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rights {
    /// Whether it has CAP_NET_ADMIN.
    pub net_admin: bool,
    /// Whether it has CAP_SYS_ADMIN.
    pub sys_admin: bool,
}

/// The kernel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Kernel {
    /// Its release.
    pub release: String,
    /// Whether it has nf_tables.
    pub nf_tables: bool,
    /// What configured plugins need and it has not.
    pub lacks: Vec<Lack>,
}

/// Something that the kernel lacks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lack {
    /// What it is, as the kernel's tools have it.
    pub feature: String,
    /// The option of the kernel's configuration that brings it.
    pub option: String,
    /// The plugin that needs it.
    pub plugin: String,
}

/// A link of the host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HostLink {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its kind; empty for hardware.
    pub kind: String,
    /// Its alias.
    pub alias: String,
    /// Bytes.
    pub mtu: u32,
    /// Set up by the administrator.
    pub up: bool,
    /// The bridge it is a port of.
    pub master: Option<String>,
    /// For an end of a pair, whether the other end is on the host as well.
    pub both_ends_here: bool,
}

/// Where a default route leads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Uplink {
    /// Of IPv6, or else IPv4.
    pub v6: bool,
    /// The link.
    pub link: String,
}

/// An element of one of causeway's tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Element {
    /// The table.
    pub table: String,
    /// The address or the like.
    pub what: String,
    /// Whose it is; empty when somebody else made it.
    pub owner: String,
}

/// An attachment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Who.
    #[serde(flatten)]
    pub owner: Owner,
    /// The plugins that have a record of it; empty when only a runtime's result is there.
    #[serde(default)]
    pub records: Vec<String>,
    /// `namespace/name` of the pod.
    #[serde(default)]
    pub pod: Option<String>,
    /// The container's namespace.
    #[serde(default)]
    pub netns: Option<PathBuf>,
    /// Whether a namespace is there.
    #[serde(default)]
    pub alive: bool,
    /// Whether the record is of this boot of the kernel.
    #[serde(default)]
    pub this_boot: bool,
    /// Its addresses.
    #[serde(default)]
    pub addresses: Vec<IpNetwork>,
    /// Whether a lease of host-local is recorded.
    #[serde(default)]
    pub leased: bool,
    /// Families of which the host has to forward for it.
    #[serde(default)]
    pub forwarded: Vec<IpFamily>,
    /// Whether it was given an end of a pair, of which the host has the other one.
    #[serde(default)]
    pub paired: bool,
    /// The bridge it is attached to.
    #[serde(default)]
    pub bridge: Option<String>,
    /// The host's end of its pair, if that is there.
    #[serde(default)]
    pub host_link: Option<String>,
    /// Bytes, of the interface in the container; `None` when that is not there.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// For each address the link by which the host reaches it, if not by the bridge or the host end.
    #[serde(default)]
    pub elsewhere: Vec<(IpAddr, String)>,
    /// What `verify` of its resources says.
    #[serde(default)]
    pub wrong: Vec<Wrong>,
}

impl Attachment {
    /// How people are told of it.
    pub fn title(&self) -> String {
        let Owner { network, container_id, ifname } = &self.owner;
        let id: String = container_id.chars().take(20).collect();
        match &self.pod {
            Some(pod) => format!("{pod} ({id}, {ifname} on {network})"),
            None => format!("{id} ({ifname} on {network})"),
        }
    }
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum IpFamily {
    Ipv4,
    Ipv6,
}

/// A resource that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wrong {
    /// The resource's kind, as in records.
    pub kind: String,
    /// What is wrong.
    pub what: String,
    /// Whether `causeway repair` puts it back.
    pub put_back: bool,
    /// Whether another attachment has it, or what is left of one.
    #[serde(default)]
    pub taken: bool,
}

/// A lease of host-local.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// The network.
    pub network: String,
    /// The folder of its leases.
    pub folder: PathBuf,
    /// The address.
    pub address: IpAddr,
    /// The holder's container ID; empty when the file does not say.
    #[serde(default)]
    pub container_id: String,
    /// The holder's interface; empty when the file does not say.
    #[serde(default)]
    pub ifname: String,
}

/// A directory that the plugins write into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Directory {
    /// The path.
    pub path: PathBuf,
    /// The permission bits; `None` when it is not there yet.
    pub mode: Option<u32>,
    /// The owner's user ID.
    #[serde(default)]
    pub uid: u32,
    /// Whether it is a directory.
    #[serde(default)]
    pub is_directory: bool,
    /// Whether the file system is mounted read-only.
    #[serde(default)]
    pub read_only: bool,
}

/// The directories of plugins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Programs {
    /// Where they are looked for.
    pub directories: Vec<PathBuf>,
    /// What is in them.
    pub found: Vec<Program>,
}

/// A file in a directory of plugins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Program {
    /// The path.
    pub path: PathBuf,
    /// Its name.
    pub name: String,
    /// Whether it can be executed.
    pub executable: bool,
    /// Where it leads, if it is a link to nowhere.
    #[serde(default)]
    pub dead_link: Option<PathBuf>,
}

/// A configuration that can be loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// The file.
    pub path: PathBuf,
    /// The network's name.
    pub network: String,
    /// The plugins' types, and those of their address sources.
    pub types: Vec<String>,
}
