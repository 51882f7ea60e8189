//! Who owns what causeway makes: the attachment's name on links, rules and state files.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::kernel::mac::Mac;

/// An attachment: container ID and interface name on a network (CNI spec 1.1.0, section 3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The network's name.
    pub network: String,
    /// The container ID.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The interface's name in the container.
    pub ifname: String,
}

/// The longest owner text that is written whole: what nft shows of a comment, and half of what a
/// link's alias holds.
const LONGEST: usize = 127;

impl Owner {
    /// The owner as written on links and rules, at most 127 bytes: `network/containerID/ifname`.
    /// None of the three may hold a slash, so it can be read back; a longer one is cut and ends in
    /// `~` and a hash, and can only be compared.
    pub fn text(&self) -> String {
        let whole = format!("{}/{}/{}", self.network, self.container_id, self.ifname);
        if whole.len() <= LONGEST {
            return whole;
        }
        let mut short: String = whole.chars().take(LONGEST - 33).collect();
        short.push('~');
        short.push_str(&hex(&Sha256::digest(whole.as_bytes()), 16));
        short
    }

    /// Reads [`Self::text`] back; `None` for what is not ours or was cut.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let owner = Self {
            network: parts.next()?.to_owned(),
            container_id: parts.next()?.to_owned(),
            ifname: parts.next()?.to_owned(),
        };
        (parts.next().is_none() && !text.contains('~')).then_some(owner)
    }

    /// Whether `text` names another interface of the same container.
    pub fn is_sibling(&self, text: &str) -> bool {
        Self::parse(text)
            .is_some_and(|other| other.container_id == self.container_id && other != *self)
    }

    /// The host link's name: `veth` and eight hex digits, the form of the reference plugins, but
    /// following from the owner. `attempt` gives another when that one is taken.
    pub fn host_link(&self, attempt: u32) -> String {
        format!("veth{}", hex(&self.digest("host link", attempt), 4))
    }

    /// The name under which a link of the container is made where its own name is taken for the moment.
    pub fn temporary_link(&self) -> String {
        format!("tmp{}", hex(&self.digest("temporary link", 0), 4))
    }

    /// The container link's hardware address: locally administered, following from the owner.
    pub fn mac(&self) -> Mac {
        self.mac_for("mac")
    }

    /// The hardware address of the attachment's ifb device, by which it is known from the moment it
    /// is there: its name is the same for every interface of the container on the network.
    pub fn ifb_mac(&self) -> Mac {
        self.mac_for("ifb")
    }

    fn mac_for(&self, purpose: &str) -> Mac {
        let digest = self.digest(purpose, 0);
        let mut bytes = [0; 6];
        for (byte, random) in bytes.iter_mut().zip(digest) {
            *byte = random;
        }
        let [first, ..] = &mut bytes;
        *first = (*first & 0xfc) | 0x02;
        Mac(bytes)
    }

    fn digest(
        &self,
        purpose: &str,
        attempt: u32,
    ) -> impl IntoIterator<Item = u8> + AsRef<[u8]> + use<> {
        let mut hash = Sha256::new();
        for part in [purpose, &self.network, &self.container_id, &self.ifname] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update(attempt.to_be_bytes());
        let bytes: [u8; 32] = hash.finalize().into();
        bytes
    }
}

fn hex(bytes: &(impl AsRef<[u8]> + ?Sized), count: usize) -> String {
    bytes.as_ref().iter().take(count).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn owner(id: &str) -> Owner {
        Owner { network: "net".into(), container_id: id.into(), ifname: "eth0".into() }
    }

    #[test]
    fn a_text_can_be_read_back() {
        assert_eq!(Owner::parse(&owner("abc").text()).unwrap(), owner("abc"));
        assert_eq!(Owner::parse("a/b"), None);
        assert_eq!(Owner::parse("a/b/c/d"), None);
    }

    #[test]
    fn a_long_text_is_cut_but_stays_unlike_others() {
        let long = "x".repeat(200);
        let one = owner(&format!("{long}1")).text();
        let two = owner(&format!("{long}2")).text();
        assert!(one.len() <= 127 && two.len() <= 127);
        assert_ne!(one, two);
        assert_eq!(Owner::parse(&one), None);
    }

    #[test]
    fn names_follow_from_the_owner() {
        let name = owner("abc").host_link(0);
        assert_eq!(name.len(), 12);
        assert_eq!(name, owner("abc").host_link(0));
        assert_ne!(name, owner("abc").host_link(1));
        assert_ne!(name, owner("abd").host_link(0));
        assert!(owner("abc").mac().is_unicast());
        let Mac([first, ..]) = owner("abc").mac();
        assert_eq!(first & 0x03, 0x02);
    }
}
