//! The directory of one network's leases: its lock, its files, and the mark that tells whether
//! anybody else has changed it.
//!
//! Names, contents and lock are the reference plugin's; ours begin with `.causeway`.
//!
//! # The mark
//! The kernel sets a directory's modification time whenever a name in it comes or goes. After each
//! change of our own we set it once more: to now, but with a number of nanoseconds that a clock
//! shows once in some 10^8 times. So as long as that number stands there, the directory is exactly
//! as we left it, and what we have written beside the leases (index, bitmaps) is true of them. The
//! change time, which nobody can set, must be of the same moment: it is not where a copy of the
//! directory was put back together with its modification time.
//!
//! Without the mark, the reference plugin, a person or a killed process of ours has been at work:
//! whoever comes next reads every lease once ([`super::rebuild`]). On a file system that does not
//! keep nanoseconds that happens each time, which is slow and right.

use std::cell::Cell;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, fstat, fstatat, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use super::error::Error;
use super::holder::Claim;
use crate::kernel::{lock, raw};

/// Under this name a lease file is written before it gets its own.
pub const STAGED: &str = ".causeway-new";

/// What the names of things begin with that were set aside; a number and their own name follow.
const ASIDE: &str = ".causeway-damaged:";

/// How many of one name are set aside before somebody must look at them.
const MOST_ASIDE: u32 = 1000;

/// More than any lease file holds, in bytes.
const LARGEST: u64 = 1 << 20;

/// flock(2) on it is what the reference plugin does, too.
const LOCK: &str = "lock";

/// The nanoseconds of the mark, to which the [`Hints`] are added.
const MARK: i64 = 314_159_260;

/// How much later than the mark's own time the change time may be, in seconds; some time may pass
/// between asking for the time and setting it.
const MOMENT: std::ops::RangeInclusive<i64> = -1..=5;

/// What the mark says about the directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hints {
    /// There may be bitmaps.
    pub bitmaps: bool,
    /// There are leases that name a container ID alone.
    pub container_claims: bool,
}

impl Hints {
    fn nanoseconds(self) -> i64 {
        MARK + i64::from(self.bitmaps) + 2 * i64::from(self.container_claims)
    }

    fn read(nanoseconds: i64) -> Option<Self> {
        let bits = nanoseconds.checked_sub(MARK).filter(|bits| (0..4).contains(bits))?;
        Some(Self { bitmaps: bits & 1 != 0, container_claims: bits & 2 != 0 })
    }
}

/// The directory, locked as long as the value lives.
pub struct Directory {
    /// Above `fd`, so that it ends first.
    _lock: Option<File>,
    fd: OwnedFd,
    path: PathBuf,
    hints: Cell<Option<Hints>>,
}

impl Directory {
    /// Opens and locks the directory, and makes it first if there is none.
    ///
    /// # Errors
    /// [`Error::NotADirectory`], [`Error::Io`].
    pub fn make(path: &Path) -> Result<Self, Error> {
        let fd = match open_directory(path) {
            Err(Errno::ENOENT) => {
                let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
                made.map_err(|source| io_error(path, "make the directory", source))?;
                open_directory(path)
            }
            other => other,
        };
        let fd = fd.map_err(|errno| refused(path, errno))?;
        let lock = lock(path, &fd, true)?;
        Self::locked(path, fd, lock)
    }

