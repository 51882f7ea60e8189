//! The constant rules of port mappings: which maps, sets and chains there are, and what their rules do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::TABLE;
use super::conditions::{self, Condition};
use crate::kernel::nft::expr::{Compare, Connection, Direction, Expr, Header, Meta, Nat, Register};
use crate::kernel::nft::{
    Base, Chain, Family, Field, Hook, Key, MapTo, Name, Rule, Set, SetName, Table, phrase,
};
use crate::kernel::port::Mapping;

/// nft's `dstnat`: where destination addresses are rewritten.
const DESTINATION_PRIORITY: i32 = -100;
/// nft's `srcnat`: where source addresses are rewritten.
const SOURCE_PRIORITY: i32 = 100;
/// `RTN_LOCAL` of linux/rtnetlink.h.
const LOCAL: u32 = 2;
/// `IPS_DST_NAT` of linux/netfilter/nf_conntrack_common.h.
const DESTINATION_REWRITTEN: u32 = 1 << 5;

/// Mappings of one family under the same conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    ipv4: bool,
    conditions: Vec<Condition>,
}

impl Kind {
    pub(super) fn of(like: IpAddr, conditions: &[Condition]) -> Self {
        Self { ipv4: like.is_ipv4(), conditions: conditions.to_vec() }
    }

    fn name(&self, what: &str) -> Name {
        let suffix = conditions::suffix(&self.conditions);
        format!("{what}-{}{suffix}", family(self.ipv4)).into()
    }

    pub(super) fn set(&self, what: &str) -> SetName {
        set_name(self.name(what))
    }

    pub(super) fn place(&self, mapping: &Mapping) -> (SetName, Key) {
        let key =
            |key: Key| key.and_protocol(mapping.protocol.number()).and_port(mapping.host_port);
        match mapping.only_at() {
            Some(host) => (self.set("addresses"), key(Key::address(host))),
            None => (self.set("ports"), key(Key::default())),
        }
    }

    pub(super) fn ports(&self) -> Base {
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
pub(super) struct Source {
    ipv4: bool,
    from: From,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// The container's own subnet, of this prefix length.
    Near(u8),
    /// The host's loopback.
    Local,
    /// Everywhere.
    Everywhere,
}

impl Source {
    pub(super) fn near(pod: IpNetwork) -> Self {
        Self { ipv4: pod.is_ipv4(), from: From::Near(pod.prefix()) }
    }

    pub(super) fn local(ip: IpAddr) -> Self {
        Self { ipv4: ip.is_ipv4(), from: From::Local }
    }

    pub(super) fn all(ip: IpAddr) -> Self {
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

    pub(super) fn set(self) -> SetName {
        set_name(self.name())
    }

    pub(super) fn base(self) -> Base {
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

pub(super) fn table() -> Table {
    Table {
        family: Family::Inet,
        name: TABLE.into(),
        comment: Some("causeway: ports of this host that lead to pods".into()),
    }
}

pub(super) fn set_name(set: impl Into<Name>) -> SetName {
    SetName { family: Family::Inet, table: TABLE.into(), set: set.into() }
}

fn family(ipv4: bool) -> &'static str {
    if ipv4 { "ipv4" } else { "ipv6" }
}

/// Bytes of an address.
fn width(ipv4: bool) -> usize {
    if ipv4 { 4 } else { 16 }
}

pub(super) fn unspecified(ipv4: bool) -> IpAddr {
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
