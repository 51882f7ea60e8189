//! The host end of a pair as a port of a bridge, when all else of the attachment is ready.
//!
//! What a container sends as its interface comes up, router solicitations above all, a bridge copies to every
//! port before the request that brought it up returns: with five hundred containers that is several milliseconds.
//! So the host end joins the bridge afterwards, unless what is sent then matters.

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::link;

/// A pair's host end that becomes a port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BridgePort {
    /// The host end's name.
    pub port: String,
    /// The bridge.
    pub bridge: String,
    /// The bridge sends a container's frames back to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hairpin: bool,
    /// The port reaches only ports that are not isolated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub isolated: bool,
}

impl Kind for BridgePort {
    fn describe(&self) -> String {
        let mut text = format!("make {} a port of {}", self.port, self.bridge);
        if self.hairpin {
            text.push_str(", hairpin");
        }
        if self.isolated {
            text.push_str(", isolated");
        }
        text
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        node.flush()?;
        let bridge = node.link(Side::Host, &self.bridge)?.index;
        link::queue_join(&mut node.host, &self.port, (bridge, &self.bridge))?;
        link::queue_port_flags(&mut node.host, &self.port, self.hairpin, self.isolated)?;
        node.forget(&self.port);
        // A bridge takes the lowest of its ports' hardware addresses unless it was given one.
        node.forget(&self.bridge);
        Ok(Made::Now)
    }

    fn verify(&self, _node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        // The veth pair's own check looks at this, too.
        Ok(Vec::new())
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        // It goes with the pair.
        Ok(())
    }
}
