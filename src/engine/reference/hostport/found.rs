//! What of an attachment's rules is there, and whose the ports are that others have.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{ALL, Error, HostPorts, NatTable, Rule, program};
use crate::kernel::nat_table::SavedRule;
use crate::kernel::port::{Mapping, Transport};

/// What the chains of attachments begin with.
const OWN: &str = "CNI-DN-";

/// Whether a rule is in the table.
pub(super) fn is_there(rule: &Rule, table: &NatTable) -> bool {
    let wanted = words(rule);
    table.rules(&rule.chain).any(|found| {
        let found = sorted(&found.words);
        // How conditions are printed cannot be known.
        if rule.conditions.is_empty() { found == wanted } else { has_all(&found, &wanted) }
    })
}

/// Which of an attachment's rules are not in the table, in words.
pub(super) fn missing(ports: &HostPorts<'_>, table: &NatTable) -> Vec<String> {
    let (first, last) = ports.shared();
    let wanted = first.into_iter().chain(last).chain(ports.own()).chain(ports.jumps());
    let missing = wanted.filter(|rule| !is_there(rule, table));
    let program = program(ports.family());
    missing
        .map(|rule| format!("{program} chain {} lacks the rule {}", rule.chain, rule.text()))
        .collect()
}

/// Fails when another container has one of the ports, at the same address of the host and under the same
/// conditions. Another network of the same container may have it: the first rule counts, and when it goes
/// the next.
pub(super) fn refuse_taken(ports: &HostPorts<'_>, table: &NatTable) -> Result<(), Error> {
    let own = ports.chain();
    let conditions = conditions(ports.conditions.iter().map(String::as_str));
    let others: HashMap<&str, String> = table
        .rules(ALL)
        .filter_map(|rule| Some((rule, rule.value("-j")?)))
        .filter(|(_, chain)| chain.starts_with(OWN) && **chain != own)
        .filter(|(rule, _)| conditions_of(rule) == conditions)
        .map(|(rule, chain)| (chain, owner(rule)))
        .filter(|(_, owner)| !is_of_container(owner, &ports.owner.container_id))
        .collect();
    let wanted: HashMap<_, &Mapping> = ports
        .mappings
        .iter()
        .filter(|mapping| mapping.concerns(ports.pod.ip()))
        .map(|mapping| ((mapping.protocol, mapping.host_port, mapping.only_at()), mapping))
        .collect();
    for (chain, owner) in others {
        for rule in table.rules(chain).filter(|rule| rule.value("-j") == Some("DNAT")) {
            if let Some(mapping) = place(rule).and_then(|place| wanted.get(&place)) {
                return Err(Error::PortTaken {
                    port: mapping.host_port,
                    protocol: mapping.protocol.name(),
                    at: mapping.only_at(),
                    owner,
                });
            }
        }
    }
    Ok(())
}

/// The protocol, the port and the address of the host that a rule rewrites.
fn place(rule: &SavedRule) -> Option<(Transport, u16, Option<IpAddr>)> {
    let at = match rule.value("-d") {
        Some(network) => Some(network.split('/').next()?.parse().ok()?),
        None => None,
    };
    Some((Transport::named(rule.value("-p")?)?, rule.value("--dport")?.parse().ok()?, at))
}

/// Whose a jump is, as its comment tells: `network/containerID`.
fn owner(rule: &SavedRule) -> String {
    let comment = rule.comments().find(|comment| comment.starts_with("dnat "));
    let parts = || {
        let rest = comment?.strip_prefix("dnat name: \"")?;
        let (network, rest) = rest.split_once("\" id: \"")?;
        Some(format!("{network}/{}", rest.strip_suffix('"')?))
    };
    parts().or(comment.map(str::to_owned)).unwrap_or_else(|| "an unknown owner".to_owned())
}

/// Whether [`owner`] told of that container.
fn is_of_container(owner: &str, container_id: &str) -> bool {
    owner.split_once('/').is_some_and(|(_, id)| id == container_id)
}

/// What a jump demands besides protocol and ports.
fn conditions_of(rule: &SavedRule) -> Vec<String> {
    let mut words = rule.words.iter().map(String::as_str);
    let mut others = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "-j" | "-p" | "--dports" => {
                words.next();
            }
            word => others.push(word),
        }
    }
    conditions(others.into_iter())
}

/// Conditions in a form of which two can be compared: without comments and the names of matches,
/// addresses with their prefix length, and in a steady order.
fn conditions<'w>(mut words: impl Iterator<Item = &'w str>) -> Vec<String> {
    let mut plain = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "-m" | "--match" | "--comment" => {
                words.next();
            }
            word => plain.push(match word.parse::<IpAddr>() {
                Ok(IpAddr::V4(address)) => format!("{address}/32"),
                Ok(IpAddr::V6(address)) => format!("{address}/128"),
                Err(_) => word.to_owned(),
            }),
        }
    }
    plain.sort_unstable();
    plain
}

