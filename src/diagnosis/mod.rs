//! What is wrong with this node's network, why it matters, and what mends it.
//!
//! The node is read once, into [`Facts`]; what is wrong follows from them alone ([`diagnose`]), so a
//! file of facts is enough to test it. Only [`mending`] changes anything.

mod checks;
pub mod facts;
pub mod mending;
mod reading;

use std::path::PathBuf;

use serde::Serialize;

pub use facts::Facts;
pub use reading::{Places, read};

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something does not work.
    Error,
    /// Something may not work, or is left over.
    Warning,
    /// Worth knowing.
    Note,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which check found it: a short name that stays.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// Why that matters.
    pub why: String,
    /// Everything that was found, where `what` tells only the first of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// The command that mends it, for a shell; `None` when no command can, and `why` says what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// What `--fix` does about it; `None` when that is not safe to do unasked.
    #[serde(skip)]
    pub fix: Option<Fix>,
}

impl Finding {
    fn new(
        check: &'static str,
        severity: Severity,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        let (what, why, details) = (what.into(), why.into(), Vec::new());
        Self { check, severity, what, why, details, mend: None, fix: None }
    }

    fn with_details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    fn mended_by(mut self, command: impl Into<String>) -> Self {
        self.mend = Some(command.into());
        self
    }

    fn fixed_by(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }
}

/// Something that is safe to do: it takes nothing from anybody who is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fix {
    /// Set a sysctl; the name has slashes.
    Sysctl {
        /// The name.
        name: String,
        /// The value.
        value: String,
    },
    /// Put back what recorded attachments lack.
    Repair,
    /// Remove what nobody owns any more.
    Remove(Leftover),
}

/// Something that nobody owns any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// A link of the host, by its name and its alias.
    Link {
        /// The name.
        name: String,
        /// The alias, by which it is known as ours.
        alias: String,
    },
    /// The elements of an owner in causeway's tables.
    Elements {
        /// The owner's text.
        owner: String,
    },
    /// A lease.
    Lease {
        /// The folder of the network's leases.
        folder: PathBuf,
        /// The lease as it was found.
        lease: facts::Lease,
    },
    /// All that the records of an attachment tell of, and the records.
    Attachment(crate::engine::Owner),
    /// A name of a namespace that is gone.
    Namespace(PathBuf),
}

/// Everything that is wrong, the worst first.
pub fn diagnose(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    checks::node::check(facts, &mut findings);
    checks::filters::check(facts, &mut findings);
    checks::attachments::check(facts, &mut findings);
    checks::leftovers::check(facts, &mut findings);
    checks::configuration::check(facts, &mut findings);
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// The command that lets the packets of a pod's subnet pass by rules that drop them, and how that is done
/// for good.
pub fn exception(
    culprit: &crate::kernel::verdict::Culprit,
    subnet: ipnetwork::IpNetwork,
) -> (&'static str, String) {
    // The rule is for the subnet, not for one host of it.
    let whole = ipnetwork::IpNetwork::new(subnet.network(), subnet.prefix()).unwrap_or(subnet);
    checks::filters::exception(culprit, whole)
}

#[cfg(test)]
mod tests;
