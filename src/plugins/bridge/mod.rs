//! `bridge`: a veth pair between the container and a bridge on the host.

pub mod facts;
pub mod planning;
#[cfg(test)]
mod planning_tests;
pub mod settings;

use crate::engine::resource::{pod_link::PodLink, veth::Veth};
use crate::engine::{Node, Owner, Resource};
use crate::kernel::privileges::Children;
use crate::kernel::{self, masquerade};
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

use super::pair::{Backend, unrecorded};
use super::{Error, Given, Plan, Plugin, Role};
use facts::Facts;
use settings::Settings;

/// The plugin with its checked configuration.
pub struct Bridge {
    settings: Settings,
}

impl Plugin for Bridge {
    const TYPE: &'static str = "bridge";
    const ROLE: Role = Role::Interface;
    type Facts = Facts;

    fn configure(request: &Request) -> Result<Self, Error> {
        Ok(Self { settings: Settings::read(request)? })
    }

    fn uses_ipam(&self) -> bool {
        true
    }

    fn children(&self) -> Children {
        let iptables = self.settings.ip_masq && self.settings.ip_masq_backend == Backend::Iptables;
        if iptables { Children::Iptables } else { Children::Modest }
    }

    fn observe(
        &self,
        request: &Request,
        owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<Facts, Error> {
        Facts::observe(&self.settings, request, owner, node)
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

    fn attached(&self, request: &Request, result: &AddResult) -> Result<Facts, Error> {
        Facts::from_result(&self.settings, request, result)
    }

    fn traces(&self, request: &Request, owner: &Owner) -> Vec<Resource> {
        vec![
            PodLink { name: request.ifname.clone() }.into(),
            Veth {
                host: owner.host_link(0),
                pod: request.ifname.clone(),
                mac: String::new(),
                mtu: None,
                bridge: None,
                joins_later: false,
                hairpin: false,
                isolated: false,
                leave_down: false,
                owner: owner.text(),
            }
            .into(),
        ]
    }

    fn remove_unrecorded(
        &self,
        _request: &Request,
        owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<(), Error> {
        if self.uses_rules() { unrecorded::remove_rules_of(owner, node) } else { Ok(()) }
    }

    fn collect(
        &self,
        _request: &Request,
        node: &mut Node<'_>,
        is_stale: &dyn Fn(&str) -> bool,
    ) -> Result<(), Error> {
        let links = unrecorded::remove_links(node, is_stale);
        let rules =
            if self.uses_rules() { unrecorded::remove_rules(node, is_stale) } else { Ok(()) };
        links.and(rules)
    }

    fn probe(&self, node: &mut Node<'_>) -> Result<(), Error> {
        if self.uses_rules() {
            masquerade::entries(node.nft()?).map_err(kernel::Error::from)?;
        }
        Ok(())
    }
}

impl Bridge {
    fn uses_rules(&self) -> bool {
        self.settings.ip_masq || self.settings.macspoofchk || self.settings.addrspoofchk
    }
}
