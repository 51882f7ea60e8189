//! Masquerading: what a pod sends to the world outside its subnet leaves with the host's address.
//!
//! ```text
//! table inet causeway_masquerade {
//!     set pods-ipv4-16 { type ipv4_addr; elements = { 10.88.0.5 comment "net/id/eth0" } }
//!     set inside-ipv4-16 { type ipv4_addr . ipv4_addr; elements = { 10.88.0.5 . 10.88.0.0 … } }
//!     chain postrouting-ipv4-16 {
//!         type nat hook postrouting priority srcnat; policy accept;
//!         ip saddr @pods-ipv4-16 ip daddr != 224.0.0.0/4
//!             ip saddr . ip daddr & 255.255.0.0 != @inside-ipv4-16 masquerade
//!     }
//! }
//! ```
//!
//! One chain with one rule per family and *prefix length*, of which a node has one or two. The rule
//! looks the pair of pod and destination's network up, so it needs no list of subnets; neither
//! packets nor ADD take longer with more pods or more networks. (A map from pod to a chain of its
//! subnet would read as well, but the kernel walks all of a verdict map for each element added.)

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use super::difference::Difference;
use super::nft::expr::{Compare, Expr, Register};
use super::nft::{
    Base, Chain, Change, Element, Error, Family, Field, Hook, Key, Name, Rule, Set, SetName,
    Socket, Table, comment, phrase,
};

/// The table, in family inet.
pub const TABLE: &str = "causeway_masquerade";
/// nft's `srcnat`: where source addresses are rewritten.
const PRIORITY: i32 = 100;

/// A pod's address that is being masqueraded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The address and the prefix length of its subnet.
    pub address: IpNetwork,
    /// The owner as [`comment`] wrote it; empty when somebody else made the entry.
    pub owner: String,
}

/// Puts into `change` that each of `pods` is masqueraded. An entry that a former holder of the
/// address left is taken over.
pub fn add(change: &mut Change, pods: &[IpNetwork], owner: &str) {
    let comment = comment(owner);
    for pod in pods {
        let kind = Kind::of(*pod);
        let places = kind.places(*pod);
        let [(pods, _), _] = &places;
        change.needs(pods.clone(), move || kind.base());
        for (set, key) in places {
            change.add(Element { set, key, value: None, comment: Some(comment.clone()) });
        }
    }
}

/// Puts into `change` that `pods` are no longer masqueraded, as far as their entries are `owner`'s:
/// the address may have been given to another since.
pub fn remove(change: &mut Change, pods: &[IpNetwork], owner: &str) {
    let comment = comment(owner);
    for pod in pods {
        for (set, key) in Kind::of(*pod).places(*pod) {
            change.remove_of(set, key, comment.clone());
        }
    }
}

/// What is missing for `pods` to be masqueraded for `owner`, in words; empty when nothing is.
///
/// Takes as long with one pod on the node as with thousands.
///
/// # Errors
/// [`Error::Refused`], [`Error::Socket`], [`Error::Unsettled`], [`Error::Unsupported`].
pub fn missing(
    socket: &mut Socket,
    pods: &[IpNetwork],
    owner: &str,
) -> Result<Vec<Difference>, Error> {
    let comment = comment(owner);
    let mut missing = Vec::new();
    let mut checked = Vec::new();
    for pod in pods {
        let kind = Kind::of(*pod);
        if !checked.contains(&kind) {
            missing.extend(socket.missing_of(&kind.base())?);
            checked.push(kind);
        }
        let places = kind.places(*pod);
        let keys: Vec<_> = places.iter().map(|(set, key)| (set, key)).collect();
        for ((set, _), found) in places.iter().zip(socket.elements(&keys)?) {
            match found {
                None => missing.push(format!("{set} lacks {}", pod.ip()).into()),
                Some(found) if found.comment.as_ref() != Some(&comment) => {
                    missing.push(Difference::taken(
                        format_args!("{} in {set}", pod.ip()),
                        found.comment.as_deref(),
                    ))
                }
                Some(_) => {}
            }
        }
    }
    Ok(missing)
}

/// Everything that is masqueraded on this host, for GC and listing. [`remove`] takes an entry's
/// address and owner as they are.
///
/// # Errors
/// As [`missing`].
pub fn entries(socket: &mut Socket) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for name in socket.sets(Family::Inet, TABLE)? {
        let Some(kind) = name.strip_prefix("pods-").and_then(Kind::named) else {
            continue;
        };
        for element in socket.set_elements(&set_name(name.into()))? {
            if let Some(address) = kind.address(element.key.as_bytes()) {
                entries.push(Entry { address, owner: element.comment.unwrap_or_default() });
            }
        }
    }
    Ok(entries)
}

/// Addresses of one family in subnets of one prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    ipv4: bool,
    prefix: u8,
}

impl Kind {
    fn of(pod: IpNetwork) -> Self {
        Self { ipv4: pod.is_ipv4(), prefix: pod.prefix() }
    }

