//! Taking addresses, all or none, and giving them back.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::bitmap;
use super::directory::{Directory, STAGED};
use super::error::{Error, Hindrance};
use super::holder::{Claim, Holder};
use super::index::{self, Entry, EntryNames};
use super::last_reserved::LastReserved;
use super::range::{RangeSet, number};
use super::rebuild::{each_lease, rebuild};
use super::search::Search;

/// A lease and its holder, as they were when it was released: address, container ID, interface.
/// The latter two are empty for a lease file without contents.
pub type Released = (IpAddr, String, String);

/// The true index entries of a holder, after the index has been made anew if it cannot be trusted.
///
/// # Errors
/// [`Error::Io`].
pub fn trusted_entries(directory: &Directory, holder: Holder<'_>) -> Result<Vec<Entry>, Error> {
    if directory.hints().is_none() {
        rebuild(directory)?;
    }
    let found = index::entries(directory, holder)?;
    if found.iter().all(|entry| entry.is_true) {
        return Ok(found);
    }
    rebuild(directory)?;
    index::entries(directory, holder)
}

/// One call's leases.
pub struct Leasing<'a> {
    directory: &'a Directory,
    sets: &'a [RangeSet],
    names: EntryNames,
    /// The first free place in the index.
    place: usize,
    text: String,
    /// What has been taken: addresses, and how many of them are in the index.
    taken: Vec<IpAddr>,
    indexed: usize,
}

impl<'a> Leasing<'a> {
    /// A holder's leases, nothing of which has been taken yet; `known` is what it holds already.
    pub fn new(
        directory: &'a Directory,
        sets: &'a [RangeSet],
        holder: Holder<'_>,
        known: &[Entry],
    ) -> Self {
        let names = EntryNames::of(holder);
        // Known leases that name the container alone have their places under other names.
        let place =
            known.iter().enumerate().filter(|(i, entry)| entry.name == names.at(*i)).count();
        let text = holder.text();
        Self { directory, sets, names, place, text, taken: Vec::new(), indexed: 0 }
    }

