//! The folder of plugins: everything that is done to it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::{BEFORE, Error};
use crate::plugins::SELF;

/// What comes in next.
const NEW: &str = ".new";
/// What goes out, until everything new is in.
const OLD: &str = ".old";

/// What is under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Present {
    /// Nothing.
    Nothing,
    /// A link to the program beside it.
    OwnLink,
    /// Anything else, or anything under the program's own name.
    Other,
}

/// The folder, locked against a second installation at the same time.
pub(super) struct BinDir {
    /// Its path.
    pub(super) path: PathBuf,
    lock: Flock<File>,
}

impl BinDir {
    /// Opens the folder.
    ///
    /// # Errors
    /// [`Error::NoFolder`], [`Error::NoExec`], [`Error::Busy`], and what the file system answers.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let missing = || Error::NoFolder { path: path.to_owned(), option: "--bin-dir" };
        let folder = match OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(path)
        {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            other => other.map_err(Error::at("open the folder", path))?,
        };
        let flags =
            statvfs(path).map_err(|errno| Error::at("look at", path)(errno.into()))?.flags();
        if flags.contains(FsFlags::ST_NOEXEC) {
            return Err(Error::NoExec(path.to_owned()));
        }
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { path: path.to_owned(), lock }),
            Err((_, Errno::EWOULDBLOCK)) => Err(Error::Busy(path.to_owned())),
            Err((_, errno)) => Err(Error::at("lock", path)(errno.into())),
        }
    }

    /// What is under a name.
    ///
    /// # Errors
    /// [`Error::InTheWay`] for a folder, and what the file system answers.
    pub(super) fn present(&self, name: &str) -> Result<Present, Error> {
        let path = self.path.join(name);
        let found = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Present::Nothing),
            other => other.map_err(Error::at("look at", &path))?,
        };
        if found.is_dir() {
            return Err(Error::InTheWay(path));
        }
        let is_own = name != SELF
            && found.is_symlink()
            && fs::read_link(&path).is_ok_and(|target| target == Path::new(SELF));
        Ok(if is_own { Present::OwnLink } else { Present::Other })
    }

    /// Whether the program is there already: the same bytes, for all to execute.
    ///
    /// # Errors
    /// What reading either answers.
    pub(super) fn has_program(&self, source: &File) -> Result<bool, Error> {
        let path = self.path.join(SELF);
        let found = fs::symlink_metadata(&path).map_err(Error::at("look at", &path))?;
        let length = source.metadata().map_err(Error::Itself)?.len();
        if !found.is_file() || found.len() != length || found.mode() & 0o555 != 0o555 {
            return Ok(false);
        }
        let there = fs::read(&path).map_err(Error::at("read", &path))?;
        Ok(there == read_whole(source)?)
    }

    /// Makes the folders that installing needs; what a run that was killed left there goes.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn prepare(&self) -> Result<(), Error> {
        self.clear()?;
        for folder in [self.before(), self.before().join(NEW), self.before().join(OLD)] {
            match DirBuilder::new().mode(0o755).create(&folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.map_err(Error::at("make the folder", &folder))?,
            }
        }
        Ok(())
    }

    /// Copies the program beside its place, down to the disk.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn put_program(&self, source: &File, name: &str) -> Result<(), Error> {
        let path = self.aside(NEW, name);
        let bytes = read_whole(source)?;
        write_new(&path, &bytes, 0o755).map_err(Error::at("write", &path))
    }

    /// Makes a link to the program beside its place.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn put_link(&self, name: &str) -> Result<(), Error> {
        let path = self.aside(NEW, name);
        symlink(SELF, &path).map_err(Error::at("make the link", &path))
    }

    /// Keeps what is under a name until the end of this run.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn hold(&self, name: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        fs::hard_link(&path, self.aside(OLD, name)).map_err(Error::at("keep", &path))
    }

    /// Keeps what is under a name for the undoing; it has been [`Self::hold`]ed.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn keep(&self, name: &str) -> Result<(), Error> {
        let (held, kept) = (self.aside(OLD, name), self.kept(name));
        // A second link to the same file: renaming one over the other would leave both.
        if is_same(&held, &kept) {
            return Ok(());
        }
        let passing = self.aside(OLD, &format!(".{name}"));
        let done = fs::hard_link(&held, &passing).and_then(|()| fs::rename(&passing, &kept));
        done.map_err(Error::at("keep", &kept))
    }

    /// Puts what is new into its place.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn bring_in(&self, name: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        fs::rename(self.aside(NEW, name), &path).map_err(Error::at("replace", &path))
    }

    /// Puts what was held back into its place, or takes away what is new where nothing was. Whether
    /// that worked.
    pub(super) fn take_back(&self, name: &str, replaced: bool) -> bool {
        let path = self.path.join(name);
        let done = if replaced {
            fs::rename(self.aside(OLD, name), &path)
        } else {
            fs::remove_file(&path)
        };
        done.is_ok()
    }

    /// Puts what was kept back into its place. It need not be kept any more: an undoing that was
    /// stopped is carried on.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn restore(&self, name: &str) -> Result<(), Error> {
        let (kept, path) = (self.kept(name), self.path.join(name));
        if !is_same(&kept, &path) {
            match fs::rename(&kept, &path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(Error::at("put back", &path))?,
            }
        }
        self.forget(name);
        Ok(())
    }

    /// Takes away what is under a name.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        remove_if_there(&path).map_err(Error::at("remove", &path))
    }

    /// Whether something is kept of a name that is not what is in its place, too.
    pub(super) fn is_kept(&self, name: &str) -> bool {
        let kept = self.kept(name);
        fs::symlink_metadata(&kept).is_ok() && !is_same(&kept, &self.path.join(name))
    }

    /// Lets go what is kept of a name.
    pub(super) fn forget(&self, name: &str) {
        let _ = fs::remove_file(self.kept(name));
    }

    /// Removes what is only of use during a run.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn clear(&self) -> Result<(), Error> {
        for folder in [NEW, OLD] {
            let folder = self.before().join(folder);
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(Error::at("remove", &folder))?,
            }
        }
        let _ = fs::remove_file(self.aside_of_record());
        // Of a run that was killed before it replaced them.
        for kept in fs::read_dir(self.before()).into_iter().flatten().flatten() {
            if is_same(&kept.path(), &self.path.join(kept.file_name())) {
                let _ = fs::remove_file(kept.path());
            }
        }
        // Where nothing is installed there is nothing in it now; else it is not empty and stays.
        let _ = fs::remove_dir(self.before());
        self.sync()
    }

    /// Removes the record.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn remove_record(&self) -> Result<(), Error> {
        let path = self.record();
        remove_if_there(&path).map_err(Error::at("remove", &path))
    }

    /// Has the folder itself written to the disk.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn sync(&self) -> Result<(), Error> {
        match self.lock.sync_all() {
            // File systems that know no such thing, or are read-only, have nothing to be written.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
            other => other.map_err(Error::at("sync", &self.path)),
        }
    }

    /// The record's path.
    pub(super) fn record(&self) -> PathBuf {
        self.before().join("record.json")
    }

    /// Writes the record in one step.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn replace_record(&self, text: &str) -> Result<(), Error> {
        let (path, new) = (self.record(), self.aside_of_record());
        let written = remove_if_there(&new)
            .and_then(|()| write_new(&new, text.as_bytes(), 0o644))
            .and_then(|()| fs::rename(&new, &path));
        written.map_err(Error::at("write", &path))
    }

    fn before(&self) -> PathBuf {
        self.path.join(BEFORE)
    }

    fn aside_of_record(&self) -> PathBuf {
        self.before().join(".record")
    }

    fn kept(&self, name: &str) -> PathBuf {
        self.before().join(name)
    }

    fn aside(&self, folder: &str, name: &str) -> PathBuf {
        self.before().join(folder).join(name)
    }
}

fn read_whole(mut source: &File) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    io::Seek::rewind(&mut source).map_err(Error::Itself)?;
    source.read_to_end(&mut bytes).map_err(Error::Itself)?;
    Ok(bytes)
}

/// Writes a file that is not there yet, down to the disk, with this very mode.
pub(super) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Removes a file; one that is not there is as good.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Whether two names are of one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let inode = |path| fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((inode(one), inode(other)), (Ok(one), Ok(other)) if one == other)
}
