//! The host itself: rights, links, sysctls, the kernel's modules.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::diagnosis::facts::{Facts, HostLink, Rights, Uplink};
use crate::engine::Error;
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

/// Modules that plugin types need, by their names in the tree.
const NEEDS: [(&str, &[&str]); 10] = [
    ("bridge", &["bridge", "veth"]),
    ("ptp", &["veth"]),
    ("macvlan", &["macvlan"]),
    ("ipvlan", &["ipvlan"]),
    ("vlan", &["8021q"]),
    ("dummy", &["dummy"]),
    ("vrf", &["vrf"]),
    ("tap", &["tun"]),
    ("bandwidth", &["sch_tbf", "sch_ingress", "act_mirred", "ifb"]),
    ("portmap", &["nft_nat"]),
];

/// The kernel's release, and which modules of configured plugins it lacks.
pub(super) fn kernel(facts: &mut Facts) {
    facts.kernel.release = sysctl::read("kernel/osrelease").unwrap_or_default();
    let tree = Path::new("/lib/modules").join(&facts.kernel.release);
    let lists = ["modules.builtin", "modules.dep"].map(|name| fs::read_to_string(tree.join(name)));
    let [Ok(built_in), Ok(loadable)] = lists else {
        // Without both lists nobody can tell what is built in.
        return;
    };
    let has = |module: &str| {
        let file = format!("/{}.ko", module.replace('_', "-"));
        let other = format!("/{}.ko", module.replace('-', "_"));
        let listed = |list: &str| list.contains(&file) || list.contains(&other);
        Path::new("/sys/module").join(module).exists() || listed(&built_in) || listed(&loadable)
    };
    let mut lacks = Vec::new();
    for (plugin, modules) in NEEDS {
        let is_used = facts
            .configurations
            .iter()
            .any(|configuration| configuration.types.iter().any(|name| name == plugin));
        for module in modules.iter().filter(|module| is_used && !has(module)) {
            lacks.push(((*module).to_owned(), plugin.to_owned()));
        }
    }
    facts.kernel.lacks = lacks;
}
