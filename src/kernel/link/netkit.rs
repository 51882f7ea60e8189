//! netkit pairs (drivers/net/netkit.c, Linux 6.7): like veth pairs, but what passes may be decided by
//! BPF programs on either end, and in mode L3 there are no hardware addresses and no neighbours to be
//! looked for.

use std::os::fd::AsRawFd;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, InfoNetkit, NetkitMode, NetkitPolicy};
use nix::errno::Errno;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use serde::{Deserialize, Serialize};

use super::VethEnd;
use crate::kernel::attr;
use crate::kernel::error::Error;
use crate::kernel::netlink::{RouteSocket, flags};
use crate::kernel::sysctl;

/// What of a frame the pair carries (`enum netkit_mode`, linux/if_link.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Whole Ethernet frames.
    L2,
    /// IP packets alone.
    #[default]
    L3,
}

/// What becomes of packets of an end that no BPF program decides about (`enum netkit_action`), in the
/// words of ip-link(8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// They pass.
    #[default]
    Forward,
    /// They are dropped.
    Blackhole,
}

/// How a pair behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manner {
    /// The mode.
    pub mode: Mode,
    /// For what the host's end sends, that is, what goes to the container.
    #[serde(default)]
    pub policy: Policy,
    /// For what the container's end sends.
    #[serde(default)]
    pub peer_policy: Policy,
}

impl From<Mode> for NetkitMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::L2 => Self::L2,
            Mode::L3 => Self::L3,
        }
    }
}

impl From<Policy> for NetkitPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Forward => Self::Pass,
            Policy::Blackhole => Self::Drop,
        }
    }
}

/// Attributes of linux/if_link.h (`IFLA_NETKIT_*`) and values of `enum netkit_action`.
mod wire {
    pub(super) const POLICY: u16 = 3;
    pub(super) const PEER_POLICY: u16 = 4;
    pub(super) const MODE: u16 = 5;
    pub(super) const L2: u32 = 0;
    pub(super) const DROP: u32 = 2;
}

impl Manner {
    /// What the kernel tells of a pair's head (`netkit_fill_info`); `None` of the other end, which tells
    /// less.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let number = |kind| attr::find(data, kind)?.first_chunk().copied().map(u32::from_ne_bytes);
        let policy = |kind| {
            Some(if number(kind)? == wire::DROP { Policy::Blackhole } else { Policy::Forward })
        };
        Some(Self {
            mode: if number(wire::MODE)? == wire::L2 { Mode::L2 } else { Mode::L3 },
            policy: policy(wire::POLICY)?,
            peer_policy: policy(wire::PEER_POLICY)?,
        })
    }
}

impl Mode {
    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::L3 => "l3",
        }
    }
}

impl Policy {
    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Blackhole => "blackhole",
        }
    }
}

fn missing(needed_for: &str) -> Error {
    let running = sysctl::read("kernel/osrelease").unwrap_or_default();
    Error::Missing {
        feature: format!("netkit (CONFIG_NETKIT, in Linux 6.7 and later; this is {running})"),
        needed_for: needed_for.to_owned(),
    }
}

/// Whether the kernel has netkit, without making anything: it is asked to make a pair with an
/// attribute that it refuses if it knows what netkit is (`netkit_policy`: `IFLA_NETKIT_PRIMARY` is
/// read-only), and says that it does not know otherwise. The module is loaded on the way.
///
/// # Errors
/// [`Error::Missing`] when it has not, and any other refusal.
pub fn probe(socket: &mut RouteSocket, needed_for: &str) -> Result<(), Error> {
    let message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Netkit)
        .set_info_data(InfoData::Netkit(vec![InfoNetkit::Primary(true)]))
        .build();
    let request = RouteNetlinkMessage::NewLink(message);
    match socket.order(request, flags::CREATE | flags::EXCL, "ask for netkit") {
        Err(error) if error.is(Errno::EOPNOTSUPP) => Err(missing(needed_for)),
        Err(error) if error.is(Errno::EINVAL) => Ok(()),
        other => other,
    }
}

/// Makes a netkit pair: the near end, which decides for both (the primary), in the socket's namespace
/// and up; the far end where [`VethEnd::namespace`] says. Hardware addresses count in mode L2 alone.
///
/// # Errors
/// `EEXIST` when either name is taken; [`Error::Missing`] for a kernel without netkit.
pub fn add(
    socket: &mut RouteSocket,
    near: &VethEnd<'_>,
    far: &VethEnd<'_>,
    mtu: Option<u32>,
    manner: &Manner,
) -> Result<(), Error> {
    let mut peer = LinkMessageBuilder::<LinkUnspec>::default().name(far.name);
    let mut message =
        LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Netkit).name(near.name);
    if near.up {
        message = message.up();
    }
    if let Some(mtu) = mtu {
        peer = peer.mtu(mtu);
        message = message.mtu(mtu);
    }
    if manner.mode == Mode::L2 {
        if let Some(mac) = far.mac {
            peer = peer.address(mac.0.to_vec());
        }
        if let Some(mac) = near.mac {
            message = message.address(mac.0.to_vec());
        }
    }
    if let Some(namespace) = far.namespace {
        peer = peer.setns_by_fd(namespace.as_raw_fd());
    }
    let message = message
        .set_info_data(InfoData::Netkit(vec![
            InfoNetkit::Mode(manner.mode.into()),
            InfoNetkit::Policy(manner.policy.into()),
            InfoNetkit::PeerPolicy(manner.peer_policy.into()),
            InfoNetkit::Peer(peer.build()),
        ]))
        .build();
    let doing = format!("add netkit pair {} and {}", near.name, far.name);
    match socket.order(RouteNetlinkMessage::NewLink(message), flags::CREATE | flags::EXCL, doing) {
        Err(error) if error.is(Errno::EOPNOTSUPP) => {
            Err(missing(&format!("interface {}", far.name)))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Manner, Mode, Policy};
    use crate::kernel::attr::Writer;

    #[test]
    fn what_the_kernel_tells_of_a_head() {
        let mut writer = Writer::default();
        for (kind, value) in [(5, 1_u32), (3, 2), (4, 0)] {
            writer.bytes(kind, &value.to_ne_bytes());
        }
        let manner =
            Manner { mode: Mode::L3, policy: Policy::Blackhole, peer_policy: Policy::Forward };
        assert_eq!(Manner::read(writer.as_bytes()), Some(manner));
        assert_eq!(Manner::read(&[]), None);
    }
}
