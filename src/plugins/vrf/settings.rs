//! The keys of a `vrf` configuration, all those of the reference plugin's release 1.9.1.

use serde::Deserialize;

use crate::plugins::Error;
use crate::protocol::config::section;
use crate::protocol::names;
use crate::protocol::request::Request;

/// The keys, as they are written.
pub const KEYS: &[&str] = &["vrfname", "table"];

/// The kernel's own tables: default, main and local (linux/rtnetlink.h).
pub const KERNEL_TABLES: std::ops::RangeInclusive<u32> = 253..=255;

/// The keys as they stand in the JSON.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Keys {
    /// The VRF; required. One that is there is used; else it is made.
    vrfname: String,
    /// Its routing table, not 253 to 255; 0 or absent: that of the VRF that is there or, for a new
    /// one, the lowest free one.
    table: u32,
}

/// A checked configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The VRF's name.
    pub name: String,
    /// The routing table asked for.
    pub table: Option<u32>,
}

impl Settings {
    /// Reads and checks the configuration of a request.
    ///
    /// # Errors
    /// [`Error::Config`] or a decoding error that names the key.
    pub fn read(request: &Request) -> Result<Self, Error> {
        let keys: Keys = section(&request.config.value, KEYS)?;
        if keys.vrfname.is_empty() {
            return Err(Error::config(
                "vrfname",
                "is missing; give the name of the VRF that the interface becomes a port of",
            ));
        }
        names::interface_name(&keys.vrfname)
            .map_err(|error| Error::config("vrfname", error.to_string()))?;
        if keys.vrfname == request.ifname {
            return Err(Error::config(
                "vrfname",
                format!("is the name of the interface itself, {}; choose another", request.ifname),
            ));
        }
        if KERNEL_TABLES.contains(&keys.table) {
            return Err(Error::config(
                "table",
                format!(
                    "{} is one of the kernel's own tables, which everything outside of a VRF uses; \
                     choose another, or leave the key out",
                    keys.table
                ),
            ));
        }
        Ok(Self { name: keys.vrfname, table: (keys.table != 0).then_some(keys.table) })
    }
}
