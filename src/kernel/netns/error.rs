//! What can go wrong with namespaces, and what else may be found in a namespace's place.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// A namespace that could not be opened, entered, made or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is at the path (`ENOENT`): the namespace has been deleted, or its process has ended.
    #[error("network namespace {} does not exist", path.display())]
    Gone {
        /// The path.
        path: PathBuf,
    },
    /// Something else is at the path.
    #[error("{} is not a network namespace but {found}", path.display())]
    NotANamespace {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        found: Found,
    },
    /// The name to be given is taken by a namespace.
    #[error("network namespace {} exists already; choose another name, or delete it first", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// The name to be given is taken by something else.
    #[error("{} exists already and is not a network namespace but {found}; delete it first", path.display())]
    Occupied {
        /// The path.
        path: PathBuf,
        /// What is there.
        found: Found,
    },
    /// There are as many network namespaces as there may be (`ENOSPC` of unshare(2)).
    #[error(
        "{}: there are as many network namespaces as the sysctl user.max_net_namespaces allows; \
         raise it, or delete some",
        path.display()
    )]
    Full {
        /// The path of the namespace that could not be made.
        path: PathBuf,
    },
    /// A name that cannot be a file's.
    #[error("{name:?} cannot name a network namespace: {problem}")]
    Name {
        /// The offending name.
        name: String,
        /// The rule that it breaks.
        problem: &'static str,
    },
    /// The kernel refused.
    #[error("{}: cannot {doing}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Error {
    pub(super) fn io(path: &Path, doing: &'static str, source: impl Into<io::Error>) -> Self {
        Self::Io { path: path.to_owned(), doing, source: source.into() }
    }

    /// Whether there may be a namespace at the path all the same: the kernel had no memory, say, or
    /// refused for want of privilege. A path that leads nowhere is not such.
    pub fn is_passing(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        let nowhere = [Errno::ENOTDIR, Errno::ELOOP, Errno::ENAMETOOLONG, Errno::EINVAL];
        !source.raw_os_error().is_some_and(|code| nowhere.contains(&Errno::from_raw(code)))
    }

    /// Whether the kernel refused for want of privilege, so that root may fare better.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// What was found where a network namespace was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A regular file of no length: what is left of a namespace that was unmounted, or whose
    /// making was interrupted; or one that is being made at this moment.
    EmptyFile,
    /// A regular file with something in it.
    File,
    /// A directory.
    Directory,
    /// A FIFO.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A character or block device.
    Device,
    /// A symbolic link that leads nowhere.
    DeadLink,
    /// A namespace of another type, named here.
    Namespace(&'static str),
}

impl Found {
    pub(super) fn file(metadata: &Metadata) -> Self {
        let kind = metadata.file_type();
        if kind.is_dir() {
            Self::Directory
        } else if kind.is_fifo() {
            Self::Fifo
        } else if kind.is_socket() {
            Self::Socket
        } else if kind.is_symlink() {
            Self::DeadLink
        } else if !kind.is_file() {
            Self::Device
        } else if metadata.len() == 0 {
            Self::EmptyFile
        } else {
            Self::File
        }
    }

    /// By the `CLONE_NEW*` flag that makes such a namespace.
    pub(super) fn namespace(flag: libc::c_int) -> Self {
        Self::Namespace(match flag {
            libc::CLONE_NEWNS => "a mount namespace",
            libc::CLONE_NEWUTS => "a UTS namespace",
            libc::CLONE_NEWIPC => "an IPC namespace",
            libc::CLONE_NEWUSER => "a user namespace",
            libc::CLONE_NEWPID => "a PID namespace",
            libc::CLONE_NEWCGROUP => "a cgroup namespace",
            _ => "a namespace of another type",
        })
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyFile => {
                "an empty file (nothing is mounted over it: a leftover, or one still being made)"
            }
            Self::File => "a regular file",
            Self::Directory => "a directory",
            Self::Fifo => "a FIFO",
            Self::Socket => "a Unix socket",
            Self::Device => "a device",
            Self::DeadLink => "a symbolic link that leads nowhere",
            Self::Namespace(what) => what,
        })
    }
}
