//! The firewall between networks, for packets that this host forwards.
//!
//! ```text
//! table inet causeway_firewall {
//!     set pods-ipv4 { type ipv4_addr; elements = { 10.88.0.5 comment "net/id/eth0" } }
//!     set pods-ipv6 { type ipv6_addr; … }
//!     set bridges { type ifname; elements = { "br0" } }
//!     set same { type ifname . ifname; elements = { "br0" . "br0" } }
//!     set isolated { type ifname . ifname; }
//!     chain admin { }
//!     chain forward {
//!         type filter hook forward priority filter; policy accept;
//!         iifname . oifname @isolated drop
//!         iifname @bridges oifname @bridges iifname . oifname != @same drop
//!         jump admin
//!         ip daddr @pods-ipv4 ct state established,related accept
//!         ip saddr @pods-ipv4 accept
//!         (and the same for IPv6)
//!     }
//! }
//! ```
//!
//! Between two bridges under a policy nothing passes. `same` holds each of them twice, since a rule
//! cannot compare two names with each other: with br_netfilter, what a bridge carries from port to
//! port comes through here too, with the bridge as both. In `isolated` that is dropped as well.
//!
//! The chain `admin` is the operator's: it is made empty, and never touched again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::difference::Difference;
use super::nft::expr::{Compare, Connection, Expr, Meta, Register, Verdict};
use super::nft::{
    Base, Chain, Change, Element, Error, Family, Field, Hook, Key, Name, Rule, Set, SetName,
    Socket, Table, comment, phrase,
};

/// The table, in family inet.
pub const TABLE: &str = "causeway_firewall";
/// The operator's chain.
pub const ADMIN: &str = "admin";
/// nft's `filter`.
const PRIORITY: i32 = 0;
/// Bytes of an interface name in a register (`IFNAMSIZ`).
const NAME: usize = 16;
/// Established and related, as bits (`NF_CT_STATE_BIT` of nf_conntrack_common.h).
const ANSWERS: u32 = 1 << 1 | 1 << 2;

const PODS_IPV4: &str = "pods-ipv4";
const PODS_IPV6: &str = "pods-ipv6";
const BRIDGES: &str = "bridges";
const SAME: &str = "same";
const ISOLATED: &str = "isolated";

/// A pod's address that is let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The address.
    pub address: IpAddr,
    /// The owner as [`comment`] wrote it; empty when somebody else made the entry.
    pub owner: String,
}

/// Puts into `change` that what each of `pods` sends, and the answers to it, pass. An entry that a
/// former holder of the address left is taken over.
pub fn add(change: &mut Change, pods: &[IpAddr], owner: &str) {
    change.needs(witness(), base);
    let comment = comment(owner);
    for pod in pods {
        let (set, key) = place(*pod);
        change.add(Element { set, key, value: None, comment: Some(comment.clone()) });
    }
}

/// Puts into `change` that `pods` have no place here any more, as far as their entries are
/// `owner`'s: the address may have been given to another since.
pub fn remove(change: &mut Change, pods: &[IpAddr], owner: &str) {
    let comment = comment(owner);
    for pod in pods {
        let (set, key) = place(*pod);
        change.remove_of(set, key, comment.clone());
    }
}

/// What is missing for `pods` to be let through for `owner`, in words; empty when nothing is.
///
/// # Errors
/// [`Error::Refused`], [`Error::Socket`], [`Error::Unsettled`], [`Error::Unsupported`].
pub fn missing(
    socket: &mut Socket,
    pods: &[IpAddr],
    owner: &str,
) -> Result<Vec<Difference>, Error> {
    let comment = comment(owner);
    let mut missing = socket.missing_of(&base())?;
    let places: Vec<_> = pods.iter().map(|pod| place(*pod)).collect();
    let keys: Vec<_> = places.iter().map(|(set, key)| (set, key)).collect();
    for ((pod, (set, _)), found) in pods.iter().zip(&places).zip(socket.elements(&keys)?) {
        match found {
            None => missing.push(format!("{set} lacks {pod}").into()),
            Some(found) if found.comment.as_ref() != Some(&comment) => missing
                .push(Difference::taken(format_args!("{pod} in {set}"), found.comment.as_deref())),
            Some(_) => {}
        }
    }
    Ok(missing)
}

/// Makes sure that the kernel has nf_tables, before anything is changed.
///
/// # Errors
/// [`Error::Unsupported`], and as [`missing`].
pub fn probe(socket: &mut Socket) -> Result<(), Error> {
    socket.have_sets(&[&witness()]).map(drop)
}

/// Every pod that is let through on this host, for GC. [`remove`] takes an entry's address and owner
/// as they are.
///
/// # Errors
/// As [`missing`].
pub fn entries(socket: &mut Socket) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for like in FAMILIES {
        for element in socket.set_elements(&set_name(pods(like)))? {
            let key = element.key.as_bytes();
            let address = match <[u8; 4]>::try_from(key) {
                Ok(octets) => IpAddr::from(octets),
                Err(_) => match <[u8; 16]>::try_from(key) {
                    Ok(octets) => octets.into(),
                    Err(_) => continue,
                },
            };
            entries.push(Entry { address, owner: element.comment.unwrap_or_default() });
        }
    }
    Ok(entries)
}

/// Puts into `change` that nothing passes between `bridge` and other bridges under a policy, and with
/// `isolated` nothing from one of its ports to another either. Says whether anything of it is new.
///
/// # Errors
/// As [`missing`].
pub fn add_bridge(
    change: &mut Change,
    socket: &mut Socket,
    bridge: &str,
    isolated: bool,
) -> Result<bool, Error> {
    change.needs(witness(), base);
    let absent = absent(socket, bridge, isolated)?;
    let new = !absent.is_empty();
    for (set, key) in absent {
        change.add(Element { set, key, value: None, comment: None });
    }
    Ok(new)
}

