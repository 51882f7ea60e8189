//! Each plugin's entry: its keys, what the plugin itself says of them, and its place in the list.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::files::{Network, Plugin};
use super::keys::{self, Allowed};
use super::{Document, Finding, Place, Report, Severity, Surroundings};
use crate::delegate;
use crate::ipam;
use crate::plugins::{self, Role, SELF, TYPES};
use crate::protocol::args::Args;
use crate::protocol::config::{NetworkConfig, member};
use crate::protocol::names;
use crate::protocol::request::{Request, Verb};
use crate::protocol::version::Version;
use crate::schema::{Keys, Known};

/// What an attachment would be called, were there one.
const CONTAINER_ID: &str = "lint";
const IFNAME: &str = "eth0";

/// Longer labels, in bytes, would only repeat the message.
const LONGEST_LABEL: usize = 60;

/// Checks every entry.
pub(super) fn check(report: &mut Report, surroundings: &Surroundings) {
    let known = Known::read();
    let mut findings = Vec::new();
    for network in &report.networks {
        let Some(document) = report.documents.get(network.document) else { continue };
        let checking = Checking { known: &known, network, document, surroundings };
        checking.list_keys(&mut findings);
        for plugin in &network.plugins {
            checking.plugin(plugin, &mut findings);
        }
        checking.order(&mut findings);
    }
    report.findings.extend(findings);
}

struct Checking<'a> {
    known: &'a Known,
    network: &'a Network,
    document: &'a Document,
    surroundings: &'a Surroundings,
}