    /// Opens and locks the directory; none if it is not there.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub fn find(path: &Path) -> Result<Option<Self>, Error> {
        Self::find_and_lock(path, true)
    }

    /// As [`Self::find`], to look only: not even the lock is made when it is not there.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub fn look(path: &Path) -> Result<Option<Self>, Error> {
        Self::find_and_lock(path, false)
    }

    fn find_and_lock(path: &Path, make_lock: bool) -> Result<Option<Self>, Error> {
        let fd = match open_directory(path) {
            Err(Errno::ENOENT) => return Ok(None),
            // Something else in the place of a parent: then there is nothing here, either.
            Err(Errno::ENOTDIR) if fs::symlink_metadata(path).is_err() => return Ok(None),
            other => other.map_err(|errno| refused(path, errno))?,
        };
        let lock = lock(path, &fd, make_lock)?;
        Self::locked(path, fd, lock).map(Some)
    }

    fn locked(path: &Path, fd: OwnedFd, lock: Option<File>) -> Result<Self, Error> {
        let about = fstat(&fd).map_err(|errno| io_error(path, "look at the directory", errno))?;
        let is_of_a_moment = MOMENT.contains(&about.st_ctime.saturating_sub(about.st_mtime));
        let hints = Hints::read(about.st_mtime_nsec).filter(|_| is_of_a_moment);
        Ok(Self { _lock: lock, fd, path: path.to_owned(), hints: Cell::new(hints) })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the mark says; none if there is no mark, or was none when the directory was opened.
    pub fn hints(&self) -> Option<Hints> {
        self.hints.get()
    }

    /// Whether the mark says that there may be bitmaps.
    pub fn has_bitmaps(&self) -> bool {
        self.hints.get().is_some_and(|hints| hints.bitmaps)
    }

    /// Remembers, for the next [`Self::mark`], that there are bitmaps now.
    pub fn note_bitmaps(&self) {
        self.hints.set(self.hints.get().map(|hints| Hints { bitmaps: true, ..hints }));
    }

    /// Remembers what has been found out, for the next [`Self::mark`].
    pub fn note(&self, hints: Hints) {
        self.hints.set(Some(hints));
    }

    /// Takes what the mark said for untrue: the directory is not marked, and the next call that writes
    /// makes what stands beside the leases anew.
    pub fn distrust(&self) {
        self.hints.set(None);
    }

    /// Marks the directory as being as we left it; to be called last. Without hints nothing is
    /// known, and nothing marked. A file system that refuses makes the next call slower, not wrong.
    pub fn mark(&self) {
        let Some(hints) = self.hints.get() else { return };
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
        let seconds = i64::try_from(seconds).unwrap_or_default();
        let time = TimeSpec::new(seconds, hints.nanoseconds());
        if let Err(errno) = futimens(&self.fd, &TimeSpec::UTIME_OMIT, &time) {
            log::debug!("{}: cannot set the modification time: {errno}", self.path.display());
        }
    }

    /// Opens a file that we keep beside the leases; none if it is not there. Something else of that
    /// name is set aside if the file is to be written to, and else counts as none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(&self, name: &str, flags: OFlag) -> Result<Option<File>, Error> {
        let opened = match self.open_as_it_is(name, flags) {
            Err(errno) if is_strange(errno) => {
                if !flags.intersects(OFlag::O_WRONLY | OFlag::O_RDWR) {
                    return Ok(None);
                }
                self.set_aside(name, errno.desc())?;
                self.open_as_it_is(name, flags)
            }
            other => other,
        };
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.error(name, "open the file", errno)),
        }
    }

    /// Reads the start of a file that [`Self::open`] gave; none if it cannot be read. What is no file,
    /// such as a pipe, is set aside if `writes` says that one is to be written in its place. A file that
    /// cannot be read now stays.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be set aside.
    pub fn read(
        &self,
        name: &str,
        file: &mut File,
        start: &mut [u8],
        writes: bool,
    ) -> Result<Option<usize>, Error> {
        match file.read(start) {
            Ok(length) => Ok(Some(length)),
            Err(error) => {
                if writes && !file.metadata().is_ok_and(|about| about.is_file()) {
                    self.set_aside(name, &error.to_string())?;
                }
                Ok(None)
            }
        }
    }

    fn open_as_it_is(&self, name: &str, flags: OFlag) -> nix::Result<File> {
        // A name may be anybody's: no pipe may keep us waiting, no link lead us elsewhere.
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        openat(&self.fd, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map(File::from)
    }

    /// Renames what stands in our way under one of our names, and says so in the log.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set_aside(&self, name: &str, why: &str) -> Result<(), Error> {
        // Names of index entries may be as long as names can be.
        let start: String = name.chars().take(64).collect();
        for number in 0..MOST_ASIDE {
            let aside = format!("{ASIDE}{number}:{start}");
            match rename_new(&self.fd, name, &aside) {
                Err(Errno::EEXIST) => {}
                Ok(()) | Err(Errno::ENOENT) => {
                    let place = self.path.display();
                    log::error!("{place}/{name}: set aside as {aside}, it is none of ours: {why}");
                    return Ok(());
                }
                Err(errno) => return Err(self.error(name, "set the file aside", errno)),
            }
        }
        Err(self.error(name, "set the file aside, since so many are", Errno::EEXIST))
    }

    /// Hands the contents of a lease file to `judge`; [`Claim::Garbage`] for what cannot be read,
    /// and none if it is not there.
    pub fn claim<T>(&self, name: &str, judge: impl FnOnce(Claim<'_>) -> T) -> Option<T> {
        let mut file = match self.open_as_it_is(name, OFlag::O_RDONLY) {
            Ok(file) => file,
            Err(Errno::ENOENT) => return None,
            Err(_) => return Some(judge(Claim::Garbage)),
        };
        let mut start = [0; 512];
        match file.read(&mut start) {
            Ok(length) if length < start.len() => {
                Some(judge(Claim::parse(start.get(..length).unwrap_or_default())))
            }
            Ok(_) => {
                let mut all = start.to_vec();
                let rest = file.take(LARGEST).read_to_end(&mut all);
                let is_whole = rest.is_ok_and(|length| (length as u64) < LARGEST);
                Some(judge(if is_whole { Claim::parse(&all) } else { Claim::Garbage }))
            }
            Err(_) => Some(judge(Claim::Garbage)),
        }
    }

    /// Whether there is anything of that name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn exists(&self, name: &str) -> Result<bool, Error> {
        match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(self.error(name, "look at the file", errno)),
        }
    }

    /// Writes a file under the name [`STAGED`], to be [`Self::publish`]ed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn stage(&self, contents: &[u8]) -> Result<(), Error> {
        // Never into a file that is there: it may be a lease, published but for its second name.
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let fd = match openat(&self.fd, STAGED, flags, mode) {
            Err(Errno::EEXIST) => {
                self.remove(STAGED)?;
                openat(&self.fd, STAGED, flags, mode)
            }
            other => other,
        };
        let mut file = File::from(fd.map_err(|errno| self.error(STAGED, "make the file", errno))?);
        file.write_all(contents).map_err(|source| {
            let _ = self.remove(STAGED);
            self.error(STAGED, "write the file", source)
        })
    }

    /// Gives the staged file its name, whole or not at all; false if the name is taken.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn publish(&self, name: &str) -> Result<bool, Error> {
        match rename_new(&self.fd, STAGED, name) {
            Ok(()) => Ok(true),
            Err(Errno::EEXIST) => Ok(false),
            Err(errno) => Err(self.doubtful(name, "make the file", errno)),
        }
    }

    /// Removes a file; none is fine. A directory is set aside.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno @ Errno::EISDIR) => self.set_aside(name, errno.desc()),
            Err(errno) => Err(self.doubtful(name, "remove the file", errno)),
        }
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn link(&self, name: &str, target: &str) -> Result<(), Error> {
        symlinkat(target, &self.fd, name)
            .map_err(|errno| self.doubtful(name, "make the symbolic link", errno))
    }

    /// What a symbolic link points to; none if it is not there or is something else.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn target(&self, name: &str) -> Result<Option<String>, Error> {
        match readlinkat(&self.fd, name) {
            Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
            Err(Errno::ENOENT) => Ok(None),
            Err(Errno::EINVAL) => Ok(Some(String::new())),
            Err(errno) => Err(self.error(name, "read the symbolic link", errno)),
        }
    }

    /// The names in it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn names(&self) -> Result<impl Iterator<Item = String>, Error> {
        let failed = |source| io_error(&self.path, "list the directory", source);
        let entries = fs::read_dir(&self.path).map_err(failed)?;
        let names: Result<Vec<_>, _> =
            entries.map(|entry| entry.map(|one| one.file_name())).collect();
        Ok(names.map_err(failed)?.into_iter().filter_map(|name| name.into_string().ok()))
    }

    /// Every address that has a file, whatever is in it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn leased(&self) -> Result<Vec<IpAddr>, Error> {
        let failed = |source| io_error(&self.path, "list the directory", source);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            found.extend(name.to_str().and_then(|name| name.parse::<IpAddr>().ok()));
        }
        Ok(found)
    }

    /// As [`Self::error`], for a change. A disk that fails may have made it all the same, so what is in
    /// the directory is not known any more, and it is not marked.
    fn doubtful(&self, name: &str, doing: &'static str, source: impl Into<io::Error>) -> Error {
        self.distrust();
        self.error(name, doing, source)
    }

    /// An error about a file in the directory.
    pub fn error(&self, name: &str, doing: &'static str, source: impl Into<io::Error>) -> Error {
        io_error(&self.path.join(name), doing, source)
    }
}

