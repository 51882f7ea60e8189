//! Networks that get in each other's way: ranges, bridges, masters.

use serde_json::Value;

use super::files::{Network, Plugin};
use super::{Finding, Place, Report, Severity, short};
use crate::ipam::host_local::{self, Range};
use crate::plugins::SELF;
use crate::protocol::config::member;

/// A range of host-local's with the place it has in a file.
pub(super) struct Leasing<'a> {
    pub(super) network: &'a Network,
    pub(super) plugin: &'a Plugin,
    /// The path of its keys.
    pub(super) path: String,
    pub(super) range: Range,
}

/// What joins the containers of a network.
#[derive(PartialEq, Eq)]
pub(super) enum Segment<'a> {
    /// A bridge of the host.
    Bridge(&'a str),
    /// A link of the host, and the VLAN on it.
    Master(&'a str, Option<i64>),
    /// Each container has a link to the host of its own.
    Pair,
    /// What there is to know is not in the file.
    Unknown,
}

impl Leasing<'_> {
    /// The place of its subnet.
    pub(super) fn place(&self, report: &Report) -> Place {
        let subnet = format!("{}.subnet", self.path);
        report.place(self.network.document, self.plugin.key(&subnet).as_str())
    }

    pub(super) fn segment(&self) -> Segment<'_> {
        segment(self.plugin)
    }

    /// Whether the host itself is to have routes to the subnet.
    fn is_routed(&self) -> bool {
        match self.segment() {
            Segment::Bridge(_) => is_gateway(self.plugin),
            Segment::Pair => true,
            _ => false,
        }
    }
}

/// A string that is not empty.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    member(value, key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn flag(plugin: &Plugin, key: &str) -> bool {
    member(&plugin.value, key).and_then(Value::as_bool).unwrap_or_default()
}

fn is_gateway(plugin: &Plugin) -> bool {
    flag(plugin, "isGateway") || flag(plugin, "isDefaultGateway")
}

/// What joins the containers of a plugin.
pub(super) fn segment(plugin: &Plugin) -> Segment<'_> {
    let inside = flag(plugin, "linkInContainer");
    match plugin.kind.as_str() {
        "bridge" | SELF if !plugin.is_fused => {
            Segment::Bridge(text(&plugin.value, "bridge").unwrap_or("cni0"))
        }
        "ptp" | "netkit" => Segment::Pair,
        "macvlan" | "ipvlan" | "vlan" if !inside => match text(&plugin.value, "master") {
            Some(master) => {
                Segment::Master(master, member(&plugin.value, "vlanId").and_then(Value::as_i64))
            }
            None => Segment::Unknown,
        },
        _ => Segment::Unknown,
    }
}

/// Every range of every network that host-local would take.
pub(super) fn leasing(networks: &[Network]) -> Vec<Leasing<'_>> {
    let mut all = Vec::new();
    for network in networks {
        for plugin in network.plugins.iter().filter(|plugin| !plugin.is_fused) {
            let Some(ipam) = member(&plugin.value, "ipam") else { continue };
            if text(ipam, "type") != Some("host-local") {
                continue;
            }
            let Ok(mut keys) = host_local::Keys::read(ipam) else { continue };
            let Ok(sets) = keys.range_sets(None, network.version) else { continue };
            let top = usize::from(member(ipam, "subnet").is_some());
            for (place, set) in sets.into_iter().enumerate() {
                for (inner, range) in set.ranges.into_iter().enumerate() {
                    let path = match place.checked_sub(top) {
                        None => "ipam".to_owned(),
                        Some(set) => format!("ipam.ranges[{set}][{inner}]"),
                    };
                    all.push(Leasing { network, plugin, path, range });
                }
            }
        }
    }
    all
}

/// Checks networks against each other.
pub(super) fn check(report: &mut Report) {
    let mut findings = Vec::new();
    let leasing = leasing(&report.networks);
    for (number, one) in leasing.iter().enumerate() {
        for other in leasing.iter().take(number) {
            ranges(report, one, other, &mut findings);
        }
    }
    masters(report, &mut findings);
    report.findings.extend(findings);
}

