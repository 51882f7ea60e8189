//! The host's end of a pair that is in no bridge: it has the gateways' addresses, and leads to the
//! container's. All of it goes with the link.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::{Error, Node};
use crate::kernel::route::{Route, lookup, queue_add_alone};
use crate::kernel::{addr, link};

/// `RT_SCOPE_HOST`: the reference plugin's choice for a route to one container.
const SCOPE_HOST: u8 = 254;

/// Addresses and routes of one link of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostGateway {
    /// The link.
    pub link: String,
    /// The gateways that the container knows.
    pub gateways: Vec<IpAddr>,
    /// The container's addresses.
    pub pods: Vec<IpAddr>,
}

impl HostGateway {
    fn route(pod: IpAddr) -> Route {
        Route {
            to: IpNetwork::from(pod),
            via: None,
            mtu: None,
            advmss: None,
            priority: None,
            table: None,
            scope: Some(SCOPE_HOST),
        }
    }

    /// The first of the container's addresses that the host reaches by another link, in words.
    fn taken(&self, node: &mut Node<'_>, index: u32) -> Result<Option<String>, Error> {
        for pod in &self.pods {
            let Some(other) = lookup::link_to(&mut node.host, *pod)?.filter(|one| *one != index)
            else {
                continue;
            };
            let name = link::find_index(&mut node.host, other)?.map(|link| link.name);
            return Ok(Some(format!(
                "the host has a route to {pod} already, through {}; another container has that \
                 address: detach that one, or give this one another",
                name.unwrap_or_default()
            )));
        }
        Ok(None)
    }
}

fn in_words(addresses: &[IpAddr]) -> String {
    let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    list.join(" and ")
}

impl Kind for HostGateway {
    fn describe(&self) -> String {
        let pods = in_words(&self.pods);
        if self.gateways.is_empty() {
            return format!("route {pods} to {} on the host", self.link);
        }
        format!(
            "give {} on the host {}, and route {pods} to it",
            self.link,
            in_words(&self.gateways)
        )
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        node.host.flush()?;
        let index = node.host_index(&self.link)?;
        for gateway in &self.gateways {
            addr::queue_add(&mut node.host, index, &self.link, IpNetwork::from(*gateway))?;
        }
        for pod in &self.pods {
            queue_add_alone(&mut node.host, index, &self.link, &Self::route(*pod))?;
        }
        match node.host.flush() {
            Err(error) if error.is(Errno::EEXIST) => match self.taken(node, index)? {
                Some(whose) => Err(Error::Conflict(whose)),
                None => Err(error.into()),
            },
            other => {
                other?;
                Ok(Made::Now)
            }
        }
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        // What is wrong with the link itself the pair says.
        let Some(link) = node.host_link(&self.link)? else {
            return Ok(vec![format!("{} is not on the host", self.link)]);
        };
        let mut wrong = Vec::new();
        let present = addr::list(&mut node.host, link.index)?;
        for gateway in &self.gateways {
            if !present.iter().any(|address| address.network.ip() == *gateway) {
                wrong.push(format!("gateway address {gateway} is not on {}", self.link));
            }
        }
        for pod in &self.pods {
            if lookup::link_to(&mut node.host, *pod)? != Some(link.index) {
                wrong.push(format!("the host does not reach {pod} through {}", self.link));
            }
        }
        Ok(wrong)
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }
}
