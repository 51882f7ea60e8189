//! A packet's way through the chains.

use std::borrow::Cow;
use std::net::IpAddr;

use super::{Action, Chain, Condition, Field, Load, Packet, Rule, Ruleset, Span, Test};

/// How deep chains may call each other (`NFT_JUMP_STACK_SIZE`).
const DEPTH: usize = 16;
/// `IFNAMSIZ`.
const NAME: usize = 16;
/// `IPS_DST_NAT`.
const REDIRECTED: u32 = 1 << 5;
/// Established and new (`NF_CT_STATE_BIT` of nf_conntrack_common.h).
const ESTABLISHED: u32 = 1 << 1;
const NEW: u32 = 1 << 3;

/// What decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Culprit {
    /// The base chain that the packet came in by.
    pub base: Chain,
    /// The chain that decided.
    pub chain: Chain,
    /// Its rule; `None` for the policy.
    pub rule: Option<String>,
}

impl std::fmt::Display for Culprit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.rule {
            Some(rule) => write!(out, "{} ({rule})", self.chain),
            None => write!(out, "{} (its policy)", self.chain),
        }
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It passes.
    Accepted,
    /// It is thrown away.
    Dropped(Culprit),
    /// It depends on something that cannot be told by looking.
    Unknown(Culprit),
}

impl Ruleset {
    /// Leads a packet through the base chains of a hook that filter, in order of priority.
    pub fn judge(&self, point: u32, packet: &Packet) -> Judgement {
        let mut bases: Vec<(&Chain, i32)> = self
            .chains
            .iter()
            .filter(|chain| chain.family.covers(packet))
            .filter_map(|chain| {
                let hook = chain.hook.as_ref()?;
                (hook.point == point && hook.kind != "nat").then_some((chain, hook.priority))
            })
            .collect();
        bases.sort_by_key(|(_, priority)| *priority);
        let mut unknown = None;
        for (base, _) in bases {
            match self.in_base(base, packet) {
                Judgement::Accepted => {}
                Judgement::Dropped(culprit) => return Judgement::Dropped(culprit),
                Judgement::Unknown(culprit) => unknown = unknown.or(Some(culprit)),
            }
        }
        unknown.map_or(Judgement::Accepted, Judgement::Unknown)
    }

    fn in_base(&self, base: &Chain, packet: &Packet) -> Judgement {
        let mut walk = Walk { rules: self, base, packet, may_accept: None, may_drop: None };
        let end = walk.through(base, DEPTH).unwrap_or_else(|| {
            (!base.drops, Culprit { base: base.clone(), chain: base.clone(), rule: None })
        });
        match end {
            (true, _) => walk.may_drop.map_or(Judgement::Accepted, Judgement::Unknown),
            (false, culprit) => match walk.may_accept {
                Some(culprit) => Judgement::Unknown(culprit),
                None => Judgement::Dropped(culprit),
            },
        }
    }

    fn chain(&self, like: &Chain, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| {
            chain.name == name
                && chain.table == like.table
                && chain.family == like.family
                && chain.keeper == like.keeper
        })
    }
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    Maybe,
}

struct Walk<'a> {
    rules: &'a Ruleset,
    base: &'a Chain,
    packet: &'a Packet,
    /// The first rule that would have accepted, if what it asks could be told.
    may_accept: Option<Culprit>,
    may_drop: Option<Culprit>,
}

impl<'a> Walk<'a> {
    /// Accepted or not, and what decided; `None` when the chain came to its end.
    fn through(&mut self, chain: &'a Chain, depth: usize) -> Option<(bool, Culprit)> {
        let depth = depth.checked_sub(1)?;
        for rule in &chain.rules {
            let holds = holds(rule, self.packet);
            if holds == Holds::No {
                continue;
            }
            let (action, certain) = match &rule.action {
                Action::Map { of, to } => match in_map(of, to, self.packet) {
                    Some(Some(action)) => (Cow::Borrowed(action), holds == Holds::Yes),
                    Some(None) => continue,
                    None => (Cow::Owned(Action::Unknown("a map".into())), false),
                },
                action => (Cow::Borrowed(action), holds == Holds::Yes),
            };
            let culprit = || Culprit {
                base: self.base.clone(),
                chain: chain.clone(),
                rule: Some(rule.text.clone()),
            };
            match &*action {
                Action::Pass => {}
                Action::Accept if certain => return Some((true, culprit())),
                Action::Drop if certain => return Some((false, culprit())),
                Action::Accept => {
                    let culprit = culprit();
                    self.may_accept.get_or_insert(culprit);
                }
                Action::Drop => {
                    let culprit = culprit();
                    self.may_drop.get_or_insert(culprit);
                }
                Action::Return if certain => return None,
                Action::Return | Action::Unknown(_) => {
                    let culprit = culprit();
                    self.may_accept.get_or_insert(culprit.clone());
                    self.may_drop.get_or_insert(culprit);
                }
                Action::Map { .. } => {}
                Action::Jump(name) | Action::Goto(name) => {
                    let Some(called) = self.rules.chain(chain, name) else { continue };
                    let end = self.through(called, depth);
                    let is_goto = matches!(&*action, Action::Goto(_));
                    match end {
                        Some(end) if certain => return Some(end),
                        Some((true, culprit)) => {
                            self.may_accept.get_or_insert(culprit);
                        }
                        Some((false, culprit)) => {
                            self.may_drop.get_or_insert(culprit);
                        }
                        None if is_goto && certain => return None,
                        None => {}
                    }
                }
            }
        }
        None
    }
}

