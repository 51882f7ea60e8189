//! A network configuration list (CNI spec 1.1.0, section 1), read as libcni reads it.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::error::ConfError;
use super::{go_json, kind_of};
use crate::protocol;
use crate::protocol::config::member;
use crate::protocol::version::Version;

/// A list, with the plugins in the order of ADD.
#[derive(Debug, Clone)]
pub struct NetworkList {
    /// The file that it came from.
    pub path: PathBuf,
    /// `name`; not checked yet, see [`crate::protocol::names::network_name`].
    pub name: String,
    /// The version that plugins are given: of `cniVersions` and `cniVersion` the newest that is
    /// spoken; empty when the list names none.
    pub cni_version: String,
    /// `disableCheck`: CHECK succeeds without asking anybody.
    pub disable_check: bool,
    /// `disableGC`: GC does nothing.
    pub disable_gc: bool,
    /// `loadOnlyInlinedPlugins`: the folder named as the network is not looked into.
    pub load_only_inlined_plugins: bool,
    /// The plugins; those of the list itself, then those of the folder. At least one.
    pub plugins: Vec<Plugin>,
    /// The list as it is kept with a result: the file's bytes, or of a single plugin's file the list
    /// that is made of it.
    pub bytes: Vec<u8>,
}

/// The configuration of one plugin.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// The object.
    pub config: Map<String, Value>,
    /// `type`; not checked yet.
    pub plugin_type: String,
    /// The file of its own that it came from.
    pub path: Option<PathBuf>,
}

impl NetworkList {
    /// Reads a list; `path` is where it was found and serves messages. Plugins of the folder named as
    /// the network are not loaded, see [`super::ConfDir`].
    ///
    /// # Errors
    /// [`ConfError::Json`] and [`ConfError::Key`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ConfError> {
        let reading = Reading { path };
        let list = reading.object(bytes)?;
        let name = match list.get("name") {
            Some(Value::String(name)) => name.clone(),
            Some(other) => return Err(reading.wrong_kind("name", "a string", other)),
            None => return Err(reading.wrong("name", "is missing; give the network a name")),
        };
        let load_only_inlined_plugins = reading.flag(&list, "loadOnlyInlinedPlugins")?;
        let plugins = match list.get("plugins") {
            Some(Value::Array(plugins)) if plugins.is_empty() => {
                return Err(
                    reading.wrong("plugins", "is empty; a network needs one plugin at least")
                );
            }
            Some(Value::Array(plugins)) => plugins
                .iter()
                .enumerate()
                .map(|(place, plugin)| reading.plugin(&format!("plugins[{place}]"), plugin, None))
                .collect::<Result<_, _>>()?,
            Some(other) => return Err(reading.wrong_kind("plugins", "a list", other)),
            None if load_only_inlined_plugins => {
                let reason =
                    "is missing, and `loadOnlyInlinedPlugins` says that there are no others";
                return Err(reading.wrong("plugins", reason));
            }
            None if member(&Value::Object(list.clone()), "type").is_some() => {
                let reason = "is missing; a file with the configuration of one plugin ends in .conf, \
                              or its plugin belongs into `plugins`";
                return Err(reading.wrong("plugins", reason));
            }
            None => Vec::new(),
        };
        Ok(Self {
            path: path.to_owned(),
            name,
            cni_version: reading.version(&list)?,
            disable_check: reading.flag(&list, "disableCheck")?,
            disable_gc: reading.flag(&list, "disableGC")?,
            load_only_inlined_plugins,
            plugins,
            bytes: bytes.to_vec(),
        })
    }

    /// The list of one plugin that a file with the configuration of a single plugin stands for.
    ///
    /// # Errors
    /// [`ConfError::Json`] and [`ConfError::Key`].
    pub fn of_single(path: &Path, bytes: &[u8]) -> Result<Self, ConfError> {
        let reading = Reading { path };
        let config = reading.object(bytes)?;
        let value = Value::Object(config);
        if member(&value, "type").is_none() && member(&value, "plugins").is_some() {
            let reason = "is missing; a file with a list of plugins ends in .conflist";
            return Err(reading.wrong("type", reason));
        }
        reading.plugin("", &value, None)?;
        let text = |key: &str| match member(&value, key) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(reading.wrong_kind(key, "a string", other)),
            None => Ok(String::new()),
        };
        let list =
            json!({ "name": text("name")?, "cniVersion": text("cniVersion")?, "plugins": [value] });
        let bytes =
            go_json(&list).map_err(|source| ConfError::Json { path: path.to_owned(), source })?;
        Self::parse(path, bytes.as_bytes())
    }

    /// One plugin from a file of its own.
    ///
    /// # Errors
    /// [`ConfError::Json`] and [`ConfError::Key`].
    pub fn parse_plugin(path: &Path, bytes: &[u8]) -> Result<Plugin, ConfError> {
        let reading = Reading { path };
        let config = Value::Object(reading.object(bytes)?);
        reading.plugin("", &config, Some(path.to_owned()))
    }

    /// The version that plugins are given.
    ///
    /// # Errors
    /// A version that is not spoken.
    pub fn version(&self) -> Result<Version, protocol::error::Error> {
        Version::of_configuration(Some(&self.cni_version))
    }

    /// Every plugin's configuration, with those that a fused entry, `{"type": "causeway", "plugins":
    /// [ … ]}`, is made of in its place.
    pub fn all_plugins(&self) -> Vec<&Map<String, Value>> {
        let mut all = Vec::new();
        for plugin in &self.plugins {
            let fused = plugin.config.get("plugins").and_then(Value::as_array);
            match fused.filter(|_| plugin.plugin_type == crate::plugins::SELF) {
                Some(entries) => all.extend(entries.iter().filter_map(Value::as_object)),
                None => all.push(&plugin.config),
            }
        }
        all
    }
}

