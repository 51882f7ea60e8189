//! The link that a container's interface is made on: which one it is, and whether it can serve.

use serde::Deserialize;

use super::Error;
use super::inside;
use crate::engine::Node;
use crate::engine::node::Side;
use crate::engine::resource::container_link;
use crate::kernel::link::{self, Link};
use crate::kernel::mac::Mac;
use crate::kernel::route;
use crate::protocol::names;
use crate::protocol::result::IpConfig;

/// `RT_TABLE_MAIN` of linux/rtnetlink.h.
const MAIN_TABLE: u32 = 254;

/// Which link the configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Its name; without, that of the link which the default route leads through.
    pub name: Option<String>,
    /// Whether it is looked for in the container, not on the host.
    pub side: Side,
}

/// The link that was found.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Master {
    /// Its name.
    pub name: String,
    /// In whose namespace it is.
    pub side: Side,
    /// Bytes. This and what follows is not known of a link that a foreign plugin is yet to make.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// The hardware address.
    #[serde(default)]
    pub mac: Option<Mac>,
    /// Whether it is set down.
    #[serde(default)]
    pub is_down: bool,
    /// Whether it is the loopback interface.
    #[serde(default)]
    pub is_loopback: bool,
}

impl Wish {
    /// From the keys `master` and `linkInContainer`.
    ///
    /// # Errors
    /// [`Error::Config`] for what is no interface name.
    pub(super) fn read(master: Option<String>, in_container: bool) -> Result<Self, Error> {
        let name = master.filter(|name| !name.is_empty());
        if let Some(name) = &name {
            names::interface_name(name)
                .map_err(|error| Error::config("master", error.to_string()))?;
        }
        Ok(Self { name, side: if in_container { Side::Pod } else { Side::Host } })
    }

    /// Finds the link.
    ///
    /// # Errors
    /// [`Error::Config`] when there is none.
    pub(super) fn find(&self, node: &mut Node<'_>) -> Result<Master, Error> {
        match &self.name {
            Some(name) => self.find_named(name, node),
            None => self.find_default(node),
        }
    }

    /// Finds the link called `name`.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(super) fn find_named(&self, name: &str, node: &mut Node<'_>) -> Result<Master, Error> {
        if let Some(link) = link::find(node.side(self.side)?, name)? {
            return Ok(self.seen(link));
        }
        let place = place(self.side);
        let (other, hint) = match self.side {
            Side::Host => (Side::Pod, "set linkInContainer, or name a link of the host"),
            Side::Pod => (Side::Host, "take linkInContainer out, or name a link of the container"),
        };
        let elsewhere = match node.side(other) {
            Ok(socket) => link::index(socket, name)?.is_some(),
            Err(_) => false,
        };
        Err(Error::config(
            "master",
            if elsewhere {
                format!("{name} is not {place} but {}: {hint}", self::place(other))
            } else {
                format!("there is no link {name} {place}: name one that is there")
            },
        ))
    }

    /// The link of the default route of the main table, of IPv4 first, with the lowest metric.
    fn find_default(&self, node: &mut Node<'_>) -> Result<Master, Error> {
        let socket = node.side(self.side)?;
        for v6 in [false, true] {
            let mut routes = route::list(socket, v6)?;
            routes.retain(|route| route.table == MAIN_TABLE && route.to.prefix() == 0);
            routes.sort_by_key(|route| route.priority);
            for index in routes.iter().filter_map(|route| route.links.first()) {
                match link::find_index(socket, *index)? {
                    // Routes that refuse packets are shown on the loopback interface.
                    Some(link) if !link.loopback => return Ok(self.seen(link)),
                    _ => {}
                }
            }
        }
        Err(Error::config(
            "master",
            format!(
                "is not given, and there is no default route {} that would tell: name a link",
                place(self.side)
            ),
        ))
    }

    fn seen(&self, link: Link) -> Master {
        Master {
            name: link.name,
            side: self.side,
            mtu: Some(link.mtu),
            mac: link.mac,
            is_down: !link.up,
            is_loopback: link.loopback,
        }
    }

    /// Whether the node has the link, for STATUS, which knows of no container.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(super) fn probe(&self, node: &mut Node<'_>) -> Result<(), Error> {
        if self.side == Side::Host { self.find(node).map(drop) } else { Ok(()) }
    }
}

fn place(side: Side) -> &'static str {
    match side {
        Side::Host => "on the host",
        Side::Pod => "in the container",
    }
}

impl Master {
    /// A link that is not there yet.
    pub(super) fn to_come(name: &str, side: Side) -> Self {
        let name = name.to_owned();
        Self { name, side, mtu: None, mac: None, is_down: false, is_loopback: false }
    }

    /// Refuses what cannot be made on it: an interface with more than its MTU, or with IPv6 addresses
    /// that its MTU is too small for or that could not be tried out while it is down.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub(super) fn serves(&self, mtu: Option<u32>, ips: &[IpConfig]) -> Result<(), Error> {
        let name = &self.name;
        if self.is_loopback {
            return Err(Error::config(
                "master",
                format!("{name} is the loopback interface, which carries nothing to others"),
            ));
        }
        if let (Some(mtu), Some(limit)) = (mtu, self.mtu)
            && mtu > limit
        {
            return Err(Error::config(
                "mtu",
                format!("{mtu} is more than the {limit} bytes of master {name}"),
            ));
        }
        match mtu {
            Some(_) => inside::fits_ipv6("mtu", mtu, ips)?,
            None => inside::fits_ipv6("master", self.mtu, ips)?,
        }
        if self.is_down && ips.iter().any(|ip| ip.address.is_ipv6()) {
            return Err(self.down("no IPv6 address could be tried out"));
        }
        Ok(())
    }

    /// That it is down, and what follows from it.
    pub(super) fn down(&self, why: &str) -> Error {
        let name = &self.name;
        Error::config("master", format!("{name} is down, so {why}: bring it up first"))
    }

    /// As resources name it.
    pub(super) fn of_resource(&self) -> container_link::Master {
        container_link::Master { name: self.name.clone(), side: self.side }
    }
}
