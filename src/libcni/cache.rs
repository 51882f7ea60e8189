//! Results of ADD, kept by the runtime until DEL: one file for each attachment, with all that is needed
//! to call DEL or CHECK (libcni/api.go, `cachedInfo`). Read and written byte for byte as libcni does.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Attachment, Error, go_json};
use crate::engine::Owner;
use crate::protocol::result::AddResult;
use crate::protocol::version::Version;
use crate::state_file::{self, Found};

/// libcni's folder, in which `results` is.
pub const CACHE_DIR: &str = "/var/lib/cni";

/// Where results are found on a node: libcni's own place, and what CRI-O and podman made of it.
pub const RESULT_DIRS: [&str; 2] = ["/var/lib/cni/results", "/var/lib/cni/cache/results"];

/// What `kind` says of files that have more than the bare result.
const KIND: &str = "cniCacheV1";

/// What is kept of one attachment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cached {
    kind: String,
    /// The container ID.
    #[serde(rename = "containerId", default)]
    pub container_id: String,
    /// The configuration list that was used.
    #[serde(default, serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub config: Vec<u8>,
    /// The interface's name.
    #[serde(rename = "ifName", default)]
    pub ifname: String,
    /// The network's name.
    #[serde(rename = "networkName", default)]
    pub network: String,
    /// The namespace's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<PathBuf>,
    /// The pairs of CNI_ARGS.
    #[serde(
        rename = "cniArgs",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "or_null"
    )]
    pub args: Vec<(String, String)>,
    /// What `capabilities` of plugins may ask for.
    #[serde(
        rename = "capabilityArgs",
        default,
        skip_serializing_if = "Map::is_empty",
        deserialize_with = "or_null"
    )]
    pub capability_args: Map<String, Value>,
    /// The result of the last plugin, in the form of the list's version.
    #[serde(default, skip_serializing_if = "Map::is_empty", deserialize_with = "or_null")]
    pub result: Map<String, Value>,
    /// The file it was read from.
    #[serde(skip)]
    pub path: PathBuf,
    /// When the file was written.
    #[serde(skip)]
    pub written: Option<SystemTime>,
}

/// What the name of a result that is being written begins with.
const NEW: &str = ".causeway-new.";

impl Cached {
    /// What is to be kept of an attachment.
    pub fn new(network: &str, attachment: &Attachment, config: &[u8], result: Value) -> Self {
        Self {
            kind: KIND.to_owned(),
            container_id: attachment.container_id.clone(),
            config: config.to_vec(),
            ifname: attachment.ifname.clone(),
            network: network.to_owned(),
            netns: attachment.netns.clone(),
            args: attachment.args.clone(),
            capability_args: attachment.capability_args.clone(),
            result: match result {
                Value::Object(result) => result,
                _ => Map::new(),
            },
            path: PathBuf::new(),
            written: None,
        }
    }

    /// The attachment it is of.
    pub fn owner(&self) -> Owner {
        Owner {
            network: self.network.clone(),
            container_id: self.container_id.clone(),
            ifname: self.ifname.clone(),
        }
    }

    /// How the runtime would call plugins for it.
    pub fn attachment(&self) -> Attachment {
        Attachment {
            container_id: self.container_id.clone(),
            netns: self.netns.clone(),
            ifname: self.ifname.clone(),
            args: self.args.clone(),
            capability_args: self.capability_args.clone(),
        }
    }

    /// The result, in whichever version's form it is kept.
    ///
    /// # Errors
    /// A result that cannot be read.
    pub fn add_result(&self) -> Result<AddResult, crate::protocol::error::Error> {
        AddResult::read(&Value::Object(self.result.clone()))
    }

    /// The result in the form of another version, for prevResult.
    ///
    /// # Errors
    /// A result that cannot be read, or has no form in that version.
    pub fn result_as(&self, version: Version) -> Result<Value, crate::protocol::error::Error> {
        self.add_result()?.render(version)
    }

    /// `K8S_POD_NAMESPACE` and `K8S_POD_NAME` of CNI_ARGS as `namespace/name`.
    pub fn pod(&self) -> Option<String> {
        let of = |wanted: &str| {
            let found = self.args.iter().find(|(key, value)| key == wanted && !value.is_empty());
            found.map(|(_, value)| value.as_str())
        };
        Some(format!("{}/{}", of("K8S_POD_NAMESPACE")?, of("K8S_POD_NAME")?))
    }

