//! Foreign plugins, which hand out addresses or have a place in a chain: finding and running them
//! as the CNI spec 1.1.0, section 4, says.
//!
//! A delegated plugin gets the environment of this process with CNI_COMMAND set to the verb, the
//! whole network configuration on stdin, and this process's stderr. It runs in the calling thread's
//! namespaces, which must be the runtime's.

mod running;

use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::protocol::error::CniError;
use crate::protocol::names::{self, NameError};
use crate::protocol::request::Verb;

pub use running::{limit, run, run_with};

/// The most that a plugin may print on stdout, in bytes.
pub const OUTPUT_MAX: usize = 1 << 20;

/// A delegated plugin that was not found, or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The type is not the name of a file.
    #[error(transparent)]
    Type(#[from] NameError),
    /// No directory of CNI_PATH has the plugin.
    #[error("plugin {plugin} was not found on CNI_PATH: {}", looked(tried))]
    NotFound {
        /// The plugin's type.
        plugin: String,
        /// Every path that was looked at, in order, and what was wrong with it.
        tried: Vec<(PathBuf, &'static str)>,
    },
    /// The plugin could not be started.
    #[error("plugin {plugin} cannot be started: {source}")]
    Start {
        /// The plugin's path.
        plugin: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The plugin's stdin or stdout failed.
    #[error("plugin {plugin}: cannot {doing}: {source}")]
    Pipe {
        /// The plugin's type.
        plugin: String,
        /// What was being done.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The plugin failed and said why.
    #[error("plugin {plugin}: {error}")]
    Failed {
        /// The plugin's type.
        plugin: String,
        /// The plugin's own error, with its own code.
        error: CniError,
    },
    /// The plugin failed without a word on stdout.
    #[error(
        "plugin {plugin} ended with exit code {code} and printed no error; its stderr may say why"
    )]
    Silent {
        /// The plugin's type.
        plugin: String,
        /// The exit code.
        code: i32,
    },
    /// The plugin was killed.
    #[error("plugin {plugin} was killed by signal {signal}")]
    Killed {
        /// The plugin's type.
        plugin: String,
        /// The signal's name.
        signal: String,
    },
    /// The plugin printed something that is no answer.
    #[error("plugin {plugin} {ending}, but printed no {expected} on stdout ({problem}): {excerpt}")]
    Garbled {
        /// The plugin's type.
        plugin: String,
        /// "succeeded" or "ended with exit code 1".
        ending: String,
        /// "result" or "error".
        expected: &'static str,
        /// What is wrong with it.
        problem: String,
        /// How the output begins, quoted.
        excerpt: String,
    },
    /// The plugin printed more than [`OUTPUT_MAX`], and was killed for it.
    #[error("plugin {plugin} printed more than {OUTPUT_MAX} bytes on stdout and was killed")]
    TooLong {
        /// The plugin's type.
        plugin: String,
    },
    /// The plugin took longer than it may, and was killed for it.
    #[error(
        "plugin {plugin} did not end within {seconds} s and was killed; see why it hangs, or \
         set another limit with `delegateTimeout`"
    )]
    TooSlow {
        /// The plugin's type.
        plugin: String,
        /// The limit, in seconds.
        seconds: u64,
    },
    /// An ADD failed, and so did the DEL after it: the plugin may still hold something.
    #[error("{error}; the DEL after it failed as well, so a lease may be left: {del}")]
    NotUndone {
        /// The failure of ADD.
        error: Box<Error>,
        /// The failure of DEL.
        del: Box<Error>,
    },
}

/// The plugin of this type: the first executable regular file of that name in `path`, which is
/// CNI_PATH, split.
///
/// # Errors
/// [`Error::Type`] and [`Error::NotFound`].
pub fn find(plugin_type: &str, path: &[PathBuf]) -> Result<PathBuf, Error> {
    names::plugin_type(plugin_type)?;
    let mut tried = Vec::with_capacity(path.len());
    // An empty directory name would make the search one of PATH.
    for directory in path.iter().filter(|directory| !directory.as_os_str().is_empty()) {
        let program = directory.join(plugin_type);
        match problem_of(&program) {
            None => return Ok(program),
            Some(problem) => tried.push((program, problem)),
        }
    }
    Err(Error::NotFound { plugin: plugin_type.to_owned(), tried })
}

fn problem_of(program: &Path) -> Option<&'static str> {
    match program.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some("is not there"),
        Err(_) => Some("cannot be looked at"),
        Ok(metadata) if !metadata.is_file() => Some("is not a regular file"),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => Some("is not executable"),
        Ok(_) => None,
    }
}

fn looked(tried: &[(PathBuf, &'static str)]) -> String {
    if tried.is_empty() {
        return "it is empty; set it to the directories of the plugins, separated by ':'"
            .to_owned();
    }
    let tried: Vec<_> =
        tried.iter().map(|(path, problem)| format!("{} {problem}", path.display())).collect();
    tried.join(", ")
}

/// Has the plugin hand out addresses, and gives its result, an object. If it fails once started,
/// its DEL is run before this returns (spec section 4, "Delegated plugin execution procedure"); a
/// failure of that is told in the error's details.
///
/// # Errors
/// As [`run`]; [`Error::Garbled`] for a result that is not an object; [`Error::NotUndone`].
pub fn add(plugin: &Path, stdin: &[u8]) -> Result<Value, Error> {
    let result = run(Verb::Add, plugin, stdin).and_then(|output| parse_result(plugin, &output));
    result.map_err(|error| match error {
        Error::Start { .. } => error,
        failed => match del(plugin, stdin) {
            Ok(()) => failed,
            Err(also) => not_undone(failed, also),
        },
    })
}

/// Reads what a plugin printed at ADD.
///
/// # Errors
/// [`Error::Garbled`] when it is no object.
pub fn parse_result(plugin: &Path, output: &[u8]) -> Result<Value, Error> {
    let problem = match serde_json::from_slice(output) {
        Ok(result @ Value::Object(_)) => return Ok(result),
        Ok(_) => "not an object".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(running::garbled(plugin, "succeeded".to_owned(), "result", problem, output))
}

/// The plugin's own error stays what it is, and so keeps its code.
fn not_undone(error: Error, del: Error) -> Error {
    match error {
        Error::Failed { plugin, error: mut told } => {
            if !told.details.is_empty() {
                told.details.push_str("; ");
            }
            let _ = write!(
                told.details,
                "the DEL after it failed as well, so a lease may be left: {del}"
            );
            Error::Failed { plugin, error: told }
        }
        other => Error::NotUndone { error: Box::new(other), del: Box::new(del) },
    }
}

/// Has the plugin take back what it handed out to the attachment.
///
/// # Errors
/// As [`run`].
pub fn del(plugin: &Path, stdin: &[u8]) -> Result<(), Error> {
    run(Verb::Del, plugin, stdin).map(drop)
}

/// Has the plugin say whether the attachment still has what it was given.
///
/// # Errors
/// As [`run`].
pub fn check(plugin: &Path, stdin: &[u8]) -> Result<(), Error> {
    run(Verb::Check, plugin, stdin).map(drop)
}

/// Has the plugin take back what belongs to no valid attachment.
///
/// # Errors
/// As [`run`].
pub fn gc(plugin: &Path, stdin: &[u8]) -> Result<(), Error> {
    run(Verb::Gc, plugin, stdin).map(drop)
}

/// Has the plugin say whether it can serve ADD.
///
/// # Errors
/// As [`run`].
pub fn status(plugin: &Path, stdin: &[u8]) -> Result<(), Error> {
    run(Verb::Status, plugin, stdin).map(drop)
}
