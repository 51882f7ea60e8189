//! One small file per attachment and plugin, written before the kernel is touched, from which DEL
//! and GC finish what a killed process began.
//!
//! `<state>/<network>/<containerID>:<ifname>:<plugin>`: none of the three may hold a colon or a
//! slash. Writing is atomic against a kill (temporary file, then rename). There is no fsync: after
//! a crash of the whole node the boot ID has changed and every namespace is gone.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Error, Owner, Resource};
use crate::kernel::sysctl;
use crate::state_file::{self, Found};

/// Where the journal is unless the configuration's `stateDir` names another place.
pub const STATE_DIR: &str = "/var/lib/cni/causeway";

/// The longest file name that every file system holds, less what [`NEW`] or [`state_file::ASIDE`] adds.
const LONGEST_NAME: usize = 255 - state_file::ASIDE.len();

/// What the name of a record that is being written begins with; no container ID does.
const NEW: &str = ".new.";

/// What stands before the digest of a container ID that is too long for a file's name.
const DIGEST: &str = "sha256-";

/// The format of records.
const VERSION: u32 = 1;

/// What is written of an attachment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The format; 1.
    pub version: u32,
    /// The attachment.
    #[serde(flatten)]
    pub owner: Owner,
    /// The plugin's type.
    pub plugin: String,
    /// The kernel's boot ID at ADD; links and rules of an earlier boot are gone.
    pub boot: String,
    /// The namespace's path at ADD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<PathBuf>,
    /// Seconds since 1970.
    pub created: u64,
    /// `namespace/name` of the Kubernetes pod, when the runtime said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// What was planned, in order of making.
    pub resources: Vec<Resource>,
}

impl Record {
    /// Whether nothing of it can be alive: made under an earlier boot, and its namespace is gone.
    pub fn is_abandoned(&self, boot: &str) -> bool {
        // What cannot be looked at now may be there.
        let is_gone = |path: &PathBuf| path.try_exists().is_ok_and(|there| !there);
        self.boot != boot && self.netns.as_ref().is_none_or(is_gone)
    }
}

/// The journal of one network.
pub struct Journal {
    directory: PathBuf,
    network: String,
}

impl Journal {
    /// The journal of a network below a state directory; nothing is read or written yet. The name
    /// must have been validated: it becomes a directory's name.
    pub fn of(state: Option<&Path>, network: &str) -> Self {
        let state = state.unwrap_or(Path::new(STATE_DIR));
        Self { directory: state.join(network), network: network.to_owned() }
    }

