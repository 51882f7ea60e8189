//! Links that are made by one request and have no other half: on a master (macvlan, ipvlan, 802.1Q)
//! or by themselves (dummy).

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVlan, IpVlanMode, MacVlanMode,
};
use nix::errno::Errno;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use serde::{Deserialize, Serialize};

use super::word;
use crate::kernel::attr;
use crate::kernel::error::Error;
use crate::kernel::mac::Mac;
use crate::kernel::netlink::{RouteSocket, flags};

/// What such a link is, with the parameters of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Variety {
    /// A hardware address of its own on the master (drivers/net/macvlan.c).
    Macvlan {
        /// Whom it may speak to.
        mode: Macvlan,
        /// Broadcast frames that may wait to be copied to every macvlan of the master; the kernel's
        /// choice (1000) without. Kernels before 5.11 know no other.
        #[serde(rename = "broadcastQueue", default, skip_serializing_if = "Option::is_none")]
        broadcast_queue: Option<u32>,
    },
    /// The master's hardware address and other network addresses (drivers/net/ipvlan).
    Ipvlan {
        /// What is between the two. All ipvlans of one master have the mode of the last that was
        /// made.
        mode: Ipvlan,
    },
    /// The master's frames with one VLAN ID (net/8021q).
    Vlan {
        /// The VLAN ID, 1 to 4094.
        id: u16,
    },
    /// Nothing behind it (drivers/net/dummy.c).
    Dummy,
}

/// The modes of a macvlan (`enum macvlan_mode`, linux/if_link.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Macvlan {
    /// Macvlans of one master do not hear each other.
    Private,
    /// They do by way of the switch that the master is connected to.
    Vepa,
    /// They do directly.
    Bridge,
    /// There is only one, with the master's hardware address.
    Passthru,
}

/// The modes of an ipvlan (`enum ipvlan_mode`, linux/if_link.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ipvlan {
    /// Frames are passed on as a switch does.
    L2,
    /// Packets are passed on as a router does.
    L3,
    /// As `L3`, through the master's netfilter hooks.
    L3s,
}

impl Macvlan {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Bridge, Self::Private, Self::Vepa, Self::Passthru];

    /// The mode as the reference plugin and `ip link` call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Vepa => "vepa",
            Self::Bridge => "bridge",
            Self::Passthru => "passthru",
        }
    }

    const fn number(self) -> u32 {
        match self {
            Self::Private => 1,
            Self::Vepa => 2,
            Self::Bridge => 4,
            Self::Passthru => 8,
        }
    }
}

impl Ipvlan {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::L2, Self::L3, Self::L3s];

    /// The mode as the reference plugin and `ip link` call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::L3 => "l3",
            Self::L3s => "l3s",
        }
    }

    const fn number(self) -> u16 {
        match self {
            Self::L2 => 0,
            Self::L3 => 1,
            Self::L3s => 2,
        }
    }
}

impl Variety {
    /// The kernel's name of the kind (`IFLA_INFO_KIND`).
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Macvlan { .. } => MACVLAN,
            Self::Ipvlan { .. } => IPVLAN,
            Self::Vlan { .. } => VLAN,
            Self::Dummy => DUMMY,
        }
    }

    /// What of the kernel makes it, for who builds or loads it.
    const fn feature(&self) -> &'static str {
        match self {
            Self::Macvlan { .. } => "macvlan (CONFIG_MACVLAN, module macvlan)",
            Self::Ipvlan { .. } => "ipvlan (CONFIG_IPVLAN, module ipvlan)",
            Self::Vlan { .. } => "802.1Q VLANs (CONFIG_VLAN_8021Q, module 8021q)",
            Self::Dummy => "dummy interfaces (CONFIG_DUMMY, module dummy)",
        }
    }

    /// Whether a link that was found as `self` is as wanted; what the kernel may choose is not
    /// compared.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (Self::Macvlan { mode, .. }, Self::Macvlan { mode: wanted, broadcast_queue: None }) => {
                mode == wanted
            }
            _ => self == wanted,
        }
    }

    /// Reads `IFLA_INFO_DATA` of a link of `kind`; `None` for other kinds and modes.
    pub(super) fn read(kind: &str, data: &[u8]) -> Option<Self> {
        match kind {
            MACVLAN => {
                let number = attr::find(data, wire::MACVLAN_MODE).and_then(word)?;
                let mode = Macvlan::ALL.into_iter().find(|mode| mode.number() == number)?;
                let broadcast_queue = attr::find(data, wire::MACVLAN_QUEUE).and_then(word);
                Some(Self::Macvlan { mode, broadcast_queue })
            }
            IPVLAN => {
                let number = half(attr::find(data, wire::IPVLAN_MODE)?)?;
                let mode = Ipvlan::ALL.into_iter().find(|mode| mode.number() == number)?;
                Some(Self::Ipvlan { mode })
            }
            VLAN => Some(Self::Vlan { id: half(attr::find(data, wire::VLAN_ID)?)? }),
            DUMMY => Some(Self::Dummy),
            _ => None,
        }
    }

    fn info(&self) -> (InfoKind, Option<InfoData>) {
        match self {
            Self::Macvlan { mode, broadcast_queue } => {
                let mut info = vec![InfoMacVlan::Mode(MacVlanMode::from(mode.number()))];
                info.extend(broadcast_queue.map(InfoMacVlan::BcQueueLen));
                (InfoKind::MacVlan, Some(InfoData::MacVlan(info)))
            }
            Self::Ipvlan { mode } => {
                let info = vec![InfoIpVlan::Mode(IpVlanMode::from(mode.number()))];
                (InfoKind::IpVlan, Some(InfoData::IpVlan(info)))
            }
            Self::Vlan { id } => (InfoKind::Vlan, Some(InfoData::Vlan(vec![InfoVlan::Id(*id)]))),
            Self::Dummy => (InfoKind::Dummy, None),
        }
    }
}

