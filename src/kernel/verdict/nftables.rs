//! Chains of nf_tables, also those that iptables-nft keeps there, read into the model.

use std::collections::HashMap;

use super::xtables::state_in;
use super::{Action, Chain, Condition, Family, Field, Hook, Keeper, Load, Rule, Span, Test};
use crate::kernel::attr::{Reader, find, find_str, find_u32};
use crate::kernel::nft::found::FoundSpan;
use crate::kernel::nft::{self, ChainName, FoundRule, SetName, Socket};

/// The families that packets of IP meet, with nf_tables' own word.
const FAMILIES: [(Family, nft::Family); 3] = [
    (Family::Inet, nft::Family::Inet),
    (Family::Ip, nft::Family::Ip),
    (Family::Ip6, nft::Family::Ip6),
];

/// Reads every chain that a packet may meet at one of `points`: the base chains hooked there, and all
/// other chains of their tables. None for a kernel without nf_tables.
///
/// # Errors
/// [`nft::Error`].
pub fn chains(socket: &mut Socket, points: &[u32]) -> Result<Vec<Chain>, nft::Error> {
    chains_of(socket, &FAMILIES, points)
}

/// As [`chains`], but those that a frame meets as it passes a bridge.
///
/// # Errors
/// [`nft::Error`].
pub fn bridge_chains(socket: &mut Socket, points: &[u32]) -> Result<Vec<Chain>, nft::Error> {
    chains_of(socket, &[(Family::Bridge, nft::Family::Bridge)], points)
}

fn chains_of(
    socket: &mut Socket,
    families: &[(Family, nft::Family)],
    points: &[u32],
) -> Result<Vec<Chain>, nft::Error> {
    let mut chains = Vec::new();
    for &(family, kernels) in families {
        let tables = match socket.tables(kernels) {
            Err(nft::Error::Unsupported { .. }) => return Ok(Vec::new()),
            tables => tables?,
        };
        for table in tables {
            let found = socket.chains(kernels, &table)?;
            let filters = |hook: &Option<(String, u32, i32)>| {
                hook.as_ref()
                    .is_some_and(|(kind, point, _)| kind != "nat" && points.contains(point))
            };
            if !found.iter().any(|chain| filters(&chain.hook)) {
                continue;
            }
            let mut sets = HashMap::new();
            for chain in found.into_iter().filter(|one| one.hook.is_none() || filters(&one.hook)) {
                let name = ChainName {
                    family: kernels,
                    table: table.clone().into(),
                    chain: chain.name.clone().into(),
                };
                let mut rules = Vec::new();
                for rule in socket.rules(&name)? {
                    let mut lookup = |set: &str| -> Result<Vec<Span>, nft::Error> {
                        if let Some(spans) = sets.get(set) {
                            return Ok(Vec::clone(spans));
                        }
                        let set_name = SetName {
                            family: kernels,
                            table: table.clone().into(),
                            set: set.to_owned().into(),
                        };
                        let spans: Vec<Span> = spans(socket.set_spans(&set_name)?);
                        sets.insert(set.to_owned(), spans.clone());
                        Ok(spans)
                    };
                    rules.push(read(&rule, &mut lookup)?);
                }
                let hook = chain.hook.map(|(kind, point, priority)| Hook { kind, point, priority });
                chains.push(Chain {
                    keeper: Keeper::Nftables,
                    family,
                    table: table.clone(),
                    name: chain.name,
                    hook,
                    drops: chain.drops,
                    rules,
                });
            }
        }
    }
    Ok(chains)
}

/// Targets of iptables that decide nothing.
pub(super) fn is_idle_target(name: &str) -> bool {
    [
        "LOG", "NFLOG", "MARK", "CONNMARK", "TCPMSS", "CT", "NOTRACK", "TRACE", "CLASSIFY", "DSCP",
        "TOS",
    ]
    .contains(&name)
}