    /// Takes one address of the set of that number.
    ///
    /// # Errors
    /// [`Error::Taken`], [`Error::Exhausted`], [`Error::Io`]. What the call has taken before stays
    /// taken, until [`Self::give_back`].
    pub fn take(
        &mut self,
        set_number: usize,
        set: &RangeSet,
        requested: Option<IpAddr>,
        abandoned: &mut dyn FnMut(Holder<'_>) -> bool,
    ) -> Result<IpAddr, Error> {
        let last = LastReserved::open(self.directory, set_number, true)?;
        let taken = match requested {
            Some(address) => self.take_requested(set, address),
            None => self.take_next(set, last.address, abandoned),
        };
        let address = match taken {
            Ok(address) => address,
            Err(error) => {
                self.directory.remove(STAGED)?;
                return Err(error);
            }
        };
        let name = self.names.at(self.place + self.indexed);
        self.directory.link(&name, &address.to_string())?;
        self.indexed += 1;
        last.set(self.directory, address)?;
        Ok(address)
    }

    fn take_requested(&mut self, set: &RangeSet, address: IpAddr) -> Result<IpAddr, Error> {
        if !self.attempts()(address)? {
            return Err(taken(self.directory, address));
        }
        if let Some(range) = set.range_of(address) {
            bitmap::note(self.directory, range, address, true)?;
        }
        Ok(address)
    }

    fn take_next(
        &mut self,
        set: &RangeSet,
        last_leased: Option<IpAddr>,
        abandoned: &mut dyn FnMut(Holder<'_>) -> bool,
    ) -> Result<IpAddr, Error> {
        let directory = self.directory;
        let search = |attempt: &mut dyn FnMut(IpAddr) -> Result<bool, Error>| {
            Search::new(directory, set, true).run(last_leased, attempt)
        };
        if let Some(found) = search(&mut self.attempts())? {
            return Ok(found);
        }
        let reclaimed = self.reclaim(set, abandoned)?;
        if reclaimed > 0 {
            log::warn!("{set} was full; released {reclaimed} leases of holders that are gone");
            if let Some(found) = search(&mut self.attempts())? {
                return Ok(found);
            }
        }
        Err(exhausted(directory, set)?)
    }

    /// What takes an address and tells whether it could.
    fn attempts(&mut self) -> impl FnMut(IpAddr) -> Result<bool, Error> {
        let (directory, text, taken) = (self.directory, &self.text, &mut self.taken);
        let mut is_staged = false;
        move |address| {
            if !is_staged {
                directory.stage(text.as_bytes())?;
                is_staged = true;
            }
            if !directory.publish(&address.to_string())? {
                return Ok(false);
            }
            is_staged = false;
            taken.push(address);
            Ok(true)
        }
    }

    /// Releases the leases of a set whose holders are abandoned. The set holds none of the caller's
    /// own, or the call had been refused.
    fn reclaim(
        &self,
        set: &RangeSet,
        abandoned: &mut dyn FnMut(Holder<'_>) -> bool,
    ) -> Result<usize, Error> {
        // Nobody but us can be at work under the lock, so an empty lease file is a dead one's.
        let released = release_where(self.directory, self.sets, true, &mut |address, holder| {
            set.range_of(address).is_some() && abandoned(holder)
        })?;
        Ok(released.len())
    }

    /// Gives back what has been taken. What cannot be given back stays findable: the directory is
    /// left unmarked.
    pub fn give_back(self) {
        for (place, address) in self.taken.iter().enumerate().rev() {
            let name = (place < self.indexed).then(|| self.names.at(self.place + place));
            if let Err(error) = give_up(self.directory, self.sets, *address, name.as_deref()) {
                log::error!("could not give back {address}: {error}");
                return;
            }
        }
        self.directory.mark();
    }
}

/// The error for a requested address that has a lease file.
pub fn taken(directory: &Directory, address: IpAddr) -> Error {
    let holder = directory.claim(&address.to_string(), |claim| match claim {
        Claim::Holder(Holder { container_id, .. }) | Claim::Container(container_id) => {
            Some(container_id.to_owned())
        }
        Claim::Nobody | Claim::Garbage => None,
    });
    Error::Taken { address, why: Hindrance::Leased(holder.flatten()) }
}

/// The error for a set that is full.
///
/// # Errors
/// [`Error::Io`].
pub fn exhausted(directory: &Directory, set: &RangeSet) -> Result<Error, Error> {
    let leased = directory.leased()?;
    Ok(Error::Exhausted {
        ranges: set.to_string(),
        directory: directory.path().to_owned(),
        leases: leased.into_iter().filter(|address| set.range_of(*address).is_some()).count(),
    })
}

/// Releases everything a holder has, and does not mark the directory.
///
/// # Errors
/// [`Error::Io`].
pub fn release(
    directory: &Directory,
    sets: &[RangeSet],
    holder: Holder<'_>,
) -> Result<Vec<IpAddr>, Error> {
    let mut released = Vec::new();
    let entries = trusted_entries(directory, holder)?;
    // From the last place down, so that there is never a gap.
    for entry in entries.iter().rev() {
        if let Some(address) = entry.address.filter(|_| entry.is_true) {
            give_up(directory, sets, address, Some(&entry.name))?;
            released.push(address);
        }
    }
    released.reverse();
    Ok(released)
}

/// Removes a lease and its index entry.
fn give_up(
    directory: &Directory,
    sets: &[RangeSet],
    address: IpAddr,
    entry: Option<&str>,
) -> Result<(), Error> {
    directory.remove(&address.to_string())?;
    if let Some(entry) = entry {
        directory.remove(entry)?;
    }
    match sets.iter().find_map(|set| set.range_of(address)) {
        Some(range) => bitmap::note(directory, range, address, false),
        None => Ok(()),
    }
}

/// Releases the leases for which `unwanted` is true, and those of nobody if `and_of_nobody`. Leases
/// that name a container alone stay: whether their holder is there cannot be asked. Goes on after
/// an error.
///
/// # Errors
/// The first [`Error::Io`].
pub fn release_where(
    directory: &Directory,
    sets: &[RangeSet],
    and_of_nobody: bool,
    unwanted: &mut dyn FnMut(IpAddr, Holder<'_>) -> bool,
) -> Result<Vec<Released>, Error> {
    if directory.hints().is_none() {
        rebuild(directory)?;
    }
    let mut holders: BTreeMap<(String, String), Vec<IpAddr>> = BTreeMap::new();
    let mut of_nobody = Vec::new();
    each_lease(directory, &mut |address, claim| match claim {
        Claim::Holder(holder) if unwanted(address, holder) => {
            let name = (holder.container_id.to_owned(), holder.ifname.to_owned());
            holders.entry(name).or_default().push(address);
        }
        Claim::Nobody if and_of_nobody => of_nobody.push(address),
        _ => {}
    })?;

    let mut released = Vec::new();
    let mut failure = None;
    for ((container_id, ifname), found) in holders {
        let holder = Holder { container_id: &container_id, ifname: &ifname };
        let done = release(directory, sets, holder).and_then(|mut addresses| {
            for address in found {
                // The index does not know of it: somebody has written into the file of another.
                if !addresses.contains(&address) {
                    give_up(directory, sets, address, None)?;
                    directory.distrust();
                    addresses.push(address);
                }
            }
            Ok(addresses)
        });
        match done {
            Ok(addresses) => released.extend(
                addresses.into_iter().map(|one| (one, container_id.clone(), ifname.clone())),
            ),
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    for address in of_nobody {
        match give_up(directory, sets, address, None) {
            Ok(()) => released.push((address, String::new(), String::new())),
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(released),
    }
}

/// Whether the address is neither a gateway nor excluded.
///
/// # Errors
/// [`Error::Taken`].
pub fn refuse_barred(sets: &[RangeSet], set: &RangeSet, address: IpAddr) -> Result<(), Error> {
    let is_barred = set.range_of(address).is_some_and(|range| range.is_barred(number(address)));
    if !is_barred {
        return Ok(());
    }
    let mut ranges = sets.iter().flat_map(|set| &set.ranges);
    let is_gateway = ranges.any(|range| range.gateway == address);
    let why = if is_gateway { Hindrance::Gateway } else { Hindrance::Excluded };
    Err(Error::Taken { address, why })
}
