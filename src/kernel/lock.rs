//! Locks on open files (flock(2)), which end when the file is closed, also by the process's end.
//!
//! They are not given up by a request of its own, which could fail: closing cannot.

use std::fs::File;
use std::io::{self, ErrorKind};

/// Waits until nobody else has a lock on the file, and takes it.
///
/// # Errors
/// The kernel's.
pub fn exclusive(file: &File) -> io::Result<()> {
    uninterrupted(|| file.lock())
}

/// Waits until nobody has the file's lock for himself, and takes it together with any number of others.
///
/// # Errors
/// The kernel's.
pub fn shared(file: &File) -> io::Result<()> {
    uninterrupted(|| file.lock_shared())
}

fn uninterrupted(mut take: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match take() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
