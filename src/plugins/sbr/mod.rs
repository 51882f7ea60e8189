//! `sbr`: routing by source. Packets from the container's addresses leave through the interface that
//! has the address.

mod planning;
#[cfg(test)]
mod planning_tests;
pub mod settings;

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Error, Given, Plan, Plugin, Role};
use crate::engine::resource::source_routing::{all_routes, through};
use crate::engine::{Node, Owner, Resource};
use crate::kernel::route::whole::Whole;
use crate::kernel::{addr, link, rule};
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;
use settings::Settings;

/// The plugin with its checked configuration.
pub struct Sbr {
    settings: Settings,
}

/// What the plan depends on.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The attachment is there, for CHECK, which needs to know no more.
    attached: bool,
    /// The rules of the container.
    rules: Vec<rule::Rule>,
    /// Tables that rules name or that have routes.
    tables: BTreeSet<u32>,
    /// The interface's routes in the main table, if it is there.
    routes: Option<Vec<Whole>>,
}

impl Plugin for Sbr {
    const TYPE: &'static str = "sbr";
    const ROLE: Role = Role::Chained;
    type Facts = Facts;

    fn configure(request: &Request) -> Result<Self, Error> {
        Ok(Self { settings: Settings::read(request)? })
    }

    fn observe(
        &self,
        request: &Request,
        _owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<Facts, Error> {
        let socket = &mut node.pod()?.route;
        let mut facts = Facts::default();
        for v6 in [false, true] {
            facts.rules.extend(rule::list(socket, v6)?);
        }
        let routes = all_routes(socket)?;
        facts.tables.extend(routes.iter().map(Whole::table));
        facts.tables.extend(facts.rules.iter().map(|rule| rule.table));
        let index = link::index(socket, &request.ifname)?;
        facts.routes = index.map(|index| through(routes, index));
        Ok(facts)
    }

    fn attached(&self, _request: &Request, _result: &AddResult) -> Result<Facts, Error> {
        Ok(Facts { attached: true, ..Facts::default() })
    }

    fn plan(
        &self,
        request: &Request,
        _owner: &Owner,
        facts: &Facts,
        given: &Given<'_>,
    ) -> Result<Plan, Error> {
        planning::plan(&self.settings, request, facts, given)
    }

    fn traces(&self, _request: &Request, _owner: &Owner) -> Vec<Resource> {
        Vec::new()
    }

    /// As the reference plugin does it: the rules for what are the interface's addresses, or were.
    fn remove_unrecorded(
        &self,
        request: &Request,
        _owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<(), Error> {
        let Some(pod) = &mut node.pod else { return Ok(()) };
        let socket = &mut pod.route;
        let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
        if let Some(result) = &request.config.prev_result {
            let ours = planning::addresses(result, &request.ifname);
            addresses.extend(ours.map(|ip| ip.address.ip()));
        }
        if let Some(index) = link::index(socket, &request.ifname)? {
            addresses.extend(addr::list(socket, index)?.iter().map(|one| one.network.ip()));
        }
        if addresses.is_empty() {
            return Ok(());
        }
        for v6 in [false, true] {
            for found in rule::list(socket, v6)? {
                let from = found.from.ip();
                if addresses.contains(&from) && found.is_for(from, self.settings.table) {
                    rule::remove(socket, from, found.table)?;
                }
            }
        }
        Ok(())
    }
}
