//! Network namespaces: opening one, working inside one and coming back, and keeping one under a
//! name as `ip netns` does.
//!
//! A socket belongs to the namespace it was opened in. So to speak to another namespace, enter it,
//! open a socket, come back, and use the socket from outside:
//!
//! ```no_run
//! use std::net::UdpSocket;
//! use std::path::Path;
//!
//! use causeway::kernel::netns::Namespace;
//!
//! let blue = Namespace::open(Path::new("/run/netns/blue"))?;
//! let socket = blue.enter(|| UdpSocket::bind("127.0.0.1:53"))??; // port 53 of blue's loopback
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod kept;
mod living;
mod number;

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

use super::{lock, raw};

pub use error::{Error, Found};
pub use kept::{DIRECTORY, Entry, create, delete, list};
pub use living::find;
pub use number::number;

/// Leads to the calling thread's own namespace. /proc/self would lead to the main thread's.
const OF_THIS_THREAD: &str = "/proc/thread-self/ns/net";

/// An open network namespace. It lives at least as long as this value, whatever becomes of its path
/// and its processes.
#[derive(Debug)]
pub struct Namespace {
    file: File,
    path: PathBuf,
    /// Device and inode number of the namespace's file, which are the namespace's identity
    /// (namespaces(7)).
    identity: (u64, u64),
}

impl Namespace {
    /// Opens the namespace that `path` leads to: a bind mount such as /run/netns/blue, or
    /// /proc/PID/ns/net. Never waits, also not if a FIFO is found there.
    ///
    /// # Errors
    /// [`Error::Gone`] when nothing is there, [`Error::NotANamespace`] when something else is,
    /// [`Error::Io`] when it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let not_a_namespace = |found| Error::NotANamespace { path: path.to_owned(), found };
        let file = match open_without_waiting(path) {
            Ok(file) => file,
            Err(error) => match (error.raw_os_error().map(Errno::from_raw), path.metadata()) {
                // ESRCH is for the moment in which a process of /proc ends.
                (Some(Errno::ENOENT | Errno::ESRCH), _) => {
                    return Err(Error::Gone { path: path.to_owned() });
                }
                // Sockets, and devices without a driver.
                (Some(Errno::ENXIO), Ok(metadata)) => {
                    return Err(not_a_namespace(Found::file(&metadata)));
                }
                _ => return Err(Error::io(path, "open", error)),
            },
        };
        // Only nsfs may be asked by this ioctl: the number can mean something else to a device.
        let kind =
            fstatfs(&file).map_err(|errno| Error::io(path, "look at", errno))?.filesystem_type();
        let metadata = file.metadata().map_err(|error| Error::io(path, "look at", error))?;
        if kind != NSFS_MAGIC {
            return Err(not_a_namespace(Found::file(&metadata)));
        }
        let kind = raw::namespace_type(file.as_fd())
            .map_err(|errno| Error::io(path, "get the type of", errno))?;
        if kind != libc::CLONE_NEWNET {
            return Err(not_a_namespace(Found::namespace(kind)));
        }
        Ok(Self { file, path: path.to_owned(), identity: identity(&metadata) })
    }

    /// As [`Self::open`], for who can do without: none if there is no namespace at the path, or something
    /// else, of which the log tells.
    ///
    /// # Errors
    /// [`Error::Io`] when there may be one all the same ([`Error::is_passing`]): what is inside must not
    /// be taken for gone.
    pub fn open_if_there(path: &Path) -> Result<Option<Self>, Error> {
        match Self::open(path) {
            Ok(namespace) => Ok(Some(namespace)),
            Err(Error::Gone { .. }) => Ok(None),
            Err(error) if error.is_passing() => Err(error),
            Err(error) => {
                log::warn!("{error}; going on as if the namespace were gone");
                Ok(None)
            }
        }
    }

    /// Makes a namespace without a name, which is gone with this value and with what is in it. A
    /// thread of its own makes it and ends.
    ///
    /// # Errors
    /// [`Error::Io`], such as EPERM.
    pub fn unnamed() -> Result<Self, Error> {
        let path = Path::new(OF_THIS_THREAD);
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|errno| Error::io(path, "make a network namespace", errno))?;
            own()
        };
        let file = thread::scope(|scope| {
            let thread = thread::Builder::new().spawn_scoped(scope, make);
            let thread = thread.map_err(|error| Error::io(path, "start a thread", error))?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        let metadata = file.metadata().map_err(|error| Error::io(path, "look at", error))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(Self { file, path, identity: identity(&metadata) })
    }

    /// The namespace that the calling thread is in.
    ///
    /// # Errors
    /// [`Error::Io`], in practice when /proc is not mounted.
    pub fn current() -> Result<Self, Error> {
        let path = Path::new(OF_THIS_THREAD);
        let file = own()?;
        let metadata = file.metadata().map_err(|error| Error::io(path, "look at", error))?;
        Ok(Self { file, path: path.to_owned(), identity: identity(&metadata) })
    }

    /// Whether both are the same namespace, by whatever paths they were opened.
    pub fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// Does `work` with the calling thread inside, and comes back; also when `work` panics.
    /// Other threads stay where they are.
    ///
    /// If there is no way back, the process ends by SIGABRT with a message on stderr: whatever it
    /// did next would be done to the wrong namespace.
    ///
    /// # Errors
    /// [`Error::Io`] when the namespace cannot be entered; `work` has not been called then.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> Result<T, Error> {
        let home = own()?;
        self.visit(home.as_fd(), work)
    }

    /// As [`Self::enter`], for a caller that holds the calling thread's own namespace already;
    /// saves opening it. The thread is in `home` afterwards.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub fn enter_from<T>(&self, home: &Self, work: impl FnOnce() -> T) -> Result<T, Error> {
        self.visit(home.as_fd(), work)
    }

    fn visit<T>(&self, home: BorrowedFd<'_>, work: impl FnOnce() -> T) -> Result<T, Error> {
        setns(&self.file, CloneFlags::CLONE_NEWNET)
            .map_err(|errno| Error::io(&self.path, "enter the network namespace", errno))?;
        let _way_home = WayHome(home);
        Ok(work())
    }

    /// Waits for the lock on the namespace and holds it as long as this value lives. It keeps two
    /// calls for one container apart that a runtime should not, but may, make at the same time; the
    /// kernel knows it by the namespace itself, whichever path leads there (flock(2)).
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn lock(&self) -> Result<(), Error> {
        lock::exclusive(&self.file).map_err(|error| Error::io(&self.path, "lock", error))
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The inode number, by which `lsns` and `readlink /proc/PID/ns/net` name the namespace.
    pub fn inode(&self) -> u64 {
        self.identity.1
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Brings the thread back when dropped, so also while a panic passes through.
struct WayHome<'a>(BorrowedFd<'a>);

impl Drop for WayHome<'_> {
    fn drop(&mut self) {
        if let Err(errno) = setns(self.0, CloneFlags::CLONE_NEWNET) {
            let _ = writeln!(
                io::stderr(),
                "causeway: cannot go back to the thread's own network namespace ({}); \
                 ending here, since going on would change the wrong one",
                errno.desc()
            );
            std::process::abort();
        }
    }
}

fn own() -> Result<File, Error> {
    File::open(OF_THIS_THREAD)
        .map_err(|error| Error::io(Path::new(OF_THIS_THREAD), "open (is /proc mounted?)", error))
}

fn open_without_waiting(path: &Path) -> io::Result<File> {
    // O_NOCTTY: what is given may be a terminal, and must not become ours.
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
