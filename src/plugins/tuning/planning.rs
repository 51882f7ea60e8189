//! From configuration and facts to a plan: pure.

use std::net::IpAddr;

use super::settings::Settings;
use super::{Facts, backup};
use crate::engine::Resource;
use crate::engine::resource::announcement::Announcement;
use crate::engine::resource::link_attributes::LinkAttributes;
use crate::engine::resource::sysctls::{Sysctl, Sysctls};
use crate::kernel::addr::IPV6_MTU;
use crate::plugins::{Error, Given, Plan};
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

pub(super) fn plan(
    settings: &Settings,
    request: &Request,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Plan, Error> {
    let mut result = given.previous.cloned().unwrap_or_default();
    let ifname = &request.ifname;
    let link = &settings.link;
    let addresses = addresses_of(&result, ifname);
    if let Some(mtu) = link.mtu.filter(|mtu| *mtu < IPV6_MTU)
        && let Some(address) = addresses.iter().find(|address| address.is_ipv6())
    {
        // The kernel would take the address away without a word.
        return Err(Error::config(
            "mtu",
            format!("{mtu} is too small: IPv6 address {address} needs at least {IPV6_MTU} bytes"),
        ));
    }
    let mut resources: Vec<Resource> = Vec::new();
    if !settings.sysctls.is_empty() {
        let values = settings.sysctls.iter().map(|wanted| {
            let name = wanted.key.of(ifname);
            let original = facts.originals.get(&name).cloned();
            Sysctl { name, value: wanted.value.clone(), original }
        });
        resources.push(Sysctls { values: values.collect() }.into());
    }
    if !link.is_empty() {
        resources.push(attributes(settings, request, facts, given)?.into());
    }
    // The kernel announces IPv4 addresses when the hardware address changes, but not IPv6 ones.
    if let Some(mac) = link.mac {
        let addresses: Vec<_> = addresses.into_iter().filter(IpAddr::is_ipv6).collect();
        if !addresses.is_empty() {
            let (link, mac) = (ifname.clone(), mac.to_string());
            resources.push(Announcement { link, mac, addresses }.into());
        }
    }
    let inside = |one: &&mut crate::protocol::result::Interface| {
        one.name == *ifname && !one.sandbox.is_empty()
    };
    for interface in result.interfaces.iter_mut().filter(inside) {
        if let Some(mac) = link.mac {
            interface.mac = mac.to_string();
        }
        interface.mtu = link.mtu.or(interface.mtu);
    }
    Ok(Plan { resources, result })
}

fn attributes(
    settings: &Settings,
    request: &Request,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<LinkAttributes, Error> {
    let ifname = &request.ifname;
    let is_made = given.host_link(ifname).is_some();
    if !facts.attached && facts.link.is_none() && !given.may_make(ifname) {
        return Err(Error::config(
            "prevResult",
            format!(
                "interface {ifname} is not in the container; tuning changes what another plugin has \
                 made, so give it a place after that one in the list of plugins"
            ),
        ));
    }
    // What an interface was like that is made in the same call, nobody will ask for.
    let changes = !LinkAttributes::changes(&settings.link).is_empty();
    let backup = backup(&settings.data_dir, request).filter(|_| changes && !is_made);
    Ok(LinkAttributes {
        link: ifname.clone(),
        wanted: settings.link.clone(),
        original: facts.link.clone().filter(|_| changes),
        backup,
    })
}

/// The addresses of the container's interface.
fn addresses_of(result: &AddResult, ifname: &str) -> Vec<IpAddr> {
    let is_ours = |index: Option<usize>| {
        index
            .and_then(|index| result.interfaces.get(index))
            .is_none_or(|one| one.name == ifname && !one.sandbox.is_empty())
    };
    result.ips.iter().filter(|ip| is_ours(ip.interface)).map(|ip| ip.address.ip()).collect()
}
