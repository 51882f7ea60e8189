//! One attachment as all sources together tell of it.

use std::fmt;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::engine::Owner;
use crate::engine::journal::Record;
use crate::libcni::Cached;

/// How an attachment stands, from what is there without looking at each resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be, as far as can be told.
    Attached,
    /// There is a record of an ADD, but no result of it and no link: the ADD is under way, or was
    /// killed. The next ADD, DEL or GC clears it.
    HalfMade,
    /// The runtime counts on it, but its link on the host is gone.
    LinkGone,
    /// The container's namespace is gone; DEL or GC removes what is left.
    NamespaceGone,
    /// There is nothing of it but addresses that are leased to it.
    LeaseOnly,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Attached => "attached",
            Self::HalfMade => "half made",
            Self::LinkGone => "link gone",
            Self::NamespaceGone => "namespace gone",
            Self::LeaseOnly => "lease only",
        })
    }
}

/// Whether a namespace is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Life {
    /// Its path leads to a network namespace of this inode number.
    Alive(u64),
    /// Its path leads nowhere, or to a file that is no namespace.
    Gone,
    /// It could not be looked at.
    Unknown,
}

/// The end of a pair that stays on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostLink {
    /// Its name, which it has or should have.
    pub name: String,
    /// Its interface index; none when it is not there.
    pub index: Option<u32>,
}

/// One attachment.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// Network, container ID and interface. The interface is empty when only a lease tells of it that
    /// names a container alone.
    pub owner: Owner,
    /// `namespace/name` of the Kubernetes pod.
    pub pod: Option<String>,
    /// The container's addresses on this interface, with prefix lengths; those known only from leases
    /// have the whole length.
    pub addresses: Vec<IpNetwork>,
    /// Its link on the host, if it has one.
    pub host_link: Option<HostLink>,
    /// The namespace's path, and whether it is there.
    pub netns: Option<PathBuf>,
    /// Whether the namespace is there; [`Life::Unknown`] without a path.
    pub life: Life,
    /// When it was made, in seconds since 1970.
    pub since: Option<u64>,
    /// How it stands.
    pub state: State,
    /// causeway's records of it, one for each plugin that was called by itself.
    pub records: Vec<Record>,
    /// The result that the runtime keeps.
    pub cached: Option<Cached>,
    /// The addresses that host-local has leased to it.
    pub leased: Vec<std::net::IpAddr>,
}

impl Attachment {
    /// The types of the plugins that have records of it.
    pub fn plugins(&self) -> Vec<&str> {
        self.records.iter().map(|record| record.plugin.as_str()).collect()
    }
}
