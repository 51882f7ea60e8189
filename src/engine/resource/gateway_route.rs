//! The routes of a container that has its gateway on the other end of its link, and nobody else: to
//! the gateway, and through it to everything else of its subnet.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::route::PodRoute;
use super::{Kind, Made};
use crate::engine::{Error, Node};
use crate::kernel::route::{Route, queue_add_from, queue_remove_connected};

/// `RT_SCOPE_LINK`.
const SCOPE_LINK: u8 = 253;

/// A route of the container that tells the source address; it goes with the interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatewayRoute {
    /// The interface.
    pub link: String,
    /// The gateway, or a subnet.
    pub to: IpNetwork,
    /// The gateway that leads to the subnet, whose neighbours are not on the link: the kernel made a
    /// route as if they were, and that is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// The container's address.
    pub source: IpAddr,
}

impl GatewayRoute {
    fn route(&self) -> Route {
        Route {
            to: self.to,
            via: self.via,
            mtu: None,
            advmss: None,
            priority: None,
            table: None,
            scope: self.via.is_none().then_some(SCOPE_LINK),
        }
    }
}

impl Kind for GatewayRoute {
    fn describe(&self) -> String {
        let Self { link, to, source, .. } = self;
        match self.via {
            None => format!("add route {to} through {link} with source {source} in the container"),
            Some(via) => format!(
                "replace the kernel's route {to} through {link} by one via {via} with source \
                 {source} in the container"
            ),
        }
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        let index = node.pod_index(&self.link)?;
        let pod = node.pod()?;
        if self.via.is_some() {
            queue_remove_connected(&mut pod.route, index, &self.link, self.to)?;
        }
        queue_add_from(&mut pod.route, index, &self.link, &self.route(), self.source)?;
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        PodRoute { link: self.link.clone(), route: self.route() }.verify(node)
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }
}
