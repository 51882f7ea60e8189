//! Rules of iptables' filter table, as far as the firewall makes and looks for them; read from what
//! nf_tables lists and from what iptables-save prints.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::kernel::attr;
use crate::kernel::nft::expr::Compare;
use crate::kernel::nft::parts::Part;

/// The connection states of answers, in iptables' words.
const ANSWERS: &str = "RELATED,ESTABLISHED";

/// An interface that a rule is for, or is not for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The link's name; with a `+` at its end, all that begin so.
    pub name: String,
    /// For all but this one.
    pub not: bool,
}

/// A rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// `-s`, one address.
    pub source: Option<IpAddr>,
    /// `-d`, one address.
    pub destination: Option<IpAddr>,
    /// `-i`.
    pub input: Option<Interface>,
    /// `-o`.
    pub output: Option<Interface>,
    /// Only answers to what went the other way: `--ctstate RELATED,ESTABLISHED`.
    pub answers: bool,
    /// `-j`: ACCEPT, DROP, RETURN or a chain.
    pub target: String,
    /// `--comment`, without quotes and backslashes; empty when there is none, or it was not read.
    pub comment: String,
}

impl Rule {
    /// A rule for all packets.
    pub fn jump(target: &str, comment: &str) -> Self {
        Self { target: target.to_owned(), comment: comment.to_owned(), ..Self::default() }
    }

    /// Whether both decide the same packets alike; comments are not compared.
    pub fn does(&self, other: &Self) -> bool {
        let plain = |rule: &Self| Self { comment: String::new(), ..rule.clone() };
        plain(self) == plain(other)
    }

    /// Its specification, as iptables-restore reads it after `-A CHAIN`.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut put = |option: &str, value: &str| {
            // Writing into a String cannot fail.
            let _ = write!(text, "{option} {value} ");
        };
        for (option, address) in [("-s", self.source), ("-d", self.destination)] {
            if let Some(address) = address {
                put(option, &format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }));
            }
        }
        for (option, not, interface) in [("-i", "! -i", &self.input), ("-o", "! -o", &self.output)]
        {
            if let Some(interface) = interface {
                put(if interface.not { not } else { option }, &interface.name);
            }
        }
        if self.answers {
            put("-m conntrack --ctstate", ANSWERS);
        }
        if !self.comment.is_empty() {
            put("-m comment --comment", &format!("\"{}\"", self.comment));
        }
        put("-j", &self.target);
        text.truncate(text.trim_end().len());
        text
    }

    /// Reads a specification as iptables-save prints it; `None` when it says anything more.
    pub(super) fn of_text(specification: &str) -> Option<Self> {
        let words = words(specification);
        let mut words = words.iter().map(String::as_str);
        let mut rule = Self::default();
        while let Some(word) = words.next() {
            let not = word == "!";
            let option = if not { words.next()? } else { word };
            let value = words.next()?;
            match (option, value) {
                ("-i", name) => rule.input = Some(Interface { name: name.to_owned(), not }),
                ("-o", name) => rule.output = Some(Interface { name: name.to_owned(), not }),
                _ if not => return None,
                ("-s", address) => rule.source = Some(whole(address)?),
                ("-d", address) => rule.destination = Some(whole(address)?),
                ("-m", "comment" | "conntrack") => {}
                ("--ctstate", ANSWERS) => rule.answers = true,
                ("--comment", comment) => rule.comment = comment.to_owned(),
                ("-j", target) => rule.target = target.to_owned(),
                _ => return None,
            }
        }
        Some(rule)
    }

    /// Reads what iptables-nft made of a rule; `None` when it says anything more.
    pub(super) fn of_parts<'a>(parts: impl Iterator<Item = Part<'a>>, v6: bool) -> Option<Self> {
        let mut rule = Self::default();
        let mut loaded = Part::Other;
        let length = if v6 { 16 } else { 4 };
        for part in parts {
            match part {
                Part::Compare(how, with) => {
                    let not = how == Compare::NotEqual;
                    let interface = || interface(with, not);
                    match loaded {
                        Part::IncomingName => rule.input = Some(interface()?),
                        Part::OutgoingName => rule.output = Some(interface()?),
                        Part::Network { offset, length: is } if !not && is == length => {
                            match (offset, v6) {
                                (12, false) | (8, true) => rule.source = Some(address(with)?),
                                (16, false) | (24, true) => rule.destination = Some(address(with)?),
                                _ => return None,
                            }
                        }
                        _ => return None,
                    }
                }
                Part::Match("comment") | Part::Counter => {}
                Part::Match("conntrack") => rule.answers = true,
                Part::Accept => "ACCEPT".clone_into(&mut rule.target),
                Part::Drop => "DROP".clone_into(&mut rule.target),
                Part::Return => "RETURN".clone_into(&mut rule.target),
                Part::Jump(chain) => chain.clone_into(&mut rule.target),
                Part::Network { .. } | Part::IncomingName | Part::OutgoingName => loaded = part,
                Part::Match(_) | Part::Other => return None,
            }
        }
        Some(rule)
    }
}

