//! Keys against the schema: names that nobody reads, and values of a wrong kind.

use std::collections::BTreeSet;

use serde_json::Value;

use super::text::{Inner, Node};
use super::{Finding, Place, Severity};
use crate::schema::Keys;
use crate::schema::pages::name_of_type;

/// At most so many letters are taken for a slip.
const SLIPS: usize = 2;

/// The rule about values of a wrong type.
pub(super) const TYPE: &str = "type";

/// What keys there may be.
pub(super) struct Allowed<'a> {
    /// Those that are read.
    pub(super) keys: &'a Keys,
    /// What the keys are those of, such as `bridge`.
    pub(super) of: &'a str,
    /// Where a key that is not among them belongs, in words.
    pub(super) elsewhere: &'a dyn Fn(&str) -> Option<String>,
}

/// What was found at the keys of an object.
#[derive(Default)]
pub(super) struct Found {
    /// Names.
    pub(super) names: Vec<Finding>,
    /// Values that do not look right; the plugin itself has the last word on them.
    pub(super) values: Vec<Finding>,
}

/// Looks through an object's members.
pub(super) fn check(document: usize, node: &Node, value: &Value, allowed: &Allowed<'_>) -> Found {
    let mut found = Found::default();
    let names = names(&mut found, document, node, allowed);
    for (key, name) in names {
        let (Some(member), Some(schema)) = (node.member(&key), allowed.keys.schemas.get(&name))
        else {
            continue;
        };
        if let Some(value) = value.get(&key) {
            value_of(&mut found, document, &name, &member.value, value, schema);
        }
    }
    found
}

/// The members that are read, each with the name by which it is known.
fn names(
    found: &mut Found,
    document: usize,
    node: &Node,
    allowed: &Allowed<'_>,
) -> Vec<(String, String)> {
    let mut known = Vec::new();
    let mut seen = BTreeSet::new();
    for member in node.members() {
        let place = Place { document, span: member.key_span.clone().into() };
        let key = &member.key;
        if !seen.insert(key.clone()) {
            found.names.push(
                Finding::new(
                    Severity::Warning,
                    "key-twice",
                    place,
                    format!("`{key}` stands there twice"),
                )
                .label("the last one counts, with most programs")
                .advice("remove one"),
            );
            continue;
        }
        let names = &allowed.keys.names;
        if names.contains(key) {
            known.push((key.clone(), key.clone()));
        } else if let Some(name) = names.iter().find(|name| name.eq_ignore_ascii_case(key)) {
            found.names.push(
                Finding::new(
                    Severity::Warning,
                    "letter-case",
                    place,
                    format!("`{key}` is read as `{name}`, but not by every program"),
                )
                .label(format!("write `{name}`")),
            );
            known.push((key.clone(), name.clone()));
        } else if !is_private(key) {
            found.names.push(unknown(place, key, allowed));
        }
    }
    known
}

/// Names that say themselves that they are for somebody else: comments, and names with a domain.
fn is_private(key: &str) -> bool {
    key.contains(['.', '/', ':']) || key.starts_with(['_', '$', '#']) || key == "comment"
}

fn unknown(place: Place, key: &str, allowed: &Allowed<'_>) -> Finding {
    let of = allowed.of;
    let finding =
        Finding::new(Severity::Warning, "unknown-key", place, format!("{of} has no key `{key}`"))
            .label("nobody reads this");
    if let Some(where_to) = (allowed.elsewhere)(key) {
        return finding.advice(where_to);
    }
    match nearest(key, allowed.keys.names.iter().map(String::as_str)) {
        Some(meant) => finding.advice(format!("did you mean `{meant}`?")),
        None => finding,
    }
}

/// The name that was probably meant.
pub(super) fn nearest<'n>(given: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let lower = given.to_ascii_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&lower, &name.to_ascii_lowercase());
    let near = names.map(|name| (distance(name), name)).filter(|(distance, name)| {
        *distance <= SLIPS && *distance * 2 < name.len().max(given.len())
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

fn value_of(
    found: &mut Found,
    document: usize,
    path: &str,
    node: &Node,
    value: &Value,
    schema: &Value,
) {
    if value.is_null() {
        return;
    }
    let place = || Place { document, span: short_span(node).into() };
    let wanted = name_of_type(schema);
    if !is_a(value, wanted) {
        let (wanted, given) = (in_words(wanted), said(value));
        let finding = Finding::new(
            Severity::Error,
            TYPE,
            place(),
            format!("`{path}` must be {wanted}, but is {given}"),
        )
        .label(format!("must be {wanted}"));
        found.values.push(finding);
        return;
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array)
        && !words.contains(value)
    {
        let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
        let finding = Finding::new(
            Severity::Error,
            "value",
            place(),
            format!("`{path}` is {value}; it can be {}", words.join(", ")),
        )
        .label("is no word for this");
        let meant = nearest(value.as_str().unwrap_or_default(), words.into_iter());
        found.values.push(match meant {
            Some(meant) => finding.advice(format!("did you mean \"{meant}\"?")),
            None => finding,
        });
    }
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let Some(number) = value.as_f64() {
        let below = bound("minimum").filter(|least| number < *least);
        let above = bound("maximum").filter(|most| number > *most);
        if below.or(above).is_some() {
            let (least, most) = (bound("minimum").unwrap_or(f64::MIN), bound("maximum"));
            let range = match most {
                Some(most) => format!("from {least} to {most}"),
                None => format!("{least} or more"),
            };
            found.values.push(
                Finding::new(
                    Severity::Error,
                    "value",
                    place(),
                    format!("`{path}` is {value}; it must be {range}"),
                )
                .label(format!("must be {range}")),
            );
        }
    }
    within(found, document, path, node, value, schema);
}

fn within(
    found: &mut Found,
    document: usize,
    path: &str,
    node: &Node,
    value: &Value,
    schema: &Value,
) {
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        for (place, (node, value)) in node.elements().iter().zip(list).enumerate() {
            value_of(found, document, &format!("{path}[{place}]"), node, value, items);
        }
    }
    let Some(map) = value.as_object() else { return };
    if let Some(Value::Object(properties)) = schema.get("properties") {
        let keys =
            Keys { names: properties.keys().cloned().collect(), schemas: properties.clone() };
        let allowed = Allowed { keys: &keys, of: &format!("`{path}`"), elsewhere: &|_| None };
        for (key, name) in names(found, document, node, &allowed) {
            let Some(member) = node.member(&key) else { continue };
            if let (Some(value), Some(schema)) = (map.get(&key), properties.get(&name)) {
                value_of(found, document, &format!("{path}.{name}"), &member.value, value, schema);
            }
        }
    } else if let Some(schema) = schema.get("additionalProperties").filter(|one| one.is_object()) {
        for member in node.members() {
            if let Some(value) = map.get(&member.key) {
                let path = format!("{path}[\"{}\"]", member.key);
                value_of(found, document, &path, &member.value, value, schema);
            }
        }
    }
}

/// The place of a value; of a long one its first line's beginning.
fn short_span(node: &Node) -> std::ops::Range<usize> {
    match node.inner {
        Inner::Scalar => node.span.clone(),
        _ => node.span.start..(node.span.start + 1).min(node.span.end),
    }
}

fn is_a(value: &Value, wanted: &str) -> bool {
    match wanted {
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn in_words(kind: &str) -> &'static str {
    match kind {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a string",
        "array" => "a list",
        _ => "an object",
    }
}

fn said(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        Value::String(text) => format!("the string {text:?}"),
        other => other.to_string(),
    }
}
