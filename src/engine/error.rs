//! What the engine reports.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::delegate;
use crate::kernel;

/// A failure of carrying out, verifying or removing a plan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// The state on the node contradicts the plan, and it is not ours to change.
    #[error("{0}")]
    Conflict(String),
    /// A port of the host is another attachment's.
    #[error("host port {port}/{protocol}{} is already taken by {owner}; detach that one first (DEL), or choose another port", at.map(|at| format!(" of {at}")).unwrap_or_default())]
    PortTaken {
        /// The port.
        port: u16,
        /// The protocol's name.
        protocol: &'static str,
        /// The address of the host, if it is for one.
        at: Option<IpAddr>,
        /// Whose it is.
        owner: String,
    },
    /// CHECK found the attachment different from the plan.
    #[error("the attachment is not as it should be: {}", .0.join("; "))]
    Drift(Vec<String>),
    /// The journal or a lock beside it could not be read or written.
    #[error("{}: cannot {doing}: {source}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The file operation's error.
        source: io::Error,
    },
    /// The lease could not be given back or looked at.
    #[error("{0}")]
    Lease(String),
    /// Rules of the reference plugins could not be looked at or removed.
    #[error(transparent)]
    Legacy(#[from] kernel::legacy::Error),
    /// A foreign plugin of a chain failed to check or to remove.
    #[error(transparent)]
    Delegate(#[from] delegate::Error),
    /// Some of it could not be removed; the record stays, so that DEL or GC can be tried again.
    #[error("not everything could be removed: {}", .0.join("; "))]
    Incomplete(Vec<String>),
}
