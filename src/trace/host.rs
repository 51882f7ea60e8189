//! Through the host: settings, routes, rules.

use std::net::IpAddr;

use nix::errno::Errno;

use super::end::{End, REPAIR, of_address};
use super::trail::Step;
use super::{Case, arriving, mapped, neighbours};
use crate::diagnosis;
use crate::engine::{Node, Resource, reference};
use crate::inventory::Attachment;
use crate::kernel::legacy::xtables::FAMILIES;
use crate::kernel::link::{self, Link};
use crate::kernel::route::lookup::{Answer, way};
use crate::kernel::verdict::{FORWARD, INPUT, Judgement, Packet, Ruleset, nftables, xtables};
use crate::kernel::{listening, neighbour, nft, sysctl};

/// A packet that is with the host.
#[derive(Debug, Clone)]
pub(super) struct Passage {
    /// From whom.
    pub source: IpAddr,
    /// To whom.
    pub to: IpAddr,
    /// The link it came in by.
    pub input: Link,
    /// Whether its destination was rewritten.
    pub redirected: bool,
}

/// From the link it came in by to where it goes; `local` tells that it is for the host itself.
pub(super) fn route(
    case: &mut Case<'_>,
    from: &mut End<'_>,
    passage: Passage,
    local: bool,
    other: Option<&Attachment>,
) -> Step<()> {
    reverse_path(case, &mut from.node, &passage)?;
    neighbours::from_host(case, &mut from.node, &passage.input, passage.source, from.inside.mac)?;
    if local {
        return to_host(case, from, passage);
    }
    let output = out(case, &mut from.node, &passage)?;
    let to = other.or_else(|| of_address(case, passage.to));
    if let Some(to) = to {
        let mut to = End::open(case, to)?;
        let Some(door) = to.door(case)? else { return Ok(()) };
        if door.link().index != output.index {
            let what = format!(
                "the host's route to {} leads by {}, but the pod is behind {}",
                passage.to,
                output.name,
                door.link().name
            );
            let advice = format!("see which route is in the way: ip route get {}", passage.to);
            return Err(case.trail.stop("host", what, advice));
        }
        forward(case, &mut from.node, &passage, &output)?;
        neighbours::from_host(case, &mut from.node, &output, passage.to, to.inside.mac)?;
        if let Some(bridge) = &door.bridge {
            neighbours::from_bridge(case, &mut from.node, bridge, &door.port, to.inside.mac)?;
        }
        return arriving::arrive(case, &mut to, passage.source, passage.to);
    }
    forward(case, &mut from.node, &passage, &output)?;
    leave(case, from, &passage, &output)
}

/// The filter that drops what comes in by another link than the host would answer by.
pub(super) fn reverse_path(
    case: &mut Case<'_>,
    node: &mut Node<'_>,
    passage: &Passage,
) -> Step<()> {
    let back = match way(&mut node.host, passage.source, None)? {
        Answer::Way(way) => way.link,
        Answer::None(_) => None,
    };
    let number = |link: &str| {
        let value = sysctl::read(&format!("net/ipv4/conf/{link}/rp_filter"));
        value.ok().and_then(|value| value.parse::<u8>().ok()).unwrap_or_default()
    };
    let input = &passage.input;
    let filter = if passage.source.is_ipv4() { number("all").max(number(&input.name)) } else { 0 };
    let by = match back {
        Some(index) => link::find_index(&mut node.host, index)?.map(|link| link.name),
        None => None,
    };
    if back == Some(input.index) {
        return Ok(());
    }
    let by = by.map_or_else(|| "nowhere".to_owned(), |link| format!("by {link}"));
    let answers = format!("the host would answer {} {by}, not by {}", passage.source, input.name);
    if filter == 1 || (filter == 2 && back.is_none()) {
        let what = format!("the reverse path filter drops it: {answers} (rp_filter {filter})");
        let advice = if back.is_some() {
            format!("sysctl -w net.ipv4.conf.{}.rp_filter=2", input.name)
        } else {
            REPAIR.to_owned()
        };
        return Err(case.trail.stop("host", what, advice));
    }
    let advice = if back.is_none() {
        REPAIR.to_owned()
    } else {
        format!("see which route is in the way: ip route get {}", passage.source)
    };
    Err(case.trail.stop("host", format!("{answers}, so no answer comes back"), advice))
}

