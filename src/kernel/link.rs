//! Links: reading them, and making, changing and removing them.

mod change;
pub mod counters;
mod device;
pub mod netkit;
mod together;
mod variety;

use std::os::fd::AsFd;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask};
use nix::errno::Errno;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

pub use change::*;
pub use device::*;
pub use together::{Leaving, remove_as_group, remove_together};
pub use variety::*;

use super::attr::{self, Attribute, Reader};
use super::error::Error;
use super::mac::Mac;
use super::netlink::{RouteSocket, flags};
use super::raw;

/// What is read of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// The interface index.
    pub index: u32,
    /// The name.
    pub name: String,
    /// The kind, such as "bridge" or "veth"; empty for hardware and loopback.
    pub kind: String,
    /// The hardware address; `None` when it is not six bytes long.
    pub mac: Option<Mac>,
    /// Bytes.
    pub mtu: u32,
    /// The index of the bridge or bond it belongs to.
    pub master: Option<u32>,
    /// The index of its other half (`IFLA_LINK`), counted in the peer's namespace.
    pub peer: Option<u32>,
    /// The number of the namespace that the other half is in, when it is not this one
    /// (`IFLA_LINK_NETNSID`); see [`crate::kernel::netns::number`].
    pub peer_namespace: Option<i32>,
    /// Set up by the administrator.
    pub up: bool,
    /// Able to carry packets (`IF_OPER_UP`).
    pub running: bool,
    /// In promiscuous mode by flag or by count.
    pub promiscuous: bool,
    /// In promiscuous mode because the administrator set it so (`IFF_PROMISC`), not because somebody
    /// captures packets.
    pub set_promiscuous: bool,
    /// Takes every multicast packet because the administrator set it so (`IFF_ALLMULTI`).
    pub all_multicast: bool,
    /// The length of the transmit queue, in packets.
    pub tx_queue_len: u32,
    /// The alias, where causeway writes the owner.
    pub alias: String,
    /// Whether a bridge filters VLANs.
    pub vlan_filtering: bool,
    /// The VLAN that a bridge gives each new port; 0 when none.
    pub default_vlan: u16,
    /// A bridge port's hairpin mode.
    pub hairpin: bool,
    /// Whether a bridge port reaches only ports that are not isolated.
    pub isolated: bool,
    /// How a netkit pair behaves, of its head.
    pub netkit: Option<netkit::Manner>,
    /// What it is, of the kinds that [`Variety`] has.
    pub variety: Option<Variety>,
    /// What a bridge port does with packets (`BR_STATE_*`); `None` for other links.
    pub port_state: Option<u8>,
    /// It neither asks for neighbours nor answers (`IFF_NOARP`).
    pub without_arp: bool,
    /// The loopback interface (`IFF_LOOPBACK`).
    pub loopback: bool,
    /// The sysctl `net.ipv6.conf.<name>.accept_ra`; `None` without IPv6.
    pub accept_ra: Option<u32>,
}