/// An address with the prefix length of a whole one.
fn whole(text: &str) -> Option<IpAddr> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    (prefix == if address.is_ipv4() { "32" } else { "128" }).then_some(address)
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
    }
}

/// iptables compares a name with its NUL, and the beginning of a name without one.
fn interface(compared: &[u8], not: bool) -> Option<Interface> {
    let mut name = attr::text(compared)?.to_owned();
    if !compared.contains(&0) {
        name.push('+');
    }
    Some(Interface { name, not })
}

/// The words of a line; what stands in double quotes is one, and a backslash takes the next
/// character as it is.
pub(in crate::kernel) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let bridge = |not| Some(Interface { name: "br0".into(), not });
        let address = Some("10.88.0.5".parse().unwrap());
        let rules = [
            Rule::jump("CNI-FORWARD", "CNI firewall plugin rules"),
            Rule { destination: address, answers: true, ..Rule::jump("ACCEPT", "") },
            Rule { source: Some("fd00::5".parse().unwrap()), ..Rule::jump("ACCEPT", "") },
            Rule { input: bridge(false), output: bridge(true), ..Rule::jump("X", "a (b: c)") },
        ];
        for rule in rules {
            assert_eq!(Rule::of_text(&rule.text()).unwrap(), rule);
        }
    }

    #[test]
    fn a_rule_that_says_more_is_not_taken_for_one_of_ours() {
        for more in [
            "-s 10.88.0.0/24 -j ACCEPT",
            "! -s 10.88.0.5/32 -j ACCEPT",
            "-s 10.88.0.5/32 -p tcp -j ACCEPT",
            "-s 10.88.0.5/32 -m mark --mark 0x1 -j ACCEPT",
            "-d 10.88.0.5/32 -m conntrack --ctstate NEW -j ACCEPT",
            "-j LOG --log-prefix \"a b\"",
        ] {
            assert_eq!(Rule::of_text(more), None, "{more}");
        }
    }

    #[test]
    fn parts_are_read_as_iptables_nft_writes_them() {
        let parts = [
            Part::IncomingName,
            Part::Compare(Compare::Equal, b"br0\0"),
            Part::OutgoingName,
            Part::Compare(Compare::NotEqual, b"br0\0"),
            Part::Match("comment"),
            Part::Counter,
            Part::Jump("CNI-ISOLATION-STAGE-2"),
        ];
        let rule = Rule::of_parts(parts.into_iter(), false).unwrap();
        assert_eq!(rule.text(), "-i br0 ! -o br0 -j CNI-ISOLATION-STAGE-2");
        let parts = [
            Part::Network { offset: 16, length: 4 },
            Part::Compare(Compare::Equal, &[10, 88, 0, 5]),
            Part::Match("conntrack"),
            Part::Accept,
        ];
        let rule = Rule::of_parts(parts.into_iter(), false).unwrap();
        assert_eq!(
            rule.text(),
            "-d 10.88.0.5/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        );
        let masked =
            [Part::Network { offset: 12, length: 3 }, Part::Compare(Compare::Equal, &[10, 88, 0])];
        assert_eq!(Rule::of_parts(masked.into_iter(), false), None);
        assert_eq!(Rule::of_parts([Part::Match("mark")].into_iter(), false), None);
        let prefix = [Part::IncomingName, Part::Compare(Compare::Equal, b"veth")];
        let rule = Rule::of_parts(prefix.into_iter(), false).unwrap();
        assert_eq!(rule.input.unwrap().name, "veth+");
    }
}
