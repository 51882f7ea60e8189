//! The runtime's side of the specification, as the Go library libcni has it: what containerd, CRI-O,
//! podman and cnitool do around a plugin. Configuration lists are found in the same files, plugins
//! are called in the same order with the same input, and results are kept in the same place, so that
//! this program and a runtime can each finish what the other began.
//!
//! The reference is containernetworking/cni, libcni/conf.go and libcni/api.go, of 1.3.

pub mod attachment;
pub mod cache;
pub mod conf_dir;
pub mod error;
pub mod list;
pub mod runtime;

pub use attachment::Attachment;
pub use cache::Cached;
pub use conf_dir::ConfDir;
pub use error::{ConfError, Error};
pub use list::{NetworkList, Plugin};
pub use runtime::Runtime;

use serde_json::Value;

/// Where configuration lists are unless NETCONFPATH names another folder.
pub const CONF_DIR: &str = "/etc/cni/net.d";

/// Where plugins are unless CNI_PATH names other folders.
pub const BIN_DIR: &str = "/opt/cni/bin";

/// JSON as Go's encoding/json writes it: keys of maps sorted, and `<`, `>`, `&` and the two line
/// separators of Unicode escaped. Outside of strings none of these can stand.
pub(crate) fn go_json(value: &impl serde::Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string(value)?;
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    Ok(escaped)
}

/// The kind of a JSON value, for messages.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
