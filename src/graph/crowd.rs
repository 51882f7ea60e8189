//! The namespaces on one link of the host: one by one, or together when they are many.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;

use ipnetwork::IpNetwork;

use super::facts::{Attachment, Namespace};
use super::lettering::{counted, natural};
use super::picture::{Detail, Hub, Line, Member};
use crate::inventory::State;
use crate::kernel::port::Mapping;

/// Up to how many namespaces on one link everything is said of each.
const FULL: usize = 24;
/// Up to how many each is still shown.
const SHORT: usize = 80;
/// How many groups there are at most, and how many of those that something is wrong with are shown by
/// themselves.
const GROUPS: usize = 24;
/// How many columns of text a container ID gets.
const ID: usize = 12;
/// Interfaces, addresses or ports that are listed of one namespace.
const LISTED: usize = 6;

/// A namespace with what was found in it.
pub(super) struct Pod<'f> {
    /// How people call it.
    pub title: String,
    whole: String,
    /// The interfaces, the main one first.
    pub interfaces: Vec<Interface<'f>>,
    /// What it is shown with when there are many.
    group: String,
    defaults: Vec<String>,
}

/// One of its interfaces.
pub(super) struct Interface<'f> {
    pub name: &'f str,
    pub kind: &'f str,
    pub detail: &'f str,
    pub is_up: bool,
    pub is_missing: bool,
    pub addresses: &'f [IpNetwork],
    pub hub: Hub,
    pub host_end: Option<u32>,
    pub wire: &'f str,
    pub attachment: Option<&'f Attachment>,
}

impl Interface<'_> {
    /// What is wrong with it.
    fn trouble(&self) -> Option<String> {
        let state = self.attachment.map_or(State::Attached, |one| one.state);
        if state != State::Attached {
            Some(state.to_string())
        } else if self.is_missing {
            Some(format!("{} is gone", self.name))
        } else {
            (!self.is_up).then(|| format!("{} is down", self.name))
        }
    }
}

impl<'f> Pod<'f> {
    pub(super) fn new(
        namespace: Option<&'f Namespace>,
        attachments: &[&'f Attachment],
        interfaces: Vec<Interface<'f>>,
    ) -> Self {
        let first = attachments.first();
        let pod = attachments.iter().find_map(|one| one.pod.as_deref());
        let path = namespace.and_then(|one| one.path.as_deref());
        let id = first.map(|one| one.container_id.chars().take(ID).collect());
        let title = pod
            .map(str::to_owned)
            .or_else(|| path.and_then(given_name))
            .or(id)
            .or_else(|| namespace.map(|one| format!("net:[{}]", one.inode)))
            .unwrap_or_default();
        let ids: BTreeSet<&str> = attachments.iter().map(|one| one.container_id.as_str()).collect();
        let path = path.map(|path| path.display().to_string());
        let names = pod.map(str::to_owned).into_iter().chain(path);
        let whole: Vec<String> = names.chain(ids.into_iter().map(str::to_owned)).collect();
        let group = match (pod.and_then(|pod| pod.split_once('/')), first) {
            (Some((namespace, _)), _) => namespace.to_owned(),
            (None, Some(one)) => format!("network {}", one.network),
            (None, None) => "without attachments".to_owned(),
        };
        // Where there is a choice of ways, which one it takes.
        let mut defaults = Vec::new();
        for route in namespace.into_iter().flat_map(|one| &one.defaults) {
            let link = namespace
                .and_then(|one| one.links.iter().find(|link| route.links.contains(&link.index)));
            if let Some(link) = link.filter(|_| interfaces.len() > 1) {
                let via = route.via.first().map(|via| format!("via {via} ")).unwrap_or_default();
                defaults.push(format!("{} {via}by {}", route.to, link.name));
            }
        }
        Self { title, whole: whole.join("\n"), interfaces, group, defaults }
    }

    /// What it hangs on with its main interface.
    pub(super) fn hub(&self) -> Hub {
        let hubs = || self.interfaces.iter().map(|one| one.hub);
        hubs().find(|hub| *hub != Hub::Apart).unwrap_or(Hub::Apart)
    }

    /// The attachments.
    pub(super) fn attachments(&self) -> impl Iterator<Item = &'f Attachment> {
        self.interfaces.iter().filter_map(|one| one.attachment)
    }

