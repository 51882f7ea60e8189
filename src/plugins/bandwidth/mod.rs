//! `bandwidth`: limits to what is sent to the container and to what it sends.

pub mod planning;
#[cfg(test)]
mod planning_tests;
pub mod settings;

use crate::engine::host_end::{self, HostEnd};
use crate::engine::resource::shaper::already_there;
use crate::engine::{Node, Owner, Resource};
use crate::kernel::link;
use crate::kernel::link::Link;
use crate::kernel::tc::{self, found};
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

use super::{Error, Given, Plan, Plugin, Role};
use settings::Settings;

/// The plugin with its checked configuration.
pub struct Bandwidth {
    settings: Settings,
}

/// What a plan depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The attachment is there, for CHECK, which needs to know no more.
    attached: bool,
    /// The host's end of the container's interface, if that is there.
    host: Option<String>,
}

impl Plugin for Bandwidth {
    const TYPE: &'static str = "bandwidth";
    const ROLE: Role = Role::Chained;
    type Facts = Facts;

    fn configure(request: &Request) -> Result<Self, Error> {
        Ok(Self { settings: Settings::read(request)? })
    }

    fn observe(
        &self,
        request: &Request,
        owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<Facts, Error> {
        if self.settings.is_empty() {
            return Ok(Facts::default());
        }
        self.probe(node)?;
        let ifname = &request.ifname;
        let Some(inside) = link::find(&mut node.pod()?.route, ifname)? else {
            return Ok(Facts::default());
        };
        let host = match inside.peer {
            Some(peer) => host_end::other_end(&inside, peer, node)?,
            None => None,
        };
        let Some(host) = host else {
            return Err(Error::config(
                "prevResult",
                format!(
                    "interface {ifname} has no other end on the host (it is no veth, but {}); \
                     bandwidth can limit only interfaces that have",
                    if inside.kind.is_empty() { "hardware" } else { &inside.kind }
                ),
            ));
        };
        self.refuse_limited(owner, &host, node)?;
        Ok(Facts { attached: false, host: Some(host.name) })
    }

    fn attached(&self, _request: &Request, _result: &AddResult) -> Result<Facts, Error> {
        Ok(Facts { attached: true, host: None })
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

    /// As with the reference plugin the ifb device goes whatever the configuration says.
    fn traces(&self, request: &Request, owner: &Owner) -> Vec<Resource> {
        let end = HostEnd { pod: request.ifname.clone(), host: None };
        let ifb = planning::ifb(&self.settings, owner, &end, true);
        let limits = planning::resources(&self.settings, owner, &end);
        let limits = limits.filter(|one| !matches!(one, Resource::Ifb(_)));
        std::iter::once(ifb.into()).chain(limits).collect()
    }

    fn collect(
        &self,
        _request: &Request,
        node: &mut Node<'_>,
        is_stale: &dyn Fn(&str) -> bool,
    ) -> Result<(), Error> {
        let links = link::list(&mut node.host)?;
        for one in links.iter().filter(|one| one.kind == "ifb" && is_stale(&one.alias)) {
            node.remove_link(one);
        }
        Ok(node.flush()?)
    }

    fn probe(&self, node: &mut Node<'_>) -> Result<(), Error> {
        if self.settings.is_empty() {
            return Ok(());
        }
        let kind = self.settings.subnets.kind();
        Ok(tc::require(&mut node.host, kind, self.settings.first_key())?)
    }
}

impl Bandwidth {
    /// Refuses an interface that is limited already, before anything is changed.
    fn refuse_limited(&self, owner: &Owner, host: &Link, node: &mut Node<'_>) -> Result<(), Error> {
        let refuse = |place: &str| Err(Error::AlreadyAttached(already_there(&host.name, place)));
        if self.settings.ingress.is_some() {
            let root = found::root(&mut node.host, host.index)?;
            // The kernel's own choice has no handle.
            if root.is_some_and(|root| root.handle.major != 0) {
                return refuse("root");
            }
        }
        if self.settings.egress.is_some() {
            if found::incoming(&mut node.host, host.index)?.is_some() {
                return refuse("ingress");
            }
            let name = planning::ifb_name(owner);
            if link::index(&node.host, &name)?.is_some() {
                return Err(Error::AlreadyAttached(format!(
                    "ifb device {name} is already there: the container is limited on this network \
                     already; detach it first (DEL)"
                )));
            }
        }
        Ok(())
    }
}
