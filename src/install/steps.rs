//! What there is to do to the names in the folder of plugins.

use std::fs::File;

use super::bin_dir::{BinDir, Present};
use super::record::Record;
use super::{Error, before, joined};
use crate::plugins::{SELF, TYPES};

/// What a name is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// The program.
    Program,
    /// A link to it.
    Link,
}

/// One name that is not as it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// The name.
    pub(super) name: &'static str,
    /// What it is to be.
    pub(super) content: Content,
    /// Something is there.
    pub(super) replaces: bool,
    /// What is there is to be kept for the undoing.
    pub(super) keeps: bool,
}

/// What there is to do, the program first.
///
/// # Errors
/// [`Error::InTheWay`], and what the file system answers.
pub(super) fn wanted(bin: &BinDir, source: &File, record: &Record) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    let present = bin.present(SELF)?;
    if present == Present::Nothing || !bin.has_program(source)? {
        let replaces = present != Present::Nothing;
        // A program that an installation has put there is not what was there before.
        let keeps = replaces && !record.names.contains_key(SELF);
        steps.push(Step { name: SELF, content: Content::Program, replaces, keeps });
    }
    for name in TYPES.iter().map(|known| known.name) {
        let replaces = match bin.present(name)? {
            Present::OwnLink => continue,
            Present::Nothing => false,
            Present::Other => true,
        };
        // Somebody's program that has replaced the link is newer than what is kept, so it is kept.
        steps.push(Step { name, content: Content::Link, replaces, keeps: replaces });
    }
    Ok(steps)
}

impl Step {
    /// Writes into the record what was there before.
    pub(super) fn note(&self, record: &mut Record) {
        if self.keeps || !record.names.contains_key(self.name) {
            record.names.insert(self.name.to_owned(), before(self.keeps));
        }
    }

    /// What was done, or would be.
    pub(super) fn describe(&self, bin: &BinDir, dry_run: bool) -> String {
        let path = joined(&bin.path, self.name);
        let what = match self.content {
            Content::Program => "causeway ".to_owned() + env!("CARGO_PKG_VERSION"),
            Content::Link => format!("a link to {SELF}"),
        };
        let verb = match (dry_run, self.replaces) {
            (true, _) => "would be",
            (false, true) => "is now",
            (false, false) => "is new:",
        };
        let kept = match (self.keeps, self.replaces) {
            (true, _) => "; what was there is kept",
            (false, true) => "; it was another causeway",
            (false, false) => "",
        };
        format!("{path} {verb} {what}{kept}")
    }
}