/// Settings and the route: the link that it goes out by.
pub(super) fn out(case: &mut Case<'_>, node: &mut Node<'_>, passage: &Passage) -> Step<Link> {
    let Passage { source, to, input, .. } = passage;
    let settings: &[(String, &str)] = &if to.is_ipv4() {
        [
            ("net/ipv4/ip_forward".to_owned(), "the host does not forward IPv4"),
            (format!("net/ipv4/conf/{}/forwarding", input.name), "the link does not forward"),
        ]
        .to_vec()
    } else {
        [("net/ipv6/conf/all/forwarding".to_owned(), "the host does not forward IPv6")].to_vec()
    };
    for (name, what) in settings {
        if sysctl::read(name).is_ok_and(|value| value == "0") {
            let name = sysctl::dotted(name);
            return Err(case.trail.stop(
                "host",
                format!("{what} ({name}=0)"),
                format!("sysctl -w {name}=1"),
            ));
        }
    }
    let found = match way(&mut node.host, *to, Some((*source, input.index)))? {
        Answer::Way(way) => way,
        Answer::None(errno) => {
            let (what, advice) = match errno {
                Errno::ENETUNREACH | Errno::EHOSTUNREACH => (
                    format!("the host has no route to {to}"),
                    format!("give the host one: ip route get {to}"),
                ),
                Errno::EXDEV => (
                    format!("the host does not believe that {source} comes in by {}", input.name),
                    format!("see: ip route get {source}, and rp_filter of {}", input.name),
                ),
                errno => (
                    format!("a route of the host throws away what goes to {to} ({})", errno.desc()),
                    "see: ip route show table all; ip rule".to_owned(),
                ),
            };
            return Err(case.trail.stop("host", what, advice));
        }
    };
    let output = match found.link {
        Some(index) => link::find_index(&mut node.host, index)?,
        None => None,
    };
    let Some(output) = output else {
        let what = format!("the host's route to {to} has no link");
        return Err(case.trail.stop("host", what, format!("see: ip route get {to}")));
    };
    if !output.up {
        let what = format!("{} is down", output.name);
        return Err(case.trail.stop("host", what, format!("ip link set {} up", output.name)));
    }
    let via = found.via.map(|via| format!(" via {via}")).unwrap_or_default();
    let table = if found.table == 254 { String::new() } else { format!(", table {}", found.table) };
    case.trail.pass("host", format!("forwards, and routes {to} by {}{via}{table}", output.name));
    if let Some(via) = found.via {
        let all = neighbour::list(&mut node.host)?;
        if all.iter().any(|one| one.link == output.index && one.address == via && one.failed) {
            case.trail.note("host", format!("{via} did not answer when it was last asked for"));
        }
    }
    Ok(output)
}

/// The rules for what is forwarded, for the packet and for the answer.
pub(super) fn forward(
    case: &mut Case<'_>,
    node: &mut Node<'_>,
    passage: &Passage,
    output: &Link,
) -> Step<()> {
    let packet = Packet {
        source: passage.source,
        destination: passage.to,
        input: (passage.input.name.clone(), passage.input.index),
        output: (output.name.clone(), output.index),
        protocol: Some(case.question.transport.number()),
        source_port: None,
        port: case.question.port,
        answers: false,
        redirected: passage.redirected,
        bridged: false,
    };
    judge(case, node, FORWARD, &packet, "the rules for forwarded packets let it pass")?;
    judge(case, node, FORWARD, &packet.answer(), "and the answer, too")
}

