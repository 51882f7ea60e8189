//! The chains of the reference plugins' firewall in iptables' filter table: made for operators who
//! choose the iptables backend, found and removed for pods that the reference plugins attached.
//!
//! `FORWARD` calls `CNI-FORWARD`, which calls the operator's chain and then accepts what a pod sends
//! and the answers to it. With a policy for a bridge, `FORWARD` before that calls
//! `CNI-ISOLATION-STAGE-1`, which for packets from one such bridge to elsewhere calls
//! `CNI-ISOLATION-STAGE-2`, which drops those that go to another.

use std::net::IpAddr;

use super::nf_tables;
use crate::engine::{Error, Node};
use crate::kernel::filter_table::{self, FilterTable, Home, Interface, Rule};
use crate::kernel::iptables::{self, FAMILIES, Family};

const FORWARD: &str = "FORWARD";
/// The chain that all pods share.
pub const PODS: &str = "CNI-FORWARD";
/// The operator's chain, unless the configuration names another.
pub const ADMIN: &str = "CNI-ADMIN";
/// For what comes from a bridge under a policy.
pub const STAGE_1: &str = "CNI-ISOLATION-STAGE-1";
/// For what comes from such a bridge and goes elsewhere.
pub const STAGE_2: &str = "CNI-ISOLATION-STAGE-2";

const PODS_COMMENT: &str = "CNI firewall plugin rules";
const ADMIN_COMMENT: &str = "CNI firewall plugin admin overrides";

/// How often a change is tried when others change the table at the same time.
const ATTEMPTS: usize = 3;
/// The configuration key that asks for iptables.
pub const NEEDED_FOR: &str = "backend \"iptables\"";

/// A bridge's policy.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// The bridge.
    pub bridge: &'a str,
    /// Whether nothing passes from one of its ports to another either.
    pub isolated: bool,
}

