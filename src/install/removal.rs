//! Taking the program out of the folder of plugins.

use super::bin_dir::{BinDir, Present};
use super::first_network;
use super::record::{Before, Record};
use super::{Error, Places, joined};
use crate::plugins::SELF;

/// What becomes of a name.
enum Undoing {
    /// What was kept comes back.
    Restored,
    /// It goes.
    Removed,
    /// It is as it was before already.
    Done,
    /// Somebody else's program is there, and what was kept stays beside.
    Left,
    /// Somebody else's program is there, where nothing was before.
    Theirs,
}

/// Puts back what was there before the first installation, and removes what is new. `say` hears of each
/// change, or with [`Places::dry_run`] of what would be one. Gives the number of changes; none where
/// nothing was installed.
///
/// # Errors
/// [`Error`]. What is done by then stays done, and another run does the rest.
pub fn undo(places: &Places, say: &mut dyn FnMut(String)) -> Result<usize, Error> {
    let bin = BinDir::open(&places.bin)?;
    let Some(record) = Record::read(&bin)? else {
        if !places.dry_run {
            bin.clear()?;
        }
        return Ok(0);
    };
    let mut count = 0;
    let mut rest = Record::default();
    // A runtime that has no configuration asks for no plugins. So it goes first.
    if let (Some(network), Some(conf)) = (&record.network, &places.conf) {
        count += first_network::remove(conf, network, places.dry_run, say)?;
    }
    // The links lead to the program, so that one goes last.
    let (own, links): (Vec<_>, Vec<_>) = record.names.iter().partition(|(name, _)| *name == SELF);
    for (name, before) in links.into_iter().chain(own) {
        let undoing = what_becomes(&bin, name, *before)?;
        if !places.dry_run {
            match undoing {
                Undoing::Restored => bin.restore(name)?,
                Undoing::Removed => bin.remove(name)?,
                Undoing::Done => bin.forget(name),
                Undoing::Theirs | Undoing::Left => {}
            }
        }
        let path = joined(&bin.path, name);
        let would = if places.dry_run { "would be" } else { "is" };
        match undoing {
            Undoing::Restored => say(format!("{path} {would} what it was before")),
            Undoing::Removed => say(format!("{path} {would} removed")),
            Undoing::Done => continue,
            Undoing::Theirs => {
                say(format!("{path} has been replaced by something else: left alone"))
            }
            Undoing::Left => {
                rest.names.insert(name.clone(), *before);
                say(format!(
                    "{path} has been replaced by something else: left alone, and what it was before \
                     stays in {}",
                    joined(&bin.path, super::BEFORE)
                ));
            }
        }
        count += usize::from(matches!(undoing, Undoing::Restored | Undoing::Removed));
    }
    if !places.dry_run {
        if rest.names.is_empty() {
            bin.remove_record()?;
        } else {
            rest.write(&bin)?;
        }
        bin.clear()?;
    }
    Ok(count)
}

fn what_becomes(bin: &BinDir, name: &str, before: Before) -> Result<Undoing, Error> {
    let present = bin.present(name)?;
    let is_ours = present == Present::OwnLink || name == SELF;
    let is_kept = before == Before::Kept && bin.is_kept(name);
    Ok(match (present, is_kept) {
        (Present::Nothing, false) => Undoing::Done,
        (Present::Nothing, true) => Undoing::Restored,
        (_, true) if is_ours => Undoing::Restored,
        (_, true) => Undoing::Left,
        // What was kept may have been lost; without the program the link is of no use either way.
        (Present::OwnLink, false) => Undoing::Removed,
        (_, false) if is_ours && before == Before::Nothing => Undoing::Removed,
        (_, false) if before == Before::Kept => Undoing::Done,
        (_, false) => Undoing::Theirs,
    })
}
