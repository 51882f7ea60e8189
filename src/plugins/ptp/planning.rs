//! From configuration, facts and lease to a plan: pure.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::Facts;
use super::settings::{LinkType, Settings};
use crate::engine::node::Side;
use crate::engine::resource::forwarding::Forwarding;
use crate::engine::resource::gateway_route::GatewayRoute;
use crate::engine::resource::host_gateway::HostGateway;
use crate::engine::resource::iptables_masquerade::IptablesMasquerade;
use crate::engine::resource::lease::Lease;
use crate::engine::resource::masquerade::Masquerade;
use crate::engine::resource::netkit::Netkit;
use crate::engine::resource::settings::{Setting, Settings as Sysctls};
use crate::engine::resource::veth::Veth;
use crate::engine::{Owner, Resource};
use crate::ipam::Leased;
use crate::kernel::addr::IPV6_MTU;
use crate::kernel::link::netkit::Mode;
use crate::plugins::attached::PodEnd;
use crate::plugins::inside::{self, Detection, Inside, Telling};
use crate::plugins::pair::{self, Backend};
use crate::plugins::{Error, Plan};
use crate::protocol::request::Request;
use crate::protocol::result::{AddResult, Interface, IpConfig};

pub(super) fn plan(
    settings: &Settings,
    request: &Request,
    owner: &Owner,
    facts: &Facts,
    lease: &Leased,
) -> Result<Plan, Error> {
    let ips = addresses(settings, facts, lease)?;
    let is_v6 = ips.iter().any(|ip| ip.address.is_ipv6());
    let end = facts.attached.clone().unwrap_or_else(|| PodEnd {
        mac: if has_mac(settings) { owner.mac().to_string() } else { String::new() },
        mtu: settings.mtu,
    });
    let source = lease.source.clone();
    let mut resources: Vec<Resource> =
        vec![Lease { source, addresses: ips.iter().map(|ip| ip.address).collect() }.into()];
    for v6 in [false, true] {
        if ips.iter().any(|ip| ip.address.is_ipv6() == v6) {
            resources.push(Forwarding { v6 }.into());
        }
    }
    resources.push(pair(settings, &request.ifname, owner, &facts.host_link, &end));
    if is_v6 {
        resources.push(at_once(&facts.host_link));
    }
    resources.push(host_gateway(&facts.host_link, &ips));
    let inside = Inside {
        link: &request.ifname,
        ips: &ips,
        routes: &lease.routes,
        detection: Detection::Off,
        telling: Telling::Nobody,
        is_up: true,
    };
    if is_v6 {
        resources.extend(inside.settings());
    }
    resources.push(inside.addresses());
    // The gateway may be outside the subnet; other next hops are looked for while the kernel still
    // counts the subnet as on the link.
    resources.extend(gateway_routes(&request.ifname, &ips));
    resources.extend(inside.route_resources());
    resources.extend(subnet_routes(&request.ifname, &ips));
    if settings.ip_masq {
        let addresses = ips.iter().map(|ip| ip.address).collect();
        resources.push(match settings.ip_masq_backend {
            Backend::Nftables => Masquerade { addresses, owner: owner.text() }.into(),
            Backend::Iptables => IptablesMasquerade { addresses, owner: owner.clone() }.into(),
        });
    }
    if settings.addrspoofchk {
        resources.push(pair::address_guard(&facts.host_link, false, &end.mac, lease, owner));
    }
    let inside = Interface {
        name: request.ifname.clone(),
        mac: end.mac,
        mtu: settings.mtu,
        sandbox: inside::sandbox(request),
        ..Interface::default()
    };
    let outside = Interface { name: facts.host_link.clone(), ..Interface::default() };
    let result = AddResult {
        interfaces: vec![outside, inside],
        ips,
        routes: lease.routes.clone(),
        dns: inside::dns(request, Some(lease)),
    };
    Ok(Plan { resources, result })
}

fn has_mac(settings: &Settings) -> bool {
    match settings.link_type {
        LinkType::Veth => true,
        LinkType::Netkit(manner) => manner.mode == Mode::L2,
    }
}

