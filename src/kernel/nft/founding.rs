//! What a socket's changes have founded: tables, sets and chains that were not there before, which an ADD
//! that failed takes away again.
//!
//! What stood before is noted only when a base is about to be sent, which is once in a table's life. It
//! is taken away only as it was made: as soon as a set has an element, or anything else has been put
//! beside it, somebody counts on it and it stays. That nothing changes between looking and removing the
//! kernel sees to: a transaction may name the generation of rules that it was made from.

use nix::errno::Errno;

use super::Name;
use super::attribute;
use super::error::Error;
use super::message::Kind;
use super::set::SetName;
use super::settle::Purpose;
use super::socket::Socket;
use super::table::{self, Base, ChainName, Family};

/// How often it is looked again after somebody else's change.
const ATTEMPTS: usize = 8;

/// What there was of a table before its base was sent.
#[derive(Debug)]
pub(super) struct Before {
    family: Family,
    table: Name,
    /// Whether there was the table at all.
    existed: bool,
    /// Its sets and chains.
    names: Vec<String>,
    /// The sets and chains of the bases that were sent, and which of them are chains for others to fill.
    founded: Vec<(Name, bool)>,
}

impl Before {
    fn set(&self, name: &str) -> SetName {
        SetName { family: self.family, table: self.table.clone(), set: name.to_owned().into() }
    }

    fn chain(&self, name: &str) -> ChainName {
        ChainName { family: self.family, table: self.table.clone(), chain: name.to_owned().into() }
    }
}

impl Socket {
    /// Notes what there is of the tables that `bases` are about to be made in.
    ///
    /// # Errors
    /// As [`Self::set_elements`].
    pub(super) fn note(&mut self, bases: &[Base]) -> Result<(), Error> {
        for base in bases {
            let (family, table) = (base.table.family, &base.table.name);
            let known = |one: &Before| one.family == family && one.table == *table;
            if !self.before.iter().any(known) {
                let existed = self.tables(family)?.iter().any(|name| name == table);
                let names = if existed { self.names(family, table)? } else { Vec::new() };
                let (table, founded) = (table.clone(), Vec::new());
                self.before.push(Before { family, table, existed, names, founded });
            }
            let before = self.before.iter_mut().find(|one| known(one));
            let sets = base.sets.iter().map(|set| (set.name.clone(), false));
            let chains = base.chains.iter().map(|one| (one.name.clone(), one.is_for_others()));
            before
                .into_iter()
                .for_each(|one| one.founded.extend(sets.clone().chain(chains.clone())));
        }
        Ok(())
    }

    /// Takes away what the changes of this socket have founded, as far as nothing is in it.
    ///
    /// # Errors
    /// [`Error::Refused`] when the kernel refuses, and as [`Self::set_elements`].
    pub fn take_back_founded(&mut self) -> Result<(), Error> {
        for before in std::mem::take(&mut self.before) {
            for _ in 0..ATTEMPTS {
                if self.try_take_back(&before)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// One attempt; says whether nothing is left to be done.
    fn try_take_back(&mut self, before: &Before) -> Result<bool, Error> {
        let Before { family, table, existed, .. } = before;
        let (family, generation) = (*family, self.generation()?);
        let is_new = |name: &String| !before.names.contains(name);
        let sets: Vec<_> = self.sets(family, table)?.into_iter().filter(is_new).collect();
        let chains = self.chains(family, table)?.into_iter().map(|chain| chain.name);
        let chains: Vec<_> = chains.filter(is_new).collect();
        if sets.is_empty() && chains.is_empty() {
            return Ok(true);
        }
        for name in sets.iter().chain(&chains) {
            let Some((_, is_for_others)) = before.founded.iter().find(|(one, _)| one == name)
            else {
                return Ok(true);
            };
            if *is_for_others && !self.rules(&before.chain(name))?.is_empty() {
                return Ok(true);
            }
        }
        for name in &sets {
            if !self.set_elements(&before.set(name))?.is_empty() {
                return Ok(true);
            }
        }
        self.messages.clear();
        let first = self.messages.begin_from(generation);
        if *existed {
            for name in &chains {
                table::write_flush(&mut self.messages, family, table, name);
            }
            for name in &sets {
                self.messages.request(Kind::DelSet, 0, family, |writer| {
                    writer.string(attribute::SET_TABLE, table);
                    writer.string(attribute::SET_NAME, name);
                });
            }
            for name in &chains {
                table::write_delete_chain(&mut self.messages, &before.chain(name));
            }
        } else {
            self.messages.request(Kind::DelTable, 0, family, |writer| {
                writer.string(attribute::TABLE_NAME, table);
            });
        }
        self.messages.acknowledge_last();
        let last = self.messages.end();
        self.has_removed = true;
        self.send()?;
        let count = usize::try_from(last.wrapping_sub(first)).unwrap_or(usize::MAX);
        let Some(refusals) = self.refusals(first, &vec![Purpose::Frame; count])? else {
            self.drain()?;
            return Ok(false);
        };
        let is_outdated = |errno| matches!(errno, Errno::ERESTART | Errno::EAGAIN | Errno::EINTR);
        match refusals.into_iter().next() {
            None => Ok(true),
            Some(refusal) if is_outdated(refusal.errno) => {
                self.drain()?;
                Ok(false)
            }
            Some(refusal) => Err(Error::Refused {
                doing: format!("take table {family} {table} back"),
                errno: refusal.errno,
                said: refusal.said,
            }),
        }
    }

    /// The names of a table's sets and chains.
    fn names(&mut self, family: Family, table: &str) -> Result<Vec<String>, Error> {
        let mut names = self.sets(family, table)?;
        names.extend(self.chains(family, table)?.into_iter().map(|chain| chain.name));
        Ok(names)
    }
}
