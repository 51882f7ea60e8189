//! Protection against forged IP addresses: a guarded link may send only what says that it comes from
//! its own ones, and may tell neighbours of no others.
//!
//! ```text
//! table bridge causeway_addrspoof {
//!     set guarded { type ifname; elements = { "veth1a2b3c" comment "net/id/eth0" } }
//!     set dhcp { type ifname }
//!     set ipv4 { type ifname . ipv4_addr; elements = { "veth1a2b3c" . 10.88.0.5 … } }
//!     set ipv6 { type ifname . ipv6_addr; elements = { "veth1a2b3c" . fe80::42:aff:fe58:5 … } }
//!     set targets { typeof iifname . @th,64,128; elements = { … } }
//!     chain prerouting {
//!         type filter hook prerouting priority -300; policy accept;
//!         iifname != @guarded accept
//!         iifname . ip saddr @ipv4 accept
//!         ip6 hoplimit 255 icmpv6 type nd-router-advert drop
//!         ip6 hoplimit 255 icmpv6 type nd-redirect drop
//!         ip6 hoplimit 255 icmpv6 type nd-neighbor-advert jump about
//!         iifname . ip6 saddr @ipv6 accept
//!         arp … iifname . arp saddr ip @ipv4 accept
//!         …                                      what is sent before there is an address
//!         drop
//!     }
//!     chain about {
//!         iifname . @th,64,128 != @targets drop
//!     }
//! }
//! ```
//!
//! The set of targets and the chain for them are there for nft's sake: releases before 1.0.8 cannot read
//! `icmpv6 taddr` and later ones print it where they see the type in the same chain, so that rules that
//! one has saved another could not load.
//!
//! Ports of a bridge are looked at in family bridge, where ARP and what pods send to each other pass;
//! other links in family inet. What is neither IPv4, IPv6 nor ARP is dropped, too: it could carry
//! anything. A single VLAN tag is off by then, and what was in it is looked at.

use std::net::IpAddr;

use super::difference::Difference;
use super::nft::expr::{Compare, Expr, Header, Meta, Register, Verdict};
use super::nft::{
    Base, Chain, Change, Element, Error, Family, Field, Hook, Key, Rule, Set, SetName, Socket,
    Table, comment,
};

/// The table, in families bridge and inet.
pub const TABLE: &str = "causeway_addrspoof";
const GUARDED: &str = "guarded";
const DHCP: &str = "dhcp";
const IPV4: &str = "ipv4";
const IPV6: &str = "ipv6";
const TARGETS: &str = "targets";
const SETS: [&str; 5] = [GUARDED, DHCP, IPV4, IPV6, TARGETS];
/// The chain for messages that are about an address.
const ABOUT: &str = "about";
const FAMILIES: [Family; 2] = [Family::Bridge, Family::Inet];
/// Before everything else on a bridge (`NF_BR_PRI_NAT_DST_BRIDGED`); before connections are tracked
/// elsewhere (`NF_IP_PRI_RAW`).
const PRIORITY: i32 = -300;
/// Bytes of an interface name in a register (`IFNAMSIZ`).
const NAME: usize = 16;

/// A link with the addresses that it may send from.
#[derive(Debug, Clone, Copy)]
pub struct Guarded<'a> {
    /// The host link's name.
    pub link: &'a str,
    /// Whether it is a port of a bridge.
    pub bridged: bool,
    /// The addresses.
    pub addresses: &'a [IpAddr],
    /// Whether it may ask DHCP servers for an IPv4 address.
    pub dhcp: bool,
}

/// An element of one of the sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The set.
    pub set: SetName,
    /// The key, which begins with the link's name.
    pub key: Key,
    /// The owner as [`comment`] wrote it; empty when somebody else made the entry.
    pub owner: String,
}

impl Entry {
    /// The host link's name.
    pub fn link(&self) -> &str {
        let name = self.key.as_bytes().get(..NAME).and_then(super::attr::text);
        name.unwrap_or_default()
    }

