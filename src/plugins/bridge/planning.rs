//! From configuration, facts and lease to a plan: pure.

use ipnetwork::IpNetwork;

use super::facts::Facts;
use super::settings::Settings;
use crate::engine::resource::{
    announcement::Announcement,
    bridge::Bridge,
    bridge_port::BridgePort,
    forwarding::Forwarding,
    gateway::{self, Gateway},
    guard::Guard,
    iptables_masquerade::IptablesMasquerade,
    lease::Lease,
    masquerade::Masquerade,
    port_vlan::PortVlan,
    readiness::Readiness,
    veth::Veth,
    vlan_gateway::VlanGateway,
};
use crate::engine::{Owner, Resource};
use crate::ipam::{self, Leased};
use crate::plugins::attached::PodEnd;
use crate::plugins::inside::{self, Detection, Inside, Telling};
use crate::plugins::pair::{self, Backend};
use crate::plugins::{Error, Plan};
use crate::protocol::request::Request;
use crate::protocol::result::{AddResult, Interface, IpConfig, Route};

/// `RT_TABLE_MAIN`.
const MAIN: u32 = 254;

pub(super) fn plan(
    settings: &Settings,
    request: &Request,
    owner: &Owner,
    facts: &Facts,
    lease: Option<&Leased>,
) -> Result<Plan, Error> {
    if let Some(bridge) = &facts.bridge
        && bridge.kind != "bridge"
    {
        return Err(Error::config(
            "bridge",
            format!(
                "{} is there already but is no bridge ({}); choose another name or remove that link",
                settings.bridge,
                if bridge.kind.is_empty() { "a device" } else { &bridge.kind }
            ),
        ));
    }
    let end = facts.attached.clone().unwrap_or_else(|| PodEnd {
        mac: settings.mac.unwrap_or_else(|| owner.mac()).to_string(),
        mtu: settings.mtu,
    });
    let mac = &end.mac;
    let (ips, routes) = match lease {
        Some(lease) => gateways(settings, lease)?,
        None => (Vec::new(), Vec::new()),
    };
    let mut resources = Vec::new();
    if let Some(lease) = lease {
        resources.push(
            Lease {
                source: lease.source.clone(),
                addresses: ips.iter().map(|ip| ip.address).collect(),
            }
            .into(),
        );
    }
    resources.extend(host_resources(settings, owner, facts, &ips)?);
    let joins_later = !settings.enable_dad;
    resources.push(veth(settings, request, owner, facts, &end, joins_later));
    if !joins_later {
        resources.extend(port_vlan(settings, facts));
    }
    let inside = Inside {
        link: &request.ifname,
        ips: &ips,
        routes: &routes,
        detection: if settings.enable_dad { Detection::On } else { Detection::Off },
        telling: Telling::Announced,
        is_up: !settings.disable_container_interface,
    };
    resources.extend(inside.resources());
    resources.extend(rules(settings, owner, facts, mac, &ips));
    if settings.addrspoofchk
        && let Some(lease) = lease.filter(|_| !ips.is_empty())
    {
        resources.push(pair::address_guard(&facts.host_link, true, mac, lease, owner));
    }
    if joins_later {
        resources.push(
            BridgePort {
                port: facts.host_link.clone(),
                bridge: settings.bridge.clone(),
                hairpin: settings.hairpin,
                isolated: settings.port_isolation,
            }
            .into(),
        );
        resources.extend(port_vlan(settings, facts));
    }
    if !settings.disable_container_interface {
        resources.push(Readiness { port: facts.host_link.clone() }.into());
    }
    if !ips.is_empty() {
        let addresses = ips.iter().map(|ip| ip.address.ip()).collect();
        resources.push(
            Announcement { link: request.ifname.clone(), mac: mac.clone(), addresses }.into(),
        );
    }
    Ok(Plan { resources, result: result(settings, request, facts, lease, mac, ips, routes) })
}

/// Gateways and default routes as the reference plugin works them out of what IPAM gave.
fn gateways(settings: &Settings, lease: &Leased) -> Result<(Vec<IpConfig>, Vec<Route>), Error> {
    if lease.ips.is_empty() {
        return Err(ipam::Error::NoAddress(lease.source.clone()).into());
    }
    let mut ips = lease.ips.clone();
    let mut routes = lease.routes.clone();
    for v6 in [false, true] {
        // One without a gateway of its own takes the one that ours would. The reference plugin adds
        // both, of which the kernel refuses the second.
        let same_as_ours = |route: &Route| {
            route.gw.is_none()
                && route.table.is_none_or(|table| table == MAIN)
                && route.priority.is_none_or(|priority| priority == 0)
        };
        let mut default_found = routes.iter().any(|route| {
            route.dst.prefix() == 0
                && route.dst.is_ipv6() == v6
                && (route.gw.is_some() || same_as_ours(route))
        });
        for ip in ips.iter_mut().filter(|ip| ip.address.is_ipv6() == v6) {
            ip.interface = Some(2);
            if ip.gateway.is_none() && settings.gateway {
                ip.gateway = inside::first_address(ip.address);
            }
            if settings.default_gateway && !default_found {
                routes.push(Route { gw: ip.gateway, ..inside::default_route(v6)? });
                default_found = true;
            }
        }
    }
    inside::fits_ipv6("mtu", settings.mtu, &ips)?;
    Ok((ips, routes))
}

/// The gateway as an address of the bridge.
fn gateway_address(ip: &IpConfig) -> Option<IpNetwork> {
    IpNetwork::new(ip.gateway?, ip.address.prefix()).ok()
}

