//! The leases of a network: who holds what, what nobody does, and how full the ranges are.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::engine::Owner;
use crate::ipam::host_local::{Range, RangeSet, StoredLease, number};

/// Why a lease is nobody's any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leak {
    /// There is neither a record nor a cached result of its holder.
    NoAttachment,
    /// The holder's namespace is gone.
    NamespaceGone,
    /// The lease file is empty: its maker was killed.
    Empty,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoAttachment => "no attachment",
            Self::NamespaceGone => "namespace gone",
            Self::Empty => "empty lease file",
        })
    }
}

/// How a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its holder is attached, or may be.
    Held,
    /// It keeps an address from being used, and nobody has it.
    Leaked(Leak),
    /// The file's contents are not a lease's; somebody has to look.
    Damaged,
}

/// One lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// As it is on disk.
    pub stored: StoredLease,
    /// The attachment that holds it, if the file names one. The interface is empty when the file names
    /// a container alone.
    pub owner: Option<Owner>,
    /// The holder's pod.
    pub pod: Option<String>,
    /// How it stands.
    pub standing: Standing,
}

/// The leases of one network in one folder.
#[derive(Debug, Clone)]
pub struct NetworkLeases {
    /// The network's name.
    pub network: String,
    /// The folder.
    pub path: PathBuf,
    /// The leases, by address.
    pub leases: Vec<Lease>,
    /// The ranges of the node's configuration, one set for each address of an attachment; empty when
    /// no configuration has the network.
    pub sets: Vec<RangeSet>,
}

/// How full a range is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeUse {
    /// The set it is of, from 0.
    pub set: usize,
    /// The range in words.
    pub range: String,
    /// Addresses that can be handed out at all: without gateways and excluded ones.
    pub size: u128,
    /// Leases in it.
    pub used: u128,
    /// Of these, leases that nobody has.
    pub leaked: u128,
    /// Free addresses with leases before and after them: first and last of each run.
    pub holes: Vec<(IpAddr, IpAddr)>,
}

impl RangeUse {
    /// Addresses that can be handed out now.
    pub fn free(&self) -> u128 {
        self.size.saturating_sub(self.used)
    }
}

impl NetworkLeases {
    /// How full each range is.
    pub fn ranges(&self) -> Vec<RangeUse> {
        let sets = self.sets.iter().enumerate();
        let ranges =
            sets.flat_map(|(place, set)| set.ranges.iter().map(move |range| (place, range)));
        ranges.map(|(set, range)| self.use_of(set, range)).collect()
    }

    /// Leases that are of no range of the configuration, when it has any: of an earlier one, or asked
    /// for by the runtime.
    pub fn outside(&self) -> Vec<&Lease> {
        if self.sets.is_empty() {
            return Vec::new();
        }
        let is_inside = |lease: &&Lease| {
            self.sets.iter().all(|set| set.range_of(lease.stored.address).is_none())
        };
        self.leases.iter().filter(is_inside).collect()
    }

    fn use_of(&self, set: usize, range: &Range) -> RangeUse {
        let inside: Vec<&Lease> =
            self.leases.iter().filter(|lease| range.contains(lease.stored.address)).collect();
        let leaked = inside.iter().filter(|lease| matches!(lease.standing, Standing::Leaked(_)));
        let leaked = leaked.count() as u128;
        let mut numbers: Vec<u128> =
            inside.iter().map(|lease| number(lease.stored.address)).collect();
        numbers.sort_unstable();
        RangeUse {
            set,
            range: range.to_string(),
            size: range.allowed(),
            used: inside.len() as u128,
            leaked,
            holes: holes(range, &numbers),
        }
    }
}

/// The runs of free addresses between leases.
fn holes(range: &Range, leased: &[u128]) -> Vec<(IpAddr, IpAddr)> {
    let mut holes = Vec::new();
    for (before, after) in leased.iter().zip(leased.iter().skip(1)) {
        let mut from = before.saturating_add(1);
        // What is barred is no hole, and parts one.
        while let Some(first) = range.next_allowed(from).filter(|first| first < after) {
            let end = range.next_barred(first).unwrap_or(*after).min(*after);
            holes.push((range.address(first), range.address(end - 1)));
            from = end;
        }
    }
    holes
}
