//! A device of the host that is in the container for as long as the attachment lasts.
//!
//! In the container its alias is its name on the host, as the reference plugin has it, so that either
//! program brings back what the other has moved. The record tells more: which device it is, so that it
//! is found under any name, and when its namespace has ended.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::{Error, Node};
use crate::kernel::link::{self, Device, Identity, Link, Move};
use crate::kernel::netlink::RouteSocket;
use crate::kernel::netns::{self, Namespace};
use crate::kernel::sysfs::Sysfs;

/// How long the kernel may take to give a device back whose namespace is ending. It does so in a work
/// queue, one namespace after the other (`cleanup_net`, net/core/net_namespace.c).
const RETURN_LIMIT: Duration = Duration::from_secs(3);

/// A device of the host, moved into the container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostDevice {
    /// Its name on the host; empty when no record tells, and then its alias in the container does.
    pub host: String,
    /// Its name in the container.
    pub pod: String,
    /// Its hardware address, in colon form.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// What tells it from other devices.
    #[serde(default)]
    pub identity: Identity,
    /// Its alias on the host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub alias: String,
    /// Whether it was up on the host.
    #[serde(default)]
    pub was_up: bool,
    /// The inode number of the container's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<u64>,
}

impl HostDevice {
    /// Whether it is this device, by what no move and no name changes.
    pub fn is(&self, device: &Device) -> bool {
        let (was, is) = (&self.identity, &device.identity);
        if was.kind != is.kind {
            return false;
        }
        if was.is_certain() {
            return was.permanent == is.permanent && was.parent == is.parent;
        }
        !self.mac.is_empty() && self.mac == device.address.to_string()
    }

    /// The device in the container, under whatever name. `surely` leaves out one that only has the
    /// right name and kind.
    fn inside(&self, node: &mut Node<'_>, surely: bool) -> Result<Option<Device>, Error> {
        let Some(pod) = node.pod.as_mut() else { return Ok(None) };
        if self.host.is_empty() {
            let found = link::find_device(&mut pod.route, &self.pod)?;
            return Ok(found.filter(|device| !host_name(device).is_empty()));
        }
        let devices = link::devices(&mut pod.route)?;
        let same_kind = |device: &&Device| device.identity.kind == self.identity.kind;
        let says_so = |device: &&Device| same_kind(device) && device.link.alias == self.host;
        let named = |device: &&Device| device.link.name == self.pod;
        let found = devices
            .iter()
            .find(|device| named(device) && (self.is(device) || says_so(device)))
            .or_else(|| devices.iter().find(|device| self.is(device) || says_so(device)))
            .or_else(|| {
                devices.iter().find(|device| !surely && named(device) && same_kind(device))
            });
        Ok(found.cloned())
    }

    /// The device on the host, where other links may have its hardware address: VLANs on it, and the
    /// bridge or bond that it was a port of.
    fn outside(&self, node: &mut Node<'_>) -> Result<Option<Device>, Error> {
        if self.host.is_empty() {
            return Ok(None);
        }
        let devices = link::devices(&mut node.host)?;
        let is_it = |device: &&Device| {
            self.is(device)
                && (self.identity.is_certain()
                    || device.link.name == self.host
                    || device.link.alias == self.host)
        };
        Ok(devices.into_iter().find(|device| is_it(&device)))
    }

    /// Moves the device from the container to the host.
    fn bring_back(&self, device: &Device, node: &mut Node<'_>) -> Result<(), Error> {
        let Device { link: Link { index, name, .. }, .. } = device;
        let host = if self.host.is_empty() { host_name(device) } else { &self.host };
        if link::index(&node.host, host)?.is_some() {
            return Err(Error::Conflict(format!(
                "host device {host} cannot be brought back from the container, where it is {name}: \
                 the host has another link of that name; rename or remove that one, then detach again (DEL)"
            )));
        }
        let home = node.home().as_fd().try_clone_to_owned();
        let home = home.map_err(|error| Error::State {
            path: node.home().path().to_owned(),
            doing: "keep the host's namespace open",
            source: error,
        })?;
        let socket = &mut node.pod()?.route;
        socket.flush()?;
        // It gets its name here, so that who watches the host's devices sees it arrive with it. If the
        // container has another link of that name, it gets it on the way.
        let mut from = name.as_str();
        if name != host && link::rename_device(socket, *index, name, host, host).is_ok() {
            from = host;
        }
        let how = Move { from, to: host, alias: &self.alias, namespace: home.as_fd() };
        if let Err(error) = link::move_device(socket, *index, &how) {
            // As it was, so that the container goes on with it and the next DEL finds it.
            let _ = link::rename_device(socket, *index, from, name, host);
            if device.link.up {
                let _ = link::queue_up(socket, name).and_then(|()| socket.flush());
            }
            return Err(error.into());
        }
        node.forget(host);
        Ok(())
    }

