//! iptables' nat table as iptables-save prints it, whichever home the table has.

use super::Error;
use super::filter_table::{self, Home, rule::words};
use super::iptables::Family;
use super::legacy::{self, xtables};

/// The table's name.
pub const TABLE: &str = "nat";

/// Some chains of the table, as they were when they were read.
#[derive(Debug, Default)]
pub struct NatTable {
    chains: Vec<String>,
    rules: Vec<SavedRule>,
}

/// A rule as printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedRule {
    /// The chain that it is in.
    pub chain: String,
    /// Chain and specification, as they stand after `-A`.
    pub text: String,
    /// The specification's words, quotes and backslashes taken off.
    pub words: Vec<String>,
}

impl SavedRule {
    /// The word after the last `option`.
    pub fn value(&self, option: &str) -> Option<&str> {
        let place = self.words.iter().rposition(|word| word == option)?;
        self.words.get(place.checked_add(1)?).map(String::as_str)
    }

    /// What its comments say, in their order.
    pub fn comments(&self) -> impl Iterator<Item = &str> {
        let pairs = self.words.iter().zip(self.words.iter().skip(1));
        pairs.filter(|(word, _)| *word == "--comment").map(|(_, comment)| comment.as_str())
    }
}

impl NatTable {
    /// Reads the chains that `wanted` accepts, where the programs on PATH keep them: with one run of
    /// iptables-save, or none when iptables-legacy has no such table.
    ///
    /// # Errors
    /// [`Error::NoProgram`] and [`Error::Program`]. `needed_for` is the configuration key that asks
    /// for iptables.
    pub fn read(
        family: Family,
        wanted: &dyn Fn(&str) -> bool,
        needed_for: &str,
    ) -> Result<Self, Error> {
        let saved = match filter_table::home(family, needed_for)? {
            Home::Nft => family.save(TABLE, needed_for)?,
            Home::Legacy => {
                let [ipv4, ipv6] = xtables::FAMILIES;
                let legacy = if family == Family::Ipv4 { ipv4 } else { ipv6 };
                if legacy.has(TABLE) { legacy.save(TABLE).map_err(plain)? } else { String::new() }
            }
        };
        Ok(Self::of_text(&saved, wanted))
    }

    /// Reads what iptables-save printed.
    pub fn of_text(saved: &str, wanted: &dyn Fn(&str) -> bool) -> Self {
        let mut table = Self::default();
        for line in saved.lines() {
            if let Some(declared) = line.strip_prefix(':') {
                let name = declared.split(' ').next().unwrap_or_default();
                if wanted(name) {
                    table.chains.push(name.to_owned());
                }
            } else if let Some(text) = line.strip_prefix("-A ")
                && let Some((chain, specification)) = text.split_once(' ')
                && wanted(chain)
            {
                table.rules.push(SavedRule {
                    chain: chain.to_owned(),
                    text: text.to_owned(),
                    words: words(specification),
                });
            }
        }
        table
    }

    /// Whether a chain was there.
    pub fn has_chain(&self, name: &str) -> bool {
        self.chains.iter().any(|chain| chain == name)
    }

    /// The rules of a chain in their order.
    pub fn rules<'t>(&'t self, chain: &'t str) -> impl Iterator<Item = &'t SavedRule> {
        self.rules.iter().filter(move |rule| rule.chain == chain)
    }
}

fn plain(error: legacy::Error) -> Error {
    match error {
        legacy::Error::Nft(error) => error.into(),
        legacy::Error::Program { program, problem } => Error::Program { program, problem },
    }
}

/// A word as iptables-restore reads it: what is not plain stands in double quotes, in which a
/// backslash takes the next character as it is.
pub fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,+=[]!@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    let mut text = String::with_capacity(word.len().saturating_add(2));
    text.push('"');
    for character in word.chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_read_back_as_one_word() {
        for word in [
            "plain",
            "",
            "a b",
            "a\"b",
            "a\\",
            "\\\"",
            "'",
            "#x",
            "-j",
            "ä",
            "10.0.0.0/8",
            "a -j ACCEPT",
        ] {
            let text = quoted(word);
            assert_eq!(words(&format!("-x {text} -y")), ["-x", word, "-y"], "{text}");
        }
    }

    #[test]
    fn only_wanted_chains_are_read() {
        let saved = "*nat\n:A ACCEPT [0:0]\n:B - [0:0]\n-A A -d 10.0.0.1/32 -j B\n\
                     -A B -m comment --comment \"x \\\"y\\\"\" -j RETURN\n-A B -j B -j C\nCOMMIT\n";
        let table = NatTable::of_text(saved, &|name| name == "B");
        assert!(table.has_chain("B") && !table.has_chain("A"));
        assert_eq!(table.rules("A").count(), 0);
        let rules: Vec<_> = table.rules("B").collect();
        assert_eq!(rules[0].comments().collect::<Vec<_>>(), ["x \"y\""]);
        assert_eq!(rules[0].value("-j"), Some("RETURN"));
        assert_eq!(rules[1].text, "B -j B -j C");
        assert_eq!(rules[1].value("-j"), Some("C"));
        assert_eq!(rules[1].value("-d"), None);
    }
}
