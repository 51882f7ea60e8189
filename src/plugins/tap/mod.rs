//! `tap`: a TAP device in the container, for a program such as a virtual machine's monitor.

mod planning;
#[cfg(test)]
mod planning_tests;
pub mod settings;

use crate::engine::resource::pod_link::PodLink;
use crate::engine::{Node, Owner, Resource};
use crate::kernel::privileges::Children;
use crate::kernel::{self, link, selinux, tap};
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

use super::{Error, Given, Plan, Plugin, Role, attached};
use settings::Settings;

/// The plugin with its checked configuration.
pub struct TapPlugin {
    settings: Settings,
}

/// What the plan depends on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The hardware address of the device that is there, for CHECK, in colon form; it may be empty.
    attached: Option<String>,
}

impl Plugin for TapPlugin {
    const TYPE: &'static str = "tap";
    const ROLE: Role = Role::Interface;
    type Facts = Facts;

    fn configure(request: &Request) -> Result<Self, Error> {
        Ok(Self { settings: Settings::read(request)? })
    }

    fn uses_ipam(&self) -> bool {
        true
    }

    fn children(&self) -> Children {
        // With no_new_privs SELinux would refuse `ip` the label.
        if self.settings.label.is_some() { Children::Any } else { Children::Modest }
    }

    fn observe(
        &self,
        request: &Request,
        _owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<Facts, Error> {
        attached::refuse_second(request, node)?;
        if let Some(bridge) = &self.settings.bridge {
            let wrong = |problem: String| Err(Error::config("bridge", problem));
            match link::find(&mut node.pod()?.route, bridge)? {
                None => {
                    return wrong(format!(
                        "{bridge} is not in the container; it must be there, not on the host, before \
                         the tap device can be its port"
                    ));
                }
                Some(link) if link.kind != "bridge" => {
                    return wrong(format!("{bridge} in the container is no bridge"));
                }
                Some(_) => {}
            }
        }
        tap::require()?;
        if self.settings.label.is_some() {
            selinux::require("selinuxContext")?;
        }
        Ok(Facts::default())
    }

    fn attached(&self, request: &Request, result: &AddResult) -> Result<Facts, Error> {
        let interface = attached::interface(request, result)?;
        Ok(Facts { attached: Some(interface.mac.clone()) })
    }

    fn plan(
        &self,
        request: &Request,
        owner: &Owner,
        facts: &Facts,
        given: &Given<'_>,
    ) -> Result<Plan, Error> {
        planning::plan(&self.settings, request, owner, facts, given.lease)
    }

    fn traces(&self, request: &Request, _owner: &Owner) -> Vec<Resource> {
        vec![PodLink { name: request.ifname.clone() }.into()]
    }

    fn probe(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        let needed: Result<(), kernel::Error> =
            tap::require().and_then(|()| match self.settings.label {
                Some(_) => selinux::require("selinuxContext"),
                None => Ok(()),
            });
        Ok(needed?)
    }
}
