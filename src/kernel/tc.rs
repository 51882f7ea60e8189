//! Traffic control: queueing disciplines, classes and filters that limit what a link sends
//! (rtnetlink(7), RTM_*QDISC, RTM_*TCLASS, RTM_*TFILTER; linux/pkt_sched.h, linux/pkt_cls.h).

pub mod found;
pub mod removal;
pub mod shape;
pub mod subnets;

use netlink_packet_core::DefaultNla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcHeader, TcMessage};
use nix::errno::Errno;

use super::attr::Writer;
use super::error::Error;
use super::netlink::{RouteSocket, flags};
use shape::Shape;
use subnets::{Key, Match, Subnets};

/// The handle of the discipline that limits, `1:`, as the reference plugin gives it.
pub const LIMITING: TcHandle = TcHandle { major: 1, minor: 0 };
/// The handle of the discipline for what comes in, `ffff:`, which is always that.
pub const INCOMING: TcHandle = TcHandle { major: 0xffff, minor: 0 };
/// The class of htb for what is limited, `1:30` in tc's hexadecimal.
pub const SHAPED: TcHandle = TcHandle { major: 1, minor: 0x30 };
/// The class of htb for what is not, `1:1`.
pub const UNSHAPED: TcHandle = TcHandle { major: 1, minor: 1 };
/// The rate of [`UNSHAPED`], in bytes per second: more than there is.
pub const UNLIMITED: u64 = 100_000_000_000;
/// The priority of the filter that redirects.
pub const REDIRECTING: u16 = 1;

/// `ETH_P_ALL` of linux/if_ether.h.
const EVERY_PROTOCOL: u16 = 3;
/// What [`missing`] is told of a filter that redirects.
pub const REDIRECTION: &str = "u32 and mirred";
/// The index of the loopback device, the same in every namespace.
const LOOPBACK: u32 = 1;
/// Packets in a leaf's queue where the link has none.
const LEAF_QUEUE: u32 = 1000;

/// Kinds of attributes and values of linux/rtnetlink.h, linux/pkt_sched.h, linux/pkt_cls.h and
/// linux/tc_act/tc_mirred.h.
mod wire {
    pub(super) const KIND: u16 = 1;
    pub(super) const OPTIONS: u16 = 2;
    pub(super) const TBF_PARAMETERS: u16 = 1;
    pub(super) const TBF_RATE64: u16 = 4;
    pub(super) const HTB_PARAMETERS: u16 = 1;
    pub(super) const HTB_INIT: u16 = 2;
    pub(super) const HTB_RATE64: u16 = 6;
    pub(super) const HTB_CEIL64: u16 = 7;
    pub(super) const HTB_VERSION: u32 = 3;
    /// By what the rate is divided for a class's quantum; tc's choice.
    pub(super) const HTB_DIVISOR: u32 = 10;
    pub(super) const LINK_LAYER_ETHERNET: u8 = 1;
    pub(super) const U32_CLASS: u16 = 1;
    pub(super) const U32_SELECTOR: u16 = 5;
    pub(super) const U32_ACTIONS: u16 = 7;
    pub(super) const U32_TERMINAL: u8 = 1;
    pub(super) const ACTION_KIND: u16 = 1;
    pub(super) const ACTION_OPTIONS: u16 = 2;
    pub(super) const MIRRED_PARAMETERS: u16 = 2;
    pub(super) const EGRESS_REDIRECT: u32 = 1;
    pub(super) const STOLEN: u32 = 4;
}

/// A message about a link's traffic control. Options are written by hand: the crate knows neither
/// tbf nor htb.
fn message(
    link: u32,
    handle: TcHandle,
    parent: TcHandle,
    info: u32,
    kind: &str,
    options: Option<Writer>,
) -> TcMessage {
    let header = TcHeader {
        index: i32::try_from(link).unwrap_or_default(),
        handle,
        parent,
        info,
        ..TcHeader::default()
    };
    let mut attributes = Vec::new();
    if !kind.is_empty() {
        let mut name = kind.as_bytes().to_vec();
        name.push(0);
        attributes.push(TcAttribute::Other(DefaultNla::new(wire::KIND, name)));
    }
    if let Some(options) = options {
        let options = options.as_bytes().to_vec();
        attributes.push(TcAttribute::Other(DefaultNla::new(wire::OPTIONS, options)));
    }
    TcMessage::from_parts(header, attributes)
}

