//! The device through which goes what the container sends, so that it can be limited: a link limits
//! only what it sends itself.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::host_end::HostEnd;
use crate::engine::{Error, Node};
use crate::kernel;
use crate::kernel::link::{self, Link};
use crate::kernel::mac::Mac;

/// An ifb device with the MTU of the host's end of the container's interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ifb {
    /// The device's name.
    pub name: String,
    /// Its hardware address, by which it is known as ours; in colon form.
    pub mac: String,
    /// The link whose MTU it gets.
    #[serde(flatten)]
    pub end: HostEnd,
    /// The length of its transmit queue, in packets.
    pub queue_length: u32,
    /// Written on it as its alias.
    pub owner: String,
    /// Whether one that nobody has put an alias on is removed as well: the reference plugin's.
    #[serde(default)]
    pub any: bool,
}

impl Ifb {
    fn own(&self, node: &mut Node<'_>) -> Result<Option<Link>, kernel::Error> {
        let found = node.look_at(&self.name)?;
        Ok(found.filter(|link| {
            link.kind == "ifb"
                && (link.alias == self.owner
                    || (link.mac.is_some() && link.mac == Mac::parse(&self.mac))
                    || (self.any && link.alias.is_empty()))
        }))
    }
}

impl Kind for Ifb {
    fn describe(&self) -> String {
        format!("make ifb device {} on the host, for what the container sends", self.name)
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        let mtu = self.end.require(node)?.mtu;
        let mac = Mac::parse(&self.mac).unwrap_or(Mac([0; 6]));
        node.host.flush()?;
        link::queue_add_ifb(&mut node.host, &self.name, mac, mtu, self.queue_length)?;
        node.forget(&self.name);
        match node.host.flush() {
            Err(error) if error.is(Errno::EEXIST) => Err(Error::Conflict(format!(
                "ifb device {} is already there: another interface of the container on this network \
                 is limited, too, or this one is attached already; detach that first (DEL)",
                self.name
            ))),
            Err(error) if error.is(Errno::EOPNOTSUPP) => Err(kernel::Error::Missing {
                feature: "ifb devices (CONFIG_IFB, module ifb)".into(),
                needed_for: "egressRate".into(),
            }
            .into()),
            other => Ok(other.map(|()| Made::Now)?),
        }
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let name = &self.name;
        let wrong = match node.look_at(name)? {
            None => format!("ifb device {name} is not on the host"),
            Some(link) if link.kind != "ifb" => format!("link {name} on the host is no ifb device"),
            Some(link) if !link.up => format!("ifb device {name} on the host is down"),
            Some(_) => return Ok(Vec::new()),
        };
        Ok(vec![wrong])
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        if let Some(link) = self.own(node)? {
            node.remove_link(&link);
        }
        Ok(())
    }
}