/// Kinds of attributes and values of linux/if_link.h, linux/if_bridge.h and linux/if.h.
mod wire {
    pub(super) const RTM_NEWLINK: u16 = 16;
    /// `nlmsghdr` and `ifinfomsg` stand before the attributes.
    pub(super) const ATTRIBUTES: usize = 16 + 16;
    pub(super) const INDEX: usize = 16 + 4;
    pub(super) const FLAGS: usize = 16 + 8;
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const NAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const LINK: u16 = 5;
    pub(super) const MASTER: u16 = 10;
    pub(super) const TX_QUEUE_LEN: u16 = 13;
    pub(super) const OPERSTATE: u16 = 16;
    pub(super) const INFO: u16 = 18;
    pub(super) const ALIAS: u16 = 20;
    pub(super) const AF_SPEC: u16 = 26;
    pub(super) const AF_INET: u16 = 2;
    pub(super) const INET_CONF: u16 = 1;
    /// `IPV4_DEVCONF_ARP_NOTIFY` of linux/ip.h.
    pub(super) const ARP_NOTIFY: u16 = 22;
    pub(super) const PROMISCUITY: u16 = 30;
    pub(super) const LINK_NETNSID: u16 = 37;
    pub(super) const INFO_KIND: u16 = 1;
    pub(super) const INFO_DATA: u16 = 2;
    pub(super) const INFO_PORT_KIND: u16 = 4;
    pub(super) const INFO_PORT_DATA: u16 = 5;
    pub(super) const PORT_STATE: u16 = 1;
    /// `IFLA_BRPORT_MODE` and `IFLA_BRPORT_ISOLATED`.
    pub(super) const PORT_HAIRPIN: u16 = 4;
    pub(super) const PORT_ISOLATED: u16 = 33;
    pub(super) const AF_INET6: u16 = 10;
    pub(super) const INET6_CONF: u16 = 2;
    /// The place of `accept_ra` in the list of settings (`DEVCONF_ACCEPT_RA`, linux/ipv6.h).
    pub(super) const ACCEPT_RA: usize = 3;
    pub(super) const BRIDGE_VLAN_FILTERING: u16 = 7;
    pub(super) const BRIDGE_DEFAULT_PVID: u16 = 39;
    pub(super) const IFF_UP: u32 = 0x1;
    pub(super) const IFF_LOOPBACK: u32 = 0x8;
    pub(super) const IFF_NOARP: u32 = 0x80;
    pub(super) const IFF_PROMISC: u32 = 0x100;
    pub(super) const IFF_ALLMULTI: u32 = 0x200;
    pub(super) const OPER_UP: u8 = 6;
}

/// `BR_STATE_FORWARDING`: a bridge port that carries packets.
pub const FORWARDING: u8 = 3;

impl Link {
    /// Whether it is one end of a pair, of which the other may be in another namespace.
    pub fn is_end_of_pair(&self) -> bool {
        self.kind == "veth" || self.kind == "netkit"
    }

    /// Reads an RTM_NEWLINK message; `None` for any other.
    fn read(kind: u16, message: &[u8]) -> Option<Self> {
        if kind != wire::RTM_NEWLINK {
            return None;
        }
        let flags = word(message.get(wire::FLAGS..)?)?;
        let mut link = Self {
            index: word(message.get(wire::INDEX..)?)?,
            up: flags & wire::IFF_UP != 0,
            loopback: flags & wire::IFF_LOOPBACK != 0,
            without_arp: flags & wire::IFF_NOARP != 0,
            promiscuous: flags & wire::IFF_PROMISC != 0,
            set_promiscuous: flags & wire::IFF_PROMISC != 0,
            all_multicast: flags & wire::IFF_ALLMULTI != 0,
            ..Self::default()
        };
        for Attribute { kind, value, .. } in Reader::new(message.get(wire::ATTRIBUTES..)?) {
            match kind {
                wire::NAME => link.name = attr::text(value)?.to_owned(),
                wire::ADDRESS => link.mac = value.try_into().ok().map(Mac),
                wire::MTU => link.mtu = word(value)?,
                wire::TX_QUEUE_LEN => link.tx_queue_len = word(value)?,
                wire::MASTER => link.master = word(value),
                wire::LINK => link.peer = word(value),
                wire::LINK_NETNSID => link.peer_namespace = word(value).map(u32::cast_signed),
                wire::OPERSTATE => link.running = value == [wire::OPER_UP],
                wire::ALIAS => link.alias = attr::text(value)?.to_owned(),
                wire::PROMISCUITY => link.promiscuous |= word(value)? > 0,
                wire::INFO => link.read_info(value),
                wire::AF_SPEC => link.read_families(value),
                _ => {}
            }
        }
        Some(link)
    }

    fn read_families(&mut self, families: &[u8]) {
        let settings = attr::find(families, wire::AF_INET6)
            .and_then(|family| attr::find(family, wire::INET6_CONF))
            .unwrap_or_default();
        self.accept_ra = settings.get(wire::ACCEPT_RA * 4..).and_then(word);
    }