/// Makes the rules for pods' addresses, and for their bridge, with one run of iptables-restore per
/// family that an address is of.
///
/// # Errors
/// When the program is not there or refuses, or the table cannot be read.
pub fn add(
    addresses: &[IpAddr],
    admin: &str,
    policy: Option<Policy<'_>>,
    node: &mut Node<'_>,
) -> Result<(), Error> {
    let mut lock = None;
    for (family, addresses) in by_family(addresses) {
        let home = filter_table::home(family, NEEDED_FOR)?;
        if lock.is_none() {
            lock = Some(iptables::lock()?);
        }
        for attempt in 1.. {
            let chains = [FORWARD, PODS, admin, STAGE_1, STAGE_2];
            let table = FilterTable::read(family, home, &chains, nf_tables(node)?)?;
            let input = input(&table, &addresses, admin, policy);
            if input.is_empty() {
                break;
            }
            let input = format!("*{}\n{input}COMMIT\n", filter_table::TABLE);
            match family.restore(&input, NEEDED_FOR) {
                Ok(()) => break,
                // Another program may have made a chain since it was looked for: look again.
                Err(error) if attempt < ATTEMPTS => log::debug!("{error}"),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Removes the rules for pods' addresses, wherever they are; none is fine. The shared chains and the
/// rules for bridges stay, as with the reference plugins.
///
/// # Errors
/// When the table cannot be read, or iptables-legacy refuses.
pub fn remove(addresses: &[IpAddr], node: &mut Node<'_>) -> Result<(), Error> {
    for (family, addresses) in by_family(addresses) {
        let rules: Vec<_> = addresses.iter().flat_map(|address| for_pod(*address)).collect();
        let table = FilterTable::read(family, Home::Nft, &[PODS], nf_tables(node)?)?;
        table.remove(PODS, &rules, &mut node.rules)?;
        for attempt in 1.. {
            let table = FilterTable::read(family, Home::Legacy, &[PODS], None)?;
            match table.remove(PODS, &rules, &mut node.rules) {
                Err(error) if attempt < ATTEMPTS => log::debug!("{error}"),
                removed => {
                    removed?;
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Those of `addresses` that there are rules for.
///
/// # Errors
/// When the table cannot be read.
pub fn present(addresses: &[IpAddr], node: &mut Node<'_>) -> Result<Vec<IpAddr>, Error> {
    let mut present = Vec::new();
    for (family, addresses) in by_family(addresses) {
        let mut tables = Vec::new();
        for home in [Home::Nft, Home::Legacy] {
            tables.push(FilterTable::read(family, home, &[PODS], nf_tables(node)?)?);
        }
        let any = |address: IpAddr| {
            let rules = for_pod(address);
            rules.iter().any(|rule| tables.iter().any(|table| table.find(PODS, rule).is_some()))
        };
        present.extend(addresses.into_iter().filter(|address| any(*address)));
    }
    Ok(present)
}

/// What of the rules for pods' addresses, and for their bridge, is missing, in words. Without
/// `admin`, any operator's chain will do.
///
/// # Errors
/// When the table cannot be read.
pub fn missing(
    addresses: &[IpAddr],
    admin: Option<&str>,
    policy: Option<Policy<'_>>,
    node: &mut Node<'_>,
) -> Result<Vec<String>, Error> {
    let mut missing = Vec::new();
    for (family, addresses) in by_family(addresses) {
        let mut wanted = vec![(FORWARD, Rule::jump(PODS, ""))];
        wanted.extend(admin.map(|admin| (PODS, Rule::jump(admin, ""))));
        wanted.extend(
            addresses.iter().flat_map(|address| for_pod(*address)).map(|rule| (PODS, rule)),
        );
        wanted.extend(policy.iter().flat_map(for_bridge));
        missing.extend(lacking(family, &wanted, node)?);
    }
    Ok(missing)
}

/// Whether a bridge is under this policy, for either family.
///
/// # Errors
/// When the table cannot be read.
pub fn policy_present(policy: Policy<'_>, node: &mut Node<'_>) -> Result<bool, Error> {
    let wanted: Vec<_> = for_bridge(&policy).collect();
    for family in FAMILIES {
        if lacking(family, &wanted, node)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The rules that are not there, in words; nothing when one home has them all.
fn lacking(
    family: Family,
    wanted: &[(&str, Rule)],
    node: &mut Node<'_>,
) -> Result<Vec<String>, Error> {
    let mut fewest: Option<Vec<String>> = None;
    for home in [Home::Nft, Home::Legacy] {
        let chains = [FORWARD, PODS, STAGE_1, STAGE_2];
        let table = FilterTable::read(family, home, &chains, nf_tables(node)?)?;
        let program = if family == Family::Ipv4 { "iptables" } else { "ip6tables" };
        let lacks = wanted.iter().filter(|(chain, rule)| table.find(chain, rule).is_none());
        let lacks: Vec<_> = lacks
            .map(|(chain, rule)| format!("{program} chain {chain} lacks the rule {}", rule.text()))
            .collect();
        if fewest.as_ref().is_none_or(|fewest| lacks.len() < fewest.len()) {
            fewest = Some(lacks);
        }
    }
    Ok(fewest.unwrap_or_default())
}

/// What iptables-restore is to read between the table's name and COMMIT; empty when all is there.
/// Chains are made by `-N`, which fails on one that is there, where `:CHAIN` would empty it.
fn input(
    table: &FilterTable,
    addresses: &[IpAddr],
    admin: &str,
    policy: Option<Policy<'_>>,
) -> String {
    let mut lines = Vec::new();
    let stages = policy.map(|_| [STAGE_1, STAGE_2]).into_iter().flatten();
    for chain in [PODS, admin].into_iter().chain(stages) {
        if !table.has_chain(chain) {
            lines.push(format!("-N {chain}"));
        }
    }
    let mut first = |chain: &str, place: usize, rule: Rule| {
        if table.find(chain, &rule).is_none() {
            lines.push(format!("-I {chain} {place} {}", rule.text()));
        }
    };
    // What a policy drops must not be accepted before.
    let stage = table.find(FORWARD, &Rule::jump(STAGE_1, ""));
    let after_stage = stage.map_or(1, |place| place.saturating_add(2));
    first(FORWARD, after_stage, Rule::jump(PODS, PODS_COMMENT));
    first(PODS, 1, Rule::jump(admin, ADMIN_COMMENT));
    for (chain, rule) in policy.iter().flat_map(for_bridge) {
        first(chain, 1, rule);
    }
    let mut last = |chain: &str, rule: &Rule| {
        if table.find(chain, rule).is_none() {
            lines.push(format!("-A {chain} {}", rule.text()));
        }
    };
    if policy.is_some() {
        for chain in [STAGE_1, STAGE_2] {
            last(chain, &Rule::jump("RETURN", &policy_comment("same-bridge|isolated")));
        }
    }
    for rule in addresses.iter().flat_map(|address| for_pod(*address)) {
        last(PODS, &rule);
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The answers to what a pod sent, and what it sends.
fn for_pod(address: IpAddr) -> [Rule; 2] {
    let accept = || Rule::jump("ACCEPT", "");
    [
        Rule { destination: Some(address), answers: true, ..accept() },
        Rule { source: Some(address), ..accept() },
    ]
}

/// The rules for a bridge, each with its chain; a later one comes before those of the same chain.
fn for_bridge<'a>(policy: &Policy<'a>) -> impl Iterator<Item = (&'static str, Rule)> + use<'a> {
    let bridge = |not| Some(Interface { name: policy.bridge.to_owned(), not });
    let both = policy_comment("same-bridge|isolated");
    let own = policy_comment(if policy.isolated { "isolated" } else { "same-bridge" });
    let elsewhere =
        Rule { input: bridge(false), output: bridge(true), ..Rule::jump(STAGE_2, &own) };
    let within = Rule { input: bridge(false), output: bridge(false), ..Rule::jump("DROP", &own) };
    let to_bridge = Rule { output: bridge(false), ..Rule::jump("DROP", &both) };
    let within = policy.isolated.then_some((STAGE_1, within));
    [(FORWARD, Rule::jump(STAGE_1, &both)), (STAGE_1, elsewhere)]
        .into_iter()
        .chain(within)
        .chain([(STAGE_2, to_bridge)])
}

fn policy_comment(policy: &str) -> String {
    format!("CNI firewall plugin rules (ingressPolicy: {policy})")
}

/// The families that there are addresses of, with these.
fn by_family(addresses: &[IpAddr]) -> Vec<(Family, Vec<IpAddr>)> {
    let of = |family| addresses.iter().copied().filter(move |one| Family::of(*one) == family);
    let families = FAMILIES.into_iter().map(|family| (family, of(family).collect::<Vec<_>>()));
    families.filter(|(_, addresses)| !addresses.is_empty()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn addresses() -> Vec<IpAddr> {
        vec!["10.88.0.2".parse().unwrap()]
    }

    #[test]
    fn all_is_made_where_nothing_is() {
        let policy = Some(Policy { bridge: "br0", isolated: true });
        assert_eq!(
            input(&FilterTable::empty(Family::Ipv4), &addresses(), ADMIN, policy),
            include_str!("../../../testdata/firewall/isolated.iptables-restore")
        );
        assert_eq!(
            input(&FilterTable::empty(Family::Ipv4), &addresses(), "MINE", None),
            include_str!("../../../testdata/firewall/open.iptables-restore")
        );
    }

    #[test]
    fn only_what_is_missing_is_made() {
        let saved = include_str!("../../../testdata/firewall/filter.iptables-save");
        let table = FilterTable::of_text(Family::Ipv4, saved);
        assert_eq!(input(&table, &addresses(), ADMIN, None), "");
        let policy = Some(Policy { bridge: "br0", isolated: false });
        let made = input(&table, &addresses(), ADMIN, policy);
        assert!(!made.contains("CNI-ADMIN") && !made.contains("CNI-FORWARD"), "{made}");
        assert!(made.contains("-N CNI-ISOLATION-STAGE-1\n"), "{made}");
    }

    #[test]
    fn what_accepts_comes_after_what_drops() {
        let saved = "*filter\n:FORWARD ACCEPT [0:0]\n:CNI-ISOLATION-STAGE-1 - [0:0]\n\
                     -A FORWARD -j OTHER\n-A FORWARD -j CNI-ISOLATION-STAGE-1\nCOMMIT\n";
        let table = FilterTable::of_text(Family::Ipv4, saved);
        let made = input(&table, &addresses(), ADMIN, None);
        assert!(made.contains("-I FORWARD 3 "), "{made}");
    }
}
