//! What can go wrong on the runtime's side.

use std::io;
use std::path::PathBuf;

use crate::delegate;
use crate::protocol;
use crate::protocol::error::CniError;
use crate::protocol::names::NameError;
use crate::protocol::request::Verb;

/// A configuration that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// The folder, or a file of it, cannot be read.
    #[error("{}: cannot {doing}: {source}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The file is no JSON.
    #[error("{}: is not valid JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's words, with line and column.
        source: serde_json::Error,
    },
    /// A key is missing or has a value that cannot be.
    #[error("{}: `{key}` {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key's path, such as `plugins[1].type`.
        key: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A list without plugins, neither in it nor in the folder named as the network.
    #[error(
        "{}: there are no plugins; list them in `plugins`, or put their files into {}",
        path.display(), folder.display()
    )]
    NoPlugins {
        /// The file.
        path: PathBuf,
        /// Where plugin files would be.
        folder: PathBuf,
    },
    /// No list of that name.
    #[error(
        "no network is called {name:?} in {}{}{}", directory.display(), known_in_words(known), broken_in_words(broken)
    )]
    NoNetwork {
        /// The folder.
        directory: PathBuf,
        /// The name.
        name: String,
        /// The names that are there.
        known: Vec<String>,
        /// What could not be loaded, which may have been it.
        broken: Vec<String>,
    },
}

impl ConfError {
    /// The file or folder that it is about.
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Io { path, .. }
            | Self::Json { path, .. }
            | Self::Key { path, .. }
            | Self::NoPlugins { path, .. } => path,
            Self::NoNetwork { directory, .. } => directory,
        }
    }
}

fn known_in_words(known: &[String]) -> String {
    if known.is_empty() {
        "; there are no networks in it (NETCONFPATH names another folder)".to_owned()
    } else {
        format!("; it has {}", known.join(", "))
    }
}

fn broken_in_words(broken: &[String]) -> String {
    if broken.is_empty() {
        String::new()
    } else {
        format!("; these could not be loaded: {}", broken.join("; "))
    }
}

/// A failure of a verb over a list.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list's version is not one that is spoken.
    #[error(transparent)]
    Version(protocol::error::Error),
    /// The network's name, container ID or interface name breaks its grammar.
    #[error("{what}: {problem}")]
    Name {
        /// Which of them.
        what: &'static str,
        /// Value and rule.
        problem: NameError,
    },
    /// A plugin failed and said why.
    #[error("{verb} of plugin {place}, {plugin}: {error}")]
    Plugin {
        /// The verb.
        verb: Verb,
        /// Its place in the list, from 1.
        place: usize,
        /// Its type.
        plugin: String,
        /// Its own error.
        error: CniError,
    },
    /// A plugin could not be run, or gave no answer.
    #[error("{verb} of plugin {place}, {plugin}: {source}")]
    Running {
        /// The verb.
        verb: Verb,
        /// Its place in the list, from 1.
        place: usize,
        /// Its type.
        plugin: String,
        /// Why.
        source: Box<delegate::Error>,
    },
    /// A plugin's result is none.
    #[error("the result of plugin {place}, {plugin}, cannot be used: {source}")]
    Result {
        /// Its place in the list, from 1.
        place: usize,
        /// Its type.
        plugin: String,
        /// What is wrong with it.
        source: protocol::error::Error,
    },
    /// An ADD failed, and something of what was made could not be removed again.
    #[error("{error}\nand not everything that was made could be removed again: {}", left.join("; "))]
    NotUndone {
        /// The failure of ADD.
        error: Box<Error>,
        /// The failures of DEL.
        left: Vec<String>,
    },
    /// Several failures of one GC or DEL.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<Error>),
    /// A cached result cannot be read or written.
    #[error("{}: cannot {doing}: {source}", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The kernel's or the parser's words.
        source: io::Error,
    },
}
