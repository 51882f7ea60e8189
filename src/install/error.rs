//! Why the program cannot be put in place or taken out.

use std::io;
use std::path::{Path, PathBuf};

use crate::kernel;
use crate::libcni::ConfError;

/// The failure; its text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder is not there.
    #[error(
        "there is no folder {path}; make it (`mkdir -p {path}`), or name another with {option}; nothing was changed",
        path = path.display()
    )]
    NoFolder {
        /// The folder.
        path: PathBuf,
        /// The option that names it.
        option: &'static str,
    },
    /// Programs in the folder cannot be executed.
    #[error(
        "{} is on a file system that is mounted noexec, so no runtime could execute a plugin there; \
         name another folder with --bin-dir, and give it to the runtime", .0.display()
    )]
    NoExec(PathBuf),
    /// Another installation is under way.
    #[error("another `causeway install` is at work in {}; wait for it and try again", .0.display())]
    Busy(PathBuf),
    /// A folder has the name of a plugin.
    #[error("{} is a folder and in the way; move it away and try again; nothing was changed", .0.display())]
    InTheWay(PathBuf),
    /// The record of what was there before cannot be understood.
    #[error(
        "{} says in no way that this version knows what was here before: {problem}; \
         nothing was changed", path.display()
    )]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file cannot be read or changed.
    #[error("cannot {doing} {}: {source}{}", path.display(), advice(source))]
    File {
        /// What was to be done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program itself cannot be read.
    #[error("cannot read the program itself, /proc/self/exe: {0}; is /proc mounted?")]
    Itself(#[source] io::Error),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Waiting(#[source] io::Error),
    /// The folder of configurations.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// The kernel does not tell which networks there are.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// No network is free for a first configuration.
    #[error(
        "no private IPv4 network is free for a first configuration: the node has addresses or routes in \
         all; write one yourself and use --no-conf; nothing was changed"
    )]
    NoSubnet,
}

impl Error {
    /// For `map_err`: what was to be done with `path`.
    pub(super) fn at<'a>(
        doing: &'static str,
        path: &'a Path,
    ) -> impl Fn(io::Error) -> Self + use<'a> {
        move |source| Self::File { doing, path: path.to_owned(), source }
    }
}

fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "; on such a node use a folder that can be written, with --bin-dir or --conf-dir, and give \
             it to the runtime"
        }
        io::ErrorKind::PermissionDenied => "; run it as root",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room and try again",
        _ => "",
    }
}