/// `tcm_info` of a filter.
fn filter_info(priority: u16, protocol: u16) -> u32 {
    u32::from(priority) << 16 | u32::from(protocol.to_be())
}

/// `struct tc_ratespec`, whose 32 bits are topped by a 64-bit attribute where they do not do.
fn rate_spec(rate: u64, link_layer: u8) -> [u8; 12] {
    let [a, b, c, d] = u32::try_from(rate).unwrap_or(u32::MAX).to_ne_bytes();
    [0, link_layer, 0, 0, 0, 0, 0, 0, a, b, c, d]
}

/// Queues limiting what a link sends: everything, or what goes to or comes from some networks.
/// `has_queue` tells whether the link has a transmit queue length of its own. `EEXIST` comes back
/// where [`LIMITING`] is there already.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_limit(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    shape: Shape,
    subnets: Option<(&Subnets, Match)>,
    has_queue: bool,
) -> Result<(), Error> {
    let Some((subnets, side)) = subnets.filter(|(subnets, _)| !subnets.is_empty()) else {
        return queue_tbf(socket, link, name, shape);
    };
    queue_htb(socket, link, name, subnets)?;
    let buffer = shape.depths().buffer;
    queue_class(socket, link, name, SHAPED, (shape.rate, shape.rate.saturating_mul(2), buffer))?;
    queue_class(socket, link, name, UNSHAPED, (UNLIMITED, UNLIMITED, 0))?;
    if !has_queue {
        // A leaf takes its length from the link, and one of nothing drops every packet.
        for class in [SHAPED, UNSHAPED] {
            let mut options = Writer::default();
            options.raw(&LEAF_QUEUE.to_ne_bytes());
            let leaf = message(link, TcHandle::UNSPEC, class, 0, "pfifo", Some(options));
            let request = RouteNetlinkMessage::NewQueueDiscipline(leaf);
            let doing = format!("give a class of {name} a queue");
            socket.queue(request, flags::CREATE | flags::EXCL, doing)?;
        }
    }
    for filter in subnets.filters(side) {
        let mut options = Writer::default();
        options.bytes(wire::U32_SELECTOR, &selector(&filter.keys));
        options.bytes(wire::U32_CLASS, &handle(filter.class).to_ne_bytes());
        let info = filter_info(filter.priority, filter.protocol);
        let one = message(link, TcHandle::UNSPEC, LIMITING, info, "u32", Some(options));
        let request = RouteNetlinkMessage::NewTrafficFilter(one);
        let doing = format!("sort what {name} sends by {}", filter.network);
        socket.queue(request, flags::CREATE | flags::EXCL, doing)?;
    }
    Ok(())
}

fn queue_tbf(socket: &mut RouteSocket, link: u32, name: &str, shape: Shape) -> Result<(), Error> {
    let depths = shape.depths();
    // struct tc_tbf_qopt: rate, peak rate, limit, buffer, mtu.
    let mut parameters = rate_spec(shape.rate, 0).to_vec();
    parameters.extend([0; 12]);
    for number in [depths.limit, depths.buffer, 0] {
        parameters.extend(number.to_ne_bytes());
    }
    let mut options = Writer::default();
    options.bytes(wire::TBF_PARAMETERS, &parameters);
    if u32::try_from(shape.rate).is_err() {
        options.bytes(wire::TBF_RATE64, &shape.rate.to_ne_bytes());
    }
    let one = message(link, LIMITING, TcHandle::ROOT, 0, "tbf", Some(options));
    let request = RouteNetlinkMessage::NewQueueDiscipline(one);
    socket.queue(request, flags::CREATE | flags::EXCL, format!("limit what {name} sends (tbf)"))
}