    fn path(&self, container_id: &str, ifname: &str, plugin: &str) -> PathBuf {
        let name = format!("{container_id}:{ifname}:{plugin}");
        if name.len() <= LONGEST_NAME {
            return self.directory.join(name);
        }
        let digest = Sha256::digest(container_id.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.directory.join(format!("{DIGEST}{hex}:{ifname}:{plugin}"))
    }

    /// Reads an attachment's record; `None` when there is none. What cannot be understood, or is
    /// another attachment's, is set aside ([`state_file::set_aside`]) and counts as none.
    ///
    /// # Errors
    /// [`Error::State`] when it is there and the disk does not give it.
    pub fn read(&self, owner: &Owner, plugin: &str) -> Result<Option<Record>, Error> {
        self.read_file(&self.path(&owner.container_id, &owner.ifname, plugin))
    }

    fn read_file(&self, path: &Path) -> Result<Option<Record>, Error> {
        match self.look_at(path)? {
            Ok(record) => Ok(record),
            Err(why) => {
                state_file::set_aside(path, &format!("it is no record of causeway: {why}"));
                Ok(None)
            }
        }
    }

    /// The record in a file, if there is one, or why what is there is none.
    fn look_at(&self, path: &Path) -> Result<Result<Option<Record>, String>, Error> {
        let found = state_file::read(path).map_err(|source| Error::State {
            path: path.to_owned(),
            doing: "read the record",
            source,
        })?;
        Ok(match found {
            Found::Nothing => Ok(None),
            Found::Strange(what) => Err(what.to_owned()),
            Found::File(text) => self.judge(path, &text).map(Some),
        })
    }

    /// A record must be where it would have been written: its resources are removed in the name of the
    /// attachment that the file is called by.
    fn judge(&self, path: &Path, text: &[u8]) -> Result<Record, String> {
        let record: Record = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let owner = &record.owner;
        if record.version != VERSION {
            return Err(format!("its version is {}, not {VERSION}", record.version));
        }
        if owner.network != self.network {
            return Err(format!("it is of network {}", owner.network));
        }
        if self.path(&owner.container_id, &owner.ifname, &record.plugin) != path {
            return Err(format!("it is of {} by {}", owner.text(), record.plugin));
        }
        Ok(record)
    }

    /// Writes a record.
    ///
    /// # Errors
    /// [`Error::State`], for instance on a full or read-only disk.
    pub fn write(&self, record: &Record) -> Result<(), Error> {
        let path = self.path(&record.owner.container_id, &record.owner.ifname, &record.plugin);
        let failed = |doing| {
            let path = path.clone();
            move |source| Error::State { path, doing, source }
        };
        let text = serde_json::to_vec(record)
            .map_err(|error| failed("write the record")(io::Error::other(error)))?;
        let temporary = self.unfinished(&path);
        let open = || state_file::make_anew(&temporary);
        let mut file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                state_file::make_private(&self.directory, 2)
                    .map_err(failed("make the directory"))?;
                open()
            }
            other => other,
        }
        .map_err(failed("write the record"))?;
        let written = file.write_all(&text).and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|source| {
            let _ = fs::remove_file(&temporary);
            failed("write the record")(source)
        })
    }

    /// Removes an attachment's record; none is fine.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn remove(&self, owner: &Owner, plugin: &str) -> Result<(), Error> {
        let path = self.path(&owner.container_id, &owner.ifname, plugin);
        // Where the folder is a file, there is no record either.
        let is_absent =
            |kind| matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        match fs::remove_file(&path) {
            Err(source) if !is_absent(source.kind()) => {
                Err(Error::State { path, doing: "remove the record", source })
            }
            _ => Ok(()),
        }
    }

    /// Removes what a call that was killed while it wrote a record has left of it. Only a call that
    /// keeps others of the attachment out may do so.
    pub fn remove_unfinished(&self, owner: &Owner, plugin: &str) {
        let path = self.path(&owner.container_id, &owner.ifname, plugin);
        let _ = fs::remove_file(self.unfinished(&path));
    }

    /// Where the record at `path` is written before it has its name.
    fn unfinished(&self, path: &Path) -> PathBuf {
        let mut name = OsString::from(NEW);
        name.push(path.file_name().unwrap_or_default());
        self.directory.join(name)
    }

    /// Every record of the network; files that are none are passed over.
    ///
    /// # Errors
    /// [`Error::State`] when the directory cannot be listed.
    pub fn list(&self) -> Result<Vec<Record>, Error> {
        self.list_where(&|_, _| true)
    }

    /// The records of those attachments, container ID and interface, that `wanted` is true of, and any whose
    /// file does not tell. Files of others are not read.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn list_where(&self, wanted: &dyn Fn(&str, &str) -> bool) -> Result<Vec<Record>, Error> {
        let failed = |source| Error::State {
            path: self.directory.clone(),
            doing: "list the records",
            source,
        };
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut records = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') || name.ends_with(state_file::ASIDE) {
                continue;
            }
            let mut parts = name.split(':');
            if let (Some(container_id), Some(ifname)) = (parts.next(), parts.next())
                && !container_id.starts_with(DIGEST)
                && !wanted(container_id, ifname)
            {
                continue;
            }
            match self.read_file(&entry.path()) {
                Ok(record) => records.extend(record),
                Err(error) => log::error!("passed over: {error}"),
            }
        }
        Ok(records)
    }

    /// Removes what killed processes were writing of attachments that are not among the `valid`, container
    /// IDs and interfaces: of those an ADD may be under way.
    pub fn sweep(&self, valid: &HashSet<(&str, &str)>) {
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| name.starts_with(NEW)) else { continue };
            let plugin = name.rsplit(':').next().unwrap_or_default();
            let is_of = |&(container_id, ifname): &(&str, &str)| {
                self.unfinished(&self.path(container_id, ifname, plugin)) == entry.path()
            };
            if !valid.iter().any(is_of) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Every record of one attachment to the network, whichever of the plugins made it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of_attachment(
        &self,
        container_id: &str,
        ifname: &str,
        plugins: &[&str],
    ) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        for plugin in plugins {
            records.extend(self.read_file(&self.path(container_id, ifname, plugin))?);
        }
        Ok(records)
    }
}

/// A file among the records that is none, and why.
pub type Stray = (PathBuf, String);

/// Every record of all networks below a state directory, and the files there that are none, with the
/// reason. For looking only: unlike [`Journal::list`] it sets nothing aside.
///
/// # Errors
/// [`Error::State`] when a directory cannot be listed.
pub fn all(state: &Path) -> Result<(Vec<Record>, Vec<Stray>), Error> {
    let (mut records, mut others) = (Vec::new(), Vec::new());
    for network in names_in(state)? {
        let directory = state.join(&network);
        if !directory.is_dir() {
            continue;
        }
        let journal =
            Journal { directory: directory.clone(), network: network.to_string_lossy().into() };
        for name in names_in(&directory)? {
            let path = directory.join(&name);
            let is_being_written = name.to_string_lossy().starts_with(NEW);
            if is_being_written {
                continue;
            }
            match journal.look_at(&path) {
                // Nothing: removed since the directory was read.
                Ok(Ok(record)) => records.extend(record),
                Ok(Err(why)) => others.push((path, why)),
                Err(error) => others.push((path, error.to_string())),
            }
        }
    }
    Ok((records, others))
}

/// The names in a directory, sorted; none if it is not there.
fn names_in(directory: &Path) -> Result<Vec<OsString>, Error> {
    let failed =
        |source| Error::State { path: directory.to_owned(), doing: "list the records", source };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names = names.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    names.sort_unstable();
    Ok(names)
}

/// The first record, of all networks below a state directory, that `wanted` is true of. Reads every
/// record until then; for telling people who has what they want.
pub fn search(state: Option<&Path>, wanted: &dyn Fn(&Record) -> bool) -> Option<Record> {
    let state = state.unwrap_or(Path::new(STATE_DIR));
    for network in fs::read_dir(state).ok()?.flatten() {
        let name = network.file_name();
        let Some(name) = name.to_str() else { continue };
        let records = Journal::of(Some(state), name).list().unwrap_or_default();
        if let Some(found) = records.into_iter().find(|record| wanted(record)) {
            return Some(found);
        }
    }
    None
}

/// The kernel's boot ID (random(4)), read once; empty when it cannot be read, which matches no
/// other.
pub fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| sysctl::read("kernel/random/boot_id").unwrap_or_default())
}
