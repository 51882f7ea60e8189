//! The interface that a lease is for: finding it, and keeping its address and routes in step with
//! the lease.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use ipnetwork::IpNetwork;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::message::{CLIENT_PORT, SERVER_PORT};
use super::terms::Terms;
use crate::kernel::link::{self, Link};
use crate::kernel::mac::Mac;
use crate::kernel::netlink::RouteSocket;
use crate::kernel::netns::{self, Namespace};
use crate::kernel::packet::PacketSocket;
use crate::kernel::route::{self, Route};
use crate::kernel::{Error, addr};

/// By what an interface is known again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The inode number of its namespace.
    pub namespace: u64,
    /// Its index there.
    pub index: u32,
    /// Its hardware address.
    pub mac: Mac,
}

/// An interface in a namespace, held open.
pub struct Place {
    namespace: Namespace,
    socket: RouteSocket,
    link: Link,
    mac: Mac,
}

impl Place {
    /// Finds the interface; `None` when it, or the namespace, is not there.
    ///
    /// # Errors
    /// When one of them cannot be opened or is of the wrong kind.
    pub fn find(path: &Path, ifname: &str) -> Result<Option<Self>, Error> {
        let namespace = match Namespace::open(path) {
            Ok(namespace) => namespace,
            Err(netns::Error::Gone { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut socket = namespace.enter(RouteSocket::open)??;
        let Some(link) = link::find(&mut socket, ifname)? else { return Ok(None) };
        let mac = link.mac.ok_or_else(|| {
            Error::Garbled(format!("interface {ifname} has no Ethernet address; DHCP needs one"))
        })?;
        Ok(Some(Self { namespace, socket, link, mac }))
    }

    /// By what it is known again.
    pub fn site(&self) -> Site {
        Site { namespace: self.namespace.inode(), index: self.link.index, mac: self.mac }
    }

    /// Brings the interface up if it is not.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn bring_up(&mut self) -> Result<(), Error> {
        if self.link.up {
            return Ok(());
        }
        log::info!("{} is down; bringing it up", self.link.name);
        link::queue_up(&mut self.socket, &self.link.name)?;
        self.socket.flush()
    }

    /// Opens a socket that hears answers for clients on the interface.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn listen(&self) -> Result<PacketSocket, Error> {
        self.namespace.enter(|| PacketSocket::open(self.link.index, CLIENT_PORT))?
    }

    /// Opens a socket that speaks from a leased address to its server.
    ///
    /// # Errors
    /// When the address is not there or the port taken.
    pub fn speak(&self, terms: &Terms, server: std::net::Ipv4Addr) -> std::io::Result<UdpSocket> {
        let open = || {
            let socket = UdpSocket::bind((terms.address(), CLIENT_PORT))?;
            socket.connect((server, SERVER_PORT))?;
            socket.set_write_timeout(Some(Duration::from_secs(1)))?;
            Ok(socket)
        };
        self.namespace.enter(open).map_err(std::io::Error::other)?
    }

    /// Has the interface follow its lease: another address or other routes in the place of those
    /// that it had. `anew` says that it may have anything of either: the address was taken away, and with it
    /// what the kernel had of the routes, or it could not follow to the end.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn follow(
        &mut self,
        old: &Terms,
        new: &Terms,
        priority: Option<u32>,
        anew: bool,
    ) -> Result<(), Error> {
        let (was, is) = (old.network(), new.network());
        let routes = |terms: &Terms| -> Vec<Route> {
            terms.routes(priority).iter().map(kernel_route).collect()
        };
        let (had, has) = (routes(old), routes(new));
        let is_moved = was != is || anew;
        if !is_moved && had == has {
            return Ok(());
        }
        let (index, name) = (self.link.index, self.link.name.clone());
        if is_moved && let Some(is) = is {
            addr::queue_add(&mut self.socket, index, &name, IpNetwork::V4(is))?;
            unless(self.socket.flush(), Errno::EEXIST)?;
        }
        if was != is
            && let Some(was) = was
        {
            self.remove_address(IpNetwork::V4(was))?;
        }
        for route in had.iter().filter(|route| is_moved || !has.contains(route)) {
            route::queue_remove(&mut self.socket, index, &name, route)?;
            unless(self.socket.flush(), Errno::ESRCH)?;
        }
        for route in has.iter().filter(|route| is_moved || !had.contains(route)) {
            route::queue_add(&mut self.socket, index, &name, route)?;
            unless(self.socket.flush(), Errno::EEXIST)?;
        }
        Ok(())
    }

    /// Takes an address away that must not be used any longer.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn give_up(&mut self, terms: &Terms) -> Result<(), Error> {
        terms.network().map_or(Ok(()), |network| self.remove_address(IpNetwork::V4(network)))
    }

    /// Takes the interface down.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn bring_down(&mut self) -> Result<(), Error> {
        link::queue_down(&mut self.socket, &self.link.name)?;
        self.socket.flush()
    }

    fn remove_address(&mut self, address: IpNetwork) -> Result<(), Error> {
        addr::queue_remove(&mut self.socket, self.link.index, &self.link.name, address)?;
        unless(self.socket.flush(), Errno::EADDRNOTAVAIL)
    }
}

fn unless(done: Result<(), Error>, fine: Errno) -> Result<(), Error> {
    match done {
        Err(error) if error.is(fine) => Ok(()),
        other => other,
    }
}

fn kernel_route(route: &crate::protocol::result::Route) -> Route {
    Route {
        to: route.dst,
        via: route.gw,
        mtu: route.mtu,
        advmss: route.advmss,
        priority: route.priority,
        table: route.table,
        scope: route.scope,
    }
}