    /// Gives a device that the kernel has given back its own name and alias.
    fn settle(&self, device: &Device, node: &mut Node<'_>) -> Result<(), Error> {
        let Link { index, name, alias, .. } = &device.link;
        if *name == self.host {
            if *alias != self.alias {
                link::queue_alias(&mut node.host, *index, name, &self.alias)?;
                node.host.flush()?;
            }
            return Ok(());
        }
        if link::index(&node.host, &self.host)?.is_some() {
            return Err(Error::Conflict(format!(
                "host device {} came back as {name} when the container's namespace ended, and the host \
                 has another link of its name; rename or remove that one, then detach again (DEL)",
                self.host
            )));
        }
        link::rename_device(&mut node.host, *index, name, &self.host, &self.alias)?;
        node.forget(&self.host);
        Ok(())
    }

    /// Waits for hardware whose namespace is ending.
    fn await_return(&self, node: &mut Node<'_>) -> Result<Option<Device>, Error> {
        let there = Sysfs::default().has(&self.identity.bus, &self.identity.parent);
        if !self.identity.is_certain() || !there || !is_first_namespace(node.home()) {
            return Ok(None);
        }
        let start = Instant::now();
        let mut listener = RouteSocket::listen(libc::RTMGRP_LINK as u32)?;
        loop {
            if let Some(device) = self.outside(node)? {
                return Ok(Some(device));
            }
            let left = RETURN_LIMIT.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(Error::Conflict(format!(
                    "host device {} ({}) has not come back to the host: the container's namespace has \
                     lost its path, and something still holds it open; detach again (DEL) when that is gone",
                    self.host, self.identity.parent
                )));
            }
            listener.hear(u16::try_from(left.as_millis()).unwrap_or(u16::MAX).max(1))?;
        }
    }

    fn bring_home(&self, node: &mut Node<'_>) -> Result<(), Error> {
        if let Some(device) = self.inside(node, true)? {
            return self.bring_back(&device, node);
        }
        if let Some(device) = self.outside(node)? {
            return self.settle(&device, node);
        }
        if let Some(device) = self.inside(node, false)? {
            return self.bring_back(&device, node);
        }
        if node.pod.is_some() || self.host.is_empty() {
            return Ok(());
        }
        // The namespace has lost its path. Processes may hold it, or the kernel is about to end it.
        if let Some(living) = self.namespace.and_then(netns::find)
            && !living.is_same(node.home())
        {
            node.take_pod(living)?;
            let found = self.inside(node, true)?;
            let back = found.as_ref().map(|device| self.bring_back(device, node));
            node.pod = None;
            if let Some(back) = back {
                return back;
            }
        }
        match self.await_return(node)? {
            Some(device) => self.settle(&device, node),
            None => {
                log::warn!(
                    "host device {} is neither in the container nor on the host; virtual links end \
                     with the namespace they are in",
                    self.host
                );
                Ok(())
            }
        }
    }
}

/// What a device in the container was called on the host, by its alias; empty when that cannot be a
/// name.
fn host_name(device: &Device) -> &str {
    let alias = device.link.alias.as_str();
    let is_name = crate::protocol::names::interface_name(alias).is_ok();
    if is_name { alias } else { "" }
}

/// Whether this is the namespace that hardware goes to when the one it is in ends. Process 1 of the
/// machine is in it; of a container that is no machine the answer may be wrong.
fn is_first_namespace(home: &Namespace) -> bool {
    Namespace::open(std::path::Path::new("/proc/1/ns/net")).is_ok_and(|first| first.is_same(home))
}

impl Kind for HostDevice {
    fn describe(&self) -> String {
        let mac = if self.mac.is_empty() { String::new() } else { format!(" ({})", self.mac) };
        format!("move {}{mac} from the host into the container as {}", self.host, self.pod)
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        node.host.flush()?;
        let found = link::find_device(&mut node.host, &self.host)?;
        let Some(device) = found.filter(|device| device.identity.kind == self.identity.kind) else {
            return Err(Error::Conflict(format!(
                "host device {} is not on the host any more; another attachment may have taken it \
                 just now",
                self.host
            )));
        };
        let Some(pod) = node.pod.as_ref() else {
            node.pod()?;
            return Ok(Made::Before);
        };
        let how = Move {
            from: &self.host,
            to: &self.pod,
            alias: &self.host,
            namespace: pod.namespace.as_fd(),
        };
        link::move_device(&mut node.host, device.link.index, &how)?;
        node.forget(&self.host);
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let Some(device) = link::find_device(&mut node.pod()?.route, &self.pod)? else {
            return Ok(vec![format!("interface {} is not in the container", self.pod)]);
        };
        let mut wrong = Vec::new();
        let mac = device.address.to_string();
        if !self.mac.is_empty() && mac != self.mac {
            wrong.push(format!(
                "interface {} in the container has hardware address {mac}, not {}",
                self.pod, self.mac
            ));
        }
        if !device.link.up {
            wrong.push(format!("interface {} in the container is down", self.pod));
        }
        Ok(wrong)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        if let Some(pod) = &mut node.pod {
            // What is still queued for the container's interface has no meaning any more.
            let _ = pod.route.flush();
        }
        self.bring_home(node)
    }

    /// The device is up again if it was; at DEL it stays down, as nobody knows what has become of
    /// the host since.
    fn undo(&self, node: &mut Node<'_>) -> Result<(), Error> {
        self.remove(node)?;
        if self.was_up && self.outside(node)?.is_some() {
            link::queue_up(&mut node.host, &self.host)?;
            node.host.flush()?;
        }
        Ok(())
    }
}
