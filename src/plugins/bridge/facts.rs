//! What a bridge attachment's plan depends on, read from the kernel.

use ipnetwork::IpNetwork;
use serde::Deserialize;

use super::settings::Settings;
use crate::engine::{Node, Owner};
use crate::kernel::addr;
use crate::plugins::Error;
use crate::plugins::attached::{self, PodEnd};
use crate::plugins::pair;
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

impl Facts {
    pub(super) fn observe(
        settings: &Settings,
        request: &Request,
        owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<Self, Error> {
        attached::refuse_second(request, node)?;
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
            host_link: pair::free_name(owner, node)?,
            attached: None,
        })
    }

    /// The facts of an attachment that prevResult describes.
    pub(super) fn from_result(
        settings: &Settings,
        request: &Request,
        result: &AddResult,
    ) -> Result<Self, Error> {
        let attached = attached::pod_end(request, result)?;
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
            attached: Some(attached),
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