    fn name(self) -> String {
        format!("{}-{}", if self.ipv4 { "ipv4" } else { "ipv6" }, self.prefix)
    }

    fn named(name: &str) -> Option<Self> {
        let (family, prefix) = name.split_once('-')?;
        let kind = Self { ipv4: family == "ipv4", prefix: prefix.parse().ok()? };
        (kind.name() == name).then_some(kind)
    }

    fn address(self, key: &[u8]) -> Option<IpNetwork> {
        let address = if self.ipv4 {
            IpAddr::from(<[u8; 4]>::try_from(key).ok()?)
        } else {
            IpAddr::from(<[u8; 16]>::try_from(key).ok()?)
        };
        IpNetwork::new(address, self.prefix).ok()
    }

    /// The set of pods, and the set of pods with the network that is inside for them.
    fn sets(self) -> (Name, Name) {
        let name = self.name();
        (format!("pods-{name}").into(), format!("inside-{name}").into())
    }

    /// The elements of one pod.
    fn places(self, pod: IpNetwork) -> [(SetName, Key); 2] {
        let (pods, inside) = self.sets();
        [
            (set_name(pods), Key::address(pod.ip())),
            (set_name(inside), Key::address(pod.ip()).and_address(pod.network())),
        ]
    }

    fn base(self) -> Base {
        let (pods, inside) = self.sets();
        let (key, pair): (&[Field], &[Field]) = if self.ipv4 {
            (&[Field::Ipv4Address], &[Field::Ipv4Address, Field::Ipv4Address])
        } else {
            (&[Field::Ipv6Address], &[Field::Ipv6Address, Field::Ipv6Address])
        };
        Base {
            table: Table {
                family: Family::Inet,
                name: TABLE.into(),
                comment: Some("causeway: pods that reach the world as this host".into()),
            },
            chains: vec![Chain {
                name: format!("postrouting-{}", self.name()).into(),
                hook: Some(Hook {
                    kind: "nat".into(),
                    point: Hook::POSTROUTING,
                    priority: PRIORITY,
                }),
                comment: None,
                rules: vec![self.rule(&pods, &inside)],
            }],
            sets: vec![
                Set { name: pods, key, to: None, comment: Some("pods by address".into()) },
                Set {
                    name: inside,
                    key: pair,
                    to: None,
                    comment: Some("pod and the network that is inside for it".into()),
                },
            ],
        }
    }

    /// From a pod, not to multicast, not to the pod's own network: masquerade.
    fn rule(self, pods: &Name, inside: &Name) -> Rule {
        let (like, multicast, width) = if self.ipv4 {
            let multicast = Ipv4Network::new_checked(Ipv4Addr::new(224, 0, 0, 0), 4);
            (IpAddr::V4(Ipv4Addr::UNSPECIFIED), multicast.map(IpNetwork::V4), 4)
        } else {
            let multicast = Ipv6Network::new_checked(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8);
            (IpAddr::V6(Ipv6Addr::UNSPECIFIED), multicast.map(IpNetwork::V6), 16)
        };
        let second = Register::after(width);
        let subnet = IpNetwork::new(like, self.prefix).ok();
        let mut exprs = phrase::of_family(like).to_vec();
        exprs.push(phrase::source(like, Register::FIRST));
        exprs.push(Expr::Lookup {
            from: Register::FIRST,
            set: pods.clone(),
            absent: false,
            to: None,
        });
        exprs.extend(
            multicast.into_iter().flat_map(|net| phrase::destination_in(net, Compare::NotEqual)),
        );
        exprs.push(phrase::source(like, Register::FIRST));
        exprs.push(phrase::destination(like, second));
        exprs.extend(subnet.and_then(|subnet| phrase::network_part(subnet, second)));
        exprs.push(Expr::Lookup {
            from: Register::FIRST,
            set: inside.clone(),
            absent: true,
            to: None,
        });
        exprs.push(Expr::Masquerade);
        Rule::new(exprs)
    }
}

fn set_name(set: Name) -> SetName {
    SetName { family: Family::Inet, table: TABLE.into(), set }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_back_from_their_names() {
        for pod in ["10.88.0.5/16", "fd00::5/64", "10.0.0.1/32"] {
            let kind = Kind::of(pod.parse().unwrap());
            assert_eq!(Kind::named(&kind.name()), Some(kind));
        }
        for name in ["ipv4", "ipv5-16", "ipv4-016", "ipv4-300", "ipv4-"] {
            assert_eq!(Kind::named(name), None, "{name}");
        }
    }

    #[test]
    fn the_inside_of_a_pod_is_its_network() {
        let pod: IpNetwork = "10.88.3.5/16".parse().unwrap();
        let [(pods, key), (inside, pair)] = Kind::of(pod).places(pod);
        assert_eq!((&*pods.set, key.as_bytes()), ("pods-ipv4-16", &[10u8, 88, 3, 5][..]));
        assert_eq!(&*inside.set, "inside-ipv4-16");
        assert_eq!(pair.as_bytes(), [10, 88, 3, 5, 10, 88, 0, 0]);
    }
}
