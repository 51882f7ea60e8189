//! iptables by its own programs, for operators who choose it: whole changes in one run of
//! `iptables-restore` per family.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Output, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{Error, program};

/// Of which family rules are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `iptables`.
    Ipv4,
    /// `ip6tables`.
    Ipv6,
}

/// Both, in the order they are worked on.
pub const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// Keeps two of this program's changes of tables apart; /run/xtables.lock is iptables' own, which
/// the programs that are run here take.
const LOCK: &str = "/run/causeway-iptables.lock";

impl Family {
    /// The family of an address.
    pub fn of(address: std::net::IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }

    /// The name of the program that does `work`: "restore", "save".
    fn program(self, work: &str) -> String {
        let family = if self == Self::Ipv4 { "iptables" } else { "ip6tables" };
        format!("{family}-{work}")
    }

    /// Carries out `input` in one run of iptables-restore that keeps everything it does not name,
    /// and waits for other runs. `needed_for` is the key of the configuration that asks for it.
    ///
    /// A line `:CHAIN - [0:0]` makes a chain, and empties one that is there.
    ///
    /// # Errors
    /// [`Error::NoProgram`] when the program is not there; [`Error::Program`] when it refuses, in
    /// which case nothing is changed.
    pub fn restore(self, input: &str, needed_for: &str) -> Result<(), Error> {
        let program = self.program("restore");
        run(&program, &["--noflush", "--wait"], Some(input), needed_for)?;
        Ok(())
    }

    /// What iptables-save prints of one table.
    ///
    /// # Errors
    /// As [`Self::restore`].
    pub fn save(self, table: &str, needed_for: &str) -> Result<String, Error> {
        let output = run(&self.program("save"), &["-t", table], None, needed_for)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Makes sure that the program is there, before anything is changed.
    ///
    /// # Errors
    /// [`Error::NoProgram`].
    pub fn require(self, needed_for: &str) -> Result<(), Error> {
        self.version(needed_for).map(|_| ())
    }

    /// What the program says of itself: from 1.8 on with the variant, `(nf_tables)` or `(legacy)`.
    ///
    /// # Errors
    /// As [`Self::restore`].
    pub fn version(self, needed_for: &str) -> Result<String, Error> {
        let output = run(&self.program("restore"), &["--version"], None, needed_for)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Takes the lock for reading a table of iptables and changing it by what was read; it ends with the
/// value. Programs that are run meanwhile have it, too: if this process is killed, it ends with the
/// last of them.
///
/// # Errors
/// [`Error::File`].
pub fn lock() -> Result<File, Error> {
    let failed =
        |source: std::io::Error| Error::File { path: LOCK.into(), doing: "take the lock", source };
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(LOCK);
    let file = open.map_err(failed)?;
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).map_err(|errno| failed(errno.into()))?;
    super::lock::exclusive(&file).map_err(failed)?;
    Ok(file)
}

fn run(
    program: &str,
    arguments: &[&str],
    input: Option<&str>,
    needed_for: &str,
) -> Result<Output, Error> {
    let failed = |problem: String| Error::Program { program: program.to_owned(), problem };
    let mut child = program::run(program)
        .args(arguments)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::NoProgram {
                program: program.to_owned(),
                package: "iptables",
                needed_for: needed_for.to_owned(),
            },
            _ => failed(error.to_string()),
        })?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        // The program says itself what is wrong if it stops reading.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = program::output(child).map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
