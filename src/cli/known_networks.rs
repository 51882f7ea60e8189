//! Which networks there are, for commands that show what is of one.

use std::collections::BTreeSet;

use super::attach::conf_dir;
use super::error::Error;
use crate::inventory::Inventory;
use crate::libcni::ConfDir;

/// Makes sure that a network that was asked for has a configuration, an attachment or a lease: of one
/// that was misspelt there is nothing to show, which looks like one that nobody is attached to.
///
/// # Errors
/// [`Error::NoSuchNetwork`], with the names that there are.
pub(super) fn require(wanted: Option<&str>, inventory: &Inventory) -> Result<(), Error> {
    let Some(wanted) = wanted else { return Ok(()) };
    let mut known: BTreeSet<String> =
        inventory.attachments.iter().map(|one| one.owner.network.clone()).collect();
    known.extend(inventory.leases.iter().map(|one| one.network.clone()));
    if let Ok(loaded) = ConfDir::load(&conf_dir()?) {
        known.extend(loaded.lists.into_iter().map(|list| list.name));
    }
    if known.contains(wanted) {
        return Ok(());
    }
    Err(Error::NoSuchNetwork { name: wanted.to_owned(), known: known.into_iter().collect() })
}
