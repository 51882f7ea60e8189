//! Programs of the system that are run: iptables' and `ip`. Plugins are another matter (`delegate`).

use std::ffi::OsStr;
use std::process::Command;

/// Where programs are looked for when the caller has no PATH.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program of the system is told of the caller's environment, besides PATH: where iptables has
/// its lock and its modules.
const KEPT: &str = "XTABLES_";

/// A run of `program`, with an environment of its own: what a container's configuration has put into
/// the caller's is no business of theirs, and messages are in English.
pub fn run(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C");
    command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()));
    let kept = |name: &OsStr| name.as_encoded_bytes().starts_with(KEPT.as_bytes());
    command.envs(std::env::vars_os().filter(|(name, _)| kept(name)));
    command
}