/// The rules for frames that a bridge carries from port to port, for the packet and for the answer.
pub(super) fn frame(
    case: &mut Case<'_>,
    node: &mut Node<'_>,
    passage: &Passage,
    from: &Link,
    to: &Link,
) -> Step<()> {
    let rules = match node.nft() {
        Ok(socket) => Ruleset { chains: nftables::bridge_chains(socket, &[FORWARD])? },
        Err(crate::kernel::Error::Nft(nft::Error::Unsupported { .. })) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let packet = Packet {
        source: passage.source,
        destination: passage.to,
        input: (from.name.clone(), from.index),
        output: (to.name.clone(), to.index),
        protocol: Some(case.question.transport.number()),
        source_port: None,
        port: case.question.port,
        answers: false,
        redirected: false,
        bridged: true,
    };
    judged(case, &rules, FORWARD, &packet, None)?;
    judged(case, &rules, FORWARD, &packet.answer(), None)
}

/// Leads a packet through the rules of a hook.
pub(super) fn judge(
    case: &mut Case<'_>,
    node: &mut Node<'_>,
    point: u32,
    packet: &Packet,
    passes: &str,
) -> Step<()> {
    let mut rules = match node.nft() {
        Ok(socket) => Ruleset { chains: nftables::chains(socket, &[INPUT, FORWARD])? },
        Err(crate::kernel::Error::Nft(nft::Error::Unsupported { .. })) => Ruleset::default(),
        Err(error) => return Err(error.into()),
    };
    for (family, v6) in FAMILIES.into_iter().zip([false, true]) {
        if family.has("filter") {
            let saved = family.save("filter").map_err(crate::engine::Error::from)?;
            rules.chains.extend(xtables::chains(&saved, "filter", v6));
        }
    }
    judged(case, &rules, point, packet, Some(passes))
}

/// What rules say to a packet; that they let it pass is told in the words `passes`.
fn judged(
    case: &mut Case<'_>,
    rules: &Ruleset,
    point: u32,
    packet: &Packet,
    passes: Option<&str>,
) -> Step<()> {
    match rules.judge(point, packet) {
        Judgement::Accepted => {
            if let Some(passes) = passes {
                case.trail.pass("rules", passes);
            }
            Ok(())
        }
        Judgement::Unknown(culprit) => {
            let what = format!("whether it passes depends on {culprit}");
            let advice = "what that rule asks cannot be told by looking at it";
            case.trail.unknown("rules", what, advice);
            Ok(())
        }
        Judgement::Dropped(culprit) => {
            let whose = if packet.answers { "the answer" } else { "it" };
            let what = format!("{whose} is dropped by {culprit}");
            let pod = if packet.answers { packet.destination } else { packet.source };
            let pods = case.inventory.attachments.iter().flat_map(|one| &one.addresses);
            let subnet = pods
                .copied()
                .find(|one| one.ip() == pod || one.ip() == packet.destination)
                .unwrap_or_else(|| pod.into());
            let (_, advice) = diagnosis::exception(&culprit, subnet);
            Err(case.trail.stop("rules", what, advice))
        }
    }
}

/// For the host itself, or a port of it that leads elsewhere.
fn to_host(case: &mut Case<'_>, from: &mut End<'_>, passage: Passage) -> Step<()> {
    if let Some(port) = case.question.port
        && let Some((owner, target)) = mapped::of_port(case, port, passage.to)
    {
        let what = format!("port {port} of the host leads to {} ({target})", super::name(owner));
        case.trail.pass("rules", what);
        let redirected = Passage { to: target.ip(), redirected: true, ..passage };
        case.question.port = Some(target.port());
        return route(case, from, redirected, false, Some(owner));
    }
    case.trail.pass("host", format!("{} is the host's own address", passage.to));
    let packet = Packet {
        source: passage.source,
        destination: passage.to,
        input: (passage.input.name.clone(), passage.input.index),
        output: (String::new(), 0),
        protocol: Some(case.question.transport.number()),
        source_port: None,
        port: case.question.port,
        answers: false,
        redirected: false,
        bridged: false,
    };
    judge(case, &mut from.node, INPUT, &packet, "the rules for packets to the host let it pass")?;
    if let Some(port) = case.question.port {
        let found = listening::at(case.question.transport, port);
        arriving::somebody_listens(case, "host", found, port, passage.to)?;
    }
    Ok(())
}

/// Out of the node.
fn leave(case: &mut Case<'_>, from: &mut End<'_>, passage: &Passage, output: &Link) -> Step<()> {
    let mut masqueraded = false;
    for record in &from.attachment.records {
        for resource in &record.resources {
            if !matches!(resource, Resource::Masquerade(_) | Resource::IptablesMasquerade(_)) {
                continue;
            }
            masqueraded = true;
            let wrong = resource.kind().verify(&mut from.node)?;
            if !wrong.is_empty() {
                let what = format!(
                    "it would leave with the address {}, which nobody outside answers to: {}",
                    passage.source,
                    wrong.join("; ")
                );
                return Err(case.trail.stop("rules", what, REPAIR));
            }
        }
    }
    // Rules of the reference plugins are known by their names.
    let owner = &from.attachment.owner;
    if masqueraded || reference::masquerade_present(owner, &mut from.node)? {
        case.trail.pass("rules", "its source becomes the host's own address (masquerading)");
    } else {
        let what = format!(
            "it is not masqueraded: the network outside has to know that {} is here",
            passage.source
        );
        case.trail.note("host", what);
    }
    if from.inside.mtu > output.mtu {
        let what = format!(
            "large packets may be lost: {} has MTU {}, {} only {}",
            from.inside.name, from.inside.mtu, output.name, output.mtu
        );
        case.trail.note("host", what);
    }
    let what = format!("it leaves the node by {}; beyond, nothing can be looked at", output.name);
    case.trail.pass("host", what);
    Ok(())
}
