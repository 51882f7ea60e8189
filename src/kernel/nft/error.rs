//! What nf_tables refuses, in words.

use nix::errno::Errno;

/// Why nf_tables did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The netlink socket itself failed.
    #[error("nf_tables: cannot {doing}: {}", errno.desc())]
    Socket {
        /// What was being done: "open a socket".
        doing: &'static str,
        /// The socket call's answer.
        errno: Errno,
    },
    /// The kernel refused a part of a transaction, and so the whole of it.
    #[error("nf_tables refused to {doing}: {}{}", errno.desc(), in_words(said))]
    Refused {
        /// What was being done, as an infinitive: "add a rule to chain inet nat postrouting".
        doing: String,
        /// The kernel's answer.
        errno: Errno,
        /// The extended acknowledgement's text, if any (`NLMSGERR_ATTR_MSG`).
        said: Option<String>,
    },
    /// What was to be added to a set is there and belongs to another.
    #[error("{what} is already taken by {}; detach that one first (DEL), or choose another", owner.as_deref().unwrap_or("an unknown owner"))]
    Taken {
        /// What was claimed, in words.
        what: String,
        /// The comment of what is there.
        owner: Option<String>,
    },
    /// The kernel was built or booted without something.
    #[error("this kernel lacks {feature}")]
    Unsupported {
        /// The feature, with the kernel version or option that brings it.
        feature: String,
    },
    /// Others kept changing the rules; the request was given up after several attempts.
    #[error("nf_tables: cannot {doing}: the rules kept changing meanwhile; try again")]
    Unsettled {
        /// What was being done.
        doing: String,
    },
    /// The kernel did not answer, or in a way that makes no sense.
    #[error("nf_tables: cannot {doing}: the kernel's answer could not be understood")]
    Garbled {
        /// What was being done.
        doing: String,
    },
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
