//! Where an end, the host and the bridge believe an address to be. What they have found out by asking they
//! find out again; what somebody has written down stays wrong.

use std::net::IpAddr;

use super::Case;
use super::end::End;
use super::trail::{Step, Trail};
use crate::engine::Node;
use crate::kernel::link::Link;
use crate::kernel::mac::Mac;
use crate::kernel::neighbour::{self, Neighbour};

/// That the container finds its next hop, which is at the hardware address `real`.
pub(super) fn from_container(
    case: &mut Case<'_>,
    end: &mut End<'_>,
    next: IpAddr,
    real: Option<Mac>,
) -> Step<()> {
    let ifname = end.inside.name.clone();
    let netns = end.attachment.netns.clone().unwrap_or_default();
    let within = format!("nsenter --net={}", netns.display());
    // Pairs of other kinds may do without on purpose.
    if end.inside.kind == "veth" && end.inside.without_arp {
        let what = format!("{ifname} neither asks for neighbours nor answers: ARP is turned off");
        let advice = format!("{within} ip link set {ifname} arp on");
        return Err(case.trail.stop(&end.name, what, advice));
    }
    let all = neighbour::list(&mut end.node.pod()?.route)?;
    let known = all.into_iter().find(|one| one.link == end.inside.index && one.address == next);
    let advice = format!("{within} ip neigh del {next} dev {ifname}");
    believes(&mut case.trail, &end.name, known, real, advice)
}

/// That the host finds a container behind a link of its own.
pub(super) fn from_host(
    case: &mut Case<'_>,
    node: &mut Node<'_>,
    link: &Link,
    address: IpAddr,
    real: Option<Mac>,
) -> Step<()> {
    let all = neighbour::list(&mut node.host)?;
    let known = all.into_iter().find(|one| one.link == link.index && one.address == address);
    let advice = format!("ip neigh del {address} dev {}", link.name);
    believes(&mut case.trail, "host", known, real, advice)
}

fn believes(
    trail: &mut Trail,
    place: &str,
    known: Option<Neighbour>,
    real: Option<Mac>,
    advice: String,
) -> Step<()> {
    let Some(Neighbour { address, mac, failed, fixed, .. }) = known else { return Ok(()) };
    if failed {
        trail.note(place, format!("{address} did not answer when it was last asked for"));
    }
    let (Some(mac), Some(real)) = (mac, real) else { return Ok(()) };
    if mac == real {
        return Ok(());
    }
    let what = format!("what is for {address} is sent to {mac}, but {address} is at {real}");
    if fixed {
        return Err(trail.stop(place, format!("{what}: somebody has written that down"), advice));
    }
    trail.note(place, format!("{what}; that is found out within some seconds"));
    Ok(())
}

/// That the bridge carries what is for the container's hardware address to its port.
pub(super) fn from_bridge(
    case: &mut Case<'_>,
    node: &mut Node<'_>,
    bridge: &Link,
    port: &Link,
    mac: Option<Mac>,
) -> Step<()> {
    let Some(mac) = mac else { return Ok(()) };
    let all = neighbour::forwarding(&mut node.host)?;
    let of_bridge = |one: &&neighbour::Forwarding| one.bridge == Some(bridge.index);
    let elsewhere = all
        .iter()
        .filter(of_bridge)
        .find(|one| one.mac == mac && one.fixed && one.port != port.index);
    let Some(elsewhere) = elsewhere else { return Ok(()) };
    let other = crate::kernel::link::find_index(&mut node.host, elsewhere.port)?;
    let other = other.map(|link| link.name).unwrap_or_default();
    let what = format!(
        "{} sends what is for {mac} to {other}, not to {}: somebody has written that down",
        bridge.name, port.name
    );
    let advice = format!("bridge fdb del {mac} dev {other} master");
    Err(case.trail.stop("host", what, advice))
}
