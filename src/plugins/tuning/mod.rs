//! `tuning`: sysctls of the container, and attributes of its interface.

mod allow_list;
mod key;
mod planning;
#[cfg(test)]
mod planning_tests;
pub mod settings;

use std::collections::BTreeMap;
use std::path::Path;

use super::{Error, Given, Plan, Plugin, Role};
use crate::engine::node::Side;
use crate::engine::resource::link_attributes::{LinkAttributes, backup::Backup};
use crate::engine::{Node, Owner, Resource};
use crate::kernel::link::{self, Attributes};
use crate::kernel::{self, sysctl};
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;
use settings::Settings;

/// The plugin with its checked configuration.
pub struct Tuning {
    settings: Settings,
}

/// What the plan depends on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The attachment is there, for CHECK, which needs to know no more.
    attached: bool,
    /// What the interface is like, if it is there.
    link: Option<Attributes>,
    /// The values of sysctls before, by path; not those of an interface that is yet to be made.
    originals: BTreeMap<String, String>,
}

impl Plugin for Tuning {
    const TYPE: &'static str = "tuning";
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
        let settings = &self.settings;
        allow_list::check(&settings.sysctls)?;
        let ifname = &request.ifname;
        let changes = LinkAttributes::changes(&settings.link);
        let route = &mut node.pod()?.route;
        let link = if changes.is_empty() {
            link::index(route, ifname)?.map(|_| Attributes::default())
        } else {
            link::find(route, ifname)?.map(|link| LinkAttributes::of(&link, &changes))
        };
        let originals = node
            .within(Side::Pod, || settings.look_at_sysctls(ifname, link.is_some()))?
            .map_err(|(field, problem)| Error::config(field, problem))?;
        Ok(Facts { attached: false, link, originals })
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

    fn traces(&self, request: &Request, _owner: &Owner) -> Vec<Resource> {
        let Some(backup) = backup(&self.settings.data_dir, request) else { return Vec::new() };
        let wanted = Attributes::default();
        let link = request.ifname.clone();
        vec![LinkAttributes { link, wanted, original: None, backup: Some(backup) }.into()]
    }

    fn probe(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        allow_list::check(&self.settings.sysctls)
    }
}

fn backup(data_dir: &Path, request: &Request) -> Option<Backup> {
    Backup::of(data_dir, &request.container_id, &request.ifname)
}

impl Settings {
    /// The values of the sysctls in the namespace that the thread is in. Those of the interface can
    /// be read only if it is there; if not, it is seen whether there will be such settings.
    fn look_at_sysctls(
        &self,
        ifname: &str,
        is_there: bool,
    ) -> Result<BTreeMap<String, String>, (String, String)> {
        let mut values = BTreeMap::new();
        for wanted in &self.sysctls {
            let field = format!("{}[\"{}\"]", wanted.section, wanted.key.text());
            let wrong = |problem: &str| (field.clone(), problem.to_owned());
            let refused = |error: kernel::Error| (field.clone(), error.to_string());
            let path = wanted.key.of(ifname);
            let is_to_come = !is_there && wanted.key.is_of(ifname);
            let visible = match wanted.key.of_new_interfaces(ifname) {
                Some(default) if is_to_come => default,
                // Nothing tells of it before the interface is there.
                None if is_to_come => continue,
                _ => path.clone(),
            };
            let access = sysctl::access(&visible).map_err(refused)?;
            let Some(access) = access else {
                return Err(wrong(
                    "the container has no such setting: correct the name, or load the kernel \
                     module that brings it",
                ));
            };
            if !access.writable {
                return Err(wrong("only tells something and cannot be set"));
            }
            if access.readable && !is_to_come {
                // Some have no value that could be read until they are set.
                if let Ok(value) = sysctl::read(&path) {
                    values.insert(path, value);
                }
            }
        }
        Ok(values)
    }
}
