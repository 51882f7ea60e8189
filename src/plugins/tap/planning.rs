//! From configuration, facts and lease to a plan: pure.

use super::Facts;
use super::settings::Settings;
use crate::engine::resource::{lease::Lease, tap::Tap};
use crate::engine::{Owner, Resource};
use crate::ipam::{self, Leased};
use crate::kernel::addr::IPV6_MTU;
use crate::plugins::inside::{Detection, Inside, Telling, sandbox};
use crate::plugins::{Error, Plan};
use crate::protocol::request::Request;
use crate::protocol::result::{AddResult, Interface};

pub(super) fn plan(
    settings: &Settings,
    request: &Request,
    owner: &Owner,
    facts: &Facts,
    lease: Option<&Leased>,
) -> Result<Plan, Error> {
    let mut ips = match lease {
        Some(lease) if lease.ips.is_empty() => {
            return Err(ipam::Error::NoAddress(lease.source.clone()).into());
        }
        Some(lease) => lease.ips.clone(),
        None => Vec::new(),
    };
    for ip in &mut ips {
        ip.interface = Some(0);
        if ip.address.is_ipv6()
            && let Some(mtu) = settings.mtu.filter(|mtu| *mtu < IPV6_MTU)
        {
            return Err(Error::config(
                "mtu",
                format!(
                    "{mtu} is too small: IPv6 address {} needs at least {IPV6_MTU} bytes",
                    ip.address
                ),
            ));
        }
    }
    let routes = lease.map(|lease| lease.routes.clone()).unwrap_or_default();
    let mac = match &facts.attached {
        Some(mac) => mac.clone(),
        None => settings.mac.unwrap_or_else(|| owner.mac()).to_string(),
    };
    let mut resources: Vec<Resource> = Vec::new();
    if let Some(lease) = lease {
        let addresses = ips.iter().map(|ip| ip.address).collect();
        resources.push(Lease { source: lease.source.clone(), addresses }.into());
    }
    resources.push(
        Tap {
            name: request.ifname.clone(),
            mac: mac.clone(),
            mtu: settings.mtu,
            multi_queue: settings.multi_queue,
            owner: settings.owner,
            group: settings.group,
            label: settings.label.clone(),
            bridge: settings.bridge.clone(),
        }
        .into(),
    );
    let inside = Inside {
        link: &request.ifname,
        ips: &ips,
        routes: &routes,
        // Nobody can answer before a program has opened the device, and until then addresses would
        // not come into use.
        detection: Detection::Off,
        // With `arp_notify` set, the kernel tells a machine whenever the link gets its carrier from it.
        telling: Telling::Announced,
        is_up: true,
    };
    resources.extend(inside.resources());
    let interface = Interface {
        name: request.ifname.clone(),
        mac,
        sandbox: sandbox(request),
        ..Interface::default()
    };
    // As the reference plugin has it: name resolution comes from the configuration alone.
    let dns = request.config.dns.clone();
    Ok(Plan { resources, result: AddResult { interfaces: vec![interface], ips, routes, dns } })
}
