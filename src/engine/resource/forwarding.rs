//! Forwarding between the host's links; shared, so DEL leaves it on.

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::{Error, Node};
use crate::kernel::{addr, netconf, sysctl};

/// Forwarding of one family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forwarding {
    /// IPv6, or else IPv4.
    pub v6: bool,
}

impl Forwarding {
    fn name(&self) -> &'static str {
        if self.v6 { "net/ipv6/conf/all/forwarding" } else { "net/ipv4/ip_forward" }
    }
}

impl Kind for Forwarding {
    fn describe(&self) -> String {
        format!("let the host forward {}", if self.v6 { "IPv6" } else { "IPv4" })
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        if netconf::forwards(&mut node.host, self.v6)? == Some(true) {
            return Ok(Made::Before);
        }
        let was_off = sysctl::ensure(self.name(), "1").or_else(|error| {
            if self.v6 {
                addr::needs_ipv6(|| {
                    "forwarding between the pod and the host's other links".into()
                })?;
            }
            Err(error)
        })?;
        Ok(if was_off { Made::Now } else { Made::Before })
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let on = match netconf::forwards(&mut node.host, self.v6)? {
            Some(on) => on,
            None => sysctl::read(self.name())? == "1",
        };
        Ok((!on)
            .then(|| format!("the host does not forward: set {}=1", self.name().replace('/', ".")))
            .into_iter()
            .collect())
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn take_back(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(sysctl::write(self.name(), "0")?)
    }
}
