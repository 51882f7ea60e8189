//! `vrf`: the container's interface as a port of a VRF in the container.

mod planning;
#[cfg(test)]
mod planning_tests;
pub mod settings;

use crate::engine::resource::{vrf::Vrf, vrf_port::Before, vrf_port::VrfPort};
use crate::engine::{Node, Owner, Resource};
use crate::kernel::{link, route, vrf};
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

use super::{Error, Given, Plan, Plugin, Role};
use settings::Settings;

/// The plugin with its checked configuration.
pub struct VrfPlugin {
    settings: Settings,
}

/// What the plan depends on.
#[derive(Debug, Clone, PartialEq)]
pub enum Facts {
    /// What an ADD finds in the container.
    Found {
        /// The table of the VRF, if that is there.
        vrf: Option<u32>,
        /// Tables that VRFs or routes are in.
        tables: Vec<u32>,
        /// What the interface has, if that is there.
        interface: Option<Before>,
    },
    /// The attachment is there, for CHECK, which needs to know no more.
    Attached,
}

impl Plugin for VrfPlugin {
    const TYPE: &'static str = "vrf";
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
        let name = &self.settings.name;
        let socket = &mut node.pod()?.route;
        let vrfs = vrf::list(socket)?;
        let there = vrfs.iter().find(|one| one.name == *name);
        match there {
            Some(there) => {
                if let Some(table) = self.settings.table.filter(|table| *table != there.table) {
                    return Err(Error::config(
                        "table",
                        format!(
                            "is {table}, but VRF {name} is in the container already with table {}; \
                             give that one, leave the key out, or choose another vrfname",
                            there.table
                        ),
                    ));
                }
            }
            None => {
                if link::index(socket, name)?.is_some() {
                    return Err(Error::config(
                        "vrfname",
                        format!("{name} is in the container already but is no VRF; choose another"),
                    ));
                }
                if let Some(table) = self.settings.table
                    && let Some(other) = vrfs.iter().find(|one| one.table == table)
                {
                    log::warn!("VRF {} uses table {table}, too", other.name);
                }
            }
        }
        let mut tables: Vec<u32> = vrfs.iter().map(|one| one.table).collect();
        if there.is_none() && self.settings.table.is_none() {
            for v6 in [false, true] {
                tables.extend(route::list(socket, v6)?.iter().map(|route| route.table));
            }
        }
        let interface = match link::find(socket, &request.ifname)? {
            Some(link) => {
                if let Some(master) = link.master {
                    let of = link::find_index(socket, master)?.map(|link| link.name);
                    return Err(Error::config(
                        "vrfname",
                        format!(
                            "interface {} is a port of {} already, and can be of one thing only",
                            request.ifname,
                            of.unwrap_or_else(|| format!("link number {master}"))
                        ),
                    ));
                }
                Some(Before::of(socket, link.index)?)
            }
            None => None,
        };
        Ok(Facts::Found { vrf: there.map(|one| one.table), tables, interface })
    }

    fn attached(&self, _request: &Request, _result: &AddResult) -> Result<Facts, Error> {
        Ok(Facts::Attached)
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

    fn traces(&self, request: &Request, _owner: &Owner) -> Vec<Resource> {
        let name = self.settings.name.clone();
        vec![
            Vrf { name: name.clone(), table: None, was_there: false }.into(),
            VrfPort { link: request.ifname.clone(), vrf: name, before: None }.into(),
        ]
    }
}
