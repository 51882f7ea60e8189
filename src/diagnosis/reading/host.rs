//! The host itself: rights, links, sysctls, what the kernel lacks.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::diagnosis::facts::{Facts, HostLink, Lack, Rights, Uplink};
use crate::engine::Error;
use crate::kernel::features::{self, Feature, State};
use crate::kernel::link::{self, Link};
use crate::kernel::netlink::RouteSocket;
use crate::kernel::route::lookup::{self, Answer};
use crate::kernel::sysctl;

/// `CAP_NET_ADMIN` and `CAP_SYS_ADMIN` of linux/capability.h.
const NET_ADMIN: u32 = 12;
const SYS_ADMIN: u32 = 21;

/// Addresses in the world, to ask for the way out: those that documentation may use are routed like
/// any other.
const SOMEWHERE: [(bool, IpAddr); 2] = [
    (false, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
    (true, IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
];

/// What this process may do (proc(5), "CapEff").
pub(super) fn rights() -> Rights {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let bits = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .unwrap_or_default();
    Rights { net_admin: bits >> NET_ADMIN & 1 == 1, sys_admin: bits >> SYS_ADMIN & 1 == 1 }
}

/// The links and where the default routes lead.
pub(super) fn links(socket: &mut RouteSocket, facts: &mut Facts) -> Result<(), Error> {
    let found = link::list(socket)?;
    let names: HashMap<u32, &Link> = found.iter().map(|link| (link.index, link)).collect();
    let name = |index: u32| names.get(&index).map(|link| link.name.clone());
    for link in &found {
        let peer = link.peer.and_then(|index| names.get(&index));
        facts.links.push(HostLink {
            index: link.index,
            name: link.name.clone(),
            kind: link.kind.clone(),
            alias: link.alias.clone(),
            mtu: link.mtu,
            up: link.up,
            master: link.master.and_then(name),
            // Indices are counted in each namespace by itself: both must name each other.
            both_ends_here: link.is_end_of_pair()
                && peer.is_some_and(|peer| {
                    peer.is_end_of_pair()
                        && peer.peer == Some(link.index)
                        && peer.index != link.index
                }),
        });
    }
    for (v6, somewhere) in SOMEWHERE {
        if let Answer::Way(way) = lookup::way(socket, somewhere, None)?
            && let Some(link) = way.link.and_then(name)
        {
            facts.uplinks.push(Uplink { v6, link });
        }
    }
    Ok(())
}

/// The sysctls of the whole host, and of the links that attachments use.
pub(super) fn sysctls(facts: &mut Facts) {
    let mut names: Vec<String> = [
        "net/ipv4/ip_forward",
        "net/ipv6/conf/all/forwarding",
        "net/ipv4/conf/all/rp_filter",
        "net/bridge/bridge-nf-call-iptables",
        "net/bridge/bridge-nf-call-ip6tables",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut links: Vec<&str> = Vec::new();
    for attachment in &facts.attachments {
        links.extend(attachment.bridge.as_deref());
        links.extend(attachment.host_link.as_deref().filter(|_| attachment.bridge.is_none()));
    }
    links.sort_unstable();
    links.dedup();
    for link in links.into_iter().filter(|name| !name.contains('/')) {
        names.push(format!("net/ipv4/conf/{link}/forwarding"));
        names.push(format!("net/ipv4/conf/{link}/rp_filter"));
    }
    for name in names {
        if let Ok(value) = sysctl::read(&name) {
            facts.sysctls.insert(name, value);
        }
    }
}

/// What plugin types need of the kernel. nf_tables is asked when rules are read.
const NEEDS: [(&str, &[Feature]); 11] = [
    ("bridge", &[Feature::Bridge, Feature::Veth]),
    ("ptp", &[Feature::Veth]),
    ("netkit", &[Feature::Netkit]),
    ("macvlan", &[Feature::Macvlan]),
    ("ipvlan", &[Feature::Ipvlan]),
    ("vlan", &[Feature::Vlan]),
    ("dummy", &[Feature::Dummy]),
    ("vrf", &[Feature::Vrf]),
    ("tap", &[Feature::Tun]),
    ("bandwidth", &[Feature::Tbf, Feature::Ingress, Feature::Ifb, Feature::Redirection]),
    ("portmap", &[Feature::Nat]),
];

/// The kernel's release, and what it lacks of what configured plugins need.
pub(super) fn kernel(facts: &mut Facts) {
    facts.kernel.release = sysctl::read("kernel/osrelease").unwrap_or_default();
    let used = |plugin: &str| {
        let mut types = facts.configurations.iter().flat_map(|one| &one.types);
        types.any(|name| name == plugin)
    };
    let needed: Vec<_> = NEEDS.into_iter().filter(|(plugin, _)| used(plugin)).collect();
    for (plugin, needed) in needed {
        for (feature, state) in features::look_for(needed) {
            if state == State::Lacking {
                facts.kernel.lacks.push(Lack {
                    feature: feature.to_string(),
                    option: feature.option().to_owned(),
                    plugin: plugin.to_owned(),
                });
            }
        }
    }
}
