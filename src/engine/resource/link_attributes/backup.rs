//! The file in which the reference plugin tuning keeps what an interface was like. It is kept in
//! its form, so that either program can do the DEL of what the other has attached.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::ser::PrettyFormatter;

use crate::engine::Error;
use crate::kernel::link::Attributes;
use crate::protocol::keys::section;
use crate::state_file::{self, ASIDE, Found};

/// The longest file name that every file system holds, less what a name begins with while the file
/// is being written, or ends in when it was set aside.
const LONGEST_NAME: usize = 255 - ASIDE.len();

/// No container ID begins so.
const NEW: &str = ".new.";

/// A backup file, by its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Backup {
    path: PathBuf,
}

impl Backup {
    /// The file of an attachment; `None` when its name would be too long for a file's, so that the
    /// reference plugin can have none either. Both names must have been validated.
    pub fn of(directory: &Path, container_id: &str, ifname: &str) -> Option<Self> {
        let name = format!("{container_id}_{ifname}.json");
        (name.len() <= LONGEST_NAME).then(|| Self { path: directory.join(name) })
    }

    /// What is in the file; `None` when there is none. What cannot be understood is set aside
    /// ([`state_file::set_aside`]) and counts as none.
    ///
    /// # Errors
    /// [`Error::State`] when it is there and the disk does not give it.
    pub fn read(&self) -> Result<Option<Attributes>, Error> {
        let found = state_file::read(&self.path);
        let text = match found.map_err(|source| self.failed("read the backup", source))? {
            Found::Nothing => return Ok(None),
            Found::Strange(what) => Err(what.to_owned()),
            Found::File(text) => serde_json::from_slice(&text).map_err(|error| error.to_string()),
        };
        match text.and_then(|kept| section(&kept, &[]).map_err(|error| error.to_string())) {
            Ok(kept) => Ok(Some(kept)),
            Err(why) => {
                state_file::set_aside(&self.path, &format!("it is no backup of tuning: {why}"));
                Ok(None)
            }
        }
    }

    /// Writes the file anew.
    ///
    /// # Errors
    /// [`Error::State`], for instance on a full or read-only disk.
    pub fn write(&self, attributes: &Attributes) -> Result<(), Error> {
        let mut text = Vec::new();
        let form = PrettyFormatter::with_indent(b" ");
        let mut writer = serde_json::Serializer::with_formatter(&mut text, form);
        attributes
            .serialize(&mut writer)
            .map_err(|error| self.failed("write the backup", io::Error::other(error)))?;
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let temporary = self.temporary();
        let write = || {
            let mut file = state_file::make_anew(&temporary)?;
            file.write_all(&text)?;
            fs::rename(&temporary, &self.path)
        };
        let written = match write() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut builder = DirBuilder::new();
                builder
                    .recursive(true)
                    .mode(0o700)
                    .create(directory)
                    .map_err(|source| self.failed("make the directory (dataDir)", source))?;
                write()
            }
            other => other,
        };
        written.map_err(|source| {
            let _ = fs::remove_file(&temporary);
            self.failed("write the backup", source)
        })
    }

    /// Where the file is written before it takes the other's place.
    fn temporary(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!("{NEW}{name}"))
    }

    /// Removes the file, and what a killed process has written of it; none is fine.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn remove(&self) -> Result<(), Error> {
        let _ = fs::remove_file(self.temporary());
        match fs::remove_file(&self.path) {
            Err(source)
                if !matches!(
                    source.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Err(self.failed("remove the backup", source))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> Error {
        Error::State { path: self.path.clone(), doing, source }
    }
}
