//! Reading disciplines, classes and filters back.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::TcHandle;
use nix::errno::Errno;

use super::subnets::Key;
use super::{INCOMING, LIMITING, message, wire};
use crate::kernel::attr::{self, Reader};
use crate::kernel::error::Error;
use crate::kernel::netlink::{RouteSocket, flags};

/// A queueing discipline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discipline {
    /// Such as "tbf".
    pub kind: String,
    /// Nothing for one that the kernel chose itself.
    pub handle: TcHandle,
    /// What limits, of a tbf.
    pub limits: Option<Limits>,
    /// The minor number of the class for what no filter is about, of an htb.
    pub default_class: Option<u32>,
}

/// What a tbf, or a class of htb, is limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes per second.
    pub rate: u64,
    /// How long the burst takes, in ticks.
    pub buffer: u32,
    /// Bytes that may wait; of a tbf.
    pub limit: Option<u32>,
}

/// A filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Such as "u32"; of others no more is read than priority and protocol.
    pub kind: String,
    /// The first that matches wins; from the lowest.
    pub priority: u16,
    /// The EtherType.
    pub protocol: u16,
    /// The class, if it gives one.
    pub class: Option<u32>,
    /// All must match.
    pub keys: Vec<Key>,
    /// The links that it redirects to; 0 is one that is gone.
    pub redirects: Vec<u32>,
}

/// `nlmsghdr` and `tcmsg` stand before the attributes.
const HEADER: usize = 16;
const ATTRIBUTES: usize = HEADER + 20;
const RTM_NEWQDISC: u16 = 36;
const RTM_NEWTCLASS: u16 = 40;
const RTM_NEWTFILTER: u16 = 44;

/// The discipline of what a link sends.
///
/// # Errors
/// Any refusal.
pub fn root(socket: &mut RouteSocket, link: u32) -> Result<Option<Discipline>, Error> {
    discipline(socket, link, TcHandle::ROOT)
}

/// The discipline of what a link receives: ingress, clsact or none.
///
/// # Errors
/// Any refusal.
pub fn incoming(socket: &mut RouteSocket, link: u32) -> Result<Option<Discipline>, Error> {
    discipline(socket, link, TcHandle::INGRESS)
}