/// A rule's words but for its conditions.
fn words(rule: &Rule) -> Vec<String> {
    let plain = Rule { conditions: Vec::new(), ..rule.clone() };
    let text = format!("-A {} {}\n", rule.chain, plain.text());
    let table = NatTable::of_text(&text, &|_| true);
    table.rules(&rule.chain).next().map(|rule| sorted(&rule.words)).unwrap_or_default()
}

/// Words in a steady order, without the names of matches: some versions print a match that follows
/// from the protocol, others do not.
fn sorted(words: &[String]) -> Vec<String> {
    let mut rest = words.iter();
    let mut sorted = Vec::with_capacity(words.len());
    while let Some(word) = rest.next() {
        if word == "-m" {
            rest.next();
        } else {
            sorted.push(word.clone());
        }
    }
    sorted.sort_unstable();
    sorted
}

/// Whether each of `wanted` is in `found`; both are sorted.
fn has_all(found: &[String], wanted: &[String]) -> bool {
    let mut found = found.iter();
    wanted.iter().all(|word| found.any(|one| one == word))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::super::input::is_ours;
    use super::super::{Masquerading, Owner};
    use super::*;

    /// What `green` meets in a table where `blue` has ports.
    fn taken(mappings: &[Mapping], id: &str, conditions: &[&str]) -> Option<String> {
        let saved = include_str!("../../../../testdata/portmap/reference-ipv4.iptables-save");
        let table = NatTable::of_text(saved, &is_ours);
        let owner =
            Owner { network: "testnet".into(), container_id: id.into(), ifname: "eth0".into() };
        let conditions: Vec<_> = conditions.iter().map(|word| (*word).to_owned()).collect();
        let ports = HostPorts {
            owner: &owner,
            pod: "10.88.0.3/24".parse().unwrap(),
            mappings,
            masquerading: Masquerading::None,
            conditions: &conditions,
        };
        refuse_taken(&ports, &table).err().map(|error| error.to_string())
    }

    fn mapping(protocol: Transport, host_ip: Option<&str>, host_port: u16) -> Mapping {
        let host_ip = host_ip.map(|ip| ip.parse().unwrap());
        Mapping { protocol, host_ip, host_port, container_port: 81 }
    }

    #[test]
    fn a_port_of_another_is_taken() {
        use Transport::{Sctp, Tcp, Udp};
        for (protocol, at, port, words) in [
            (Tcp, None, 8080, "8080/tcp is already taken by testnet/id-blue"),
            (Tcp, Some("0.0.0.0"), 8080, "8080/tcp"),
            (Udp, None, 53, "53/udp"),
            (Sctp, Some("10.88.0.1"), 7000, "7000/sctp of 10.88.0.1"),
            (Tcp, None, 7002, "7002/tcp"),
        ] {
            let found =
                taken(&[mapping(Udp, None, 1), mapping(protocol, at, port)], "id-green", &[]);
            assert!(found.unwrap().contains(words), "{words}");
        }
        for free in [
            mapping(Tcp, Some("10.88.0.1"), 8080),
            mapping(Udp, None, 8080),
            mapping(Sctp, None, 7000),
            mapping(Tcp, None, 7001),
            mapping(Tcp, Some("::"), 8080),
        ] {
            assert_eq!(taken(std::slice::from_ref(&free), "id-green", &[]), None, "{free}");
        }
        let same = [mapping(Tcp, None, 8080)];
        assert_eq!(taken(&same, "id-blue", &[]), None, "its own");
        assert_eq!(taken(&same, "id-green", &["-s", "10.0.0.1"]), None, "under a condition");
    }

    #[test]
    fn conditions_are_compared_as_iptables_prints_them() {
        let saved = "-A CNI-HOSTPORT-DNAT ! -d 192.0.2.1/32 -p tcp -m comment --comment \"dnat\" \
                     -m multiport --dports 1,2 -m mark --mark 0x1 -j CNI-DN-x\n";
        let table = NatTable::of_text(saved, &|_| true);
        let printed = conditions_of(table.rules(ALL).next().unwrap());
        let given = ["-m", "mark", "--mark", "0x1", "!", "-d", "192.0.2.1"];
        assert_eq!(printed, conditions(given.into_iter()));
    }

    #[test]
    fn rules_with_conditions_are_found_whatever_these_are_printed_like() {
        let saved =
            "-A X -s 10.0.0.0/8 -p tcp -m comment --comment \"a b\" -m multiport --dports 1 -j Y\n";
        let table = NatTable::of_text(saved, &|_| true);
        let rule = |ports: &str, conditions: &[&str]| Rule {
            conditions: conditions.iter().map(|word| (*word).to_owned()).collect(),
            ..Rule::new(
                "X",
                &format!("-p tcp -m comment --comment \"a b\" -m multiport --dports {ports}"),
                "Y",
            )
        };
        assert!(is_there(&rule("1", &["--source", "10.0.0.0/8"]), &table));
        assert!(!is_there(&rule("1,2", &["--source", "10.0.0.0/8"]), &table));
        assert!(!is_there(&rule("1", &[]), &table));
    }
}
