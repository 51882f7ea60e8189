//! Questions: one element by its key, all elements of a set, the rules of a chain, names.

use nix::errno::Errno;

use super::attribute;
use super::error::Error;
use super::found::{FoundChain, FoundElement, FoundRule, FoundSpan};
use super::message::{Kind, Messages, attributes, flags};
use super::set::{self, Key, SetName};
use super::socket::{Received, Socket};
use super::table::{Base, ChainName, Family};
use crate::kernel::answer::{Answer, Said, split};
use crate::kernel::attr::{Writer, find_str, find_u32};
use crate::kernel::difference::Difference;

/// How often a list is asked for again that changed while it was read.
const ATTEMPTS: usize = 16;
/// Questions that go out in one datagram; their answers must fit the default receive buffer.
const AT_ONCE: usize = 16;

impl Socket {
    /// The element of `key`; `None` also when the set or the table is not there.
    ///
    /// # Errors
    /// As [`Self::elements`].
    pub fn element(&mut self, set: &SetName, key: &Key) -> Result<Option<FoundElement>, Error> {
        Ok(self.elements(&[(set, key)])?.pop().flatten())
    }

    /// The elements of several keys, in their order. The kernel looks each up by its hash, so the
    /// size of the set does not matter.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Socket`], [`Error::Unsupported`].
    pub fn elements(
        &mut self,
        keys: &[(&SetName, &Key)],
    ) -> Result<Vec<Option<FoundElement>>, Error> {
        self.ask(
            keys,
            |messages, (set, key)| set::write_get(messages, set, key),
            |(set, _)| format!("look up an element of {set}"),
            |attributes| FoundElement::read_list(attributes).next(),
        )
    }

    /// Whether each of `sets` is there.
    ///
    /// # Errors
    /// As [`Self::elements`].
    pub fn have_sets(&mut self, sets: &[&SetName]) -> Result<Vec<bool>, Error> {
        let found = self.ask(
            sets,
            |messages, set| {
                messages.request(Kind::GetSet, 0, set.family, |writer| {
                    writer.string(attribute::SET_TABLE, &set.table);
                    writer.string(attribute::SET_NAME, &set.set);
                })
            },
            |set| format!("look up {set}"),
            |_| Some(()),
        )?;
        Ok(found.iter().map(Option::is_some).collect())
    }

    /// All elements of a set; none when the set or the table is not there.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Socket`], [`Error::Unsettled`], [`Error::Unsupported`].
    pub fn set_elements(&mut self, set: &SetName) -> Result<Vec<FoundElement>, Error> {
        self.list_set(set, |attributes, found| found.extend(FoundElement::read_list(attributes)))
    }

    /// All elements of a set or map, of spans too, in no order; none when it is not there.
    ///
    /// # Errors
    /// As [`Self::set_elements`].
    pub fn set_spans(&mut self, set: &SetName) -> Result<Vec<FoundSpan>, Error> {
        self.list_set(set, |attributes, found| found.extend(FoundSpan::read_list(attributes)))
    }

    fn list_set<T>(
        &mut self,
        set: &SetName,
        read: impl Fn(&[u8], &mut Vec<T>),
    ) -> Result<Vec<T>, Error> {
        self.dump(
            Kind::GetElement,
            set.family,
            &|writer| {
                writer.string(attribute::LIST_TABLE, &set.table);
                writer.string(attribute::LIST_SET, &set.set);
            },
            || format!("list {set}"),
            read,
        )
    }

    /// The names of a table's sets and maps; none when the table is not there.
    ///
    /// # Errors
    /// As [`Self::set_elements`].
    pub fn sets(&mut self, family: Family, table: &str) -> Result<Vec<String>, Error> {
        self.dump(
            Kind::GetSet,
            family,
            &|writer| writer.string(attribute::SET_TABLE, table),
            || format!("list the sets of table {family} {table}"),
            |attributes, found| {
                if find_str(attributes, attribute::SET_TABLE) == Some(table) {
                    found.extend(find_str(attributes, attribute::SET_NAME).map(str::to_owned));
                }
            },
        )
    }

    /// The names of a family's tables.
    ///
    /// # Errors
    /// As [`Self::set_elements`].
    pub fn tables(&mut self, family: Family) -> Result<Vec<String>, Error> {
        self.dump(
            Kind::GetTable,
            family,
            &|_| {},
            || format!("list the tables of family {family}"),
            |attributes, found| {
                found.extend(find_str(attributes, attribute::TABLE_NAME).map(str::to_owned))
            },
        )
    }