    /// The address that the link may send from; `None` if the entry is about something else.
    pub fn address(&self) -> Option<IpAddr> {
        let address = self.key.as_bytes().get(NAME..)?;
        match &*self.set.set {
            IPV4 => Some(IpAddr::from(*address.first_chunk::<4>()?)),
            IPV6 => Some(IpAddr::from(*address.first_chunk::<16>()?)),
            _ => None,
        }
    }
}

/// Puts into `change` that what comes in on a link passes only when sent from its own addresses. What
/// a former link of that name left of the same elements is taken over.
pub fn add(change: &mut Change, guarded: &Guarded<'_>, owner: &str) {
    let family = guarded.family();
    change.needs(set_name(family, GUARDED), move || base(family));
    let comment = comment(owner);
    for (set, key) in guarded.places() {
        change.add(Element { set, key, value: None, comment: Some(comment.clone()) });
    }
}

/// Puts into `change` that a link is no longer guarded, as far as the entries are `owner`'s.
pub fn remove(change: &mut Change, guarded: &Guarded<'_>, owner: &str) {
    let comment = comment(owner);
    for (set, key) in guarded.places() {
        change.remove_of(set, key, comment.clone());
    }
}

/// Puts into `change` that an entry is gone, if it is still the same owner's.
pub fn remove_entry(change: &mut Change, entry: &Entry) {
    change.remove_of(entry.set.clone(), entry.key.clone(), entry.owner.clone());
}

/// What is missing for a link to be guarded for `owner`, in words; empty when nothing is.
///
/// # Errors
/// [`Error::Refused`], [`Error::Socket`], [`Error::Unsettled`], [`Error::Unsupported`].
pub fn missing(
    socket: &mut Socket,
    guarded: &Guarded<'_>,
    owner: &str,
) -> Result<Vec<Difference>, Error> {
    let (comment, link) = (comment(owner), guarded.link);
    let mut missing = socket.missing_of(&base(guarded.family()))?;
    let places = guarded.places();
    let keys: Vec<_> = places.iter().map(|(set, key)| (set, key)).collect();
    for ((set, key), found) in places.iter().zip(socket.elements(&keys)?) {
        let entry = Entry { set: set.clone(), key: key.clone(), owner: String::new() };
        let what = entry.address().map(|one| format!(" with {one}")).unwrap_or_default();
        match found {
            None => missing.push(format!("{set} lacks {link}{what}").into()),
            Some(found) if found.comment.as_ref() != Some(&comment) => missing.push(
                Difference::taken(format_args!("{link}{what} in {set}"), found.comment.as_deref()),
            ),
            Some(_) => {}
        }
    }
    Ok(missing)
}

/// Every element of this host, for GC and listing.
///
/// # Errors
/// As [`missing`].
pub fn entries(socket: &mut Socket) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for family in FAMILIES {
        for set in SETS.map(|set| set_name(family, set)) {
            let found = socket.set_elements(&set)?;
            // Every guarded link is in the first.
            if found.is_empty() && *set.set == *GUARDED {
                break;
            }
            entries.extend(found.into_iter().map(|element| Entry {
                set: set.clone(),
                key: element.key,
                owner: element.comment.unwrap_or_default(),
            }));
        }
    }
    Ok(entries)
}

impl Guarded<'_> {
    fn family(&self) -> Family {
        if self.bridged { Family::Bridge } else { Family::Inet }
    }

    /// The elements.
    fn places(&self) -> Vec<(SetName, Key)> {
        let set = |set| set_name(self.family(), set);
        let key = || Key::interface(self.link);
        let mut places = vec![(set(GUARDED), key())];
        if self.dhcp {
            places.push((set(DHCP), key()));
        }
        for address in self.addresses {
            let sets = if address.is_ipv4() { &[IPV4][..] } else { &[IPV6, TARGETS] };
            places.extend(sets.iter().map(|name| (set(name), key().and_address(*address))));
        }
        places
    }
}

fn set_name(family: Family, set: &'static str) -> SetName {
    SetName { family, table: TABLE.into(), set: set.into() }
}