/// One at a place. Listing them all would go through every link of the namespace.
fn discipline(
    socket: &mut RouteSocket,
    link: u32,
    place: TcHandle,
) -> Result<Option<Discipline>, Error> {
    let request = message(link, TcHandle::UNSPEC, place, 0, "", None);
    let request = RouteNetlinkMessage::GetQueueDiscipline(request);
    let mut read = |kind: u16, message: &[u8]| Ok(read_discipline(kind, message));
    let doing = format!("read the queueing discipline of link number {link}");
    // The answer is a notification, which those that listen get as well (`qdisc_get_notify`,
    // net/sched/sch_api.c). Of one that the kernel passes over it says nothing, so it is asked to
    // acknowledge, too.
    match socket.ask(request, flags::ACK | flags::ECHO, doing, &mut read) {
        Ok(found) => Ok(found.into_iter().next()),
        Err(error) if [Errno::ENOENT, Errno::ENODEV].iter().any(|errno| error.is(*errno)) => {
            Ok(None)
        }
        // Without traffic control there is none.
        Err(error) if error.is(Errno::EOPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The classes of [`LIMITING`], if it is an htb, by the minor numbers of their handles.
///
/// # Errors
/// Any refusal.
pub fn classes(socket: &mut RouteSocket, link: u32) -> Result<Vec<(u32, Limits)>, Error> {
    let request = message(link, TcHandle::UNSPEC, LIMITING, 0, "", None);
    let request = RouteNetlinkMessage::GetTrafficClass(request);
    let mut read = |kind: u16, message: &[u8]| Ok(read_class(kind, message));
    socket.ask(request, flags::DUMP, format!("list the classes of link number {link}"), &mut read)
}

/// The filters that what a link sends goes through ([`LIMITING`]).
///
/// # Errors
/// Any refusal.
pub fn sorting(socket: &mut RouteSocket, link: u32) -> Result<Vec<Filter>, Error> {
    filters(socket, link, LIMITING)
}

/// The filters that what a link receives goes through ([`INCOMING`]).
///
/// # Errors
/// Any refusal.
pub fn redirecting(socket: &mut RouteSocket, link: u32) -> Result<Vec<Filter>, Error> {
    filters(socket, link, INCOMING)
}

fn filters(socket: &mut RouteSocket, link: u32, parent: TcHandle) -> Result<Vec<Filter>, Error> {
    let request = message(link, TcHandle::UNSPEC, parent, 0, "", None);
    let request = RouteNetlinkMessage::GetTrafficFilter(request);
    let mut read = |kind: u16, message: &[u8]| Ok(read_filter(kind, message));
    socket.ask(request, flags::DUMP, format!("list the filters of link number {link}"), &mut read)
}

fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_ne_bytes)
}

fn long(attributes: &[u8], kind: u16) -> Option<u64> {
    attr::find(attributes, kind)?.try_into().ok().map(u64::from_ne_bytes)
}

/// The rate of a `struct tc_ratespec`.
fn rate(spec: &[u8]) -> Option<u64> {
    word(spec.get(8..)?).map(u64::from)
}

pub(crate) fn read_discipline(kind: u16, message: &[u8]) -> Option<Discipline> {
    if kind != RTM_NEWQDISC {
        return None;
    }
    let attributes = message.get(ATTRIBUTES..)?;
    let name = attr::find_str(attributes, wire::KIND)?;
    let options = attr::find(attributes, wire::OPTIONS).unwrap_or_default();
    let mut found = Discipline {
        kind: name.to_owned(),
        handle: word(message.get(HEADER + 8..)?)?.into(),
        limits: None,
        default_class: None,
    };
    match name {
        "tbf" => {
            let parameters = attr::find(options, wire::TBF_PARAMETERS)?;
            found.limits = Some(Limits {
                rate: long(options, wire::TBF_RATE64).or_else(|| rate(parameters))?,
                limit: word(parameters.get(24..)?),
                buffer: word(parameters.get(28..)?)?,
            });
        }
        "htb" => {
            found.default_class =
                attr::find(options, wire::HTB_INIT).and_then(|init| word(init.get(8..)?));
        }
        _ => {}
    }
    Some(found)
}

pub(crate) fn read_class(kind: u16, message: &[u8]) -> Option<(u32, Limits)> {
    let attributes = message.get(ATTRIBUTES..)?;
    if kind != RTM_NEWTCLASS || attr::find_str(attributes, wire::KIND) != Some("htb") {
        return None;
    }
    let handle: TcHandle = word(message.get(HEADER + 8..)?)?.into();
    let options = attr::find(attributes, wire::OPTIONS)?;
    let parameters = attr::find(options, wire::HTB_PARAMETERS)?;
    let limits = Limits {
        rate: long(options, wire::HTB_RATE64).or_else(|| rate(parameters))?,
        buffer: word(parameters.get(24..)?)?,
        limit: None,
    };
    Some((u32::from(handle.minor), limits))
}

pub(crate) fn read_filter(kind: u16, message: &[u8]) -> Option<Filter> {
    if kind != RTM_NEWTFILTER {
        return None;
    }
    let attributes = message.get(ATTRIBUTES..)?;
    let info = word(message.get(HEADER + 16..)?)?;
    let mut filter = Filter {
        kind: attr::find_str(attributes, wire::KIND)?.to_owned(),
        priority: (info >> 16) as u16,
        protocol: u16::from_be(info as u16),
        class: None,
        keys: Vec::new(),
        redirects: Vec::new(),
    };
    if filter.kind != "u32" {
        return Some(filter);
    }
    let options = attr::find(attributes, wire::OPTIONS)?;
    // The classifier itself and its hash tables are listed as well, without one.
    let selector = attr::find(options, wire::U32_SELECTOR)?;
    let keys = selector.get(16..)?.chunks_exact(16).filter_map(|key| {
        let network = |at: usize| key.get(at..)?.first_chunk().copied().map(u32::from_be_bytes);
        Some(Key { mask: network(0)?, value: network(4)?, offset: word(key.get(8..)?)? })
    });
    let actions = attr::find(options, wire::U32_ACTIONS).unwrap_or_default();
    filter.class = attr::find(options, wire::U32_CLASS).and_then(word);
    filter.keys = keys.collect();
    filter.redirects = Reader::new(actions).filter_map(|one| redirect(one.value)).collect();
    Some(filter)
}

/// Where an action sends packets.
fn redirect(action: &[u8]) -> Option<u32> {
    if attr::find_str(action, wire::ACTION_KIND) != Some("mirred") {
        return None;
    }
    let options = attr::find(action, wire::ACTION_OPTIONS)?;
    let parameters = attr::find(options, wire::MIRRED_PARAMETERS)?;
    let is_redirect = word(parameters.get(20..)?)? == wire::EGRESS_REDIRECT;
    word(parameters.get(24..)?).filter(|_| is_redirect)
}
