//! The key `slaac`, for plugins whose interface has a network with routers of its own: the container
//! gets an IPv6 address from their advertisements (RFC 4862), beside what the address source gives.
//!
//! The kernel makes the address. The plan sees to it that it may, and that ADD waits until it has.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::Deserialize;

use super::{Error, Plan, Step};
use crate::engine::Resource;
use crate::engine::node::Side;
use crate::engine::resource::address::Addresses;
use crate::engine::resource::settings::{Setting, Settings};
use crate::engine::resource::slaac;
use crate::ipam::Leased;
use crate::kernel::addr::IPV6_MTU;
use crate::protocol::keys::{member, section};
use crate::protocol::request::{Request, Verb};
use crate::protocol::result::AddResult;

/// Seconds that ADD waits where the configuration says nothing: a router that is there answers the
/// first solicitation within half a second (RFC 4861, section 6.2.6), and two addresses are tried out
/// for a second each.
const PATIENCE: u16 = 10;

/// Seconds that ADD can be told to wait.
const LIMITS: std::ops::RangeInclusive<u16> = 1..=300;

/// The types whose interface is on a network where routers may be.
const TYPES: [&str; 5] = ["bridge", "macvlan", "ipvlan", "vlan", "host-device"];

/// The keys as they stand in the JSON.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Keys {
    /// Our own: the interface gets an IPv6 address from [router advertisements](../slaac.md), besides
    /// what the address source gives.
    slaac: bool,
    /// Our own: seconds that ADD waits for it; 10 without.
    #[cfg_attr(test, schemars(range(min = *LIMITS.start(), max = *LIMITS.end())))]
    slaac_timeout: Option<u16>,
}

/// Whether a plugin's configuration asks for it, and how many seconds ADD may wait.
///
/// # Errors
/// A wrong value, or a plugin that cannot serve it, named.
pub(super) fn wanted(step: &dyn Step) -> Result<Option<u16>, Error> {
    let value = &step.request().config.value;
    if member(value, "slaac").is_none() && member(value, "slaacTimeout").is_none() {
        return Ok(None);
    }
    let keys: Keys = section(value, &[])?;
    let seconds = keys.slaac_timeout.unwrap_or(PATIENCE);
    if !LIMITS.contains(&seconds) {
        return Err(Error::config(
            "slaacTimeout",
            format!("{seconds} is not between {} and {} seconds", LIMITS.start(), LIMITS.end()),
        ));
    }
    if !keys.slaac {
        return Ok(None);
    }
    let refused = |why: String| Err(Error::config("slaac", why));
    let text = |key| member(value, key).and_then(|value| value.as_str()).unwrap_or_default();
    match step.plugin_type() {
        kind if !TYPES.contains(&kind) => refused(format!(
            "an interface of type {kind} is on no network that has routers; {} can have it",
            TYPES.join(", ")
        )),
        "ipvlan" if !matches!(text("mode"), "" | "l2") => refused(format!(
            "router advertisements do not reach an ipvlan in mode {}; use mode l2",
            text("mode")
        )),
        "bridge" if member(value, "disableContainerInterface").is_some_and(|on| on == true) => {
            refused("needs an interface that is up; leave out disableContainerInterface".into())
        }
        _ => match member(value, "mtu").and_then(|mtu| mtu.as_u64()) {
            Some(mtu) if mtu != 0 && mtu < IPV6_MTU.into() => Err(Error::config(
                "mtu",
                format!("slaac needs an MTU of at least {IPV6_MTU} bytes, not {mtu}"),
            )),
            _ => Ok(Some(seconds)),
        },
    }
}

/// Adds to a plan what the address takes. For CHECK, `previous` tells which address it was.
pub(super) fn arrange(
    request: &Request,
    seconds: u16,
    previous: Option<&AddResult>,
    plan: &mut Plan,
) {
    let link = &request.ifname;
    let brings_up =
        |one: &Resource| matches!(one, Resource::Addresses(addresses) if addresses.link == *link);
    let place = plan.resources.iter().position(brings_up);
    let place = place.unwrap_or_else(|| {
        let up = Addresses { link: link.clone(), addresses: Vec::new(), quiet: true };
        plan.resources.push(up.into());
        plan.resources.len().saturating_sub(1)
    });
    plan.resources.insert(place, settings(link).into());
    // Routers are asked when the interface comes up, and the kernel asks them again only after seconds.
    let joins = |one: &Resource| matches!(one, Resource::BridgePort(_) | Resource::PortVlan(_));
    let after = plan.resources.split_off(place);
    let (first, then): (Vec<_>, Vec<_>) = after.into_iter().partition(joins);
    plan.resources.extend(first.into_iter().chain(then));
    let mut wanted =
        slaac::Slaac { link: link.clone(), seconds, addresses: Vec::new(), routers: Vec::new() };
    if let Some(result) = previous.filter(|_| request.verb == Verb::Check) {
        for ip in result.ips.iter().filter(|ip| is_routers(ip.address, ip.gateway)) {
            wanted.addresses.push(ip.address);
            if let Some(IpAddr::V6(router)) = ip.gateway {
                wanted.routers.push(router);
            }
        }
    }
    plan.resources.push(wanted.into());
}

/// Takes out of the lease, as prevResult tells it, what came from routers.
pub(super) fn leave_out(lease: &mut Leased) {
    lease.ips.retain(|ip| !is_routers(ip.address, ip.gateway));
    lease.routes.retain(|route| !is_routers(route.dst, route.gw) || route.gw.is_none());
}

/// Whether a router gave it: those are reached by their link-local addresses (RFC 4861, section 6.1.2),
/// and one that is no default router is no gateway at all. An IPv6 address without a gateway that the
/// address source gave counts among them, which makes no difference: CHECK wants it to be there.
fn is_routers(network: IpNetwork, gateway: Option<IpAddr>) -> bool {
    network.is_ipv6()
        && gateway.is_none_or(|gateway| match gateway {
            IpAddr::V6(gateway) => gateway.is_unicast_link_local(),
            IpAddr::V4(_) => false,
        })
}

/// The sysctls that let the kernel make the address, whatever the container's defaults are.
fn settings(link: &str) -> Settings {
    let set = |key: &str, value: &str| Setting {
        name: format!("net/ipv6/conf/{link}/{key}"),
        value: value.into(),
        required: true,
    };
    let values = vec![
        set("disable_ipv6", "0"),
        // 2: also where the container forwards.
        set("accept_ra", "2"),
        set("accept_ra_pinfo", "1"),
        set("accept_ra_defrtr", "1"),
        set("autoconf", "1"),
        // That is for a network where all machines start at once.
        set("router_solicitation_delay", "0"),
    ];
    Settings { side: Side::Pod, values }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::is_routers;

    #[test]
    fn what_routers_gave() {
        for (address, gateway, is) in [
            ("fd00::5/64", Some("fe80::1"), true),
            ("fd00::5/64", None, true),
            ("fd00::5/64", Some("fd00::1"), false),
            ("10.0.0.5/24", None, false),
            ("10.0.0.5/24", Some("10.0.0.1"), false),
        ] {
            let gateway = gateway.map(|gateway| gateway.parse().unwrap());
            assert_eq!(is_routers(address.parse().unwrap(), gateway), is, "{address} {gateway:?}");
        }
    }
}
