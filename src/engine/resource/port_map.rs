//! Ports of the host that lead to the container, by nftables.

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::{Error, Node, Owner, reference};
use crate::kernel;
use crate::kernel::difference::{self, Difference};
use crate::kernel::port::Transport;
use crate::kernel::portmap::{self, Target};

/// The container's entries in the maps of ports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortMap {
    /// Where the ports lead, at most one address per family.
    pub targets: Vec<Target>,
    /// The elements' comment.
    pub owner: String,
    /// Whether another interface of the container had some of the ports before; they stay with it. When it
    /// has gone, repair gives them to this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

impl PortMap {
    /// Has connections forgotten that know the way of before, since UDP has no other end.
    fn forget_connections(&self, node: &mut Node<'_>) {
        for target in &self.targets {
            let udp = target.mappings.iter().filter(|one| one.protocol == Transport::Udp);
            let ports: Vec<u16> = udp.map(|mapping| mapping.host_port).collect();
            node.forget_udp(&ports, target.pod.is_ipv6());
        }
    }
}

/// The target without the ports that another interface of the container has.
fn without_held(target: &Target, owner: &Owner, node: &mut Node<'_>) -> Result<Target, Error> {
    let v6 = target.pod.is_ipv6();
    let holders = portmap::holders(node.nft()?, v6, &target.mappings, &target.conditions);
    let mut held = holders.map_err(kernel::Error::from)?;
    held.retain(|(_, holder)| owner.is_sibling(holder));
    let all = target.mappings.iter().enumerate();
    let rest = all.filter(|(place, _)| !held.iter().any(|(other, _)| other == place));
    Ok(Target { mappings: rest.map(|(_, mapping)| mapping.clone()).collect(), ..target.clone() })
}

impl Kind for PortMap {
    fn describe(&self) -> String {
        let targets = self.targets.iter().map(|target| {
            let list: Vec<String> = target.mappings.iter().map(ToString::to_string).collect();
            format!("{} of {}", list.join(", "), target.pod.ip())
        });
        let targets: Vec<String> = targets.collect();
        format!("forward host ports (nftables): {}", targets.join("; "))
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        let owner = Owner::parse(&self.owner).filter(|_| self.shared);
        for target in &self.targets {
            match &owner {
                None => portmap::add(&mut node.rules, target, &self.owner),
                Some(owner) => {
                    let rest = without_held(target, owner, node)?;
                    portmap::add(&mut node.rules, &rest, &self.owner);
                }
            }
        }
        self.forget_connections(node);
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        Ok(difference::in_words(self.differences(node)?))
    }

    fn differences(&self, node: &mut Node<'_>) -> Result<Vec<Difference>, Error> {
        let mut missing = Vec::new();
        let owner = Owner::parse(&self.owner);
        for target in &self.targets {
            let mut found = portmap::missing(node.nft()?, target, &self.owner);
            if let Ok([_, ..]) = found.as_deref()
                && let Some(owner) = &owner
            {
                let rest = without_held(target, owner, node)?;
                found = portmap::missing(node.nft()?, &rest, &self.owner);
            }
            let found = found.map_err(kernel::Error::from)?;
            // A pod attached by the reference plugins has their rules, which are as good.
            if !found.is_empty()
                && let Some(owner) = &owner
                && reference::portmap_present(owner, target.pod.is_ipv6(), node)?
            {
                continue;
            }
            missing.extend(found);
        }
        Ok(missing)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        for target in &self.targets {
            portmap::remove(&mut node.rules, target, &self.owner);
        }
        self.forget_connections(node);
        Ok(())
    }
}