fn base(family: Family) -> Base {
    let set = |name: &'static str, key: &'static [Field], about: &'static str| Set {
        name: name.into(),
        key,
        to: None,
        comment: Some(about.into()),
    };
    Base {
        table: Table {
            family,
            name: TABLE.into(),
            comment: Some("causeway: links that may send only from their own addresses".into()),
        },
        sets: vec![
            set(GUARDED, &[Field::InterfaceName], "links that are looked at"),
            set(DHCP, &[Field::InterfaceName], "links that may ask for an address"),
            set(
                IPV4,
                &[Field::InterfaceName, Field::Ipv4Address],
                "link and an address it may send from",
            ),
            set(
                IPV6,
                &[Field::InterfaceName, Field::Ipv6Address],
                "link and an address it may send from",
            ),
            set(
                TARGETS,
                &[Field::InterfaceName, Field::NeighbourTarget],
                "link and an address it may tell neighbours of",
            ),
        ],
        chains: vec![
            Chain {
                name: "prerouting".into(),
                hook: Some(Hook {
                    kind: "filter".into(),
                    point: Hook::PREROUTING,
                    priority: PRIORITY,
                }),
                comment: None,
                rules: rules(family).into_iter().map(Rule::new).collect(),
            },
            Chain {
                name: ABOUT.into(),
                hook: None,
                comment: Some("messages about an address of a neighbour".into()),
                rules: vec![Rule::new([
                    incoming(),
                    Bytes(Header::Transport, 8, 16).load(Register::after(NAME)),
                    look_up(TARGETS, true),
                    Expr::Verdict(Verdict::Drop),
                ])],
            },
        ],
    }
}

/// `IPPROTO_UDP`, `IPPROTO_ICMPV6`.
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// Types of ICMPv6 (RFC 4861, RFC 3810).
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const ROUTER_ADVERTISEMENT: u8 = 134;
const REDIRECT: u8 = 137;
const LISTENER_REPORT: u8 = 143;

fn rules(family: Family) -> Vec<Vec<Expr>> {
    let is = |ip6| of(family, ip6);
    let mut rules = vec![
        vec![incoming(), look_up(GUARDED, true), Expr::Verdict(Verdict::Accept)],
        [is(false), from_link(Bytes(Header::Network, 12, 4), IPV4), accept()].concat(),
        [neighbourly(family, ROUTER_ADVERTISEMENT), drop()].concat(),
        [neighbourly(family, REDIRECT), drop()].concat(),
        [neighbourly(family, NEIGHBOUR_ADVERTISEMENT), about()].concat(),
        [is(true), from_link(Bytes(Header::Network, 8, 16), IPV6), accept()].concat(),
    ];
    if family == Family::Bridge {
        rules.extend(arp());
    }
    rules.extend(before_an_address(family));
    rules.push(drop());
    rules
}

/// ARP from one's own address; and from none, which asks whether that is taken (RFC 5227). Only as it is
/// for IPv4 over Ethernet (RFC 826): another layout would have its addresses elsewhere.
fn arp() -> [Vec<Expr>; 2] {
    let is = || {
        let begin = Bytes(Header::Network, 0, 4).are([0, 1, 0x08, 0x00]);
        [Bytes(Header::Link, 12, 2).are([0x08, 0x06]), begin].concat()
    };
    let lengths = Bytes(Header::Network, 4, 2).are([6, 4]);
    let lengths_and_request = Bytes(Header::Network, 4, 4).are([6, 4, 0, 1]);
    let sender = Bytes(Header::Network, 14, 4);
    [
        [is(), lengths, from_link(sender, IPV4), accept()].concat(),
        [
            is(),
            lengths_and_request,
            sender.are([0; 4]),
            from_link(Bytes(Header::Network, 24, 4), IPV4),
            accept(),
        ]
        .concat(),
    ]
}

