//! The keys of a `macvlan` configuration, all those of the reference plugin's release 1.9.1.

use serde::Deserialize;

use crate::kernel::link::{Macvlan, Variety};
use crate::kernel::mac::Mac;
use crate::plugins::master::Wish;
use crate::plugins::{Error, container_link, requested_mac};
use crate::protocol::config::section;
use crate::protocol::request::Request;

/// The keys as they stand in the JSON.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Keys {
    /// The link that the interface is made on. Without it, the one that the default route leads
    /// through: of the main table, of IPv4 before IPv6, with the lowest metric.
    master: Option<String>,
    /// `bridge` (the default): macvlans of one master reach each other directly. `private`: they do
    /// not. `vepa`: by way of the switch outside. `passthru`: one macvlan has the master for
    /// itself, with its hardware address.
    #[cfg_attr(test, schemars(extend("enum" = Macvlan::ALL.map(|mode| mode.as_str()))))]
    mode: Option<String>,
    /// Bytes, not more than the master's; 0 or nothing for the master's.
    #[cfg_attr(test, schemars(range(min = 0, max = *container_link::MTU.end())))]
    mtu: i64,
    /// The hardware address. The capability `mac`, then CNI_ARGS `MAC`, then `args.cni.mac` win
    /// over it.
    mac: Option<String>,
    /// The master is in the container, not on the host.
    link_in_container: bool,
    /// Broadcast frames that may wait to be copied to all macvlans of the master; 0 or nothing for
    /// the kernel's 1000. Linux 5.11 and later.
    bcqueuelen: u32,
}

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The link that the macvlan is made on.
    pub master: Wish,
    /// Whom the macvlan may speak to.
    pub mode: Macvlan,
    /// Bytes; the master's without.
    pub mtu: Option<u32>,
    /// The hardware address asked for.
    pub mac: Option<Mac>,
    /// Broadcast frames that may wait; the kernel's choice without.
    pub broadcast_queue: Option<u32>,
}

impl Settings {
    /// Reads and checks the configuration of a request.
    ///
    /// # Errors
    /// [`Error::Config`] or a decoding error that names the key.
    pub fn read(request: &Request) -> Result<Self, Error> {
        let config = &request.config;
        let keys: Keys = section(&config.value, &[])?;
        let mode = match keys.mode.as_deref().unwrap_or_default() {
            "" => Macvlan::Bridge,
            text => Macvlan::ALL.into_iter().find(|mode| mode.as_str() == text).ok_or_else(|| {
                Error::config(
                    "mode",
                    format!(
                        "\"{text}\" is unknown: give \"bridge\", \"private\", \"vepa\" or \"passthru\""
                    ),
                )
            })?,
        };
        Ok(Self {
            master: Wish::read(keys.master, keys.link_in_container)?,
            mode,
            mtu: container_link::mtu(keys.mtu)?,
            mac: requested_mac::first([
                ("runtimeConfig.mac", config.runtime.mac.as_deref()),
                ("MAC in CNI_ARGS", request.args.mac.as_deref()),
                ("args.cni.mac", config.cni_args.mac.as_deref()),
                ("mac", keys.mac.as_deref()),
            ])?,
            broadcast_queue: (keys.bcqueuelen != 0).then_some(keys.bcqueuelen),
        })
    }

    /// What kind of link the container gets.
    pub fn variety(&self) -> Variety {
        Variety::Macvlan { mode: self.mode, broadcast_queue: self.broadcast_queue }
    }
}