/// The addresses of the container's interface, each with a gateway that can be one. At CHECK what
/// prevResult has is taken as it is.
fn addresses(settings: &Settings, facts: &Facts, lease: &Leased) -> Result<Vec<IpConfig>, Error> {
    if lease.ips.is_empty() {
        return Err(Error::config(
            "ipam",
            format!(
                "{} gave no address, and there is nothing to route to without one",
                lease.source
            ),
        ));
    }
    let mut ips = lease.ips.clone();
    for ip in &mut ips {
        // The host's end is the first.
        ip.interface = Some(1);
        if facts.attached.is_some() {
            continue;
        }
        check_gateway(ip, &lease.source)?;
        if ip.address.is_ipv6() && settings.mtu.is_some_and(|mtu| mtu < IPV6_MTU) {
            return Err(Error::config(
                "mtu",
                format!("IPv6 address {} needs an MTU of at least {IPV6_MTU} bytes", ip.address),
            ));
        }
    }
    Ok(ips)
}

fn check_gateway(ip: &IpConfig, source: &str) -> Result<(), Error> {
    let address = ip.address;
    let refuse = |problem: String| {
        Err(Error::config("ipam", format!("{source} gave address {address} {problem}")))
    };
    match ip.gateway {
        None => refuse(
            "without a gateway, which the host's end of the link gets as its address; configure one"
                .into(),
        ),
        Some(gateway) if gateway.is_ipv4() != address.is_ipv4() => {
            refuse(format!("with gateway {gateway}, which is of another family"))
        }
        Some(gateway) if gateway == address.ip() => {
            refuse("with itself as its gateway; that is the host's".into())
        }
        Some(_) => Ok(()),
    }
}

fn pair(
    settings: &Settings,
    ifname: &str,
    owner: &Owner,
    host_link: &str,
    end: &PodEnd,
) -> Resource {
    let (host, pod, mac) = (host_link.to_owned(), ifname.to_owned(), end.mac.clone());
    match settings.link_type {
        LinkType::Veth => Veth {
            host,
            pod,
            mac,
            mtu: end.mtu,
            bridge: None,
            joins_later: false,
            hairpin: false,
            isolated: false,
            leave_down: false,
            owner: owner.text(),
        }
        .into(),
        LinkType::Netkit(manner) => {
            Netkit { host, pod, mac, mtu: end.mtu, manner, owner: owner.text() }.into()
        }
    }
}

/// On a link with two ends and no strangers nobody can have an address already. Without waiting for
/// an answer that cannot come, the gateway is there for the container's first packet.
fn at_once(host_link: &str) -> Resource {
    let name = format!("net/ipv6/conf/{host_link}/accept_dad");
    let values = vec![Setting { name, value: "0".into(), required: false }];
    Sysctls { side: Side::Host, values }.into()
}

fn host_gateway(host_link: &str, ips: &[IpConfig]) -> Resource {
    let mut gateways: Vec<IpAddr> = Vec::new();
    for gateway in ips.iter().filter_map(|ip| ip.gateway) {
        if !gateways.contains(&gateway) {
            gateways.push(gateway);
        }
    }
    let pods = ips.iter().map(|ip| ip.address.ip()).collect();
    HostGateway { link: host_link.to_owned(), gateways, pods }.into()
}

/// A route to each gateway.
fn gateway_routes(ifname: &str, ips: &[IpConfig]) -> Vec<Resource> {
    let mut routes: Vec<GatewayRoute> = Vec::new();
    for ip in ips {
        let Some(gateway) = ip.gateway else { continue };
        let to = IpNetwork::from(gateway);
        if !routes.iter().any(|route| route.to == to) {
            let source = ip.address.ip();
            routes.push(GatewayRoute { link: ifname.to_owned(), to, via: None, source });
        }
    }
    routes.into_iter().map(Resource::from).collect()
}

/// A route to each subnet through its gateway, in the place of the kernel's. An address by itself has
/// no subnet.
fn subnet_routes(ifname: &str, ips: &[IpConfig]) -> Vec<Resource> {
    let mut routes: Vec<GatewayRoute> = Vec::new();
    for ip in ips {
        let (prefix, whole) = (ip.address.prefix(), if ip.address.is_ipv4() { 32 } else { 128 });
        let subnet = IpNetwork::new(ip.address.network(), prefix);
        let (Some(gateway), Ok(to), true) = (ip.gateway, subnet, prefix < whole) else { continue };
        if !routes.iter().any(|route| route.to == to) {
            let source = ip.address.ip();
            routes.push(GatewayRoute { link: ifname.to_owned(), to, via: Some(gateway), source });
        }
    }
    routes.into_iter().map(Resource::from).collect()
}