    /// The mapped ports.
    pub(super) fn ports(&self) -> impl Iterator<Item = &'f Mapping> {
        self.attachments().flat_map(|one| &one.ports)
    }

    /// Whether something is wrong with one of its interfaces.
    pub(super) fn is_wrong(&self) -> bool {
        self.interfaces.iter().any(|one| one.trouble().is_some())
    }

    fn troubles(&self) -> impl Iterator<Item = Line> {
        let all: BTreeSet<String> = self.interfaces.iter().filter_map(Interface::trouble).collect();
        all.into_iter().map(Line::wrong)
    }

    fn addresses(&self) -> impl Iterator<Item = &IpNetwork> {
        let hub = self.hub();
        self.interfaces.iter().filter(move |one| one.hub == hub).flat_map(|one| one.addresses)
    }
}

/// The name that somebody gave a namespace; not what runtimes make up.
fn given_name(path: &Path) -> Option<String> {
    if let Ok(rest) = path.strip_prefix("/proc") {
        let process = rest.iter().next()?.to_str()?;
        return Some(format!("process {process}"));
    }
    let name = path.file_name()?.to_str()?;
    (!name.starts_with("cni-")).then(|| name.to_owned())
}

/// The boxes for all namespaces on `hub`. `name_of` names a link of the host.
pub(super) fn members<'n>(
    mut pods: Vec<&Pod<'_>>,
    colours: &HashMap<Hub, usize>,
    detail: Detail,
    name_of: impl Fn(u32) -> Option<&'n str>,
) -> Vec<Member> {
    pods.sort_by(|one, other| natural(&one.title, &other.title));
    let count = pods.len();
    if count <= FULL {
        return pods.iter().map(|pod| full(pod, colours, &name_of)).collect();
    }
    if count <= SHORT || detail == Detail::Each {
        return pods.iter().map(|pod| short(pod, colours)).collect();
    }
    let (wrong, good): (Vec<_>, Vec<_>) = pods.into_iter().partition(|pod| pod.is_wrong());
    let (by_itself, others) = wrong.split_at(wrong.len().min(GROUPS));
    let mut members: Vec<Member> =
        by_itself.iter().map(|pod| full(pod, colours, &name_of)).collect();
    let mut groups: BTreeMap<&str, Vec<&Pod<'_>>> = BTreeMap::new();
    for pod in good.into_iter().chain(others.iter().copied()) {
        groups.entry(&pod.group).or_default().push(pod);
    }
    let mut groups: Vec<(&str, Vec<&Pod<'_>>)> = groups.into_iter().collect();
    groups.sort_by(|(one, all), (other, both)| {
        both.len().cmp(&all.len()).then_with(|| natural(one, other))
    });
    let rest: Vec<&Pod<'_>> =
        groups.iter().skip(GROUPS).flat_map(|(_, pods)| pods).copied().collect();
    let left_over = groups.len().saturating_sub(GROUPS);
    for (name, pods) in groups.iter().take(GROUPS) {
        members.push(match pods.as_slice() {
            [pod] => full(pod, colours, &name_of),
            pods => together(name, pods, colours, &name_of),
        });
    }
    if left_over > 0 {
        members.push(together(&counted(left_over, "smaller group"), &rest, colours, &name_of));
    }
    members
}

/// Everything that there is to say of a namespace.
fn full<'n>(
    pod: &Pod<'_>,
    colours: &HashMap<Hub, usize>,
    name_of: &impl Fn(u32) -> Option<&'n str>,
) -> Member {
    let mut lines = Vec::new();
    let hub = pod.hub();
    for one in pod.interfaces.iter().take(LISTED) {
        let colour = colours.get(&one.hub).copied();
        let mut addresses = one.addresses.iter();
        let first = addresses.next().map_or_else(|| "no address".to_owned(), ToString::to_string);
        lines.push(Line { text: format!("{} {first}", one.name), colour, wrong: false });
        let indent = " ".repeat(one.name.chars().count());
        let more = addresses.take(LISTED).map(|address| Line {
            text: format!("{indent} {address}"),
            colour: None,
            wrong: false,
        });
        lines.extend(more);
        let is_on_a_master = !matches!(one.kind, "" | "veth" | "netkit");
        if one.hub != hub || is_on_a_master {
            let on = match one.hub {
                Hub::Link(index) => name_of(index).map(|name| format!("on {name}")),
                Hub::Routed => Some("routed".to_owned()),
                Hub::Apart => None,
            };
            let parts = [one.kind, one.detail, on.as_deref().unwrap_or_default()];
            let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            if !parts.is_empty() {
                lines.push(Line::plain(format!("{indent} {}", parts.join(" "))));
            }
        }
    }
    if pod.interfaces.len() > LISTED {
        lines.push(Line::plain(format!("and {} more", pod.interfaces.len() - LISTED)));
    }
    lines.extend(pod.defaults.iter().map(Line::plain));
    let ports: Vec<&Mapping> = pod.ports().collect();
    for port in ports.iter().take(LISTED) {
        let at = port.only_at().map(|ip| format!("{ip} ")).unwrap_or_default();
        let (host, protocol, inside) = (port.host_port, port.protocol, port.container_port);
        lines.push(Line::plain(format!("{at}{host}/{protocol} → {inside}")));
    }
    if ports.len() > LISTED {
        lines.push(Line::plain(format!("and {} more ports", ports.len() - LISTED)));
    }
    lines.extend(pod.troubles());
    let wire = pod.interfaces.iter().find(|one| one.hub == hub).map_or("", |one| one.wire);
    Member {
        title: pod.title.clone(),
        whole: pod.whole.clone(),
        wire: wire.to_owned(),
        lines,
        wrong: pod.is_wrong(),
        count: 1,
    }
}

