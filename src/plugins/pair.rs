//! What plugins have in common that make a pair of links, one end on the host and one in the
//! container: a free name for the one, and masquerading.

pub(super) mod unrecorded;

use super::Error;
use crate::engine::{Node, Owner};
use crate::kernel::link;

/// Smallest and largest MTU of a pair, in bytes (`ETH_MIN_MTU`, `ETH_MAX_MTU`).
pub(super) const MTU: std::ops::RangeInclusive<u32> = 68..=65535;

/// Who masquerades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// Elements of nftables maps, over netlink.
    #[default]
    Nftables,
    /// Chains of iptables as the reference plugins make them, by running iptables-restore.
    Iptables,
}

impl Backend {
    /// What `ipMasqBackend` may say.
    pub const NAMES: [&str; 2] = ["nftables", "iptables"];

    /// Reads `ipMasqBackend`.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn read(name: Option<&str>) -> Result<Self, Error> {
        match name {
            None | Some("nftables") => Ok(Self::Nftables),
            Some("iptables") => Ok(Self::Iptables),
            Some(other) => Err(Error::config(
                "ipMasqBackend",
                format!("\"{other}\" is unknown: give \"nftables\" or \"iptables\""),
            )),
        }
    }
}

/// How many names are tried before it is an error; two links of one node sharing 32 bits of a hash
/// is rare already.
const ATTEMPTS: u32 = 8;

/// A name for the host end that nobody has. A link of ours under one of the names is removed: the
/// container has no interface, so nobody uses it.
///
/// # Errors
/// [`Error::AlreadyAttached`] when all names are taken, and the kernel's refusal.
pub(super) fn free_name(owner: &Owner, node: &mut Node<'_>) -> Result<String, Error> {
    for attempt in 0..ATTEMPTS {
        let name = owner.host_link(attempt);
        if link::index(&node.host, &name)?.is_none() {
            return Ok(name);
        }
        match node.look_at(&name)? {
            None => return Ok(name),
            // Left by an ADD that was killed and whose record is lost.
            Some(stale) if stale.alias == owner.text() => {
                link::queue_remove(&mut node.host, stale.index, &name)?;
                node.host.flush()?;
                node.forget(&name);
                return Ok(name);
            }
            Some(_) => {}
        }
    }
    Err(Error::AlreadyAttached(format!(
        "the host has links under all {ATTEMPTS} names that this attachment could use, such as {}",
        owner.host_link(0)
    )))
}
