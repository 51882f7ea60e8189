//! That keys.json and docs/plugins say what the types say. With CAUSEWAY_WRITE_DOCS set, they are
//! written instead.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::pages::{self, BEGIN};
use super::{Keys, Known, derived, names};
use crate::ipam::SOURCES;
use crate::plugins::TYPES;

const WRITE: &str = "CAUSEWAY_WRITE_DOCS";

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn same_or_written(path: &str, wanted: &str) {
    if fs::read_to_string(file(path)).unwrap_or_default() == wanted {
        return;
    }
    assert!(
        std::env::var_os(WRITE).is_some(),
        "{path} does not say what the types say; write it anew with {WRITE}=1 cargo test --lib schema"
    );
    fs::write(file(path), wanted).unwrap();
}

#[test]
fn the_embedded_keys_are_those_of_the_types() {
    let text = serde_json::to_string_pretty(&derived::all()).unwrap();
    same_or_written("src/schema/keys.json", &format!("{text}\n"));
}

#[test]
fn every_type_has_its_keys_and_every_key_a_meaning() {
    let known = derived::all();
    for one in &TYPES {
        assert!(known.plugins.contains_key(one.name), "{} is missing in derived::all", one.name);
    }
    for source in SOURCES {
        assert!(known.sources.contains_key(source), "{source} is missing in derived::all");
    }
    let all = known.plugins.iter().chain(&known.sources);
    for (name, keys) in all.chain([(&"common".to_owned(), &known.common)]) {
        assert_eq!(keys.names.len(), keys.schemas.len(), "{name}");
        for (key, schema) in &keys.schemas {
            meant(&format!("{name}: {key}"), schema);
        }
    }
}

/// Descriptions at every level, and types.
fn meant(path: &str, schema: &Value) {
    assert!(!pages::kind(schema).is_empty(), "{path}: no type in {schema}");
    let description = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    assert!(description.ends_with('.'), "{path}: {description:?}");
    let mut inner = schema;
    while let Some(items) = inner.get("items") {
        inner = items;
    }
    for (key, schema) in inner.get("properties").and_then(Value::as_object).into_iter().flatten() {
        meant(&format!("{path}.{key}"), schema);
    }
}

#[test]
fn the_pages_have_the_tables_of_the_types() {
    let known = derived::all();
    for name in names() {
        let path = format!("docs/plugins/{name}.md");
        let page = fs::read_to_string(file(&path))
            .unwrap_or_else(|error| panic!("{path}: every type has a page: {error}"));
        let Some(table) = pages::table(&known, name) else {
            assert!(!page.contains(BEGIN), "{path}: has no keys, but a place for them");
            continue;
        };
        let renewed = pages::renewed(&page, &table);
        let renewed = renewed.unwrap_or_else(|| panic!("{path}: has no place for the keys"));
        same_or_written(&path, &renewed);
    }
}

#[test]
fn what_is_embedded_can_be_read() {
    let known = Known::read();
    assert_ne!(known, Known::default());
    assert_eq!(known.plugin("bridge").unwrap().names.first().unwrap(), "bridge");
    assert_eq!(known.plugin("loopback"), Some(Keys::default()));
    assert_eq!(known.plugin("calico"), None);
}
