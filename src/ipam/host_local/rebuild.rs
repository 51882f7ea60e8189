//! Reading every lease of a directory, and making the index anew from them. That is for when
//! somebody else has changed the directory ([`super::directory`], "The mark").

use std::collections::HashMap;
use std::net::IpAddr;

use super::bitmap;
use super::directory::{Directory, Hints, STAGED};
use super::error::Error;
use super::holder::{Claim, Holder};
use super::index::{self, EntryNames};

/// Hands every lease and what its file says to `visit`.
///
/// # Errors
/// [`Error::Io`].
pub fn each_lease(
    directory: &Directory,
    visit: &mut dyn FnMut(IpAddr, Claim<'_>),
) -> Result<(), Error> {
    for name in directory.names()? {
        read_lease(directory, &name, visit);
    }
    Ok(())
}

fn read_lease(directory: &Directory, name: &str, visit: &mut dyn FnMut(IpAddr, Claim<'_>)) {
    // Not every text that is an address is a name that leases are given.
    if let Ok(address) = name.parse::<IpAddr>()
        && address.to_string() == name
    {
        directory.claim(name, |claim| visit(address, claim));
    }
}

/// The leases of a holder, found by reading all.
///
/// # Errors
/// [`Error::Io`].
pub fn leases_of(directory: &Directory, holder: Holder<'_>) -> Result<Vec<IpAddr>, Error> {
    let (mut of_holder, mut of_container) = (Vec::new(), Vec::new());
    each_lease(directory, &mut |address, claim| match claim {
        Claim::Holder(other) if index::is_same(other, holder) => of_holder.push(address),
        Claim::Container(id) if id == holder.container_id.trim() => of_container.push(address),
        _ => {}
    })?;
    let mut found = if of_holder.is_empty() { of_container } else { of_holder };
    found.sort_unstable();
    Ok(found)
}

/// Makes the index true, throws away what else we keep beside the leases, and marks the directory.
///
/// A kill in the midst leaves it unmarked, so the next one begins again.
///
/// # Errors
/// [`Error::Io`].
pub fn rebuild(directory: &Directory) -> Result<(), Error> {
    let mut hints = Hints::default();
    let mut leases: HashMap<String, Vec<(EntryNames, IpAddr)>> = HashMap::new();
    let mut found = Vec::new();
    for name in directory.names()? {
        if name.starts_with(index::PREFIX) {
            found.push(name);
        } else if name == STAGED || bitmap::is_name(&name) {
            directory.remove(&name)?;
        } else {
            read_lease(directory, &name, &mut |address, claim| {
                let names = match claim {
                    Claim::Holder(holder) => EntryNames::of(holder),
                    Claim::Container(container_id) => {
                        hints.container_claims = true;
                        EntryNames::of_container(container_id)
                    }
                    Claim::Nobody | Claim::Garbage => return,
                };
                leases.entry(names.at(0)).or_default().push((names, address));
            });
        }
    }

    let mut wanted: HashMap<String, String> = HashMap::new();
    for mut of_holder in leases.into_values() {
        of_holder.sort_unstable_by_key(|(_, address)| *address);
        for (place, (names, address)) in of_holder.into_iter().enumerate() {
            wanted.insert(names.at(place), address.to_string());
        }
    }
    for name in found {
        let is_right = wanted.get(&name) == directory.target(&name)?.as_ref();
        if is_right {
            wanted.remove(&name);
        } else {
            directory.remove(&name)?;
        }
    }
    for (name, target) in wanted {
        directory.link(&name, &target)?;
    }
    directory.note(hints);
    directory.mark();
    Ok(())
}
