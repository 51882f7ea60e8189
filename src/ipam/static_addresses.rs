//! static: addresses that stand in the configuration, or that the runtime gives with the call.
//!
//! Nothing is leased and nothing is kept, so two attachments with one configuration get the same
//! addresses. What wins over what is the reference plugin's order: addresses of CNI_ARGS are added to
//! the configuration's, `args.cni.ips` replace both, and `runtimeConfig.ips` replace all.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::Deserialize;

use crate::protocol;
use crate::protocol::address::parse_cidr;
use crate::protocol::config::{RequestedIp, optional_ip, section_at};
use crate::protocol::request::{Request, Verb};
use crate::protocol::result::{AddResult, Dns, IpConfig, Route};
use crate::protocol::version::Version;

/// The type's name.
pub const NAME: &str = "static";

/// A failure of static.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key has a value of the wrong type or form.
    #[error(transparent)]
    Key(#[from] protocol::error::Error),
    /// A value cannot be.
    #[error("network configuration, `{field}`: {problem}")]
    Value {
        /// The key's path, such as `ipam.addresses[0].address`, or the variable.
        field: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// Results before 0.3.0 have one address of each family.
    #[error(
        "network configuration, `{field}`: cniVersion {version} knows one {family} address of an attachment, but there are {count}; use cniVersion 0.3.0 or later, or give one"
    )]
    TooMany {
        /// Where the last of them is from.
        field: String,
        /// The configuration's version.
        version: Version,
        /// "IPv4" or "IPv6".
        family: &'static str,
        /// How many there are.
        count: usize,
    },
    /// CHECK has nothing to compare with.
    #[error("prevResult: is missing, and CHECK compares with it")]
    NoResult,
    /// CHECK found another gateway than the configuration's.
    #[error("address {address} has gateway {found} in prevResult, and not {wanted}")]
    Gateway {
        /// The address.
        address: IpAddr,
        /// What prevResult says.
        found: String,
        /// What the configuration says.
        wanted: IpAddr,
    },
}

/// Where addresses come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Configuration,
    CniArgs,
    Args,
    Runtime,
}

/// An address with the place it comes from.
#[derive(Debug, Clone)]
struct Given {
    place: Place,
    number: usize,
    network: IpNetwork,
    gateway: Option<IpAddr>,
}

/// `ipam`, as far as static reads it.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Keys {
    /// The addresses of every attachment.
    addresses: Vec<AddressKeys>,
    /// Routes for the container.
    routes: Vec<Route>,
    /// Name resolution, unless the plugin above has `dns` of its own.
    dns: Dns,
}

/// One address as it is written.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct AddressKeys {
    /// The address with its prefix length, such as `10.1.0.5/24`.
    address: String,
    /// Its gateway.
    #[serde(deserialize_with = "optional_ip")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    gateway: Option<IpAddr>,
}

/// The addresses of a configuration.
#[derive(Debug, Clone, Default)]
pub struct StaticAddresses {
    /// The addresses with their gateways, in order.
    pub ips: Vec<IpConfig>,
    /// `routes`: routes for the container.
    pub routes: Vec<Route>,
    /// `dns`.
    pub dns: Dns,
    previous: Option<AddResult>,
}

impl Place {
    /// The path of one of its addresses.
    fn field(self, number: usize) -> String {
        match self {
            Self::Configuration => format!("ipam.addresses[{number}].address"),
            Self::CniArgs => "IP in CNI_ARGS".to_owned(),
            Self::Args => format!("args.cni.ips[{number}]"),
            Self::Runtime => format!("runtimeConfig.ips[{number}]"),
        }
    }

    /// An address that is there has a prefix length and is not an IPv4 one in IPv6's clothes.
    fn check(
        self,
        number: usize,
        network: Option<IpNetwork>,
        text: impl fmt::Display,
    ) -> Result<IpNetwork, Error> {
        let wrong = |problem: String| Error::Value { field: self.field(number), problem };
        let network = network.ok_or_else(|| {
            wrong(format!(
                "\"{text}\" has no prefix length; write it as in \"10.1.0.5/24\" or \"fd00::5/64\""
            ))
        })?;
        match network.ip() {
            IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => Err(wrong(format!(
                "{network} is an IPv4 address written as IPv6; write it as IPv4"
            ))),
            address if address.is_unspecified() || address.is_multicast() => {
                Err(wrong(format!("{network} is no address of a host")))
            }
            _ => Ok(network),
        }
    }

