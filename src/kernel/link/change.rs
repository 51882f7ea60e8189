//! The messages that make, change and remove links (rtnetlink(7), RTM_NEWLINK, RTM_SETLINK,
//! RTM_DELLINK).

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::DefaultNla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth,
    LinkAttribute,
};
use nix::errno::Errno;
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkUnspec};
use serde::{Deserialize, Serialize};

use super::wire;
use crate::kernel::attr;
use crate::kernel::error::Error;
use crate::kernel::mac::Mac;
use crate::kernel::netlink::{RouteSocket, flags};
use crate::kernel::vlan;

/// Makes a bridge, up.
///
/// # Errors
/// `EEXIST` when a link of that name is there; [`Error::Missing`] for a kernel without bridges, or
/// without bridge VLAN filtering when that is asked for.
pub fn add_bridge(
    socket: &mut RouteSocket,
    name: &str,
    mtu: Option<u32>,
    vlan_filtering: bool,
) -> Result<(), Error> {
    let mut message = LinkBridge::new(name);
    if let Some(mtu) = mtu {
        message = message.mtu(mtu);
    }
    if vlan_filtering {
        message = message.append_info_data(InfoBridge::VlanFiltering(true));
    }
    let doing = format!("add bridge {name}");
    let request = RouteNetlinkMessage::NewLink(message.build());
    match socket.order(request, flags::CREATE | flags::EXCL, doing) {
        Err(error) if vlan_filtering => Err(vlan::explained(error)),
        Err(error) if error.is(Errno::EOPNOTSUPP) => Err(Error::Missing {
            feature: "bridges (CONFIG_BRIDGE, module bridge)".into(),
            needed_for: format!("bridge {name}"),
        }),
        other => other,
    }
}

/// One end of a veth pair that is to be made.
pub struct VethEnd<'a> {
    /// The link's name.
    pub name: &'a str,
    /// The hardware address; the kernel draws one at random without.
    pub mac: Option<Mac>,
    /// The namespace that gets it; the socket's own without.
    pub namespace: Option<BorrowedFd<'a>>,
    /// Whether it is up at once. The kernel refuses that for the far end (`ENOTCONN`: the pair is not joined
    /// yet).
    pub up: bool,
}

/// One queue in each direction for an end of a veth pair, which is what a pair has in use by default.
/// But when it is not asked for, the kernel sets as many up as there are processors and puts all but
/// one out of use again, for which it waits until no packet can be in flight, once for each end
/// (`veth_init_queues`, drivers/net/veth.c).
fn single_queue<T>(end: LinkMessageBuilder<T>) -> LinkMessageBuilder<T> {
    end.append_extra_attribute(LinkAttribute::NumTxQueues(1))
        .append_extra_attribute(LinkAttribute::NumRxQueues(1))
}

/// Makes a veth pair: the near end in the socket's namespace, enslaved to `master`; the far end where
/// [`VethEnd::namespace`] says.
///
/// # Errors
/// `EEXIST` when either name is taken; [`Error::Missing`] for a kernel without veth.
pub fn add_veth(
    socket: &mut RouteSocket,
    near: &VethEnd<'_>,
    far: &VethEnd<'_>,
    mtu: Option<u32>,
    master: Option<u32>,
) -> Result<(), Error> {
    let mut peer = single_queue(LinkMessageBuilder::<LinkUnspec>::default().name(far.name));
    let mut message = single_queue(
        LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth).name(near.name),
    );
    if near.up {
        message = message.up();
    }
    if far.up {
        peer = peer.up();
    }
    if let Some(mtu) = mtu {
        peer = peer.mtu(mtu);
        message = message.mtu(mtu);
    }
    if let Some(mac) = far.mac {
        peer = peer.address(mac.0.to_vec());
    }
    if let Some(mac) = near.mac {
        message = message.address(mac.0.to_vec());
    }
    if let Some(namespace) = far.namespace {
        peer = peer.setns_by_fd(namespace.as_raw_fd());
    }
    if let Some(master) = master {
        message = message.controller(master);
    }
    let message = message.set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build()))).build();
    let doing = format!("add veth pair {} and {}", near.name, far.name);
    match socket.order(RouteNetlinkMessage::NewLink(message), flags::CREATE | flags::EXCL, doing) {
        Err(error) if error.is(Errno::EOPNOTSUPP) => Err(Error::Missing {
            feature: "veth pairs (CONFIG_VETH, module veth)".into(),
            needed_for: format!("interface {}", far.name),
        }),
        other => other,
    }
}

