//! Ports of the host that lead to containers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnetwork::IpNetwork;

use super::end::{End, REPAIR};
use super::host::{self, Passage};
use super::trail::Step;
use super::{Case, arriving, name, neighbours};
use crate::engine::Resource;
use crate::inventory::Attachment;
use crate::kernel::link;
use crate::kernel::port::{Mapping, Transport};
use crate::kernel::route::lookup::{Answer, way};

/// Somebody outside (documentation's addresses).
const SOMEBODY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x51)),
];

/// The container's address and the mapping that a resource has for a port of the host.
fn mapping_of(
    resource: &Resource,
    transport: Transport,
    port: u16,
    v6: bool,
) -> Option<(IpNetwork, &Mapping)> {
    let fits = |mapping: &&Mapping| mapping.protocol == transport && mapping.host_port == port;
    match resource {
        Resource::PortMap(map) => map.targets.iter().find_map(|target| {
            let found = target.mappings.iter().find(fits)?;
            (target.pod.is_ipv6() == v6).then_some((target.pod, found))
        }),
        Resource::IptablesPortMap(map) => {
            let pod = map.pods.iter().find(|pod| pod.is_ipv6() == v6)?;
            Some((*pod, map.mappings.iter().find(fits)?))
        }
        _ => None,
    }
}

/// Whose a port of the host is, and where it leads, for packets to `address` of the host.
pub(super) fn of_port<'i>(
    case: &Case<'i>,
    port: u16,
    address: IpAddr,
) -> Option<(&'i Attachment, SocketAddr)> {
    let transport = case.question.transport;
    case.inventory.attachments.iter().find_map(|one| {
        let resources = one.records.iter().flat_map(|record| &record.resources);
        let mut found = resources
            .filter_map(|resource| mapping_of(resource, transport, port, address.is_ipv6()));
        let (pod, mapping) = found.find(|(_, mapping)| {
            mapping.host_ip.is_none_or(|ip| ip.is_unspecified() || ip == address)
        })?;
        Some((one, SocketAddr::new(pod.ip(), mapping.container_port)))
    })
}

/// From outside to a port of the host.
pub(super) fn from_outside(case: &mut Case<'_>, port: u16) -> Step<()> {
    let (owner, transport) = (case.question.from, case.question.transport);
    let both = [case.question.v6, !case.question.v6];
    let resources = || owner.records.iter().flat_map(|record| &record.resources);
    let found = both.into_iter().find_map(|v6| {
        resources().find_map(|resource| {
            mapping_of(resource, transport, port, v6)
                .map(|(pod, mapping)| (resource, pod, mapping.clone()))
        })
    });
    let Some((resource, pod, mapping)) = found else {
        let protocol = transport.name();
        let other = SOMEBODY.into_iter().find_map(|somebody| of_port(case, port, somebody));
        let (what, advice) = match other {
            Some((other, target)) => (
                format!("{protocol} port {port} of the host leads to {} ({target})", name(other)),
                "ask for that one, or give this one another port".to_owned(),
            ),
            None => (
                format!("no mapping of {protocol} port {port} was asked for when it was attached"),
                "give the pod a hostPort, and its network the plugin portmap with \
                 \"capabilities\": {\"portMappings\": true}"
                    .to_owned(),
            ),
        };
        return Err(case.trail.stop(&name(owner), what, advice));
    };
    let mut to = End::open(case, owner)?;
    let wrong = resource.kind().verify(&mut to.node)?;
    if !wrong.is_empty() {
        let what =
            format!("the rules for mapped ports are not as they should be: {}", wrong.join("; "));
        return Err(case.trail.stop("rules", what, REPAIR));
    }
    let address = match mapping.host_ip {
        Some(ip) if !ip.is_unspecified() => format!("{ip}, "),
        _ => String::new(),
    };
    let protocol = transport.name();
    let what = format!(
        "{address}{protocol} port {port} of the host leads to {} port {}",
        pod.ip(),
        mapping.container_port
    );
    case.trail.pass("rules", what);
    case.question.port = Some(mapping.container_port);
    let somebody = if pod.is_ipv6() { SOMEBODY[1] } else { SOMEBODY[0] };
    let uplink = match way(&mut to.node.host, somebody, None)? {
        Answer::Way(way) => match way.link {
            Some(index) => link::find_index(&mut to.node.host, index)?,
            None => None,
        },
        Answer::None(_) => None,
    };
    let Some(door) = to.door(case)? else { return Ok(()) };
    let Some(input) = uplink else {
        let what =
            "the host has no default route, so it is looked at for neighbours of the host only";
        case.trail.note("host", what);
        return arriving::arrive(case, &mut to, pod.network(), pod.ip());
    };
    let passage = Passage { source: somebody, to: pod.ip(), input, redirected: true };
    let output = host::out(case, &mut to.node, &passage)?;
    if output.index != door.link().index {
        let what = format!(
            "the host's route to {} leads by {}, but the pod is behind {}",
            pod.ip(),
            output.name,
            door.link().name
        );
        let advice = format!("see which route is in the way: ip route get {}", pod.ip());
        return Err(case.trail.stop("host", what, advice));
    }
    host::forward(case, &mut to.node, &passage, &output)?;
    neighbours::from_host(case, &mut to.node, &output, pod.ip(), to.inside.mac)?;
    if let Some(bridge) = &door.bridge {
        neighbours::from_bridge(case, &mut to.node, bridge, &door.port, to.inside.mac)?;
    }
    arriving::arrive(case, &mut to, somebody, pod.ip())
}