/// As in "macvlan in mode bridge" or "VLAN 100".
impl fmt::Display for Variety {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Macvlan { mode, broadcast_queue } => {
                write!(out, "macvlan in mode {}", mode.as_str())?;
                match broadcast_queue {
                    Some(length) => write!(out, " with a broadcast queue of {length}"),
                    None => Ok(()),
                }
            }
            Self::Ipvlan { mode } => write!(out, "ipvlan in mode {}", mode.as_str()),
            Self::Vlan { id } => write!(out, "VLAN {id}"),
            Self::Dummy => out.write_str(DUMMY),
        }
    }
}

const MACVLAN: &str = "macvlan";
const IPVLAN: &str = "ipvlan";
const VLAN: &str = "vlan";
const DUMMY: &str = "dummy";

/// Kinds of attributes of linux/if_link.h.
mod wire {
    pub(super) const MACVLAN_MODE: u16 = 1;
    pub(super) const MACVLAN_QUEUE: u16 = 7;
    pub(super) const IPVLAN_MODE: u16 = 1;
    pub(super) const VLAN_ID: u16 = 1;
}

fn half(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().copied().map(u16::from_ne_bytes)
}

/// A link that is to be made.
#[derive(Debug)]
pub struct NewLink<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is.
    pub variety: &'a Variety,
    /// The index of its master, in the socket's namespace.
    pub master: Option<u32>,
    /// Bytes; the kernel's choice, mostly the master's, without.
    pub mtu: Option<u32>,
    /// The hardware address; without, the master's, or of a macvlan or dummy one at random.
    pub mac: Option<Mac>,
    /// The namespace that gets it; the socket's own without.
    pub namespace: Option<BorrowedFd<'a>>,
}

/// Makes a link, down, in one request.
///
/// # Errors
/// `EEXIST` when the name is taken, in kernels before 6.14 also by a link of the socket's namespace
/// (`rtnl_newlink`, net/core/rtnetlink.c), or when the master has that VLAN; [`Error::Missing`] for
/// a kernel without the kind.
pub fn add(socket: &mut RouteSocket, link: &NewLink<'_>) -> Result<(), Error> {
    let (kind, data) = link.variety.info();
    let mut message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind).name(link.name);
    if let Some(data) = data {
        message = message.set_info_data(data);
    }
    if let Some(master) = link.master {
        message = message.link(master);
    }
    if let Some(mtu) = link.mtu {
        message = message.mtu(mtu);
    }
    if let Some(mac) = link.mac {
        message = message.address(mac.0.to_vec());
    }
    if let Some(namespace) = link.namespace {
        message = message.setns_by_fd(namespace.as_raw_fd());
    }
    let doing = format!("add {} ({})", link.name, link.variety);
    let request = RouteNetlinkMessage::NewLink(message.build());
    match socket.order(request, flags::CREATE | flags::EXCL, doing) {
        Err(error) if lacks_kind(&error) => Err(Error::Missing {
            feature: link.variety.feature().into(),
            needed_for: format!("interface {}", link.name),
        }),
        other => other,
    }
}

/// Whether the kernel does not know the kind. It gives the same errno for a master that cannot carry
/// VLANs, and then another text; old kernels give none for either.
fn lacks_kind(error: &Error) -> bool {
    matches!(
        error,
        Error::Refused { errno: Errno::EOPNOTSUPP, said, .. }
            if said.as_deref().is_none_or(|said| said == "Unknown device type")
    )
}

/// Queues giving a link, which must be down, another name.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_rename(
    socket: &mut RouteSocket,
    index: u32,
    from: &str,
    to: &str,
) -> Result<(), Error> {
    let message = LinkUnspec::new_with_index(index).name(to.to_owned()).build();
    socket.queue(RouteNetlinkMessage::SetLink(message), 0, format!("rename link {from} to {to}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kernel::attr::Writer;

    fn data(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::default();
        for (kind, value) in attributes {
            writer.bytes(*kind, value);
        }
        writer.as_bytes().to_vec()
    }

    #[test]
    fn what_the_kernel_tells_is_read() {
        let macvlan = data(&[(1, &8u32.to_ne_bytes()), (7, &2000u32.to_ne_bytes())]);
        let found = Variety::read("macvlan", &macvlan).unwrap();
        assert_eq!(
            found,
            Variety::Macvlan { mode: Macvlan::Passthru, broadcast_queue: Some(2000) }
        );
        assert!(
            found.satisfies(&Variety::Macvlan { mode: Macvlan::Passthru, broadcast_queue: None })
        );
        assert!(
            !found.satisfies(&Variety::Macvlan {
                mode: Macvlan::Passthru,
                broadcast_queue: Some(1000)
            })
        );
        let ipvlan = data(&[(1, &2u16.to_ne_bytes())]);
        let l3s = Variety::Ipvlan { mode: Ipvlan::L3s };
        assert_eq!(Variety::read("ipvlan", &ipvlan), Some(l3s));
        assert_eq!(Variety::read("vlan", &ipvlan), Some(Variety::Vlan { id: 2 }));
        assert_eq!(Variety::read("dummy", &[]), Some(Variety::Dummy));
        assert_eq!(Variety::read("veth", &[]), None);
        assert_eq!(Variety::read("macvlan", &[]), None);
    }

    #[test]
    fn a_record_has_the_kind_and_its_parameters() {
        let text = r#"{"type":"macvlan","mode":"passthru","broadcastQueue":5}"#;
        let variety: Variety = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&variety).unwrap(), text);
        let text = r#"{"type":"vlan","id":100}"#;
        let variety: Variety = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&variety).unwrap(), text);
    }
}
