//! What becomes of a packet among the rules of this host, whoever made them: rules are read into one
//! model, from nf_tables ([`nftables`]) and from what iptables-save prints of iptables-legacy
//! ([`xtables`]), and a packet is led through them ([`Ruleset::judge`]).
//!
//! Nothing is sent. What the model cannot say of a rule (a limit, an address type, a queue) is kept as
//! unknown, and the answer says so if it depends on that.

pub mod nftables;
mod walk;
pub mod xtables;

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use walk::{Culprit, Judgement};

/// Which packets a chain sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Frames that pass a bridge.
    Bridge,
}

impl Family {
    /// Whether it is for such packets.
    pub fn covers(self, packet: &Packet) -> bool {
        match self {
            Self::Bridge => packet.bridged,
            _ if packet.bridged => false,
            Self::Inet => true,
            Self::Ip => packet.source.is_ipv4(),
            Self::Ip6 => packet.source.is_ipv6(),
        }
    }

    /// nft's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Bridge => "bridge",
        }
    }
}

/// Who keeps a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keeper {
    /// nf_tables, used by nft or by iptables-nft.
    Nftables,
    /// iptables-legacy.
    IptablesLegacy,
}

/// Where a base chain stands in a packet's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// "filter", "nat" or "route".
    pub kind: String,
    /// `NF_INET_*` of linux/netfilter.h.
    pub point: u32,
    /// Lower runs earlier.
    pub priority: i32,
}

/// `NF_INET_LOCAL_IN`: to this host.
pub const INPUT: u32 = 1;
/// `NF_INET_FORWARD`: through this host.
pub const FORWARD: u32 = 2;

/// A chain with its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Who keeps it.
    pub keeper: Keeper,
    /// Its table's family.
    pub family: Family,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Where packets come in; without one, only by jump and goto.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<Hook>,
    /// Whether a base chain drops what no rule decides.
    #[serde(default)]
    pub drops: bool,
    /// The rules in order.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

impl Chain {
    /// Whether it is one of iptables' own, in either of its homes.
    pub fn is_of_iptables(&self) -> bool {
        let own = ["filter", "nat", "mangle", "raw", "security"];
        let built_in = self.name.chars().all(|letter| letter.is_ascii_uppercase());
        self.keeper == Keeper::IptablesLegacy
            || (matches!(self.family, Family::Ip | Family::Ip6)
                && own.contains(&self.table.as_str())
                && (built_in || self.hook.is_none()))
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_of_iptables() {
            let program = if self.family == Family::Ip6 { "ip6tables" } else { "iptables" };
            let legacy = if self.keeper == Keeper::IptablesLegacy { "-legacy" } else { "" };
            return write!(out, "chain {} of table {} ({program}{legacy})", self.name, self.table);
        }
        write!(out, "chain {} of nftables table {} {}", self.name, self.family.as_str(), self.table)
    }
}

/// A rule: the conditions, then what is done when all hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What must hold.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// What is done.
    pub action: Action,
    /// How people find it: its specification, or its handle.
    pub text: String,
}

/// Something that a rule asks of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Condition {
    /// A comparison.
    Compare {
        /// What is compared, one value after the other, each filled up to four bytes.
        of: Vec<Load>,
        /// With what.
        test: Test,
    },
    /// Something that cannot be told by looking, by its name.
    Unknown(String),
}

/// A value taken from a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// What.
    pub field: Field,
    /// Bits that count; empty for all.
    #[serde(default)]
    pub mask: Vec<u8>,
    /// Bits that are turned round after that.
    #[serde(default)]
    pub xor: Vec<u8>,
}

impl Load {
    /// A value as it is.
    pub fn of(field: Field) -> Self {
        Self { field, mask: Vec::new(), xor: Vec::new() }
    }
}

/// A part of a packet, or something known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Field {
    /// Bytes of the network header.
    Network {
        /// From here on.
        offset: usize,
        /// So many.
        length: usize,
    },
    /// Bytes of the transport header.
    Transport {
        /// From here on.
        offset: usize,
        /// So many.
        length: usize,
    },
    /// The source address, whatever the family.
    Source,
    /// The destination address, whatever the family.
    Destination,
    /// The incoming link's name, filled with NUL to 16 bytes.
    IncomingName,
    /// The outgoing link's name.
    OutgoingName,
    /// The incoming link's index.
    IncomingIndex,
    /// The outgoing link's index.
    OutgoingIndex,
    /// `NFPROTO_*`.
    NetworkProtocol,
    /// The protocol that the frame says it carries (`ETH_P_*`), in network byte order.
    FrameProtocol,
    /// The transport protocol's number.
    TransportProtocol,
    /// The connection's state, as `NF_CT_STATE_BIT`.
    ConnectionState,
    /// `IPS_*` of the connection.
    ConnectionStatus,
    /// A constant.
    Constant(Vec<u8>),
    /// Something that is not known.
    Unknown(String),
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Test {
    /// It begins with these bytes.
    Is(Vec<u8>),
    /// It does not begin with these bytes.
    IsNot(Vec<u8>),
    /// It is at least the first, and at most the second, where there is one.
    Between(Vec<u8>, Option<Vec<u8>>),
    /// It is below the first, or above the second.
    Outside(Vec<u8>, Vec<u8>),
    /// It is in one of these spans.
    In(Vec<Span>),
    /// It is in none of these spans.
    NotIn(Vec<Span>),
}

/// An element of a set: one value, or all from one to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The value, or the first.
    pub from: Vec<u8>,
    /// One past the last, for a span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Vec<u8>>,
    /// The last of each part of a concatenated key: such spans are not compared.
    #[serde(default)]
    pub by_parts: bool,
    /// What is done with it, in a map of verdicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Nothing that decides: it counts, logs, marks.
    Pass,
    /// Lets the packet pass this base chain.
    Accept,
    /// Throws it away, with an answer or without.
    Drop,
    /// Goes back to the calling chain.
    Return,
    /// Calls a chain.
    Jump(String),
    /// Goes to a chain for good.
    Goto(String),
    /// What a map says for a value.
    Map {
        /// The value.
        of: Vec<Load>,
        /// The map.
        to: Vec<Span>,
    },
    /// Something that cannot be told by looking, by its name.
    Unknown(String),
}

/// A packet that a question is about.
#[derive(Debug, Clone)]
pub struct Packet {
    /// From whom.
    pub source: IpAddr,
    /// To whom; of the source's family.
    pub destination: IpAddr,
    /// Name and index of the link it comes in by.
    pub input: (String, u32),
    /// Name and index of the link it goes out by.
    pub output: (String, u32),
    /// The transport protocol's number; `None` when it is not said.
    pub protocol: Option<u8>,
    /// The port it comes from.
    pub source_port: Option<u16>,
    /// The port it goes to.
    pub port: Option<u16>,
    /// Whether it answers what went the other way; otherwise it opens a connection.
    pub answers: bool,
    /// Whether the connection's destination was rewritten.
    pub redirected: bool,
    /// Whether it passes a bridge, from port to port: it meets the chains of that family alone.
    pub bridged: bool,
}

impl Packet {
    /// The packet that answers it.
    pub fn answer(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            input: self.output.clone(),
            output: self.input.clone(),
            source_port: self.port,
            port: None,
            answers: true,
            ..*self
        }
    }
}

/// Every chain of the host that a question may be about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// The chains.
    pub chains: Vec<Chain>,
}
