//! `bridge`: a veth pair between the container and a bridge on the host.

pub mod facts;
pub mod planning;
#[cfg(test)]
mod planning_tests;
pub mod settings;

use crate::engine::resource::{pod_link::PodLink, veth::Veth};
use crate::engine::{Node, Owner, Resource};
use crate::ipam::Leased;
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

use super::{Error, Plan, Plugin};
use facts::Facts;
use settings::Settings;

/// The plugin with its checked configuration.
pub struct Bridge {
    settings: Settings,
}

impl Plugin for Bridge {
    const TYPE: &'static str = "bridge";
    const MAKES_LINKS: bool = true;
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
        lease: Option<&Leased>,
    ) -> Result<Plan, Error> {
        planning::plan(&self.settings, request, owner, facts, lease)
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
                hairpin: false,
                isolated: false,
                leave_down: false,
                owner: owner.text(),
            }
            .into(),
        ]
    }

    fn uses_rules(&self) -> bool {
        self.settings.ip_masq || self.settings.macspoofchk
    }
}
