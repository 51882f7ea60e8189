//! A change and its commit: one transaction, all or nothing.
//!
//! The usual change adds or removes a few elements, and the tables are there. So a transaction
//! carries only those, and the constant base just when it is missing.
//!
//! A commit looks before it writes: whether the base is there, whether the elements to remove
//! are there and whose they are. That costs a few microseconds, while a transaction that
//! fails costs milliseconds, since the kernel waits for an RCU grace period before it forgets one
//! (`__nf_tables_abort`). What changes between looking and writing is settled by further attempts:
//! the kernel names each message that it refused, a base that is missing is sent, an element in the
//! way (left by a former holder of the address) is replaced, one that is gone is left out.

use nix::errno::Errno;

use super::error::Error;
use super::set::{self, Element, Key, SetName};
use super::settle::{Progress, Purpose, Refusal, settle};
use super::socket::{Received, Socket};
use super::table::{self, Base, ChainName};
use crate::kernel::answer::{Answer, Said, split};

/// How often a transaction is sent at most. Each refusal settles at least one message, and an
/// interruption by another's change is over when the kernel answers.
const ATTEMPTS: usize = 32;

/// What one transaction adds and removes. Purposes put their parts into the same change, so that a
/// verb costs one transaction.
#[derive(Default)]
pub struct Change {
    pub(super) bases: Vec<(SetName, Box<dyn Fn() -> Base + Send>)>,
    pub(super) additions: Vec<Addition>,
    pub(super) removals: Vec<Removal>,
    /// Bases are sent although their witnesses are there.
    renewed: bool,
}

/// An element to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addition {
    pub(super) element: Element,
    /// What it stands for, in words, if one of the same key stays that is another's.
    pub(super) claims: Option<String>,
}

/// Something to take away. Nothing here fails because it is already gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Removal {
    /// An element; with a comment only when the element has the same.
    Element { set: SetName, key: Key, comment: Option<String> },
    /// One rule.
    Rule { chain: ChainName, handle: u64 },
    /// All rules of a chain.
    Rules { chain: ChainName },
    /// A chain, empty and not jumped to.
    Chain { chain: ChainName },
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change")
            .field("bases", &self.bases.iter().map(|(witness, _)| witness).collect::<Vec<_>>())
            .field("additions", &self.additions)
            .field("removals", &self.removals)
            .finish()
    }
}

impl Change {
    /// A change of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.additions.is_empty() && self.removals.is_empty()
    }

    /// What additions rely on: tables, sets and chains. `witness` is one of the base's sets: when
    /// the kernel has it, it has the base, since a base is made in one transaction. Otherwise `base`
    /// is called. A witness given twice counts once.
    pub fn needs(&mut self, witness: SetName, base: impl Fn() -> Base + Send + 'static) {
        if !self.bases.iter().any(|(known, _)| *known == witness) {
            self.bases.push((witness, Box::new(base)));
        }
    }

    /// Puts back what somebody may have taken away: the bases are made anew, also where their witnesses
    /// are there, since rules or chains may be gone from them; and no element of another's is replaced
    /// ([`Error::Taken`]), since it is there rightly. Costs more, and changes nothing that is as it
    /// should be.
    pub fn renew(&mut self) {
        self.renewed = true;
    }

    /// Adds an element. One of the same key that is already there is replaced.
    pub fn add(&mut self, element: Element) {
        self.additions.push(Addition { element, claims: None });
    }

    /// Adds an element, unless one of the same key and with another comment is there: then nothing
    /// of the change is done ([`Error::Taken`]).
    /// `what` says in words what it stands for.
    pub fn claim(&mut self, element: Element, what: String) {
        self.additions.push(Addition { element, claims: Some(what) });
    }

    /// Removes an element, whoever it belongs to.
    pub fn remove(&mut self, set: SetName, key: Key) {
        self.removals.push(Removal::Element { set, key, comment: None });
    }

    /// Removes an element only if its comment is `comment`.
    ///
    /// [`Socket::commit`] looks at the element first, since the kernel removes by key alone. Between
    /// looking and removing, another could take the element over; callers keep the address leased
    /// until the removal is done, so nobody does.
    pub fn remove_of(&mut self, set: SetName, key: Key, comment: impl Into<String>) {
        self.removals.push(Removal::Element { set, key, comment: Some(comment.into()) });
    }

    /// Removes one rule by the handle that [`Socket::rules`] told.
    pub fn remove_rule(&mut self, chain: ChainName, handle: u64) {
        self.removals.push(Removal::Rule { chain, handle });
    }

    /// Removes all rules of a chain.
    pub fn flush_chain(&mut self, chain: ChainName) {
        self.removals.push(Removal::Rules { chain });
    }

    /// Removes a chain that is empty, or emptied by this change, and that no rule jumps to any
    /// more.
    pub fn remove_chain(&mut self, chain: ChainName) {
        self.removals.push(Removal::Chain { chain });
    }
}

impl Socket {
    /// Carries `change` out, all of it or nothing.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the kernel lacks what a base needs, [`Error::Refused`] when it
    /// refuses for another reason, [`Error::Unsettled`] when others kept interfering. A change that
    /// only removes does not fail because something is already gone, nf_tables included.
    pub fn commit(&mut self, change: &Change) -> Result<(), Error> {
        let mut progress = Progress {
            removals: self.still_there(change)?,
            bases: self.missing_bases(change)?,
            replacing: vec![false; change.additions.len()],
        };
        for _ in 0..ATTEMPTS {
            if change.additions.is_empty() && !progress.removals.contains(&true) {
                return Ok(());
            }
            // What repair puts back is nothing new, and nobody takes it back.
            if !change.renewed && !progress.bases.is_empty() {
                self.note(&progress.bases)?;
            }
            let (first, purposes) = self.write(change, &progress);
            self.has_removed |= progress.removals.contains(&true);
            self.send()?;
            let Some(refusals) = self.refusals(first, &purposes)? else {
                self.drain()?;
                self.enlarge();
                continue;
            };
            if refusals.is_empty() {
                return Ok(());
            }
            settle(change, &mut progress, refusals)?;
            self.respect(change, &progress)?;
        }
        Err(Error::Unsettled { doing: "commit a change".to_owned() })
    }