/// Pairs each start with the end that follows it.
pub(crate) fn spans(found: Vec<FoundSpan>) -> Vec<Span> {
    let mut found = found;
    // An end stands before a start of the same value.
    found.sort_by(|a, b| a.key.cmp(&b.key).then(b.ends.cmp(&a.ends)));
    let has_ends = found.iter().any(|one| one.ends);
    let mut spans = Vec::new();
    let mut rest = found.iter().peekable();
    while let Some(one) = rest.next() {
        if one.ends {
            continue;
        }
        let below = match rest.peek() {
            _ if !has_ends => None,
            Some(next) => Some(next.key.clone()),
            // To the end of all values: longer than any of them.
            None => Some(vec![0xff; one.key.len().saturating_add(1)]),
        };
        spans.push(Span {
            from: one.key.clone(),
            below,
            by_parts: one.key_end,
            action: one.verdict.as_ref().map(|(code, chain)| action(*code, chain.as_deref())),
        });
    }
    spans
}

fn action(code: i32, chain: Option<&str>) -> Action {
    match (code, chain) {
        (1, _) => Action::Accept,
        (0, _) => Action::Drop,
        (-5, _) => Action::Return,
        (-1, _) => Action::Pass,
        (-3, Some(chain)) => Action::Jump(chain.to_owned()),
        (-4, Some(chain)) => Action::Goto(chain.to_owned()),
        (code, _) => Action::Unknown(format!("verdict {code}")),
    }
}

pub(crate) type Lookup<'l> = &'l mut dyn FnMut(&str) -> Result<Vec<Span>, nft::Error>;

/// Reads one rule by working its expressions through with what each register would hold.
pub(crate) fn read(rule: &FoundRule, lookup: Lookup<'_>) -> Result<Rule, nft::Error> {
    let mut reading = Reading::default();
    for expr in Reader::new(rule.expressions()) {
        let name = find_str(expr.value, 1).unwrap_or_default();
        let data = find(expr.value, 2).unwrap_or_default();
        reading.expression(name, data, lookup)?;
    }
    let mut text = format!("rule handle {}", rule.handle);
    if let Some(comment) = &rule.comment {
        text.push_str(&format!(", \"{comment}\""));
    }
    Ok(Rule { conditions: reading.conditions, action: reading.action, text })
}

struct Reading {
    /// What each register holds, by the place of its first byte.
    registers: HashMap<usize, Load>,
    conditions: Vec<Condition>,
    action: Action,
}

impl Default for Reading {
    fn default() -> Self {
        Self { registers: HashMap::new(), conditions: Vec::new(), action: Action::Pass }
    }
}

/// The place of a register's first byte: four of 16 bytes are 1 to 4, sixteen of 4 bytes from 8 on.
fn place(register: u32) -> usize {
    let number = register as usize;
    if number < 8 { number.saturating_sub(1) * 16 } else { (number - 8) * 4 }
}

