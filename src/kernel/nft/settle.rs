//! What the kernel refused of a transaction, and what the next attempt has to do differently.

use nix::errno::Errno;

use super::error::Error;
use super::query::no_nf_tables;
use super::table::{Base, Part};
use super::transaction::{Change, Removal};

/// What a message of the transaction was for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Frame,
    Base(usize, Part),
    Removal(usize),
    /// Removes what stands in an addition's way.
    Replaced(usize),
    Addition(usize),
}

/// One refused message.
pub(super) struct Refusal {
    pub(super) purpose: Purpose,
    pub(super) errno: Errno,
    pub(super) said: Option<String>,
}

/// What attempts have learnt.
pub(super) struct Progress {
    /// The bases that are known to be missing.
    pub(super) bases: Vec<Base>,
    /// Removals that are still to be done.
    pub(super) removals: Vec<bool>,
    /// Additions that have to replace an element.
    pub(super) replacing: Vec<bool>,
}

/// Learns from refusals what the next attempt has to do differently.
///
/// # Errors
/// The first refusal that no other attempt can get around.
pub(super) fn settle(
    change: &Change,
    progress: &mut Progress,
    refusals: Vec<Refusal>,
) -> Result<(), Error> {
    let mut base_missing = false;
    let mut fatal = None;
    for Refusal { purpose, errno, said } in refusals {
        if matches!(errno, Errno::EAGAIN | Errno::EINTR | Errno::ERESTART) {
            continue;
        }
        match (purpose, errno) {
            (Purpose::Removal(place), Errno::ENOENT) => clear(&mut progress.removals, place),
            (Purpose::Replaced(place), Errno::ENOENT) => clear(&mut progress.replacing, place),
            (Purpose::Addition(place), Errno::EEXIST) => {
                if let Some(replace) = progress.replacing.get_mut(place) {
                    *replace = true;
                }
            }
            (Purpose::Addition(_), Errno::ENOENT) if progress.bases.len() < change.bases.len() => {
                base_missing = true;
            }
            (Purpose::Frame, Errno::EOPNOTSUPP) if change.additions.is_empty() => {
                progress.removals.fill(false);
            }
            (purpose, errno) => {
                fatal.get_or_insert_with(|| refused(change, progress, purpose, errno, said));
            }
        }
    }
    if base_missing {
        progress.bases = change.bases.iter().map(|(_, base)| base()).collect();
    }
    fatal.map_or(Ok(()), Err)
}

fn clear(flags: &mut [bool], place: usize) {
    if let Some(flag) = flags.get_mut(place) {
        *flag = false;
    }
}

/// The error for a message that was refused for good.
fn refused(
    change: &Change,
    progress: &Progress,
    purpose: Purpose,
    errno: Errno,
    said: Option<String>,
) -> Error {
    let unknown = matches!(
        errno,
        Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT
    );
    let doing = match purpose {
        Purpose::Frame if unknown => return no_nf_tables(),
        Purpose::Frame => "commit a change".to_owned(),
        Purpose::Base(place, part) => match progress.bases.get(place) {
            Some(base) if unknown => {
                return Error::Unsupported { feature: base.feature(part) };
            }
            Some(base) => base.describe(part),
            None => "make a table".to_owned(),
        },
        Purpose::Removal(place) => match change.removals.get(place) {
            Some(Removal::Element { set, .. }) => format!("remove an element of {set}"),
            Some(Removal::Rule { chain, handle }) => format!("remove rule {handle} of {chain}"),
            Some(Removal::Rules { chain }) => format!("empty {chain}"),
            Some(Removal::Chain { chain }) => format!("remove {chain}"),
            None => "remove something".to_owned(),
        },
        Purpose::Replaced(place) | Purpose::Addition(place) => match change.additions.get(place) {
            Some(addition) => format!("add an element to {}", addition.element.set),
            None => "add an element".to_owned(),
        },
    };
    Error::Refused { doing, errno, said }
}
