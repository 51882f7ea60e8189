//! Rules: what filters, who uses which tables, and what causeway and the reference plugins have in
//! theirs.

use crate::diagnosis::facts::{Element, Facts};
use crate::kernel::legacy::xtables::{FAMILIES, Xtables};
use crate::kernel::nft::{self, Family, Socket};
use crate::kernel::verdict::{FORWARD, INPUT, nftables, xtables};
use crate::kernel::{addrspoof, firewall, macspoof, masquerade, port_isolation, portmap};

/// iptables' tables, for people.
const TABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

/// Reads all; what could not be read is told.
pub(super) fn read(facts: &mut Facts) {
    match Socket::open() {
        Ok(mut socket) => {
            let done = in_nf_tables(&mut socket, facts);
            match done {
                Ok(()) => facts.kernel.nf_tables = true,
                Err(nft::Error::Unsupported { .. }) => {}
                Err(error) => facts.unread.push(error.to_string()),
            }
        }
        Err(nft::Error::Unsupported { .. }) => {}
        Err(error) => facts.unread.push(error.to_string()),
    }
    for (family, program) in FAMILIES.into_iter().zip(["iptables", "ip6tables"]) {
        outside(family, program, facts);
    }
}

/// What iptables-legacy keeps. Its programs are run only for tables that are in use.
fn outside(family: Xtables, program: &str, facts: &mut Facts) {
    for table in TABLES.into_iter().filter(|table| family.has(table)) {
        let saved = match family.save(table) {
            Ok(saved) => saved,
            Err(error) => {
                facts.unread.push(error.to_string());
                continue;
            }
        };
        let chains = xtables::chains(&saved, table, program == "ip6tables");
        // A table that was only looked at is there, too, without a rule.
        if chains.iter().any(|chain| chain.drops || !chain.rules.is_empty()) {
            facts.legacy_tables.push(format!("{program} {table}"));
        }
        let own = chains.iter().filter(|chain| is_own(&chain.name));
        let own = own.map(|chain| (format!("{program}-legacy"), chain.name.clone()));
        facts.own_chains.extend(own);
        if table == "filter" {
            facts.ruleset.chains.extend(chains);
        }
    }
}

fn in_nf_tables(socket: &mut Socket, facts: &mut Facts) -> Result<(), nft::Error> {
    for (family, program) in [(Family::Ip, "iptables"), (Family::Ip6, "ip6tables")] {
        for table in socket.tables(family)?.iter().filter(|name| TABLES.contains(&name.as_str())) {
            facts.nft_tables.push(format!("{program} {table}"));
            let own = socket.chains(family, table)?.into_iter().filter(|one| is_own(&one.name));
            facts.own_chains.extend(own.map(|chain| (program.to_owned(), chain.name)));
        }
    }
    facts.ruleset.chains.extend(nftables::chains(socket, &[INPUT, FORWARD])?);
    let element =
        |table: &str, what: String, owner: String| Element { table: table.to_owned(), what, owner };
    for entry in masquerade::entries(socket)? {
        let what = entry.address.ip().to_string();
        facts.elements.push(element(masquerade::TABLE, what, entry.owner));
    }
    for entry in firewall::entries(socket)? {
        facts.elements.push(element(firewall::TABLE, entry.address.to_string(), entry.owner));
    }
    for entry in portmap::entries(socket)? {
        facts.elements.push(element(portmap::TABLE, entry.set.to_string(), entry.owner));
    }
    for entry in macspoof::entries(socket)? {
        facts.elements.push(element(macspoof::TABLE, entry.link, entry.owner));
    }
    for entry in addrspoof::entries(socket)? {
        let what = entry.address().map(|one| format!(" . {one}")).unwrap_or_default();
        let what = format!("{}{what}", entry.link());
        facts.elements.push(element(addrspoof::TABLE, what, entry.owner));
    }
    for entry in port_isolation::entries(socket)? {
        facts.elements.push(element(port_isolation::TABLE, entry.port, entry.owner));
    }
    Ok(())
}

/// Whether a chain is one attachment's: `CNI-`, perhaps `DN-` or `SN-`, and hex digits.
fn is_own(chain: &str) -> bool {
    let Some(rest) = chain.strip_prefix("CNI-") else { return false };
    let rest = rest.strip_prefix("DN-").or_else(|| rest.strip_prefix("SN-")).unwrap_or(rest);
    rest.len() >= 21 && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::is_own;

    #[test]
    fn chains_of_one_attachment_are_told_from_shared_ones() {
        assert!(is_own("CNI-aaaaaaaaaaaaaaaaaaaaaaaa") && is_own("CNI-DN-aaaaaaaaaaaaaaaaaaaaa"));
        assert!(!is_own("CNI-HOSTPORT-DNAT") && !is_own("CNI-FORWARD") && !is_own("FORWARD"));
    }
}