fn open_directory(path: &Path) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty())
}

fn refused(path: &Path, errno: Errno) -> Error {
    match (errno, fs::symlink_metadata(path)) {
        (Errno::ENOTDIR | Errno::ELOOP, Ok(about)) if !about.is_dir() => {
            Error::NotADirectory { path: path.to_owned() }
        }
        _ => io_error(path, "open the directory", errno),
    }
}

fn lock(path: &Path, directory: &OwnedFd, make: bool) -> Result<Option<File>, Error> {
    let failed = |doing, errno| io_error(&path.join(LOCK), doing, errno);
    let open = |more| {
        // Nothing that stands there may lead elsewhere or keep us waiting.
        let safe = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let flags = OFlag::O_RDONLY | safe | more;
        openat(directory, LOCK, flags, Mode::from_bits_truncate(0o750))
    };
    let file: File = match open(OFlag::empty()) {
        Err(Errno::ENOENT) if make => open(OFlag::O_CREAT),
        // Who has never locked it has never changed it.
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) if is_strange(errno) => {
            let why = errno.desc();
            log::error!("{}: is no lock ({why}); remove it", path.join(LOCK).display());
            // The directory can be locked as well, and by everybody who finds the same.
            openat(directory, ".", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        }
        other => other,
    }
    .map_err(|errno| failed("open the lock", errno))?
    .into();
    let number = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or_default());
    lock::exclusive(&file).map_err(|error| failed("take the lock", number(error)))?;
    Ok(Some(file))
}

/// Renames a file, never over another one.
fn rename_new(directory: &OwnedFd, from: &str, to: &str) -> nix::Result<()> {
    match raw::rename_new(directory.as_fd(), from, to) {
        // File systems may lack the flag, and kernels the call.
        Err(Errno::EINVAL | Errno::ENOSYS) => {}
        other => return other,
    }
    nix::unistd::linkat(directory, from, directory, to, AtFlags::empty())?;
    unlinkat(directory.as_fd(), from, UnlinkatFlags::NoRemoveDir)
}

/// Whether this is what opening something else than a file gives: a link, a directory, a socket.
fn is_strange(errno: Errno) -> bool {
    matches!(errno, Errno::ELOOP | Errno::EISDIR | Errno::ENXIO)
}

fn io_error(path: &Path, doing: &'static str, source: impl Into<io::Error>) -> Error {
    Error::Io { path: path.to_owned(), doing, source: source.into() }
}
