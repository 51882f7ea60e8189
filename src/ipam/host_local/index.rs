//! Which addresses an attachment holds, without reading every lease.
//!
//! Beside the leases stand symbolic links `.causeway:<containerID>:<ifname>:<n>`, one for each
//! lease of that attachment, n from 0 upwards without gaps, whose target is the name of the lease
//! file. None of the three parts can hold a colon. The reference plugin's DEL, which removes every
//! file in the directory that reads as the holder's claim, follows them and removes them as well.
//!
//! They are as true as the directory's mark ([`super::directory`]); still nothing is given back
//! before its lease file has been read.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::directory::Directory;
use super::error::Error;
use super::holder::{Claim, Holder};
use crate::protocol::names;

/// What the names of index entries begin with.
pub const PREFIX: &str = ".causeway:";

/// The longest file name that every file system holds.
const LONGEST_NAME: usize = 255;

/// The digits that a place in the index may need.
const LONGEST_PLACE: usize = 5;

/// One entry of the index.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The lease; none if the entry's target is no address.
    pub address: Option<IpAddr>,
    /// Whether the lease is there and the holder's.
    pub is_true: bool,
}

/// The names of a holder's entries.
pub struct EntryNames {
    base: String,
}

impl EntryNames {
    /// For leases that name container and interface.
    pub fn of(holder: Holder<'_>) -> Self {
        let (id, ifname) = (holder.container_id.trim(), holder.ifname);
        let longest = LONGEST_NAME - LONGEST_PLACE;
        // Leases may have been written by programs that do not check names.
        let is_fit = names::container_id(id).is_ok()
            && (ifname.is_empty() || names::interface_name(ifname).is_ok());
        if is_fit && PREFIX.len() + id.len() + ifname.len() + 2 <= longest {
            return Self { base: format!("{PREFIX}{id}:{ifname}:") };
        }
        let digest = Sha256::digest(format!("{id}:{ifname}"));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { base: format!("{PREFIX}sha256-{hex}::") }
    }

    /// For leases that name the container alone.
    pub fn of_container(container_id: &str) -> Self {
        Self::of(Holder { container_id, ifname: "" })
    }

    /// The name of the entry at that place.
    pub fn at(&self, place: usize) -> String {
        format!("{}{place}", self.base)
    }
}

/// The entries of a holder: those of leases that name container and interface, or else those of
/// leases that name the container alone. In the reference plugin the latter count only if there
/// are none of the former.
///
/// # Errors
/// [`Error::Io`].
pub fn entries(directory: &Directory, holder: Holder<'_>) -> Result<Vec<Entry>, Error> {
    let of_holder = read(
        directory,
        &EntryNames::of(holder),
        |claim| matches!(claim, Claim::Holder(other) if is_same(other, holder)),
    )?;
    let may_be_of_container = directory.hints().is_some_and(|hints| hints.container_claims);
    if !of_holder.is_empty() || !may_be_of_container {
        return Ok(of_holder);
    }
    let id = holder.container_id.trim();
    read(directory, &EntryNames::of_container(id), |claim| claim == Claim::Container(id))
}

/// Whether the two are one; white space around a container ID does not count.
pub fn is_same(one: Holder<'_>, other: Holder<'_>) -> bool {
    one.container_id.trim() == other.container_id.trim() && one.ifname == other.ifname
}

fn read(
    directory: &Directory,
    names: &EntryNames,
    is_holders: impl Fn(Claim<'_>) -> bool,
) -> Result<Vec<Entry>, Error> {
    let mut found = Vec::new();
    loop {
        let name = names.at(found.len());
        let Some(target) = directory.target(&name)? else { return Ok(found) };
        let address = target.parse().ok();
        let is_true = address.is_some() && directory.claim(&target, &is_holders).unwrap_or(false);
        found.push(Entry { name, address, is_true });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn name(container_id: &str, ifname: &str, place: usize) -> String {
        EntryNames::of(Holder { container_id, ifname }).at(place)
    }

    #[test]
    fn names_are_plain_while_they_fit() {
        assert_eq!(name("0f3c", "eth0", 1), ".causeway:0f3c:eth0:1");
        let long = "f".repeat(200);
        assert_eq!(name(&long, "eth0", 0), format!(".causeway:{long}:eth0:0"));
    }

    #[test]
    fn names_that_do_not_fit_are_digested() {
        let long = "f".repeat(300);
        let digested = name(&long, "eth0", 0);
        assert!(digested.starts_with(".causeway:sha256-") && digested.len() <= LONGEST_NAME);
        assert_ne!(digested, name(&long, "eth1", 0));
        for (id, ifname) in [("a/b", "eth0"), ("a:b", "eth0"), ("", ""), ("a", "b/c"), ("a", "b:c")]
        {
            assert!(!name(id, ifname, 0).contains('/'), "{id} {ifname}");
            assert!(name(id, ifname, 0).starts_with(".causeway:sha256-"), "{id} {ifname}");
        }
        let longest = "f".repeat(255 - 10 - 2 - 15 - 5);
        let full = name(&longest, "fifteen-bytes-x", 99_999);
        assert_eq!(full.len(), 255);
        assert!(full.contains(&longest));
    }
}
