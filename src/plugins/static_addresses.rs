//! `static` called by itself, as the IPAM plugin of another program's interface plugin.

use super::addresses::plan_of;
use super::{Error, Given, Plan, Plugin, Role};
use crate::engine::{Node, Owner, Resource};
use crate::protocol::request::{Request, Verb};
use crate::protocol::result::AddResult;

/// The plugin; its keys are the address source's.
pub struct StaticPlugin;

impl Plugin for StaticPlugin {
    const TYPE: &'static str = "static";
    const ROLE: Role = Role::Addresses;
    type Facts = ();

    fn configure(request: &Request) -> Result<Self, Error> {
        match request.config.ipam {
            None if !matches!(request.verb, Verb::Del | Verb::Gc) => {
                Err(Error::config("ipam", "is missing; static reads its addresses there"))
            }
            _ => Ok(Self),
        }
    }

    fn uses_ipam(&self) -> bool {
        true
    }

    fn observe(&self, _: &Request, _: &Owner, _: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn attached(&self, request: &Request, _result: &AddResult) -> Result<(), Error> {
        match request.config.prev_result {
            Some(_) => Ok(()),
            None => Err(Error::Foreign("is missing, and CHECK compares with it".into())),
        }
    }

    fn plan(&self, _: &Request, _: &Owner, _: &(), given: &Given<'_>) -> Result<Plan, Error> {
        Ok(plan_of(given))
    }

    fn traces(&self, _: &Request, _: &Owner) -> Vec<Resource> {
        Vec::new()
    }
}
