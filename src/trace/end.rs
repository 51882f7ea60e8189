//! An attachment at an end of the way: its interface, and what joins that to the host.

use std::net::IpAddr;

use super::trail::{Halt, Step};
use super::{Case, name};
use crate::engine::{Node, Resource, host_end};
use crate::inventory::Attachment;
use crate::kernel::addr;
use crate::kernel::link::{self, Link};
use crate::kernel::netns::Namespace;
use crate::kernel::{addrspoof, macspoof};

pub(super) const REPAIR: &str = "causeway repair";

/// An attachment whose namespace is there.
pub(super) struct End<'i> {
    /// How people know it.
    pub name: String,
    /// What is known of it.
    pub attachment: &'i Attachment,
    /// Sockets into its namespace and the host's.
    pub node: Node<'static>,
    /// Its interface.
    pub inside: Link,
}

/// How the host gets at it.
pub(super) struct Door {
    /// The host's end of its pair.
    pub port: Link,
    /// The bridge that the end is a port of.
    pub bridge: Option<Link>,
}

impl Door {
    /// The link by which the host's routes lead there.
    pub fn link(&self) -> &Link {
        self.bridge.as_ref().unwrap_or(&self.port)
    }
}

impl<'i> End<'i> {
    /// Opens the namespace and looks at the interface.
    pub fn open(case: &mut Case<'_>, attachment: &'i Attachment) -> Step<Self> {
        let (name, trail) = (name(attachment), &mut case.trail);
        let path = attachment.netns.clone().unwrap_or_default();
        let home = Namespace::current().map_err(crate::kernel::Error::from)?;
        let Ok(pod) = Namespace::open(&path) else {
            let what = format!("its namespace {} is gone", path.display());
            let advice = "causeway repair --leftovers, if the runtime does not call DEL";
            return Err(trail.stop(&name, what, advice));
        };
        let mut node = Node::open(home, Some(pod), None)?;
        let ifname = &attachment.owner.ifname;
        let Some(inside) = link::find(&mut node.pod()?.route, ifname)? else {
            let what = format!("there is no interface {ifname} in it");
            let advice = "remove the pod, so that a new one is attached";
            return Err(trail.stop(&name, what, advice));
        };
        if !inside.up {
            return Err(trail.stop(&name, format!("interface {ifname} is down"), REPAIR));
        }
        Ok(Self { name, attachment, node, inside })
    }

    /// That the interface has an address.
    pub fn require_address(&mut self, case: &mut Case<'_>, address: IpAddr) -> Step<()> {
        let pod = self.node.pod()?;
        let found = addr::list(&mut pod.route, self.inside.index)?;
        let ifname = &self.inside.name;
        match found.iter().find(|one| one.network.ip() == address) {
            None => Err(case.trail.stop(
                &self.name,
                format!("address {address} is not on {ifname}"),
                REPAIR,
            )),
            Some(one) if one.duplicate => Err(case.trail.stop(
                &self.name,
                format!("address {address} of {ifname} is in use by another host, so IPv6 does not use it"),
                "find the other one: ip -6 neigh, and see that ranges do not overlap",
            )),
            Some(_) => {
                let what = format!("{ifname} is up and has {address}, MTU {}", self.inside.mtu);
                case.trail.pass(&self.name, what);
                Ok(())
            }
        }
    }