    /// The chains of a table; none when the table is not there.
    ///
    /// # Errors
    /// As [`Self::set_elements`].
    pub fn chains(&mut self, family: Family, table: &str) -> Result<Vec<FoundChain>, Error> {
        self.dump(
            Kind::GetChain,
            family,
            &|_| {},
            || format!("list the chains of table {family} {table}"),
            |attributes, found| {
                if find_str(attributes, attribute::CHAIN_TABLE) == Some(table) {
                    found.push(FoundChain::read(attributes));
                }
            },
        )
    }

    /// One chain; `None` also when its table is not there.
    ///
    /// # Errors
    /// As [`Self::elements`].
    pub fn chain(&mut self, chain: &ChainName) -> Result<Option<FoundChain>, Error> {
        Ok(self.chains_named(&[chain])?.pop().flatten())
    }

    /// Several chains by their names, in their order.
    ///
    /// # Errors
    /// As [`Self::elements`].
    pub fn chains_named(
        &mut self,
        chains: &[&ChainName],
    ) -> Result<Vec<Option<FoundChain>>, Error> {
        self.ask(
            chains,
            |messages, chain| {
                messages.request(Kind::GetChain, 0, chain.family, |writer| {
                    writer.string(attribute::CHAIN_TABLE, &chain.table);
                    writer.string(attribute::CHAIN_NAME, &chain.chain);
                })
            },
            |chain| format!("look up {chain}"),
            |attributes| Some(FoundChain::read(attributes)),
        )
    }

    /// The rules of a chain in their order; none when the chain or its table is not there.
    ///
    /// # Errors
    /// As [`Self::set_elements`].
    pub fn rules(&mut self, chain: &ChainName) -> Result<Vec<FoundRule>, Error> {
        self.dump(
            Kind::GetRule,
            chain.family,
            &|writer| {
                writer.string(attribute::RULE_TABLE, &chain.table);
                writer.string(attribute::RULE_CHAIN, &chain.chain);
            },
            || format!("list {chain}"),
            |attributes, found| {
                // Kernels before 4.6 do not filter.
                if find_str(attributes, attribute::RULE_TABLE) == Some(&chain.table)
                    && find_str(attributes, attribute::RULE_CHAIN) == Some(&chain.chain)
                {
                    found.push(FoundRule::read(attributes));
                }
            },
        )
    }

    /// What of `base` is missing or different, in words, for CHECK; empty when all is as it should
    /// be. Costs two requests per chain, however many elements the sets have.
    ///
    /// # Errors
    /// As [`Self::set_elements`].
    pub fn missing_of(&mut self, base: &Base) -> Result<Vec<Difference>, Error> {
        let mut missing = Vec::new();
        for chain in &base.chains {
            let name = ChainName {
                family: base.table.family,
                table: base.table.name.clone(),
                chain: chain.name.clone(),
            };
            match self.chain(&name)? {
                None => missing.push(format!("{name} is missing").into()),
                Some(found) if !found.hooked_as(chain) => {
                    missing.push(format!("{name} is not hooked where it should be").into());
                }
                Some(_) if chain.is_for_others() => {}
                Some(_) => {
                    let found = self.rules(&name)?;
                    let same = found.len() == chain.rules.len()
                        && found.iter().zip(&chain.rules).all(|(found, rule)| found.does(rule));
                    if !same {
                        missing
                            .push(format!("{name} does not have the rules it should have").into());
                    }
                }
            }
        }
        Ok(missing)
    }

