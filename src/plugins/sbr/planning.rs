//! From configuration, facts and prevResult to a plan: pure.

use std::collections::BTreeSet;

use super::Facts;
use super::settings::Settings;
use crate::engine::Resource;
use crate::engine::resource::source_routing::{Source, SourceRouting};
use crate::plugins::{Error, Given, Plan};
use crate::protocol::request::Request;
use crate::protocol::result::{AddResult, IpConfig};

/// The first table that is taken.
const FIRST_TABLE: u32 = 100;

pub(super) fn plan(
    settings: &Settings,
    request: &Request,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Plan, Error> {
    let result = given.previous.cloned().unwrap_or_default();
    let ifname = &request.ifname;
    let ips: Vec<&IpConfig> = addresses(&result, ifname).collect();
    if ips.is_empty() {
        return Err(Error::config(
            "prevResult.ips",
            format!("has no address of interface {ifname}, by which packets could be told apart"),
        ));
    }
    if !facts.attached && facts.routes.is_none() && !given.may_make(ifname) {
        return Err(Error::config(
            "prevResult",
            format!(
                "interface {ifname} is not in the container; sbr changes what another plugin has \
                 made, so give it a place after that one in the list of plugins"
            ),
        ));
    }
    let mut taken = facts.tables.clone();
    taken.extend(given.planned.iter().filter_map(|resource| match resource {
        Resource::Route(route) => route.route.table,
        _ => None,
    }));
    let mut sources = Vec::new();
    for ip in ips {
        let table = match settings.table {
            Some(table) => Some(table),
            None if facts.attached => None,
            None => Some(next_table(&mut taken)),
        };
        if let Some(table) = table
            && facts.rules.iter().any(|rule| rule.is_for(ip.address.ip(), Some(table)))
        {
            return Err(Error::AlreadyAttached(format!(
                "the container already has a rule that packets from {} use table {table}; \
                 remove it, or choose another table",
                ip.address.ip()
            )));
        }
        let fixed = settings.gateway(ip.address.is_ipv6()).filter(|_| settings.table.is_none());
        sources.push(Source {
            address: ip.address,
            table,
            gateway: fixed.or(ip.gateway),
            fixed: fixed.is_some(),
        });
    }
    let rules_only = settings.table.is_some();
    let routing = SourceRouting {
        link: ifname.clone(),
        sources,
        rules_only,
        add_source_hints: settings.add_source_hints && !rules_only,
        moved: facts.routes.clone().filter(|_| !rules_only),
    };
    Ok(Plan { resources: vec![routing.into()], result })
}

/// The addresses of a result that are the interface's, or of which it is not said whose they are.
pub(super) fn addresses<'r>(
    result: &'r AddResult,
    ifname: &'r str,
) -> impl Iterator<Item = &'r IpConfig> {
    result.ips.iter().filter(move |ip| {
        let interface = ip.interface.and_then(|index| result.interfaces.get(index));
        interface.is_none_or(|interface| interface.name == ifname)
    })
}

/// The first table that nobody has.
fn next_table(taken: &mut BTreeSet<u32>) -> u32 {
    let mut table = FIRST_TABLE;
    while taken.contains(&table) || (253..=255).contains(&table) {
        table += 1;
    }
    taken.insert(table);
    table
}
