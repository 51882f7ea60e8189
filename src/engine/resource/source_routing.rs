//! Routing by source: packets from the container's addresses use routing tables of their own.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::{Error, Node};
use crate::kernel::netlink::RouteSocket;
use crate::kernel::route::whole::{self, MAIN, Whole};
use crate::kernel::route::{self, Route};
use crate::kernel::{self, link, rule};

/// What `rtm_priority` an IPv6 route gets that asks for none (`IP6_RT_PRIO_USER`).
const IPV6_PRIORITY: u32 = 1024;

/// Rules for the addresses of one interface, and the interface's routes in the rules' tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceRouting {
    /// The interface.
    pub link: String,
    /// The addresses.
    pub sources: Vec<Source>,
    /// Whether somebody else cares for the routes of the tables; then there are only the rules.
    #[serde(default)]
    pub rules_only: bool,
    /// The main table keeps the routes to the addresses' subnets, and they give packets that have
    /// no source address yet the address.
    #[serde(default)]
    pub add_source_hints: bool,
    /// The interface's routes in the main table before. Absent when the interface is made in the
    /// same call, with which they go, or by a foreign plugin that is yet to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Vec<Whole>>,
}

/// An address and where its packets go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The address with its subnet's prefix length.
    pub address: IpNetwork,
    /// The table; absent at CHECK when it was ADD's to choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// The next hop of the table's default route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// The configuration names the next hop: other default routes of the interface give way.
    #[serde(default)]
    pub fixed: bool,
}

impl Source {
    fn is_ipv6(&self) -> bool {
        self.address.is_ipv6()
    }

    /// Whether a route of the interface is one for packets from this address: by its next hop or
    /// preferred source, which must be of the address's subnet, or because it has neither.
    fn uses(&self, route: &Whole) -> bool {
        if route.is_ipv6() != self.is_ipv6() {
            return false;
        }
        let is_default = route.to().is_some_and(|to| to.prefix() == 0);
        if is_default && self.fixed {
            return false;
        }
        let (via, source) = (route.via(), route.source());
        let is_inside =
            |address: Option<IpAddr>| address.is_some_and(|address| self.address.contains(address));
        is_inside(source) || is_inside(via) || (via.is_none() && source.is_none())
    }

    /// The default route, unless one of `copies` is it already.
    fn default_route(&self, copies: &[&Whole]) -> Option<Route> {
        let via = self.gateway?;
        let is_it = |route: &Whole| {
            let same = if self.is_ipv6() { IPV6_PRIORITY } else { 0 };
            route.to().is_some_and(|to| to.prefix() == 0) && route.priority() == same
        };
        if copies.iter().any(|route| is_it(route)) {
            return None;
        }
        let any: IpAddr = match via {
            IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        Some(Route {
            to: IpNetwork::new(any, 0).ok()?,
            via: Some(via),
            mtu: None,
            advmss: None,
            priority: None,
            table: self.table,
            scope: None,
        })
    }
}

/// Of all routes those of the main table through a link, the ones without a next hop first, since
/// the others can only be made when they are there.
pub fn through(mut routes: Vec<Whole>, link: u32) -> Vec<Whole> {
    routes.retain(|route| route.is_main_through(link));
    routes.sort_by_key(|route| route.via().is_some());
    routes
}

/// Every route of the container.
///
/// # Errors
/// Any refusal.
pub fn all_routes(socket: &mut RouteSocket) -> Result<Vec<Whole>, kernel::Error> {
    let mut routes = whole::list(socket, false)?;
    routes.extend(whole::list(socket, true)?);
    Ok(routes)
}

impl SourceRouting {
    /// Fills the tables, then takes from the main one what does not belong there any more.
    fn move_routes(&self, node: &mut Node<'_>) -> Result<(), Error> {
        let index = node.pod_index(&self.link)?;
        let socket = &mut node.pod()?.route;
        let routes = match &self.moved {
            Some(routes) => routes.clone(),
            None => through(all_routes(socket)?, index),
        };
        for source in &self.sources {
            let Some(table) = source.table else { continue };
            let copies: Vec<&Whole> = routes.iter().filter(|route| source.uses(route)).collect();
            for route in &copies {
                route.queue_add(socket, table)?;
            }
            if let Some(route) = source.default_route(&copies) {
                route::queue_add(socket, index, &self.link, &route)?;
            }
        }
        // Only what has been copied may be taken away.
        socket.flush()?;
        if self.add_source_hints {
            for source in &self.sources {
                route::queue_source_hint(socket, index, &self.link, source.address)?;
            }
            socket.flush()?;
        }
        for route in &routes {
            // Routes on the link stay beside the hints; those to a subnet have become them.
            if !(self.add_source_hints && route.has_link_scope()) {
                route.queue_remove(socket, MAIN)?;
            }
        }
        Ok(socket.flush()?)
    }

    /// Brings the routes back to the main table. The interface is usually about to go, so what
    /// can never be brought back must not keep it; for what the kernel had only no room for just now,
    /// the copies stay until the next attempt.
    fn move_back(&self, socket: &mut RouteSocket) -> Result<(), kernel::Error> {
        let Some(moved) = self.moved.as_ref().filter(|_| !self.rules_only) else { return Ok(()) };
        let Some(index) = link::index(socket, &self.link)? else { return Ok(()) };
        if moved.iter().any(|route| route.link() != Some(index)) {
            // An interface of the same name, but another one.
            return Ok(());
        }
        if self.add_source_hints {
            for source in &self.sources {
                route::queue_remove_source_hint(socket, index, &self.link, source.address)?;
                unless_hopeless(socket.flush())?;
            }
        }
        for route in moved {
            // One by one: of several refusals only the first is told.
            route.queue_add(socket, MAIN)?;
            unless_hopeless(socket.flush())?;
        }
        let tables: Vec<u32> = self.sources.iter().filter_map(|source| source.table).collect();
        for copy in all_routes(socket)? {
            if copy.link() == Some(index) && tables.contains(&copy.table()) {
                copy.queue_remove(socket, copy.table())?;
                unless_hopeless(socket.flush())?;
            }
        }
        Ok(())
    }

