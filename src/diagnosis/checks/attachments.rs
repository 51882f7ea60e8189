//! Attachments: what `verify` says of them, namespaces that are gone, addresses held twice, MTUs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{and_more, quoted};
use crate::diagnosis::facts::{Attachment, Facts};
use crate::diagnosis::{Finding, Fix, Leftover, Severity};

const REPAIR: &str = "causeway repair";

pub(in crate::diagnosis) fn check(facts: &Facts, findings: &mut Vec<Finding>) {
    drifted(facts, findings);
    for attachment in &facts.attachments {
        if !attachment.alive {
            gone(facts, attachment, findings);
            continue;
        }
        mtu(facts, attachment, findings);
        lease(facts, attachment, findings);
    }
    twice(facts, findings);
}

/// What is wrong in one way, with all attachments that it is so with.
struct Drift<'f> {
    check: &'static str,
    why: &'static str,
    put_back: bool,
    taken: bool,
    wrong: Vec<&'f str>,
    whose: Vec<String>,
}

/// How many things that are wrong are told in one line.
const TOLD: usize = 2;

/// What is wrong in the same way is told once: a flushed table is one thing, with however many pods.
fn drifted(facts: &Facts, findings: &mut Vec<Finding>) {
    let mut all: Vec<Drift<'_>> = Vec::new();
    for attachment in facts.attachments.iter().filter(|one| one.alive) {
        // Forwarding is a matter of the host.
        for wrong in attachment.wrong.iter().filter(|wrong| wrong.kind != "forwarding") {
            let (check, why) = reason(&wrong.kind);
            let (put_back, taken) = (wrong.put_back, wrong.taken);
            let place = all.iter().position(|one| {
                one.check == check && one.put_back == put_back && one.taken == taken
            });
            let place = place.unwrap_or_else(|| {
                let (wrong, whose) = (Vec::new(), Vec::new());
                all.push(Drift { check, why, put_back, taken, wrong, whose });
                all.len() - 1
            });
            let Some(drift) = all.get_mut(place) else { continue };
            if !drift.wrong.contains(&wrong.what.as_str()) {
                drift.wrong.push(&wrong.what);
            }
            let title = attachment.title();
            if !drift.whose.contains(&title) {
                drift.whose.push(title);
            }
        }
    }
    findings.extend(all.into_iter().map(of_drift));
}

fn of_drift(drift: Drift<'_>) -> Finding {
    let Drift { check, why, put_back, taken, wrong, whose } = drift;
    let mut what = wrong.iter().take(TOLD).copied().collect::<Vec<_>>().join("; ");
    if wrong.len() > TOLD {
        what.push_str(&format!("; and {} more", wrong.len() - TOLD));
    }
    let whom = and_more(whose.first().map(String::as_str).unwrap_or_default(), whose.len());
    what.push_str(&format!(": {whom}"));
    let details = if wrong.len() > TOLD || whose.len() > 1 {
        wrong.iter().map(|wrong| (*wrong).to_owned()).chain(whose).collect()
    } else {
        Vec::new()
    };
    let finding = |why: &str| Finding::new(check, Severity::Error, what, why).with_details(details);
    if taken {
        return finding(
            "Another attachment has taken it, or what is left of one. If that one is gone, remove what is \
             left of it (causeway repair --leftovers), then: causeway repair.",
        );
    }
    if put_back {
        return finding(why).mended_by(REPAIR).fixed_by(Fix::Repair);
    }
    finding(&format!(
        "{why} It cannot be put back under a running container: remove the pod, so that a new one is \
         attached."
    ))
}

/// A name for what is wrong with a kind of resource, and why it matters.
fn reason(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "bridge" => ("bridge", "The pods on it reach nothing, not even each other."),
        "veth" | "netkit" => {
            ("link", "The pod is cut off, or works in another way than it was attached.")
        }
        "gateway" | "vlanGateway" => {
            ("gateway", "Pods send everything for beyond their subnet to that address.")
        }
        "hostGateway" => ("gateway", "The host and the pod find each other by these alone."),
        "addresses" => ("address", "Nobody can answer the pod, and it cannot answer either."),
        "route" | "gatewayRoute" => {
            ("route", "The pod does not know the way, and gives up at once.")
        }
        "masquerade" | "iptablesMasquerade" => (
            "masquerade",
            "What the pod sends to the world bears an address that nobody answers to.",
        ),
        "portMap" | "iptablesPortMap" | "localRouting" => {
            ("portmap", "Connections to the mapped ports of the host do not reach the pod.")
        }
        "firewall" | "iptablesFirewall" | "firewalldSource" | "bridgePolicy" => {
            ("firewall", "The host may drop what the pod sends, or let through what it should not.")
        }
        "guard" => ("guard", "The pod can send under the hardware addresses of others."),
        "addressGuard" => {
            ("guard", "The pod can send from addresses of others, or not from its own.")
        }
        "shaper" | "ifb" => ("bandwidth", "The pod's rate is not limited as its annotations say."),
        "sysctls" | "linkAttributes" => {
            ("tuning", "Somebody has changed what the plugin tuning had set.")
        }
        "loopback" => ("loopback", "Programs in the pod do not reach each other by 127.0.0.1."),
        _ => ("drift", "It is not as the attachment was made."),
    }
}

