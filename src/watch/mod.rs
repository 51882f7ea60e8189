//! Attachments as they come and go, and what they carry.
//!
//! The kernel tells of links that come and go (RTMGRP_LINK); what is attached is read anew then. What
//! happens inside a container alone, such as a macvlan that is made there, it does not tell the host of:
//! there the folders of records and results show that something has changed.

mod known;
mod rates;

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use crate::inventory::{self, Attachment, Inventory, Life, Places};
use crate::kernel;
use crate::kernel::link::counters::{self, Counters};
use crate::kernel::netlink::RouteSocket;
use crate::kernel::netns::Namespace;

use known::Known;
pub use known::{Event, Happening, Key};
pub use rates::Rates;

/// A node that is watched.
pub struct Watch {
    places: Places,
    network: Option<String>,
    listener: RouteSocket,
    socket: RouteSocket,
    known: Known,
    /// What was last counted, and when.
    counted: HashMap<Key, (Instant, Counters)>,
    rates: HashMap<Key, Rates>,
    stamps: Vec<(PathBuf, Option<SystemTime>)>,
}

impl Watch {
    /// Begins to listen. Nothing is known before the first [`Self::look`].
    ///
    /// # Errors
    /// When the kernel gives no socket.
    pub fn begin(places: Places, network: Option<String>) -> Result<Self, kernel::Error> {
        // The numbers of groups are those of masks before there were more than 32 (RTMGRP_LINK).
        let listener = RouteSocket::listen(u32::try_from(libc::RTMGRP_LINK).unwrap_or(1))?;
        Ok(Self {
            places,
            network,
            listener,
            socket: RouteSocket::open()?,
            known: Known::default(),
            counted: HashMap::new(),
            rates: HashMap::new(),
            stamps: Vec::new(),
        })
    }

    /// What can be read when links have come or gone.
    pub fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Takes in that links have come or gone.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn hear(&mut self) -> Result<(), kernel::Error> {
        self.listener.hear(0)?;
        Ok(())
    }

    /// Reads what is attached, and says what has changed since the last time. Also gives what could not
    /// be read.
    ///
    /// # Errors
    /// When the node cannot be read.
    pub fn look(&mut self, now: Instant) -> Result<(Vec<Event>, Vec<String>), inventory::Error> {
        // What is written from here on is seen, or changes a stamp.
        self.stamps = self.stamps_now();
        let inventory = Inventory::of_node(&self.places)?;
        let network = self.network.as_deref();
        let wanted = inventory
            .attachments
            .into_iter()
            .filter(|one| network.is_none_or(|name| one.owner.network == name));
        let events = self.known.update(now, wanted);
        let known = &self.known;
        self.counted.retain(|key, _| known.has(key));
        self.rates.retain(|key, _| known.has(key));
        Ok((events, inventory.problems))
    }

    /// Whether something is under way, so that looking again soon is worth while.
    pub fn is_unsettled(&self) -> bool {
        self.known.is_unsettled()
    }

    /// Whether records or results have come or gone since the last look.
    pub fn is_outdated(&self) -> bool {
        self.stamps != self.stamps_now()
    }

    fn stamps_now(&self) -> Vec<(PathBuf, Option<SystemTime>)> {
        let stamp = |path: PathBuf| {
            let modified = fs::metadata(&path).and_then(|one| one.modified()).ok();
            (path, modified)
        };
        let mut stamps: Vec<_> = self.places.results.iter().cloned().map(stamp).collect();
        for state in &self.places.state {
            stamps.push(stamp(state.clone()));
            let networks = fs::read_dir(state).into_iter().flatten().flatten();
            let mut networks: Vec<_> = networks.map(|entry| stamp(entry.path())).collect();
            networks.sort();
            stamps.extend(networks);
        }
        stamps
    }

    /// Counts what every attachment has carried since the last time. As the container sees it: the
    /// host's end of a pair receives what the container sends.
    ///
    /// # Errors
    /// When the kernel does not tell of the host's links. A container that cannot be looked into is
    /// without rates.
    pub fn measure(&mut self, now: Instant) -> Result<(), kernel::Error> {
        let host: HashMap<u32, Counters> = counters::all(&mut self.socket)?
            .into_iter()
            .map(|counted| (counted.index, counted.counters))
            .collect();
        for (key, one) in self.known.attachments() {
            let counters = match &one.host_link {
                Some(link) => link
                    .index
                    .and_then(|index| host.get(&index))
                    .map(|counters| counters.of_other_end()),
                None => inside(one),
            };
            let Some(counters) = counters else {
                self.rates.remove(key);
                continue;
            };
            let rates = match self.counted.insert(key.clone(), (now, counters)) {
                Some((before, then)) => Rates::between(then, counters, now.duration_since(before)),
                None => None,
            };
            match rates {
                Some(rates) => self.rates.insert(key.clone(), rates),
                None => self.rates.remove(key),
            };
        }
        Ok(())
    }

    /// Every attachment with its rates, if it has been counted twice.
    pub fn attachments(&self) -> impl Iterator<Item = (&Attachment, Option<&Rates>)> {
        self.known.attachments().map(|(key, one)| (one, self.rates.get(key)))
    }
}

/// What an interface without an end on the host has carried.
fn inside(one: &Attachment) -> Option<Counters> {
    if !matches!(one.life, Life::Alive(_)) {
        return None;
    }
    let namespace = Namespace::open(one.netns.as_deref()?).ok()?;
    // The socket goes with this call: it would keep the namespace alive.
    let mut socket = namespace.enter(RouteSocket::open).ok()?.ok()?;
    let all = counters::all(&mut socket).ok()?;
    all.into_iter().find(|counted| counted.name == one.owner.ifname).map(|found| found.counters)
}
