//! Port mappings: connections to a port of the host that a container answers.
//!
//! ```text
//! table inet causeway_portmap {
//!     map addresses-ipv4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
//!     map ports-ipv4 { type inet_proto . inet_service : ipv4_addr . inet_service
//!         elements = { tcp . 8080 comment "net/id/eth0" : 10.88.0.5 . 80 } }
//!     set near-ipv4-16 { type inet_proto . inet_service . ipv4_addr . ipv4_addr
//!         elements = { tcp . 8080 . 10.88.0.5 . 10.88.0.0 … } }
//!     chain prerouting-ipv4 {
//!         type nat hook prerouting priority dstnat; policy accept;
//!         fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @addresses-ipv4
//!         fib daddr type local dnat ip to meta l4proto . th dport map @ports-ipv4
//!     }
//!     chain postrouting-ipv4-16 {
//!         type nat hook postrouting priority srcnat; policy accept;
//!         ct status dnat meta l4proto . ct original proto-dst . ip daddr . ip saddr & 255.255.0.0
//!             @near-ipv4-16 masquerade
//!     }
//! }
//! ```
//!
//! The same chain is hooked into `output` for connections of the host's own. Answers have to come
//! back through the host, so what comes from the container's own subnet, which would answer directly,
//! and from the host's loopback, is masqueraded. Only the first packet of a connection meets these
//! rules, and looking up takes as long with one mapping as with thousands.
//!
//! Mappings with conditions have maps and chains of their own, one pair for each wording.

pub mod conditions;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use self::conditions::Condition;
use super::nft::expr::{Compare, Connection, Direction, Expr, Header, Meta, Nat, Register};
use super::nft::{
    Base, Chain, Change, Element, Error, Family, Field, Hook, Key, MapTo, Name, Rule, Set, SetName,
    Socket, Table, comment, phrase, set::Value,
};
use super::port::Mapping;

/// The table, in family inet.
pub const TABLE: &str = "causeway_portmap";
/// nft's `dstnat`: where destination addresses are rewritten.
const DESTINATION_PRIORITY: i32 = -100;
/// nft's `srcnat`: where source addresses are rewritten.
const SOURCE_PRIORITY: i32 = 100;
/// `RTN_LOCAL` of linux/rtnetlink.h.
const LOCAL: u32 = 2;
/// `IPS_DST_NAT` of linux/netfilter/nf_conntrack_common.h.
const DESTINATION_REWRITTEN: u32 = 1 << 5;

/// Which mapped connections leave the host with its own address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Masquerading {
    /// None.
    None,
    /// Those that would be answered past the host: from the container's own subnet, and from the
    /// host's loopback.
    #[default]
    Near,
    /// All.
    All,
}

/// The mappings that lead to one address of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The container's address with its subnet's prefix length.
    pub pod: IpNetwork,
    /// The mappings, all of the address's family.
    pub mappings: Vec<Mapping>,
    /// Which connections are masqueraded.
    pub masquerading: Masquerading,
    /// What else a packet must be like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// An element that somebody has in one of the maps or sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The map or set.
    pub set: SetName,
    /// The key.
    pub key: Key,
    /// The owner as [`comment`] wrote it.
    pub owner: String,
}

/// Puts into `change` that `target` is reached through its ports. A port that another has is refused
/// at the commit ([`Error::Taken`]); a former call's own entries are taken over.
pub fn add(change: &mut Change, target: &Target, owner: &str) {
    let comment = comment(owner);
    let kind = Kind::of(target.pod.ip(), &target.conditions);
    for mapping in &target.mappings {
        let (set, key) = kind.place(mapping);
        let base = kind.clone();
        change.needs(kind.set("ports"), move || base.ports());
        let value = Key::address(target.pod.ip()).and_port(mapping.container_port);
        let what = format!("host port {}/{}", mapping.host_port, mapping.protocol);
        let element =
            Element { set, key, value: Some(Value::Fields(value)), comment: Some(comment.clone()) };
        change.claim(element, what);
    }
    for (set, key, base) in target.masqueraded() {
        change.needs(set.clone(), move || base.base());
        change.add(Element { set, key, value: None, comment: Some(comment.clone()) });
    }
}

/// Puts into `change` that `target` is not reached through its ports any more, as far as the entries
/// are `owner`'s.
pub fn remove(change: &mut Change, target: &Target, owner: &str) {
    let comment = comment(owner);
    let kind = Kind::of(target.pod.ip(), &target.conditions);
    let ports = target.mappings.iter().map(|mapping| kind.place(mapping));
    let masqueraded = target.masqueraded().into_iter().map(|(set, key, _)| (set, key));
    for (set, key) in ports.chain(masqueraded) {
        change.remove_of(set, key, comment.clone());
    }
}

