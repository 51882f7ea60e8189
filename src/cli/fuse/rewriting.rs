//! Configuration lists with one entry for all plugins, and back: pure.

use serde_json::Value;

use super::ordered::Ordered;
use crate::plugins::chain::{Entries, PLUGINS};
use crate::plugins::{self, SELF};
use crate::protocol::config::NetworkConfig;
use crate::protocol::request::Request;

/// Keys that count for a call as a whole, so that the entry for all must have them.
const OF_THE_CALL: [&str; 4] = ["stateDir", "logFile", "logLevel", "logFormat"];

/// Why a list cannot be rewritten.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a configuration list.
    #[error("has no list `plugins`; only configuration lists (*.conflist) can be fused")]
    NoList,
    /// It is in that form already.
    #[error("is fused already: its only plugin is {SELF} with a list of its own")]
    Fused,
    /// There is nothing to take apart.
    #[error("has no plugin of type {SELF} with a list `plugins`, so there is nothing to unfuse")]
    NotFused,
    /// Entries that would have to be one disagree.
    #[error("`{0}` differs between the plugins, but one call has one; make them the same")]
    Differs(&'static str),
    /// The plugins refuse it.
    #[error(transparent)]
    Refused(#[from] Box<plugins::Error>),
}

impl From<plugins::Error> for Error {
    fn from(error: plugins::Error) -> Self {
        Self::Refused(Box::new(error))
    }
}

/// A rewritten list, and what was done to it, one line each.
#[derive(Debug, PartialEq)]
pub struct Rewritten {
    /// The new list.
    pub list: Ordered,
    /// For people.
    pub changes: Vec<String>,
}

/// Puts all plugins of a list into one entry.
///
/// # Errors
/// [`Error`]; a list that causeway would refuse to run is refused here.
pub fn fuse(list: &Ordered) -> Result<Rewritten, Error> {
    let entries = list.member(PLUGINS).and_then(Ordered::as_list).ok_or(Error::NoList)?;
    if let [only] = entries
        && inner(only).is_some()
    {
        return Err(Error::Fused);
    }
    // An entry that is itself a list gives its plugins.
    let flat: Vec<Ordered> = entries
        .iter()
        .flat_map(|entry| inner(entry).unwrap_or(std::slice::from_ref(entry)).to_vec())
        .collect();
    let capabilities = capabilities(&flat);
    let mut one = vec![("type".to_owned(), Ordered::text(SELF))];
    if !capabilities.is_empty() {
        let asked = capabilities.iter().map(|name| (name.clone(), Ordered::Scalar(true.into())));
        one.push(("capabilities".to_owned(), Ordered::Map(asked.collect())));
    }
    for key in OF_THE_CALL {
        one.extend(shared(&flat, key)?.map(|value| (key.to_owned(), value)));
    }
    one.push((PLUGINS.to_owned(), Ordered::List(flat.clone())));
    let one = Ordered::Map(one);
    try_out(list, &one)?;

    let mut changes = Vec::new();
    for entry in &flat {
        let name = type_of(entry);
        changes.push(match plugins::find(name) {
            _ if name == SELF => format!("{name}: runs in the one process, as bridge"),
            Some(_) => format!("{name}: runs in the one process"),
            None => format!("{name}: is not one of causeway's; causeway executes it in its place"),
        });
    }
    if !capabilities.is_empty() {
        changes.push(format!("capabilities asked of the runtime: {}", capabilities.join(", ")));
    }
    Ok(Rewritten { list: with_plugins(list, vec![one]), changes })
}

/// Gives every plugin its own entry again.
///
/// # Errors
/// [`Error::NoList`], [`Error::NotFused`].
pub fn unfuse(list: &Ordered) -> Result<Rewritten, Error> {
    let entries = list.member(PLUGINS).and_then(Ordered::as_list).ok_or(Error::NoList)?;
    let mut flat = Vec::new();
    let mut changes = Vec::new();
    for entry in entries {
        let Some(own) = inner(entry) else {
            flat.push(entry.clone());
            continue;
        };
        for plugin in own {
            let name = type_of(plugin);
            flat.push(with_keys_of_the_call(plugin, entry));
            changes.push(format!("{name}: is called by the runtime again"));
        }
    }
    if changes.is_empty() {
        return Err(Error::NotFused);
    }
    Ok(Rewritten { list: with_plugins(list, flat), changes })
}

/// The list inside an entry of this program's type.
fn inner(entry: &Ordered) -> Option<&[Ordered]> {
    if type_of(entry) != SELF {
        return None;
    }
    entry.member(PLUGINS)?.as_list()
}

fn type_of(entry: &Ordered) -> &str {
    entry.member("type").and_then(Ordered::as_text).unwrap_or_default()
}

/// Every capability that an entry asks for, in order.
fn capabilities(entries: &[Ordered]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let asked = entries.iter().filter_map(|entry| entry.member("capabilities")?.as_map());
    for (name, wanted) in asked.flatten() {
        if *wanted == Ordered::Scalar(Value::Bool(true)) && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// The value of a key that all entries which have it agree on.
fn shared(entries: &[Ordered], key: &'static str) -> Result<Option<Ordered>, Error> {
    let mut values = entries.iter().filter_map(|entry| entry.member(key));
    let first = values.next();
    match first {
        Some(first) if values.any(|other| other != first) => Err(Error::Differs(key)),
        _ => Ok(first.cloned()),
    }
}

fn with_keys_of_the_call(plugin: &Ordered, entry: &Ordered) -> Ordered {
    let Ordered::Map(mut members) = plugin.clone() else { return plugin.clone() };
    for key in ["args"].into_iter().chain(OF_THE_CALL) {
        if plugin.member(key).is_none()
            && let Some(value) = entry.member(key)
        {
            members.push((key.to_owned(), value.clone()));
        }
    }
    Ordered::Map(members)
}

fn with_plugins(list: &Ordered, entries: Vec<Ordered>) -> Ordered {
    let mut entries = Some(entries);
    let members = list.as_map().unwrap_or_default().iter().map(|(key, value)| {
        if key.eq_ignore_ascii_case(PLUGINS)
            && let Some(entries) = entries.take()
        {
            return (key.clone(), Ordered::List(entries));
        }
        (key.clone(), value.clone())
    });
    Ordered::Map(members.collect())
}

/// Has the plugins read what they would be called with.
fn try_out(list: &Ordered, one: &Ordered) -> Result<(), Error> {
    let mut members = one.as_map().unwrap_or_default().to_vec();
    for key in ["cniVersion", "name"] {
        members.extend(list.member(key).map(|value| (key.to_owned(), value.clone())));
    }
    let bytes = serde_json::to_vec(&Ordered::Map(members)).unwrap_or_default();
    let config = NetworkConfig::read(bytes).map_err(plugins::Error::from)?;
    let request = Request::of_configuration(config);
    if let Some(entries) = Entries::of(SELF, &request)? {
        entries.open()?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const LIST: &str = include_str!("../../../testdata/fuse/usual.conflist");
    const FUSED: &str = include_str!("../../../testdata/fuse/usual-fused.conflist");

    fn read(text: &str) -> Ordered {
        serde_json::from_str(text).unwrap()
    }

    fn write(list: &Ordered) -> String {
        serde_json::to_string_pretty(list).unwrap() + "\n"
    }

    #[test]
    fn a_list_is_fused_and_comes_back_as_it_was() {
        let fused = fuse(&read(LIST)).unwrap();
        assert_eq!(write(&fused.list), FUSED);
        assert_eq!(write(&unfuse(&fused.list).unwrap().list), LIST);
    }

    #[test]
    fn people_are_told_what_was_changed() {
        let changes = fuse(&read(LIST)).unwrap().changes;
        assert_eq!(
            changes,
            [
                "bridge: runs in the one process",
                "portmap: runs in the one process",
                "acme-policy: is not one of causeway's; causeway executes it in its place",
                "capabilities asked of the runtime: portMappings, ips",
            ]
        );
        assert_eq!(unfuse(&read(FUSED)).unwrap().changes.len(), 3);
    }

    #[test]
    fn what_cannot_be_rewritten_says_why() {
        let refused = |text: &str| fuse(&read(text)).unwrap_err().to_string();
        assert!(refused(FUSED).contains("fused already"));
        assert!(refused(r#"{"name": "n", "type": "bridge"}"#).contains("no list `plugins`"));
        let two = r#"{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge"}, {"type": "bridge"}]}"#;
        assert!(refused(two).contains("makes the container's interface"), "{}", refused(two));
        let wrong = r#"{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge", "vlan": 9999}]}"#;
        assert!(refused(wrong).contains("vlan"), "{}", refused(wrong));
        let differ = r#"{"cniVersion": "1.0.0", "name": "n", "plugins": [
            {"type": "bridge", "logLevel": "debug"}, {"type": "x", "logLevel": "info"}]}"#;
        assert!(refused(differ).contains("logLevel"));
        assert!(unfuse(&read(LIST)).unwrap_err().to_string().contains("nothing to unfuse"));
    }

    #[test]
    fn keys_of_the_call_go_out_and_come_back() {
        let list = read(
            r#"{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge", "stateDir": "/s"}, {"type": "x"}]}"#,
        );
        let fused = fuse(&list).unwrap().list;
        let one = &fused.member("plugins").unwrap().as_list().unwrap()[0];
        assert_eq!(one.member("stateDir"), Some(&Ordered::text("/s")));
        let back = unfuse(&fused).unwrap().list;
        let plugins = back.member("plugins").unwrap().as_list().unwrap();
        assert_eq!(plugins[0], list.member("plugins").unwrap().as_list().unwrap()[0]);
    }
}
