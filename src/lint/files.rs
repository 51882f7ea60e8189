//! The files themselves: which there are, and whether a runtime can load each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::text::Document;
use super::{Finding, Place, Report, Severity, short};
use crate::libcni::ConfError;
use crate::libcni::conf_dir::load_file;
use crate::plugins::{SELF, chain};
use crate::protocol::names;
use crate::protocol::version::Version;

/// The endings of names that runtimes look at.
const ENDINGS: [&str; 3] = ["conf", "conflist", "json"];

/// A path that cannot be checked.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot read it: {source}", path.display())]
pub struct Error {
    /// The file or folder.
    pub path: PathBuf,
    /// The kernel's answer.
    pub source: io::Error,
}

/// A network, as far as its file tells.
#[derive(Debug, Clone)]
pub struct Network {
    /// Its file, as an index into [`Report::documents`].
    pub document: usize,
    /// Its name; empty if it has none.
    pub name: String,
    /// The version that plugins are called with.
    pub version: Version,
    /// The file holds no network but one more plugin of that before it, from the folder named as that
    /// network (`loadOnlyInlinedPlugins`).
    pub continues: bool,
    /// Its plugins, in order; those of a fused entry in its place.
    pub plugins: Vec<Plugin>,
}

/// A plugin's entry.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// Its path in the document, such as `plugins[0].plugins[1]`; empty for a file of its own.
    pub path: String,
    /// Its type; empty if it has none.
    pub kind: String,
    /// The path of the fused entry that it is part of.
    pub fused_in: Option<String>,
    /// Whether it is such an entry itself.
    pub is_fused: bool,
    /// The entry.
    pub value: Value,
}

