//! What else a packet must be like for a mapping to count: the few forms of nft's own language that
//! can be said of the first packet of a connection.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::kernel::legacy::sha512;
use crate::kernel::nft::expr::{Compare, Expr, Meta, Register};
use crate::kernel::nft::{Key, phrase};
use crate::protocol::names;

/// The forms that [`parse`] knows, for error messages.
pub const FORMS: &str = "ip saddr, ip daddr, ip6 saddr or ip6 daddr with an address or a network, \
                         iifname with a name, meta mark with a number; each also with !=";

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Of what.
    what: What,
    /// Whether it must be otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    not: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum What {
    Source(IpNetwork),
    Destination(IpNetwork),
    Incoming(String),
    Mark(u32),
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let not = if self.not { "!= " } else { "" };
        let ip = |net: &IpNetwork| if net.is_ipv4() { "ip" } else { "ip6" };
        match &self.what {
            What::Source(net) => write!(f, "{} saddr {not}{net}", ip(net)),
            What::Destination(net) => write!(f, "{} daddr {not}{net}", ip(net)),
            What::Incoming(name) => write!(f, "iifname {not}\"{name}\""),
            What::Mark(mark) => write!(f, "meta mark {not}{mark:#x}"),
        }
    }
}

impl Condition {
    pub(super) fn exprs(&self) -> Vec<Expr> {
        let how = if self.not { Compare::NotEqual } else { Compare::Equal };
        let known = |key, with| {
            vec![
                Expr::Meta { key, to: Register::FIRST },
                Expr::Compare { from: Register::FIRST, how, with },
            ]
        };
        match &self.what {
            What::Source(net) => phrase::source_in(*net, how),
            What::Destination(net) => phrase::destination_in(*net, how),
            What::Incoming(name) => {
                known(Meta::IncomingName, Key::interface(name).as_bytes().to_vec())
            }
            What::Mark(mark) => known(Meta::Mark, mark.to_ne_bytes().to_vec()),
        }
    }
}

/// Reads the conditions of one family, in nft's language, however they are cut into words.
///
/// # Errors
/// What is wrong, in words.
pub fn parse(texts: &[String], v6: bool) -> Result<Vec<Condition>, String> {
    let text = texts.join(" ");
    let mut words = text.split_whitespace().peekable();
    let mut conditions = Vec::new();
    while let Some(word) = words.next() {
        let what = match word {
            "ip" | "ip6" | "meta" => format!("{word} {}", words.next().unwrap_or_default()),
            "mark" => "meta mark".to_owned(),
            word => word.to_owned(),
        };
        let not = words.next_if_eq(&"!=").is_some();
        if !not {
            words.next_if_eq(&"==");
        }
        let value = words.next().unwrap_or_default();
        let network = || network(value, v6);
        let what = match what.as_str() {
            "ip saddr" if !v6 => What::Source(network()?),
            "ip6 saddr" if v6 => What::Source(network()?),
            "ip daddr" if !v6 => What::Destination(network()?),
            "ip6 daddr" if v6 => What::Destination(network()?),
            "iifname" | "meta iifname" => {
                let name = value.trim_matches('"');
                names::interface_name(name).map_err(|error| error.to_string())?;
                What::Incoming(name.to_owned())
            }
            "meta mark" => What::Mark(number(value)?),
            other => return Err(format!("\"{other}\" is none of the conditions known: {FORMS}")),
        };
        conditions.push(Condition { what, not });
    }
    Ok(conditions)
}

fn network(text: &str, v6: bool) -> Result<IpNetwork, String> {
    let network: Option<IpNetwork> = text.parse().ok();
    let of_family = network.filter(|network| network.is_ipv6() == v6);
    let network = of_family
        .ok_or_else(|| format!("\"{text}\" is no address or network of the right family"))?;
    let whole: IpAddr = network.network();
    IpNetwork::new(whole, network.prefix()).map_err(|error| error.to_string())
}

fn number(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("\"{text}\" is no number of 32 bits"))
}

/// What tells the chains and maps of these conditions from others; nothing without conditions.
pub(super) fn suffix(conditions: &[Condition]) -> String {
    if conditions.is_empty() {
        return String::new();
    }
    let text: Vec<String> = conditions.iter().map(ToString::to_string).collect();
    let mut hash = sha512(&text.join(" "));
    hash.truncate(8);
    format!("-{hash}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split('|').map(str::to_owned).collect()
    }

    #[test]
    fn conditions_are_read_however_they_are_cut() {
        for (text, v6, wanted) in [
            ("ip saddr 10.0.0.0/8", false, "ip saddr 10.0.0.0/8"),
            ("ip|saddr|!=|10.1.2.3/8", false, "ip saddr != 10.0.0.0/8"),
            ("ip daddr == 10.0.0.1", false, "ip daddr 10.0.0.1/32"),
            ("ip6 daddr fd00::1", true, "ip6 daddr fd00::1/128"),
            ("iifname \"eth0\"|mark 0x10", true, "iifname \"eth0\" meta mark 0x10"),
            ("meta iifname != eth0", false, "iifname != \"eth0\""),
        ] {
            let read = parse(&words(text), v6).unwrap();
            let read: Vec<_> = read.iter().map(ToString::to_string).collect();
            assert_eq!(read.join(" "), wanted);
        }
        assert_eq!(parse(&[], false).unwrap(), []);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (text, v6) in [
            ("ip saddr fd00::/64", false),
            ("ip6 saddr fd00::/64", false),
            ("ip saddr 10.0.0.0/8", true),
            ("ip saddr", false),
            ("iifname a/b", false),
            ("tcp sport 80", false),
            ("mark 0x1ffffffff", false),
            ("ip saddr { 10.0.0.0/8 }", false),
        ] {
            assert!(parse(&words(text), v6).is_err(), "{text}");
        }
    }

    #[test]
    fn wording_alone_makes_no_difference() {
        let one = parse(&words("ip saddr 10.1.0.0/8"), false).unwrap();
        let other = parse(&words("ip|saddr|10.0.0.0/8"), false).unwrap();
        assert_eq!(suffix(&one), suffix(&other));
        assert_eq!(suffix(&[]), "");
        assert_ne!(suffix(&one), "");
    }
}
