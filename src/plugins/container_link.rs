//! What the plugins have in common whose interface is made inside the container and has no half on
//! the host: `macvlan`, `ipvlan`, `vlan` and `dummy`.

use serde::Deserialize;

use super::attached::{self, PodEnd};
use super::inside::{self, Detection, Inside, Telling};
use super::master::{Master, Wish};
use super::{Error, Plan};
use crate::engine::resource::container_link::ContainerLink;
use crate::engine::resource::lease::Lease;
use crate::engine::resource::pod_link::PodLink;
use crate::engine::{Owner, Resource};
use crate::ipam::{self, Leased};
use crate::kernel::link::Variety;
use crate::kernel::mac::Mac;
use crate::protocol::request::Request;
use crate::protocol::result::{AddResult, Interface, IpConfig, Route};

/// Smallest MTU of an Ethernet link and largest of any, that of `lo`, in bytes (`ETH_MIN_MTU`;
/// drivers/net/loopback.c).
pub(super) const MTU: std::ops::RangeInclusive<i64> = 68..=65536;

/// What the plan of such an interface depends on.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The link that it is made on. Absent for a dummy, where ADD could not find one that a later
    /// entry may not need, and at CHECK if the configuration does not name it.
    pub master: Option<Master>,
    /// What prevResult tells at CHECK.
    pub attached: Option<PodEnd>,
}

/// The interface that is wanted.
pub(super) struct Wanted<'a> {
    /// What it is.
    pub variety: Variety,
    /// What it is made on.
    pub master: Option<&'a Master>,
    /// Bytes; the kernel's choice without.
    pub mtu: Option<u32>,
    /// The hardware address that it is made with; the master's without.
    pub mac: Option<Mac>,
    /// Who tells the neighbours.
    pub telling: Telling,
}

/// Its addresses and routes, and where they come from.
pub(super) struct Addressing<'a> {
    /// The lease; `None` when there is none.
    pub lease: Option<&'a Leased>,
    /// Addresses, of the lease or of the result before.
    pub ips: Vec<IpConfig>,
    /// Routes; one without a gateway goes by that of the first address of its family.
    pub routes: Vec<Route>,
}

impl<'a> Addressing<'a> {
    /// What was leased; nothing without an address source.
    ///
    /// # Errors
    /// [`ipam::Error::NoAddress`] when an address source gave none.
    pub fn of(lease: Option<&'a Leased>) -> Result<Self, Error> {
        let Some(given) = lease else {
            return Ok(Self { lease, ips: Vec::new(), routes: Vec::new() });
        };
        if given.ips.is_empty() {
            return Err(ipam::Error::NoAddress(given.source.clone()).into());
        }
        Ok(Self { lease, ips: given.ips.clone(), routes: given.routes.clone() })
    }

    /// As [`Self::of`], where an address source is a must.
    ///
    /// # Errors
    /// [`Error::Config`] without one.
    pub fn required(lease: Option<&'a Leased>, plugin: &str) -> Result<Self, Error> {
        if lease.is_none() {
            return Err(Error::config(
                "ipam",
                format!("is missing; an interface of type {plugin} needs an address source"),
            ));
        }
        Self::of(lease)
    }
}

/// The key `mtu`: bytes, and 0 or nothing for the kernel's choice.
///
/// # Errors
/// [`Error::Config`] for what no link can have.
pub(super) fn mtu(key: i64) -> Result<Option<u32>, Error> {
    match u32::try_from(key) {
        Ok(0) => Ok(None),
        Ok(mtu) if MTU.contains(&key) => Ok(Some(mtu)),
        _ => Err(Error::config(
            "mtu",
            format!("{key} is not between {} and {} bytes", MTU.start(), MTU.end()),
        )),
    }
}

/// The facts of an attachment that prevResult describes, for CHECK; `wish` is what the configuration
/// says of the master.
///
/// # Errors
/// [`Error::Foreign`] when it is another attachment's result.
pub(super) fn recalled(request: &Request, result: &AddResult, wish: &Wish) -> Result<Facts, Error> {
    let attached = Some(attached::pod_end(request, result)?);
    let master = wish.name.as_ref().map(|name| Master::to_come(name, wish.side));
    Ok(Facts { master, attached })
}

/// The plan of such an interface.
///
/// # Errors
/// [`Error::Config`] for what the master cannot serve.
pub(super) fn plan(
    request: &Request,
    owner: &Owner,
    wanted: &Wanted<'_>,
    attached: Option<&PodEnd>,
    mut addressing: Addressing<'_>,
) -> Result<Plan, Error> {
    for ip in &mut addressing.ips {
        ip.interface = Some(0);
    }
    let Addressing { lease, ips, routes } = addressing;
    if attached.is_none() {
        match wanted.master {
            Some(master) => master.serves(wanted.mtu, &ips)?,
            None => inside::fits_ipv6("mtu", wanted.mtu, &ips)?,
        }
    }
    let mut resources = Vec::new();
    if let Some(lease) = lease {
        let addresses = ips.iter().map(|ip| ip.address).collect();
        resources.push(Lease { source: lease.source.clone(), addresses }.into());
    }
    let link = ContainerLink {
        mtu: attached.map_or(wanted.mtu, |attached| attached.mtu),
        mac: attached.map_or(wanted.mac, |attached| Mac::parse(&attached.mac)),
        ..resource(request, owner, wanted)
    };
    resources.push(link.into());
    let inside = Inside {
        link: &request.ifname,
        ips: &ips,
        routes: &routes,
        detection: Detection::Unchanged,
        telling: wanted.telling,
        is_up: true,
    };
    resources.extend(inside.resources());
    let mac = wanted.mac.or(wanted.master.and_then(|master| master.mac));
    let interface = Interface {
        name: request.ifname.clone(),
        mac: mac.map(|mac| mac.to_string()).unwrap_or_default(),
        sandbox: inside::sandbox(request),
        ..Interface::default()
    };
    let dns = inside::dns(request, lease);
    let result = AddResult { interfaces: vec![interface], ips, routes, dns };
    Ok(Plan { resources, result })
}

fn resource(request: &Request, owner: &Owner, wanted: &Wanted<'_>) -> ContainerLink {
    ContainerLink {
        name: request.ifname.clone(),
        variety: wanted.variety,
        master: wanted.master.map(Master::of_resource),
        mtu: wanted.mtu,
        mac: wanted.mac,
        temporary: owner.temporary_link(),
    }
}

/// What an attachment may have left that there is no record of.
pub(super) fn traces(request: &Request, owner: &Owner, variety: Variety) -> Vec<Resource> {
    let half_made =
        Wanted { variety, master: None, mtu: None, mac: None, telling: Telling::Nobody };
    vec![
        PodLink { name: request.ifname.clone() }.into(),
        resource(request, owner, &half_made).into(),
    ]
}
