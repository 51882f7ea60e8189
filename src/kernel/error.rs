//! What Linux refuses, in words: what was being done, the errno's name and the kernel's own text.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use super::{dbus, netns, nft};

/// A refusal of the kernel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A netlink request was refused.
    #[error("the kernel refused to {doing}: {}{}", errno.desc(), in_words(said))]
    Refused {
        /// What was being done, as an infinitive: "add address 10.0.0.2/24 to eth0".
        doing: String,
        /// The kernel's answer.
        errno: Errno,
        /// The extended acknowledgement's text, if any (`NLMSGERR_ATTR_MSG`).
        said: Option<String>,
    },
    /// The netlink socket itself failed.
    #[error("netlink: cannot {doing}: {}", errno.desc())]
    Socket {
        /// What was being done.
        doing: &'static str,
        /// The socket call's answer.
        errno: Errno,
    },
    /// An answer that makes no sense.
    #[error("netlink: an answer could not be understood: {0}")]
    Garbled(String),
    /// A file under /proc/sys could not be read or written.
    #[error("sysctl {name}: cannot {doing}: {source}")]
    Sysctl {
        /// The name with slashes, such as `net/ipv4/ip_forward`.
        name: String,
        /// "read" or "write 1".
        doing: String,
        /// The file operation's error.
        source: io::Error,
    },
    /// A file operation failed.
    #[error("{}: cannot {doing}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The file operation's error.
        source: io::Error,
    },
    /// The kernel was built or booted without something.
    #[error("this kernel lacks {feature}, which {needed_for} needs")]
    Missing {
        /// The feature's name, with the option or module that brings it.
        feature: String,
        /// The configuration key or function that needs it.
        needed_for: String,
    },
    /// A program that the configuration asks for is not there.
    #[error(
        "{needed_for} needs the program {program}, which is not in PATH; install Debian's package {package} or the like"
    )]
    NoProgram {
        /// The program's name.
        program: String,
        /// The package that has it.
        package: &'static str,
        /// The configuration key that asks for it.
        needed_for: String,
    },
    /// A program that the configuration asks for failed.
    #[error("{program} failed: {problem}; run it by hand to see why")]
    Program {
        /// The program's name.
        program: String,
        /// What it said, or why it could not be run.
        problem: String,
    },
    /// firewalld is asked for and not there.
    #[error(
        "firewalld is not running, or not on the system bus ({}); start it, or choose another backend",
        super::firewalld::NAME
    )]
    NoFirewalld,
    /// firewalld refused, or could not be spoken to.
    #[error("firewalld: cannot {doing}: {source}")]
    Firewalld {
        /// What was being done: "put 10.88.0.5 into zone trusted".
        doing: String,
        /// The answer.
        source: dbus::Error,
    },
    /// Something that the kernel does in its own time did not happen within the limit.
    #[error("{0}")]
    TimedOut(String),
    /// A namespace could not be opened or entered.
    #[error(transparent)]
    Namespace(#[from] netns::Error),
    /// nf_tables refused.
    #[error(transparent)]
    Nft(#[from] nft::Error),
}

impl Error {
    /// Whether the kernel's answer was `errno`.
    pub fn is(&self, wanted: Errno) -> bool {
        matches!(self, Self::Refused { errno, .. } if *errno == wanted)
    }
}

fn in_words(said: &Option<String>) -> String {
    said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default()
}
