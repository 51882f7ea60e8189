//! The network configuration of one plugin, as the runtime gives it on stdin (CNI spec 1.1.0,
//! section 1 and section 3, "Deriving request configuration"; CONVENTIONS).
//!
//! Keys that only one plugin knows stay in [`NetworkConfig::value`]; a plugin reads its own with
//! [`section`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

pub use super::address::{RequestedIp, cidr, optional_cidr, optional_ip};
pub use super::keys::{filled, member, repeated_key, section, section_at};
pub use super::runtime_config::{
    Bandwidth, CniArgs, Label, PortMapping, RuntimeConfig, RuntimeDns,
};

use super::error::Error;
use super::names;
use super::render::AnyForm;
use super::result::{AddResult, Dns};
use super::version::Version;

/// A network configuration whose common keys have been read and checked.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// `cniVersion`; what results and errors must speak.
    pub version: Version,
    /// `name`: the network's name, fit to be part of a path.
    pub name: String,
    /// `type`: the plugin's name, fit to be the name of a file.
    pub plugin_type: String,
    /// `ipam`; absent if its `type` is absent or empty.
    pub ipam: Option<Value>,
    /// `dns`.
    pub dns: Dns,
    /// `prevResult`, in whichever form it came.
    pub prev_result: Option<AddResult>,
    /// `runtimeConfig`: what the runtime gives for `capabilities`.
    pub runtime: RuntimeConfig,
    /// `args.cni`.
    pub cni_args: CniArgs,
    /// `cni.dev/valid-attachments`, or `cni.dev/attachments` of some runtimes. Absent is not the same as empty: without the list nothing is
    /// known about what is valid.
    pub valid_attachments: Option<Vec<ValidAttachment>>,
    /// `logFile`: where to append the log.
    pub log_file: Option<PathBuf>,
    /// `logLevel`.
    pub log_level: Option<String>,
    /// `logFormat`.
    pub log_format: Option<String>,
    /// `stateDir`, a key of causeway's own: the folder for its records; absolute.
    pub state_dir: Option<PathBuf>,
    /// The whole object.
    pub value: Value,
    /// The object as it came, to be handed to a delegated plugin unaltered.
    pub bytes: Vec<u8>,
    /// Stdin as it came; also for an entry of a list, whose [`Self::bytes`] are written anew.
    pub stdin: Arc<[u8]>,
}

/// The key of the attachments that GC must leave alone, and what some runtimes call it.
const VALID_ATTACHMENTS: &str = "cni.dev/valid-attachments";
const ATTACHMENTS: &str = "cni.dev/attachments";

/// The key of causeway's own for how long a foreign plugin may take, in seconds; plugins are given it
/// with the rest of their configuration.
pub const DELEGATE_TIMEOUT: &str = "delegateTimeout";

/// One of `cni.dev/valid-attachments`: an attachment that GC must leave alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct ValidAttachment {
    /// CNI_CONTAINERID of its ADD.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// CNI_IFNAME of its ADD.
    pub ifname: String,
}

/// The version alone, read first so that every later error can be answered in it.
#[derive(Deserialize)]
struct VersionKey {
    #[serde(rename = "cniVersion", default)]
    cni_version: Option<String>,
}

