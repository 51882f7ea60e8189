//! The daemon's socket: its own, or one that systemd has opened (sd_listen_fds(3)).

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::Error;
use crate::kernel::raw;

/// The number of the first descriptor that systemd passes.
const FIRST: i32 = 3;

/// A socket that is listened at; one of our own making is removed in the end.
pub struct Listening {
    listener: UnixListener,
    path: PathBuf,
    is_ours: bool,
}

impl Listening {
    /// The socket that systemd has opened, or a new one at `path`.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Activation`], or the disk's.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if let Some(listener) = activated()? {
            let address = listener.local_addr().ok();
            let path = address.as_ref().and_then(|address| address.as_pathname()).unwrap_or(path);
            return Ok(Self { path: path.to_owned(), listener, is_ours: false });
        }
        let failed = |doing| move |source| Error::File { path: path.to_owned(), doing, source };
        if let Some(directory) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(failed("make the directory"))?;
        }
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                clear(path)?;
                UnixListener::bind(path)
            }
            other => other,
        };
        let listener = listener.map_err(failed("listen"))?;
        // Whoever may connect may have addresses got for any container.
        fs::set_permissions(path, Permissions::from_mode(0o660))
            .map_err(failed("close the socket to others"))?;
        Ok(Self { listener, path: path.to_owned(), is_ours: true })
    }

    /// The socket.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that a killed daemon has left.
fn clear(path: &Path) -> Result<(), Error> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket());
    let is_dead = is_socket
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if !is_dead {
        return Err(Error::Busy(path.to_owned()));
    }
    fs::remove_file(path).map_err(|source| Error::File {
        path: path.to_owned(),
        doing: "remove the socket of a daemon that is gone",
        source,
    })
}

fn activated() -> Result<Option<UnixListener>, Error> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(None);
    }
    match number("LISTEN_FDS") {
        None | Some(0) => Ok(None),
        Some(1) => {
            let socket = raw::inherited(FIRST).map_err(|errno| {
                Error::Activation(format!(
                    "LISTEN_FDS is 1, but there is no socket: {}",
                    errno.desc()
                ))
            })?;
            Ok(Some(UnixListener::from(socket)))
        }
        Some(count) => Err(Error::Activation(format!(
            "{count} sockets were passed; give the unit one ListenStream"
        ))),
    }
}
