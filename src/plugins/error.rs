//! What a call can fail with, and the CNI error each becomes.

use crate::delegate;
use crate::dhcp::asking;
use crate::engine;
use crate::ipam::{self, host_local};
use crate::kernel;
use crate::protocol;
use crate::protocol::error::{CniError, Code};

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request itself is wrong.
    #[error(transparent)]
    Protocol(#[from] protocol::error::Error),
    /// A configuration key has a wrong value.
    #[error("{field}: {problem}")]
    Config {
        /// The key's path, such as `vlanTrunk[0].minID`.
        field: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// An environment variable has a wrong value.
    #[error("{variable}: {problem}")]
    Environment {
        /// The variable.
        variable: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The interface or the attachment is there already.
    #[error("{0}")]
    AlreadyAttached(String),
    /// CHECK cannot find in prevResult what it must compare with.
    #[error("prevResult: {0}")]
    Foreign(String),
    /// The address source failed.
    #[error(transparent)]
    Ipam(#[from] ipam::Error),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// A foreign plugin of a chain failed.
    #[error(transparent)]
    Delegate(#[from] delegate::Error),
    /// An entry of `plugins` failed.
    #[error("plugins[{place}]: {error}")]
    InEntry {
        /// Its place in the list.
        place: usize,
        /// What is wrong with it.
        error: Box<Error>,
    },
    /// ADD failed, and what it had made could not be removed either.
    #[error("{error}; and undoing it failed: {}", left.join("; "))]
    NotUndone {
        /// Why ADD failed.
        error: Box<Error>,
        /// What could not be removed.
        left: Vec<String>,
    },
    /// A plan was asked for before the facts were read; a defect of causeway.
    #[error("causeway itself failed: {0} was to plan without facts")]
    Unprepared(&'static str),
    /// The answer could not be written to stdout.
    #[error("the answer could not be written to stdout; what ADD made was removed again")]
    Undelivered(#[source] std::io::Error),
    /// STATUS: the node cannot serve ADD.
    #[error("{0}")]
    NotAvailable(String),
}

impl From<kernel::Error> for Error {
    fn from(error: kernel::Error) -> Self {
        Self::Engine(error.into())
    }
}

impl Error {
    /// A wrong configuration key.
    pub fn config(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Config { field: field.into(), problem: problem.into() }
    }

    /// The error of an entry of `plugins`.
    pub fn in_entry(self, place: usize) -> Self {
        Self::InEntry { place, error: Box::new(self) }
    }

    /// Where in the configuration something is wrong, as a key's path, and what; `None` if the error
    /// is about something else.
    pub fn place(&self) -> Option<(String, String)> {
        match self {
            Self::Config { field, problem } => Some((field.clone(), problem.clone())),
            Self::Protocol(error) => error.place(),
            Self::InEntry { place, error } => {
                let (path, problem) = error.place()?;
                let dot = if path.is_empty() { "" } else { "." };
                Some((format!("plugins[{place}]{dot}{path}"), problem))
            }
            Self::Ipam(error) => error.place(),
            _ => None,
        }
    }

    /// The error as the runtime sees it.
    pub fn to_cni(&self) -> CniError {
        match self {
            Self::Protocol(error) => error.to_cni(),
            Self::Config { .. } => CniError::new(
                Code::InvalidConfig,
                format!("invalid network configuration: {self}"),
                "",
            ),
            Self::Environment { .. } => {
                CniError::new(Code::InvalidEnvironment, format!("invalid environment: {self}"), "")
            }
            Self::AlreadyAttached(text) => CniError::new(Code::AlreadyAttached, text, ""),
            Self::Foreign(_) => CniError::new(
                Code::InvalidConfig,
                self.to_string(),
                "CHECK needs the result that ADD gave for this very attachment",
            ),
            Self::Ipam(error) => of_ipam(error),
            Self::Engine(error) => of_engine(error),
            Self::Delegate(error) => of_delegate("plugin", error),
            Self::InEntry { place, error } => {
                let error = error.to_cni();
                CniError { msg: format!("plugins[{place}]: {}", error.msg), ..error }
            }
            Self::NotUndone { .. } => CniError::new(
                Code::RemovalIncomplete,
                self.to_string(),
                "the record is kept: the next DEL or GC finishes the job",
            ),
            Self::Unprepared(_) => CniError::new(Code::Internal, self.to_string(), ""),
            Self::Undelivered(source) => {
                CniError::new(Code::Io, self.to_string(), source.to_string())
            }
            Self::NotAvailable(text) => CniError::new(Code::NotAvailable, text, ""),
        }
    }
}

fn of_ipam(error: &ipam::Error) -> CniError {
    match error {
        ipam::Error::HostLocal(inner) => {
            CniError::new(host_local_code(inner), inner.to_string(), causes(inner))
        }
        ipam::Error::Dhcp(inner) => CniError::new(dhcp_code(inner), inner.to_string(), ""),
        ipam::Error::Static(inner) => {
            CniError::new(Code::InvalidConfig, inner.to_string(), causes(inner))
        }
        ipam::Error::Delegate(inner) => of_delegate("IPAM plugin", inner),
        other => CniError::new(Code::Delegate, other.to_string(), causes(other)),
    }
}

/// A foreign plugin's own error keeps its code.
fn of_delegate(what: &str, error: &delegate::Error) -> CniError {
    match error {
        delegate::Error::Failed { plugin, error } => {
            CniError { msg: format!("{what} {plugin}: {}", error.msg), ..error.clone() }
        }
        other => CniError::new(Code::Delegate, other.to_string(), causes(other)),
    }
}

fn dhcp_code(error: &asking::Error) -> Code {
    match error {
        asking::Error::Wrong(_) => Code::InvalidConfig,
        asking::Error::NoDaemon { .. } => Code::TryAgainLater,
        asking::Error::Connect { .. } | asking::Error::Asking { .. } => Code::Io,
        asking::Error::Refused(_) => Code::Delegate,
        asking::Error::Other { .. } => Code::CheckFailed,
    }
}

fn host_local_code(error: &host_local::Error) -> Code {
    use host_local::Error as E;
    match error {
        E::Exhausted { .. } => Code::AddressesExhausted,
        E::Taken { .. } | E::Outside { .. } | E::TwoOfOneSet { .. } => Code::AddressUnavailable,
        E::AlreadyLeased { .. } => Code::AlreadyAttached,
        E::Io { .. } | E::NotADirectory { .. } | E::ResolvConf { .. } => Code::Io,
        _ => Code::InvalidConfig,
    }
}

fn of_engine(error: &engine::Error) -> CniError {
    let (code, hint) = match error {
        engine::Error::Kernel(inner) => of_kernel(inner),
        engine::Error::Legacy(_) => (Code::Kernel, ""),
        engine::Error::Delegate(_) => (Code::Delegate, ""),
        engine::Error::Conflict(_) => (Code::InvalidConfig, ""),
        engine::Error::PortTaken { .. } => (Code::PortTaken, ""),
        engine::Error::Drift(_) => (Code::CheckFailed, ""),
        engine::Error::State { .. } => (Code::Io, ""),
        engine::Error::Lease(_) => (Code::Io, ""),
        engine::Error::Incomplete(_) => {
            (Code::RemovalIncomplete, "the record is kept: the next DEL or GC tries again")
        }
    };
    CniError::new(code, error.to_string(), hint)
}

fn of_kernel(error: &kernel::Error) -> (Code, &'static str) {
    use nix::errno::Errno;
    match error {
        kernel::Error::Missing { .. } => (
            Code::MissingFeature,
            "use a kernel with that feature, load its module, or take the key out of the configuration",
        ),
        kernel::Error::Nft(kernel::nft::Error::Unsupported { .. }) => (
            Code::MissingFeature,
            "use a kernel with nf_tables, load its module, or take ipMasq and macspoofchk out of the configuration",
        ),
        kernel::Error::Nft(kernel::nft::Error::Taken { .. }) => (Code::PortTaken, ""),
        kernel::Error::NoProgram { .. } => (Code::MissingFeature, ""),
        kernel::Error::Refused { errno: Errno::EPERM | Errno::EACCES, .. } => (
            Code::Kernel,
            "run as root, or with CAP_NET_ADMIN and CAP_SYS_ADMIN in the user namespace that owns both network namespaces",
        ),
        _ => (Code::Kernel, ""),
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = Vec::new();
    let mut next = error.source();
    while let Some(error) = next {
        text.push(error.to_string());
        next = error.source();
    }
    text.join(": ")
}
