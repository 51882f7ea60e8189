//! The address that was leased last from a range set, after which the next search begins. File and
//! contents are the reference plugin's: `last_reserved_ip.<number of the set>`.

use std::fs::File;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;

use nix::fcntl::OFlag;

use super::directory::Directory;
use super::error::Error;

/// The file of one range set.
pub struct LastReserved {
    name: String,
    file: Option<File>,
    length: usize,
    /// The address; none if nothing is known, and then ranges begin with their first.
    pub address: Option<IpAddr>,
}

impl LastReserved {
    /// Opens the file of the set of that number, to read or also to write.
    ///
    /// # Errors
    /// [`Error::Io`]; a file that is not there, or says nothing sensible, is fine.
    pub fn open(directory: &Directory, number: usize, writes: bool) -> Result<Self, Error> {
        let name = format!("last_reserved_ip.{number}");
        let flags = if writes { OFlag::O_RDWR } else { OFlag::O_RDONLY };
        let Some(mut file) = directory.open(&name, flags)? else {
            return Ok(Self { name, file: None, length: 0, address: None });
        };
        let mut text = [0; 64];
        let Some(length) = directory.read(&name, &mut file, &mut text, writes)? else {
            return Ok(Self { name, file: None, length: 0, address: None });
        };
        let text = text.get(..length).and_then(|text| std::str::from_utf8(text).ok());
        let address = text.and_then(|text| text.parse::<IpAddr>().ok());
        Ok(Self { name, file: Some(file), length, address })
    }

    /// Writes the address into the file, and makes it if there is none. A kill in the midst may
    /// leave a wrong address there; then the next search begins elsewhere, no more.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set(self, directory: &Directory, address: IpAddr) -> Result<(), Error> {
        let file = match self.file {
            Some(file) => Some(file),
            None => directory.open(&self.name, OFlag::O_WRONLY | OFlag::O_CREAT)?,
        };
        let Some(file) = file else { return Ok(()) };
        let text = address.to_string();
        let written = file.write_all_at(text.as_bytes(), 0).and_then(|()| {
            if text.len() < self.length { file.set_len(text.len() as u64) } else { Ok(()) }
        });
        written.map_err(|source| directory.error(&self.name, "write the file", source))
    }
}
