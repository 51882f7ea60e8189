//! What a bridge attachment's plan depends on, read from the kernel.

use ipnetwork::IpNetwork;
use serde::Deserialize;

use super::settings::Settings;
use crate::engine::{Node, Owner};
use crate::kernel::{addr, link};
use crate::plugins::Error;
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

/// A link that the plan would use as it is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LinkFacts {
    /// Its kind.
    pub kind: String,
    /// Its addresses.
    pub addresses: Vec<IpNetwork>,
}

/// The facts.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Facts {
    /// The bridge, if it is there.
    pub bridge: Option<LinkFacts>,
    /// The VLAN's own interface on the bridge, if it is there and would be used.
    pub vlan_interface: Option<LinkFacts>,
    /// A free name for the host end, or at CHECK the name it has.
    pub host_link: String,
    /// The container end that CHECK expects; ADD's follows from configuration and owner.
    pub attached: Option<PodEnd>,
}

/// What prevResult tells of the container end.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PodEnd {
    /// The hardware address in colon form.
    pub mac: String,
    /// Bytes. Not told before 1.1.0, and then not checked either: a later plugin such as tuning may
    /// have changed it.
    pub mtu: Option<u32>,
}

/// How many names are tried before it is an error; two links of one node sharing 32 bits of a hash
/// is rare already.
const ATTEMPTS: u32 = 8;

impl Facts {
    pub(super) fn observe(
        settings: &Settings,
        request: &Request,
        owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<Self, Error> {
        if let Some(pod) = &mut node.pod
            && link::index(&pod.route, &request.ifname)?.is_some()
        {
            return Err(Error::AlreadyAttached(format!(
                "interface {} is already in the container's namespace; detach it first (DEL), or use another CNI_IFNAME",
                request.ifname
            )));
        }
        let vlan_interface = match settings.vlan {
            Some(vid) if settings.gateway => {
                link_facts(node, &format!("{}.{vid}", settings.bridge), true)?
            }
            _ => None,
        };
        Ok(Self {
            // Addresses matter only where a gateway is to be added to them.
            bridge: link_facts(
                node,
                &settings.bridge,
                settings.gateway && settings.vlan.is_none(),
            )?,
            vlan_interface,
            host_link: free_name(owner, node)?,
            attached: None,
        })
    }

    /// The facts of an attachment that prevResult describes.
    pub(super) fn from_result(
        settings: &Settings,
        request: &Request,
        result: &AddResult,
    ) -> Result<Self, Error> {
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
        let outside = |name: &str| {
            result
                .interfaces
                .iter()
                .filter(|one| one.sandbox.is_empty())
                .find(|one| (one.name == settings.bridge) == (name == "bridge"))
        };
        if outside("bridge").is_none() {
            return Err(Error::Foreign(format!(
                "lists no bridge {}; it is not this network's",
                settings.bridge
            )));
        }
        Ok(Self {
            host_link: outside("port").map(|one| one.name.clone()).unwrap_or_default(),
            attached: Some(PodEnd { mac: inside.mac.clone(), mtu: inside.mtu }),
            ..Self::default()
        })
    }
}

fn link_facts(
    node: &mut Node<'_>,
    name: &str,
    with_addresses: bool,
) -> Result<Option<LinkFacts>, Error> {
    let Some(link) = node.look_at(name)? else { return Ok(None) };
    let addresses = if with_addresses {
        addr::list(&mut node.host, link.index)?.into_iter().map(|address| address.network).collect()
    } else {
        Vec::new()
    };
    Ok(Some(LinkFacts { kind: link.kind, addresses }))
}

fn free_name(owner: &Owner, node: &mut Node<'_>) -> Result<String, Error> {
    for attempt in 0..ATTEMPTS {
        let name = owner.host_link(attempt);
        if link::index(&node.host, &name)?.is_none() {
            return Ok(name);
        }
        match node.look_at(&name)? {
            None => return Ok(name),
            // Left by an ADD that was killed and whose record is lost; the container has no
            // interface of that name, so nobody is using it.
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
