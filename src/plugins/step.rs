//! A plugin at work on one request. Plugins have facts of their own types; a call of several at once
//! needs them all alike.

use super::{Error, Given, Plan, Plugin, Role};
use crate::engine::{Node, Owner, Resource};
use crate::ipam::Source;
use crate::kernel::privileges::Children;
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

/// What the verbs need of a plugin with its configuration; see [`Plugin`] for each.
#[allow(missing_docs)]
pub trait Step {
    fn plugin_type(&self) -> &'static str;
    fn role(&self) -> Role;
    fn request(&self) -> &Request;
    /// The address source that the configuration names, if the plugin has one.
    fn source(&self) -> Result<Option<Source>, Error>;
    fn children(&self) -> Children;
    /// Reads the facts from the kernel and keeps them for [`Step::plan`].
    fn observe(&mut self, owner: &Owner, node: &mut Node<'_>) -> Result<(), Error>;
    /// Takes the facts from prevResult and keeps them for [`Step::plan`].
    fn recall(&mut self, result: &AddResult) -> Result<(), Error>;
    fn plan(&self, owner: &Owner, given: &Given<'_>) -> Result<Plan, Error>;
    fn traces(&self, owner: &Owner) -> Vec<Resource>;
    fn remove_unrecorded(&self, owner: &Owner, node: &mut Node<'_>) -> Result<(), Error>;
    fn collect(&self, node: &mut Node<'_>, is_stale: &dyn Fn(&str) -> bool) -> Result<(), Error>;
    fn probe(&self, node: &mut Node<'_>) -> Result<(), Error>;
}

struct At<'r, P: Plugin> {
    plugin: P,
    request: &'r Request,
    facts: Option<P::Facts>,
}

/// Has a plugin read its configuration.
///
/// # Errors
/// A wrong key or value, named.
pub(super) fn open<P: Plugin + 'static>(request: &Request) -> Result<Box<dyn Step + '_>, Error>
where
    P::Facts: 'static,
{
    Ok(Box::new(At { plugin: P::configure(request)?, request, facts: None }))
}

impl<P: Plugin> Step for At<'_, P> {
    fn plugin_type(&self) -> &'static str {
        P::TYPE
    }

    fn role(&self) -> Role {
        P::ROLE
    }

    fn request(&self) -> &Request {
        self.request
    }

    fn source(&self) -> Result<Option<Source>, Error> {
        if self.plugin.uses_ipam() { Ok(Source::of(self.request)?) } else { Ok(None) }
    }

    fn children(&self) -> Children {
        self.plugin.children()
    }

    fn observe(&mut self, owner: &Owner, node: &mut Node<'_>) -> Result<(), Error> {
        self.facts = Some(self.plugin.observe(self.request, owner, node)?);
        Ok(())
    }

    fn recall(&mut self, result: &AddResult) -> Result<(), Error> {
        self.facts = Some(self.plugin.attached(self.request, result)?);
        Ok(())
    }

    fn plan(&self, owner: &Owner, given: &Given<'_>) -> Result<Plan, Error> {
        if P::ROLE == Role::Chained && given.previous.is_none() {
            return Err(Error::config(
                "prevResult",
                format!(
                    "is missing; {} changes what another plugin has made, so give it a place after \
                     that one in the list of plugins",
                    P::TYPE
                ),
            ));
        }
        // No call plans without having read the facts.
        let facts = self.facts.as_ref().ok_or(Error::Unprepared(P::TYPE))?;
        self.plugin.plan(self.request, owner, facts, given)
    }

    fn traces(&self, owner: &Owner) -> Vec<Resource> {
        self.plugin.traces(self.request, owner)
    }

    fn remove_unrecorded(&self, owner: &Owner, node: &mut Node<'_>) -> Result<(), Error> {
        self.plugin.remove_unrecorded(self.request, owner, node)
    }

    fn collect(&self, node: &mut Node<'_>, is_stale: &dyn Fn(&str) -> bool) -> Result<(), Error> {
        self.plugin.collect(self.request, node, is_stale)
    }

    fn probe(&self, node: &mut Node<'_>) -> Result<(), Error> {
        self.plugin.probe(node)
    }
}