    fn check(&self, source: &Source, state: &State, wrong: &mut Vec<String>) {
        let ip = source.address.ip();
        let rule = state.rules.iter().find(|rule| rule.is_for(ip, source.table));
        let Some(rule) = rule else {
            let table = source.table.map(|table| format!(" {table}")).unwrap_or_default();
            wrong.push(format!("no rule has table{table} looked up for packets from {ip}"));
            return;
        };
        if self.rules_only {
            return;
        }
        let table = rule.table;
        let mut there = state.routes.iter().filter(|route| {
            route.table() == table
                && route.link() == Some(state.link)
                && route.is_ipv6() == source.is_ipv6()
        });
        match source.gateway {
            Some(gateway) => {
                let is_default = |route: &Whole| {
                    route.to().is_some_and(|to| to.prefix() == 0) && route.via() == Some(gateway)
                };
                if !there.any(is_default) {
                    wrong.push(format!("table {table} has no default route via {gateway}"));
                }
            }
            None if there.next().is_none() => {
                wrong.push(format!("table {table} has no routes through {}", self.link));
            }
            None => {}
        }
        let is_hint = |route: &Whole| {
            route.table() == MAIN
                && route.link() == Some(state.link)
                && route.source() == Some(ip)
                && route.to().is_some_and(|to| {
                    to.ip() == source.address.network() && to.prefix() == source.address.prefix()
                })
        };
        // Of two addresses in one subnet only the last can be its hint.
        let is_last = self
            .sources
            .iter()
            .rev()
            .find(|other| other.address.network() == source.address.network())
            .is_some_and(|last| last == source);
        if self.add_source_hints && is_last && !state.routes.iter().any(is_hint) {
            wrong.push(format!(
                "the main table has no route to the subnet of {} with it as source",
                source.address
            ));
        }
    }
}

/// What CHECK looks at.
struct State {
    link: u32,
    rules: Vec<rule::Rule>,
    routes: Vec<Whole>,
}

/// Passes over what is done already, and what another attempt would fail with, too: the route's own
/// address or gateway is gone.
fn unless_hopeless(done: Result<(), kernel::Error>) -> Result<(), kernel::Error> {
    const DONE: [Errno; 2] = [Errno::ESRCH, Errno::EEXIST];
    const HOPELESS: [Errno; 6] = [
        Errno::EINVAL,
        Errno::ENODEV,
        Errno::ENETDOWN,
        Errno::ENETUNREACH,
        Errno::EHOSTUNREACH,
        Errno::EADDRNOTAVAIL,
    ];
    let is_of = |error: &kernel::Error, all: &[Errno]| all.iter().any(|errno| error.is(*errno));
    match done {
        Err(error) if is_of(&error, &DONE) => Ok(()),
        Err(error) if is_of(&error, &HOPELESS) => {
            log::warn!("not put back: {error}");
            Ok(())
        }
        other => other,
    }
}

impl Kind for SourceRouting {
    fn describe(&self) -> String {
        let rules: Vec<String> = self
            .sources
            .iter()
            .map(|source| {
                let table = source.table.map(|table| format!(" {table}")).unwrap_or_default();
                let via = source.gateway.filter(|_| !self.rules_only);
                let via = via.map(|via| format!(" (default via {via})")).unwrap_or_default();
                format!("packets from {} use table{table}{via}", source.address.ip())
            })
            .collect();
        let routes = match (self.rules_only, self.add_source_hints) {
            (true, _) => String::new(),
            (false, false) => format!("; move the routes of {} there", self.link),
            (false, true) => format!(
                "; copy the routes of {} there, and keep those to its subnets with a source",
                self.link
            ),
        };
        format!("let {} in the container{routes}", rules.join(" and "))
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        // The interface must have its addresses and routes first.
        node.host.flush()?;
        let socket = &mut node.pod()?.route;
        socket.flush()?;
        for source in &self.sources {
            if let Some(table) = source.table {
                rule::queue_add(socket, source.address.ip(), table)?;
            }
        }
        socket.flush()?;
        if !self.rules_only {
            self.move_routes(node)?;
        }
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let socket = &mut node.pod()?.route;
        let Some(link) = link::index(socket, &self.link)? else {
            return Ok(vec![format!("interface {} is not in the container", self.link)]);
        };
        let mut state = State { link, rules: Vec::new(), routes: Vec::new() };
        for v6 in [false, true] {
            state.rules.extend(rule::list(socket, v6)?);
        }
        if !self.rules_only {
            state.routes = all_routes(socket)?;
        }
        let mut wrong = Vec::new();
        for source in &self.sources {
            self.check(source, &state, &mut wrong);
        }
        Ok(wrong)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        let Some(pod) = &mut node.pod else { return Ok(()) };
        for source in &self.sources {
            if let Some(table) = source.table {
                rule::remove(&mut pod.route, source.address.ip(), table)?;
            }
        }
        Ok(self.move_back(&mut pod.route)?)
    }

    /// Rules and routes go with the namespace, but the rules stay when only the interface goes.
    fn outlives_namespace(&self) -> bool {
        true
    }
}
