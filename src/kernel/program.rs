//! Programs of the system that are run: iptables' and `ip`. Plugins are another matter (`delegate`).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where programs are looked for when the caller has no PATH.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program of the system is told of the caller's environment, besides PATH: where iptables has
/// its lock and its modules.
const KEPT: &str = "XTABLES_";

/// A run of `program`, with an environment of its own: what a container's configuration has put into
/// the caller's is no business of theirs, and messages are in English.
pub fn run(program: impl AsRef<OsStr>) -> Command {
    let paths = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
    let mut command = Command::new(found(program.as_ref(), &paths));
    command.env_clear().env("LC_ALL", "C").env("PATH", paths);
    let kept = |name: &OsStr| name.as_encoded_bytes().starts_with(KEPT.as_bytes());
    command.envs(std::env::vars_os().filter(|(name, _)| kept(name)));
    command
}

/// Where a program is, or its name if it is nowhere. A process with a PATH of its own and a program
/// that is still to be looked for is forked with all its memory, one whose place is known is not.
fn found(program: &OsStr, paths: &OsStr) -> PathBuf {
    let named = Path::new(program);
    if named.components().count() != 1 {
        return named.to_owned();
    }
    let places = std::env::split_paths(paths).map(|place| place.join(named));
    places.into_iter().find(|place| place.is_file()).unwrap_or_else(|| named.to_owned())
}