    pub(crate) fn read_bytes(path: &Path, bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let value: Value = serde_json::from_slice(bytes)?;
        if value.get("kind").is_some() {
            let cached: Self = serde_json::from_value(value)?;
            if cached.kind != KIND {
                let found = format!("the kind is {:?}, not {KIND:?}", cached.kind);
                return Err(serde_json::Error::custom(found));
            }
            return Ok(Self { path: path.to_owned(), ..cached });
        }
        // libcni before 0.8 kept the bare result.
        let nobody = Attachment {
            container_id: String::new(),
            netns: None,
            ifname: String::new(),
            args: Vec::new(),
            capability_args: Map::new(),
        };
        AddResult::read(&value).map_err(serde_json::Error::custom)?;
        Ok(Self { path: path.to_owned(), ..Self::new("", &nobody, &[], value) })
    }
}

/// Where the result of an attachment is kept below a `results` folder. All three names must have been
/// validated.
pub fn path_of(results: &Path, owner: &Owner) -> PathBuf {
    results.join(format!("{}-{}-{}", owner.network, owner.container_id, owner.ifname))
}

/// Reads what is kept of one attachment; none when nothing is. A bare result, as early versions of
/// libcni kept it, gets its names from `owner`.
///
/// # Errors
/// [`Error::Cache`] when it is there and cannot be read.
pub fn read(results: &Path, owner: &Owner) -> Result<Option<Cached>, Error> {
    let path = path_of(results, owner);
    let failed =
        |source| Error::Cache { path: path.clone(), doing: "read the cached result", source };
    let bytes = match state_file::read(&path).map_err(failed)? {
        Found::Nothing => return Ok(None),
        Found::File(bytes) => bytes,
        Found::Strange(what) => return Err(failed(io::Error::other(what))),
    };
    let mut cached =
        Cached::read_bytes(&path, &bytes).map_err(|error| failed(io::Error::other(error)))?;
    cached.written = written(&path);
    if cached.network.is_empty() && cached.container_id.is_empty() {
        cached.network.clone_from(&owner.network);
        cached.container_id.clone_from(&owner.container_id);
        cached.ifname.clone_from(&owner.ifname);
    }
    Ok(Some(cached))
}

/// Everything that is kept below a `results` folder, by file name, and what cannot be read or does not
/// say whose it is. A folder that is not there is empty.
///
/// # Errors
/// [`Error::Cache`] when the folder cannot be read.
pub fn list(results: &Path) -> Result<(Vec<Cached>, Vec<Error>), Error> {
    let failed = |source| Error::Cache {
        path: results.to_owned(),
        doing: "list the cached results",
        source,
    };
    let entries = match fs::read_dir(results) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
        other => other.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with(NEW) {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    let (mut found, mut broken) = (Vec::new(), Vec::new());
    for path in paths {
        let read = match state_file::read(&path) {
            // Removed since the folder was read.
            Ok(Found::Nothing) => continue,
            Ok(Found::File(bytes)) => Ok(bytes),
            Ok(Found::Strange(what)) => Err(io::Error::other(what)),
            Err(error) => Err(error),
        };
        let read = read.and_then(|bytes| Ok(Cached::read_bytes(&path, &bytes)?));
        match read {
            Ok(cached) if cached.network.is_empty() || cached.container_id.is_empty() => {
                let source = io::Error::other("it does not say which attachment it is of");
                broken.push(Error::Cache { path, doing: "tell whose result it is", source });
            }
            Ok(mut cached) => {
                cached.written = written(&path);
                found.push(cached);
            }
            Err(source) => {
                broken.push(Error::Cache { path, doing: "read the cached result", source });
            }
        }
    }
    Ok((found, broken))
}

/// Keeps a result. Unlike libcni it is written beside and then renamed, so that a kill leaves all or
/// nothing.
///
/// # Errors
/// [`Error::Cache`].
pub fn write(results: &Path, cached: &Cached) -> Result<(), Error> {
    let path = path_of(results, &cached.owner());
    let failed =
        |source| Error::Cache { path: path.clone(), doing: "write the cached result", source };
    let text = go_json(cached).map_err(|error| failed(io::Error::other(error)))?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(results).map_err(failed)?;
    // Under this name it may be seen by who lists all results at this moment; it is whole by then, or
    // no JSON, which is passed over.
    let new = results.join(format!("{NEW}{}", std::process::id()));
    let written = state_file::make_anew(&new)
        .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
        .and_then(|()| fs::rename(&new, &path));
    written.map_err(|source| {
        let _ = fs::remove_file(&new);
        failed(source)
    })
}

/// Forgets a result by the path of its file; none is fine.
///
/// # Errors
/// [`Error::Cache`].
pub fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| Error::Cache {
            path: path.to_owned(),
            doing: "remove the cached result",
            source,
        }),
    }
}

fn written(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|about| about.modified()).ok()
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    STANDARD.decode(text).map_err(D::Error::custom)
}

/// null is what Go writes for a list or map that was never made.
fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[path = "cache_tests.rs"]
mod tests;
