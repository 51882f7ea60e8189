//! Reading the small files that the program keeps between calls. What stands under such a name may be
//! anything by now: cut short by a broken disk, another program's, a link, a pipe. It is then set
//! aside and told of, and counts as if it were not there; no call waits for it, follows it or fails
//! because of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

/// The most that is read of a file, in bytes; nothing that is kept comes near it.
pub const LARGEST: u64 = 16 << 20;

/// What the name of a file ends in that was set aside.
pub const ASIDE: &str = ".damaged";

/// What stands under a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A file with these contents.
    File(Vec<u8>),
    /// Something that nobody who keeps state would make: what it is, in words.
    Strange(&'static str),
}

/// Reads a whole file. Neither follows a link in the last place nor waits for a pipe.
///
/// # Errors
/// What says nothing about the file itself, such as EMFILE or EIO.
pub fn read(path: &Path) -> io::Result<Found> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(error) => {
            return match error.raw_os_error().map(Errno::from_raw) {
                // With a file in the place of a folder there is nothing below it.
                Some(Errno::ENOENT | Errno::ENOTDIR) => Ok(Found::Nothing),
                Some(Errno::ELOOP) => Ok(Found::Strange("it is a symbolic link")),
                Some(Errno::ENXIO) => Ok(Found::Strange("it is a socket")),
                _ => Err(error),
            };
        }
    };
    let about = file.metadata()?;
    if let Some(strange) = strange(&about) {
        return Ok(Found::Strange(strange));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(about.len().min(LARGEST)).unwrap_or(0));
    read_at_most(&mut file, &mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Ok(Found::Strange("it is far too large"));
    }
    Ok(Found::File(bytes))
}

fn read_at_most(file: &mut File, bytes: &mut Vec<u8>) -> io::Result<usize> {
    file.take(LARGEST + 1).read_to_end(bytes)
}

fn strange(about: &fs::Metadata) -> Option<&'static str> {
    if about.is_file() {
        None
    } else if about.is_dir() {
        Some("it is a directory")
    } else {
        Some("it is no regular file")
    }
}

/// Makes a folder and those that lead to it. The last `private` of them are for root alone; what is
/// above belongs to others as well, such as /var/lib/cni, and is for everybody to look into.
///
/// # Errors
/// The disk's.
pub fn make_private(folder: &Path, private: usize) -> io::Result<()> {
    if let Some(above) = folder.ancestors().nth(private) {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(above)?;
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes a file that is to be written and then renamed to its name, for root alone. What a killed process
/// has left of one is replaced, and so is a link that somebody put there: it is not followed.
///
/// # Errors
/// The disk's; `EISDIR` when a directory stands there.
pub fn make_anew(path: &Path) -> io::Result<File> {
    let make = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match make() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            make()
        }
        other => other,
    }
}

/// Renames a file so that it is out of the way and can be looked at, and says so in the log. Where
/// that cannot be, as on a read-only disk, it stays and the next call meets it again.
pub fn set_aside(path: &Path, why: &str) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(ASIDE);
    match fs::rename(path, &aside) {
        Ok(()) => {
            log::error!("{}: set aside as {}: {why}", path.display(), aside.to_string_lossy());
        }
        // Another call has done it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            log::error!(
                "{}: not used, since {why}; it cannot be set aside ({error}); remove it",
                path.display()
            );
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_and_nothing_is_waited_for() {
        let folder = std::env::temp_dir().join(format!("state-file-{}", std::process::id()));
        fs::create_dir_all(folder.join("directory")).unwrap();
        fs::write(folder.join("file"), "text").unwrap();
        std::os::unix::fs::symlink("file", folder.join("link")).unwrap();
        nix::unistd::mkfifo(&folder.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
        assert_eq!(read(&folder.join("file")).unwrap(), Found::File(b"text".to_vec()));
        assert_eq!(read(&folder.join("none")).unwrap(), Found::Nothing);
        assert_eq!(read(&folder.join("file/below")).unwrap(), Found::Nothing);
        for strange in ["directory", "link", "pipe", "socket"] {
            let found = read(&folder.join(strange)).unwrap();
            assert!(matches!(found, Found::Strange(_)), "{strange}: {found:?}");
            set_aside(&folder.join(strange), "of the test");
            assert_eq!(read(&folder.join(strange)).unwrap(), Found::Nothing, "{strange}");
        }
        assert!(folder.join("file").exists(), "the link's target stays");
        fs::remove_dir_all(folder).unwrap();
    }
}
