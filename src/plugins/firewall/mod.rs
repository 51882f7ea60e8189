//! `firewall`: what is forwarded to and from the container is let through, and not from where it
//! should not come.

pub mod planning;
#[cfg(test)]
mod planning_tests;
pub mod settings;
mod unrecorded;

use crate::engine::journal::Journal;
use crate::engine::reference::forward;
use crate::engine::{Node, Owner, Resource};
use crate::kernel::filter_table;
use crate::kernel::firewalld::Firewalld;
use crate::kernel::iptables::FAMILIES;
use crate::kernel::privileges::Children;
use crate::kernel::{self, firewall, nft};
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

use super::{Error, Given, Plan, Plugin, Role, SELF};
use settings::{Backend, Settings};

/// The plugin with its checked configuration.
pub struct Firewall {
    settings: Settings,
}

/// What a plan depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The backend that is configured, or that the host asks for.
    pub backend: Backend,
}

impl Plugin for Firewall {
    const TYPE: &'static str = "firewall";
    const ROLE: Role = Role::Chained;
    type Facts = Facts;

    fn configure(request: &Request) -> Result<Self, Error> {
        Ok(Self { settings: Settings::read(request)? })
    }

    fn children(&self) -> Children {
        let iptables = self.settings.backend == Some(Backend::Iptables);
        if iptables { Children::Iptables } else { Children::Modest }
    }

    fn observe(
        &self,
        _request: &Request,
        _owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<Facts, Error> {
        Ok(Facts { backend: self.usable_backend(node)? })
    }

    fn plan(
        &self,
        _request: &Request,
        owner: &Owner,
        facts: &Facts,
        given: &Given<'_>,
    ) -> Result<Plan, Error> {
        planning::plan(&self.settings, owner, facts.backend, given)
    }

    fn attached(&self, request: &Request, _result: &AddResult) -> Result<Facts, Error> {
        // Without a record the reference plugin attached it, which took firewalld where that was
        // running and else iptables.
        let backend = self.settings.backend.or_else(|| recorded(request)).unwrap_or_else(|| {
            match Firewalld::running() {
                Some(_) => Backend::Firewalld,
                None => Backend::Iptables,
            }
        });
        Ok(Facts { backend })
    }

    fn traces(&self, _request: &Request, _owner: &Owner) -> Vec<Resource> {
        Vec::new()
    }

    fn remove_unrecorded(
        &self,
        request: &Request,
        owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<(), Error> {
        unrecorded::remove_of(&self.settings, request, owner, node)
    }

    fn collect(
        &self,
        _request: &Request,
        node: &mut Node<'_>,
        is_stale: &dyn Fn(&str) -> bool,
    ) -> Result<(), Error> {
        unrecorded::remove_elements(node, is_stale)
    }

    fn probe(&self, node: &mut Node<'_>) -> Result<(), Error> {
        self.usable_backend(node).map(drop)
    }
}

impl Firewall {
    /// The backend, after making sure that it is there.
    fn usable_backend(&self, node: &mut Node<'_>) -> Result<Backend, Error> {
        let backend = match self.settings.backend {
            Some(Backend::Firewalld) => Firewalld::require().map(|_| Backend::Firewalld)?,
            Some(backend) => backend,
            // It is there: that was what the choice was made by.
            None if Firewalld::running().is_some() => Backend::Firewalld,
            None if is_iptables_in_use(node)? => Backend::Iptables,
            None => Backend::Nftables,
        };
        match backend {
            Backend::Iptables => {
                for family in FAMILIES {
                    filter_table::home(family, forward::NEEDED_FOR)?;
                }
            }
            Backend::Nftables => firewall::probe(node.nft()?).map_err(kernel::Error::from)?,
            Backend::Firewalld => {}
        }
        Ok(backend)
    }
}

fn is_iptables_in_use(node: &mut Node<'_>) -> Result<bool, Error> {
    let socket = match node.nft() {
        Err(kernel::Error::Nft(nft::Error::Unsupported { .. })) => None,
        socket => Some(socket?),
    };
    Ok(filter_table::in_use(socket).map_err(kernel::Error::from)?)
}

/// The backend that the attachment's record tells of.
fn recorded(request: &Request) -> Option<Backend> {
    let journal = Journal::of(request.config.state_dir.as_deref(), &request.config.name);
    let types = [Firewall::TYPE, SELF];
    let records = journal
        .of_attachment(&request.container_id, &request.ifname, &types)
        .inspect_err(|error| log::warn!("{error}"))
        .ok()?;
    records.iter().flat_map(|record| &record.resources).find_map(|resource| match resource {
        Resource::Firewall(_) => Some(Backend::Nftables),
        Resource::IptablesFirewall(_) => Some(Backend::Iptables),
        Resource::FirewalldSource(_) => Some(Backend::Firewalld),
        _ => None,
    })
}
