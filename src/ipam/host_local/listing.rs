//! Leases as people look at them: all that a folder holds, and one given back by its address.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

use super::directory::Directory;
use super::error::Error;
use super::holder::Claim;
use super::rebuild::each_lease;

/// What a lease file says, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldBy {
    /// An interface of a container.
    Holder {
        /// The container ID.
        container_id: String,
        /// The interface's name.
        ifname: String,
    },
    /// A container, by all of its interfaces, as early reference plugins wrote it.
    Container(String),
    /// The file is empty: whoever made it was killed before it wrote into it.
    Nobody,
    /// The file holds something that no lease does.
    Garbage,
}

impl HeldBy {
    fn of(claim: Claim<'_>) -> Self {
        match claim {
            Claim::Holder(holder) => Self::Holder {
                container_id: holder.container_id.to_owned(),
                ifname: holder.ifname.to_owned(),
            },
            Claim::Container(container_id) => Self::Container(container_id.to_owned()),
            Claim::Nobody => Self::Nobody,
            Claim::Garbage => Self::Garbage,
        }
    }
}

/// A lease on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLease {
    /// The address.
    pub address: IpAddr,
    /// Whose it is.
    pub held_by: HeldBy,
    /// When it was made.
    pub written: Option<SystemTime>,
}

/// Every lease of a network's folder, by address; a folder that is not there has none. Made by this
/// program or by the reference plugin. Writes nothing.
///
/// # Errors
/// [`Error::NotADirectory`], [`Error::Io`].
pub fn stored(folder: &Path) -> Result<Vec<StoredLease>, Error> {
    let Some(directory) = Directory::look(folder)? else { return Ok(Vec::new()) };
    let mut leases = Vec::new();
    each_lease(&directory, &mut |address, claim| {
        let file = folder.join(address.to_string());
        let written = fs::symlink_metadata(file).and_then(|about| about.modified()).ok();
        leases.push(StoredLease { address, held_by: HeldBy::of(claim), written });
    })?;
    leases.sort_unstable_by_key(|lease| lease.address);
    Ok(leases)
}

/// Gives one lease back, if it still says what it said when it was looked at; says whether it did.
///
/// The folder's mark is not renewed, so that the next call that leases makes its index anew.
///
/// # Errors
/// [`Error::NotADirectory`], [`Error::Io`].
pub fn give_back(folder: &Path, lease: &StoredLease) -> Result<bool, Error> {
    let Some(directory) = Directory::find(folder)? else { return Ok(false) };
    let name = lease.address.to_string();
    let is_as_it_was = directory.claim(&name, |claim| HeldBy::of(claim) == lease.held_by);
    if is_as_it_was != Some(true) {
        return Ok(false);
    }
    directory.remove(&name)?;
    Ok(true)
}
