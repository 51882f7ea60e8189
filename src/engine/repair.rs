//! Putting back what a recorded attachment lacks: tables that somebody flushed, a bridge that is down,
//! an address or a route that is gone.
//!
//! What is verified as it should be is not touched. What would have to be made from nothing in the
//! container (its interface) or is somebody else's by now (an address, a port) is only told.

use std::path::Path;

use serde::Serialize;

use super::journal::{Journal, Record};
use super::resource::gateway::Gateway;
use super::resource::netkit::Netkit;
use super::resource::veth::Veth;
use super::shared_lock::SharedLock;
use super::{Error, Node, Resource};
use crate::kernel::link::{self, Attributes, Link};
use crate::kernel::mac::Mac;
use crate::kernel::netns::Namespace;

/// What became of one resource that was not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// What it is, as part of "this would …".
    pub resource: String,
    /// What was wrong with it.
    pub wrong: Vec<String>,
    /// What still is; nothing when it was put back.
    pub left: Vec<String>,
    /// Why it could not be put back, if that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Whether a resource is put back when it is missing or different.
pub fn is_put_back(resource: &Resource) -> bool {
    matches!(
        resource,
        Resource::Bridge(_)
            | Resource::Gateway(_)
            | Resource::VlanGateway(_)
            | Resource::HostGateway(_)
            | Resource::Forwarding(_)
            | Resource::LocalRouting(_)
            | Resource::Veth(_)
            | Resource::Netkit(_)
            | Resource::Loopback(_)
            | Resource::Addresses(_)
            | Resource::Route(_)
            | Resource::GatewayRoute(_)
            | Resource::Masquerade(_)
            | Resource::PortMap(_)
            | Resource::Firewall(_)
            | Resource::Guard(_)
            | Resource::AddressGuard(_)
            | Resource::BridgePolicy(_)
            | Resource::IptablesMasquerade(_)
            | Resource::IptablesPortMap(_)
            | Resource::IptablesFirewall(_)
            | Resource::FirewalldSource(_)
    )
}

/// Whether a resource can be put back only while the container has its interface.
pub fn needs_interface(resource: &Resource) -> bool {
    matches!(
        resource,
        Resource::Veth(_)
            | Resource::Netkit(_)
            | Resource::HostGateway(_)
            | Resource::Addresses(_)
            | Resource::Route(_)
            | Resource::GatewayRoute(_)
    )
}

/// Looks at every resource of a record, in order, and puts back what is missing. Nothing is done, and
/// `None` given, when the container's namespace is gone, or the record itself by the time that other
/// calls for the container have come to their end.
///
/// # Errors
/// When the locks cannot be taken or the kernel not be spoken to.
pub fn put_back(state: Option<&Path>, record: &Record) -> Result<Option<Vec<Outcome>>, Error> {
    let home = Namespace::current().map_err(crate::kernel::Error::from)?;
    let Some(pod) = record.netns.as_deref().and_then(|path| Namespace::open(path).ok()) else {
        return Ok(None);
    };
    if pod.is_same(&home) {
        return Ok(None);
    }
    pod.lock().map_err(crate::kernel::Error::from)?;
    let journal = Journal::of(state, &record.owner.network);
    if journal.read(&record.owner, &record.plugin)?.as_ref() != Some(record) {
        return Ok(None);
    }
    let _lock = SharedLock::take(state)?;
    let mut node = Node::open(home, Some(pod), None)?;
    let mut outcomes = Vec::new();
    for resource in &record.resources {
        outcomes.extend(put_back_one(resource, &mut node)?);
    }
    Ok(Some(outcomes))
}