/// The least by which a namespace is known.
fn short(pod: &Pod<'_>, colours: &HashMap<Hub, usize>) -> Member {
    let mut text = pod.addresses().next().map(|one| one.ip().to_string()).unwrap_or_default();
    let ports = pod.ports().count();
    if ports > 0 {
        text = format!("{text} {}", counted(ports, "port"));
    }
    // What it hangs on besides can be told from the colours.
    let hub = pod.hub();
    let others: Vec<&Interface<'_>> = pod.interfaces.iter().filter(|one| one.hub != hub).collect();
    let mut lines = vec![Line::plain(text.trim_start())];
    lines.extend(others.iter().take(LISTED).map(|one| Line {
        text: one.name.to_owned(),
        colour: colours.get(&one.hub).copied(),
        wrong: false,
    }));
    lines.extend(pod.troubles());
    Member {
        title: pod.title.clone(),
        whole: pod.whole.clone(),
        wire: String::new(),
        lines,
        wrong: pod.is_wrong(),
        count: 1,
    }
}

/// Several namespaces in one box.
fn together<'n>(
    name: &str,
    pods: &[&Pod<'_>],
    colours: &HashMap<Hub, usize>,
    name_of: &impl Fn(u32) -> Option<&'n str>,
) -> Member {
    let mut lines = vec![Line::plain(counted(pods.len(), "namespace"))];
    for v6 in [false, true] {
        let all = pods.iter().flat_map(|pod| pod.addresses()).map(IpNetwork::ip);
        let all: BTreeSet<IpAddr> = all.filter(|ip| ip.is_ipv6() == v6).collect();
        match (all.first(), all.last()) {
            (Some(first), Some(last)) if first != last && !v6 => {
                lines.push(Line::plain(format!("{first} to {last}")));
            }
            (Some(first), Some(last)) if first != last => {
                lines.push(Line::plain(format!("{first} to")));
                lines.push(Line::plain(format!("  {last}")));
            }
            (Some(first), _) => lines.push(Line::plain(first.to_string())),
            _ => {}
        }
    }
    let ports: usize = pods.iter().map(|pod| pod.ports().count()).sum();
    if ports > 0 {
        lines.push(Line::plain(counted(ports, "mapped port")));
    }
    // On what else they hang.
    let mut besides: BTreeMap<Hub, usize> = BTreeMap::new();
    for pod in pods {
        let hub = pod.hub();
        let hubs = pod.interfaces.iter().map(|one| one.hub);
        let hubs: BTreeSet<Hub> = hubs.filter(|one| *one != hub && *one != Hub::Apart).collect();
        for hub in hubs {
            *besides.entry(hub).or_default() += 1;
        }
    }
    for (hub, count) in besides {
        let text = match hub {
            Hub::Link(index) => format!("{count} also on {}", name_of(index).unwrap_or_default()),
            Hub::Routed | Hub::Apart => format!("{count} also routed"),
        };
        lines.push(Line { text, colour: colours.get(&hub).copied(), wrong: false });
    }
    let wrong = pods.iter().filter(|pod| pod.is_wrong()).count();
    if wrong > 0 {
        lines.push(Line::wrong(format!("{wrong} not as it should be")));
    }
    let whole: Vec<&str> = pods.iter().map(|pod| pod.title.as_str()).collect();
    Member {
        title: name.to_owned(),
        whole: whole.join("\n"),
        wire: String::new(),
        lines,
        wrong: wrong > 0,
        count: pods.len(),
    }
}