/// Queues writing the owner on the host end of a pair that was just made, as its alias. Best before it is up:
/// of a link that is, the kernel tells everybody, and goes through all IPv6 routes for it
/// (`rt6_sync_up`, net/ipv6/route.c).
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_owner(socket: &mut RouteSocket, name: &str, owner: &str) -> Result<(), Error> {
    let message = LinkUnspec::new_with_name(name).alias(owner).build();
    socket.queue(RouteNetlinkMessage::SetLink(message), 0, format!("set the alias of {name}"))
}

/// Queues making the host end of a pair a port of a bridge, given by its index and its name.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_join(
    socket: &mut RouteSocket,
    name: &str,
    (bridge, of): (u32, &str),
) -> Result<(), Error> {
    let message = LinkUnspec::new_with_name(name).controller(bridge).build();
    let doing = format!("make {name} a port of {of}");
    socket.queue(RouteNetlinkMessage::SetLink(message), 0, doing)
}

/// Queues the flags of a bridge port that are to be set, if there are any.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_port_flags(
    socket: &mut RouteSocket,
    name: &str,
    hairpin: bool,
    isolated: bool,
) -> Result<(), Error> {
    let mut port = Vec::new();
    if hairpin {
        port.push(InfoBridgePort::HairpinMode(true));
    }
    if isolated {
        port.push(InfoBridgePort::Isolated(true));
    }
    if port.is_empty() {
        return Ok(());
    }
    let message = LinkUnspec::new_with_name(name)
        .set_port_kind(InfoPortKind::Bridge)
        .set_port_data(InfoPortData::BridgePort(port));
    let doing = format!("set the bridge port flags of {name}");
    socket.queue(RouteNetlinkMessage::NewLink(message.build()), 0, doing)
}

/// Queues an ifb device, up: what is redirected to it passes its queueing discipline and goes on
/// from where it was (drivers/net/ifb.c). `queue_length` is in packets.
///
/// # Errors
/// As [`RouteSocket::queue`]; `EOPNOTSUPP` comes back from a kernel without such devices.
pub fn queue_add_ifb(
    socket: &mut RouteSocket,
    name: &str,
    mac: Mac,
    mtu: u32,
    queue_length: u32,
) -> Result<(), Error> {
    let message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Ifb)
        .name(name)
        .address(mac.0.to_vec())
        .mtu(mtu)
        .txqueuelen(queue_length)
        .up()
        .build();
    let doing = format!("add ifb device {name}");
    socket.queue(RouteNetlinkMessage::NewLink(message), flags::CREATE | flags::EXCL, doing)
}

/// Queues bringing a link up.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_up(socket: &mut RouteSocket, name: &str) -> Result<(), Error> {
    let message = LinkUnspec::new_with_name(name).up().build();
    socket.queue(RouteNetlinkMessage::SetLink(message), 0, format!("bring {name} up"))
}

/// Queues bringing a link up with `arp_notify` set: the kernel then announces its IPv4 addresses
/// whenever its hardware address changes. The setting goes along in the message
/// (`inet_set_link_af`, net/ipv4/devinet.c), which is cheaper than its file under /proc/sys.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_up_announcing(socket: &mut RouteSocket, name: &str) -> Result<(), Error> {
    let mut families = attr::Writer::default();
    families.nested(wire::AF_INET, |family| {
        family.nested(wire::INET_CONF, |settings| {
            settings.bytes(wire::ARP_NOTIFY, &1u32.to_ne_bytes());
        });
    });
    let families = DefaultNla::new(wire::AF_SPEC, families.as_bytes().to_vec());
    let message = LinkUnspec::new_with_name(name)
        .up()
        .append_extra_attribute(LinkAttribute::Other(families))
        .build();
    socket.queue(RouteNetlinkMessage::SetLink(message), 0, format!("bring {name} up"))
}

