//! `ipvlan`: an interface with network addresses of its own behind the hardware address of a link of
//! the host.

mod planning;
pub mod settings;

use super::container_link::{self, Facts};
use super::{Error, Given, Plan, Plugin, Role, attached};
use crate::engine::{Node, Owner, Resource};
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;
use settings::Settings;

/// The plugin with its checked configuration.
pub struct Ipvlan {
    settings: Settings,
}

impl Plugin for Ipvlan {
    const TYPE: &'static str = "ipvlan";
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
        let wish = &self.settings.master;
        let master = match (&wish.name, &request.config.prev_result) {
            (None, Some(previous)) => Some(wish.find_named(planning::single(previous)?, node)?),
            // An entry of a list may be told by the one before, which has not run yet.
            (None, None) => match wish.find(node) {
                Err(Error::Config { .. }) => None,
                found => Some(found?),
            },
            _ => Some(wish.find(node)?),
        };
        Ok(Facts { master, attached: None })
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
        // Without a name, prevResult may tell, which STATUS does not have.
        match self.settings.master.name {
            Some(_) => self.settings.master.probe(node),
            None => Ok(()),
        }
    }
}
