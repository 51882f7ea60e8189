//! A bridge from which nothing passes to other such bridges, and perhaps nothing from port to port.

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::reference::forward;
use crate::engine::{Error, Node};
use crate::kernel::difference::{self, Difference};
use crate::kernel::{self, firewall, port_isolation};

/// The policy of a bridge, which is shared, and with `isolated` the container's own port on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BridgePolicy {
    /// The bridge.
    pub bridge: String,
    /// Whether nothing passes from port to port either.
    pub isolated: bool,
    /// The container's port, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The comment of the port's element.
    pub owner: String,
}

impl BridgePolicy {
    /// The port, if it is to be isolated.
    fn isolated_port(&self) -> Option<&str> {
        self.port.as_deref().filter(|_| self.isolated)
    }
}

impl Kind for BridgePolicy {
    fn describe(&self) -> String {
        let mut text =
            format!("drop what is forwarded between {} and other bridges (nftables)", self.bridge);
        if let Some(port) = self.isolated_port() {
            text.push_str(&format!(", and between {port} and other ports"));
        }
        text
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        let mut rules = std::mem::take(&mut node.rules);
        let new = firewall::add_bridge(&mut rules, node.nft()?, &self.bridge, self.isolated);
        node.rules = rules;
        if let Some(port) = self.isolated_port() {
            port_isolation::add(&mut node.rules, port, &self.owner);
        }
        Ok(if new.map_err(kernel::Error::from)? { Made::Now } else { Made::Before })
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        Ok(difference::in_words(self.differences(node)?))
    }

    fn differences(&self, node: &mut Node<'_>) -> Result<Vec<Difference>, Error> {
        let socket = node.nft()?;
        let mut missing = firewall::missing_bridge(socket, &self.bridge, self.isolated)
            .map_err(kernel::Error::from)?;
        if let Some(port) = self.isolated_port() {
            missing.extend(
                port_isolation::missing(socket, port, &self.owner).map_err(kernel::Error::from)?,
            );
        }
        // A pod attached by the reference plugins has their rules, which are as good.
        let policy = forward::Policy { bridge: &self.bridge, isolated: self.isolated };
        if !missing.is_empty() && forward::policy_present(policy, node)? {
            return Ok(Vec::new());
        }
        Ok(missing)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        if let Some(port) = self.isolated_port() {
            port_isolation::remove(&mut node.rules, port, &self.owner);
        }
        Ok(())
    }

    fn take_back(&self, node: &mut Node<'_>) -> Result<(), Error> {
        firewall::remove_bridge(&mut node.rules, &self.bridge, self.isolated);
        Ok(())
    }
}
