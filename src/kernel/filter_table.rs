//! The filter table of iptables, read without running a program where it is in nf_tables.
//!
//! iptables has two homes: iptables-nft keeps its tables in nf_tables, iptables-legacy outside. What
//! is there is looked at in both; where a change goes depends on the variant that the programs on
//! PATH are.

pub mod rule;

use std::path::Path;

use super::Error;
use super::iptables::Family;
use super::legacy;
use super::legacy::xtables::Xtables;
use super::nft::{self, ChainName, Change, Socket};

pub use rule::{Interface, Rule};

/// The table's name.
pub const TABLE: &str = "filter";

/// Where iptables keeps its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// In nf_tables.
    Nft,
    /// Outside, in its own tables.
    Legacy,
}

/// Which rule of a chain it is.
#[derive(Debug, Clone)]
enum Place {
    Handle(ChainName, u64),
    /// The chain and the specification as iptables-save prints it.
    Text(String),
}

/// Some chains of the table, as they were when they were read.
#[derive(Debug)]
pub struct FilterTable {
    family: Family,
    chains: Vec<Chain>,
}

#[derive(Debug)]
struct Chain {
    name: String,
    /// `None` for rules that say more than [`Rule`] can.
    rules: Vec<(Option<Rule>, Place)>,
}

/// Where the program that [`Family::restore`] runs keeps its tables. Which program that is follows
/// from the file that it is a link to, so nothing is run; only for one with another name is it asked
/// for its version.
///
/// # Errors
/// [`Error::NoProgram`] when there is none; [`Error::Program`].
pub fn home(family: Family, needed_for: &str) -> Result<Home, Error> {
    let name = match family {
        Family::Ipv4 => "iptables-restore",
        Family::Ipv6 => "ip6tables-restore",
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .find_map(|folder| folder.join(name).canonicalize().ok());
    let file = found.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    Ok(match &*file {
        legacy if legacy.contains("legacy") => Home::Legacy,
        nft if nft.contains("nft") => Home::Nft,
        // Before 1.8 there was but one, and it had no word for what it is.
        _ if family.version(needed_for)?.contains("nf_tables") => Home::Nft,
        _ => Home::Legacy,
    })
}

/// Whether anything in the host's filter tables can keep a forwarded packet back: a FORWARD chain
/// that has a rule, or drops what no rule decides. Whatever iptables-legacy has counts.
///
/// # Errors
/// [`nft::Error`]; a kernel without nf_tables, which is without a socket too, has no such chain.
pub fn in_use(socket: Option<&mut Socket>) -> Result<bool, nft::Error> {
    if super::iptables::FAMILIES.into_iter().any(|family| legacy_of(family).has(TABLE)) {
        return Ok(true);
    }
    let Some(socket) = socket else { return Ok(false) };
    for family in super::iptables::FAMILIES {
        let forward = chain_name(family, "FORWARD");
        let strict = match socket.chain(&forward) {
            Err(nft::Error::Unsupported { .. }) => continue,
            chain => chain?.is_some_and(|chain| chain.drops) || !socket.rules(&forward)?.is_empty(),
        };
        if strict {
            return Ok(true);
        }
    }
    Ok(false)
}

impl FilterTable {
    /// Reads `chains` in one home. Without a socket there is no nf_tables.
    ///
    /// # Errors
    /// [`legacy::Error`].
    pub fn read(
        family: Family,
        home: Home,
        chains: &[&str],
        socket: Option<&mut Socket>,
    ) -> Result<Self, legacy::Error> {
        let chains = match (home, socket) {
            (Home::Nft, Some(socket)) => of_nft(family, chains, socket)?,
            (Home::Legacy, _) if legacy_of(family).has(TABLE) => {
                of_text(&legacy_of(family).save(TABLE)?, &|name| chains.contains(&name))
            }
            _ => Vec::new(),
        };
        Ok(Self { family, chains })
    }

    /// A table with no chain.
    pub fn empty(family: Family) -> Self {
        Self { family, chains: Vec::new() }
    }

    /// What iptables-save printed, every chain of it.
    pub fn of_text(family: Family, saved: &str) -> Self {
        Self { family, chains: of_text(saved, &|_| true) }
    }

    /// Whether a chain was there.
    pub fn has_chain(&self, name: &str) -> bool {
        self.chains.iter().any(|chain| chain.name == name)
    }

    /// The place, counted from 0, of a rule in a chain.
    pub fn find(&self, chain: &str, wanted: &Rule) -> Option<usize> {
        let does = |rule: &Option<Rule>| rule.as_ref().is_some_and(|rule| rule.does(wanted));
        self.rules(chain).iter().position(|(rule, _)| does(rule))
    }

    /// Removes the first rule of `chain` that does what each of `wanted` does; none is fine. What is
    /// in nf_tables is put into `change`, what is not is removed here and now.
    ///
    /// # Errors
    /// [`legacy::Error::Program`].
    pub fn remove(
        &self,
        chain: &str,
        wanted: &[Rule],
        change: &mut Change,
    ) -> Result<(), legacy::Error> {
        let rules = self.rules(chain);
        let places = wanted.iter().filter_map(|rule| rules.get(self.find(chain, rule)?));
        let mut input = String::new();
        for (_, place) in places {
            match place {
                Place::Handle(chain, handle) => change.remove_rule(chain.clone(), *handle),
                Place::Text(text) => input.push_str(&format!("-D {text}\n")),
            }
        }
        if input.is_empty() {
            return Ok(());
        }
        legacy_of(self.family).restore(&format!("*{TABLE}\n{input}COMMIT\n"))
    }

    fn rules(&self, chain: &str) -> &[(Option<Rule>, Place)] {
        self.chains.iter().find(|one| one.name == chain).map_or(&[], |one| &one.rules)
    }
}

/// iptables-legacy of a family.
fn legacy_of(family: Family) -> Xtables {
    let [ipv4, ipv6] = legacy::xtables::FAMILIES;
    if family == Family::Ipv4 { ipv4 } else { ipv6 }
}

fn chain_name(family: Family, chain: &str) -> ChainName {
    let family = if family == Family::Ipv4 { nft::Family::Ip } else { nft::Family::Ip6 };
    ChainName { family, table: TABLE.into(), chain: chain.to_owned().into() }
}

fn of_nft(
    family: Family,
    chains: &[&str],
    socket: &mut Socket,
) -> Result<Vec<Chain>, legacy::Error> {
    let names: Vec<_> = chains.iter().map(|chain| chain_name(family, chain)).collect();
    let there = match socket.chains_named(&names.iter().collect::<Vec<_>>()) {
        Err(nft::Error::Unsupported { .. }) => return Ok(Vec::new()),
        there => there?,
    };
    let mut found = Vec::new();
    for (name, _) in names.into_iter().zip(there).filter(|(_, there)| there.is_some()) {
        let rules = socket.rules(&name)?;
        let rules = rules.iter().map(|rule| {
            let place = Place::Handle(name.clone(), rule.handle);
            (Rule::of_parts(rule.parts(), family == Family::Ipv6), place)
        });
        found.push(Chain { name: name.chain.to_string(), rules: rules.collect() });
    }
    Ok(found)
}

/// Reads what iptables-save printed.
fn of_text(saved: &str, wanted: &dyn Fn(&str) -> bool) -> Vec<Chain> {
    let mut found: Vec<Chain> = Vec::new();
    for line in saved.lines() {
        if let Some(declared) = line.strip_prefix(':') {
            let name = declared.split(' ').next().unwrap_or_default();
            if wanted(name) {
                found.push(Chain { name: name.to_owned(), rules: Vec::new() });
            }
        } else if let Some(text) = line.strip_prefix("-A ")
            && let Some((name, specification)) = text.split_once(' ')
            && let Some(chain) = found.iter_mut().find(|chain| chain.name == name)
        {
            let rule = Rule::of_text(specification);
            chain.rules.push((rule, Place::Text(text.to_owned())));
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn what_iptables_save_prints_is_read() {
        let saved = include_str!("../../testdata/firewall/filter.iptables-save");
        let table = FilterTable::of_text(Family::Ipv4, saved);
        assert!(table.has_chain("CNI-FORWARD") && !table.has_chain("CNI-ABSENT"));
        assert!(of_text(saved, &|name| name == "CNI-ADMIN").len() == 1);
        assert_eq!(table.find("FORWARD", &Rule::jump("CNI-FORWARD", "")), Some(1));
        assert_eq!(table.find("FORWARD", &Rule::jump("CNI-OTHER", "")), None);
        let address = Some("10.88.0.2".parse().unwrap());
        let from = Rule { source: address, ..Rule::jump("ACCEPT", "") };
        assert_eq!(table.find("CNI-FORWARD", &from), Some(3));
        let to = Rule { destination: address, answers: true, ..Rule::jump("ACCEPT", "") };
        assert_eq!(table.find("CNI-FORWARD", &to), Some(2));
    }
}