impl Reading {
    fn expression(
        &mut self,
        name: &str,
        data: &[u8],
        lookup: Lookup<'_>,
    ) -> Result<(), nft::Error> {
        let number = |kind: u16| find_u32(data, kind);
        let value = |kind: u16| find(find(data, kind).unwrap_or_default(), 1).map(<[u8]>::to_vec);
        match name {
            "payload" | "meta" | "ct" | "fib" | "rt" | "socket" | "exthdr" | "numgen" | "hash" => {
                // One that writes has no target.
                let target = if matches!(name, "socket" | "hash") { number(2) } else { number(1) };
                if let Some(register) = target {
                    self.registers.insert(place(register), Load::of(field(name, data)));
                }
            }
            "bitwise" => {
                let (Some(from), Some(to)) = (number(1), number(2)) else { return Ok(()) };
                let mut load = self.load(from);
                match (value(4), value(5)) {
                    (Some(mask), Some(xor)) if load.mask.is_empty() && load.xor.is_empty() => {
                        (load.mask, load.xor) = (mask, xor);
                    }
                    _ => load = Load::of(Field::Unknown("a shift".into())),
                }
                self.registers.insert(place(to), load);
            }
            "byteorder" => {
                if let Some(to) = number(2) {
                    let load = Load::of(Field::Unknown("a changed byte order".into()));
                    self.registers.insert(place(to), load);
                }
            }
            "cmp" => {
                let (Some(from), Some(how), Some(with)) = (number(1), number(2), value(3)) else {
                    return Ok(());
                };
                let test = match how {
                    0 => Test::Is(with),
                    1 => Test::IsNot(with),
                    3 => Test::Between(vec![0; with.len()], Some(with)),
                    5 => Test::Between(with, None),
                    _ => {
                        self.unknown("a comparison");
                        return Ok(());
                    }
                };
                let of = vec![self.load(from)];
                self.conditions.push(Condition::Compare { of, test });
            }
            "range" => {
                let (Some(from), Some(low), Some(high)) = (number(1), value(3), value(4)) else {
                    return Ok(());
                };
                let test = match number(2) {
                    Some(1) => Test::Outside(low, high),
                    _ => Test::Between(low, Some(high)),
                };
                let of = vec![self.load(from)];
                self.conditions.push(Condition::Compare { of, test });
            }
            "lookup" => {
                let (Some(set), Some(from)) = (find_str(data, 1), number(2)) else {
                    return Ok(());
                };
                let spans = lookup(set)?;
                let length = spans.first().map_or(0, |span| span.from.len());
                let of = self.loads(from, length);
                match number(3) {
                    Some(0) => self.action = Action::Map { of, to: spans },
                    Some(to) => {
                        // A value from a map; that there is one is a condition.
                        let load = Load::of(Field::Unknown(format!("a value of map {set}")));
                        self.registers.insert(place(to), load);
                        self.conditions.push(Condition::Compare { of, test: Test::In(spans) });
                    }
                    None => {
                        let absent = number(5).is_some_and(|flags| flags & 1 != 0);
                        let test = if absent { Test::NotIn(spans) } else { Test::In(spans) };
                        self.conditions.push(Condition::Compare { of, test });
                    }
                }
            }
            "immediate" => match number(1) {
                Some(0) => {
                    let verdict = find(find(data, 2).unwrap_or_default(), 2).unwrap_or_default();
                    let code = find_u32(verdict, 1).unwrap_or(1).cast_signed();
                    self.action = action(code, find_str(verdict, 2));
                }
                Some(to) => {
                    let load = Load::of(Field::Constant(value(2).unwrap_or_default()));
                    self.registers.insert(place(to), load);
                }
                None => {}
            },
            "reject" => self.action = Action::Drop,
            "queue" => self.action = Action::Unknown("a queue".into()),
            "counter" | "log" | "notrack" | "dup" | "objref" | "last" | "flow_offload" => {}
            "match" => self.compatible_match(data),
            "target" => match find_str(data, 1).unwrap_or_default() {
                "REJECT" => self.action = Action::Drop,
                idle if is_idle_target(idle) => {}
                other => self.action = Action::Unknown(other.to_owned()),
            },
            other => self.unknown(other),
        }
        Ok(())
    }

    fn unknown(&mut self, what: &str) {
        self.conditions.push(Condition::Unknown(what.to_owned()));
    }

    fn load(&self, register: u32) -> Load {
        let nothing = || Load::of(Field::Unknown("a register".into()));
        self.registers.get(&place(register)).cloned().unwrap_or_else(nothing)
    }

    /// The values from a register on, as many as a key of `length` bytes has.
    fn loads(&self, register: u32, length: usize) -> Vec<Load> {
        let mut loads = Vec::new();
        let (mut at, mut left) = (place(register), length);
        while let Some(load) = self.registers.get(&at) {
            loads.push(load.clone());
            let width = width(&load.field).next_multiple_of(4);
            at += width;
            left = left.saturating_sub(width);
            if left == 0 {
                break;
            }
        }
        loads
    }

