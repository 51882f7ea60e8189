//! Tables, chains and rules: what stands still while elements come and go.

use super::Name;
use super::attribute;
use super::expr::Expr;
use super::message::{Kind, Messages, flags};
use super::set::Set;
use super::userdata;
use crate::kernel::attr::Writer;

/// Which packets a table sees (`NFPROTO_*` of linux/netfilter.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Family {
    /// None in particular; only for questions.
    Unspecified = 0,
    /// IPv4 and IPv6.
    Inet = 1,
    /// IPv4.
    Ip = 2,
    /// Frames that pass a bridge.
    Bridge = 7,
    /// IPv6.
    Ip6 = 10,
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "any",
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Bridge => "bridge",
            Self::Ip6 => "ip6",
        })
    }
}

/// A table of one purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Which packets it sees.
    pub family: Family,
    /// Its name, unique in its family.
    pub name: Name,
    /// What it is for, as `nft list` shows it (Linux 5.10 and later keep it).
    pub comment: Option<Name>,
}

/// Where a base chain is hooked into the packet's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// "filter", "nat" or "route".
    pub kind: Name,
    /// `NF_INET_*` or `NF_BR_*` of linux/netfilter.h: see the constants.
    pub point: u32,
    /// Lower runs earlier.
    pub priority: i32,
}

impl Hook {
    /// Before routing: `NF_INET_PRE_ROUTING`, `NF_BR_PRE_ROUTING`.
    pub const PREROUTING: u32 = 0;
    /// To this host: `NF_INET_LOCAL_IN`.
    pub const INPUT: u32 = 1;
    /// Through this host: `NF_INET_FORWARD`.
    pub const FORWARD: u32 = 2;
    /// From this host: `NF_INET_LOCAL_OUT`.
    pub const OUTPUT: u32 = 3;
    /// On the way out: `NF_INET_POST_ROUTING`.
    pub const POSTROUTING: u32 = 4;
}

/// A chain and all its rules. A base chain has a hook and accepts what no rule decides.
///
/// One without hook and rules is there for others to fill: it is made, and never emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name, unique in its table.
    pub name: Name,
    /// Where packets come in; without one, only by jump and goto.
    pub hook: Option<Hook>,
    /// What it is for (Linux 5.10 and later keep it).
    pub comment: Option<Name>,
    /// The rules in order.
    pub rules: Vec<Rule>,
}

/// A rule: expressions that are worked through from left to right until one does not match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// What it does.
    pub exprs: Vec<Expr>,
    /// Why, as `nft list` shows it.
    pub comment: Option<Name>,
}

/// The name of a chain with its table and family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainName {
    /// The table's family.
    pub family: Family,
    /// The table.
    pub table: Name,
    /// The chain.
    pub chain: Name,
}

impl std::fmt::Display for ChainName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "chain {} of table {} {}", self.chain, self.family, self.table)
    }
}

/// The constant part of a purpose: a table with sets and chains.
///
/// Sending it again changes nothing that a packet could notice: what is there stays, and chains are
/// emptied and filled within the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The table.
    pub table: Table,
    /// The sets that rules look into.
    pub sets: Vec<Set>,
    /// The chains, with all their rules.
    pub chains: Vec<Chain>,
}

/// Which part of a [`Base`] a message was about, for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The table.
    Table,
    /// The set at this place.
    Set(usize),
    /// The chain at this place.
    Chain(usize),
    /// Emptying the chain at this place.
    Flush(usize),
    /// The rule at the second place of the chain at the first.
    Rule(usize, usize),
}

/// `NF_ACCEPT`.
const ACCEPT: u32 = 1;

impl Base {
    /// Writes the messages that make it so, and calls `wrote` with each message's sequence number
    /// and part. Sets are numbered from `first_set_id` on within the transaction.
    pub(super) fn write(
        &self,
        messages: &mut Messages,
        first_set_id: u32,
        mut wrote: impl FnMut(u32, Part),
    ) {
        let Table { family, name, comment } = &self.table;
        let family = *family;
        let sequence = messages.request(Kind::NewTable, flags::CREATE, family, |writer| {
            writer.string(attribute::TABLE_NAME, name);
            writer.u32(attribute::TABLE_FLAGS, 0);
            if let Some(comment) = comment {
                userdata::write_comment(writer, attribute::TABLE_USERDATA, comment);
            }
        });
        wrote(sequence, Part::Table);
        for ((place, set), id) in self.sets.iter().enumerate().zip(first_set_id..) {
            let sequence = messages
                .request(Kind::NewSet, flags::CREATE, family, |writer| set.write(writer, name, id));
            wrote(sequence, Part::Set(place));
        }
        // All chains before any rule, since rules may jump to chains further down.
        for (place, chain) in self.chains.iter().enumerate() {
            let sequence = messages.request(Kind::NewChain, flags::CREATE, family, |writer| {
                chain.write(writer, name);
            });
            wrote(sequence, Part::Chain(place));
        }
        let ours = |chain: &Chain| !chain.is_for_others();
        for (place, chain) in self.chains.iter().enumerate().filter(|(_, chain)| ours(chain)) {
            let sequence = write_flush(messages, family, name, &chain.name);
            wrote(sequence, Part::Flush(place));
            for (number, rule) in chain.rules.iter().enumerate() {
                let sequence = messages.request(
                    Kind::NewRule,
                    flags::CREATE | flags::APPEND,
                    family,
                    |writer| rule.write(writer, name, &chain.name),
                );
                wrote(sequence, Part::Rule(place, number));
            }
        }
    }

