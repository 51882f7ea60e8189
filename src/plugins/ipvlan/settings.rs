//! The keys of an `ipvlan` configuration, all those of the reference plugin's release 1.9.1.

use serde::Deserialize;

use crate::kernel::link::{Ipvlan, Variety};
use crate::plugins::master::Wish;
use crate::plugins::{Error, container_link};
use crate::protocol::config::section;
use crate::protocol::request::Request;

/// The keys as they stand in the JSON.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Keys {
    /// The link that the interface is made on. Without it, the one interface that prevResult lists
    /// or, without prevResult, the one that the default route leads through.
    master: Option<String>,
    /// `l2` (the default): frames pass as through a switch. `l3`: packets pass as through a router;
    /// broadcast and multicast do not. `l3s`: as `l3`, through the host's netfilter.
    #[cfg_attr(test, schemars(extend("enum" = Ipvlan::ALL.map(|mode| mode.as_str()))))]
    mode: Option<String>,
    /// Bytes, not more than the master's; 0 or nothing for the master's.
    #[cfg_attr(test, schemars(range(min = 0, max = *container_link::MTU.end())))]
    mtu: i64,
    /// The master is in the container, not on the host.
    link_in_container: bool,
}

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The link that the ipvlan is made on.
    pub master: Wish,
    /// What is between the two.
    pub mode: Ipvlan,
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
        let mode = match keys.mode.as_deref().unwrap_or_default() {
            "" => Ipvlan::L2,
            text => {
                Ipvlan::ALL.into_iter().find(|mode| mode.as_str() == text).ok_or_else(|| {
                    Error::config(
                        "mode",
                        format!("\"{text}\" is unknown: give \"l2\", \"l3\" or \"l3s\""),
                    )
                })?
            }
        };
        Ok(Self {
            master: Wish::read(keys.master, keys.link_in_container)?,
            mode,
            mtu: container_link::mtu(keys.mtu)?,
        })
    }

    /// What kind of link the container gets.
    pub fn variety(&self) -> Variety {
        Variety::Ipvlan { mode: self.mode }
    }
}
