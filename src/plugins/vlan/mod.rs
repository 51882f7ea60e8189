//! `vlan`: an interface for the frames of one VLAN that a link of the host carries.

mod planning;
pub mod settings;

use super::container_link::{self, Facts};
use super::{Error, Given, Plan, Plugin, Role, attached};
use crate::engine::{Node, Owner, Resource};
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;
use settings::Settings;

/// The plugin with its checked configuration.
pub struct Vlan {
    settings: Settings,
}

impl Plugin for Vlan {
    const TYPE: &'static str = "vlan";
    const ROLE: Role = Role::Interface;
    type Facts = Facts;

    fn configure(request: &Request) -> Result<Self, Error> {
        Ok(Self { settings: Settings::read(request)? })
    }

    fn uses_ipam(&self) -> bool {
        true
    }

    fn observe(
        &self,
        request: &Request,
        _owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<Facts, Error> {
        attached::refuse_second(request, node)?;
        Ok(Facts { master: Some(self.settings.master.find(node)?), attached: None })
    }

    fn attached(&self, request: &Request, result: &AddResult) -> Result<Facts, Error> {
        container_link::recalled(request, result, &self.settings.master)
    }

    fn plan(
        &self,
        request: &Request,
        owner: &Owner,
        facts: &Facts,
        given: &Given<'_>,
    ) -> Result<Plan, Error> {
        planning::plan(&self.settings, request, owner, facts, given)
    }

    fn traces(&self, request: &Request, owner: &Owner) -> Vec<Resource> {
        container_link::traces(request, owner, self.settings.variety())
    }

    fn probe(&self, node: &mut Node<'_>) -> Result<(), Error> {
        self.settings.master.probe(node)
    }
}
