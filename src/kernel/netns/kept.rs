//! Namespaces that outlive the process that made them: files that a namespace is bind-mounted over,
//! in a directory of their own, in the same way as iproute2's `ip netns`, so that each program sees
//! what the other made.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::{Error, Found, Namespace, OF_THIS_THREAD};
use crate::kernel::lock;

/// Where `ip netns` keeps its namespaces.
pub const DIRECTORY: &str = "/run/netns";

/// The longest file name in bytes (NAME_MAX of linux/limits.h).
const NAME_MAX: usize = 255;

/// How often [`delete`] unmounts and removes again: as many mounts may lie one upon the other.
const ATTEMPTS: usize = 64;

/// Makes a network namespace and keeps it as `directory`/`name`, whose path it gives. Like
/// `ip netns add`, it leaves `lo` down and makes the directory a mount with shared propagation, so
/// that what is made or deleted here comes and goes in other mount namespaces too.
///
/// The calling thread stays where it is. On failure nothing is left; a process killed half way may
/// leave an empty file, which [`list`] shows and [`delete`] removes.
///
/// # Errors
/// [`Error::Name`], [`Error::Exists`], [`Error::Occupied`], [`Error::Full`], or [`Error::Io`] with
/// the kernel's refusal.
pub fn create(directory: &Path, name: &str) -> Result<PathBuf, Error> {
    let path = path_of(directory, name)?;
    prepare(directory)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o000).open(&path);
    drop(file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(&path),
        _ => Error::io(&path, "make the file", error),
    })?);
    mount_new(&path).inspect_err(|_| {
        // The first error is the one to tell. It may be mounted although the answer was lost.
        let _ = remove(&path);
    })?;
    Ok(path)
}

/// A file in a directory of kept namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The file's name.
    pub name: OsString,
    /// The whole path.
    pub path: PathBuf,
    /// The namespace's inode number (see [`Namespace::inode`]); `None` when this is no network
    /// namespace, or cannot be opened.
    pub inode: Option<u64>,
}

impl Entry {
    /// Whether a network namespace is there, and not merely a file.
    pub fn is_namespace(&self) -> bool {
        self.inode.is_some()
    }
}

/// Everything in a directory of kept namespaces, by name; leftovers too. A directory that does not
/// exist is empty.
///
/// # Errors
/// [`Error::Io`] when the directory cannot be read.
pub fn list(directory: &Path) -> Result<Vec<Entry>, Error> {
    let failed = |error| Error::io(directory, "read the directory", error);
    let files = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut entries = Vec::new();
    for file in files {
        let file = file.map_err(failed)?;
        let path = file.path();
        let inode = match Namespace::open(&path) {
            Ok(namespace) => Some(namespace.inode()),
            // Deleted since the directory was read, unless it is a dead link.
            Err(Error::Gone { .. }) if path.symlink_metadata().is_err() => continue,
            Err(_) => None,
        };
        entries.push(Entry { name: file.file_name(), path, inode });
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Deletes the name `directory`/`name`, and says whether it was there. The namespace itself ends
/// with its last process, socket or other name.
///
/// Removes namespaces, leftovers of them, and symbolic links (never what a link leads to). Anything
/// else is not ours and stays.
///
/// # Errors
/// [`Error::Name`], [`Error::NotANamespace`], or [`Error::Io`] with the kernel's refusal.
pub fn delete(directory: &Path, name: &str) -> Result<bool, Error> {
    let path = path_of(directory, name)?;
    let metadata = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(|error| Error::io(&path, "look at", error))?,
    };
    if !metadata.is_symlink() {
        match Namespace::open(&path) {
            Ok(_) | Err(Error::NotANamespace { found: Found::EmptyFile, .. }) => {}
            Err(Error::Gone { .. }) => return Ok(false),
            Err(other) => return Err(other),
        }
    }
    remove(&path)
}

fn remove(path: &Path) -> Result<bool, Error> {
    let mut removed = false;
    for _ in 0..ATTEMPTS {
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => removed = true,
            // Nothing is mounted there, or somebody else was faster.
            Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(errno) => return Err(Error::io(path, "unmount", errno)),
        }
        match fs::remove_file(path) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(removed),
            // Another mount lies below, or was made in between.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Err(error) => return Err(Error::io(path, "remove the file", error)),
        }
    }
    Err(Error::io(path, "remove the file", Errno::EBUSY))
}

fn path_of(directory: &Path, name: &str) -> Result<PathBuf, Error> {
    let problem = match name {
        "" => "it is empty",
        "." | ".." => "it is a directory's",
        _ if name.contains('/') => "it contains '/'",
        _ if name.contains('\0') => "it contains a NUL",
        _ if name.len() > NAME_MAX => "it is longer than 255 bytes",
        _ => return Ok(directory.join(name)),
    };
    Err(Error::Name { name: name.to_owned(), problem })
}

/// Why the name could not be taken.
fn taken(path: &Path) -> Error {
    let path = path.to_owned();
    match Namespace::open(&path) {
        Err(Error::NotANamespace { found, .. }) => Error::Occupied { path, found },
        Err(Error::Gone { .. }) if path.is_symlink() => {
            Error::Occupied { path, found: Found::DeadLink }
        }
        _ => Error::Exists { path },
    }
}

/// Makes the directory, and makes it a mount with shared propagation.
///
/// The steps, and the lock around them, are iproute2's (ip/ipnetns.c, netns_add): without the lock,
/// many at once would each mount the directory over itself, again and again.
fn prepare(directory: &Path) -> Result<(), Error> {
    let held = open_directory(directory)?;
    lock::exclusive(&held).map_err(|error| Error::io(directory, "lock", error))?;
    let not_shared = |errno| Error::io(directory, "share the mount", errno);
    match propagate(directory, MsFlags::MS_SHARED) {
        // Not a mount yet.
        Err(Errno::EINVAL) => {}
        other => return other.map_err(not_shared),
    }
    let none: Option<&str> = None;
    mount(Some(directory), directory, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
        .map_err(|errno| Error::io(directory, "mount the directory over itself", errno))?;
    // Private first, so that sharing begins a peer group of its own: in the group of the mount
    // around it, every namespace would be mounted twice.
    propagate(directory, MsFlags::MS_PRIVATE)
        .and_then(|()| propagate(directory, MsFlags::MS_SHARED))
        .map_err(not_shared)
}

fn propagate(directory: &Path, how: MsFlags) -> nix::Result<()> {
    let none: Option<&str> = None;
    mount(none, directory, none, how | MsFlags::MS_REC, none)
}

fn open_directory(directory: &Path) -> Result<File, Error> {
    let open = || OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(directory);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = DirBuilder::new().recursive(true).mode(0o755).create(directory);
            made.map_err(|error| Error::io(directory, "make the directory", error))?;
            open()
        }
        other => other,
    }
    .map_err(|error| Error::io(directory, "open the directory", error))
}

/// Mounts a new namespace over the file. A thread of its own makes it and ends, so that whatever
/// happens no thread of the caller's is left in the wrong place.
fn mount_new(path: &Path) -> Result<(), Error> {
    let none: Option<&str> = None;
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
            Errno::ENOSPC => Error::Full { path: path.to_owned() },
            other => Error::io(path, "make a network namespace", other),
        })?;
        mount(Some(OF_THIS_THREAD), path, none, MsFlags::MS_BIND, none)
            .map_err(|errno| Error::io(path, "mount the network namespace", errno))
    };
    thread::scope(|scope| {
        thread::Builder::new()
            .spawn_scoped(scope, make)
            .map_err(|error| Error::io(path, "start a thread", error))?
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic))
    })
}