impl Plugin {
    /// The path of one of its keys.
    pub fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// Reads the files, those of folders by name.
pub(super) fn read(paths: &[PathBuf]) -> Result<Report, Error> {
    let mut report = Report::default();
    for path in paths {
        let failed = |source| Error { path: path.clone(), source };
        let files = if path.is_dir() { files(path).map_err(failed)? } else { vec![path.clone()] };
        for file in files {
            let bytes = fs::read(&file).map_err(|source| Error { path: file.clone(), source })?;
            let (document, failure) = Document::read(&file, &bytes);
            let number = report.documents.len();
            report.documents.push(document);
            if let Some((span, problem)) = failure {
                let place = Place { document: number, span: span.into() };
                let problem = problem.split(" at line ").next().unwrap_or_default().to_owned();
                report.findings.push(
                    Finding::new(Severity::Error, "json", place, format!("not JSON: {problem}"))
                        .label(problem)
                        .advice("no runtime can read the file, and some then read none at all"),
                );
            }
        }
    }
    Ok(report)
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Checks what a runtime reads of each file, and finds the networks.
pub(super) fn check(report: &mut Report) {
    let mut networks = Vec::new();
    let mut findings = Vec::new();
    let mut more = Vec::new();
    for (number, document) in report.documents.iter().enumerate() {
        if document.tree.is_none() {
            continue;
        }
        let place = |path: &str| Place { document: number, span: document.find(path).0.into() };
        let loaded = load_file(&document.path);
        if let Err(error) = &loaded {
            let (key, problem) = match error {
                ConfError::Key { key, reason, .. } => (key.as_str(), format!("`{key}` {reason}")),
                ConfError::NoPlugins { .. } => ("plugins", without_path(error, &document.path)),
                other => ("", without_path(other, &document.path)),
            };
            let label = problem.strip_prefix(&format!("`{key}` ")).unwrap_or(&problem).to_owned();
            findings.push(
                Finding::new(Severity::Error, "load", place(key), problem)
                    .label(label)
                    .advice("no runtime can load the file, and some then load none at all"),
            );
        }
        let network = network(number, document);
        named(&network, loaded.is_ok(), &place, &mut findings);
        versions(document, loaded.is_ok(), &place, &mut findings);
        for plugin in loaded.iter().flat_map(|loaded| &loaded.plugins) {
            more.extend(plugin.path.clone().map(|path| (path, network.clone())));
        }
        networks.push(network);
    }
    for (path, list) in more {
        // The loader has read the same file.
        let Ok(bytes) = fs::read(&path) else { continue };
        let (document, _) = Document::read(&path, &bytes);
        let mut plugins = Vec::new();
        entry("", None, &document.value, &mut plugins);
        let document_number = report.documents.len();
        report.documents.push(document);
        networks.push(Network { document: document_number, continues: true, plugins, ..list });
    }
    twice(&networks, report, &mut findings);
    report.networks = networks;
    report.findings.extend(findings);
}

fn without_path(error: &ConfError, path: &Path) -> String {
    let text = error.to_string();
    text.strip_prefix(&format!("{}: ", path.display())).map(str::to_owned).unwrap_or(text)
}

fn network(document: usize, file: &Document) -> Network {
    let text = |key: &str| file.value(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut plugins = Vec::new();
    if file.value(chain::PLUGINS).is_some_and(Value::is_array) && file.value("type").is_none() {
        list("", None, &file.value, &mut plugins);
    } else {
        entry("", None, &file.value, &mut plugins);
    }
    let versions = file.value("cniVersions").and_then(Value::as_array).into_iter().flatten();
    let single = text("cniVersion");
    let versions = versions.filter_map(Value::as_str).chain([single.as_str()]);
    let newest = versions.filter_map(|version| version.parse::<Version>().ok()).max();
    let version = match newest {
        Some(version) => version,
        None if single.is_empty() => Version::V0_1_0,
        None => Version::CURRENT,
    };
    Network { document, name: text("name"), version, continues: false, plugins }
}

/// The entries of a list, which stands at `path`.
fn list(path: &str, fused_in: Option<&str>, value: &Value, plugins: &mut Vec<Plugin>) {
    let entries = value.get(chain::PLUGINS).and_then(Value::as_array).into_iter().flatten();
    for (place, value) in entries.enumerate() {
        let dot = if path.is_empty() { "" } else { "." };
        entry(&format!("{path}{dot}{}[{place}]", chain::PLUGINS), fused_in, value, plugins);
    }
}

fn entry(path: &str, fused_in: Option<&str>, value: &Value, plugins: &mut Vec<Plugin>) {
    let kind = crate::protocol::keys::member(value, "type");
    let kind = kind.and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_fused = kind == SELF && value.get(chain::PLUGINS).is_some_and(Value::is_array);
    plugins.push(Plugin {
        path: path.to_owned(),
        kind,
        fused_in: fused_in.map(str::to_owned),
        is_fused,
        value: value.clone(),
    });
    if is_fused && fused_in.is_none() {
        list(path, Some(path), value, plugins);
    }
}

fn named(
    network: &Network,
    loaded: bool,
    place: &dyn Fn(&str) -> Place,
    findings: &mut Vec<Finding>,
) {
    let problem = match names::network_name(&network.name) {
        Ok(()) => return,
        Err(_) if network.name.is_empty() => "the network has no name".to_owned(),
        Err(error) => error.to_string(),
    };
    // The loader has said so of a name that is missing.
    if loaded || !network.name.is_empty() {
        findings.push(
            Finding::new(Severity::Error, "name", place("name"), problem)
                .label("cannot be a network's name")
                .advice("the name becomes part of paths; plugins refuse such a one"),
        );
    }
}

fn versions(
    document: &Document,
    loaded: bool,
    place: &dyn Fn(&str) -> Place,
    findings: &mut Vec<Finding>,
) {
    let known: Vec<_> = Version::ALL.iter().map(ToString::to_string).collect();
    let list = document.value("cniVersions").and_then(Value::as_array);
    match document.value("cniVersion") {
        None if list.is_none() && loaded => findings.push(
            Finding::new(
                Severity::Warning,
                "version",
                place("cniVersion"),
                "`cniVersion` is missing",
            )
            .label("counts as 0.1.0, which knows no CHECK and one address of a family")
            .advice(format!("add \"cniVersion\": \"{}\"", Version::V1_0_0)),
        ),
        Some(Value::String(text)) if !text.is_empty() && !known.contains(text) => findings.push(
            Finding::new(
                Severity::Error,
                "version",
                place("cniVersion"),
                format!("cniVersion {text:?} is not spoken here"),
            )
            .label("is not spoken here")
            .advice(format!("use one of {}", known.join(", "))),
        ),
        _ => {}
    }
    for (number, version) in list.into_iter().flatten().enumerate() {
        if let Some(text) = version.as_str().filter(|text| !known.iter().any(|one| one == text)) {
            findings.push(
                Finding::new(
                    Severity::Warning,
                    "version",
                    place(&format!("cniVersions[{number}]")),
                    format!("cniVersions has {text:?}, which is not spoken here"),
                )
                .label("is passed over")
                .advice(format!("spoken are {}", known.join(", "))),
            );
        }
    }
}

/// Networks of one name.
fn twice(networks: &[Network], report: &Report, findings: &mut Vec<Finding>) {
    let file = |network: &Network| report.documents.get(network.document).map(|one| &one.path);
    // Runtimes look for a name among lists first.
    let rank = |network: &Network| {
        let is_list =
            file(network).is_some_and(|path| path.extension() == Some("conflist".as_ref()));
        (!is_list, network.document)
    };
    let networks: Vec<_> = networks.iter().filter(|network| !network.continues).collect();
    for network in networks.iter().filter(|network| !network.name.is_empty()) {
        let same = networks.iter().filter(|one| one.name == network.name);
        let Some(first) = same.min_by_key(|one| rank(one)) else { continue };
        if first.document == network.document {
            continue;
        }
        let other = file(first).map(|path| short(path)).unwrap_or_default();
        findings.push(
            Finding::new(
                Severity::Error,
                "name-twice",
                report.place(network.document, "name"),
                format!("the network {:?} is that of {other} already", network.name),
            )
            .label("is never found by this name")
            .also(report.place(first.document, "name"), "is taken for it")
            .advice("give it another name; both would keep leases and records in one place"),
        );
    }
}
