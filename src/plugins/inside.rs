//! What every plugin that makes the container's interface does inside the container: sysctls,
//! addresses, routes, and what the result says of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::Error;
use crate::engine::Resource;
use crate::engine::node::Side;
use crate::engine::resource::address::Addresses;
use crate::engine::resource::route::PodRoute;
use crate::engine::resource::settings::{Setting, Settings};
use crate::ipam::Leased;
use crate::kernel::addr::IPV6_MTU;
use crate::kernel::route::Route as KernelRoute;
use crate::protocol::request::Request;
use crate::protocol::result::{Dns, IpConfig, Route};

/// The container's interface and what it gets.
pub(super) struct Inside<'a> {
    /// Its name.
    pub link: &'a str,
    /// Its addresses.
    pub ips: &'a [IpConfig],
    /// Routes; one without a gateway goes by that of the first address of its family.
    pub routes: &'a [Route],
    /// Whether an IPv6 address is used only when nobody else has it.
    pub detection: Detection,
    /// Who tells the neighbours of the addresses.
    pub telling: Telling,
    /// Whether it comes up; else it gets neither addresses nor, by the kernel's choice, routes.
    pub is_up: bool,
}

/// Duplicate address detection of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detection {
    /// None: nobody else can have them.
    Off,
    /// Detection, in its enhanced form (RFC 7527) since frames may come back to where they came from.
    On,
    /// As the container's own sysctls say.
    Unchanged,
}

/// How neighbours learn where an address is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// The plan has an announcement after all else.
    Announced,
    /// The kernel tells them when the interface comes up, by the sysctls `arp_notify` and
    /// `ndisc_notify`.
    ByKernel,
    /// They are not told.
    Nobody,
}

impl Inside<'_> {
    /// Sysctls, addresses and routes, in the order of making.
    pub fn resources(&self) -> Vec<Resource> {
        let mut resources = Vec::new();
        if !self.ips.is_empty() {
            resources.extend(self.settings());
        }
        if self.is_up {
            resources.push(self.addresses());
        }
        resources.extend(self.route_resources());
        resources
    }

    /// The interface's sysctls, if there are any to set.
    pub fn settings(&self) -> Option<Resource> {
        let values = self.sysctls();
        (!values.is_empty()).then(|| Settings { side: Side::Pod, values }.into())
    }

    /// The addresses, with the interface coming up.
    pub fn addresses(&self) -> Resource {
        let addresses = self.ips.iter().map(|ip| ip.address).collect();
        let quiet = self.telling != Telling::Announced && !self.ips.is_empty();
        Addresses { link: self.link.to_owned(), addresses, quiet }.into()
    }

    /// The routes.
    pub fn route_resources(&self) -> impl Iterator<Item = Resource> {
        self.routes.iter().map(|route| self.route(route))
    }

    fn route(&self, route: &Route) -> Resource {
        let same_family = |ip: &&IpConfig| ip.address.is_ipv6() == route.dst.is_ipv6();
        let via =
            route.gw.or_else(|| self.ips.iter().filter(same_family).find_map(|ip| ip.gateway));
        // How DHCP servers, and so the reference's results, write a route on the link itself.
        let via = via.filter(|via| !via.is_unspecified());
        let route = KernelRoute {
            to: route.dst,
            via,
            mtu: route.mtu,
            advmss: route.advmss,
            priority: route.priority,
            table: route.table,
            scope: route.scope,
        };
        PodRoute { link: self.link.to_owned(), route }.into()
    }

    /// The sysctls that the reference plugins leave in the container. For an announcement `arp_notify`
    /// is set when the interface is brought up.
    fn sysctls(&self) -> Vec<Setting> {
        let set =
            |name: String, value: &str, required| Setting { name, value: value.into(), required };
        let v6 = |interface: &str, key: &str| format!("net/ipv6/conf/{interface}/{key}");
        let mut values = Vec::new();
        if self.telling == Telling::ByKernel {
            values.push(set(format!("net/ipv4/conf/{}/arp_notify", self.link), "1", false));
            values.push(set(v6(self.link, "ndisc_notify"), "1", false));
        }
        match self.detection {
            Detection::Off => values.push(set(v6(self.link, "accept_dad"), "0", false)),
            Detection::On => {
                values.push(set(v6(self.link, "enhanced_dad"), "1", false));
                values.push(set(v6(self.link, "accept_dad"), "1", false));
            }
            Detection::Unchanged => {}
        }
        if self.ips.iter().any(|ip| ip.address.is_ipv6()) {
            values.push(set(v6("lo", "disable_ipv6"), "0", true));
            values.push(set(v6(self.link, "disable_ipv6"), "0", true));
            values.push(set(v6(self.link, "keep_addr_on_down"), "1", true));
        }
        values
    }
}

/// The container's namespace as results name it: its path.
pub(super) fn sandbox(request: &Request) -> String {
    request.netns.as_deref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The configuration's name resolution or, without any, the address source's.
pub(super) fn dns(request: &Request, lease: Option<&Leased>) -> Dns {
    let configured = &request.config.dns;
    if configured.is_empty() {
        lease.map(|lease| lease.dns.clone()).unwrap_or_default()
    } else {
        configured.clone()
    }
}

/// Refuses IPv6 addresses that an interface with this MTU cannot have; the kernel would remove them
/// without a word. `key` is where the MTU comes from.
///
/// # Errors
/// [`Error::Config`].
pub(super) fn fits_ipv6(key: &str, mtu: Option<u32>, ips: &[IpConfig]) -> Result<(), Error> {
    let first = ips.iter().find(|ip| ip.address.is_ipv6());
    match (first, mtu) {
        (Some(ip), Some(mtu)) if mtu < IPV6_MTU => Err(Error::config(
            key,
            format!("IPv6 address {} needs an MTU of at least {IPV6_MTU} bytes", ip.address),
        )),
        _ => Ok(()),
    }
}

/// A route to everywhere, of a family, without a gateway.
///
/// # Errors
/// None in practice.
pub(super) fn default_route(v6: bool) -> Result<Route, Error> {
    let any: IpAddr = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let dst =
        IpNetwork::new(any, 0).map_err(|error| Error::config("ipam.routes", error.to_string()))?;
    Ok(Route { dst, gw: None, mtu: None, advmss: None, priority: None, table: None, scope: None })
}

/// The first address of a subnet after its own, which is the gateway's by custom.
pub(super) fn first_address(subnet: IpNetwork) -> Option<IpAddr> {
    match subnet {
        IpNetwork::V4(net) => {
            u32::from(net.network()).checked_add(1).map(|bits| Ipv4Addr::from(bits).into())
        }
        IpNetwork::V6(net) => {
            u128::from(net.network()).checked_add(1).map(|bits| Ipv6Addr::from(bits).into())
        }
    }
}
