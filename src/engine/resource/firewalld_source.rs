//! The container's addresses in a zone of firewalld.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::firewall::in_words;
use super::{Kind, Made};
use crate::engine::{Error, Node};
use crate::kernel::firewalld::Firewalld;

/// Addresses that belong to a zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FirewalldSource {
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// The zone.
    pub zone: String,
}

impl Kind for FirewalldSource {
    fn describe(&self) -> String {
        format!("put {} into zone {} of firewalld", in_words(&self.addresses), self.zone)
    }

    fn create(&self, _node: &mut Node<'_>) -> Result<Made, Error> {
        let mut firewalld = Firewalld::require()?;
        for address in &self.addresses {
            firewalld.add_source(&self.zone, *address)?;
        }
        Ok(Made::Now)
    }

    fn verify(&self, _node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let mut firewalld = match Firewalld::require() {
            Ok(firewalld) => firewalld,
            Err(error) => return Ok(vec![error.to_string()]),
        };
        let mut missing = Vec::new();
        for address in &self.addresses {
            if !firewalld.has_source(&self.zone, *address)? {
                missing.push(format!("{address} is not in zone {} of firewalld", self.zone));
            }
        }
        Ok(missing)
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        // What it had of the running configuration has gone with it.
        let Some(mut firewalld) = Firewalld::running() else { return Ok(()) };
        for address in &self.addresses {
            firewalld.remove_source(&self.zone, *address)?;
        }
        Ok(())
    }
}
