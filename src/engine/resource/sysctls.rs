//! Sysctls of the container's namespace that a configuration asks for by name.
//!
//! [`super::settings`] is for those that a plugin sets on its own account.

use std::io;

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::{self, sysctl};

/// Sysctls set in the container's namespace, in one visit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sysctls {
    /// What is set, in this order.
    pub values: Vec<Sysctl>,
}

/// One sysctl.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sysctl {
    /// The name with slashes: `net/ipv4/conf/eth0/arp_filter`.
    pub name: String,
    /// The value.
    pub value: String,
    /// The value before. Absent where it cannot be known, or goes away with the interface that is
    /// made in the same call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
}

impl Sysctl {
    fn check(&self) -> Result<Option<String>, kernel::Error> {
        match sysctl::access(&self.name)? {
            None => return Ok(Some(format!("sysctl {} is not in the container", self.dotted()))),
            // Writing it did something at once, and left nothing to be looked at.
            Some(access) if !access.readable => return Ok(None),
            Some(_) => {}
        }
        // Several numbers come with tabs between them.
        let is = sysctl::read(&self.name)?.replace('\t', " ");
        Ok((!sysctl::is_same(&is, &self.value))
            .then(|| format!("sysctl {} is \"{is}\", not \"{}\"", self.dotted(), self.value)))
    }

    fn put_back(&self) {
        let Some(original) = &self.original else { return };
        // What somebody has set since is not ours to change.
        let is_ours = |is: &str| sysctl::is_same(is, &self.value) && !sysctl::is_same(is, original);
        let done = match sysctl::read(&self.name) {
            // An empty text alone would not reach the kernel.
            Ok(is) if is_ours(&is) => sysctl::write(&self.name, &format!("{original}\n")),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {}
            Err(kernel::Error::Sysctl { source, .. })
                if matches!(source.kind(), io::ErrorKind::NotFound) => {}
            // The container is usually about to go; a value that cannot be put back must not keep
            // it.
            Err(error) => log::warn!("not put back: {error}"),
        }
    }

    /// The name as people write it, unless it has dots of its own.
    fn dotted(&self) -> String {
        if self.name.contains('.') { self.name.clone() } else { self.name.replace('/', ".") }
    }
}

impl Kind for Sysctls {
    fn describe(&self) -> String {
        let list: Vec<String> =
            self.values.iter().map(|one| format!("{}={}", one.dotted(), one.value)).collect();
        format!("set {} in the container", list.join(", "))
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        // An interface must be there, and have what else it gets, before its settings are.
        node.host.flush()?;
        node.pod()?.route.flush()?;
        node.within(Side::Pod, || {
            self.values.iter().try_for_each(|one| sysctl::write(&one.name, &one.value))
        })??;
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let found: Result<Vec<_>, _> =
            node.within(Side::Pod, || self.values.iter().map(Sysctl::check).collect())?;
        Ok(found?.into_iter().flatten().collect())
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        if node.pod.is_some() && self.values.iter().any(|one| one.original.is_some()) {
            node.within(Side::Pod, || self.values.iter().rev().for_each(Sysctl::put_back))?;
        }
        Ok(())
    }

    /// They go with the namespace; but as long as it is there, only the record tells what they were.
    fn outlives_namespace(&self) -> bool {
        self.values.iter().any(|one| one.original.is_some())
    }
}
