//! `host-local` called by itself, as the IPAM plugin of another program's interface plugin.

use super::addresses::plan_of;
use super::{Error, Given, Plan, Plugin, Role};
use crate::engine::{Node, Owner, Resource};
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

/// The plugin; its keys are the address source's.
pub struct HostLocalPlugin;

impl Plugin for HostLocalPlugin {
    const TYPE: &'static str = "host-local";
    const ROLE: Role = Role::Addresses;
    type Facts = ();

    fn configure(request: &Request) -> Result<Self, Error> {
        match request.config.ipam {
            Some(_) => Ok(Self),
            None => Err(Error::config("ipam", "is missing; host-local reads its ranges there")),
        }
    }

    fn uses_ipam(&self) -> bool {
        true
    }

    fn observe(
        &self,
        _request: &Request,
        _owner: &Owner,
        _node: &mut Node<'_>,
    ) -> Result<(), Error> {
        Ok(())
    }

    fn attached(&self, _request: &Request, _result: &AddResult) -> Result<(), Error> {
        Ok(())
    }

    fn plan(
        &self,
        _request: &Request,
        _owner: &Owner,
        _facts: &(),
        given: &Given<'_>,
    ) -> Result<Plan, Error> {
        Ok(plan_of(given))
    }

    fn traces(&self, _request: &Request, _owner: &Owner) -> Vec<Resource> {
        Vec::new()
    }
}