    /// Makes sure that what an exclusive addition would replace is its own owner's.
    fn respect(&mut self, change: &Change, progress: &Progress) -> Result<(), Error> {
        for (Addition { element, claims }, _) in
            change.additions.iter().zip(&progress.replacing).filter(|(_, replaced)| **replaced)
        {
            let what = match claims {
                Some(what) => what.clone(),
                None if change.renewed => format!("an element of {}", element.set),
                None => continue,
            };
            let found = self.element(&element.set, &element.key)?;
            if let Some(found) = found.filter(|found| found.comment != element.comment) {
                return Err(Error::Taken { what, owner: found.comment });
            }
        }
        Ok(())
    }

    /// Which removals are worth sending: elements are looked at first.
    fn still_there(&mut self, change: &Change) -> Result<Vec<bool>, Error> {
        let keys: Vec<_> = change
            .removals
            .iter()
            .filter_map(|removal| match removal {
                Removal::Element { set, key, .. } => Some((set, key)),
                _ => None,
            })
            .collect();
        let found = match self.elements(&keys) {
            Err(Error::Unsupported { .. }) => vec![None; keys.len()],
            found => found?,
        };
        let mut found = found.into_iter();
        let wanted = change.removals.iter().map(|removal| match removal {
            Removal::Element { comment, .. } => found.next().flatten().is_some_and(|found| {
                comment.as_ref().is_none_or(|comment| found.comment.unwrap_or_default() == *comment)
            }),
            _ => true,
        });
        Ok(wanted.collect())
    }

    /// The bases without which additions would fail.
    fn missing_bases(&mut self, change: &Change) -> Result<Vec<Base>, Error> {
        if change.renewed {
            return Ok(change.bases.iter().map(|(_, base)| base()).collect());
        }
        let witnesses: Vec<_> = change.bases.iter().map(|(witness, _)| witness).collect();
        let have = self.have_sets(&witnesses)?;
        let missing = change.bases.iter().zip(have).filter(|(_, have)| !have);
        Ok(missing.map(|((_, base), _)| base()).collect())
    }

    /// Writes the transaction; gives the sequence number of its first message and what each message
    /// is for.
    fn write(&mut self, change: &Change, progress: &Progress) -> (u32, Vec<Purpose>) {
        let messages = &mut self.messages;
        messages.clear();
        let mut purposes = Vec::with_capacity(4);
        let first = messages.begin();
        purposes.push(Purpose::Frame);
        for (place, (removal, wanted)) in change.removals.iter().zip(&progress.removals).enumerate()
        {
            if !wanted {
                continue;
            }
            match removal {
                Removal::Element { set, key, .. } => set::write_delete(messages, set, key),
                Removal::Rule { chain, handle } => {
                    table::write_delete_rule(messages, chain, *handle)
                }
                Removal::Rules { chain } => {
                    table::write_flush(messages, chain.family, &chain.table, &chain.chain)
                }
                Removal::Chain { chain } => table::write_delete_chain(messages, chain),
            };
            purposes.push(Purpose::Removal(place));
        }
        let mut set_id = 1u32;
        for (place, base) in progress.bases.iter().enumerate() {
            base.write(messages, set_id, |_, part| purposes.push(Purpose::Base(place, part)));
            set_id = set_id.saturating_add(u32::try_from(base.sets.len()).unwrap_or(u32::MAX));
        }
        for (place, (Addition { element, .. }, replace)) in
            change.additions.iter().zip(&progress.replacing).enumerate()
        {
            if *replace {
                set::write_delete(messages, &element.set, &element.key);
                purposes.push(Purpose::Replaced(place));
            }
            element.write_add(messages);
            purposes.push(Purpose::Addition(place));
        }
        messages.acknowledge_last();
        messages.end();
        (first, purposes)
    }

    /// Reads what the kernel says to a transaction: what it refused, nothing when all is done.
    /// `None` when answers were lost.
    pub(super) fn refusals(
        &mut self,
        first: u32,
        purposes: &[Purpose],
    ) -> Result<Option<Vec<Refusal>>, Error> {
        let last = u32::try_from(purposes.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let mut refusals = Vec::new();
        loop {
            let mut data = match self.receive()? {
                Received::Answers(data) => data,
                Received::Overflow => return Ok(None),
                Received::Nothing if refusals.is_empty() => {
                    return Err(Error::Garbled { doing: "commit a change".to_owned() });
                }
                Received::Nothing => return Ok(Some(refusals)),
            };
            while let Some((Answer { sequence, said, .. }, rest)) = split(data) {
                data = rest;
                let place = sequence.wrapping_sub(first);
                let purpose = usize::try_from(place).ok().and_then(|place| purposes.get(place));
                let Some(purpose) = purpose.copied() else {
                    continue;
                };
                if let Said::Refused(code, said) = said {
                    let errno = Errno::from_raw(code);
                    refusals.push(Refusal { purpose, errno, said: said.map(str::to_owned) });
                }
                // The kernel answers in the messages' order, a failed commit (first) aside.
                if place == last {
                    return Ok(Some(refusals));
                }
            }
        }
    }
}