fn queue_htb(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    subnets: &Subnets,
) -> Result<(), Error> {
    let default = u32::from(subnets.default_class().minor);
    let mut init = Vec::new();
    for number in [wire::HTB_VERSION, wire::HTB_DIVISOR, default, 0, 0] {
        init.extend(number.to_ne_bytes());
    }
    let mut options = Writer::default();
    options.bytes(wire::HTB_INIT, &init);
    let one = message(link, LIMITING, TcHandle::ROOT, 0, "htb", Some(options));
    let request = RouteNetlinkMessage::NewQueueDiscipline(one);
    socket.queue(request, flags::CREATE | flags::EXCL, format!("limit what {name} sends (htb)"))
}

fn queue_class(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    class: TcHandle,
    (rate, ceil, buffer): (u64, u64, u32),
) -> Result<(), Error> {
    // The kernel's own choice, about which it writes to its log.
    let quantum = (rate / u64::from(wire::HTB_DIVISOR)).clamp(1000, 200_000);
    // struct tc_htb_opt: rate, ceil, buffer, cbuffer, quantum, level, prio.
    let mut parameters = rate_spec(rate, wire::LINK_LAYER_ETHERNET).to_vec();
    parameters.extend(rate_spec(ceil, wire::LINK_LAYER_ETHERNET));
    for number in [buffer, buffer, u32::try_from(quantum).unwrap_or(u32::MAX), 0, 0] {
        parameters.extend(number.to_ne_bytes());
    }
    let mut options = Writer::default();
    options.bytes(wire::HTB_PARAMETERS, &parameters);
    for (kind, rate) in [(wire::HTB_RATE64, rate), (wire::HTB_CEIL64, ceil)] {
        if u32::try_from(rate).is_err() {
            options.bytes(kind, &rate.to_ne_bytes());
        }
    }
    let one = message(link, class, LIMITING, 0, "htb", Some(options));
    let request = RouteNetlinkMessage::NewTrafficClass(one);
    let doing = format!("add class {}:{:x} of {name}", class.major, class.minor);
    socket.queue(request, flags::CREATE | flags::EXCL, doing)
}

/// Queues [`INCOMING`], to which filters for what a link receives are attached. `EEXIST` comes back
/// where it, or clsact in its place, is there already.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_incoming(socket: &mut RouteSocket, link: u32, name: &str) -> Result<(), Error> {
    let options = Some(Writer::default());
    let one = message(link, INCOMING, TcHandle::INGRESS, 0, "ingress", options);
    let request = RouteNetlinkMessage::NewQueueDiscipline(one);
    let doing = format!("prepare {name} for redirecting what it receives (ingress)");
    socket.queue(request, flags::CREATE | flags::EXCL, doing)
}

/// Queues redirecting all that a link receives to another one, which then sends it.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_redirect(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    to: u32,
) -> Result<(), Error> {
    let mut parameters = Vec::new();
    // struct tc_mirred: index, capabilities, action, two counts, what is done, and where it goes.
    for number in [0, 0, wire::STOLEN, 0, 0, wire::EGRESS_REDIRECT, to] {
        parameters.extend(number.to_ne_bytes());
    }
    let mut options = Writer::default();
    options.bytes(wire::U32_SELECTOR, &selector(&[Key::default()]));
    options.bytes(wire::U32_CLASS, &handle(UNSHAPED).to_ne_bytes());
    options.nested(wire::U32_ACTIONS, |actions| {
        actions.nested(1, |action| {
            action.string(wire::ACTION_KIND, "mirred");
            action.nested(wire::ACTION_OPTIONS, |options| {
                options.bytes(wire::MIRRED_PARAMETERS, &parameters);
            });
        });
    });
    let info = filter_info(REDIRECTING, EVERY_PROTOCOL);
    let one = message(link, TcHandle::UNSPEC, INCOMING, info, "u32", Some(options));
    let request = RouteNetlinkMessage::NewTrafficFilter(one);
    let doing = format!("redirect what {name} receives (u32, mirred)");
    socket.queue(request, flags::CREATE | flags::EXCL, doing)
}

