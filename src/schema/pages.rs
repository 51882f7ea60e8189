//! The tables of keys in docs/plugins, from the same schemas.

use serde_json::{Map, Value};

use super::{Keys, Known};

/// What stands before a table in a page.
pub const BEGIN: &str =
    "<!-- keys: written by `CAUSEWAY_WRITE_DOCS=1 cargo test --lib schema`; begin -->";
/// What stands after it.
pub const END: &str = "<!-- keys: end -->";

/// The table of a type's own keys, in Markdown; `None` if it has none. Of an address source they are
/// those of `ipam`, and of netkit those that ptp has not.
pub fn table(known: &Known, name: &str) -> Option<String> {
    let (keys, heading) = match known.source(name) {
        Some(keys) => (keys.clone(), "key of `ipam`"),
        None => (known.plugin(name)?, "key"),
    };
    let shared = match name {
        "netkit" => netkit_of_ptp(true, &keys),
        "ptp" => netkit_of_ptp(false, &keys),
        "causeway" => keys.names.iter().filter(|name| *name != "plugins").cloned().collect(),
        _ => Vec::new(),
    };
    let mut rows = Vec::new();
    for name in keys.names.iter().filter(|name| !shared.contains(name)) {
        if let Some(schema) = keys.schemas.get(name) {
            row(name, schema, &mut rows);
        }
    }
    if rows.is_empty() {
        return None;
    }
    Some(format!("| {heading} | type | meaning |\n| --- | --- | --- |\n{}", rows.concat()))
}

/// The keys of the pair's types that count for netkit alone, or those that count for both.
fn netkit_of_ptp(both: bool, keys: &Keys) -> Vec<String> {
    let netkit = |name: &&String| ["mode", "policy", "peerPolicy"].contains(&name.as_str());
    keys.names.iter().filter(|name| netkit(name) != both).cloned().collect()
}

fn row(path: &str, schema: &Value, rows: &mut Vec<String>) {
    let meaning = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    rows.push(format!("| `{path}` | {} | {} |\n", kind(schema), meaning.replace('|', "\\|")));
    let (inner, path) = innermost(schema, path);
    if let Some(Value::Object(properties)) = inner.get("properties") {
        for (name, schema) in ordered(properties) {
            row(&format!("{path}.{name}"), schema, rows);
        }
    }
}

/// Of lists, what is in them.
fn innermost<'s>(schema: &'s Value, path: &str) -> (&'s Value, String) {
    let (mut inner, mut path) = (schema, path.to_owned());
    while let Some(items) = inner.get("items") {
        inner = items;
        path.push_str("[]");
    }
    (inner, path)
}

/// The keys of an object in a list: what it is about before what else may be said.
fn ordered(properties: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let first = |name: &str| !matches!(name, "subnet" | "dst" | "address" | "option" | "id");
    let mut keys: Vec<_> = properties.iter().collect();
    keys.sort_by_key(|(name, _)| first(name));
    keys
}

/// The kind of value in words.
pub fn kind(schema: &Value) -> String {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<_> =
            words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    match name_of_type(schema) {
        "array" => match schema.get("items").map(kind).as_deref() {
            Some("string") => "list of strings".into(),
            Some("list") => "list of lists".into(),
            _ => "list".into(),
        },
        "object" if schema.get("additionalProperties").is_some_and(Value::is_object) => {
            "map".into()
        }
        "integer" | "number" => "number".into(),
        other => other.into(),
    }
}

/// The type that is not null.
pub fn name_of_type(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or_default()
        }
        _ => schema
            .get("anyOf")
            .and_then(Value::as_array)
            .and_then(|all| all.iter().map(name_of_type).find(|name| *name != "null"))
            .unwrap_or_default(),
    }
}

/// A page with its table brought up to date; `None` if it has no place for one.
pub fn renewed(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}
