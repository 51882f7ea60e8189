//! Ports of the host that lead to a container: what every backend of port mappings needs to know.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A transport protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The protocol of this name, in whatever case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(name))
    }

    /// The name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// The IP protocol number.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A port of the host that leads to a port of the container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mapping {
    /// The protocol.
    pub protocol: Transport,
    /// The address of the host. Without one every address of every family; an unspecified one
    /// (0.0.0.0, ::) stands for every address of its family.
    #[serde(rename = "hostIP", default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// The port of the host, not 0.
    pub host_port: u16,
    /// The port of the container, not 0.
    pub container_port: u16,
}

impl Mapping {
    /// Whether it leads to a container's address of the family of `pod`.
    pub fn concerns(&self, pod: IpAddr) -> bool {
        self.host_ip.is_none_or(|host| host.is_ipv4() == pod.is_ipv4())
    }

    /// The one address of the host that it is for.
    pub fn only_at(&self) -> Option<IpAddr> {
        self.host_ip.filter(|host| !host.is_unspecified())
    }
}

impl std::fmt::Display for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host_ip {
            Some(IpAddr::V6(host)) => write!(f, "[{host}]:")?,
            Some(IpAddr::V4(host)) => write!(f, "{host}:")?,
            None => {}
        }
        write!(f, "{}/{} to {}", self.host_port, self.protocol, self.container_port)
    }
}
