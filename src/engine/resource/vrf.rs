//! A VRF in the container. It belongs to nobody: it goes with the last interface in it.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::{Error, Node};
use crate::kernel::{link, vrf};

/// A VRF with its routing table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vrf {
    /// Its name.
    pub name: String,
    /// The table; absent at CHECK and DEL when it was ADD's to choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// Whether it was there before; then an ADD that fails leaves it.
    #[serde(default)]
    pub was_there: bool,
}

impl Vrf {
    fn find(&self, node: &mut Node<'_>) -> Result<Option<vrf::Vrf>, Error> {
        let all = vrf::list(&mut node.pod()?.route)?;
        Ok(all.into_iter().find(|one| one.name == self.name))
    }
}

impl Kind for Vrf {
    fn describe(&self) -> String {
        let table = self.table.map(|table| format!(" with routing table {table}"));
        format!("have VRF {}{} in the container", self.name, table.unwrap_or_default())
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        node.host.flush()?;
        if let Some(there) = self.find(node)? {
            return match self.table {
                Some(table) if table != there.table => Err(Error::Conflict(format!(
                    "VRF {} has routing table {}, not {table}",
                    self.name, there.table
                ))),
                _ => Ok(Made::Before),
            };
        }
        let Some(table) = self.table else {
            return Err(Error::Conflict(format!("VRF {} is not in the container", self.name)));
        };
        vrf::add(&mut node.pod()?.route, &self.name, table)?;
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let name = &self.name;
        let Some(there) = self.find(node)? else {
            return Ok(vec![format!("VRF {name} is not in the container")]);
        };
        let mut wrong = Vec::new();
        if let Some(table) = self.table.filter(|table| *table != there.table) {
            wrong.push(format!("VRF {name} has routing table {}, not {table}", there.table));
        }
        if !link::find_index(&mut node.pod()?.route, there.index)?.is_some_and(|link| link.up) {
            wrong.push(format!("VRF {name} is down"));
        }
        Ok(wrong)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        if node.pod.is_none() {
            return Ok(());
        }
        let Some(there) = self.find(node)? else { return Ok(()) };
        let socket = &mut node.pod()?.route;
        if !link::ports(socket, there.index)?.is_empty() {
            return Ok(());
        }
        link::queue_remove(socket, there.index, &self.name)?;
        match socket.flush() {
            Err(error) if error.is(Errno::ENODEV) => Ok(()),
            other => Ok(other?),
        }
    }

    fn undo(&self, node: &mut Node<'_>) -> Result<(), Error> {
        if self.was_there { Ok(()) } else { self.remove(node) }
    }

    fn outlives_namespace(&self) -> bool {
        false
    }
}
