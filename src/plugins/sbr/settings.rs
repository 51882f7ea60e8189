//! The keys of an `sbr` configuration, all those of the reference plugin's release 1.9.1.

use std::net::IpAddr;

use serde::Deserialize;

use crate::plugins::Error;
use crate::protocol::config::section;
use crate::protocol::request::Request;

/// The keys as they stand in the JSON.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Keys {
    /// The table for every address, whose routes are somebody else's business: only rules are made.
    #[cfg_attr(test, schemars(range(min = 1, max = u32::MAX)))]
    table: Option<i64>,
    /// The next hop of the default routes, at most one of each family, instead of what prevResult
    /// tells.
    gateways: Vec<String>,
    /// The main table keeps a route to each address's subnet, with the address as source.
    add_source_hints: bool,
}

/// A checked configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The table of every rule; somebody else cares for its routes.
    pub table: Option<u32>,
    /// The next hop of IPv4 default routes, instead of what prevResult tells.
    pub gateway_v4: Option<IpAddr>,
    /// The same for IPv6.
    pub gateway_v6: Option<IpAddr>,
    /// The main table keeps routes to the subnets, with a source address.
    pub add_source_hints: bool,
}

impl Settings {
    /// Reads and checks the configuration of a request.
    ///
    /// # Errors
    /// [`Error::Config`] or a decoding error that names the key.
    pub fn read(request: &Request) -> Result<Self, Error> {
        let keys: Keys = section(&request.config.value, &[])?;
        let table = match keys.table {
            None => None,
            Some(table) => {
                Some(u32::try_from(table).ok().filter(|table| *table != 0).ok_or_else(|| {
                    let most = u32::MAX;
                    Error::config("table", format!("{table} is no routing table: give 1 to {most}"))
                })?)
            }
        };
        let mut settings =
            Self { table, add_source_hints: keys.add_source_hints, ..Self::default() };
        for (place, text) in keys.gateways.iter().enumerate() {
            let wrong = |problem: String| Error::config(format!("gateways[{place}]"), problem);
            let gateway: IpAddr = text
                .parse()
                .map_err(|_| wrong(format!("\"{text}\" is not an address such as 10.0.0.1")))?;
            let (known, family) = match gateway {
                IpAddr::V4(_) => (&mut settings.gateway_v4, "IPv4"),
                IpAddr::V6(_) => (&mut settings.gateway_v6, "IPv6"),
            };
            if let Some(other) = known {
                return Err(wrong(format!(
                    "{gateway} is a second {family} gateway beside {other}; give one of each family"
                )));
            }
            *known = Some(gateway);
        }
        Ok(settings)
    }

    /// The next hop that the configuration names for a family.
    pub fn gateway(&self, v6: bool) -> Option<IpAddr> {
        if v6 { self.gateway_v6 } else { self.gateway_v4 }
    }
}