/// What is missing for `target` to be reached through its ports, in words; empty when nothing is.
///
/// # Errors
/// [`Error::Refused`], [`Error::Socket`], [`Error::Unsettled`], [`Error::Unsupported`].
pub fn missing(socket: &mut Socket, target: &Target, owner: &str) -> Result<Vec<String>, Error> {
    let comment = comment(owner);
    let kind = Kind::of(target.pod.ip(), &target.conditions);
    let mut missing = socket.missing_of(&kind.ports())?;
    let mut places: Vec<(SetName, Key, Option<Key>)> = Vec::new();
    for mapping in &target.mappings {
        let (set, key) = kind.place(mapping);
        let value = Key::address(target.pod.ip()).and_port(mapping.container_port);
        places.push((set, key, Some(value)));
    }
    let mut checked = Vec::new();
    for (set, key, base) in target.masqueraded() {
        if !checked.contains(&base) {
            missing.extend(socket.missing_of(&base.base())?);
            checked.push(base);
        }
        places.push((set, key, None));
    }
    let keys: Vec<_> = places.iter().map(|(set, key, _)| (set, key)).collect();
    for ((set, _, value), found) in places.iter().zip(socket.elements(&keys)?) {
        match found {
            None => missing.push(format!("{set} lacks an entry of {}", target.pod.ip())),
            Some(found) if found.comment.as_ref() != Some(&comment) => missing.push(format!(
                "an entry of {} in {set} belongs to {}",
                target.pod.ip(),
                found.comment.as_deref().unwrap_or("nobody")
            )),
            Some(found) if value.is_some() && found.value != *value => {
                missing.push(format!("an entry in {set} leads elsewhere than to {}", target.pod));
            }
            Some(_) => {}
        }
    }
    Ok(missing)
}

/// Who has the ports of `mappings` in one family already: the mapping's place, and the owner.
///
/// # Errors
/// As [`missing`].
pub fn holders(
    socket: &mut Socket,
    v6: bool,
    mappings: &[Mapping],
    conditions: &[Condition],
) -> Result<Vec<(usize, String)>, Error> {
    let like = unspecified(!v6);
    let kind = Kind::of(like, conditions);
    let places: Vec<_> = mappings
        .iter()
        .enumerate()
        .filter(|(_, mapping)| mapping.concerns(like))
        .map(|(number, mapping)| (number, kind.place(mapping)))
        .collect();
    let keys: Vec<_> = places.iter().map(|(_, (set, key))| (set, key)).collect();
    let found = socket.elements(&keys)?;
    let taken = places
        .iter()
        .zip(found)
        .filter_map(|((number, _), found)| Some((*number, found?.comment.unwrap_or_default())));
    Ok(taken.collect())
}

/// Everything that is mapped on this host, for GC and for a DEL without a record.
///
/// # Errors
/// As [`missing`].
pub fn entries(socket: &mut Socket) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for name in socket.sets(Family::Inet, TABLE)? {
        let set = set_name(name);
        for element in socket.set_elements(&set)? {
            let owner = element.comment.unwrap_or_default();
            entries.push(Entry { set: set.clone(), key: element.key, owner });
        }
    }
    Ok(entries)
}

/// Puts into `change` that an entry goes, if it is still its owner's.
pub fn remove_entry(change: &mut Change, entry: &Entry) {
    change.remove_of(entry.set.clone(), entry.key.clone(), entry.owner.clone());
}

impl Target {
    /// The elements by which connections are masqueraded, each once, with what they need.
    fn masqueraded(&self) -> Vec<(SetName, Key, Source)> {
        let ip = self.pod.ip();
        let mut places: Vec<(SetName, Key, Source)> = Vec::new();
        for mapping in &self.mappings {
            let key = Key::default()
                .and_protocol(mapping.protocol.number())
                .and_port(mapping.host_port)
                .and_address(ip);
            let wanted = match self.masquerading {
                Masquerading::None => Vec::new(),
                Masquerading::All => vec![(Source::all(ip), key)],
                Masquerading::Near => vec![
                    (Source::near(self.pod), key.clone().and_address(self.pod.network())),
                    (Source::local(ip), key),
                ],
            };
            for (source, key) in wanted {
                let set = source.set();
                if !places.iter().any(|(one, other, _)| *one == set && *other == key) {
                    places.push((set, key, source));
                }
            }
        }
        places
    }
}

/// Mappings of one family under the same conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    ipv4: bool,
    conditions: Vec<Condition>,
}

impl Kind {
    fn of(like: IpAddr, conditions: &[Condition]) -> Self {
        Self { ipv4: like.is_ipv4(), conditions: conditions.to_vec() }
    }

    fn name(&self, what: &str) -> Name {
        let suffix = conditions::suffix(&self.conditions);
        format!("{what}-{}{suffix}", family(self.ipv4)).into()
    }

