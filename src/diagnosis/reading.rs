//! Reads the node, once and without changing anything.

mod attachments;
mod host;
mod rules;
mod store;

use std::path::{Path, PathBuf};

use super::facts::Facts;
use crate::engine::Error;
use crate::inventory::{self, Inventory};
use crate::kernel::netlink::RouteSocket;
use crate::kernel::netns;
use crate::libcni;

/// Where a node keeps what is read.
#[derive(Debug, Clone)]
pub struct Places {
    /// Records, results and leases.
    pub inventory: inventory::Places,
    /// Network configurations.
    pub configurations: PathBuf,
    /// Plugins.
    pub programs: Vec<PathBuf>,
    /// Kept namespaces.
    pub namespaces: PathBuf,
}

impl Places {
    /// The places of this node. Without the arguments they are the usual ones.
    ///
    /// # Errors
    /// When the folder of configurations is there and cannot be read.
    pub fn of_node(
        configurations: Option<&Path>,
        programs: Vec<PathBuf>,
    ) -> Result<Self, inventory::Error> {
        let programs = if programs.is_empty() { vec![libcni::BIN_DIR.into()] } else { programs };
        Ok(Self {
            inventory: inventory::Places::of_node(configurations)?,
            configurations: configurations.unwrap_or(Path::new(libcni::CONF_DIR)).to_owned(),
            programs,
            namespaces: netns::DIRECTORY.into(),
        })
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
    store::damaged(places, &mut facts);
    host::links(&mut socket, &mut facts)?;
    let inventory = Inventory::of_node(&places.inventory).unwrap_or_else(|error| Inventory {
        problems: vec![error.to_string()],
        ..Inventory::default()
    });
    store::problems(&inventory.problems, &mut facts);
    store::leases(&inventory, &mut facts);
    attachments::read(inventory, &mut facts);
    host::sysctls(&mut facts);
    host::kernel(&mut facts);
    rules::read(&mut facts);
    attachments::living_addresses(&mut facts);
    Ok(facts)
}
