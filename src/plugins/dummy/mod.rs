//! `dummy`: an interface with nothing behind it, for addresses of the container's own. It has no keys
//! but `ipam`.

mod planning;

use super::container_link::{self, Facts};
use super::{Error, Given, Plan, Plugin, Role, attached};
use crate::engine::{Node, Owner, Resource};
use crate::kernel::link::Variety;
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

/// The plugin.
pub struct Dummy;

impl Plugin for Dummy {
    const TYPE: &'static str = "dummy";
    const ROLE: Role = Role::Interface;
    type Facts = Facts;

    fn configure(_request: &Request) -> Result<Self, Error> {
        Ok(Self)
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
        Ok(Facts::default())
    }

    fn attached(&self, request: &Request, result: &AddResult) -> Result<Facts, Error> {
        let attached = Some(attached::pod_end(request, result)?);
        Ok(Facts { master: None, attached })
    }

    fn plan(
        &self,
        request: &Request,
        owner: &Owner,
        facts: &Facts,
        given: &Given<'_>,
    ) -> Result<Plan, Error> {
        planning::plan(request, owner, facts, given)
    }

    fn traces(&self, request: &Request, owner: &Owner) -> Vec<Resource> {
        container_link::traces(request, owner, Variety::Dummy)
    }
}