/// The keys that every plugin has.
#[derive(Deserialize, Default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Keys {
    /// The network's name. In a list it is the list's.
    name: String,
    /// The plugin.
    r#type: String,
    /// The address source.
    ipam: Option<Map<String, Value>>,
    /// Name resolution for the container's result.
    dns: Dns,
    /// The result of the plugin before; the runtime sets it.
    #[cfg_attr(test, schemars(skip))]
    prev_result: Option<AnyForm>,
    /// What the runtime gives for `capabilities`; the runtime sets it.
    #[cfg_attr(test, schemars(skip))]
    runtime_config: RuntimeConfig,
    /// The attachments that GC leaves alone; the runtime sets them.
    #[serde(rename = "cni.dev/valid-attachments")]
    #[cfg_attr(test, schemars(skip))]
    valid_attachments: Option<Vec<ValidAttachment>>,
    /// What some runtimes call the key before.
    #[serde(rename = "cni.dev/attachments")]
    #[cfg_attr(test, schemars(skip))]
    attachments: Option<Vec<ValidAttachment>>,
    /// Our own: a file to which the log is appended; absolute.
    #[serde(deserialize_with = "filled")]
    log_file: Option<String>,
    /// Our own: how much is logged.
    #[serde(deserialize_with = "filled")]
    #[cfg_attr(test, schemars(extend("enum" = ["off", "error", "warn", "info", "debug", "trace"])))]
    log_level: Option<String>,
    /// Our own: whether the log is lines for people or JSON lines.
    #[serde(deserialize_with = "filled")]
    #[cfg_attr(test, schemars(extend("enum" = ["text", "json"])))]
    log_format: Option<String>,
    /// Our own: the folder for records of attachments, absolute; `/var/lib/cni/causeway` without
    /// it.
    #[serde(deserialize_with = "filled")]
    state_dir: Option<String>,
    /// Our own: seconds that a foreign plugin may take, 1 to 65535, before it is killed; 100 without.
    delegate_timeout: Option<std::num::NonZeroU16>,
}