    /// The way between the interface and the host; `None` for a link that is on a master, past the
    /// host.
    pub fn door(&mut self, case: &mut Case<'_>) -> Step<Option<Door>> {
        let trail = &mut case.trail;
        if !self.inside.is_end_of_pair() {
            let what = format!(
                "{} is a {} and goes out past the host: no rule or route of the host sees it",
                self.inside.name, self.inside.kind
            );
            let advice = "look at its master and at the network outside; ip -d link shows both";
            trail.unknown(&self.name, what, advice);
            return Ok(None);
        }
        let peer = self.inside.peer.unwrap_or_default();
        let Some(port) = host_end::other_end(&self.inside, peer, &mut self.node)? else {
            let what = format!("the host end of {} is not on the host", self.inside.name);
            let advice = "remove the pod, so that a new one is attached";
            return Err(trail.stop("host", what, advice));
        };
        if !port.up {
            return Err(trail.stop("host", format!("{} is down", port.name), REPAIR));
        }
        let bridge = match port.master {
            Some(index) => link::find_index(&mut self.node.host, index)?,
            None => None,
        };
        let resources = self.attachment.records.iter().flat_map(|record| &record.resources);
        let wanted = resources.clone().find_map(|resource| match resource {
            Resource::Veth(veth) => veth.bridge.as_deref(),
            _ => None,
        });
        if let Some(wanted) = wanted
            && bridge.as_ref().is_none_or(|bridge| bridge.name != wanted)
        {
            let what = format!("{} is not a port of bridge {wanted}", port.name);
            return Err(trail.stop("host", what, REPAIR));
        }
        if let Some(bridge) = &bridge
            && !bridge.up
        {
            return Err(trail.stop("host", format!("bridge {} is down", bridge.name), REPAIR));
        }
        if let Some(state) = port.port_state.filter(|state| *state != link::FORWARDING) {
            let what = format!("bridge port {} carries nothing (state {state})", port.name);
            let advice = format!(
                "bridge link set dev {} state {}, or see who keeps loops off that bridge (STP)",
                port.name,
                link::FORWARDING
            );
            return Err(case.trail.stop("host", what, advice));
        }
        self.guard(case, &port)?;
        let what = match &bridge {
            Some(bridge) => {
                format!("{} is up, a port of bridge {}, which is up", port.name, bridge.name)
            }
            None => format!("{} is up", port.name),
        };
        case.trail.pass("host", what);
        Ok(Some(Door { port, bridge }))
    }

    /// That the port carries what the interface sends.
    fn guard(&mut self, case: &mut Case<'_>, port: &Link) -> Step<()> {
        let Ok(socket) = self.node.nft() else { return Ok(()) };
        let macs = macspoof::entries(socket).unwrap_or_default();
        let addresses = addrspoof::entries(socket).unwrap_or_default();
        let mut own = macs.iter().filter(|entry| entry.link == port.name).peekable();
        if let Some(mac) = self.inside.mac.filter(|_| own.peek().is_some())
            && !own.any(|entry| entry.mac == mac.0)
        {
            return Err(case.trail.stop(
                "rules",
                format!(
                    "{} sends from {mac}, and macspoofchk drops that on {}",
                    self.inside.name, port.name
                ),
                "give the interface the hardware address back that it was attached with",
            ));
        }
        let mut own = addresses.iter().filter(|entry| entry.link() == port.name).peekable();
        if own.peek().is_none() {
            return Ok(());
        }
        let allowed: Vec<IpAddr> = own.filter_map(addrspoof::Entry::address).collect();
        let mut known = self.attachment.addresses.iter().map(|one| one.ip());
        match known.find(|address| !allowed.contains(address)) {
            None => Ok(()),
            Some(address) => Err(case.trail.stop(
                "rules",
                format!("addrspoofchk drops on {} what is sent from {address}", port.name),
                REPAIR,
            )),
        }
    }

    /// Whether an attachment has an address.
    pub fn has(attachment: &Attachment, address: IpAddr) -> bool {
        attachment.addresses.iter().any(|one| one.ip() == address)
    }
}

/// The end of the attachment that has an address.
pub(super) fn of_address<'i>(case: &Case<'i>, address: IpAddr) -> Option<&'i Attachment> {
    let mut all = case.inventory.attachments.iter();
    all.find(|one| End::has(one, address) && matches!(one.life, crate::inventory::Life::Alive(_)))
}

/// A halt for a way that is at its end.
pub(super) fn end() -> Halt {
    Halt::Stopped
}
