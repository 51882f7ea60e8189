//! One lock for what attachments share: the bridge, its addresses, forwarding.
//!
//! Every ADD holds it shared. An ADD that failed takes back what it made of the shared things only
//! if it gets the lock for itself, that is, if no other ADD can be counting on them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Error, journal};
use crate::kernel::lock;

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
        let open =
            || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(state).map_err(failed("make the directory", state))?;
                open()
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