/// Puts into `change` that `bridge` is under no policy.
pub fn remove_bridge(change: &mut Change, bridge: &str, isolated: bool) {
    for (set, key) in bridge_places(bridge, isolated) {
        change.remove(set, key);
    }
}

/// What is missing of the policy of `bridge`, in words; empty when nothing is.
///
/// # Errors
/// As [`missing`].
pub fn missing_bridge(
    socket: &mut Socket,
    bridge: &str,
    isolated: bool,
) -> Result<Vec<Difference>, Error> {
    let mut missing = socket.missing_of(&base())?;
    let absent = absent(socket, bridge, isolated)?;
    missing.extend(absent.iter().map(|(set, _)| format!("{set} lacks {bridge}").into()));
    Ok(missing)
}

/// The elements of a bridge that are not there.
fn absent(socket: &mut Socket, bridge: &str, isolated: bool) -> Result<Vec<(SetName, Key)>, Error> {
    let places = bridge_places(bridge, isolated);
    let keys: Vec<_> = places.iter().map(|(set, key)| (set, key)).collect();
    let found = socket.elements(&keys)?;
    let absent = places.into_iter().zip(found).filter(|(_, found)| found.is_none());
    Ok(absent.map(|(place, _)| place).collect())
}

/// One address of each family, whichever.
const FAMILIES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

fn pods(like: IpAddr) -> &'static str {
    if like.is_ipv4() { PODS_IPV4 } else { PODS_IPV6 }
}

fn place(pod: IpAddr) -> (SetName, Key) {
    (set_name(pods(pod)), Key::address(pod))
}

fn bridge_places(bridge: &str, isolated: bool) -> Vec<(SetName, Key)> {
    let pair = || Key::interface(bridge).and_interface(bridge);
    let mut places = vec![(set_name(BRIDGES), Key::interface(bridge)), (set_name(SAME), pair())];
    if isolated {
        places.push((set_name(ISOLATED), pair()));
    }
    places
}

fn set_name(set: &'static str) -> SetName {
    SetName { family: Family::Inet, table: TABLE.into(), set: set.into() }
}

fn witness() -> SetName {
    set_name(PODS_IPV4)
}

fn base() -> Base {
    let set = |name: &'static str, key, comment: &'static str| Set {
        name: name.into(),
        key,
        to: None,
        comment: Some(comment.into()),
    };
    let pair: &[Field] = &[Field::InterfaceName, Field::InterfaceName];
    Base {
        table: Table {
            family: Family::Inet,
            name: TABLE.into(),
            comment: Some("causeway: what is forwarded to and from pods".into()),
        },
        sets: vec![
            set(PODS_IPV4, &[Field::Ipv4Address], "pods by address"),
            set(PODS_IPV6, &[Field::Ipv6Address], "pods by address"),
            set(BRIDGES, &[Field::InterfaceName], "bridges under a policy"),
            set(SAME, pair, "each of them, as both ends"),
            set(ISOLATED, pair, "those that carry nothing from port to port"),
        ],
        chains: vec![
            Chain {
                name: ADMIN.into(),
                hook: None,
                comment: Some("yours to fill: accept or drop what pods are to get".into()),
                rules: Vec::new(),
            },
            Chain {
                name: "forward".into(),
                hook: Some(Hook {
                    kind: "filter".into(),
                    point: Hook::FORWARD,
                    priority: PRIORITY,
                }),
                comment: None,
                rules: rules(),
            },
        ],
    }
}

fn rules() -> Vec<Rule> {
    let incoming = || Expr::Meta { key: Meta::IncomingName, to: Register::FIRST };
    let outgoing = |to| Expr::Meta { key: Meta::OutgoingName, to };
    let lookup = |set: Name, absent| Expr::Lookup { from: Register::FIRST, set, absent, to: None };
    let drop = || Expr::Verdict(Verdict::Drop);
    let mut rules = vec![
        Rule::new([
            incoming(),
            outgoing(Register::after(NAME)),
            lookup(ISOLATED.into(), false),
            drop(),
        ]),
        Rule::new([
            incoming(),
            lookup(BRIDGES.into(), false),
            outgoing(Register::FIRST),
            lookup(BRIDGES.into(), false),
            incoming(),
            outgoing(Register::after(NAME)),
            lookup(SAME.into(), true),
            drop(),
        ]),
        Rule::new([Expr::Verdict(Verdict::Jump(ADMIN.into()))]),
    ];
    for like in FAMILIES {
        let of_pods = |address: fn(IpAddr, Register) -> Expr| {
            let mut exprs = phrase::of_family(like).to_vec();
            exprs.push(address(like, Register::FIRST));
            exprs.push(lookup(pods(like).into(), false));
            exprs
        };
        let mut to = of_pods(phrase::destination);
        to.extend(is_answer());
        to.push(Expr::Verdict(Verdict::Accept));
        let mut from = of_pods(phrase::source);
        from.push(Expr::Verdict(Verdict::Accept));
        rules.extend([Rule::new(to), Rule::new(from)]);
    }
    rules
}

/// `ct state established,related`.
fn is_answer() -> [Expr; 3] {
    let register = Register::FIRST;
    [
        Expr::Connection { key: Connection::State, to: register },
        Expr::Bitwise {
            from: register,
            to: register,
            mask: ANSWERS.to_ne_bytes().to_vec(),
            xor: vec![0; 4],
        },
        Expr::Compare { from: register, how: Compare::NotEqual, with: vec![0; 4] },
    ]
}