impl Checking<'_> {
    fn place(&self, path: &str) -> Place {
        Place { document: self.network.document, span: self.document.find(path).0.into() }
    }

    /// The keys of the list itself.
    fn list_keys(&self, findings: &mut Vec<Finding>) {
        let Some(tree) = &self.document.tree else { return };
        if self.network.plugins.first().is_none_or(|first| first.path.is_empty()) {
            return;
        }
        let mut keys = self.known.list().clone();
        keys.names.push("plugins".to_owned());
        let elsewhere = |key: &str| {
            let has = |keys: &Keys| keys.names.iter().any(|name| name == key);
            let own = |kind: &str| self.known.plugin(kind).is_some_and(|keys| has(&keys));
            let belongs = has(self.known.common()) || TYPES.iter().any(|known| own(known.name));
            belongs.then(|| format!("`{key}` belongs into an entry of `plugins`"))
        };
        let allowed = Allowed { keys: &keys, of: "a list", elsewhere: &elsewhere };
        // The loader has the last word on values.
        findings
            .extend(keys::check(self.network.document, tree, &self.document.value, &allowed).names);
    }

    fn plugin(&self, plugin: &Plugin, findings: &mut Vec<Finding>) {
        if plugin.kind.is_empty() || names::plugin_type(&plugin.kind).is_err() {
            // The loader says so of what is missing; the plugin's own reading of the rest.
            if !plugin.kind.is_empty() {
                let problem = format!("{:?} is no plugin: it must be a file's name", plugin.kind);
                let place = self.place(&plugin.key("type"));
                findings.push(Finding::new(Severity::Error, "type-name", place, problem));
            }
            return;
        }
        let own = plugin.kind == SELF || plugins::find(&plugin.kind).is_some();
        self.program(plugin, own, findings);
        if !own {
            return;
        }
        let looked = self.keys(plugin);
        findings.extend(looked.names);
        self.overruled(plugin, findings);
        self.capabilities(plugin, findings);
        // The entries of a fused one are read together with it.
        if plugin.fused_in.is_some() {
            return;
        }
        let mut suspects = looked.values;
        if plugin.is_fused {
            let inner = self.network.plugins.iter().filter(|one| one.fused_in.is_some());
            for one in inner {
                suspects.extend(self.keys(one).values);
            }
        }
        if let Err(error) = self.configure(plugin) {
            let refusal = self.refusal(plugin, &error);
            let Some(refusal) = refusal else { return };
            // Of a value of the wrong type the schema says more than the parser.
            if !suspects.iter().any(|one| one.place == refusal.place && one.rule == keys::TYPE) {
                suspects.retain(|suspect| suspect.place != refusal.place);
                findings.push(refusal);
            }
            findings.extend(suspects);
        }
    }

    /// The keys of an entry and of its address source.
    fn keys(&self, plugin: &Plugin) -> keys::Found {
        let Some(node) = self.document.node(&plugin.path) else { return keys::Found::default() };
        if node.members().is_empty() {
            return keys::Found::default();
        }
        let mut names = self.known.plugin(&plugin.kind).unwrap_or_default();
        let common = self.known.common();
        names.names.extend(common.names.iter().cloned());
        names.schemas.extend(common.schemas.clone());
        // What runtimes write into an entry, and libcni's keys of a file of its own.
        let more =
            ["name", "cniVersion", "prevResult", "runtimeConfig", "disableCheck", "disableGC"];
        names.names.extend(more.map(str::to_owned));
        let kind = &plugin.kind;
        let elsewhere = |key: &str| self.elsewhere(key);
        let allowed = Allowed { keys: &names, of: kind, elsewhere: &elsewhere };
        let mut found = keys::check(self.network.document, node, &plugin.value, &allowed);

        let (Some(section), Some(ipam)) = (node.member("ipam"), member(&plugin.value, "ipam"))
        else {
            return found;
        };
        let source = member(ipam, "type").and_then(Value::as_str).unwrap_or_default();
        if let Some(keys) = self.known.source(source) {
            let mut keys: Keys = keys.clone();
            keys.names.push("type".to_owned());
            let of = format!("ipam of {source}");
            let elsewhere = |key: &str| {
                let own = self
                    .known
                    .plugin(kind)
                    .is_some_and(|own| own.names.iter().any(|name| name == key));
                own.then(|| format!("`{key}` belongs outside of `ipam`"))
            };
            let allowed = Allowed { keys: &keys, of: &of, elsewhere: &elsewhere };
            let inner = keys::check(self.network.document, &section.value, ipam, &allowed);
            found.names.extend(inner.names);
            found.values.extend(inner.values);
        }
        found
    }

    /// Where a key belongs that the plugin does not have.
    fn elsewhere(&self, key: &str) -> Option<String> {
        let has = |keys: &Keys| keys.names.iter().any(|name| name == key);
        if ipam::SOURCES.iter().any(|source| self.known.source(source).is_some_and(has)) {
            return Some(format!("`{key}` belongs into `ipam`"));
        }
        let types: Vec<_> = TYPES
            .iter()
            .map(|known| known.name)
            .filter(|name| self.known.plugin(name).is_some_and(|keys| has(&keys)))
            .collect();
        (!types.is_empty()).then(|| format!("`{key}` is a key of {}", types.join(", ")))
    }

    /// Keys of an entry that the list's replace.
    fn overruled(&self, plugin: &Plugin, findings: &mut Vec<Finding>) {
        if plugin.path.is_empty() {
            return;
        }
        for key in ["name", "cniVersion"] {
            let Some(own) = member(&plugin.value, key) else { continue };
            if self.document.value(key) != Some(own) {
                findings.push(
                    Finding::new(
                        Severity::Warning,
                        "overruled",
                        self.place(&plugin.key(key)),
                        format!("`{key}` of an entry counts for nothing"),
                    )
                    .label("the list's counts")
                    .advice("remove it"),
                );
            }
        }
    }

    /// Plugins that do nothing unless the runtime is let tell them what.
    fn capabilities(&self, plugin: &Plugin, findings: &mut Vec<Finding>) {
        let (needed, does) = match plugin.kind.as_str() {
            "portmap" => ("portMappings", "no port is mapped"),
            "bandwidth" => ("bandwidth", "nothing is limited"),
            _ => return,
        };
        let rates = ["ingressRate", "egressRate"];
        if rates.iter().any(|rate| member(&plugin.value, rate).is_some()) {
            return;
        }
        let asked = |entry: &Value| {
            member(entry, "capabilities")
                .and_then(|asked| asked.get(needed))
                .and_then(Value::as_bool)
                .unwrap_or_default()
        };
        let outer = self
            .network
            .plugins
            .iter()
            .find(|one| plugin.fused_in.as_ref() == Some(&one.path) && one.fused_in.is_none());
        if asked(&plugin.value) && outer.is_none_or(|outer| asked(&outer.value)) {
            return;
        }
        let lacking = if asked(&plugin.value) { outer.unwrap_or(plugin) } else { plugin };
        findings.push(
            Finding::new(
                Severity::Warning,
                "capability",
                self.place(&lacking.path),
                format!("{} without the capability `{needed}` does nothing", plugin.kind),
            )
            .label(format!("without it {does}"))
            .advice(format!("add \"capabilities\": {{ \"{needed}\": true }}")),
        );
    }

    /// Whether there is a program for the type, and for the address source.
    fn program(&self, plugin: &Plugin, own: bool, findings: &mut Vec<Finding>) {
        // Those of a fused entry are no programs of their own, if they are this one's.
        let is_run = !own || plugin.fused_in.is_none();
        let near = || keys::nearest(&plugin.kind, TYPES.iter().map(|known| known.name));
        let Some(folders) = &self.surroundings.programs else {
            if let Some(meant) = near().filter(|_| !own) {
                findings.push(
                    Finding::new(
                        Severity::Warning,
                        "program",
                        self.place(&plugin.key("type")),
                        format!("{:?} is no plugin that is known here", plugin.kind),
                    )
                    .label("which program is that?")
                    .advice(format!("did you mean \"{meant}\"?")),
                );
            }
            return;
        };
        if is_run && let Some(lacking) = lacking(&plugin.kind, folders) {
            let advice = match near().filter(|_| !own) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None if own => format!(
                    "causeway has it: make a link to it, as in ln -s causeway {}/{}",
                    folders.first().map(|one| one.display().to_string()).unwrap_or_default(),
                    plugin.kind
                ),
                None => "install it, or correct the type".to_owned(),
            };
            findings.push(
                Finding::new(
                    Severity::Error,
                    "program",
                    self.place(&plugin.key("type")),
                    format!("the plugin {:?} {lacking}", plugin.kind),
                )
                .label("cannot be run")
                .advice(advice),
            );
        }
        // The address source of one of ours is looked for by the plugin itself; see `refusal`.
        let source = member(&plugin.value, "ipam").and_then(|ipam| member(ipam, "type"));
        let source = source.and_then(Value::as_str).filter(|name| !own && !name.is_empty());
        if let Some(name) = source
            && let Some(lacking) = lacking(name, folders)
        {
            findings.push(
                Finding::new(
                    Severity::Error,
                    "program",
                    self.place(&plugin.key("ipam.type")),
                    format!("the address source {name:?} {lacking}"),
                )
                .label("cannot be run"),
            );
        }
    }

    /// Has the plugin read the configuration that a runtime would make of the entry.
    fn configure(&self, plugin: &Plugin) -> Result<(), plugins::Error> {
        // Of a name that cannot be it has been said already.
        let name = Some(self.network.name.as_str());
        let name = name.filter(|name| names::network_name(name).is_ok()).unwrap_or(CONTAINER_ID);
        let path = self.surroundings.programs.clone().unwrap_or_default();
        let request = request(name, self.network.version, &plugin.value, path)?;
        plugins::call::configure(&plugin.kind, &request)
    }

    /// What a plugin's refusal says of the file; nothing if it is about the node, and that is to be
    /// left alone.
    fn refusal(&self, plugin: &Plugin, error: &plugins::Error) -> Option<Finding> {
        if self.surroundings.programs.is_none() && is_about_programs(error) {
            return None;
        }
        let (path, problem) = error.place().unwrap_or_else(|| (String::new(), error.to_string()));
        let (place, message) = if path.is_empty() {
            (self.place(&plugin.path), format!("{}: {problem}", plugin.kind))
        } else {
            (self.place(&plugin.key(&path)), format!("`{path}`: {problem}"))
        };
        let label = problem.split("; ").next().unwrap_or_default();
        let label = label.split(": ").next().unwrap_or_default();
        let label = if label.len() <= LONGEST_LABEL { label } else { "is refused" };
        Some(Finding::new(Severity::Error, "refused", place, message).label(label))
    }

    /// The order of the plugins, and what one list may have.
    fn order(&self, findings: &mut Vec<Finding>) {
        let mut first: Option<&Plugin> = None;
        // What is in the list itself comes before.
        let mut before = self.network.continues;
        for plugin in self.network.plugins.iter().filter(|plugin| !plugin.is_fused) {
            let role = match plugin.kind.as_str() {
                SELF => TYPES.first().map(|known| known.role),
                name => plugins::find(name).map(|known| known.role),
            };
            let place = || self.place(&plugin.key("type"));
            let kind = &plugin.kind;
            match role {
                Some(Role::Interface) => {
                    if let Some(first) = first {
                        findings.push(
                            Finding::new(
                                Severity::Error,
                                "second-interface",
                                place(),
                                format!("{kind} makes the container's interface a second time"),
                            )
                            .label("the interface is there already")
                            .also(self.place(&first.key("type")), "made by this one")
                            .advice("one list makes one interface: make two networks of it"),
                        );
                    }
                    first = first.or(Some(plugin));
                }
                Some(Role::Chained) if !before => findings.push(
                    Finding::new(
                        Severity::Error,
                        "order",
                        place(),
                        format!(
                            "{kind} changes what another plugin has made, and none is before it"
                        ),
                    )
                    .label("nothing is there yet")
                    .advice("give it a place after the plugin that makes the interface"),
                ),
                Some(Role::Addresses) => findings.push(
                    Finding::new(
                        Severity::Error,
                        "order",
                        place(),
                        format!("{kind} is an address source, no plugin of a list"),
                    )
                    .label("makes no interface")
                    .advice(format!(
                        "name it in another entry: \"ipam\": {{ \"type\": \"{kind}\" }}"
                    )),
                ),
                _ => {}
            }
            before = true;
        }
    }
}

