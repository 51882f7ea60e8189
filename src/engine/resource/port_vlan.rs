//! Which VLANs the container's bridge port carries.

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::vlan;

/// The VLANs of one bridge port; they go with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortVlan {
    /// The port's name on the host.
    pub port: String,
    /// The bridge, whose default VLAN a new port gets.
    pub bridge: String,
    /// The VLAN of untagged frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<u16>,
    /// VLANs carried with tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tagged: Vec<u16>,
    /// Whether the port keeps the bridge's default VLAN.
    #[serde(default)]
    pub keep_default: bool,
}

impl Kind for PortVlan {
    fn describe(&self) -> String {
        let mut parts = Vec::new();
        if let Some(vid) = self.native {
            parts.push(format!("VLAN {vid} untagged"));
        }
        if !self.tagged.is_empty() {
            let list: Vec<String> = self.tagged.iter().map(ToString::to_string).collect();
            parts.push(format!("tagged VLANs {}", list.join(", ")));
        }
        format!("let {} carry {}", self.port, parts.join(" and "))
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        let default = node.look_at(&self.bridge)?.map_or(0, |bridge| bridge.default_vlan);
        let port = node.link(Side::Host, &self.port)?.index;
        if !self.keep_default && default != 0 {
            vlan::queue_remove(&mut node.host, port, default)?;
            node.host.flush()?;
        }
        if let Some(vid) = self.native {
            vlan::queue_add(&mut node.host, port, vid, true)?;
        }
        for vid in self.tagged.iter().filter(|vid| Some(**vid) != self.native) {
            vlan::queue_add(&mut node.host, port, *vid, false)?;
        }
        node.host.flush()?;
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let Some(port) = node.host_link(&self.port)? else {
            return Ok(vec![format!("{} is not on the host", self.port)]);
        };
        let carried = vlan::list(&mut node.host, port.index)?;
        let wanted = self.native.map(|vid| (vid, true)).into_iter();
        let tagged = self.tagged.iter().filter(|vid| Some(**vid) != self.native);
        let wanted = wanted.chain(tagged.map(|vid| (*vid, false)));
        Ok(wanted
            .filter(|(vid, native)| {
                !carried.iter().any(|one| one.vid == *vid && (one.native || !native))
            })
            .map(|(vid, _)| format!("{} does not carry VLAN {vid}", self.port))
            .collect())
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }
}