/// Queues taking a link down.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_down(socket: &mut RouteSocket, name: &str) -> Result<(), Error> {
    let message = LinkUnspec::new_with_name(name).down().build();
    socket.queue(RouteNetlinkMessage::SetLink(message), 0, format!("take {name} down"))
}

/// Queues setting a link's hardware address. Setting the one it has already is not idle: it makes
/// a bridge keep it whatever ports come and go, and makes an interface with `arp_notify` announce
/// its IPv4 addresses (`NETDEV_CHANGEADDR`, net/ipv4/devinet.c).
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_mac(socket: &mut RouteSocket, name: &str, mac: Mac) -> Result<(), Error> {
    let message = LinkUnspec::new_with_name(name).address(mac.0.to_vec()).build();
    let doing = format!("set the hardware address of {name} to {mac}");
    socket.queue(RouteNetlinkMessage::SetLink(message), 0, doing)
}

/// Queues promiscuous mode.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_promiscuous(socket: &mut RouteSocket, name: &str) -> Result<(), Error> {
    let message = LinkUnspec::new_with_name(name).promiscuous(true).build();
    let doing = format!("set {name} promiscuous");
    socket.queue(RouteNetlinkMessage::SetLink(message), 0, doing)
}

/// What can be set of a link in one request; what is absent stays as it is.
///
/// As JSON it has the keys of the reference plugin tuning, in its configuration as in its backup
/// files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Attributes {
    /// The hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Promiscuous mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promisc: Option<bool>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Whether every multicast packet is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allmulti: Option<bool>,
    /// The length of the transmit queue, in packets.
    #[serde(rename = "txQLen", skip_serializing_if = "Option::is_none")]
    pub tx_queue_len: Option<u32>,
}

impl Attributes {
    /// Whether nothing is to be set.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |set: bool| if set { "on" } else { "off" };
        let list: Vec<String> = [
            self.mac.map(|mac| format!("hardware address {mac}")),
            self.promisc.map(|set| format!("promiscuous mode {}", on(set))),
            self.mtu.map(|mtu| format!("MTU {mtu}")),
            self.allmulti.map(|set| format!("all multicast {}", on(set))),
            self.tx_queue_len.map(|length| format!("transmit queue length {length}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        out.write_str(&list.join(", "))
    }
}

/// Queues setting several attributes of a link. The kernel sets one after the other, so when it
/// refuses one some of the others may have been set (`do_setlink`, net/core/rtnetlink.c).
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_attributes(
    socket: &mut RouteSocket,
    name: &str,
    attributes: &Attributes,
) -> Result<(), Error> {
    let mut message = LinkUnspec::new_with_name(name);
    if let Some(mac) = attributes.mac {
        message = message.address(mac.0.to_vec());
    }
    if let Some(mtu) = attributes.mtu {
        message = message.mtu(mtu);
    }
    if let Some(length) = attributes.tx_queue_len {
        message = message.txqueuelen(length);
    }
    if let Some(set) = attributes.promisc {
        message = message.promiscuous(set);
    }
    if let Some(set) = attributes.allmulti {
        message = message.allmulticast(set);
    }
    let doing = format!("set {attributes} of {name}");
    socket.queue(RouteNetlinkMessage::SetLink(message.build()), 0, doing)
}

/// Queues removing a link; it is gone when [`RouteSocket::flush`] returns. `ENODEV` comes back for
/// one that is not there.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_remove(socket: &mut RouteSocket, index: u32, name: &str) -> Result<(), Error> {
    let message = LinkUnspec::new_with_index(index).build();
    socket.queue(RouteNetlinkMessage::DelLink(message), 0, format!("remove link {name}"))
}
