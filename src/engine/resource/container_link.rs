//! A link that is made inside the container and has no half on the host: a macvlan, ipvlan or VLAN on
//! a master, or a dummy. Its addresses and routes go with it.
//!
//! It goes with the container's namespace, too. It needs a record all the same: a namespace may live
//! on after its attachment, and nothing else tells GC where the link is.

use std::os::fd::AsFd;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::node::{Pod, Side};
use crate::engine::{Error, Node};
use crate::kernel;
use crate::kernel::link::{self, Link, Macvlan, NewLink, Variety};
use crate::kernel::mac::Mac;

/// A link of the container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerLink {
    /// Its name.
    pub name: String,
    /// What it is.
    pub variety: Variety,
    /// What it is made on. Absent for a dummy, and at CHECK if only ADD could know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<Master>,
    /// Bytes; the kernel's choice without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The hardware address; the master's without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// A name that nothing else has, for when the link cannot be made under its own.
    pub temporary: String,
}

/// The link that another one is made on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Master {
    /// Its name.
    pub name: String,
    /// In whose namespace it is.
    pub side: Side,
}

impl ContainerLink {
    fn add(
        &self,
        node: &mut Node<'_>,
        name: &str,
        master: Option<u32>,
    ) -> Result<(), kernel::Error> {
        node.pod()?;
        let Some(Pod { namespace, route }) = &mut node.pod else { return Ok(()) };
        let (socket, namespace) = match self.side() {
            Side::Pod => (route, None),
            Side::Host => (&mut node.host, Some(namespace.as_fd())),
        };
        let Self { variety, mtu, mac, .. } = self;
        link::add(socket, &NewLink { name, variety, master, mtu: *mtu, mac: *mac, namespace })
    }

    /// The namespace from which it is made.
    fn side(&self) -> Side {
        self.master.as_ref().map_or(Side::Pod, |master| master.side)
    }

    /// Makes it in two steps. Kernels before 6.14 refuse a new link a name that is taken where its
    /// master is, although it goes elsewhere.
    fn add_and_rename(&self, node: &mut Node<'_>, master: Option<u32>) -> Result<(), Error> {
        self.remove_named(node, &self.temporary)?;
        self.add(node, &self.temporary, master)?;
        let pod = node.pod()?;
        if let Some(index) = link::index(&pod.route, &self.temporary)? {
            link::queue_rename(&mut pod.route, index, &self.temporary, &self.name)?;
            pod.route.flush()?;
        }
        Ok(())
    }

    /// The refusal with what it is about, where the errno alone could be anything.
    fn explained(&self, error: Error, master: Option<u32>, node: &mut Node<'_>) -> Error {
        let (Error::Kernel(kernel::Error::Refused { errno, .. }), Some(on)) =
            (&error, &self.master)
        else {
            return error;
        };
        let on = &on.name;
        match (errno, self.variety) {
            (Errno::EEXIST, Variety::Vlan { id }) => match self.holder(master, node) {
                Some(text) => Error::Conflict(format!(
                    "vlanId: VLAN {id} of {on} is taken already by {text}; a master has each VLAN once: \
                     remove that one, or choose another VLAN or master"
                )),
                None => error,
            },
            (Errno::EINVAL, Variety::Macvlan { mode: Macvlan::Passthru, .. }) => {
                Error::Conflict(format!(
                    "mode: {error}; a macvlan in mode passthru needs {on} for itself, and there may be \
                     others on it"
                ))
            }
            (Errno::EINVAL, Variety::Macvlan { .. }) => Error::Conflict(format!(
                "master: {error}; there may be a macvlan in mode passthru on {on}, which then takes no \
                 other, or {on} may be none that can have macvlans"
            )),
            (Errno::EBUSY, _) => Error::Conflict(format!(
                "master: {error}; {on} may be a port of a bridge or bond, or have links of another \
                 kind on it"
            )),
            (Errno::EOPNOTSUPP | Errno::EINVAL, _) => Error::Conflict(format!(
                "master: {error}; {on} may be none that can have such links on it"
            )),
            _ => error,
        }
    }

