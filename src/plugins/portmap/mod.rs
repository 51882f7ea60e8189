//! `portmap`: ports of the host that lead to the container.

pub mod planning;
#[cfg(test)]
mod planning_tests;
pub mod settings;

use crate::engine::reference::hostport::NEEDED_FOR as IPTABLES;
use crate::engine::{Node, Owner, Resource, reference};
use crate::kernel::iptables::{FAMILIES, Family};
use crate::kernel::port::Transport;
use crate::kernel::portmap::conditions::Condition;
use crate::kernel::privileges::Children;
use crate::kernel::{self, filter_table, nft, portmap};
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

use super::{Error, Given, Plan, Plugin, Role};
use settings::{Backend, Settings};

/// The plugin with its checked configuration.
pub struct Portmap {
    settings: Settings,
}

/// What a plan depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The ports that are others'.
    pub taken: Vec<Taken>,
    /// Whether some lead to this container already, by another interface of it. A runtime that attaches one
    /// container to several networks may ask each of them for the same ports.
    pub shared: bool,
}

/// A port of the host that leads to another container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The mapping's place in the list.
    pub mapping: usize,
    /// In which family.
    pub v6: bool,
    /// Whose it is.
    pub owner: String,
}

impl Plugin for Portmap {
    const TYPE: &'static str = "portmap";
    const ROLE: Role = Role::Chained;
    type Facts = Facts;

    fn configure(request: &Request) -> Result<Self, Error> {
        Ok(Self { settings: Settings::read(request)? })
    }

    fn children(&self) -> Children {
        let iptables = matches!(self.settings.backend, Backend::Iptables { .. });
        if iptables { Children::Iptables } else { Children::Modest }
    }

    fn observe(
        &self,
        request: &Request,
        owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<Facts, Error> {
        if self.settings.mappings.is_empty() {
            return Ok(Facts::default());
        }
        if let Backend::Iptables { .. } = &self.settings.backend {
            for family in families(request) {
                filter_table::home(family, IPTABLES)?;
            }
        }
        let mut taken = self.taken(owner, node)?;
        let all = taken.len();
        taken.retain(|one| !owner.is_sibling(&one.owner));
        Ok(Facts { shared: taken.len() < all, taken })
    }

    fn plan(
        &self,
        request: &Request,
        owner: &Owner,
        facts: &Facts,
        given: &Given<'_>,
    ) -> Result<Plan, Error> {
        planning::plan(&self.settings, &request.ifname, owner, facts, given)
    }

    fn attached(&self, _request: &Request, _result: &AddResult) -> Result<Facts, Error> {
        Ok(Facts::default())
    }

    fn traces(&self, _request: &Request, _owner: &Owner) -> Vec<Resource> {
        Vec::new()
    }

    fn remove_unrecorded(
        &self,
        _request: &Request,
        owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<(), Error> {
        // As with the reference plugin: nothing is asked for, nothing is looked for.
        if self.settings.mappings.is_empty() {
            return Ok(());
        }
        let text = owner.text();
        remove_entries(node, &|one| one == text)?;
        if reference::remove_portmap(owner, node)? {
            self.forget_connections(node);
        }
        Ok(node.flush()?)
    }

    fn collect(
        &self,
        _request: &Request,
        node: &mut Node<'_>,
        is_stale: &dyn Fn(&str) -> bool,
    ) -> Result<(), Error> {
        remove_entries(node, is_stale)
    }

    fn probe(&self, node: &mut Node<'_>) -> Result<(), Error> {
        match &self.settings.backend {
            Backend::Nftables { .. } => {
                portmap::holders(node.nft()?, false, &[], &[]).map_err(kernel::Error::from)?;
            }
            Backend::Iptables { .. } => {
                for family in FAMILIES {
                    family.require(IPTABLES)?;
                }
            }
        }
        Ok(())
    }
}

impl Portmap {
    /// The ports that others have in the maps of nftables. Those that they have in chains of iptables
    /// are found when the rules are made.
    fn taken(&self, owner: &Owner, node: &mut Node<'_>) -> Result<Vec<Taken>, Error> {
        let own = nft::comment(&owner.text());
        let mut taken = Vec::new();
        for v6 in [false, true] {
            let conditions: &[Condition] = match &self.settings.backend {
                Backend::Nftables { conditions_v4, conditions_v6 } => {
                    if v6 {
                        conditions_v6
                    } else {
                        conditions_v4
                    }
                }
                Backend::Iptables { conditions_v4, conditions_v6, .. } => {
                    let words = if v6 { conditions_v6 } else { conditions_v4 };
                    // Conditions in two languages cannot be compared.
                    if !words.is_empty() {
                        continue;
                    }
                    &[]
                }
            };
            let found = match (self.holders(v6, conditions, node), &self.settings.backend) {
                (
                    Err(kernel::Error::Nft(nft::Error::Unsupported { .. })),
                    Backend::Iptables { .. },
                ) => break,
                (found, _) => found?,
            };
            let others = found.into_iter().filter(|(_, owner)| *owner != own);
            taken.extend(others.map(|(mapping, owner)| Taken { mapping, v6, owner }));
        }
        Ok(taken)
    }

    fn holders(
        &self,
        v6: bool,
        conditions: &[Condition],
        node: &mut Node<'_>,
    ) -> Result<Vec<(usize, String)>, kernel::Error> {
        Ok(portmap::holders(node.nft()?, v6, &self.settings.mappings, conditions)?)
    }

    /// Has UDP connections forgotten that know the way of before.
    fn forget_connections(&self, node: &mut Node<'_>) {
        let udp = self.settings.mappings.iter().filter(|one| one.protocol == Transport::Udp);
        let ports: Vec<u16> = udp.map(|mapping| mapping.host_port).collect();
        for v6 in [false, true] {
            node.forget_udp(&ports, v6);
        }
    }
}

/// The families that rules may be made of: those of the result before, or both when another plugin
/// of the same call gives the addresses.
fn families(request: &Request) -> Vec<Family> {
    let ips = request.config.prev_result.iter().flat_map(|result| &result.ips);
    let given: Vec<_> = ips.map(|ip| Family::of(ip.address.ip())).collect();
    FAMILIES.into_iter().filter(|family| given.is_empty() || given.contains(family)).collect()
}

/// Removes the entries whose owner is stale; a kernel without nf_tables has none.
fn remove_entries(node: &mut Node<'_>, is_stale: &dyn Fn(&str) -> bool) -> Result<(), Error> {
    let read =
        |node: &mut Node<'_>| -> Result<_, kernel::Error> { Ok(portmap::entries(node.nft()?)?) };
    let entries = match read(node) {
        Err(kernel::Error::Nft(nft::Error::Unsupported { .. })) => return Ok(()),
        entries => entries?,
    };
    for entry in entries.iter().filter(|entry| is_stale(&entry.owner)) {
        portmap::remove_entry(&mut node.rules, entry);
    }
    Ok(node.flush()?)
}
