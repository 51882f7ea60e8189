//! What is wrong with configuration files, before a pod needs them.
//!
//! What a plugin would refuse is asked of the plugin itself; the rest are things that no single
//! plugin can see: keys that nobody reads, files that nobody looks at, networks that get in each
//! other's way or in the node's.

mod entries;
mod files;
mod keys;
mod networks;
mod node;
mod text;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use files::{Error, Network, Plugin};
pub use node::{Address, Node, Route};
pub use text::Document;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// An attachment fails, or does harm.
    Error,
    /// It works, but not as whoever wrote it will think.
    Warning,
}

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as an index into [`Report::documents`].
    pub document: usize,
    /// The bytes.
    pub span: Span,
}

/// A span that can be put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Its kind, a word that stays the same.
    pub rule: &'static str,
    /// Where; `None` when it is about a file as a whole.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// The same in few words, to stand at the place itself.
    pub label: String,
    /// Another place that it has to do with, and how.
    pub also: Option<(Place, String)>,
    /// What to do.
    pub advice: Option<String>,
}

impl Finding {
    fn new(
        severity: Severity,
        rule: &'static str,
        place: Place,
        message: impl Into<String>,
    ) -> Self {
        let message = message.into();
        Self { severity, rule, place, message, label: String::new(), also: None, advice: None }
    }

    fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    fn also(mut self, place: Place, label: impl Into<String>) -> Self {
        self.also = Some((place, label.into()));
        self
    }
}

/// What the files are to be seen against.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Where runtimes look for plugins; `None` to leave that alone.
    pub programs: Option<Vec<PathBuf>>,
    /// The node's own networks; `None` to leave those alone.
    pub node: Option<Node>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// The files in the order in which a runtime takes them.
    pub documents: Vec<Document>,
    /// The networks, in the same order.
    pub networks: Vec<Network>,
    /// What is wrong, by file and place.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many there are of a kind.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Where the path of a key is in a document.
    fn place(&self, document: usize, path: &str) -> Place {
        let span = self.documents.get(document).map(|document| document.find(path).0);
        Place { document, span: span.unwrap_or_default().into() }
    }
}

/// Checks files, and the files of folders.
///
/// # Errors
/// A path that cannot be read.
pub fn check(paths: &[PathBuf], surroundings: &Surroundings) -> Result<Report, Error> {
    let mut report = files::read(paths)?;
    files::check(&mut report);
    entries::check(&mut report, surroundings);
    networks::check(&mut report);
    if let Some(node) = &surroundings.node {
        node::check(&mut report, node);
    }
    report.findings.sort_by(|one, other| {
        (&one.place, one.severity, &one.message).cmp(&(
            &other.place,
            other.severity,
            &other.message,
        ))
    });
    report.findings.dedup();
    Ok(report)
}

/// The file's name without its folder, for messages.
fn short(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
