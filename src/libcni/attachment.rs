//! What a runtime says of one attachment, and the container IDs that cnitool makes up.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sha2::{Digest, Sha512};

use crate::engine::Owner;
use crate::protocol::names;

use super::Error;

/// One attachment, as a runtime calls plugins for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Attachment {
    /// CNI_CONTAINERID.
    pub container_id: String,
    /// CNI_NETNS; none when only what is left of it is removed.
    pub netns: Option<PathBuf>,
    /// CNI_IFNAME.
    pub ifname: String,
    /// The pairs of CNI_ARGS.
    pub args: Vec<(String, String)>,
    /// What `capabilities` of plugins may ask for.
    pub capability_args: Map<String, Value>,
}

impl Attachment {
    /// The value of CNI_ARGS.
    pub fn args_text(&self) -> String {
        let pairs: Vec<_> = self.args.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(";")
    }

    /// The owner of what is made for it on a network.
    pub fn owner(&self, network: &str) -> Owner {
        Owner {
            network: network.to_owned(),
            container_id: self.container_id.clone(),
            ifname: self.ifname.clone(),
        }
    }

    /// Checks what becomes part of paths and variables.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn validate(&self, network: &str) -> Result<(), Error> {
        let named = |what| move |problem| Error::Name { what, problem };
        names::network_name(network).map_err(named("the network's name"))?;
        names::container_id(&self.container_id).map_err(named("the container ID"))?;
        names::interface_name(&self.ifname).map_err(named("the interface's name"))
    }
}

/// The container ID that cnitool makes of a namespace's path: `cnitool-` and the first ten bytes of
/// its SHA-512 in hexadecimal.
pub fn cnitool_id(netns: &Path) -> String {
    let digest = Sha512::digest(netns.as_os_str().as_encoded_bytes());
    let hex: String = digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    format!("cnitool-{hex}")
}

/// CNI_ARGS taken apart as cnitool does: every pair has one `=`, a key and a value.
///
/// # Errors
/// The pair that is none.
pub fn parse_args(text: &str) -> Result<Vec<(String, String)>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let pair = |pair: &str| match pair.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() && !value.contains('=') => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(pair.to_owned()),
    };
    text.split(';').map(pair).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_cnitools() {
        // What `echo -n /var/run/netns/testing | sha512sum | cut -c-20` says.
        assert_eq!(cnitool_id(Path::new("/var/run/netns/testing")), "cnitool-77383ca0a0715733ca6f");
    }

    #[test]
    fn pairs_have_a_key_and_a_value() {
        assert_eq!(parse_args("").unwrap(), []);
        let pairs = [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())];
        assert_eq!(parse_args("A=1;B=2").unwrap(), pairs);
        for (text, wrong) in
            [("A", "A"), ("A=", "A="), ("=1", "=1"), ("A=1;", ""), ("A=1=2", "A=1=2")]
        {
            assert_eq!(parse_args(text), Err(wrong.to_owned()), "{text}");
        }
    }
}
