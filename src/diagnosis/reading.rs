//! Reads the node, once and without changing anything.

mod attachments;
mod host;
mod rules;
mod store;

use std::path::PathBuf;

use super::facts::Facts;
use crate::engine::Error;
use crate::engine::journal::STATE_DIR;
use crate::kernel::netlink::RouteSocket;
use crate::kernel::netns;
use crate::libcni;

/// Where a node keeps what is read.
#[derive(Debug, Clone)]
pub struct Places {
    /// Records of attachments.
    pub state: PathBuf,
    /// Leases: a folder for each network.
    pub leases: PathBuf,
    /// Results that runtimes keep.
    pub results: Vec<PathBuf>,
    /// Network configurations.
    pub configurations: PathBuf,
    /// Plugins.
    pub programs: Vec<PathBuf>,
    /// Kept namespaces.
    pub namespaces: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            state: STATE_DIR.into(),
            leases: "/var/lib/cni/networks".into(),
            results: libcni::cache::RESULT_DIRS.map(PathBuf::from).to_vec(),
            configurations: libcni::CONF_DIR.into(),
            programs: vec![libcni::BIN_DIR.into()],
            namespaces: netns::DIRECTORY.into(),
        }
    }
}

/// Reads the node. What could not be read is among the facts, and the rest is read all the same.
///
/// # Errors
/// When the kernel cannot be spoken to at all.
pub fn read(places: &Places) -> Result<Facts, Error> {
    let mut facts = Facts { rights: host::rights(), ..Facts::default() };
    let mut socket = RouteSocket::open()?;
    store::directories(places, &mut facts);
    store::configurations(places, &mut facts);
    store::namespaces(places, &mut facts);
    host::links(&mut socket, &mut facts)?;
    attachments::read(places, &mut facts)?;
    store::leases(places, &mut facts);
    host::sysctls(&mut facts);
    host::kernel(&mut facts);
    rules::read(&mut facts);
    attachments::living_addresses(&mut facts);
    Ok(facts)
}
