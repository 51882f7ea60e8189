//! Settings under /proc/sys. Those below net/ are of the calling thread's network namespace; for a
//! container's, call these inside [`super::netns::Namespace::enter`].

mod own_proc;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;

use super::error::Error;

fn path(name: &str) -> String {
    format!("/proc/sys/{name}")
}

/// Opens the file of a setting for reading, or for writing alone.
fn open(name: &str, writing: bool) -> io::Result<File> {
    let usual = || OpenOptions::new().read(!writing).write(writing).open(path(name));
    own_proc::open(name, writing, usual)
}

/// Has settings below net/ opened through a mount of /proc of the program's own from now on, as happens by
/// itself on a node with so many containers that the usual way takes long.
pub fn open_privately() {
    own_proc::expect_crowd();
}

/// A name with slashes as people write it, with dots; a dot of a link's name is a slash then, as
/// sysctl(8) has it.
pub fn dotted(name: &str) -> String {
    let turned = |letter| match letter {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    name.chars().map(turned).collect()
}

/// Reads a setting, without the line's end. `name` has slashes, since interface names may have
/// dots: `net/ipv6/conf/eth0.100/accept_ra`.
///
/// # Errors
/// [`Error::Sysctl`], with `NotFound` inside when the kernel does not have it.
pub fn read(name: &str) -> Result<String, Error> {
    let attempt = || {
        // In one piece: a list of numbers is given only to a read from its start
        // (`proc_do_large_bitmap`, kernel/sysctl.c).
        let mut text = [0; 4096];
        let mut file = open(name, false)?;
        let length = file.read(&mut text)?;
        Ok(String::from_utf8_lossy(text.get(..length).unwrap_or_default()).trim_end().to_owned())
    };
    attempt().map_err(|source| Error::Sysctl {
        name: name.to_owned(),
        doing: "read".into(),
        source,
    })
}

/// Writes a setting.
///
/// # Errors
/// [`Error::Sysctl`].
pub fn write(name: &str, value: &str) -> Result<(), Error> {
    let attempt = || open(name, true)?.write_all(value.as_bytes());
    attempt().map_err(|source| Error::Sysctl {
        name: name.to_owned(),
        doing: format!("write {value}"),
        source,
    })
}

/// What may be done with a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Whether anybody may read it; `net/ipv4/route/flush` and its like are only written.
    pub readable: bool,
    /// Whether anybody may write it; some only tell.
    pub writable: bool,
}

/// Whether a setting is there and what may be done with it; `None` when the kernel, or this
/// namespace, does not have it.
///
/// # Errors
/// [`Error::Sysctl`].
pub fn access(name: &str) -> Result<Option<Access>, Error> {
    match std::fs::metadata(path(name)) {
        // The kernel goes by these bits, whoever asks (`test_perm`, fs/proc/proc_sysctl.c).
        Ok(about) if about.is_file() => {
            let mode = about.permissions().mode();
            Ok(Some(Access { readable: mode & 0o444 != 0, writable: mode & 0o222 != 0 }))
        }
        Ok(_) => Ok(None),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(source) => {
            Err(Error::Sysctl { name: name.to_owned(), doing: "look at it".into(), source })
        }
    }
}

/// Whether two texts of a setting mean the same: where a setting holds several numbers the kernel
/// takes any white space between them and answers with tabs.
pub fn is_same(one: &str, other: &str) -> bool {
    one.split_ascii_whitespace().eq(other.split_ascii_whitespace())
}

/// Writes a setting only if it has another value, so that a read-only /proc/sys with the right
/// values is good enough. Says whether it wrote.
///
/// # Errors
/// [`Error::Sysctl`].
pub fn ensure(name: &str, value: &str) -> Result<bool, Error> {
    if read(name)? == value {
        return Ok(false);
    }
    write(name, value).map(|()| true)
}
