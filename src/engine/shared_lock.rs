//! One lock for what attachments share: the bridge, its addresses, forwarding.
//!
//! Every ADD holds it shared. An ADD that failed takes back what it made of the shared things only
//! if it gets the lock for itself, that is, if no other ADD can be counting on them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::{Error, journal};
use crate::kernel::lock;
use crate::state_file;

/// A held lock; it ends with the value, or with the process however that ends.
pub struct SharedLock {
    file: File,
}

impl SharedLock {
    /// Takes the lock together with any number of others; waits while somebody has it alone.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn take(state: Option<&Path>) -> Result<Self, Error> {
        let state = state.unwrap_or(Path::new(journal::STATE_DIR));
        let path: PathBuf = state.join(".lock");
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| Error::State { path, doing, source }
        };
        // Nothing that stands there may lead elsewhere or keep us waiting.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let open = || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600);
            options.custom_flags(flags.bits()).open(&path)
        };
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                state_file::make_private(state, 1).map_err(failed("make the directory", state))?;
                open()
            }
            other => other,
        };
        let file = match file {
            Err(error) if is_strange(&error) => {
                log::error!("{}: is no lock ({error}); remove it", path.display());
                // The directory can be locked as well, and by everybody who finds the same.
                OpenOptions::new().read(true).custom_flags(OFlag::O_DIRECTORY.bits()).open(state)
            }
            other => other,
        }
        .map_err(failed("open the lock", &path))?;
        lock::shared(&file).map_err(failed("take the lock", &path))?;
        Ok(Self { file })
    }

    /// Whether nobody else holds it; from then on nobody else gets it either. Does not wait.
    pub fn make_exclusive(&self) -> bool {
        self.file.try_lock().is_ok()
    }
}

/// Whether something that is no lock stands in its place.
fn is_strange(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ELOOP | Errno::EISDIR | Errno::ENXIO))
}
