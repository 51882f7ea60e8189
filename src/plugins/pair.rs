//! What plugins have in common that make a pair of links, one end on the host and one in the
//! container: a free name for the one, what prevResult tells of the other, and masquerading.

pub(super) mod unrecorded;

use serde::Deserialize;

use super::Error;
use crate::engine::{Node, Owner};
use crate::kernel::link;
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

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

/// What prevResult tells of the container end.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PodEnd {
    /// The hardware address in colon form; empty for a link that has none.
    pub mac: String,
    /// Bytes. Not told before 1.1.0, and then not checked either: a later plugin such as tuning may
    /// have changed it.
    pub mtu: Option<u32>,
}

/// How many names are tried before it is an error; two links of one node sharing 32 bits of a hash
/// is rare already.
const ATTEMPTS: u32 = 8;

/// Refuses an ADD whose interface is in the container already.
///
/// # Errors
/// [`Error::AlreadyAttached`].
pub(super) fn refuse_second(request: &Request, node: &mut Node<'_>) -> Result<(), Error> {
    if let Some(pod) = &mut node.pod
        && link::index(&pod.route, &request.ifname)?.is_some()
    {
        return Err(Error::AlreadyAttached(format!(
            "interface {} is already in the container's namespace; detach it first (DEL), or use another CNI_IFNAME",
            request.ifname
        )));
    }
    Ok(())
}

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

/// The container end as prevResult tells it.
///
/// # Errors
/// [`Error::Foreign`] when it is another attachment's result.
pub(super) fn pod_end(request: &Request, result: &AddResult) -> Result<PodEnd, Error> {
    let netns = request.netns.as_deref().map(|path| path.to_string_lossy()).unwrap_or_default();
    let inside = result
        .interfaces
        .iter()
        .find(|interface| interface.name == request.ifname && !interface.sandbox.is_empty())
        .ok_or_else(|| {
            Error::Foreign(format!(
                "lists no interface {} in a container; it is not this attachment's",
                request.ifname
            ))
        })?;
    if inside.sandbox != netns {
        return Err(Error::Foreign(format!(
            "interface {} is in {}, but CNI_NETNS is {netns}",
            request.ifname, inside.sandbox
        )));
    }
    Ok(PodEnd { mac: inside.mac.clone(), mtu: inside.mtu })
}