/// Ranges of two networks. Those of one network host-local itself has checked.
fn ranges(report: &Report, one: &Leasing<'_>, other: &Leasing<'_>, findings: &mut Vec<Finding>) {
    let (first, second) = (&other.range, &one.range);
    let subnets_touch = first.subnet.contains(second.subnet.network())
        || second.subnet.contains(first.subnet.network());
    let same_file = one.network.document == other.network.document;
    if same_file || one.network.name == other.network.name {
        return;
    }
    let file = report.documents.get(other.network.document).map(|one| short(&one.path));
    let file = file.unwrap_or_default();
    let joined = one.segment() == other.segment() && one.segment() != Segment::Unknown;
    let routed = one.is_routed() && other.is_routed();
    let (place, also) = (one.place(report), other.place(report));
    let same_bridge = matches!((one.segment(), other.segment()),
        (Segment::Bridge(one), Segment::Bridge(other)) if one == other);
    if subnets_touch && first.overlaps(second) && (joined || routed) {
        findings.push(
            Finding::new(
                Severity::Error,
                "range-overlap",
                place,
                format!("{second} overlaps {first} of {file}"),
            )
            .label("two containers may get the same address")
            .also(also, "the other range")
            .advice("give the networks ranges that have no address in common"),
        );
    } else if subnets_touch && !joined {
        let severity = if routed { Severity::Error } else { Severity::Warning };
        let label = if routed {
            "the host cannot tell the two apart"
        } else {
            "a container in both cannot tell the two apart"
        };
        findings.push(
            Finding::new(
                severity,
                "subnet-overlap",
                place,
                format!("the subnet {} overlaps {} of {file}", second.subnet, first.subnet),
            )
            .label(label)
            .also(also, "the other subnet")
            .advice("give each network a subnet of its own"),
        );
    } else if same_bridge
        && !subnets_touch
        && first.subnet.is_ipv4() == second.subnet.is_ipv4()
        && is_gateway(one.plugin)
        && is_gateway(other.plugin)
        && vlan(one.plugin) == vlan(other.plugin)
    {
        let (forced, bridge) = (
            flag(one.plugin, "forceAddress") || flag(other.plugin, "forceAddress"),
            text(&one.plugin.value, "bridge").unwrap_or("cni0"),
        );
        let label = if forced {
            "each attachment takes the other network's gateway away"
        } else {
            "the second of the two networks cannot be attached to"
        };
        findings.push(
            Finding::new(
                Severity::Error,
                "bridge-shared",
                place,
                format!(
                    "the bridge {bridge} is to have a gateway of {}, and of {} by {file}",
                    second.subnet, first.subnet
                ),
            )
            .label(label)
            .also(also, "the other subnet of the same bridge")
            .advice("give one of the networks another bridge"),
        );
    }
}

fn vlan(plugin: &Plugin) -> Option<i64> {
    member(&plugin.value, "vlan").and_then(Value::as_i64).filter(|vlan| *vlan != 0)
}

/// Links that cannot be the master of two kinds.
fn masters(report: &Report, findings: &mut Vec<Finding>) {
    let plugins = |network: &Network| network.plugins.clone();
    let mut seen: Vec<(Network, Plugin)> = Vec::new();
    for network in &report.networks {
        for plugin in plugins(network) {
            let Segment::Master(master, None) = segment(&plugin) else { continue };
            let other = seen.iter().find(|(_, other)| {
                other.kind != plugin.kind && segment(other) == Segment::Master(master, None)
            });
            if let Some((its, other)) = other {
                findings.push(
                    Finding::new(
                        Severity::Error,
                        "master-shared",
                        report.place(network.document, &plugin.key("master")),
                        format!(
                            "{master} cannot be the master of {} and {} at once",
                            other.kind, plugin.kind
                        ),
                    )
                    .label("the kernel refuses whichever comes second")
                    .also(report.place(its.document, &other.key("master")), "the other")
                    .advice("use the same kind in both, or another master"),
                );
            }
            seen.push((network.clone(), plugin.clone()));
        }
    }
}
