//! SELinux: under which label the next program runs (setexeccon(3)).

use std::fs::OpenOptions;
use std::io::{self, Write};

use super::Error;

/// Of the calling thread alone.
const EXEC: &str = "/proc/thread-self/attr/exec";

/// Makes sure that the kernel runs with SELinux. `needed_for` is the key of the configuration that asks
/// for it.
///
/// # Errors
/// [`Error::Missing`].
pub fn require(needed_for: &str) -> Result<(), Error> {
    // Its file system is known where it is on, mounted or not.
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.split_whitespace().any(|name| name == "selinuxfs") {
        return Ok(());
    }
    Err(Error::Missing {
        feature: "SELinux (CONFIG_SECURITY_SELINUX, and selinux=1 at boot)".into(),
        needed_for: needed_for.into(),
    })
}

/// Has the programs that `work` starts from this thread run under `label`; afterwards programs run
/// under whatever they did before.
///
/// # Errors
/// [`Error::File`] when the kernel refuses the label, for instance since its policy does not have it;
/// `work` has not been called then.
pub fn under_label<T>(label: &str, work: impl FnOnce() -> T) -> Result<T, Error> {
    let doing = "have programs run under the label of selinuxContext";
    write(label).map_err(|source| Error::File { path: EXEC.into(), doing, source })?;
    let done = work();
    // A line's end takes the label away (`selinux_setprocattr`, security/selinux/hooks.c).
    if let Err(error) = write("\n") {
        log::warn!("{EXEC}: the label could not be taken back: {error}");
    }
    Ok(done)
}

fn write(text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(EXEC)?.write_all(text.as_bytes())
}