    fn set(&self, what: &str) -> SetName {
        set_name(self.name(what))
    }

    fn place(&self, mapping: &Mapping) -> (SetName, Key) {
        let key =
            |key: Key| key.and_protocol(mapping.protocol.number()).and_port(mapping.host_port);
        match mapping.only_at() {
            Some(host) => (self.set("addresses"), key(Key::address(host))),
            None => (self.set("ports"), key(Key::default())),
        }
    }

    fn ports(&self) -> Base {
        let to = Some(MapTo::Fields(if self.ipv4 {
            &[Field::Ipv4Address, Field::Port]
        } else {
            &[Field::Ipv6Address, Field::Port]
        }));
        let with_address: &[Field] = if self.ipv4 {
            &[Field::Ipv4Address, Field::Protocol, Field::Port]
        } else {
            &[Field::Ipv6Address, Field::Protocol, Field::Port]
        };
        let chain = |what, point| Chain {
            name: self.name(what),
            hook: Some(Hook { kind: "nat".into(), point, priority: DESTINATION_PRIORITY }),
            comment: None,
            rules: vec![self.rule(true), self.rule(false)],
        };
        Base {
            table: table(),
            sets: vec![
                Set {
                    name: self.name("addresses"),
                    key: with_address,
                    to,
                    comment: Some("ports of one address of the host".into()),
                },
                Set {
                    name: self.name("ports"),
                    key: &[Field::Protocol, Field::Port],
                    to,
                    comment: Some("ports of every address of the host".into()),
                },
            ],
            chains: vec![chain("prerouting", Hook::PREROUTING), chain("output", Hook::OUTPUT)],
        }
    }

    /// To a mapped port of this host: to the container. The kernel is asked last whether the address
    /// is the host's, since that costs most.
    fn rule(&self, with_address: bool) -> Rule {
        let like = unspecified(self.ipv4);
        let width = width(self.ipv4);
        let mut exprs = phrase::of_family(like).to_vec();
        exprs.extend(self.conditions.iter().flat_map(Condition::exprs));
        let mut at = 0;
        if with_address {
            exprs.push(phrase::destination(like, Register::FIRST));
            at = width;
        }
        exprs.push(Expr::Meta { key: Meta::TransportProtocol, to: Register::after(at) });
        exprs.push(Expr::Payload {
            header: Header::Transport,
            offset: 2,
            length: 2,
            to: Register::after(at + 4),
        });
        exprs.push(Expr::Lookup {
            from: Register::FIRST,
            set: self.name(if with_address { "addresses" } else { "ports" }),
            absent: false,
            to: Some(Register::FIRST),
        });
        let scratch = Register::after(32);
        exprs.push(Expr::DestinationType { to: scratch });
        exprs.push(Expr::Compare {
            from: scratch,
            how: Compare::Equal,
            with: LOCAL.to_ne_bytes().to_vec(),
        });
        exprs.push(Expr::Nat {
            kind: Nat::Destination,
            family: if self.ipv4 { 2 } else { 10 },
            address: Register::FIRST,
            port: Some(Register::after(width)),
        });
        Rule::new(exprs)
    }
}

/// From where connections are masqueraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source {
    ipv4: bool,
    from: From,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// The container's own subnet, of this prefix length.
    Near(u8),
    /// The host's loopback.
    Local,
    /// Everywhere.
    Everywhere,
}

impl Source {
    fn near(pod: IpNetwork) -> Self {
        Self { ipv4: pod.is_ipv4(), from: From::Near(pod.prefix()) }
    }

    fn local(ip: IpAddr) -> Self {
        Self { ipv4: ip.is_ipv4(), from: From::Local }
    }

    fn all(ip: IpAddr) -> Self {
        Self { ipv4: ip.is_ipv4(), from: From::Everywhere }
    }

    fn name(self) -> String {
        let family = family(self.ipv4);
        match self.from {
            From::Near(prefix) => format!("near-{family}-{prefix}"),
            From::Local => format!("local-{family}"),
            From::Everywhere => format!("all-{family}"),
        }
    }

    fn set(self) -> SetName {
        set_name(self.name())
    }

    fn base(self) -> Base {
        let key: &[Field] = match (self.ipv4, self.from) {
            (true, From::Near(_)) => {
                &[Field::Protocol, Field::Port, Field::Ipv4Address, Field::Ipv4Address]
            }
            (false, From::Near(_)) => {
                &[Field::Protocol, Field::Port, Field::Ipv6Address, Field::Ipv6Address]
            }
            (true, _) => &[Field::Protocol, Field::Port, Field::Ipv4Address],
            (false, _) => &[Field::Protocol, Field::Port, Field::Ipv6Address],
        };
        let comment = match self.from {
            From::Near(_) => "mapped ports, and the network that would answer past the host",
            From::Local => "mapped ports that the host's loopback may use",
            From::Everywhere => "mapped ports whose connections are all masqueraded",
        };
        Base {
            table: table(),
            chains: vec![Chain {
                name: format!("postrouting-{}", self.name()).into(),
                hook: Some(Hook {
                    kind: "nat".into(),
                    point: Hook::POSTROUTING,
                    priority: SOURCE_PRIORITY,
                }),
                comment: None,
                rules: vec![self.rule()],
            }],
            sets: vec![Set {
                name: self.name().into(),
                key,
                to: None,
                comment: Some(comment.into()),
            }],
        }
    }