fn holds(rule: &Rule, packet: &Packet) -> Holds {
    let mut all = Holds::Yes;
    for condition in &rule.conditions {
        match condition_holds(condition, packet) {
            Holds::No => return Holds::No,
            Holds::Maybe => all = Holds::Maybe,
            Holds::Yes => {}
        }
    }
    all
}

fn condition_holds(condition: &Condition, packet: &Packet) -> Holds {
    let Condition::Compare { of, test } = condition else { return Holds::Maybe };
    let Some(value) = joined(of, packet) else { return Holds::Maybe };
    let yes = match test {
        Test::Is(with) => value.starts_with(with),
        Test::IsNot(with) => !value.starts_with(with),
        Test::Between(from, to) => {
            let value = value.get(..from.len()).unwrap_or(&value);
            value >= from.as_slice() && to.as_ref().is_none_or(|to| value <= to.as_slice())
        }
        Test::Outside(from, to) => {
            let value = value.get(..from.len()).unwrap_or(&value);
            value < from.as_slice() || value > to.as_slice()
        }
        Test::In(spans) | Test::NotIn(spans) => {
            let Some(found) = find(spans, &value) else { return Holds::Maybe };
            found.is_some() == matches!(test, Test::In(_))
        }
    };
    if yes { Holds::Yes } else { Holds::No }
}

/// What a map says; `None` when that cannot be told.
fn in_map<'s>(of: &[Load], to: &'s [Span], packet: &Packet) -> Option<Option<&'s Action>> {
    let value = joined(of, packet)?;
    Some(find(to, &value)?.and_then(|span| span.action.as_ref()))
}

/// The span that a value is in; the outer `None` when that cannot be told.
fn find<'s>(spans: &'s [Span], value: &[u8]) -> Option<Option<&'s Span>> {
    if spans.iter().any(|span| span.by_parts) {
        return None;
    }
    let within = |span: &&Span| {
        let Some(value) = value.get(..span.from.len()) else { return value == span.from };
        match &span.below {
            None => value == span.from,
            Some(below) => value >= span.from.as_slice() && value < below.as_slice(),
        }
    };
    Some(spans.iter().find(within))
}

/// The values one after the other; a single one as it is, several each filled up to four bytes.
fn joined(loads: &[Load], packet: &Packet) -> Option<Vec<u8>> {
    if let [load] = loads {
        return load.of_packet(packet);
    }
    let mut all = Vec::new();
    for load in loads {
        let mut value = load.of_packet(packet)?;
        value.resize(value.len().next_multiple_of(4), 0);
        all.append(&mut value);
    }
    Some(all)
}

impl Load {
    fn of_packet(&self, packet: &Packet) -> Option<Vec<u8>> {
        let mut value = self.field.of_packet(packet)?;
        for (byte, mask) in value.iter_mut().zip(&self.mask) {
            *byte &= mask;
        }
        for (byte, xor) in value.iter_mut().zip(&self.xor) {
            *byte ^= xor;
        }
        Some(value)
    }
}

impl Field {
    fn of_packet(&self, packet: &Packet) -> Option<Vec<u8>> {
        let name = |name: &str| {
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(NAME, 0);
            bytes
        };
        let word = |number: u32| Some(number.to_ne_bytes().to_vec());
        match self {
            Self::Network { offset, length } => slice(&network_header(packet), *offset, *length),
            Self::Transport { offset, length } => {
                slice(&transport_header(packet), *offset, *length)
            }
            Self::Source => Some(octets(packet.source)),
            Self::Destination => Some(octets(packet.destination)),
            Self::IncomingName => Some(name(&packet.input.0)),
            Self::OutgoingName => Some(name(&packet.output.0)),
            Self::IncomingIndex => word(packet.input.1),
            Self::OutgoingIndex => word(packet.output.1),
            Self::NetworkProtocol if packet.bridged => Some(vec![7]),
            Self::NetworkProtocol => Some(vec![if packet.source.is_ipv4() { 2 } else { 10 }]),
            Self::FrameProtocol if packet.source.is_ipv4() => Some(vec![0x08, 0x00]),
            Self::FrameProtocol => Some(vec![0x86, 0xdd]),
            Self::TransportProtocol => packet.protocol.map(|number| vec![number]),
            Self::ConnectionState => word(if packet.answers { ESTABLISHED } else { NEW }),
            Self::ConnectionStatus => word(if packet.redirected { REDIRECTED } else { 0 }),
            Self::Constant(bytes) => Some(bytes.clone()),
            Self::Unknown(_) => None,
        }
    }
}

fn slice(header: &[Option<u8>], offset: usize, length: usize) -> Option<Vec<u8>> {
    header.get(offset..offset.checked_add(length)?)?.iter().copied().collect()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The bytes of the network header that are known.
fn network_header(packet: &Packet) -> Vec<Option<u8>> {
    let known = |address| octets(address).into_iter().map(Some).collect::<Vec<_>>();
    let mut header = if packet.source.is_ipv4() {
        let mut start = vec![None; 12];
        if let Some(place) = start.get_mut(9) {
            *place = packet.protocol;
        }
        start
    } else {
        let mut start = vec![None; 8];
        if let Some(place) = start.get_mut(6) {
            *place = packet.protocol;
        }
        start
    };
    header.extend(known(packet.source));
    header.extend(known(packet.destination));
    header
}

/// The ports.
fn transport_header(packet: &Packet) -> Vec<Option<u8>> {
    let bytes = |port: Option<u16>| match port {
        Some(port) => port.to_be_bytes().map(Some),
        None => [None; 2],
    };
    [bytes(packet.source_port), bytes(packet.port)].concat()
}

#[cfg(test)]
mod tests;
