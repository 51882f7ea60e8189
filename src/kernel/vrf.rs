//! VRFs: links that give their ports a routing table of their own
//! (Documentation/networking/vrf.rst).

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkAttribute;
use netlink_packet_route::link::LinkExtentMask;
use nix::errno::Errno;
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVrf};

use super::attr;
use super::error::Error;
use super::netlink::{RouteSocket, flags};

/// Kinds of attributes of linux/if_link.h.
mod wire {
    /// `nlmsghdr` and `ifinfomsg` stand before the attributes.
    pub(super) const ATTRIBUTES: usize = 16 + 16;
    pub(super) const INDEX: usize = 16 + 4;
    pub(super) const NAME: u16 = 3;
    pub(super) const INFO: u16 = 18;
    pub(super) const INFO_KIND: u16 = 1;
    pub(super) const INFO_DATA: u16 = 2;
    pub(super) const TABLE: u16 = 1;
}

/// The kind of such a link.
pub const KIND: &str = "vrf";

/// A VRF that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vrf {
    /// The interface index.
    pub index: u32,
    /// The name.
    pub name: String,
    /// The routing table of its ports.
    pub table: u32,
}

impl Vrf {
    /// Reads an RTM_NEWLINK message; `None` for any other, and for other kinds of links.
    fn read(message: &[u8]) -> Option<Self> {
        let attributes = message.get(wire::ATTRIBUTES..)?;
        let info = attr::find(attributes, wire::INFO)?;
        if attr::find_str(info, wire::INFO_KIND) != Some(KIND) {
            return None;
        }
        let table = attr::find(attr::find(info, wire::INFO_DATA)?, wire::TABLE)?;
        let word = |bytes: &[u8]| bytes.first_chunk().copied().map(u32::from_ne_bytes);
        Some(Self {
            index: word(message.get(wire::INDEX..)?)?,
            name: attr::find_str(attributes, wire::NAME)?.to_owned(),
            table: word(table)?,
        })
    }
}

/// Lists the VRFs of a namespace.
///
/// # Errors
/// Any refusal.
pub fn list(socket: &mut RouteSocket) -> Result<Vec<Vrf>, Error> {
    let message = LinkMessageBuilder::<LinkUnspec>::default()
        .append_extra_attribute(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]))
        .build();
    let request = RouteNetlinkMessage::GetLink(message);
    socket.ask(request, flags::DUMP, "list the links", &mut |_, message| Ok(Vrf::read(message)))
}

/// Makes a VRF, up.
///
/// # Errors
/// `EEXIST` when a link of that name is there; [`Error::Missing`] for a kernel without VRFs.
pub fn add(socket: &mut RouteSocket, name: &str, table: u32) -> Result<(), Error> {
    let message = LinkVrf::new(name, table).up().build();
    let doing = format!("add VRF {name} with table {table}");
    let request = RouteNetlinkMessage::NewLink(message);
    match socket.order(request, flags::CREATE | flags::EXCL, doing) {
        Err(error) if error.is(Errno::EOPNOTSUPP) => Err(Error::Missing {
            feature: "VRFs (CONFIG_NET_VRF, module vrf)".into(),
            needed_for: format!("VRF {name}"),
        }),
        other => other,
    }
}