    fn rule(self) -> Rule {
        let like = unspecified(self.ipv4);
        let status = Register::FIRST;
        let mut exprs = phrase::of_family(like).to_vec();
        exprs.extend([
            Expr::Connection { key: Connection::Status, to: status },
            Expr::Bitwise {
                from: status,
                to: status,
                mask: DESTINATION_REWRITTEN.to_ne_bytes().to_vec(),
                xor: vec![0; 4],
            },
            Expr::Compare { from: status, how: Compare::NotEqual, with: vec![0; 4] },
        ]);
        if self.from == From::Local {
            exprs.extend(
                loopback(self.ipv4)
                    .map(|net| phrase::source_in(net, Compare::Equal))
                    .into_iter()
                    .flatten(),
            );
        }
        exprs.extend([
            Expr::Meta { key: Meta::TransportProtocol, to: Register::FIRST },
            Expr::Tuple {
                key: Connection::DestinationPort,
                direction: Direction::Original,
                to: Register::after(4),
            },
            phrase::destination(like, Register::after(8)),
        ]);
        if let From::Near(prefix) = self.from {
            let second = Register::after(8 + width(self.ipv4));
            let subnet = IpNetwork::new(like, prefix).ok();
            exprs.push(phrase::source(like, second));
            exprs.extend(subnet.and_then(|subnet| phrase::network_part(subnet, second)));
        }
        exprs.push(Expr::Lookup {
            from: Register::FIRST,
            set: self.name().into(),
            absent: false,
            to: None,
        });
        exprs.push(Expr::Masquerade);
        Rule::new(exprs)
    }
}

fn table() -> Table {
    Table {
        family: Family::Inet,
        name: TABLE.into(),
        comment: Some("causeway: ports of this host that lead to pods".into()),
    }
}

fn set_name(set: impl Into<Name>) -> SetName {
    SetName { family: Family::Inet, table: TABLE.into(), set: set.into() }
}

fn family(ipv4: bool) -> &'static str {
    if ipv4 { "ipv4" } else { "ipv6" }
}

/// Bytes of an address.
fn width(ipv4: bool) -> usize {
    if ipv4 { 4 } else { 16 }
}

fn unspecified(ipv4: bool) -> IpAddr {
    if ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// The addresses of the host's loopback.
fn loopback(ipv4: bool) -> Option<IpNetwork> {
    if ipv4 {
        IpNetwork::new(Ipv4Addr::LOCALHOST.into(), 8).ok()
    } else {
        IpNetwork::new(Ipv6Addr::LOCALHOST.into(), 128).ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::super::port::Transport;
    use super::*;

    fn mapping(host_ip: Option<&str>, host_port: u16) -> Mapping {
        let host_ip = host_ip.map(|ip| ip.parse().unwrap());
        Mapping { protocol: Transport::Tcp, host_ip, host_port, container_port: 80 }
    }

    #[test]
    fn a_mapping_is_under_its_address_or_under_its_port() {
        let kind = Kind::of(unspecified(true), &[]);
        let place = |host| {
            let (set, key) = kind.place(&mapping(host, 8080));
            (set.set.to_string(), key.as_bytes().to_vec())
        };
        let port = vec![6, 0, 0, 0, 0x1f, 0x90, 0, 0];
        assert_eq!(place(None), ("ports-ipv4".to_owned(), port.clone()));
        assert_eq!(place(Some("0.0.0.0")), place(None));
        let at = [vec![10, 0, 0, 1], port].concat();
        assert_eq!(place(Some("10.0.0.1")), ("addresses-ipv4".to_owned(), at));
    }

    #[test]
    fn one_port_of_two_addresses_is_masqueraded_once() {
        let target = Target {
            pod: "10.88.0.5/16".parse().unwrap(),
            mappings: vec![mapping(Some("10.0.0.1"), 8080), mapping(Some("10.0.0.2"), 8080)],
            masquerading: Masquerading::Near,
            conditions: Vec::new(),
        };
        let sets: Vec<_> =
            target.masqueraded().into_iter().map(|(set, _, _)| set.set.to_string()).collect();
        assert_eq!(sets, ["near-ipv4-16", "local-ipv4"]);
    }
}