/// The request of a runtime for an ADD with one entry of a list.
pub(super) fn request(
    network: &str,
    version: Version,
    entry: &Value,
    path: Vec<PathBuf>,
) -> Result<Request, plugins::Error> {
    let mut entry: Map<String, Value> = entry.as_object().cloned().unwrap_or_default();
    for key in ["name", "cniVersion", "prevResult", "runtimeConfig"] {
        entry.retain(|known, _| !known.eq_ignore_ascii_case(key));
    }
    entry.insert("name".to_owned(), network.into());
    entry.insert("cniVersion".to_owned(), version.to_string().into());
    Ok(Request {
        verb: Verb::Add,
        container_id: CONTAINER_ID.to_owned(),
        netns: None,
        ifname: IFNAME.to_owned(),
        args: Args::default(),
        path,
        netns_override: false,
        config: NetworkConfig::read(Value::Object(entry).to_string().into_bytes())?,
    })
}

fn is_about_programs(error: &plugins::Error) -> bool {
    match error {
        plugins::Error::InEntry { error, .. } => is_about_programs(error),
        plugins::Error::Ipam(ipam::Error::Delegate(error)) | plugins::Error::Delegate(error) => {
            matches!(error, delegate::Error::NotFound { .. })
        }
        _ => false,
    }
}

/// Why a program cannot be run, in words that follow its name.
fn lacking(name: &str, folders: &[PathBuf]) -> Option<String> {
    match delegate::find(name, folders) {
        Ok(_) => None,
        Err(_) => {
            let folders: Vec<_> =
                folders.iter().map(|folder: &PathBuf| Path::display(folder).to_string()).collect();
            Some(format!("is no program in {}", folders.join(" or ")))
        }
    }
}