impl Plugin {
    /// What of `given` the plugin's `capabilities` ask for.
    pub fn asked_for(&self, given: &Map<String, Value>) -> Map<String, Value> {
        let asked = self.config.iter().find(|(key, _)| key.eq_ignore_ascii_case("capabilities"));
        let asked = asked.and_then(|(_, asked)| asked.as_object());
        let asks = |key: &str| {
            asked.and_then(|asked| asked.get(key)).and_then(Value::as_bool).unwrap_or_default()
        };
        let given = given.iter().filter(|(key, _)| asks(key));
        given.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// One file being read.
struct Reading<'a> {
    path: &'a Path,
}

impl Reading<'_> {
    fn wrong(&self, key: &str, reason: impl Into<String>) -> ConfError {
        ConfError::Key { path: self.path.to_owned(), key: key.to_owned(), reason: reason.into() }
    }

    fn wrong_kind(&self, key: &str, wanted: &str, found: &Value) -> ConfError {
        self.wrong(key, format!("must be {wanted}, but is {}", kind_of(found)))
    }

    fn object(&self, bytes: &[u8]) -> Result<Map<String, Value>, ConfError> {
        serde_json::from_slice(bytes)
            .map_err(|source| ConfError::Json { path: self.path.to_owned(), source })
    }

    fn plugin(&self, key: &str, value: &Value, path: Option<PathBuf>) -> Result<Plugin, ConfError> {
        let Some(config) = value.as_object() else {
            return Err(self.wrong_kind(key, "an object", value));
        };
        let at = |inner: &str| {
            if key.is_empty() { inner.to_owned() } else { format!("{key}.{inner}") }
        };
        let plugin_type = match member(value, "type") {
            Some(Value::String(text)) if !text.is_empty() => text.clone(),
            None | Some(Value::String(_)) => {
                return Err(
                    self.wrong(&at("type"), "is missing; name a plugin, such as \"bridge\"")
                );
            }
            Some(other) => return Err(self.wrong_kind(&at("type"), "a string", other)),
        };
        if let Some(asked) = member(value, "capabilities") {
            let Some(asked) = asked.as_object() else {
                return Err(self.wrong_kind(&at("capabilities"), "an object", asked));
            };
            if let Some((name, value)) = asked.iter().find(|(_, value)| !value.is_boolean()) {
                let key = at(&format!("capabilities.{name}"));
                return Err(self.wrong_kind(&key, "true or false", value));
            }
        }
        Ok(Plugin { config: config.clone(), plugin_type, path })
    }

    /// A key that is true or false; the words count as well, in any case.
    fn flag(&self, list: &Map<String, Value>, key: &str) -> Result<bool, ConfError> {
        match list.get(key) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(other) => Err(self.wrong(key, format!("must be true or false, but is {other}"))),
        }
    }

    /// Of `cniVersions` and `cniVersion` the newest that is spoken.
    fn version(&self, list: &Map<String, Value>) -> Result<String, ConfError> {
        let one = match list.get("cniVersion") {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => return Err(self.wrong_kind("cniVersion", "a string", other)),
        };
        let Some(all) = list.get("cniVersions") else { return Ok(one) };
        let Some(all) = all.as_array() else {
            return Err(self.wrong_kind("cniVersions", "a list", all));
        };
        let mut newest = None;
        for (place, version) in all.iter().enumerate() {
            let key = format!("cniVersions[{place}]");
            let Some(text) = version.as_str() else {
                return Err(self.wrong_kind(&key, "a string", version));
            };
            newest = newest.max(self.spoken(&key, text)?);
        }
        if !one.is_empty() {
            newest = newest.max(self.spoken("cniVersion", &one)?);
        }
        Ok(newest.map_or(one, |(_, text)| text))
    }

    /// A version that is not newer than the newest spoken, to be compared.
    fn spoken(&self, key: &str, text: &str) -> Result<Option<([u32; 3], String)>, ConfError> {
        let wrong =
            || self.wrong(key, format!("is {text:?}, which is no version such as \"1.1.0\""));
        let numbers = numbers(text).ok_or_else(wrong)?;
        let newest = numbers_of_current();
        Ok((numbers <= newest).then(|| (numbers, text.to_owned())))
    }
}

/// The three numbers of a version; later ones may be left out, as libcni allows.
fn numbers(text: &str) -> Option<[u32; 3]> {
    let mut numbers = [0; 3];
    let parts: Vec<_> = text.split('.').collect();
    if parts.len() > numbers.len() {
        return None;
    }
    for (number, part) in numbers.iter_mut().zip(parts) {
        *number = part.parse().ok()?;
    }
    Some(numbers)
}

fn numbers_of_current() -> [u32; 3] {
    numbers(Version::CURRENT.as_str()).unwrap_or_default()
}