fn put_back_one(resource: &Resource, node: &mut Node<'_>) -> Result<Option<Outcome>, Error> {
    // To verify another program's plugin would be to run it.
    if matches!(resource, Resource::Foreign(_)) {
        return Ok(None);
    }
    let wrong = resource.kind().verify(node)?;
    if wrong.is_empty() {
        return Ok(None);
    }
    let mut outcome =
        Outcome { resource: resource.kind().describe(), left: wrong.clone(), wrong, failure: None };
    if !is_put_back(resource) {
        return Ok(Some(outcome));
    }
    node.rules.renew();
    let made = make(resource, node).and_then(|()| Ok(node.flush()?));
    // Of a failed batch nothing must go along with the next.
    node.rules = Default::default();
    node.forget_all();
    outcome.left = resource.kind().verify(node)?;
    if let (Err(error), false) = (made, outcome.left.is_empty()) {
        // Where a part was there before, the kernel refused that part and made the rest.
        outcome.failure = Some(error.to_string());
    }
    Ok(Some(outcome))
}

fn make(resource: &Resource, node: &mut Node<'_>) -> Result<(), Error> {
    match resource {
        Resource::Veth(veth) => mend_pair(&Ends::of_veth(veth), node),
        Resource::Netkit(pair) => mend_pair(&Ends::of_netkit(pair), node),
        // What ADD saw at its time does not count any more.
        Resource::Gateway(gateway) => {
            let unseen = Resource::from(Gateway { seen: false, ..gateway.clone() });
            unseen.kind().create(node).map(drop)
        }
        other => other.kind().create(node).map(drop),
    }
}

/// What is mended of a pair that is there.
struct Ends<'a> {
    pod: &'a str,
    owner: &'a str,
    mac: Option<Mac>,
    mtu: Option<u32>,
    leave_down: bool,
    bridge: Option<&'a str>,
    hairpin: bool,
    isolated: bool,
}

impl<'a> Ends<'a> {
    fn of_veth(veth: &'a Veth) -> Self {
        Self {
            pod: &veth.pod,
            owner: &veth.owner,
            mac: Mac::parse(&veth.mac),
            mtu: veth.mtu,
            leave_down: veth.leave_down,
            bridge: veth.bridge.as_deref(),
            hairpin: veth.hairpin,
            isolated: veth.isolated,
        }
    }

    fn of_netkit(pair: &'a Netkit) -> Self {
        Self {
            pod: &pair.pod,
            owner: &pair.owner,
            mac: Mac::parse(&pair.mac),
            mtu: pair.mtu,
            leave_down: false,
            bridge: None,
            hairpin: false,
            isolated: false,
        }
    }
}

/// Brings both ends of a pair up and makes the host's a port of its bridge again. A pair that is gone
/// stays gone: the container's processes would not know the new one.
fn mend_pair(ends: &Ends<'_>, node: &mut Node<'_>) -> Result<(), Error> {
    node.forget_all();
    let Some(inside) = link::find(&mut node.pod()?.route, ends.pod)? else { return Ok(()) };
    let outside = match inside.peer {
        Some(index) => link::find_index(&mut node.host, index)?,
        None => None,
    };
    let Some(outside) = outside.filter(Link::is_end_of_pair) else { return Ok(()) };
    if let Some(name) = ends.bridge
        && let Some(bridge) = node.look_at(name)?
    {
        if outside.master != Some(bridge.index) {
            let master = Some((bridge.index, name));
            link::queue_master(&mut node.host, outside.index, &outside.name, master)?;
            node.host.flush()?;
        }
        link::queue_owner(&mut node.host, &outside.name, ends.owner)?;
        link::queue_port_flags(&mut node.host, &outside.name, ends.hairpin, ends.isolated)?;
    }
    if !outside.up {
        link::queue_up(&mut node.host, &outside.name)?;
    }
    if let Some(mtu) = ends.mtu.filter(|mtu| *mtu != inside.mtu || *mtu != outside.mtu) {
        let attributes = Attributes { mtu: Some(mtu), ..Attributes::default() };
        link::queue_attributes(&mut node.host, &outside.name, &attributes)?;
        link::queue_attributes(&mut node.pod()?.route, ends.pod, &attributes)?;
    }
    if ends.mac.is_some() && ends.mac != inside.mac {
        let attributes = Attributes { mac: ends.mac, ..Attributes::default() };
        link::queue_attributes(&mut node.pod()?.route, ends.pod, &attributes)?;
    }
    if !inside.up && !ends.leave_down {
        link::queue_up(&mut node.pod()?.route, ends.pod)?;
    }
    Ok(())
}