    /// A match of iptables' own, whose settings are its C structure (linux/netfilter/x_tables.h).
    fn compatible_match(&mut self, data: &[u8]) {
        let name = find_str(data, 1).unwrap_or_default();
        let info = find(data, 3).unwrap_or_default();
        let known = match name {
            "comment" => return,
            "conntrack" => state_of(info),
            "tcp" if info.get(8..12) == Some(&[0, 0, 0, 0]) => ports_of(info, info.get(11)),
            "udp" => ports_of(info, info.get(8)),
            _ => None,
        };
        match known {
            Some(conditions) => self.conditions.extend(conditions),
            None => self.unknown(name),
        }
    }
}

/// `struct xt_conntrack_mtinfo3`, when it asks for the state alone.
fn state_of(info: &[u8]) -> Option<Vec<Condition>> {
    const STATE: u16 = 1;
    let short =
        |at: usize| info.get(at..)?.first_chunk::<2>().map(|bytes| u16::from_ne_bytes(*bytes));
    // Eight addresses of 16 bytes, two times of 4, the protocol and four ports of 2.
    let (asked, inverted, states) = (short(146)?, short(148)?, short(150)?);
    (asked == STATE).then(|| vec![state_in(u32::from(states), inverted & STATE != 0)])
}

/// The start of `struct xt_tcp` and `struct xt_udp`: first and last port of source and destination.
fn ports_of(info: &[u8], inverted: Option<&u8>) -> Option<Vec<Condition>> {
    if inverted.is_some_and(|flags| *flags != 0) {
        return None;
    }
    let port = |at: usize| {
        let bytes = info.get(at..)?.first_chunk::<2>()?;
        Some(u16::from_ne_bytes(*bytes).to_be_bytes().to_vec())
    };
    let mut conditions = Vec::new();
    for (at, offset) in [(0, 0), (4, 2)] {
        let (low, high) = (port(at)?, port(at + 2)?);
        if low != [0, 0] || high != [0xff, 0xff] {
            let of = vec![Load::of(Field::Transport { offset, length: 2 })];
            conditions.push(Condition::Compare { of, test: Test::Between(low, Some(high)) });
        }
    }
    Some(conditions)
}

fn field(name: &str, data: &[u8]) -> Field {
    let number = |kind: u16| find_u32(data, kind).unwrap_or(u32::MAX);
    match (name, number(2)) {
        ("payload", header @ (1 | 2)) => {
            let (offset, length) = (number(3) as usize, number(4) as usize);
            if header == 1 {
                Field::Network { offset, length }
            } else {
                Field::Transport { offset, length }
            }
        }
        ("meta", 1) => Field::FrameProtocol,
        ("meta", 4) => Field::IncomingIndex,
        ("meta", 5) => Field::OutgoingIndex,
        ("meta", 6) => Field::IncomingName,
        ("meta", 7) => Field::OutgoingName,
        ("meta", 15) => Field::NetworkProtocol,
        ("meta", 16) => Field::TransportProtocol,
        ("ct", 0) => Field::ConnectionState,
        ("ct", 2) => Field::ConnectionStatus,
        (name, key) => Field::Unknown(format!("{name} {key}")),
    }
}

/// Bytes of a field in registers.
fn width(field: &Field) -> usize {
    match field {
        Field::Network { length, .. } | Field::Transport { length, .. } => (*length).max(1),
        Field::IncomingName | Field::OutgoingName => 16,
        Field::Constant(bytes) => bytes.len().max(1),
        _ => 4,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn found(key: u8, ends: bool) -> FoundSpan {
        FoundSpan { key: vec![key], ends, key_end: false, verdict: None }
    }

    #[test]
    fn spans_are_paired() {
        let pairs: Vec<_> = spans(vec![found(9, true), found(0, true), found(5, false)])
            .into_iter()
            .map(|span| (span.from, span.below))
            .collect();
        assert_eq!(pairs, [(vec![5], Some(vec![9]))]);
        assert_eq!(spans(vec![found(5, false)])[0].below, None);
        let open = spans(vec![found(0, true), found(200, false)]);
        assert_eq!(open[0].below, Some(vec![0xff, 0xff]));
    }

    #[test]
    fn registers_have_two_names() {
        assert_eq!((place(1), place(8), place(9), place(2)), (0, 0, 4, 16));
    }
}