/// `struct tc_u32_sel` and its keys, of which all must match.
fn selector(keys: &[Key]) -> Vec<u8> {
    let count = u8::try_from(keys.len()).unwrap_or(u8::MAX);
    let mut bytes = vec![wire::U32_TERMINAL, 0, count, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for key in keys {
        bytes.extend(key.mask.to_be_bytes());
        bytes.extend(key.value.to_be_bytes());
        bytes.extend(key.offset.to_ne_bytes());
        bytes.extend([0; 4]);
    }
    bytes
}

fn handle(handle: TcHandle) -> u32 {
    u32::from(handle.major) << 16 | u32::from(handle.minor)
}

/// Queues removing the discipline `kind` with its classes and filters, if it is the one at that
/// place: [`LIMITING`] or [`INCOMING`]. `ENOENT` or `EINVAL` comes back if not.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_remove(
    socket: &mut RouteSocket,
    link: u32,
    name: &str,
    kind: &str,
) -> Result<(), Error> {
    let (handle, parent) = match kind {
        "ingress" => (INCOMING, TcHandle::INGRESS),
        _ => (LIMITING, TcHandle::ROOT),
    };
    let one = message(link, handle, parent, 0, kind, None);
    let doing = format!("remove {kind} from {name}");
    socket.queue(RouteNetlinkMessage::DelQueueDiscipline(one), 0, doing)
}

/// Queues removing the filter of [`queue_redirect`], and what else has its priority.
///
/// # Errors
/// As [`RouteSocket::queue`].
pub fn queue_remove_redirect(socket: &mut RouteSocket, link: u32, name: &str) -> Result<(), Error> {
    let info = filter_info(REDIRECTING, EVERY_PROTOCOL);
    let one = message(link, TcHandle::UNSPEC, INCOMING, info, "u32", None);
    let doing = format!("stop redirecting what {name} receives");
    socket.queue(RouteNetlinkMessage::DelTrafficFilter(one), 0, doing)
}

/// Whether the kernel has a discipline, tbf or htb. It is asked to give one to the loopback device
/// without a single option, which both refuse, but only once they are found (`tbf_init`,
/// net/sched/sch_tbf.c; `htb_init`, net/sched/sch_htb.c).
///
/// # Errors
/// [`Error::Missing`] if not; and a failing socket.
pub fn require(socket: &mut RouteSocket, kind: &str, needed_for: &str) -> Result<(), Error> {
    let one = message(LOOPBACK, LIMITING, TcHandle::ROOT, 0, kind, None);
    let request = RouteNetlinkMessage::NewQueueDiscipline(one);
    let doing = format!("look for {kind}");
    match socket.order(request, flags::CREATE | flags::EXCL, doing) {
        Err(error @ (Error::Socket { .. } | Error::Garbled(_))) => Err(error),
        Err(error) => match missing(error, kind, needed_for) {
            error @ Error::Missing { .. } => Err(error),
            _ => Ok(()),
        },
        Ok(()) => Ok(()),
    }
}

/// Turns the kernel's answer for something that it does not know into a word for what that is:
/// `feature` is a discipline, or [`REDIRECTION`].
pub fn missing(error: Error, feature: &str, needed_for: &str) -> Error {
    let feature = match feature {
        _ if error.is(Errno::EOPNOTSUPP) => "traffic control (CONFIG_NET_SCHED)".to_owned(),
        _ if !error.is(Errno::ENOENT) => return error,
        REDIRECTION => "the filter u32 (CONFIG_NET_CLS_U32, module cls_u32) or the action mirred \
                        (CONFIG_NET_ACT_MIRRED, module act_mirred)"
            .to_owned(),
        kind => {
            let option = kind.to_uppercase();
            format!("the queueing discipline {kind} (CONFIG_NET_SCH_{option}, module sch_{kind})")
        }
    };
    Error::Missing { feature, needed_for: needed_for.to_owned() }
}
