//! The JSON Schema of network configurations, and the tables of keys in docs/plugins.
//!
//! Both come of `keys.json`, which a test writes, and compares, by asking the very types that the
//! plugins read their keys into (`derived`). So it cannot tell another story than the code, and
//! what derives a schema from a type is no part of the program.
//!
//! Like the specification, the schema lets keys pass that it does not know. What is an error only
//! together with other keys is not in it; `causeway lint` tells.

#[cfg(test)]
mod derived;
pub mod pages;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ipam::SOURCES;
use crate::plugins::{SELF, TYPES, chain};

/// The dialect in which schemas are written.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// What the test wrote.
const KEYS: &str = include_str!("keys.json");

/// Keys of one object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Keys {
    /// The names, in the order of the types that they are read into.
    pub names: Vec<String>,
    /// The schema of each.
    pub schemas: Map<String, Value>,
}

/// The keys of everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Those of each plugin type's own.
    plugins: BTreeMap<String, Keys>,
    /// Those of `ipam` for each address source of this program's.
    sources: BTreeMap<String, Keys>,
    /// Those that every plugin of a list may have.
    common: Keys,
    /// Those of a list, but for `plugins`.
    list: Keys,
}

impl Keys {
    fn without(mut self, names: &[&str]) -> Self {
        self.names.retain(|name| !names.contains(&name.as_str()));
        self.schemas.retain(|name, _| !names.contains(&name.as_str()));
        self
    }

    fn and(mut self, other: Self) -> Self {
        self.names.extend(other.names);
        self.schemas.extend(other.schemas);
        self
    }
}

impl Known {
    /// What this program knows.
    pub fn read() -> Self {
        // A test reads the same text.
        serde_json::from_str(KEYS).unwrap_or_default()
    }

    /// The keys of a plugin type's own.
    pub fn plugin(&self, name: &str) -> Option<Keys> {
        if name != SELF {
            return self.plugins.get(name).cloned();
        }
        let mut keys = self.plugins.get(TYPES.first()?.name).cloned()?;
        keys.names.push(chain::PLUGINS.to_owned());
        keys.schemas.insert(chain::PLUGINS.to_owned(), fused());
        Some(keys)
    }

    /// The keys of `ipam` for a source of this program's.
    pub fn source(&self, name: &str) -> Option<&Keys> {
        self.sources.get(name)
    }

    /// The keys that every plugin of a list may have.
    pub fn common(&self) -> &Keys {
        &self.common
    }

    /// The keys of a list, but for `plugins`.
    pub fn list(&self) -> &Keys {
        &self.list
    }

    /// The schema of a file: of a list, or of one plugin by itself.
    pub fn document(&self) -> Value {
        let mut definitions = self.definitions();
        definitions.insert("list".to_owned(), self.list_schema());
        let single = self.list.clone().without(&[
            "cniVersions",
            "disableCheck",
            "disableGC",
            "loadOnlyInlinedPlugins",
        ]);
        json!({
            "$schema": DIALECT,
            "title": "CNI network configuration",
            "type": "object",
            "if": { "required": ["type"] },
            "then": {
                "required": ["name"],
                "properties": single.schemas,
                "allOf": [{ "$ref": "#/$defs/plugin" }]
            },
            "else": { "$ref": "#/$defs/list" },
            "$defs": definitions
        })
    }

    fn list_schema(&self) -> Value {
        let mut keys = self.list.clone();
        let plugins = json!({
            "description": "The plugins, in the order of ADD.",
            "type": "array",
            "items": { "$ref": "#/$defs/plugin" }
        });
        keys.schemas.insert(chain::PLUGINS.to_owned(), plugins);
        json!({ "type": "object", "required": ["name"], "properties": keys.schemas })
    }

    /// The schema of one plugin's entry, or of the `ipam` section of an address source; `None` for names
    /// that are neither.
    pub fn of(&self, name: &str) -> Option<Value> {
        let definition = match self.source(name) {
            Some(_) => format!("ipam-{name}"),
            None => format!("plugin-{}", names().into_iter().find(|known| *known == name)?),
        };
        Some(json!({
            "$schema": DIALECT,
            "title": name,
            "$ref": format!("#/$defs/{definition}"),
            "$defs": self.definitions()
        }))
    }

    fn definitions(&self) -> Map<String, Value> {
        let mut definitions = Map::new();
        let mut by_type = Vec::new();
        for name in names().into_iter().filter(|name| self.source(name).is_none()) {
            let mut schemas =
                self.common.clone().and(self.plugin(name).unwrap_or_default()).schemas;
            schemas.insert("type".to_owned(), json!({ "const": name }));
            schemas.insert("ipam".to_owned(), json!({ "$ref": "#/$defs/ipam" }));
            let definition = format!("plugin-{name}");
            by_type.push(chosen(name, &definition));
            let required = required(name);
            let schema = json!({ "type": "object", "properties": schemas, "required": required });
            definitions.insert(definition, schema);
        }
        let kind = json!({ "type": "string", "description": "The plugin: the name of a program." });
        definitions.insert("plugin".to_owned(), chooser(kind, by_type));

        let mut by_type = Vec::new();
        for source in SOURCES {
            let mut schemas = self.source(source).cloned().unwrap_or_default().schemas;
            schemas.insert("type".to_owned(), json!({ "const": source }));
            let definition = format!("ipam-{source}");
            by_type.push(chosen(source, &definition));
            definitions.insert(definition, json!({ "type": "object", "properties": schemas }));
        }
        let kind = json!({
            "type": "string",
            "description": format!("The address source: one of {}, or another program.", SOURCES.join(", ")),
            "examples": SOURCES
        });
        let mut ipam = chooser(kind, by_type);
        if let Some(ipam) = ipam.as_object_mut() {
            // Without a type the section counts as absent.
            ipam.remove("required");
            ipam.insert("description".to_owned(), json!("The address source."));
        }
        definitions.insert("ipam".to_owned(), ipam);
        definitions
    }
}

/// Every name that [`Known::of`] knows.
pub fn names() -> Vec<&'static str> {
    TYPES.iter().map(|known| known.name).chain([SELF]).collect()
}

/// The key that makes a list of several plugins one.
fn fused() -> Value {
    json!({
        "description": "The entries of a list, all run by this one plugin. Without the key the \
                        plugin is `bridge`.",
        "type": "array",
        "minItems": 1,
        "items": { "$ref": "#/$defs/plugin" }
    })
}

/// Keys without which a plugin does nothing, besides `type`.
fn required(name: &str) -> Vec<&'static str> {
    let more: &[&str] = match name {
        "vlan" => &["master", "vlanId"],
        "vrf" => &["vrfname"],
        _ => &[],
    };
    [&["type"], more].concat()
}

fn chosen(name: &str, definition: &str) -> Value {
    json!({
        "if": { "properties": { "type": { "const": name } }, "required": ["type"] },
        "then": { "$ref": format!("#/$defs/{definition}") }
    })
}

fn chooser(kind: Value, by_type: Vec<Value>) -> Value {
    json!({
        "type": "object",
        "required": ["type"],
        "properties": { "type": kind },
        "allOf": by_type
    })
}
