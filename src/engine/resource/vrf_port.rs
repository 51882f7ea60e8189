//! The container's interface as a port of a VRF.
//!
//! Becoming one, and ceasing to be one, takes the interface down and up again (`cycle_netdev`,
//! drivers/net/vrf.c): its IPv4 addresses stay, and the kernel brings the routes to their subnets into
//! the right table; its other routes are lost, and so are its IPv6 addresses unless a sysctl keeps
//! them. So they are kept here and put back.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::source_routing::{all_routes, through};
use super::{Kind, Made};
use crate::engine::{Error, Node};
use crate::kernel::addr::whole as address;
use crate::kernel::netlink::RouteSocket;
use crate::kernel::route::whole::{MAIN, Whole};
use crate::kernel::{self, link, vrf};

/// An interface in a VRF.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VrfPort {
    /// The interface.
    pub link: String,
    /// The VRF.
    pub vrf: String,
    /// What the interface had before. Absent when it is made in the same call, with which it goes, or
    /// by a foreign plugin that is yet to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
}

/// What an interface loses on its way into a VRF.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Before {
    /// Its global IPv6 addresses.
    pub addresses: Vec<address::Whole>,
    /// Its routes in the main table, but for those that the kernel makes.
    pub routes: Vec<Whole>,
}

impl Before {
    /// What the interface has.
    ///
    /// # Errors
    /// Any refusal.
    pub fn of(socket: &mut RouteSocket, link: u32) -> Result<Self, kernel::Error> {
        let mut routes = through(all_routes(socket)?, link);
        routes.retain(|route| !route.is_of_kernel());
        Ok(Self { addresses: address::global_v6(socket, link)?, routes })
    }
}

/// Gives a link those of `addresses` back that it has lost.
fn restore(
    socket: &mut RouteSocket,
    index: u32,
    name: &str,
    addresses: &[address::Whole],
) -> Result<(), kernel::Error> {
    let there = address::global_v6(socket, index)?;
    let has = |wanted: &address::Whole| {
        let network = |one: &address::Whole| one.address().map(|address| address.network);
        there.iter().any(|one| network(one) == network(wanted))
    };
    for lost in addresses.iter().filter(|wanted| !has(wanted)) {
        lost.queue_add(socket, index, name)?;
    }
    match socket.flush() {
        Err(error) if error.is(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

impl VrfPort {
    /// The VRF, if it is there.
    fn vrf(&self, socket: &mut RouteSocket) -> Result<Option<vrf::Vrf>, kernel::Error> {
        Ok(vrf::list(socket)?.into_iter().find(|one| one.name == self.vrf))
    }

    /// What has the interface as a port but is not the VRF.
    fn other_master(
        &self,
        socket: &mut RouteSocket,
        master: Option<u32>,
        vrf: u32,
    ) -> Result<Option<String>, kernel::Error> {
        match master.filter(|index| *index != vrf && *index != 0) {
            Some(index) => Ok(Some(
                link::find_index(socket, index)?
                    .map_or_else(|| format!("link number {index}"), |link| link.name),
            )),
            None => Ok(None),
        }
    }
}

impl Kind for VrfPort {
    fn describe(&self) -> String {
        format!(
            "move {} in the container into VRF {}, with its addresses and routes",
            self.link, self.vrf
        )
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        // The interface must have its addresses and routes first.
        node.host.flush()?;
        let socket = &mut node.pod()?.route;
        socket.flush()?;
        let absent = |what: String| Error::Conflict(format!("{what} is not in the container"));
        let Some(vrf) = self.vrf(socket)? else {
            return Err(absent(format!("VRF {}", self.vrf)));
        };
        let Some(link) = link::find(socket, &self.link)? else {
            return Err(absent(format!("interface {}", self.link)));
        };
        if let Some(other) = self.other_master(socket, link.master, vrf.index)? {
            return Err(Error::Conflict(format!(
                "interface {} is a port of {other} already, and can be of one thing only",
                self.link
            )));
        }
        let before = match &self.before {
            Some(before) => before.clone(),
            None => Before::of(socket, link.index)?,
        };
        link::queue_master(socket, link.index, &self.link, Some((vrf.index, &self.vrf)))?;
        socket.flush()?;
        restore(socket, link.index, &self.link, &before.addresses)?;
        for route in &before.routes {
            route.queue_replace(socket, vrf.table)?;
            // The next may lead through it.
            socket.flush()?;
        }
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let socket = &mut node.pod()?.route;
        let Some(link) = link::find(socket, &self.link)? else {
            return Ok(vec![format!("interface {} is not in the container", self.link)]);
        };
        let vrf = self.vrf(socket)?.map(|vrf| vrf.index);
        if vrf.is_some() && link.master == vrf {
            return Ok(Vec::new());
        }
        Ok(vec![format!("interface {} is not in VRF {}", self.link, self.vrf)])
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        let Some(pod) = node.pod.as_mut() else { return Ok(()) };
        let socket = &mut pod.route;
        let Some(vrf) = self.vrf(socket)? else { return Ok(()) };
        let Some(link) = link::find(socket, &self.link)? else { return Ok(()) };
        if link.master != Some(vrf.index) {
            return Ok(());
        }
        let mut back = self.before.clone().unwrap_or_default();
        // What it has now goes back; what it had before an ADD that was killed, too.
        back.addresses.extend(address::global_v6(socket, link.index)?);
        if self.before.is_none() {
            let inside = all_routes(socket)?;
            back.routes = inside
                .into_iter()
                .filter(|route| {
                    route.table() == vrf.table
                        && route.link() == Some(link.index)
                        && !route.is_of_kernel()
                        && route.is_unicast()
                })
                .collect();
            back.routes.sort_by_key(|route| route.via().is_some());
        }
        link::queue_master(socket, link.index, &self.link, None)?;
        match socket.flush() {
            Err(error) if error.is(Errno::ENODEV) => return Ok(()),
            other => other?,
        }
        // The interface is usually about to go, so what cannot be put back must not keep it.
        if let Err(error) = put_back(socket, link.index, &self.link, &back) {
            log::warn!("not put back: {error}");
        }
        Ok(())
    }

    fn outlives_namespace(&self) -> bool {
        self.before.is_some()
    }
}

fn put_back(
    socket: &mut RouteSocket,
    index: u32,
    name: &str,
    back: &Before,
) -> Result<(), kernel::Error> {
    restore(socket, index, name, &back.addresses)?;
    for route in back.routes.iter().filter(|route| route.link() == Some(index)) {
        route.queue_add(socket, MAIN)?;
        match socket.flush() {
            Err(error) if error.is(Errno::EEXIST) => {}
            other => other?,
        }
    }
    Ok(())
}