    /// Asks for several objects at once, each by its name; `None` for those that are not there.
    fn ask<Q, T>(
        &mut self,
        questions: &[Q],
        write: impl Fn(&mut Messages, &Q) -> u32,
        doing: impl Fn(&Q) -> String,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<Option<T>>, Error> {
        let mut found = Vec::with_capacity(questions.len());
        for questions in questions.chunks(AT_ONCE) {
            self.messages.clear();
            let mut sequence = 0;
            for question in questions {
                sequence = write(&mut self.messages, question);
            }
            let mut sequence =
                sequence.wrapping_sub(u32::try_from(questions.len()).unwrap_or(u32::MAX));
            self.send()?;
            for question in questions {
                sequence = sequence.wrapping_add(1);
                match self.one_answer(sequence, || doing(question), &read) {
                    Err(error) if error.is(Errno::ENOENT) => found.push(None),
                    Err(error) => return Err(self.explain(error)),
                    Ok(object) => found.push(object),
                }
            }
        }
        Ok(found)
    }

    /// Lists objects. `read` puts what it finds in one message's attributes into the list.
    fn dump<T>(
        &mut self,
        kind: Kind,
        family: Family,
        filter: &dyn Fn(&mut Writer),
        doing: impl Fn() -> String,
        read: impl Fn(&[u8], &mut Vec<T>),
    ) -> Result<Vec<T>, Error> {
        for _ in 0..ATTEMPTS {
            self.messages.clear();
            let sequence = self.messages.request(kind, flags::DUMP, family, filter);
            self.send()?;
            let mut found = Vec::new();
            match self.read_dump(sequence, &doing, |attributes| read(attributes, &mut found)) {
                Ok(false) => return Ok(found),
                Ok(true) => {}
                Err(error) if error.is(Errno::ENOENT) => return Ok(Vec::new()),
                Err(error) if error.is(Errno::EINTR) || error.is(Errno::EAGAIN) => {}
                Err(error) => return Err(self.explain(error)),
            }
        }
        Err(Error::Unsettled { doing: doing() })
    }

    /// Reads a dump to its end; gives whether it was torn by a change meanwhile.
    fn read_dump(
        &mut self,
        sequence: u32,
        doing: impl Fn() -> String,
        mut read: impl FnMut(&[u8]),
    ) -> Result<bool, Error> {
        let mut torn = false;
        loop {
            let Received::Answers(mut data) = self.receive()? else {
                return Err(Error::Garbled { doing: doing() });
            };
            while let Some((answer, rest)) = split(data) {
                data = rest;
                if answer.sequence != sequence {
                    continue;
                }
                torn |= answer.torn;
                match answer.said {
                    Said::Done => return Ok(torn),
                    Said::Object(object) => read(attributes(&object)),
                    Said::Refused(code, said) => return Err(refused(doing(), code, said)),
                }
            }
        }
    }

    /// Reads the one answer to a request that is not a dump.
    fn one_answer<T>(
        &mut self,
        sequence: u32,
        doing: impl Fn() -> String,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        loop {
            let Received::Answers(mut data) = self.receive()? else {
                return Err(Error::Garbled { doing: doing() });
            };
            while let Some((Answer { sequence: of, said, .. }, rest)) = split(data) {
                data = rest;
                if of != sequence {
                    continue;
                }
                return match said {
                    Said::Done => Ok(None),
                    Said::Object(object) => Ok(read(attributes(&object))),
                    Said::Refused(code, said) => Err(refused(doing(), code, said)),
                };
            }
        }
    }

    /// The number of the rules' generation, which changes with every change of anybody's.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Socket`], [`Error::Garbled`].
    pub fn generation(&mut self) -> Result<u32, Error> {
        let doing = || "ask for the generation".to_owned();
        self.messages.clear();
        let sequence = self.messages.request(Kind::GetGeneration, 0, Family::Unspecified, |_| {});
        self.send()?;
        let answer = |attributes: &[u8]| find_u32(attributes, attribute::GENERATION_ID);
        let generation = self.one_answer(sequence, doing, answer)?;
        generation.ok_or_else(|| Error::Garbled { doing: doing() })
    }

    /// A kernel without nf_tables answers questions about it with `EINVAL`; tell that apart from a
    /// question that is wrong by asking one that cannot be.
    fn explain(&mut self, error: Error) -> Error {
        if !error.is(Errno::EINVAL) {
            return error;
        }
        match self.drain().and_then(|()| self.generation()) {
            Err(probe) if probe.is(Errno::EINVAL) => no_nf_tables(),
            _ => error,
        }
    }
}

/// The error for a kernel that knows nothing of nf_tables.
pub(super) fn no_nf_tables() -> Error {
    Error::Unsupported { feature: "nf_tables (CONFIG_NF_TABLES, module nf_tables)".to_owned() }
}

fn refused(doing: String, code: i32, said: Option<&str>) -> Error {
    Error::Refused { doing, errno: Errno::from_raw(code), said: said.map(str::to_owned) }
}
