//! The keys of a `vlan` configuration, all those of the reference plugin's release 1.9.1.

use serde::Deserialize;

use crate::kernel::link::Variety;
use crate::plugins::master::Wish;
use crate::plugins::{Error, container_link};
use crate::protocol::config::section;
use crate::protocol::request::Request;

/// The keys as they stand in the JSON.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Keys {
    /// The link that carries the VLAN; required.
    master: Option<String>,
    /// The VLAN ID, 1 to 4094; required.
    #[cfg_attr(test, schemars(range(min = 1, max = 4094)))]
    vlan_id: Option<i64>,
    /// Bytes, not more than the master's; 0 or nothing for the master's.
    #[cfg_attr(test, schemars(range(min = 0, max = *container_link::MTU.end())))]
    mtu: i64,
    /// The master is in the container, not on the host.
    link_in_container: bool,
}

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The link that carries the VLAN; always named.
    pub master: Wish,
    /// The VLAN ID.
    pub id: u16,
    /// Bytes; the master's without.
    pub mtu: Option<u32>,
}

impl Settings {
    /// Reads and checks the configuration of a request.
    ///
    /// # Errors
    /// [`Error::Config`] or a decoding error that names the key.
    pub fn read(request: &Request) -> Result<Self, Error> {
        let keys: Keys = section(&request.config.value, &[])?;
        let master = Wish::read(keys.master, keys.link_in_container)?;
        if master.name.is_none() {
            return Err(Error::config("master", "is missing: name the link that carries the VLAN"));
        }
        let Some(id) = keys.vlan_id else {
            return Err(Error::config("vlanId", "is missing: give a VLAN ID from 1 to 4094"));
        };
        let id = u16::try_from(id).ok().filter(|id| (1..=4094).contains(id)).ok_or_else(|| {
            Error::config("vlanId", format!("{id} is not a VLAN ID: give 1 to 4094"))
        })?;
        Ok(Self { master, id, mtu: container_link::mtu(keys.mtu)? })
    }

    /// What kind of link the container gets.
    pub fn variety(&self) -> Variety {
        Variety::Vlan { id: self.id }
    }
}
