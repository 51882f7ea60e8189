//! `ptp`: a pair of links between the container and the host, without a bridge; the host routes to
//! each container. `netkit` is the same with a netkit pair.

pub mod planning;
#[cfg(test)]
mod planning_tests;
pub mod settings;

use crate::engine::resource::{netkit::Netkit as NetkitPair, pod_link::PodLink, veth::Veth};
use crate::engine::{Node, Owner, Resource};
use crate::kernel::link::netkit;
use crate::kernel::privileges::Children;
use crate::kernel::{self, masquerade};
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

use super::attached::{self, PodEnd};
use super::pair::{self, Backend, unrecorded};
use super::{Error, Given, Plan, Plugin, Role};
use settings::{LinkType, Settings};

/// The plugin with its checked configuration, under one of its two names.
pub struct PointToPoint<const NETKIT: bool> {
    settings: Settings,
}

/// `ptp`.
pub type Ptp = PointToPoint<false>;
/// `netkit`.
pub type Netkit = PointToPoint<true>;

/// What a plan depends on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// A free name for the host end, or at CHECK the name it has.
    pub host_link: String,
    /// The container end that CHECK expects; ADD's follows from configuration and owner.
    pub attached: Option<PodEnd>,
}

impl<const NETKIT: bool> Plugin for PointToPoint<NETKIT> {
    const TYPE: &'static str = if NETKIT { "netkit" } else { "ptp" };
    const ROLE: Role = Role::Interface;
    type Facts = Facts;

    fn configure(request: &Request) -> Result<Self, Error> {
        Ok(Self { settings: Settings::read(request, Self::TYPE)? })
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
        self.probe_netkit(node)?;
        attached::refuse_second(request, node)?;
        Ok(Facts { host_link: pair::free_name(owner, node)?, attached: None })
    }

    fn attached(&self, request: &Request, result: &AddResult) -> Result<Facts, Error> {
        let attached = attached::pod_end(request, result)?;
        let outside = result.interfaces.iter().find(|one| one.sandbox.is_empty());
        let outside = outside.ok_or_else(|| {
            Error::Foreign("lists no interface on the host; it is not this attachment's".into())
        })?;
        Ok(Facts { host_link: outside.name.clone(), attached: Some(attached) })
    }

    fn plan(
        &self,
        request: &Request,
        owner: &Owner,
        facts: &Facts,
        given: &Given<'_>,
    ) -> Result<Plan, Error> {
        let lease = given.lease.ok_or_else(|| Error::config("ipam", "is missing"))?;
        planning::plan(&self.settings, request, owner, facts, lease)
    }

    fn traces(&self, request: &Request, owner: &Owner) -> Vec<Resource> {
        let (host, pod, owner) = (owner.host_link(0), request.ifname.clone(), owner.text());
        let pair = match self.settings.link_type {
            LinkType::Veth => Veth {
                host,
                pod,
                mac: String::new(),
                mtu: None,
                bridge: None,
                joins_later: false,
                hairpin: false,
                isolated: false,
                leave_down: false,
                owner,
            }
            .into(),
            LinkType::Netkit(manner) => {
                NetkitPair { host, pod, mac: String::new(), mtu: None, manner, owner }.into()
            }
        };
        vec![PodLink { name: request.ifname.clone() }.into(), pair]
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
        self.probe_netkit(node)?;
        let masquerades =
            self.settings.ip_masq && self.settings.ip_masq_backend == Backend::Nftables;
        if masquerades || self.settings.addrspoofchk {
            masquerade::entries(node.nft()?).map_err(kernel::Error::from)?;
        }
        Ok(())
    }
}

impl<const NETKIT: bool> PointToPoint<NETKIT> {
    fn uses_rules(&self) -> bool {
        self.settings.ip_masq || self.settings.addrspoofchk
    }

    /// Whether the kernel has what the pair is to be made of.
    fn probe_netkit(&self, node: &mut Node<'_>) -> Result<(), Error> {
        if !matches!(self.settings.link_type, LinkType::Netkit(_)) {
            return Ok(());
        }
        let asked_by = if NETKIT { "type \"netkit\"" } else { "linkType \"netkit\"" };
        Ok(netkit::probe(&mut node.host, asked_by)?)
    }
}