    /// What the message about `part` does, as an infinitive.
    pub(super) fn describe(&self, part: Part) -> String {
        let Table { family, name, .. } = &self.table;
        let chain = |place: usize| self.chains.get(place).map(|chain| &*chain.name).unwrap_or("?");
        match part {
            Part::Table => format!("make table {family} {name}"),
            Part::Set(place) => {
                let set = self.sets.get(place).map(|set| &*set.name).unwrap_or("?");
                format!("make set {set} of table {family} {name}")
            }
            Part::Chain(place) => format!("make chain {} of table {family} {name}", chain(place)),
            Part::Flush(place) => format!("empty chain {} of table {family} {name}", chain(place)),
            Part::Rule(place, number) => format!(
                "add rule {} to chain {} of table {family} {name}",
                number.saturating_add(1),
                chain(place)
            ),
        }
    }

    /// The feature that the kernel lacks when it does not know `part`.
    pub(super) fn feature(&self, part: Part) -> String {
        let family = self.table.family;
        let chain = |place: usize| self.chains.get(place);
        match part {
            Part::Chain(place) | Part::Flush(place) => {
                match chain(place).and_then(|chain| chain.hook.as_ref()) {
                    Some(hook) if hook.kind == "nat" && family == Family::Inet => {
                        "nf_tables chains of type nat in family inet (Linux 5.2, CONFIG_NFT_NAT, \
                         CONFIG_NF_TABLES_INET)"
                            .to_owned()
                    }
                    Some(hook) => {
                        format!("nf_tables chains of type {} in family {family}", hook.kind)
                    }
                    None => format!("nf_tables in family {family}"),
                }
            }
            Part::Rule(place, number) => {
                let rule = chain(place).and_then(|chain| chain.rules.get(number));
                let names: Vec<_> = rule
                    .map(|rule| rule.exprs.iter().map(Expr::name).collect())
                    .unwrap_or_default();
                format!("one of the nf_tables expressions {}", names.join(", "))
            }
            Part::Table => format!("nf_tables in family {family}"),
            Part::Set(_) => "nf_tables sets of this kind (CONFIG_NF_TABLES)".to_owned(),
        }
    }
}

impl Chain {
    /// Whether its rules are somebody else's business.
    pub(super) fn is_for_others(&self) -> bool {
        self.hook.is_none() && self.rules.is_empty()
    }

    fn write(&self, writer: &mut Writer, table: &str) {
        writer.string(attribute::CHAIN_TABLE, table);
        writer.string(attribute::CHAIN_NAME, &self.name);
        if let Some(hook) = &self.hook {
            writer.string(attribute::CHAIN_TYPE, &hook.kind);
            writer.u32(attribute::CHAIN_POLICY, ACCEPT);
            writer.nested(attribute::CHAIN_HOOK, |writer| {
                writer.u32(attribute::HOOK_NUMBER, hook.point);
                writer.u32(attribute::HOOK_PRIORITY, hook.priority.cast_unsigned());
            });
        }
        if let Some(comment) = &self.comment {
            userdata::write_comment(writer, attribute::CHAIN_USERDATA, comment);
        }
    }
}

impl Rule {
    /// A rule of `exprs` without comment.
    pub fn new(exprs: impl Into<Vec<Expr>>) -> Self {
        Self { exprs: exprs.into(), comment: None }
    }

    /// The same rule with a comment.
    pub fn with_comment(mut self, comment: impl Into<Name>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    fn write(&self, writer: &mut Writer, table: &str, chain: &str) {
        writer.string(attribute::RULE_TABLE, table);
        writer.string(attribute::RULE_CHAIN, chain);
        writer.nested(attribute::RULE_EXPRESSIONS, |writer| self.write_exprs(writer));
        if let Some(comment) = &self.comment {
            userdata::write_comment(writer, attribute::RULE_USERDATA, comment);
        }
    }

    /// Writes the list of expressions, without the attribute around it.
    pub(super) fn write_exprs(&self, writer: &mut Writer) {
        for expr in &self.exprs {
            expr.write(writer);
        }
    }
}

/// Writes a message that removes every rule of a chain.
pub(super) fn write_flush(
    messages: &mut Messages,
    family: Family,
    table: &str,
    chain: &str,
) -> u32 {
    messages.request(Kind::DelRule, 0, family, |writer| {
        writer.string(attribute::RULE_TABLE, table);
        writer.string(attribute::RULE_CHAIN, chain);
    })
}

/// Writes a message that removes one rule.
pub(super) fn write_delete_rule(messages: &mut Messages, chain: &ChainName, handle: u64) -> u32 {
    messages.request(Kind::DelRule, 0, chain.family, |writer| {
        writer.string(attribute::RULE_TABLE, &chain.table);
        writer.string(attribute::RULE_CHAIN, &chain.chain);
        writer.u64(attribute::RULE_HANDLE, handle);
    })
}

/// Writes a message that removes a chain; the kernel refuses (`EBUSY`) while rules jump to it.
pub(super) fn write_delete_chain(messages: &mut Messages, chain: &ChainName) -> u32 {
    messages.request(Kind::DelChain, 0, chain.family, |writer| {
        writer.string(attribute::CHAIN_TABLE, &chain.table);
        writer.string(attribute::CHAIN_NAME, &chain.chain);
    })
}
