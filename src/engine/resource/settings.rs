//! Sysctls of an interface.

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::sysctl;

/// Sysctls set in one namespace, in one visit. They are the interface's own and go with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// In whose namespace.
    pub side: Side,
    /// Names with slashes, and values.
    pub values: Vec<Setting>,
}

/// One sysctl.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// The name with slashes: `net/ipv6/conf/eth0/accept_dad`.
    pub name: String,
    /// The value.
    pub value: String,
    /// Whether ADD fails when it cannot be set; a kernel without IPv6 lacks some.
    #[serde(default)]
    pub required: bool,
}

impl Setting {
    fn apply(&self) -> Result<(), crate::kernel::Error> {
        let result = if self.required {
            sysctl::ensure(&self.name, &self.value).map(drop)
        } else {
            sysctl::write(&self.name, &self.value)
        };
        match result {
            Err(error) if self.required => Err(error),
            Err(error) => {
                log::debug!("passed over: {error}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

impl Kind for Settings {
    fn describe(&self) -> String {
        let list: Vec<String> = self
            .values
            .iter()
            .map(|one| format!("{}={}", one.name.replace('/', "."), one.value))
            .collect();
        let place = if self.side == Side::Pod { "in the container" } else { "on the host" };
        format!("set {} {place}", list.join(", "))
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        // The interface must be there before its settings are.
        node.host.flush()?;
        node.within(self.side, || self.values.iter().try_for_each(Setting::apply))??;
        Ok(Made::Now)
    }

    fn verify(&self, _node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        // A chained plugin such as tuning may have set others since.
        Ok(Vec::new())
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }
}
