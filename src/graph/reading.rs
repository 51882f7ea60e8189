//! Reading a node: its own links, and those inside every namespace that is known.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::facts::{Attachment, DefaultRoute, Facts, Far, Link, Namespace};
use crate::engine::Resource;
use crate::inventory::{self, Inventory, Life};
use crate::kernel::link::Variety;
use crate::kernel::netlink::RouteSocket;
use crate::kernel::port::{Mapping, Transport};
use crate::kernel::route::whole::MAIN;
use crate::kernel::{self, addr, link, netns, route};

/// Reads the node. A namespace that cannot be looked into is among the problems, and the rest is read
/// all the same.
///
/// # Errors
/// When the kernel does not tell of the host's own links.
pub fn read(inventory: &Inventory) -> Result<Facts, kernel::Error> {
    let home = netns::Namespace::current()?;
    let mut socket = RouteSocket::open()?;
    let mut facts = Facts {
        node: fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
        attachments: inventory.attachments.iter().map(attachment).collect(),
        problems: inventory.problems.clone(),
        ..Facts::default()
    };
    // By which number the host knows which namespace.
    let mut numbers = HashMap::new();
    for path in paths(inventory) {
        let namespace = match netns::Namespace::open(&path) {
            Ok(namespace) => namespace,
            Err(netns::Error::Gone { .. } | netns::Error::NotANamespace { .. }) => continue,
            Err(error) => {
                facts.problems.push(error.to_string());
                continue;
            }
        };
        let is_known = facts.namespaces.iter().any(|known| known.inode == namespace.inode());
        if namespace.is_same(&home) || is_known {
            continue;
        }
        if let Some(number) = netns::number(&mut socket, &namespace)? {
            numbers.insert(number, namespace.inode());
        }
        match inside(&namespace, &home) {
            Ok(read) => facts.namespaces.push(Namespace { path: Some(path), ..read }),
            Err(error) => facts.problems.push(format!("{}: {error}", path.display())),
        }
    }
    facts.host = look(&mut socket, home.inode(), &numbers)?;
    Ok(facts)
}

/// The paths of namespaces: of attachments, and kept ones.
fn paths(inventory: &Inventory) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = inventory
        .attachments
        .iter()
        .filter(|one| matches!(one.life, Life::Alive(_)))
        .filter_map(|one| one.netns.clone())
        .collect();
    let kept = netns::list(Path::new(netns::DIRECTORY)).unwrap_or_default();
    paths.extend(kept.into_iter().filter(netns::Entry::is_namespace).map(|entry| entry.path));
    paths
}

/// Looks into a namespace from a thread that is in `home`.
fn inside(
    namespace: &netns::Namespace,
    home: &netns::Namespace,
) -> Result<Namespace, kernel::Error> {
    let mut socket = namespace.enter_from(home, RouteSocket::open)??;
    let number = netns::number(&mut socket, home)?;
    let numbers = number.map(|number| (number, home.inode())).into_iter().collect();
    look(&mut socket, namespace.inode(), &numbers)
}

/// What a socket's namespace has.
fn look(
    socket: &mut RouteSocket,
    inode: u64,
    numbers: &HashMap<i32, u64>,
) -> Result<Namespace, kernel::Error> {
    let mut addresses: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for (index, address) in addr::all(socket)? {
        let is_of_link =
            matches!(address.network.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local());
        if !is_of_link {
            addresses.entry(index).or_default().push(address.network);
        }
    }
    let links = link::list(socket)?.into_iter().filter(|link| !link.loopback);
    let links = links.map(|found| {
        let addresses = addresses.remove(&found.index).unwrap_or_default();
        let far = far(&found, inode, numbers);
        let detail = found.variety.as_ref().map(detail).unwrap_or_default();
        Link {
            index: found.index,
            name: found.name,
            kind: found.kind,
            detail,
            up: found.up,
            mtu: found.mtu,
            master: found.master,
            far,
            addresses,
        }
    });
    let links = links.collect();
    let mut defaults = Vec::new();
    for v6 in [false, true] {
        let all = route::list(socket, v6)?.into_iter();
        // Without a link it is no way but a refusal, such as `unreachable`.
        let chosen = all.filter(|one| {
            one.to.prefix() == 0 && one.table == MAIN && one.links.iter().any(|link| *link > 1)
        });
        defaults.extend(chosen.map(|one| DefaultRoute {
            to: one.to,
            via: one.via,
            links: one.links,
        }));
    }
    Ok(Namespace { inode, path: None, links, defaults })
}

fn far(link: &link::Link, inode: u64, numbers: &HashMap<i32, u64>) -> Option<Far> {
    let index = link.peer.filter(|index| *index != 0)?;
    let netns = match link.peer_namespace {
        None => Some(inode),
        Some(number) => numbers.get(&number).copied(),
    };
    (netns != Some(inode) || index != link.index).then_some(Far { netns, index })
}

fn detail(variety: &Variety) -> String {
    match variety {
        Variety::Macvlan { mode, .. } => mode.as_str().to_owned(),
        Variety::Ipvlan { mode } => mode.as_str().to_owned(),
        Variety::Vlan { id } => format!("id {id}"),
        Variety::Dummy => String::new(),
    }
}

fn attachment(one: &inventory::Attachment) -> Attachment {
    let netns = match one.life {
        Life::Alive(inode) => Some(inode),
        Life::Gone | Life::Unknown => None,
    };
    let link = one.host_link.as_ref().filter(|link| link.index.is_some());
    Attachment {
        network: one.owner.network.clone(),
        container_id: one.owner.container_id.clone(),
        ifname: one.owner.ifname.clone(),
        pod: one.pod.clone(),
        addresses: one.addresses.clone(),
        netns,
        host_link: link.map(|link| link.name.clone()),
        state: one.state,
        ports: ports(one),
    }
}

/// The mapped ports: as recorded, or else as the runtime has asked another program's plugin for.
fn ports(one: &inventory::Attachment) -> Vec<Mapping> {
    let mut found: Vec<Mapping> = Vec::new();
    let mut note = |mappings: &[Mapping]| {
        for mapping in mappings {
            if !found.contains(mapping) {
                found.push(mapping.clone());
            }
        }
    };
    for resource in one.records.iter().flat_map(|record| &record.resources) {
        match resource {
            Resource::PortMap(map) => {
                map.targets.iter().for_each(|target| note(&target.mappings));
            }
            Resource::IptablesPortMap(map) => note(&map.mappings),
            _ => {}
        }
    }
    if found.is_empty()
        && let Some(cached) = &one.cached
    {
        let asked = cached.capability_args.get("portMappings").and_then(Value::as_array);
        found.extend(asked.into_iter().flatten().filter_map(asked_for));
    }
    found
}

/// A mapping as a runtime writes it.
fn asked_for(value: &Value) -> Option<Mapping> {
    let port = |key: &str| u16::try_from(value.get(key)?.as_u64()?).ok().filter(|port| *port != 0);
    let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    Some(Mapping {
        protocol: text("protocol").map_or(Some(Transport::Tcp), Transport::named)?,
        host_ip: text("hostIP").and_then(|text| text.parse().ok()),
        host_port: port("hostPort")?,
        container_port: port("containerPort")?,
    })
}
