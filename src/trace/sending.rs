//! From the container to the host.

use std::net::IpAddr;

use super::Case;
use super::arriving;
use super::end::{Door, End, REPAIR, end, of_address};
use super::host::{self, Passage};
use super::neighbours;
use super::trail::Step;
use crate::engine::Resource;
use crate::inventory::Attachment;
use crate::kernel::link::{self, Link};
use crate::kernel::route::lookup::{Answer, Way, way};
use crate::kernel::verdict::{FORWARD, Packet};
use crate::kernel::{addr, sysctl};

/// Follows a packet to an address, which may be another attachment's.
pub(super) fn send(case: &mut Case<'_>, to: IpAddr, other: Option<&Attachment>) -> Step<()> {
    let mut from = End::open(case, case.question.from)?;
    let family = if to.is_ipv6() { "IPv6" } else { "IPv4" };
    let own = from.attachment.addresses.iter().find(|one| one.is_ipv6() == to.is_ipv6());
    let Some(own) = own.copied() else {
        let what = format!("it has no {family} address, and so cannot reach {to}");
        let advice = format!("give its network a range of {family}");
        return Err(case.trail.stop(&from.name, what, advice));
    };
    from.require_address(case, own.ip())?;
    let route = route(case, &mut from, to)?;
    if route.local {
        case.trail.pass(&from.name, format!("{to} is its own address; nothing leaves it"));
        return Ok(());
    }
    let source = route.source.unwrap_or(own.ip());
    let Some(door) = from.door(case)? else { return Ok(()) };
    let next = route.via.unwrap_or(to);

    let host_addresses = addr::all(&mut from.node.host)?;
    let is_host_s =
        |address: IpAddr| host_addresses.iter().any(|(_, one)| one.network.ip() == address);
    let passage = Passage { source, to, input: door.link().clone(), redirected: false };
    if route.via.is_some_and(is_host_s) || is_host_s(to) || is_link_local_of(&mut from, next)? {
        neighbours::from_container(case, &mut from, next, door.link().mac)?;
        if let Some(via) = route.via {
            case.trail.pass("host", format!("the host is the gateway {via}"));
        }
        return host::route(case, &mut from, passage, is_host_s(to), other);
    }
    if let Some(neighbour) = of_address(case, next)
        && let Some(bridge) = &door.bridge
    {
        let bridge = bridge.clone();
        return within(case, &mut from, neighbour, &door, &bridge, passage);
    }
    neighbours::from_container(case, &mut from, next, None)?;
    // Without a bridge there is nobody else on the link.
    let way_out = match &door.bridge {
        Some(bridge) => outside_port(&mut from, bridge)?,
        None => None,
    };
    if let Some(port) = way_out {
        let what = format!(
            "{next} may be behind {}, a port of the bridge; that cannot be looked at",
            port.name
        );
        case.trail.unknown("host", what, "look at the network outside");
        return Err(end());
    }
    let (what, advice) = match route.via {
        Some(via) => (
            format!("nobody has the gateway's address {via}: it is on no link of the host"),
            REPAIR.to_owned(),
        ),
        None => (
            format!("nobody on {} has {to}", door.link().name),
            format!("causeway list shows who has which address; {to} may be gone"),
        ),
    };
    Err(case.trail.stop("host", what, advice))
}

