//! From configuration, facts and the plans before to a plan: pure.

use super::Facts;
use super::settings::{KERNEL_TABLES, Settings};
use crate::engine::Resource;
use crate::engine::resource::{readiness::Readiness, vrf::Vrf, vrf_port::VrfPort};
use crate::plugins::{Error, Given, Plan};
use crate::protocol::request::Request;

pub(super) fn plan(
    settings: &Settings,
    request: &Request,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Plan, Error> {
    let ifname = &request.ifname;
    let name = settings.name.clone();
    let (table, was_there) = match facts {
        Facts::Attached => (settings.table, true),
        Facts::Found { vrf: Some(table), .. } => (Some(*table), true),
        Facts::Found { tables, .. } => (Some(free_table(settings, tables)?), false),
    };
    let before = match facts {
        Facts::Attached => None,
        Facts::Found { interface, .. } => {
            if interface.is_none() && !given.may_make(ifname) {
                return Err(Error::config(
                    "prevResult",
                    format!(
                        "interface {ifname} is not in the container; vrf moves what another plugin has \
                         made, so give it a place after that one in the list of plugins"
                    ),
                ));
            }
            interface.clone()
        }
    };
    if let Some(other) = given.planned.iter().find_map(|resource| match resource {
        Resource::VrfPort(port) if port.link == *ifname => Some(&port.vrf),
        _ => None,
    }) {
        return Err(Error::config(
            "vrfname",
            format!(
                "{ifname} is a port of {other} already, by an entry before; keep one of the two"
            ),
        ));
    }
    let mut resources: Vec<Resource> = vec![
        Vrf { name: name.clone(), table, was_there }.into(),
        VrfPort { link: ifname.clone(), vrf: name, before }.into(),
    ];
    // Going down and up again has taken the other end's carrier for a moment.
    if let Some(port) = given.host_link(ifname) {
        resources.push(Readiness { port: port.to_owned() }.into());
    }
    Ok(Plan { resources, result: given.previous.cloned().unwrap_or_default() })
}

/// The table asked for or, as with the reference plugin, the lowest that is free.
fn free_table(settings: &Settings, taken: &[u32]) -> Result<u32, Error> {
    if let Some(table) = settings.table {
        return Ok(table);
    }
    let is_free = |table: &u32| !KERNEL_TABLES.contains(table) && !taken.contains(table);
    (1..u32::MAX).find(is_free).ok_or_else(|| Error::config("table", "there is no free table"))
}
