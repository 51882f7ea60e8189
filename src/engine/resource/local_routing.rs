//! Packets from 127.0.0.0/8 may leave the host on the link that leads to the container, so that the
//! host's loopback reaches mapped ports; shared, so DEL leaves it on.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::{Error, Node};
use crate::kernel::route::lookup;
use crate::kernel::{link, sysctl};

/// `route_localnet` of the link that leads to an address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LocalRouting {
    /// The container's address.
    pub to: IpAddr,
}

impl LocalRouting {
    /// The setting of the link; `None` without a route.
    fn setting(&self, node: &mut Node<'_>) -> Result<Option<String>, Error> {
        let Some(index) = lookup::link_to(&mut node.host, self.to)? else { return Ok(None) };
        let link = link::find_index(&mut node.host, index)?;
        Ok(link.map(|link| format!("net/ipv4/conf/{}/route_localnet", link.name)))
    }
}

impl Kind for LocalRouting {
    fn describe(&self) -> String {
        format!("let the host's loopback reach mapped ports (route_localnet towards {})", self.to)
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        let Some(setting) = self.setting(node)? else { return Ok(Made::Before) };
        Ok(if sysctl::ensure(&setting, "1")? { Made::Now } else { Made::Before })
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let Some(setting) = self.setting(node)? else {
            return Ok(vec![format!("the host has no route to {}", self.to)]);
        };
        let on = sysctl::read(&setting)? == "1";
        let off = || format!("the host's loopback cannot reach mapped ports: {setting} is not 1");
        Ok((!on).then(off).into_iter().collect())
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn outlives_namespace(&self) -> bool {
        false
    }

    fn take_back(&self, node: &mut Node<'_>) -> Result<(), Error> {
        match self.setting(node)? {
            Some(setting) => Ok(sysctl::write(&setting, "0")?),
            None => Ok(()),
        }
    }
}