/// Looks up the way in the container.
fn route(case: &mut Case<'_>, from: &mut End<'_>, to: IpAddr) -> Step<Way> {
    let found = match way(&mut from.node.pod()?.route, to, None)? {
        Answer::Way(way) => way,
        Answer::None(errno) => {
            let recorded = from.attachment.records.iter().flat_map(|record| &record.resources);
            let is_recorded = recorded.into_iter().any(|resource| match resource {
                Resource::Route(route) => {
                    route.route.to.is_ipv6() == to.is_ipv6() && route.route.to.contains(to)
                }
                Resource::Addresses(addresses) => {
                    addresses.addresses.iter().any(|one| one.contains(to))
                }
                _ => false,
            });
            let what = format!("it has no route to {to} ({})", errno.desc());
            let advice = if is_recorded {
                REPAIR.to_owned()
            } else {
                "give the network a default route (isDefaultGateway, or routes in ipam), and attach \
                 the pod anew"
                    .to_owned()
            };
            return Err(case.trail.stop(&from.name, what, advice));
        }
    };
    if found.local {
        return Ok(found);
    }
    let via = found.via.map(|via| format!(" via {via}")).unwrap_or_default();
    if found.link != Some(from.inside.index) {
        let other = match found.link {
            Some(index) => link::find_index(&mut from.node.pod()?.route, index)?,
            None => None,
        };
        let other = other.map(|link| link.name).unwrap_or_default();
        let what = format!("{to} is reached by {other}{via}, not by {}", from.inside.name);
        let advice = format!("ask for that interface: --interface {other}");
        case.trail.unknown(&from.name, what, advice);
        return Err(end());
    }
    let mtu = found.mtu.map(|mtu| format!(", MTU {mtu}")).unwrap_or_default();
    let what = format!("the route to {to} leads by {}{via}{mtu}", from.inside.name);
    case.trail.pass(&from.name, what);
    Ok(found)
}

/// Whether a next hop is the host's link-local address, as of a pair without a bridge.
fn is_link_local_of(from: &mut End<'_>, next: IpAddr) -> Step<bool> {
    let IpAddr::V6(address) = next else { return Ok(false) };
    if !address.is_unicast_link_local() {
        return Ok(false);
    }
    let all = addr::all(&mut from.node.host)?;
    Ok(all.iter().any(|(_, one)| one.network.ip() == next))
}

/// A port of the bridge that is no end of a pair, and so leads out of the node.
fn outside_port(from: &mut End<'_>, bridge: &Link) -> Step<Option<Link>> {
    let ports = link::ports(&mut from.node.host, bridge.index)?;
    Ok(ports.into_iter().find(|port| !port.is_end_of_pair() && port.kind != "tun"))
}

/// From one port of a bridge to another.
fn within(
    case: &mut Case<'_>,
    from: &mut End<'_>,
    neighbour: &Attachment,
    door: &Door,
    bridge: &Link,
    passage: Passage,
) -> Step<()> {
    let mut to = End::open(case, neighbour)?;
    neighbours::from_container(case, from, passage.to, to.inside.mac)?;
    let Some(other) = to.door(case)? else { return Ok(()) };
    if other.bridge.as_ref().is_none_or(|one| one.index != bridge.index) {
        let what = format!("{} is on another bridge, {}", passage.to, other.link().name);
        let advice = "two networks have the same subnet: give one of them another";
        return Err(case.trail.stop("host", what, advice));
    }
    if door.port.isolated && other.port.isolated {
        let what = format!("both are isolated ports of {}, which keeps them apart", bridge.name);
        let advice = "that is portIsolation in the network's configuration";
        return Err(case.trail.stop("host", what, advice));
    }
    neighbours::from_bridge(case, &mut from.node, bridge, &other.port, to.inside.mac)?;
    neighbours::from_bridge(case, &mut from.node, bridge, &door.port, from.inside.mac)?;
    case.trail.pass(
        "host",
        format!("{} carries it from {} to {}", bridge.name, door.port.name, other.port.name),
    );
    host::frame(case, &mut from.node, &passage, &door.port, &other.port)?;
    let setting = if passage.to.is_ipv6() { "ip6tables" } else { "iptables" };
    let seen = sysctl::read(&format!("net/bridge/bridge-nf-call-{setting}"));
    if seen.is_ok_and(|value| value == "1") {
        let link = (bridge.name.clone(), bridge.index);
        let packet = Packet {
            source: passage.source,
            destination: passage.to,
            input: link.clone(),
            output: link,
            protocol: Some(case.question.transport.number()),
            source_port: None,
            port: case.question.port,
            answers: false,
            redirected: false,
            bridged: false,
        };
        let what = format!("rules see what {} carries (br_netfilter) and let it pass", bridge.name);
        host::judge(case, &mut from.node, FORWARD, &packet, &what)?;
    }
    neighbours::from_container(case, &mut to, passage.source, from.inside.mac)?;
    arriving::arrive(case, &mut to, passage.source, passage.to)
}
