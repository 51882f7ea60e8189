//! What plugins have in common that make a pair of links, one end on the host and one in the
//! container: a free name for the one, masquerading, and the check of source addresses.

pub(super) mod unrecorded;

use super::Error;
use crate::engine::resource::address_guard::AddressGuard;
use crate::engine::{Node, Owner, Resource};
use crate::ipam::{self, Leased};
use crate::kernel::link;
use crate::kernel::mac::Mac;
use crate::protocol::request::Request;

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

/// Makes sure, for `addrspoofchk`, that the container sends from no addresses but those of the address
/// source.
pub(super) fn require_known_addresses(request: &Request) -> Result<(), Error> {
    let refuse = |problem: &str| Err(Error::config("addrspoofchk", problem));
    let config = &request.config;
    if config.ipam.is_none() {
        return refuse("needs addresses to compare with: give ipam, or take this key out");
    }
    if config.value.get("slaac").is_some_and(|slaac| *slaac == true) {
        return refuse(
            "cannot be set together with slaac, whose addresses may change at any time: keep one",
        );
    }
    Ok(())
}

/// What has the container send from its own addresses alone: those of `lease` and the link-local one
/// that follows from its hardware address.
pub(super) fn address_guard(
    host_link: &str,
    bridged: bool,
    mac: &str,
    lease: &Leased,
    owner: &Owner,
) -> Resource {
    let link_local = Mac::parse(mac).map(|mac| mac.link_local().into());
    let leased = lease.ips.iter().map(|ip| ip.address.ip());
    AddressGuard {
        link: host_link.to_owned(),
        bridged,
        addresses: leased.chain(link_local).collect(),
        dhcp: lease.source == ipam::DHCP,
        owner: owner.text(),
    }
    .into()
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
