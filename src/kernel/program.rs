//! Programs of the system that are run: iptables' and `ip`. Plugins are another matter (`delegate`).

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::thread;

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

/// What a program that was started has said by its end, and how it ended. `Child::wait_with_output` does the
/// same, but panics where a pipe cannot be read.
///
/// # Errors
/// The kernel's. The program has ended then as well.
pub fn output(mut child: Child) -> io::Result<Output> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // Side by side: whichever is not read may fill its pipe.
    let (stdout, stderr) = thread::scope(|scope| {
        let said = thread::Builder::new().spawn_scoped(scope, || whole(stderr));
        let stdout = whole(stdout);
        let stderr = said.and_then(|said| {
            said.join()
                .unwrap_or_else(|_| Err(io::Error::other("the thread that reads has failed")))
        });
        (stdout, stderr)
    });
    let status = child.wait()?;
    Ok(Output { status, stdout: stdout?, stderr: stderr? })
}

fn whole(pipe: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut all)?;
    }
    Ok(all)
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
