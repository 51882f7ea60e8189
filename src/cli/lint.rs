//! `causeway lint`: configuration files, checked before a pod needs them.

use crate::exit_code::ExitCode;
use std::io;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use clap::Args;
use serde_json::{Value, json};

use super::output::{self, Format};
use crate::kernel;
use crate::libcni::{BIN_DIR, CONF_DIR};
use crate::lint::{self, Document, Finding, Node, Place, Report, Severity, Surroundings};

/// What to check.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  causeway lint                              the node's configurations, against the node
  causeway lint --offline deploy/*.conflist  files alone, for a check before they are installed
  causeway lint --output json | jq '.findings[].message'

Ends with 0 if there is nothing but warnings, with 1 if there is an error, with 2 if a path cannot be read.")]
pub struct Lint {
    /// Files, or folders of files [default: /etc/cni/net.d, or NETCONFPATH]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Look at the files alone: not for programs, nor at this node's networks
    #[arg(long)]
    offline: bool,
    /// Count warnings as errors
    #[arg(long)]
    deny_warnings: bool,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Why nothing was checked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path cannot be read.
    #[error(transparent)]
    Lint(#[from] lint::Error),
    /// The node's networks cannot be read.
    #[error("the node's networks: {0}; --offline leaves them alone")]
    Node(#[from] kernel::Error),
    /// Stdout.
    #[error("cannot write to stdout: {0}")]
    Stdout(#[from] io::Error),
}

/// The exit code for a path that cannot be read.
const UNREADABLE: u8 = 2;

impl Lint {
    /// Checks, and says what it found.
    ///
    /// # Errors
    /// [`Error`].
    pub fn run(self) -> Result<ExitCode, Error> {
        let paths = if self.paths.is_empty() { vec![default_path()] } else { self.paths };
        let surroundings = match self.offline {
            true => Surroundings::default(),
            false => Surroundings { programs: Some(programs()), node: Some(Node::read()?) },
        };
        let report = match lint::check(&paths, &surroundings) {
            Ok(report) => report,
            Err(error) => {
                output::tell(&error.to_string());
                return Ok(ExitCode::from(UNREADABLE));
            }
        };
        match self.output {
            Format::Json => output::print_json(&in_json(&report))?,
            Format::Text => output::print(&in_words(&report, true))?,
        }
        let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
        let failed = errors > 0 || self.deny_warnings && warnings > 0;
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn default_path() -> PathBuf {
    let given = std::env::var_os("NETCONFPATH").filter(|path| !path.is_empty());
    given.map_or(CONF_DIR.into(), PathBuf::from)
}

/// The folders in which runtimes look for plugins.
fn programs() -> Vec<PathBuf> {
    let given = std::env::var_os("CNI_PATH").filter(|path| !path.is_empty());
    given.map_or(vec![BIN_DIR.into()], |path| std::env::split_paths(&path).collect())
}

/// The report for people: every finding with the text it is about, then a summary.
pub fn in_words(report: &Report, coloured: bool) -> String {
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for finding in &report.findings {
        text.push_str(&renderer.render(&[drawn(report, finding)]));
        text.push_str("\n\n");
    }
    text.push_str(&summary(report));
    text
}

fn drawn<'a>(report: &'a Report, finding: &'a Finding) -> annotate_snippets::Group<'a> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = level
        .primary_title(finding.message.as_str())
        .id(finding.rule)
        .elements([] as [annotate_snippets::Element<'a>; 0]);
    let primary = AnnotationKind::Primary;
    let also = finding.also.as_ref();
    let same = also.filter(|(place, _)| place.document == finding.place.document);
    if let Some(document) = report.documents.get(finding.place.document) {
        let mut snippet = snippet(document)
            .annotation(primary.span(range(&finding.place)).label(finding.label.as_str()));
        if let Some((place, label)) = same {
            snippet = snippet
                .annotation(AnnotationKind::Context.span(range(place)).label(label.as_str()));
        }
        group = group.element(snippet);
    }
    if let Some((place, label)) = also.filter(|_| same.is_none())
        && let Some(document) = report.documents.get(place.document)
    {
        let annotation = AnnotationKind::Context.span(range(place)).label(label.as_str());
        group = group.element(snippet(document).annotation(annotation));
    }
    if let Some(advice) = &finding.advice {
        group = group.element(Level::HELP.message(advice.as_str()));
    }
    group
}

fn snippet(document: &Document) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
    Snippet::source(document.text.as_str())
        .line_start(1)
        .path(document.path.to_string_lossy().into_owned())
        .fold(true)
}

fn range(place: &Place) -> std::ops::Range<usize> {
    place.span.start..place.span.end
}

fn summary(report: &Report) -> String {
    let plural = |count: usize, one: &str, many: &str| {
        format!("{count} {}", if count == 1 { one } else { many })
    };
    let mut text = format!(
        "{}: {}, {}\n",
        plural(report.documents.len(), "file", "files"),
        plural(report.count(Severity::Error), "error", "errors"),
        plural(report.count(Severity::Warning), "warning", "warnings"),
    );
    if report.networks.iter().filter(|network| !network.continues).count() > 1
        && let Some(first) = report.networks.first()
        && let Some(document) = report.documents.get(first.document)
    {
        text.push_str(&format!(
            "containerd and CRI-O take the first file, {} (network {}), for every pod.\n",
            document.path.display(),
            first.name
        ));
    }
    text
}

/// The report for programs.
pub fn in_json(report: &Report) -> Value {
    let files: Vec<_> = report
        .documents
        .iter()
        .enumerate()
        .map(|(number, document)| {
            let network = report.networks.iter().find(|network| network.document == number);
            json!({
                "path": shown(&document.path),
                "network": network.map(|network| &network.name),
                "plugins": network.map(|network| {
                    network.plugins.iter().map(|plugin| &plugin.kind).collect::<Vec<_>>()
                }),
            })
        })
        .collect();
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            let mut value = json!({
                "severity": finding.severity,
                "rule": finding.rule,
                "message": finding.message,
            });
            if let Some(map) = value.as_object_mut() {
                map.extend(at(report, &finding.place));
                if let Some(advice) = &finding.advice {
                    map.insert("advice".into(), advice.clone().into());
                }
                if let Some((place, label)) = &finding.also {
                    let mut related = at(report, place);
                    related.insert("message".into(), label.clone().into());
                    map.insert("related".into(), Value::Object(related));
                }
            }
            value
        })
        .collect();
    json!({
        "files": files,
        "findings": findings,
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
    })
}

fn at(report: &Report, place: &Place) -> serde_json::Map<String, Value> {
    let Some(document) = report.documents.get(place.document) else {
        return serde_json::Map::new();
    };
    let (line, column) = document.line_and_column(place.span.start);
    let (end_line, end_column) = document.line_and_column(place.span.end);
    let value = json!({
        "file": shown(&document.path),
        "line": line,
        "column": column,
        "endLine": end_line,
        "endColumn": end_column,
    });
    value.as_object().cloned().unwrap_or_default()
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