fn gone(facts: &Facts, attachment: &Attachment, findings: &mut Vec<Finding>) {
    if attachment.records.is_empty() {
        // Only the runtime knows, and its result goes with its DEL.
        return;
    }
    let path = attachment.netns.as_ref().map(|path| path.display().to_string());
    let path = path.unwrap_or_else(|| "its namespace".to_owned());
    // The host's end of a pair goes with the namespace, so this one is alive: a process keeps it, or it
    // is not seen from here.
    let owner = attachment.owner.text();
    let link = facts.links.iter().find(|link| {
        link.alias == owner
            && !link.both_ends_here
            && ["veth", "netkit"].contains(&link.kind.as_str())
    });
    let addresses = &attachment.addresses;
    let is_seen = !attachment.paired
        && addresses.iter().any(|one| facts.living_addresses.contains(&one.ip()));
    if link.is_some() || is_seen {
        let what =
            format!("{path} is gone, but something of the pod is alive: {}", attachment.title());
        let why = "A process keeps its namespace, or this program runs where it does not see the node's \
                   files. On the node itself, find what keeps it (lsns -t net), or have the runtime call \
                   DEL.";
        findings.push(Finding::new("namespace-gone", Severity::Warning, what, why));
        return;
    }
    let (check, what, why) = if attachment.this_boot {
        (
            "namespace-gone",
            format!("{path} is gone, but the attachment is still recorded: {}", attachment.title()),
            "Its address, its rules and the ports of the host stay taken until the runtime calls DEL. \
             If it will not, they can be removed.",
        )
    } else {
        (
            "record-abandoned",
            format!("a record of before the last boot: {}", attachment.title()),
            "Nothing of it can be alive. Its address is taken until the range runs full or it is \
             removed.",
        )
    };
    findings.push(
        Finding::new(check, Severity::Warning, what, why)
            .mended_by("causeway repair --leftovers")
            .fixed_by(Fix::Remove(Leftover::Attachment(attachment.owner.clone()))),
    );
}

fn mtu(facts: &Facts, attachment: &Attachment, findings: &mut Vec<Finding>) {
    let Some(mtu) = attachment.mtu else { return };
    // That it is not as recorded is told already.
    let is_told = attachment.wrong.iter().any(|wrong| wrong.what.contains("has MTU"));
    let inside = |mtu: u32| {
        let path = attachment.netns.as_ref().map(|path| path.display().to_string());
        format!(
            "causeway netns exec {} ip link set {} mtu {mtu}",
            quoted(&path.unwrap_or_default()),
            quoted(&attachment.owner.ifname)
        )
    };
    let host_end = attachment.host_link.as_deref().and_then(|name| facts.link(name));
    let bridge = attachment.bridge.as_deref().and_then(|name| facts.link(name));
    for link in [host_end, bridge].into_iter().flatten() {
        if mtu > link.mtu && !is_told {
            let what = format!(
                "{} has MTU {mtu} in the container, but {} takes only {}",
                attachment.title(),
                link.name,
                link.mtu
            );
            let why =
                "Large packets are lost without a word: small requests work, large answers hang.";
            findings
                .push(Finding::new("mtu", Severity::Error, what, why).mended_by(inside(link.mtu)));
            return;
        }
    }
    for v6 in [false, true] {
        let has_family = attachment.addresses.iter().any(|one| one.is_ipv6() == v6);
        let Some(uplink) = facts.uplink(v6).filter(|_| has_family) else { continue };
        let is_own = [&attachment.bridge, &attachment.host_link]
            .into_iter()
            .any(|name| name.as_ref() == Some(&uplink.name));
        if mtu > uplink.mtu && !is_own && !is_told {
            let what = format!(
                "{} has MTU {mtu}, but the way to the world by {} takes only {}",
                attachment.title(),
                uplink.name,
                uplink.mtu
            );
            let why = format!(
                "Large packets to the world depend on the path MTU being found out, which many \
                 firewalls prevent. Set \"mtu\": {} in the network's configuration for new pods.",
                uplink.mtu
            );
            findings.push(
                Finding::new("mtu", Severity::Warning, what, why).mended_by(inside(uplink.mtu)),
            );
            return;
        }
    }
}

fn lease(facts: &Facts, attachment: &Attachment, findings: &mut Vec<Finding>) {
    // Leases may be kept elsewhere (`dataDir`).
    if !attachment.leased || !facts.leases.iter().any(|one| one.network == attachment.owner.network)
    {
        return;
    }
    for address in &attachment.addresses {
        let lease = facts.leases.iter().find(|lease| {
            lease.network == attachment.owner.network && lease.address == address.ip()
        });
        let owner = &attachment.owner;
        let problem = match lease {
            None => "there is no lease of it".to_owned(),
            Some(lease) if lease.container_id != owner.container_id => {
                format!("its lease is held by {}", lease.container_id)
            }
            Some(_) => continue,
        };
        let what = format!("{} uses {}, but {problem}", attachment.title(), address.ip());
        let why = "The same address can be given to another pod, or has been. Remove the pod, so that a \
                   new one is attached.";
        findings.push(Finding::new("lease-missing", Severity::Error, what, why));
    }
}

fn twice(facts: &Facts, findings: &mut Vec<Finding>) {
    let mut holders: BTreeMap<(Option<&str>, IpAddr), Vec<&Attachment>> = BTreeMap::new();
    for attachment in facts.attachments.iter().filter(|one| one.alive) {
        for address in &attachment.addresses {
            // The same address on two bridges is two networks' own business.
            let place = (attachment.bridge.as_deref(), address.ip());
            holders.entry(place).or_default().push(attachment);
        }
    }
    for ((bridge, address), holders) in holders {
        if let [one, other, ..] = holders.as_slice()
            && (bridge.is_some() || one.owner.network == other.owner.network)
        {
            let what = format!("{address} is held by two: {} and {}", one.title(), other.title());
            let why = "Packets reach now the one, now the other. Remove one of the two pods, and see that \
                       the networks' ranges do not overlap (causeway lint).";
            findings.push(Finding::new("address-twice", Severity::Error, what, why));
        }
    }
}
