//! Deciding what is to be seen: which links of the host, and which namespaces hang on which of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::crowd::{self, Interface, Pod};
use super::facts::{Attachment, Facts, Far, Link, Namespace};
use super::lettering::counted;
use super::picture::{Column, Detail, Hub, Line, Picture, Tie};
use crate::inventory::State;

/// How many links of the host that nothing hangs on are shown one by one.
const LINKS: usize = 5;
/// How many lines a list in a column has.
const LIST: usize = 12;
/// Kinds that are only there for an attachment's sake, or are nothing by themselves.
const PASSED_OVER: [&str; 1] = ["ifb"];

/// A picture in the making.
pub(super) struct Draft<'f> {
    facts: &'f Facts,
    network: Option<&'f str>,
    links: BTreeMap<u32, &'f Link>,
    pods: Vec<Pod<'f>>,
    /// Links of the host that lead to a pod.
    wires: BTreeSet<u32>,
}

impl<'f> Draft<'f> {
    pub(super) fn new(facts: &'f Facts, network: Option<&'f str>) -> Self {
        let links = facts.host.links.iter().map(|link| (link.index, link)).collect();
        let mut draft = Self { facts, network, links, pods: Vec::new(), wires: BTreeSet::new() };
        draft.find_pods();
        draft
    }

    fn find_pods(&mut self) {
        let facts = self.facts;
        let mut inside: HashMap<u64, Vec<&Attachment>> = HashMap::new();
        // Of those whose namespace is gone, or cannot be looked into, by container.
        let mut outside: BTreeMap<&str, Vec<&Attachment>> = BTreeMap::new();
        let known: BTreeSet<u64> = facts.namespaces.iter().map(|one| one.inode).collect();
        for one in &facts.attachments {
            match one.netns.filter(|inode| known.contains(inode)) {
                Some(inode) => inside.entry(inode).or_default().push(one),
                // The lease is all there is of it.
                None if one.state == State::LeaseOnly => {}
                None => outside.entry(&one.container_id).or_default().push(one),
            }
        }
        let is_of = |all: &[&Attachment]| {
            self.network.is_none_or(|name| all.iter().any(|one| one.network == name))
        };
        let mut pods = Vec::new();
        for namespace in &facts.namespaces {
            let attachments = inside.remove(&namespace.inode).unwrap_or_default();
            if is_of(&attachments) {
                pods.extend(self.pod_of(namespace, &attachments));
            }
        }
        for attachments in outside.values().filter(|all| is_of(all)) {
            let interfaces = attachments.iter().map(|one| self.remembered(one)).collect();
            pods.push(Pod::new(None, attachments, interfaces));
        }
        for pod in &pods {
            let wires = pod.interfaces.iter().filter_map(|one| one.host_end);
            self.wires.extend(wires);
        }
        self.pods = pods;
    }