    fn read_info(&mut self, info: &[u8]) {
        self.kind = attr::find_str(info, wire::INFO_KIND).unwrap_or_default().to_owned();
        let on = |data: &[u8], kind: u16| attr::find(data, kind) == Some(&[1]);
        if attr::find_str(info, wire::INFO_PORT_KIND) == Some("bridge") {
            let port = attr::find(info, wire::INFO_PORT_DATA).unwrap_or_default();
            self.port_state =
                attr::find(port, wire::PORT_STATE).and_then(|state| state.first().copied());
            self.hairpin = on(port, wire::PORT_HAIRPIN);
            self.isolated = on(port, wire::PORT_ISOLATED);
        }
        let data = attr::find(info, wire::INFO_DATA).unwrap_or_default();
        self.variety = Variety::read(&self.kind, data);
        if self.kind == "netkit" {
            self.netkit = netkit::Manner::read(data);
        }
        if self.kind != "bridge" {
            return;
        }
        self.vlan_filtering = on(data, wire::BRIDGE_VLAN_FILTERING);
        self.default_vlan = attr::find(data, wire::BRIDGE_DEFAULT_PVID)
            .and_then(|value| value.try_into().ok())
            .map_or(0, u16::from_ne_bytes);
    }
}

/// The number at the start of `bytes`, in the machine's byte order.
fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_ne_bytes)
}

/// The index of a link by name; `None` when there is none.
///
/// # Errors
/// Any refusal but `ENODEV`.
pub fn index(socket: &RouteSocket, name: &str) -> Result<Option<u32>, Error> {
    raw::interface_index(socket.as_fd(), name).map_err(|errno| Error::Refused {
        doing: format!("find link {name}"),
        errno,
        said: None,
    })
}

/// Finds a link by name; `None` when there is none.
///
/// # Errors
/// Any refusal but `ENODEV`.
pub fn find(socket: &mut RouteSocket, name: &str) -> Result<Option<Link>, Error> {
    get(socket, LinkUnspec::new_with_name(name), name)
}

/// Finds a link by index; `None` when there is none.
///
/// # Errors
/// Any refusal but `ENODEV`.
pub fn find_index(socket: &mut RouteSocket, index: u32) -> Result<Option<Link>, Error> {
    get(socket, LinkUnspec::new_with_index(index), &format!("number {index}"))
}

fn get(
    socket: &mut RouteSocket,
    which: LinkMessageBuilder<LinkUnspec>,
    name: &str,
) -> Result<Option<Link>, Error> {
    let message = which
        .append_extra_attribute(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]))
        .build();
    let request = RouteNetlinkMessage::GetLink(message);
    match socket.ask(request, 0, format!("read link {name}"), &mut read_link) {
        Ok(answers) => Ok(answers.into_iter().next()),
        Err(error) if error.is(Errno::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lists every link of the namespace.
///
/// # Errors
/// Any refusal.
pub fn list(socket: &mut RouteSocket) -> Result<Vec<Link>, Error> {
    list_where(socket, LinkMessageBuilder::<LinkUnspec>::default())
}

/// Lists the ports of a bridge.
///
/// # Errors
/// Any refusal.
pub fn ports(socket: &mut RouteSocket, bridge: u32) -> Result<Vec<Link>, Error> {
    let mut links =
        list_where(socket, LinkMessageBuilder::<LinkUnspec>::default().controller(bridge))?;
    links.retain(|link| link.master == Some(bridge));
    Ok(links)
}

fn list_where(
    socket: &mut RouteSocket,
    which: LinkMessageBuilder<LinkUnspec>,
) -> Result<Vec<Link>, Error> {
    let message = which
        .append_extra_attribute(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]))
        .build();
    let request = RouteNetlinkMessage::GetLink(message);
    socket.ask(request, flags::DUMP, "list the links", &mut read_link)
}

pub(crate) fn read_link(kind: u16, message: &[u8]) -> Result<Option<Link>, Error> {
    Ok(Link::read(kind, message))
}