/// What is sent from no address: looking whether one's own is taken (RFC 4862), joining the groups for
/// that (RFC 3810), and asking DHCP for one (RFC 2131).
fn before_an_address(family: Family) -> [Vec<Expr>; 4] {
    let nobody6 = || [of(family, true), Bytes(Header::Network, 8, 16).are([0; 16])].concat();
    let ports = [68u16.to_be_bytes(), 67u16.to_be_bytes()].concat();
    [
        [nobody6(), icmpv6(NEIGHBOUR_SOLICITATION), about()].concat(),
        [nobody6(), icmpv6(NEIGHBOUR_SOLICITATION), accept()].concat(),
        [nobody6(), icmpv6(LISTENER_REPORT), accept()].concat(),
        [
            of(family, false),
            Bytes(Header::Network, 12, 4).are([0; 4]),
            known(Meta::TransportProtocol, [UDP]),
            Bytes(Header::Transport, 0, 4).are(ports),
            vec![incoming(), look_up(DHCP, false)],
            accept(),
        ]
        .concat(),
    ]
}

/// The rule goes on only for packets of IPv6, or of IPv4: by the EtherType on a bridge, else by the
/// family. nft takes it for granted where an address follows.
fn of(family: Family, ip6: bool) -> Vec<Expr> {
    match (family, ip6) {
        (Family::Bridge, false) => known(Meta::Protocol, [0x08, 0x00]),
        (Family::Bridge, true) => known(Meta::Protocol, [0x86, 0xdd]),
        (_, false) => known(Meta::NetworkProtocol, [2]),
        (_, true) => known(Meta::NetworkProtocol, [10]),
    }
}

/// Bytes of a packet: the header, an offset from its begin, and how many.
#[derive(Clone, Copy)]
struct Bytes(Header, u32, u32);

impl Bytes {
    fn load(self, to: Register) -> Expr {
        let Self(header, offset, length) = self;
        Expr::Payload { header, offset, length, to }
    }

    /// The rule goes on only if they are these.
    fn are(self, with: impl Into<Vec<u8>>) -> Vec<Expr> {
        vec![self.load(Register::FIRST), equal(with)]
    }
}

fn equal(with: impl Into<Vec<u8>>) -> Expr {
    Expr::Compare { from: Register::FIRST, how: Compare::Equal, with: with.into() }
}

fn known(key: Meta, value: impl Into<Vec<u8>>) -> Vec<Expr> {
    vec![Expr::Meta { key, to: Register::FIRST }, equal(value)]
}

/// The rule goes on only for this message of neighbour discovery. Nobody heeds one with another hop limit
/// (RFC 4861, section 6.1 and 7.1). To say so has nft, where it loads what it saved, ask for IPv6 as we
/// do: without, it asks for the EtherType in the frame, which is another where there was a VLAN tag.
fn neighbourly(family: Family, kind: u8) -> Vec<Expr> {
    [of(family, true), Bytes(Header::Network, 7, 1).are([255]), icmpv6(kind)].concat()
}

fn icmpv6(kind: u8) -> Vec<Expr> {
    [known(Meta::TransportProtocol, [ICMPV6]), Bytes(Header::Transport, 0, 1).are([kind])].concat()
}

fn incoming() -> Expr {
    Expr::Meta { key: Meta::IncomingName, to: Register::FIRST }
}

fn look_up(set: &'static str, absent: bool) -> Expr {
    Expr::Lookup { from: Register::FIRST, set: set.into(), absent, to: None }
}

/// The rule goes on only if the address is one that the link may send from.
fn from_link(address: Bytes, set: &'static str) -> Vec<Expr> {
    vec![incoming(), address.load(Register::after(NAME)), look_up(set, false)]
}

/// Drops the packet if what it is about is no address of the link's.
fn about() -> Vec<Expr> {
    vec![Expr::Verdict(Verdict::Jump(ABOUT.into()))]
}

fn accept() -> Vec<Expr> {
    vec![Expr::Verdict(Verdict::Accept)]
}

fn drop() -> Vec<Expr> {
    vec![Expr::Verdict(Verdict::Drop)]
}
