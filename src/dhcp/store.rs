//! Leases on disk, so that they outlive the daemon: one small file for each, written anew whenever
//! the lease is renewed. Writing is atomic against a kill (temporary file, then rename).

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::message::Message;
use super::place::Site;
use super::terms::Terms;
use crate::state_file::{self, ASIDE, Found};

/// Where leases are kept unless the daemon is told otherwise. They are worth nothing after a reboot,
/// and neither is what is below /run.
pub const DIRECTORY: &str = "/run/cni/dhcp-leases";

/// What file names end in.
const SUFFIX: &str = ".json";

/// What they end in while the file is being written.
const UNFINISHED: &str = ".new";

/// The format of the files.
const VERSION: u32 = 1;

/// Whose a lease is, and what the daemon was told at ADD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// The container ID.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The network's name.
    pub network: String,
    /// The interface's name.
    pub ifname: String,
    /// The namespace's path, as the daemon sees it.
    pub netns: PathBuf,
    /// Options that go along with every message: numbers, and values in hexadecimal digits.
    #[serde(with = "hex_options")]
    pub options: Vec<(u8, Vec<u8>)>,
    /// The metric of routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
}

impl Subject {
    /// By what the daemon, and unless it is told otherwise the server, knows the lease.
    pub fn id(&self) -> String {
        super::settings::client_id(&self.container_id, &self.network, &self.ifname)
    }
}

/// A lease as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// The format; 1.
    pub version: u32,
    /// The kernel's boot ID; under another one nothing of it is true.
    pub boot: String,
    /// Whose it is.
    #[serde(flatten)]
    pub subject: Subject,
    /// The interface.
    pub site: Site,
    /// The server's ACK, in hexadecimal digits.
    #[serde(with = "hex")]
    ack: Vec<u8>,
    /// When it was asked for: milliseconds since the machine started.
    since: u64,
    /// The address, for people.
    address: String,
}

impl Kept {
    /// A lease to be kept.
    pub fn new(subject: &Subject, site: &Site, terms: &Terms, boot: &str) -> Self {
        Self {
            version: VERSION,
            boot: boot.to_owned(),
            subject: subject.clone(),
            site: site.clone(),
            ack: terms.ack.to_bytes(),
            since: u64::try_from(terms.since.as_millis()).unwrap_or(u64::MAX),
            address: terms.address().to_string(),
        }
    }

    /// The terms; `None` when the ACK cannot be read.
    pub fn terms(&self) -> Option<Terms> {
        let ack = Message::read(&self.ack)?;
        Some(Terms { ack, since: Duration::from_millis(self.since) })
    }
}

/// A directory of leases.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

impl Store {
    /// The leases below a directory, which is made when the first is written.
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    fn path(&self, id: &str) -> PathBuf {
        let digest = Sha256::digest(id.as_bytes());
        let name: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.directory.join(name + SUFFIX)
    }

    /// Makes the directory, so that one that cannot be made is known of early.
    ///
    /// # Errors
    /// The disk's.
    pub fn prepare(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)
    }

    /// Writes a lease.
    ///
    /// # Errors
    /// The disk's.
    pub fn save(&self, kept: &Kept) -> io::Result<()> {
        self.prepare()?;
        let path = self.path(&kept.subject.id());
        let temporary = path.with_extension("new");
        let mut file = state_file::make_anew(&temporary)?;
        file.write_all(&serde_json::to_vec(kept)?)?;
        fs::rename(&temporary, &path)
    }

    /// Forgets a lease; none is fine.
    pub fn remove(&self, id: &str) {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::error!("{}: cannot forget the lease: {error}", self.path(id).display());
            }
            _ => {}
        }
    }

    /// Every lease of this boot. Those of another one, and what a kill left half-written, are removed;
    /// what is no lease is set aside ([`state_file::set_aside`]).
    pub fn list(&self, boot: &str) -> Vec<Kept> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let mut list = Vec::new();
        for path in entries.map(|entry| entry.path()) {
            let ends_in = |end: &str| path.as_os_str().as_encoded_bytes().ends_with(end.as_bytes());
            if ends_in(ASIDE) {
                continue;
            }
            match self.judge(&path, boot) {
                _ if ends_in(UNFINISHED) => {
                    let _ = fs::remove_file(&path);
                }
                Ok(Some(kept)) => list.push(kept),
                Ok(None) => {
                    log::warn!("{}: removed, a lease of an earlier boot", path.display());
                    let _ = fs::remove_file(&path);
                }
                Err(why) => state_file::set_aside(&path, &format!("it is no lease: {why}")),
            }
        }
        list
    }

    /// The lease in a file; none if it is of another boot.
    fn judge(&self, path: &Path, boot: &str) -> Result<Option<Kept>, String> {
        let text = match state_file::read(path).map_err(|error| error.to_string())? {
            Found::File(text) => text,
            Found::Strange(what) => return Err(what.to_owned()),
            Found::Nothing => return Ok(None),
        };
        let kept: Kept = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        if kept.version != VERSION {
            return Err(format!("its version is {}, not {VERSION}", kept.version));
        }
        if path != self.path(&kept.subject.id()) {
            return Err(format!("it is of {}", kept.subject.id()));
        }
        Ok((kept.boot == boot).then_some(kept))
    }
}

/// Bytes as hexadecimal digits.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn write(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn read(text: &str) -> Option<Vec<u8>> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        rest.is_empty().then(|| pairs.iter().map(byte).collect())?
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&write(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        read(&String::deserialize(from)?).ok_or_else(|| D::Error::custom("no hexadecimal digits"))
    }
}

/// Options as pairs of a number and hexadecimal digits.
mod hex_options {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::hex;

    pub(super) fn serialize<S: Serializer>(
        options: &[(u8, Vec<u8>)],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let list: Vec<_> = options.iter().map(|(code, value)| (code, hex::write(value))).collect();
        list.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<(u8, Vec<u8>)>, D::Error> {
        let list = Vec::<(u8, String)>::deserialize(from)?;
        let bytes =
            |text: &str| hex::read(text).ok_or_else(|| D::Error::custom("no hexadecimal digits"));
        list.into_iter().map(|(code, text)| Ok((code, bytes(&text)?))).collect()
    }
}
