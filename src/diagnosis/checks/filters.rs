//! Whether rules let pass what pods send and what answers them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::and_more;
use crate::diagnosis::facts::{Attachment, Facts, HostLink};
use crate::diagnosis::{Finding, Severity};
use crate::kernel::verdict::{Culprit, FORWARD, Judgement, Keeper, Packet};

/// Somewhere in the world (documentation's addresses).
const WORLD: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];
const TCP: u8 = 6;
const HTTPS: u16 = 443;

/// One kind of packet that must pass, with the rule that keeps it back.
struct Kept {
    culprit: Culprit,
    certain: bool,
    way: &'static str,
    subnet: IpNetwork,
    pods: Vec<String>,
}

pub(in crate::diagnosis) fn check(facts: &Facts, findings: &mut Vec<Finding>) {
    let mut kept: Vec<Kept> = Vec::new();
    for attachment in facts.attachments.iter().filter(|one| one.alive) {
        let Some(link) = attachment.bridge.as_ref().or(attachment.host_link.as_ref()) else {
            continue;
        };
        let Some(link) = facts.link(link) else { continue };
        for address in &attachment.addresses {
            for (way, packet) in packets(facts, attachment, link, *address) {
                let (culprit, certain) = match facts.ruleset.judge(FORWARD, &packet) {
                    Judgement::Accepted => continue,
                    Judgement::Dropped(culprit) => (culprit, true),
                    Judgement::Unknown(culprit) => (culprit, false),
                };
                let subnet = subnet(*address);
                let known = kept.iter_mut().find(|one| {
                    one.culprit == culprit
                        && one.certain == certain
                        && one.way == way
                        && one.subnet == subnet
                });
                match known {
                    Some(known) => known.pods.push(attachment.title()),
                    None => kept.push(Kept {
                        culprit,
                        certain,
                        way,
                        subnet,
                        pods: vec![attachment.title()],
                    }),
                }
                // What keeps the question back, keeps the answer back, too.
                break;
            }
        }
    }
    findings.extend(kept.into_iter().map(finding));
}

/// What a pod sends to the world and what answers that; and, when rules see what a bridge carries, what
/// a pod sends to another one on its bridge.
fn packets(
    facts: &Facts,
    attachment: &Attachment,
    link: &HostLink,
    address: IpNetwork,
) -> Vec<(&'static str, Packet)> {
    let v6 = address.is_ipv6();
    let world = if v6 { WORLD[1] } else { WORLD[0] };
    let inside = (link.name.clone(), link.index);
    // Without a default route any other link stands for the world.
    let outside = facts.uplink(v6).map_or_else(
        || ("uplink".to_owned(), u32::MAX),
        |uplink| (uplink.name.clone(), uplink.index),
    );
    let out = Packet {
        source: address.ip(),
        destination: world,
        input: inside.clone(),
        output: outside,
        protocol: Some(TCP),
        source_port: None,
        port: Some(HTTPS),
        answers: false,
        redirected: false,
        bridged: false,
    };
    let back = out.answer();
    let mut packets = Vec::new();
    let setting = if v6 { "bridge-nf-call-ip6tables" } else { "bridge-nf-call-iptables" };
    if attachment.bridge.is_some() && facts.sysctl(&format!("net/bridge/{setting}")) == "1" {
        let neighbour = subnet(address).iter().find(|other| *other != address.ip());
        let within = neighbour.map(|neighbour| Packet {
            destination: neighbour,
            output: inside,
            ..out.clone()
        });
        packets.extend(within.map(|packet| ("send to each other on their bridge", packet)));
    }
    packets.push(("send to the world", out));
    packets.push(("get as answers from the world", back));
    packets
}

fn subnet(address: IpNetwork) -> IpNetwork {
    IpNetwork::new(address.network(), address.prefix()).unwrap_or(address)
}

fn finding(kept: Kept) -> Finding {
    let Kept { culprit, certain, way, subnet, pods } = kept;
    let whom = and_more(pods.first().map(String::as_str).unwrap_or_default(), pods.len());
    let by = author(&culprit).map(|author| format!(" {author} has set it.")).unwrap_or_default();
    if !certain {
        let what = format!("whether what pods {way} passes depends on {culprit}: {whom}");
        let why = format!(
            "What that rule asks cannot be told by looking at it.{by} If connections fail, look there \
             first."
        );
        return Finding::new("forward-unknown", Severity::Note, what, why);
    }
    let what = format!("what pods {way} is dropped by {culprit}: {whom}");
    let (why, command) = exception(&culprit, subnet);
    let why = format!("The host throws it away.{by} {why}");
    Finding::new("forward-drop", Severity::Error, what, why).mended_by(command)
}

/// What lets the packets of a subnet pass by a base chain that drops them: how such exceptions are made
/// for good, and the command for now.
pub(in crate::diagnosis) fn exception(
    culprit: &Culprit,
    subnet: IpNetwork,
) -> (&'static str, String) {
    let base = &culprit.base;
    if base.is_of_iptables() {
        let program = if subnet.is_ipv6() { "ip6tables" } else { "iptables" };
        let legacy = if base.keeper == Keeper::IptablesLegacy { "-legacy" } else { "" };
        let insert =
            |side: &str| format!("{program}{legacy} -I {} {side} {subnet} -j ACCEPT", base.name);
        let why = "The plugin firewall in the network's configuration makes such exceptions for each \
                   pod by itself.";
        return (why, format!("{} && {}", insert("-s"), insert("-d")));
    }
    let (table, chain) = (&base.table, &base.name);
    let own = base.family.as_str();
    let family = if subnet.is_ipv6() { "ip6" } else { "ip" };
    let insert = |side: &str| {
        format!("nft insert rule {own} {table} {chain} {family} {side} {subnet} accept")
    };
    let why = "An accept in another table does not outdo it: the exception has to stand in this one, \
               and in the file it is loaded from.";
    (why, format!("{} && {}", insert("saddr"), insert("daddr")))
}

/// Whose firewall it looks like.
fn author(culprit: &Culprit) -> Option<&'static str> {
    let Culprit { base, chain, rule } = culprit;
    let text = format!("{} {} {}", base.table, chain.name, rule.as_deref().unwrap_or_default());
    [
        ("ufw", "ufw"),
        ("firewalld", "firewalld"),
        ("DOCKER", "Docker"),
        ("KUBE", "kube-proxy"),
        ("cali", "Calico"),
    ]
    .into_iter()
    .find(|(mark, _)| text.contains(mark))
    .map(|(_, name)| name)
}