    /// Who has the VLAN; `None` if it is the name that is taken.
    fn holder(&self, master: Option<u32>, node: &mut Node<'_>) -> Option<String> {
        if link::index(&node.pod.as_ref()?.route, &self.name).ok()?.is_some() {
            return None;
        }
        let place = if self.side() == Side::Host { "on the host" } else { "in the container" };
        let near = link::list(node.side(self.side()).ok()?).ok()?;
        let same = near.iter().find(|one| one.variety == Some(self.variety) && one.peer == master);
        Some(match same {
            Some(one) => format!("{} {place}", one.name),
            None => "an interface in another namespace".into(),
        })
    }

    fn remove_named(&self, node: &mut Node<'_>, name: &str) -> Result<(), Error> {
        let Some(pod) = &mut node.pod else { return Ok(()) };
        if link::index(&pod.route, name)?.is_none() {
            return Ok(());
        }
        let found = link::find(&mut pod.route, name)?;
        let Some(link) = found.filter(|link| link.kind == self.variety.kind()) else {
            return Ok(());
        };
        link::queue_remove(&mut pod.route, link.index, name)?;
        match pod.route.flush() {
            Err(error) if error.is(Errno::ENODEV) => Ok(()),
            other => Ok(other?),
        }
    }

    fn check(&self, link: &Link, wrong: &mut Vec<String>) {
        let name = &self.name;
        match link.variety {
            Some(found) if found.satisfies(&self.variety) => {}
            Some(found) => wrong.push(format!("interface {name} is {found}, not {}", self.variety)),
            None => wrong.push(format!("interface {name} in the container is no {}", self.variety)),
        }
        if !link.up {
            wrong.push(format!("interface {name} in the container is down"));
        }
        if let Some(mtu) = self.mtu.filter(|mtu| *mtu != link.mtu) {
            wrong.push(format!("interface {name} has MTU {}, not {mtu}", link.mtu));
        }
        if let Some(mac) = self.mac.filter(|mac| link.mac != Some(*mac)) {
            let is = link.mac.map_or("none".to_owned(), |mac| mac.to_string());
            wrong.push(format!("interface {name} has hardware address {is}, not {mac}"));
        }
    }
}

impl Kind for ContainerLink {
    fn describe(&self) -> String {
        let mut text = format!("make {} in the container: {}", self.name, self.variety);
        if let Some(Master { name, side }) = &self.master {
            let place = if *side == Side::Host { "on the host" } else { "in the container" };
            text.push_str(&format!(" on {name} {place}"));
        }
        let mac = self.mac.map(|mac| mac.to_string());
        let mtu = self.mtu.map(|mtu| format!("MTU {mtu}"));
        let more: Vec<String> = [mac, mtu].into_iter().flatten().collect();
        if !more.is_empty() {
            text.push_str(&format!(" ({})", more.join(", ")));
        }
        text
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        let master = match &self.master {
            Some(master) => Some(node.link(master.side, &master.name)?.index),
            None => None,
        };
        let made = match self.add(node, &self.name, master) {
            Err(error)
                if error.is(Errno::EEXIST)
                    && self.side() == Side::Host
                    && link::index(&node.host, &self.name)?.is_some() =>
            {
                self.add_and_rename(node, master)
            }
            other => other.map_err(Error::from),
        };
        match made {
            Ok(()) => Ok(Made::Now),
            Err(error) => Err(self.explained(error, master, node)),
        }
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let Some(link) = link::find(&mut node.pod()?.route, &self.name)? else {
            return Ok(vec![format!("interface {} is not in the container", self.name)]);
        };
        let mut wrong = Vec::new();
        self.check(&link, &mut wrong);
        if let Some(Master { name, side }) = &self.master {
            match link::index(node.side(*side)?, name)? {
                None => wrong.push(format!("master {name} of {} is not there", self.name)),
                Some(index) if link.peer != Some(index) => {
                    wrong.push(format!("interface {} is not on master {name}", self.name));
                }
                Some(_) => {}
            }
        }
        Ok(wrong)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        self.remove_named(node, &self.name)?;
        self.remove_named(node, &self.temporary)
    }
}