    fn all(self, ips: &[RequestedIp]) -> Result<Vec<Given>, Error> {
        let given = ips.iter().enumerate().map(|(number, ip)| {
            let network = self.check(number, ip.network(), ip)?;
            Ok(Given { place: self, number, network, gateway: None })
        });
        given.collect()
    }
}

impl StaticAddresses {
    /// The address source of a call. DEL and GC give nothing back, so that for them a configuration
    /// may be as wrong as it likes.
    ///
    /// # Errors
    /// A wrong value, named.
    pub fn of(request: &Request) -> Result<Self, Error> {
        match Self::configure(request) {
            Err(_) if matches!(request.verb, Verb::Del | Verb::Gc) => Ok(Self::default()),
            other => other,
        }
    }

    fn configure(request: &Request) -> Result<Self, Error> {
        let config = &request.config;
        let keys: Keys = match &config.ipam {
            Some(ipam) => section_at("ipam", ipam, &[])?,
            None => Keys::default(),
        };
        let mut given = configured(&keys.addresses)?;
        given.extend(by_variable(request)?);
        // Each is looked at even where the next replaces it, as the reference plugin does.
        for (place, ips) in
            [(Place::Args, &config.cni_args.ips), (Place::Runtime, &config.runtime.ips)]
        {
            let all = place.all(ips)?;
            if !all.is_empty() {
                given = all;
            }
        }
        check_together(&given, config.version)?;
        let ips = given
            .into_iter()
            .map(|one| IpConfig { interface: None, address: one.network, gateway: one.gateway })
            .collect();
        Ok(Self { ips, routes: keys.routes, dns: keys.dns, previous: config.prev_result.clone() })
    }

    /// Whether prevResult has the gateways of the configuration (CHECK). As with the reference plugin,
    /// an address that prevResult does not have is no matter: what the runtime gave at ADD it need not
    /// give again.
    ///
    /// # Errors
    /// [`Error::NoResult`], [`Error::Gateway`].
    pub fn check(&self) -> Result<(), Error> {
        let previous = self.previous.as_ref().ok_or(Error::NoResult)?;
        for wanted in &self.ips {
            let Some(gateway) = wanted.gateway else { continue };
            let mut found =
                previous.ips.iter().filter(|one| one.address.ip() == wanted.address.ip());
            if let Some(found) = found.find(|one| one.gateway != Some(gateway)) {
                return Err(Error::Gateway {
                    address: wanted.address.ip(),
                    found: found.gateway.map_or_else(|| "none".into(), |one| one.to_string()),
                    wanted: gateway,
                });
            }
        }
        Ok(())
    }
}

/// `ipam.addresses`.
fn configured(addresses: &[AddressKeys]) -> Result<Vec<Given>, Error> {
    let given = addresses.iter().enumerate().map(|(number, keys)| {
        let place = Place::Configuration;
        let network = parse_cidr(&keys.address).map_err(|error| Error::Value {
            field: place.field(number),
            problem: error.to_string(),
        })?;
        let network = place.check(number, Some(network), &keys.address)?;
        if let Some(gateway) = keys.gateway
            && gateway.is_ipv4() != network.is_ipv4()
        {
            return Err(Error::Value {
                field: format!("ipam.addresses[{number}].gateway"),
                problem: format!("{gateway} is of another family than address {network}"),
            });
        }
        Ok(Given { place, number, network, gateway: keys.gateway })
    });
    given.collect()
}

/// `IP` of CNI_ARGS. Its `GATEWAY` is for those addresses alone whose subnet it is of.
fn by_variable(request: &Request) -> Result<Vec<Given>, Error> {
    let mut given = Place::CniArgs.all(&request.args.ips)?;
    for gateway in &request.args.gateways {
        for one in given.iter_mut().filter(|one| one.network.contains(*gateway)) {
            one.gateway = Some(*gateway);
        }
    }
    Ok(given)
}

fn check_together(given: &[Given], version: Version) -> Result<(), Error> {
    for (place, one) in given.iter().enumerate() {
        let field = one.place.field(one.number);
        if given.iter().take(place).any(|other| other.network.ip() == one.network.ip()) {
            let problem = format!("{} is given twice", one.network.ip());
            return Err(Error::Value { field, problem });
        }
        let same_family = |other: &&Given| other.network.is_ipv4() == one.network.is_ipv4();
        let count = given.iter().filter(same_family).count();
        if count > 1 && version < Version::V0_3_0 {
            let family = if one.network.is_ipv4() { "IPv4" } else { "IPv6" };
            return Err(Error::TooMany { field, version, family, count });
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[path = "static_addresses_tests.rs"]
mod tests;