/// The pair. Duplicate address detection asks the bridge's other ports, for which the host end must be a port
/// before; otherwise it becomes one when all else is there.
fn veth(
    settings: &Settings,
    request: &Request,
    owner: &Owner,
    facts: &Facts,
    end: &PodEnd,
    joins_later: bool,
) -> Resource {
    Veth {
        host: facts.host_link.clone(),
        pod: request.ifname.clone(),
        mac: end.mac.clone(),
        mtu: end.mtu,
        bridge: Some(settings.bridge.clone()),
        joins_later,
        hairpin: settings.hairpin,
        isolated: settings.port_isolation,
        leave_down: settings.disable_container_interface,
        owner: owner.text(),
    }
    .into()
}

/// The VLANs of a port whose bridge tells them apart.
fn port_vlan(settings: &Settings, facts: &Facts) -> Option<Resource> {
    settings.filters_vlans().then(|| {
        PortVlan {
            port: facts.host_link.clone(),
            bridge: settings.bridge.clone(),
            // A trunk without a VLAN of its own has VLAN 1 for untagged frames.
            native: settings.vlan.or(Some(1)),
            tagged: settings.trunk.clone(),
            keep_default: settings.preserve_default_vlan,
        }
        .into()
    })
}

/// The bridge and, before it gets a port, the gateways' addresses: from then on it keeps the
/// hardware address that it was made with.
fn host_resources(
    settings: &Settings,
    owner: &Owner,
    facts: &Facts,
    ips: &[IpConfig],
) -> Result<Vec<Resource>, Error> {
    let mut resources: Vec<Resource> = vec![
        Bridge {
            name: settings.bridge.clone(),
            mtu: settings.mtu,
            vlan_filtering: settings.filters_vlans(),
            promiscuous: settings.promiscuous,
        }
        .into(),
    ];
    if !settings.gateway || ips.is_empty() {
        return Ok(resources);
    }
    let (link, present) = match settings.vlan {
        Some(vlan) => {
            let name = format!("{}.{vlan}", settings.bridge);
            crate::protocol::names::interface_name(&name).map_err(|error| {
                Error::config(
                    "bridge",
                    format!(
                        "the VLAN's interface would be called {name}: {error}; use a shorter name"
                    ),
                )
            })?;
            let shared = Owner {
                network: owner.network.clone(),
                container_id: settings.bridge.clone(),
                ifname: name.clone(),
            };
            resources.push(
                VlanGateway {
                    bridge: settings.bridge.clone(),
                    name: name.clone(),
                    port: shared.host_link(0),
                    vlan,
                    keep_default: settings.preserve_default_vlan,
                }
                .into(),
            );
            (name, &facts.vlan_interface)
        }
        None => (settings.bridge.clone(), &facts.bridge),
    };
    let present = present.as_ref().map(|link| link.addresses.as_slice()).unwrap_or_default();
    for v6 in [false, true] {
        let mut any = false;
        for ip in ips.iter().filter(|ip| ip.address.is_ipv6() == v6) {
            let Some(address) = gateway_address(ip) else { continue };
            any = true;
            if let Some(other) = gateway::in_the_way(present, address).first()
                && !present.contains(&address)
                && !settings.force_address
            {
                return Err(Error::config(
                    "bridge",
                    format!(
                        "{link} already has address {other}, which differs from the gateway {address}; \
                         set forceAddress to replace it, or use another bridge"
                    ),
                ));
            }
            let seen = present.contains(&address);
            resources.push(
                Gateway { link: link.clone(), address, force: settings.force_address, seen }.into(),
            );
        }
        if any {
            resources.push(Forwarding { v6 }.into());
        }
    }
    Ok(resources)
}

fn rules(
    settings: &Settings,
    owner: &Owner,
    facts: &Facts,
    mac: &str,
    ips: &[IpConfig],
) -> Vec<Resource> {
    let mut resources = Vec::new();
    if settings.macspoofchk {
        resources.push(
            Guard { port: facts.host_link.clone(), mac: mac.to_owned(), owner: owner.text() }
                .into(),
        );
    }
    if settings.ip_masq && !ips.is_empty() {
        let addresses = ips.iter().map(|ip| ip.address).collect();
        resources.push(match settings.ip_masq_backend {
            Backend::Nftables => Masquerade { addresses, owner: owner.text() }.into(),
            Backend::Iptables => IptablesMasquerade { addresses, owner: owner.clone() }.into(),
        });
    }
    resources
}

fn result(
    settings: &Settings,
    request: &Request,
    facts: &Facts,
    lease: Option<&Leased>,
    mac: &str,
    ips: Vec<IpConfig>,
    routes: Vec<Route>,
) -> AddResult {
    let on_host = |name: &str| Interface { name: name.to_owned(), ..Interface::default() };
    let mut interfaces = vec![
        on_host(&settings.bridge),
        on_host(&facts.host_link),
        Interface {
            name: request.ifname.clone(),
            mac: mac.to_owned(),
            mtu: settings.mtu,
            sandbox: inside::sandbox(request),
            ..Interface::default()
        },
    ];
    if let Some(vlan) = settings.vlan
        && settings.gateway
        && !ips.is_empty()
    {
        interfaces.push(on_host(&format!("{}.{vlan}", settings.bridge)));
    }
    AddResult { interfaces, ips, routes, dns: inside::dns(request, lease) }
}
