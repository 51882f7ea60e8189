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

impl PortVlan {
    /// The VLANs with tags but the native one, which has none.
    fn tagged_only(&self) -> Vec<u16> {
        self.tagged.iter().copied().filter(|vid| Some(*vid) != self.native).collect()
    }
}

impl Kind for PortVlan {
    fn describe(&self) -> String {
        let mut parts = Vec::new();
        if let Some(vid) = self.native {
            parts.push(format!("VLAN {vid} untagged"));
        }
        if !self.tagged.is_empty() {
            let list: Vec<String> = vlan::runs(&self.tagged)
                .into_iter()
                .map(
                    |(first, last)| {
                        if first == last { first.to_string() } else { format!("{first}-{last}") }
                    },
                )
                .collect();
            parts.push(format!("tagged VLANs {}", list.join(", ")));
        }
        format!("let {} carry {}", self.port, parts.join(" and "))
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        let default = node.look_at(&self.bridge)?.map_or(0, |bridge| bridge.default_vlan);
        let port = node.link(Side::Host, &self.port)?.index;
        if !self.keep_default && default != 0 {
            vlan::remove(&mut node.host, port, default).map_err(vlan::explained)?;
        }
        if let Some(vid) = self.native {
            vlan::queue_native(&mut node.host, port, vid)?;
        }
        vlan::queue_tagged(&mut node.host, port, &self.tagged_only())?;
        node.host.flush().map_err(vlan::explained)?;
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let Some(port) = node.host_link(&self.port)? else {
            return Ok(vec![format!("{} is not on the host", self.port)]);
        };
        let carried = vlan::list(&mut node.host, port.index)?;
        let carries = |vid: u16, native: bool| {
            carried.iter().any(|one| {
                one.vid == vid && if native { one.native && one.untagged } else { !one.untagged }
            })
        };
        let mut wrong = Vec::new();
        if let Some(vid) = self.native.filter(|vid| !carries(*vid, true)) {
            wrong.push(format!("{} does not carry VLAN {vid} without tags", self.port));
        }
        let missing = self.tagged_only().into_iter().filter(|vid| !carries(*vid, false));
        wrong.extend(
            missing.map(|vid| format!("{} does not carry VLAN {vid} with tags", self.port)),
        );
        Ok(wrong)
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }
}
