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
mod rules;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use self::conditions::Condition;
use self::rules::{Kind, Source, set_name, unspecified};
use super::difference::Difference;
use super::nft::{Change, Element, Error, Family, Key, SetName, Socket, comment, set::Value};
use super::port::Mapping;

/// The table, in family inet.
pub const TABLE: &str = "causeway_portmap";
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
pub fn missing(
    socket: &mut Socket,
    target: &Target,
    owner: &str,
) -> Result<Vec<Difference>, Error> {
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
            None => missing.push(format!("{set} lacks an entry of {}", target.pod.ip()).into()),
            Some(found) if found.comment.as_ref() != Some(&comment) => {
                missing.push(Difference::taken(
                    format_args!("an entry of {} in {set}", target.pod.ip()),
                    found.comment.as_deref(),
                ))
            }
            Some(found) if value.is_some() && found.value != *value => {
                missing.push(
                    format!("an entry in {set} leads elsewhere than to {}", target.pod).into(),
                );
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