impl NetworkConfig {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// [`Error::NoConfiguration`] and [`Error::Json`] if `bytes` are not JSON;
    /// [`Error::UnsupportedVersion`]; [`Error::MissingKey`], [`Error::KeyName`] and [`Error::Key`]
    /// for the keys. Once the version is known, errors come as [`Error::Spoken`].
    pub fn read(bytes: Vec<u8>) -> Result<Self, Error> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::NoConfiguration);
        }
        let value: Value = serde_json::from_slice(&bytes).map_err(Error::Json)?;
        let key: VersionKey = section(&value, &[])?;
        let version = Version::of_configuration(key.cni_version.as_deref())?;
        let stdin = Arc::from(bytes.as_slice());
        Self::of_version(version, value, bytes, stdin).map_err(|error| error.spoken_in(version))
    }

    /// The configuration of one entry of a list of plugins, as a runtime derives it (CNI spec 1.1.0,
    /// section 3, "Deriving request configuration from plugin configuration"): name, version,
    /// prevResult and valid attachments are the list's, here `outer`; of `runtimeConfig` an entry
    /// gets what its `capabilities` ask for. `args`, `stateDir`, `delegateTimeout` and the log's
    /// keys are the list's where the entry has none.
    ///
    /// # Errors
    /// As [`NetworkConfig::read`], with paths from the entry.
    pub fn of_entry(outer: &Self, entry: &Value) -> Result<Self, Error> {
        let Some(entry) = entry.as_object() else {
            return Err(Error::Key { path: String::new(), reason: "must be an object".into() });
        };
        let mut map = entry.clone();
        let given = |key: &str| member(&outer.value, key).cloned();
        for key in ["cniVersion", "name", "prevResult", VALID_ATTACHMENTS, ATTACHMENTS] {
            map.retain(|known, _| !known.eq_ignore_ascii_case(key));
            if let Some(value) = given(key) {
                map.insert(key.to_owned(), value);
            }
        }
        for key in ["args", "stateDir", "logFile", "logLevel", "logFormat", DELEGATE_TIMEOUT] {
            if !map.keys().any(|known| known.eq_ignore_ascii_case(key))
                && let Some(value) = given(key)
            {
                map.insert(key.to_owned(), value);
            }
        }
        map.retain(|known, _| !known.eq_ignore_ascii_case("runtimeConfig"));
        if let Some(Value::Object(runtime)) = given("runtimeConfig") {
            let asked = |key: &str| {
                let asked = map.get("capabilities").and_then(|asked| asked.get(key));
                asked.and_then(Value::as_bool).unwrap_or_default()
            };
            let runtime: Map<_, _> = runtime.into_iter().filter(|(key, _)| asked(key)).collect();
            if !runtime.is_empty() {
                map.insert("runtimeConfig".to_owned(), Value::Object(runtime));
            }
        }
        let value = Value::Object(map);
        let bytes = serde_json::to_vec(&value)
            .map_err(|source| Error::Serialize { what: "the entry", source })?;
        Self::of_version(outer.version, value, bytes, Arc::clone(&outer.stdin))
    }

    /// What VERSION needs of stdin, which is no more than `cniVersion`: bytes that are not a
    /// configuration are as good as none.
    pub fn of_version_request(bytes: Vec<u8>) -> Self {
        let value = serde_json::from_slice(&bytes).unwrap_or_default();
        let version = member(&value, "cniVersion")
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok())
            .unwrap_or(Version::CURRENT);
        Self {
            version,
            name: String::new(),
            plugin_type: String::new(),
            ipam: None,
            dns: Dns::default(),
            prev_result: None,
            runtime: RuntimeConfig::default(),
            cni_args: CniArgs::default(),
            valid_attachments: None,
            log_file: None,
            log_level: None,
            log_format: None,
            state_dir: None,
            value,
            stdin: Arc::from(bytes.as_slice()),
            bytes,
        }
    }

    /// `cniVersion` as it was written, for [`super::version::version_reply`].
    pub fn given_version(&self) -> Option<&str> {
        member(&self.value, "cniVersion").and_then(Value::as_str)
    }

    /// The whole object of `args.cni`, for plugins that know more of its keys than [`CniArgs`].
    pub fn cni_args_value(&self) -> Option<&Value> {
        member(member(&self.value, "args")?, "cni")
    }

    fn of_version(
        version: Version,
        value: Value,
        bytes: Vec<u8>,
        stdin: Arc<[u8]>,
    ) -> Result<Self, Error> {
        let keys: Keys = section(&value, &[])?;
        if keys.name.is_empty() {
            return Err(Error::MissingKey { key: "name", expected: "the network's name" });
        }
        names::network_name(&keys.name).map_err(at("name"))?;
        if keys.r#type.is_empty() {
            return Err(Error::MissingKey {
                key: "type",
                expected: "the plugin's name, such as \"bridge\"",
            });
        }
        names::plugin_type(&keys.r#type).map_err(at("type"))?;
        if let Some(folder) = &keys.state_dir
            && !Path::new(folder).is_absolute()
        {
            return Err(Error::Key {
                path: "stateDir".to_owned(),
                reason: format!("must be an absolute path, but is {folder:?}"),
            });
        }
        // `args` may hold anything, and what is not understood there is to be ignored; only
        // `args.cni` has a meaning.
        let cni_args = match member(&value, "args").and_then(|args| member(args, "cni")) {
            Some(args) => section_at("args.cni", args, &[])?,
            None => CniArgs::default(),
        };
        let prev_result = keys.prev_result.map(AnyForm::into_result).transpose();
        Ok(Self {
            version,
            name: keys.name,
            plugin_type: keys.r#type,
            ipam: ipam(keys.ipam)?,
            dns: keys.dns,
            prev_result: prev_result.map_err(|error| below("prevResult", error))?,
            runtime: keys.runtime_config,
            cni_args,
            // The specification called the key so for a while, and libcni sends both.
            valid_attachments: keys.valid_attachments.or(keys.attachments),
            log_file: keys.log_file.map(PathBuf::from),
            log_level: keys.log_level,
            log_format: keys.log_format,
            state_dir: keys.state_dir.map(PathBuf::from),
            value,
            bytes,
            stdin,
        })
    }
}

/// The section, unless it names no plugin.
fn ipam(section: Option<Map<String, Value>>) -> Result<Option<Value>, Error> {
    let Some(section) = section.map(Value::Object) else {
        return Ok(None);
    };
    #[derive(Deserialize)]
    struct TypeKey {
        #[serde(default)]
        r#type: String,
    }
    let key: TypeKey = section_at("ipam", &section, &[])?;
    if key.r#type.is_empty() {
        return Ok(None);
    }
    names::plugin_type(&key.r#type).map_err(at("ipam.type"))?;
    Ok(Some(section))
}

fn at(path: &'static str) -> impl Fn(names::NameError) -> Error {
    move |problem| Error::KeyName { path: path.to_owned(), problem }
}

fn below(parent: &str, error: Error) -> Error {
    match error {
        Error::Key { path, reason } => Error::Key { path: format!("{parent}.{path}"), reason },
        error => error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
