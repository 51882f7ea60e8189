//! Settings under /proc/sys. Those below net/ are of the calling thread's network namespace; for a
//! container's, call these inside [`super::netns::Namespace::enter`].

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};

use super::error::Error;

fn path(name: &str) -> String {
    format!("/proc/sys/{name}")
}

/// Reads a setting, without the line's end. `name` has slashes, since interface names may have
/// dots: `net/ipv6/conf/eth0.100/accept_ra`.
///
/// # Errors
/// [`Error::Sysctl`], with `NotFound` inside when the kernel does not have it.
pub fn read(name: &str) -> Result<String, Error> {
    let attempt = || {
        let mut text = [0; 64];
        let mut file = File::open(path(name))?;
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
    let attempt = || OpenOptions::new().write(true).open(path(name))?.write_all(value.as_bytes());
    attempt().map_err(|source| Error::Sysctl {
        name: name.to_owned(),
        doing: format!("write {value}"),
        source,
    })
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
