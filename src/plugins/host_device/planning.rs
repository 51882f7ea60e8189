//! From configuration, facts and lease to a plan: pure.

use super::Facts;
use crate::engine::Resource;
use crate::engine::resource::{announcement::Announcement, host_device::HostDevice, lease::Lease};
use crate::ipam::{self, Leased};
use crate::kernel::addr::IPV6_MTU;
use crate::plugins::inside::{Detection, Inside, Telling, sandbox};
use crate::plugins::{Error, Plan};
use crate::protocol::request::Request;
use crate::protocol::result::{AddResult, Dns, Interface, IpConfig};

pub(super) fn plan(
    request: &Request,
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
    }
    let routes = lease.map(|lease| lease.routes.clone()).unwrap_or_default();
    let mut resources: Vec<Resource> = Vec::new();
    if let Some(lease) = lease {
        let addresses = ips.iter().map(|ip| ip.address).collect();
        resources.push(Lease { source: lease.source.clone(), addresses }.into());
    }
    let device = device(request, facts, &ips)?;
    let mac = device.as_ref().map(|device| device.mac.clone()).unwrap_or_default();
    if let Some(device) = device {
        resources.push(device.into());
        let inside = Inside {
            link: &request.ifname,
            ips: &ips,
            routes: &routes,
            // Strangers may be on the device's network.
            detection: Detection::On,
            telling: Telling::Announced,
            is_up: true,
        };
        resources.extend(inside.resources());
        // The kernel announces IPv4 addresses when the link comes up.
        let addresses: Vec<_> =
            ips.iter().map(|ip| ip.address.ip()).filter(|address| address.is_ipv6()).collect();
        if !addresses.is_empty() {
            let link = request.ifname.clone();
            resources.push(Announcement { link, mac: mac.clone(), addresses }.into());
        }
    }
    let interface = Interface {
        name: request.ifname.clone(),
        mac,
        sandbox: sandbox(request),
        pci_id: facts.pci(),
        ..Interface::default()
    };
    // As the reference plugin has it: name resolution comes from the configuration alone, and goes
    // with addresses.
    let dns = if lease.is_some() { request.config.dns.clone() } else { Dns::default() };
    Ok(Plan { resources, result: AddResult { interfaces: vec![interface], ips, routes, dns } })
}

/// The device to be moved, or to be looked for in the container; none for one in user space.
fn device(request: &Request, facts: &Facts, ips: &[IpConfig]) -> Result<Option<HostDevice>, Error> {
    let pod = request.ifname.clone();
    let (device, namespace) = match facts {
        Facts::UserSpace { .. } => return Ok(None),
        Facts::Attached { mac } => {
            return Ok(Some(HostDevice { pod, mac: mac.clone(), ..HostDevice::default() }));
        }
        Facts::OnHost { device, namespace, .. } => (device, *namespace),
    };
    let link = &device.link;
    if link.mtu < IPV6_MTU
        && let Some(ip) = ips.iter().find(|ip| ip.address.is_ipv6())
    {
        return Err(Error::config(
            "ipam",
            format!(
                "IPv6 address {} needs an MTU of at least {IPV6_MTU} bytes, but that of {} is {}",
                ip.address, link.name, link.mtu
            ),
        ));
    }
    let mac = if device.address.is_empty() { String::new() } else { device.address.to_string() };
    Ok(Some(HostDevice {
        host: link.name.clone(),
        pod,
        mac,
        identity: device.identity.clone(),
        alias: link.alias.clone(),
        was_up: link.up,
        namespace: Some(namespace),
    }))
}
