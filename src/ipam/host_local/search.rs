//! The next free address of a range set, in the order of the reference plugin: upwards from the one
//! that was leased last, around all ranges of the set.
//!
//! A few addresses are simply tried. Only where they are all taken, bitmaps say where to go on;
//! they come from a listing of the directory if they are not there or lead astray.

use std::net::IpAddr;

use super::bitmap::Bitmap;
use super::directory::Directory;
use super::error::Error;
use super::range::{Range, RangeSet, number};

/// How many addresses are tried before a bitmap is asked for.
const BLIND_TRIES: usize = 4;

/// How often a bitmap may be wrong before it is made anew.
const WRONG_TRIES: usize = 16;

/// A search in one range set.
pub struct Search<'a> {
    directory: &'a Directory,
    set: &'a RangeSet,
    /// Whether bitmaps may be written.
    writes: bool,
    /// What is known of each range, in the set's order.
    known: Vec<Option<Known>>,
    listing: Option<Vec<IpAddr>>,
}

/// What is known of a range.
struct Known {
    leased: Leased,
    /// Whether a listing of this search is behind it, and not a file.
    is_fresh: bool,
    /// Whether more than one bit has been found wrong, or there is no file yet.
    is_changed: bool,
}

enum Leased {
    Bits(Bitmap),
    /// For ranges too large for a bitmap; in order.
    Numbers(Vec<u128>),
}

impl Known {
    /// The first number from `from` to `last` that is allowed and not known to be leased.
    fn next_free(&self, range: &Range, from: u128, last: u128) -> Option<u128> {
        let mut from = from;
        loop {
            let allowed = range.next_allowed(from).filter(|allowed| *allowed <= last)?;
            let free = match &self.leased {
                Leased::Bits(bitmap) => bitmap.next_clear(allowed)?,
                Leased::Numbers(leased) => {
                    let mut free = allowed;
                    let next = leased.partition_point(|number| *number < allowed);
                    for number in leased.iter().skip(next) {
                        if *number != free {
                            break;
                        }
                        free = free.saturating_add(1);
                    }
                    free
                }
            };
            if free == allowed {
                return Some(free);
            }
            from = free;
        }
    }

    fn set_leased(&mut self, number: u128) {
        match &mut self.leased {
            Leased::Bits(bitmap) => bitmap.set(number, true),
            Leased::Numbers(leased) => {
                if let Err(place) = leased.binary_search(&number) {
                    leased.insert(place, number);
                }
            }
        }
    }
}

impl<'a> Search<'a> {
    /// A search that has not begun. If it `writes`, it leaves bitmaps for the next one.
    pub fn new(directory: &'a Directory, set: &'a RangeSet, writes: bool) -> Self {
        let known = set.ranges.iter().map(|_| None).collect();
        Self { directory, set, writes, known, listing: None }
    }

    /// The first address after `last_leased` for which `attempt` is true; none if there is none in
    /// the whole set. `attempt` tells whether an address is free, and takes it if that is meant.
    ///
    /// # Errors
    /// [`Error::Io`], and those of `attempt`.
    pub fn run(
        &mut self,
        last_leased: Option<IpAddr>,
        attempt: &mut dyn FnMut(IpAddr) -> Result<bool, Error>,
    ) -> Result<Option<IpAddr>, Error> {
        let set = self.set;
        let round = set.round(last_leased);
        let mut tries = BLIND_TRIES;
        for &(index, span) in &round {
            let Some(range) = set.ranges.get(index) else { continue };
            let mut from = Some(span.first);
            if !self.knows(index, range)? {
                while tries > 0 {
                    let allowed = from.and_then(|from| range.next_allowed(from));
                    let Some(next) = allowed.filter(|next| *next <= span.last) else {
                        from = None;
                        break;
                    };
                    if attempt(range.address(next))? {
                        return Ok(Some(range.address(next)));
                    }
                    tries -= 1;
                    from = next.checked_add(1);
                }
            }
            if let Some(from) = from
                && let Some(found) = self.find(index, range, from, span.last, attempt)?
            {
                return Ok(Some(found));
            }
        }
        // Files may have said that a free address is taken.
        if self.known.iter().flatten().all(|known| known.is_fresh) {
            return Ok(None);
        }
        self.known.fill_with(|| None);
        for &(index, span) in &round {
            let Some(range) = set.ranges.get(index) else { continue };
            self.list(index, range)?;
            if let Some(found) = self.find(index, range, span.first, span.last, attempt)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Whether anything is known of the range, from a file or from before.
    fn knows(&mut self, index: usize, range: &Range) -> Result<bool, Error> {
        let Some(known) = self.known.get_mut(index) else { return Ok(false) };
        if known.is_none() && self.directory.has_bitmaps() {
            *known = Bitmap::read(self.directory, range)?.map(|bitmap| Known {
                leased: Leased::Bits(bitmap),
                is_fresh: false,
                is_changed: false,
            });
        }
        Ok(known.is_some())
    }

    /// Learns all of a range from a listing of the directory.
    fn list(&mut self, index: usize, range: &Range) -> Result<(), Error> {
        let listing = match self.listing.take() {
            Some(listing) => listing,
            None => self.directory.leased()?,
        };
        let leased = Bitmap::of(range, &listing).map_or_else(
            || {
                let of_range = listing.iter().filter(|address| range.contains(**address));
                let mut numbers: Vec<u128> = of_range.map(|address| number(*address)).collect();
                numbers.sort_unstable();
                Leased::Numbers(numbers)
            },
            Leased::Bits,
        );
        self.listing = Some(listing);
        if let Some(known) = self.known.get_mut(index) {
            *known = Some(Known { leased, is_fresh: true, is_changed: true });
        }
        Ok(())
    }

    /// The first address for which `attempt` is true among those that are not known to be leased.
    fn find(
        &mut self,
        index: usize,
        range: &Range,
        from: u128,
        last: u128,
        attempt: &mut dyn FnMut(IpAddr) -> Result<bool, Error>,
    ) -> Result<Option<IpAddr>, Error> {
        let mut from = from;
        let mut wrong = 0;
        loop {
            if self.known.get(index).is_none_or(Option::is_none) {
                self.list(index, range)?;
            }
            let Some(Some(known)) = self.known.get_mut(index) else { return Ok(None) };
            let Some(next) = known.next_free(range, from, last) else { return Ok(None) };
            let is_ours = attempt(range.address(next))?;
            known.set_leased(next);
            if is_ours {
                if self.writes
                    && let Leased::Bits(bitmap) = &known.leased
                {
                    if known.is_changed {
                        bitmap.write(self.directory, range)?;
                    } else {
                        bitmap.write_one(self.directory, range, next)?;
                    }
                }
                return Ok(Some(range.address(next)));
            }
            known.is_changed = true;
            wrong += 1;
            if wrong == WRONG_TRIES && !known.is_fresh {
                self.list(index, range)?;
            }
            let Some(after) = next.checked_add(1) else { return Ok(None) };
            from = after;
        }
    }
}
