//! A folder of network configurations, loaded as libcni loads it.
//!
//! Files ending in .conflist come first, then those in .conf and .json, which hold one plugin each;
//! of either kind in the order of their names. The first of a name counts. (containerd and CRI-O take
//! as their default network the first file of all by name; [`ConfDir::by_file_name`] has that order.)

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::ConfError;
use super::list::NetworkList;

/// What a folder holds.
#[derive(Debug, Default)]
pub struct ConfDir {
    /// The folder.
    pub path: PathBuf,
    /// The lists, in the order in which libcni looks for a name.
    pub lists: Vec<NetworkList>,
    /// What could not be loaded. libcni stops at the first of these, so that networks after it
    /// cannot be found; here they are left out.
    pub broken: Vec<ConfError>,
}

impl ConfDir {
    /// Loads a folder; one that is not there has nothing in it.
    ///
    /// # Errors
    /// [`ConfError::Io`] when the folder itself cannot be read.
    pub fn load(path: &Path) -> Result<Self, ConfError> {
        let mut loaded = Self { path: path.to_owned(), ..Self::default() };
        let lists = files(path, &["conflist"])?.into_iter().map(|file| load_list(&file));
        let singles = files(path, &["conf", "json"])?.into_iter().map(|file| load_single(&file));
        for list in lists.chain(singles) {
            match list {
                Ok(list) => loaded.lists.push(list),
                Err(error) => loaded.broken.push(error),
            }
        }
        Ok(loaded)
    }

    /// The network of a name.
    ///
    /// # Errors
    /// [`ConfError::NoNetwork`].
    pub fn network(&self, name: &str) -> Result<&NetworkList, ConfError> {
        self.lists.iter().find(|list| list.name == name).ok_or_else(|| {
            let mut known: Vec<_> = self.lists.iter().map(|list| list.name.clone()).collect();
            known.dedup();
            ConfError::NoNetwork {
                directory: self.path.clone(),
                name: name.to_owned(),
                known,
                broken: self.broken.iter().map(ToString::to_string).collect(),
            }
        })
    }

    /// The lists by file name alone, as containerd and CRI-O choose their default network: the first.
    pub fn by_file_name(&self) -> Vec<&NetworkList> {
        let mut lists: Vec<_> = self.lists.iter().collect();
        lists.sort_by(|one, other| one.path.cmp(&other.path));
        lists
    }
}

/// Loads one file, by the ending of its name: .conflist is a list, anything else one plugin.
///
/// # Errors
/// Any [`ConfError`] but [`ConfError::NoNetwork`].
pub fn load_file(path: &Path) -> Result<NetworkList, ConfError> {
    if path.extension().is_some_and(|ending| ending == "conflist") {
        load_list(path)
    } else {
        load_single(path)
    }
}

fn load_list(path: &Path) -> Result<NetworkList, ConfError> {
    let mut list = NetworkList::parse(path, &read(path)?)?;
    let folder = path.parent().unwrap_or(Path::new("")).join(&list.name);
    if !list.load_only_inlined_plugins && is_a_name(&list.name) {
        for file in files(&folder, &["conf"])? {
            list.plugins.push(NetworkList::parse_plugin(&file, &read(&file)?)?);
        }
    }
    if list.plugins.is_empty() {
        return Err(ConfError::NoPlugins { path: path.to_owned(), folder });
    }
    Ok(list)
}

fn load_single(path: &Path) -> Result<NetworkList, ConfError> {
    NetworkList::of_single(path, &read(path)?)
}

/// Whether a network's name leads to a folder below, and nowhere else.
fn is_a_name(name: &str) -> bool {
    crate::protocol::names::network_name(name).is_ok()
}

fn read(path: &Path) -> Result<Vec<u8>, ConfError> {
    fs::read(path).map_err(|source| io_error(path, "read it", source))
}

/// The files of a folder with one of the endings, by name. Folders do not count, links do.
fn files(directory: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, ConfError> {
    let failed = |source| io_error(directory, "list the folder", source);
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        // As Go has it, what follows the last dot is the ending, also of a name that begins with it.
        let name = entry.file_name();
        let ending = name.to_str().and_then(|name| Some(name.rsplit_once('.')?.1));
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_folder && ending.is_some_and(|ending| endings.contains(&ending)) {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn io_error(path: &Path, doing: &'static str, source: io::Error) -> ConfError {
    ConfError::Io { path: path.to_owned(), doing, source }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[path = "conf_dir_tests.rs"]
mod tests;
