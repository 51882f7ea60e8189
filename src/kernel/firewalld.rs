//! firewalld over D-Bus: the zone that a source address belongs to (firewalld.dbus(5), interface
//! `org.fedoraproject.FirewallD1.zone`). Sources are of the runtime configuration: they are gone when
//! firewalld starts anew, as the reference plugins' are.

use std::net::IpAddr;

use super::Error;
use super::dbus::message::Value;
use super::dbus::{self, BUS, Bus, Object};

/// firewalld's name on the bus.
pub const NAME: &str = "org.fedoraproject.FirewallD1";

const ZONES: Object<'static> = Object {
    name: NAME,
    path: "/org/fedoraproject/FirewallD1",
    interface: "org.fedoraproject.FirewallD1.zone",
};

/// What firewalld's messages begin with when it has been done before (firewall/errors.py).
const ALREADY: [&str; 2] = ["ZONE_ALREADY_SET", "ALREADY_ENABLED"];
/// The same for removing: in no zone, in another, or the zone itself is gone.
const NOT_THERE: [&str; 4] = ["UNKNOWN_SOURCE", "NOT_ENABLED", "ZONE_CONFLICT", "INVALID_ZONE"];

/// A connection to firewalld.
pub struct Firewalld(Bus);

impl Firewalld {
    /// Connects to firewalld; `None` when there is none, or no system bus.
    pub fn running() -> Option<Self> {
        let mut bus = Bus::system().inspect_err(|error| log::debug!("{error}")).ok()?;
        let owner = bus.call(BUS, "GetNameOwner", &[Value::Text(NAME.to_owned())]);
        owner.inspect_err(|error| log::debug!("no firewalld: {error}")).ok()?;
        Some(Self(bus))
    }

    /// Connects to firewalld, which must be there.
    ///
    /// # Errors
    /// [`Error::NoFirewalld`].
    pub fn require() -> Result<Self, Error> {
        Self::running().ok_or(Error::NoFirewalld)
    }

    /// Puts an address into a zone; one that is in it is fine.
    ///
    /// # Errors
    /// [`Error::Firewalld`], for instance when there is no such zone, or the address is in another.
    pub fn add_source(&mut self, zone: &str, address: IpAddr) -> Result<(), Error> {
        match self.call("addSource", zone, address) {
            Err(error) if says(&error, &ALREADY) => Ok(()),
            answer => answer
                .map(drop)
                .map_err(|error| failed(format!("put {address} into zone {zone}"), error)),
        }
    }

    /// Takes an address out of a zone; one that is not in it is fine.
    ///
    /// # Errors
    /// [`Error::Firewalld`].
    pub fn remove_source(&mut self, zone: &str, address: IpAddr) -> Result<(), Error> {
        match self.call("removeSource", zone, address) {
            Err(error) if says(&error, &NOT_THERE) => Ok(()),
            answer => answer
                .map(drop)
                .map_err(|error| failed(format!("take {address} out of zone {zone}"), error)),
        }
    }

    /// Whether an address is in a zone.
    ///
    /// # Errors
    /// [`Error::Firewalld`].
    pub fn has_source(&mut self, zone: &str, address: IpAddr) -> Result<bool, Error> {
        match self.call("querySource", zone, address) {
            Err(error) if says(&error, &NOT_THERE) => Ok(false),
            Err(error) => Err(failed(format!("look for {address} in zone {zone}"), error)),
            Ok(answer) => Ok(answer.first() == Some(&Value::Flag(true))),
        }
    }

    fn call(
        &mut self,
        member: &str,
        zone: &str,
        address: IpAddr,
    ) -> Result<Vec<Value>, dbus::Error> {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        let arguments = [Value::Text(zone.to_owned()), Value::Text(format!("{address}/{prefix}"))];
        self.0.call(ZONES, member, &arguments)
    }
}

fn says(error: &dbus::Error, words: &[&str]) -> bool {
    matches!(error, dbus::Error::Refused { text, .. } if words.iter().any(|word| text.contains(word)))
}

fn failed(doing: String, source: dbus::Error) -> Error {
    Error::Firewalld { doing, source }
}
