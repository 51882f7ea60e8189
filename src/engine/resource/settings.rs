//! Sysctls of an interface.

use std::io::ErrorKind;

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::addr::IPV6_MTU;
use crate::kernel::{self, sysctl};

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
    fn apply(&self) -> Result<(), kernel::Error> {
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

impl Settings {
    /// Why IPv6 settings of an interface are not there, as far as that can be told.
    fn explain(&self, error: kernel::Error, node: &mut Node<'_>) -> Error {
        let kernel::Error::Sysctl { name, source, .. } = &error else { return error.into() };
        let setting = name.strip_prefix("net/ipv6/conf/").and_then(|rest| rest.rsplit_once('/'));
        let (ErrorKind::NotFound, Some((link, _))) = (source.kind(), setting) else {
            return error.into();
        };
        let has_ipv6 = node.within(self.side, || sysctl::access("net/ipv6/conf/all/disable_ipv6"));
        if matches!(has_ipv6, Ok(Ok(None))) {
            return Error::Kernel(kernel::Error::Missing {
                feature: "IPv6 (CONFIG_IPV6; the boot option ipv6.disable takes it away)".into(),
                needed_for: format!("an IPv6 address of {link}"),
            });
        }
        match node.link(self.side, link) {
            Ok(found) if found.mtu < IPV6_MTU => Error::Conflict(format!(
                "{link} has an MTU of {} bytes, and IPv6 needs at least {IPV6_MTU}: raise that of the \
                 link that it is made on, or do without IPv6",
                found.mtu
            )),
            _ => error.into(),
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
        match node.within(self.side, || self.values.iter().try_for_each(Setting::apply))? {
            Ok(()) => Ok(Made::Now),
            Err(error) => Err(self.explain(error, node)),
        }
    }

    fn verify(&self, _node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        // A chained plugin such as tuning may have set others since.
        Ok(Vec::new())
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }
}