    /// A namespace as it is inside; none if there is nothing to see of it.
    fn pod_of(&self, namespace: &'f Namespace, attachments: &[&'f Attachment]) -> Option<Pod<'f>> {
        let attachment_of =
            |link: &Link| attachments.iter().copied().find(|one| one.ifname == link.name);
        let mut interfaces: Vec<Interface<'f>> = namespace
            .links
            .iter()
            .map(|link| self.interface(link, attachment_of(link)))
            .filter(|one| {
                one.attachment.is_some() || (one.is_up && !PASSED_OVER.contains(&one.kind))
            })
            .collect();
        // Attachments whose interface is gone.
        for one in attachments {
            if !namespace.links.iter().any(|link| link.name == one.ifname) {
                let missing = Interface { is_missing: true, ..self.remembered(one) };
                interfaces.push(missing);
            }
        }
        interfaces.sort_by_key(|one| (one.attachment.is_none(), one.hub == Hub::Apart));
        let is_linked = interfaces.iter().any(|one| one.hub != Hub::Apart);
        (is_linked || !attachments.is_empty())
            .then(|| Pod::new(Some(namespace), attachments, interfaces))
    }

    fn interface(&self, link: &'f Link, attachment: Option<&'f Attachment>) -> Interface<'f> {
        let (hub, host_end) = self.hub_of(link);
        // A pair that nobody attached, such as one to a namespace that plays the world outside: its
        // end on the host is a link like others.
        let hub = match (hub, host_end) {
            (Hub::Routed, Some(index)) if attachment.is_none() => Hub::Link(index),
            _ => hub,
        };
        let wire = host_end.and_then(|index| self.links.get(&index));
        Interface {
            name: &link.name,
            kind: &link.kind,
            detail: &link.detail,
            is_up: link.up,
            is_missing: false,
            addresses: &link.addresses,
            hub,
            host_end,
            wire: wire
                .filter(|_| Some(hub) != host_end.map(Hub::Link))
                .map_or("", |link| &link.name),
            attachment,
        }
    }

    /// What is known of an interface without looking at it.
    fn remembered(&self, one: &'f Attachment) -> Interface<'f> {
        let named = one.host_link.as_ref();
        let end = named.and_then(|name| self.links.values().find(|link| link.name == *name));
        let hub = end.map_or(Hub::Apart, |link| self.hub_of_end(link));
        Interface {
            name: &one.ifname,
            kind: "",
            detail: "",
            is_up: true,
            is_missing: false,
            addresses: &one.addresses,
            hub,
            host_end: end.map(|link| link.index),
            wire: end.map_or("", |link| &link.name),
            attachment: Some(one),
        }
    }

    /// What a link of a pod hangs on, and its other half on the host if it is one of a pair.
    fn hub_of(&self, link: &Link) -> (Hub, Option<u32>) {
        let Some(Far { netns, index }) = link.far else { return (Hub::Apart, None) };
        let there = self.links.get(&index).filter(|_| netns == Some(self.facts.host.inode));
        match there {
            Some(end) if link.is_end_of_pair() => (self.hub_of_end(end), Some(index)),
            Some(_) => (Hub::Link(index), None),
            None => (Hub::Apart, None),
        }
    }

    fn hub_of_end(&self, end: &Link) -> Hub {
        let master = end.master.filter(|master| self.links.contains_key(master));
        master.map_or(Hub::Routed, Hub::Link)
    }

    pub(super) fn finish(self, detail: Detail) -> Picture {
        let mut hubs: BTreeSet<Hub> =
            self.pods.iter().flat_map(|pod| &pod.interfaces).map(|one| one.hub).collect();
        let is_apart = self.pods.iter().any(|pod| pod.hub() == Hub::Apart);
        if !is_apart {
            hubs.remove(&Hub::Apart);
        }
        if self.network.is_none() {
            let bridges = self.facts.host.links.iter().filter(|link| link.kind == "bridge");
            hubs.extend(bridges.map(|link| Hub::Link(link.index)));
        }
        // Colours are for what has members; a pod that hangs on nothing has no wire.
        let colours: HashMap<Hub, usize> = hubs
            .iter()
            .filter(|hub| **hub != Hub::Apart)
            .enumerate()
            .map(|(colour, hub)| (*hub, colour))
            .collect();

        let mut columns = Vec::new();
        let mut places: HashMap<u32, usize> = HashMap::new();
        columns.extend(self.ports());
        let plain = self.plain_links(&hubs);
        let (before, after) = plain.split_at(plain.len().min(LINKS));
        for link in before {
            places.insert(link.index, columns.len());
            columns.push(self.column_of(link));
        }
        for hub in &hubs {
            let mut column = match hub {
                Hub::Link(index) => {
                    places.insert(*index, columns.len());
                    self.links.get(index).map(|link| self.column_of(link)).unwrap_or_default()
                }
                Hub::Routed => Column {
                    title: "routed".to_owned(),
                    subtitle: "pairs without a bridge".to_owned(),
                    ..Column::default()
                },
                Hub::Apart => Column {
                    title: "apart".to_owned(),
                    subtitle: "not linked to the host".to_owned(),
                    list: true,
                    ..Column::default()
                },
            };
            column.colour = colours.get(hub).copied();
            let members: Vec<&Pod<'_>> = self.pods.iter().filter(|pod| pod.hub() == *hub).collect();
            column.members = crowd::members(members, &colours, detail, |index| {
                self.links.get(&index).map(|link| link.name.as_str())
            });
            columns.push(column);
        }
        if !after.is_empty() {
            columns.push(others(after));
        }
        let ties = self.ties(&places);
        let summary = self.summary();
        let node = if self.facts.node.is_empty() { "host" } else { &self.facts.node };
        Picture { title: node.to_owned(), summary, columns, ties }
    }

    /// Links of the host that nothing hangs on, the most telling first.
    fn plain_links(&self, hubs: &BTreeSet<Hub>) -> Vec<&'f Link> {
        let leads_out: BTreeSet<u32> =
            self.facts.host.defaults.iter().flat_map(|route| route.links.iter().copied()).collect();
        let is_hub = |index: u32| hubs.contains(&Hub::Link(index));
        let host = self.facts.host.inode;
        let under_a_hub: BTreeSet<u32> = hubs
            .iter()
            .filter_map(|hub| match hub {
                Hub::Link(index) => self.links.get(index)?.far,
                _ => None,
            })
            .filter(|far| far.netns == Some(host))
            .map(|far| far.index)
            .collect();
        let rank = |link: &Link| {
            let is_tied = link.master.is_some_and(is_hub) || under_a_hub.contains(&link.index);
            let leads_out = leads_out.contains(&link.index);
            (!leads_out, !is_tied, link.addresses.is_empty(), link.index)
        };
        let mut plain: Vec<&Link> = self
            .facts
            .host
            .links
            .iter()
            .filter(|link| !is_hub(link.index) && !self.wires.contains(&link.index))
            .filter(|link| !PASSED_OVER.contains(&link.kind.as_str()))
            // Ports that lead to namespaces which are not shown are counted at their bridge.
            .filter(|link| !(link.is_end_of_pair() && link.master.is_some_and(is_hub)))
            .filter(|link| {
                let (is_no_uplink, is_not_tied, ..) = rank(link);
                self.network.is_none() || !is_no_uplink || !is_not_tied
            })
            .collect();
        plain.sort_by_key(|link| rank(link));
        plain
    }

    fn column_of(&self, link: &Link) -> Column {
        let mut lines: Vec<Line> =
            link.addresses.iter().map(|address| Line::plain(address.to_string())).collect();
        if link.kind == "bridge" {
            let ports = self.facts.host.links.iter().filter(|one| one.master == Some(link.index));
            let others = ports
                .filter(|port| port.is_end_of_pair() && !self.wires.contains(&port.index))
                .count();
            if others > 0 {
                lines.push(Line::plain(format!("and {}", counted(others, "other port"))));
            }
        }
        if let Some(master) = link.master.and_then(|master| self.links.get(&master)) {
            lines.push(Line::plain(format!("port of {}", master.name)));
        }
        let far = link.far.filter(|far| far.netns == Some(self.facts.host.inode));
        if let Some(below) = far.and_then(|far| self.links.get(&far.index)) {
            let how = if link.is_end_of_pair() { "paired with" } else { "on" };
            lines.push(Line::plain(format!("{how} {}", below.name)));
        }
        lines.push(Line::plain(format!("mtu {}", link.mtu)));
        if !link.up {
            lines.push(Line::wrong("down"));
        }
        let routes = self.facts.host.defaults.iter().filter(|one| one.links.contains(&link.index));
        let mut outside = Vec::new();
        for route in routes {
            if route.via.is_empty() {
                outside.push(format!("{} by {}", route.to, link.name));
            }
            outside.extend(route.via.iter().map(|via| format!("default via {via}")));
        }
        let kind = if link.kind.is_empty() { "device" } else { &link.kind };
        Column {
            title: link.name.clone(),
            subtitle: format!("{kind} {}", link.detail).trim_end().to_owned(),
            lines,
            outside,
            wrong: !link.up,
            ..Column::default()
        }
    }

    /// The mapped ports, by number.
    fn ports(&self) -> Option<Column> {
        let mut ports: Vec<(u16, String)> = Vec::new();
        for pod in &self.pods {
            for mapping in pod.ports() {
                let at = mapping.only_at().map(|ip| format!("{ip} ")).unwrap_or_default();
                let (host, protocol, inside) =
                    (mapping.host_port, mapping.protocol, mapping.container_port);
                let text = format!("{at}{host}/{protocol} → {}:{inside}", pod.title);
                ports.push((host, text));
            }
        }
        ports.sort();
        let count = ports.len();
        let mut lines: Vec<Line> =
            ports.into_iter().take(LIST).map(|(_, text)| Line::plain(text)).collect();
        if count > LIST {
            lines.push(Line::plain(format!("and {} more", count - LIST)));
        }
        (count > 0).then(|| Column {
            title: "mapped ports".to_owned(),
            subtitle: "of the host → of a pod".to_owned(),
            lines,
            list: true,
            ..Column::default()
        })
    }

    fn ties(&self, places: &HashMap<u32, usize>) -> Vec<Tie> {
        let mut ties: Vec<Tie> = Vec::new();
        for (index, from) in places {
            let Some(link) = self.links.get(index) else { continue };
            let port = link.master.and_then(|master| places.get(&master));
            let below = link.far.filter(|far| far.netns == Some(self.facts.host.inode));
            let below = below.and_then(|far| places.get(&far.index));
            for (to, is_port) in
                port.map(|to| (to, true)).into_iter().chain(below.map(|to| (to, false)))
            {
                // A pair with both ends on the host is one tie.
                if !ties.iter().any(|tie| tie.from == *to && tie.to == *from) {
                    ties.push(Tie { from: *from, to: *to, is_port });
                }
            }
        }
        ties.sort_by_key(|tie| (tie.from.min(tie.to), tie.from.max(tie.to)));
        ties
    }

    fn summary(&self) -> String {
        let attachments = || self.pods.iter().flat_map(Pod::attachments);
        let networks: BTreeSet<&str> = attachments().map(|one| one.network.as_str()).collect();
        let ports: usize = self.pods.iter().map(|pod| pod.ports().count()).sum();
        let mut parts = vec![
            counted(self.pods.len(), "namespace"),
            counted(attachments().count(), "attachment"),
            counted(networks.len(), "network"),
        ];
        if ports > 0 {
            parts.push(counted(ports, "mapped port"));
        }
        let wrong = self.pods.iter().filter(|pod| pod.is_wrong()).count();
        if wrong > 0 {
            parts.push(format!("{wrong} not as it should be").into());
        }
        parts.join(", ")
    }
}

/// Links of the host that there is no room for.
fn others(links: &[&Link]) -> Column {
    let mut lines: Vec<Line> = links
        .iter()
        .take(LIST)
        .map(|link| Line::plain(format!("{} {}", link.name, link.kind).trim_end()))
        .collect();
    if links.len() > LIST {
        lines.push(Line::plain(format!("and {} more", links.len() - LIST)));
    }
    Column {
        title: counted(links.len(), "other link").into_owned(),
        subtitle: "nothing hangs on them".to_owned(),
        lines,
        list: true,
        ..Column::default()
    }
}
