//! host-local: addresses of this node's own ranges, leased by files.
//!
//! Configuration, directory, file names, contents and lock are the reference plugin's, so that
//! either program can go on where the other was; see docs/ARCHITECTURE.md. The reference reads
//! every lease at each call; here the cost of a call does not depend on how many there are, which
//! is what `index`, `bitmap` and the mark in `directory` are for.

mod bitmap;
mod config;
mod directory;
mod error;
mod exclusion;
mod holder;
mod index;
mod last_reserved;
mod leasing;
mod listing;
mod problem;
mod range;
mod rebuild;
mod resolv_conf;
mod search;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::protocol::config::member;
use crate::protocol::request::{Request, Verb};
use crate::protocol::result::{Dns, IpConfig, Route};
use crate::protocol::version::Version;

pub use config::Keys;
pub use error::{Error, Hindrance, Problem};
pub use holder::Holder;
pub use leasing::Released;
pub use listing::{HeldBy, StoredLease, give_back, stored};
pub use range::{Range, RangeSet, Span, number};

use directory::Directory;
use index::Entry;
use last_reserved::LastReserved;
use leasing::{Leasing, exhausted, refuse_barred, release, release_where, taken, trusted_entries};
use search::Search;

/// Where leases are kept unless `dataDir` names another place.
pub const DATA_DIR: &str = "/var/lib/cni/networks";

/// What an address source is made of.
pub struct Settings<'a> {
    /// The network's name, which becomes a directory's name and must have been checked.
    pub network: &'a str,
    /// `cniVersion`.
    pub version: Version,
    /// `ipam`.
    pub ipam: &'a Value,
    /// `runtimeConfig.ipRanges`.
    pub ip_ranges: Option<&'a Value>,
    /// Addresses that the runtime asks for, in order.
    pub requested: Vec<IpAddr>,
}

/// What an attachment gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Leased {
    /// One address of each range set, in order.
    pub ips: Vec<IpConfig>,
    /// `ipam.routes`.
    pub routes: Vec<Route>,
    /// What `ipam.resolvConf` says.
    pub dns: Dns,
}

/// The leases of one network.
#[derive(Debug, Clone)]
pub struct HostLocal {
    directory: PathBuf,
    sets: Vec<RangeSet>,
    routes: Vec<Route>,
    resolv_conf: Option<PathBuf>,
    requested: Vec<IpAddr>,
}

impl HostLocal {
    /// The address source of a call.
    ///
    /// Requested addresses come from `args.cni.ips`, or else from `IP` of CNI_ARGS (CONVENTIONS,
    /// "CNI_ARGS"), and then from `runtimeConfig.ips`. For DEL and GC, which need no ranges, wrong
    /// ones do not matter: what a refused or since altered configuration has left must go as well.
    ///
    /// # Errors
    /// As [`Self::configure`], and [`Error::NoSection`].
    pub fn of(request: &Request) -> Result<Self, Error> {
        let config = &request.config;
        let ipam = config.ipam.as_ref().ok_or(Error::NoSection)?;
        let by_args = &config.cni_args.ips;
        let by_args = if by_args.is_empty() { &request.args.ips } else { by_args };
        let requested = by_args.iter().chain(&config.runtime.ips).map(|ip| ip.address).collect();
        let configured = Self::configure(Settings {
            network: &config.name,
            version: config.version,
            ipam,
            ip_ranges: config.runtime.ip_ranges.as_ref(),
            requested,
        });
        match configured {
            Err(error) if matches!(request.verb, Verb::Del | Verb::Gc) => {
                Self::for_release(&config.name, ipam).ok_or(error)
            }
            other => other,
        }
    }

    /// Reads and checks a configuration. Nothing is read from disk.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::Config`], [`Error::NoRanges`], [`Error::TooManySets`],
    /// [`Error::DataDir`].
    pub fn configure(settings: Settings<'_>) -> Result<Self, Error> {
        let mut keys = config::Keys::read(settings.ipam)?;
        let sets = keys.range_sets(settings.ip_ranges, settings.version)?;
        let mut requested: Vec<IpAddr> = Vec::with_capacity(settings.requested.len());
        for address in settings.requested.iter().map(IpAddr::to_canonical) {
            if !requested.contains(&address) {
                requested.push(address);
            }
        }
        Ok(Self {
            directory: directory_of(keys.data_dir.as_deref(), settings.network)?,
            sets,
            routes: keys.routes,
            resolv_conf: keys.resolv_conf.map(PathBuf::from),
            requested,
        })
    }

    /// The source of a configuration that is wrong, fit to release leases; none if not even their
    /// directory can be told.
    fn for_release(network: &str, ipam: &Value) -> Option<Self> {
        let data_dir = match member(ipam, "dataDir") {
            Some(data_dir) => Some(data_dir.as_str()?),
            None => None,
        };
        let directory = directory_of(data_dir.filter(|text| !text.is_empty()), network).ok()?;
        log::warn!("the ranges of {network} are wrong; going on without them, to release leases");
        Some(Self {
            directory,
            sets: Vec::new(),
            routes: Vec::new(),
            resolv_conf: None,
            requested: Vec::new(),
        })
    }

    /// Where the leases of the network are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The ranges that it leases from, one set for each address of an attachment.
    pub fn sets(&self) -> &[RangeSet] {
        &self.sets
    }

    /// Leases one address of each range set, or none at all. When a set is full, `abandoned` is
    /// asked of each of its leases, and those are released for which it is true.
    ///
    /// # Errors
    /// [`Error::AlreadyLeased`], [`Error::Taken`], [`Error::Outside`], [`Error::TwoOfOneSet`],
    /// [`Error::Exhausted`], [`Error::ResolvConf`], [`Error::NotADirectory`], [`Error::Io`].
    pub fn lease(
        &self,
        holder: Holder<'_>,
        abandoned: &mut dyn FnMut(Holder<'_>) -> bool,
    ) -> Result<Leased, Error> {
        let dns = self.dns()?;
        let requested = self.requested_by_set()?;
        let directory = Directory::make(&self.directory)?;
        let known = trusted_entries(&directory, holder)?;
        self.refuse_second(holder, known.iter().filter_map(|entry| entry.address))?;
        let mut leasing = Leasing::new(&directory, &self.sets, holder, &known);
        let mut ips = Vec::with_capacity(self.sets.len());
        for (number, (set, requested)) in self.sets.iter().zip(requested).enumerate() {
            match leasing.take(number, set, requested, abandoned) {
                Ok(address) => ips.extend(ip_config(set, address)),
                Err(error) => {
                    leasing.give_back();
                    return Err(error);
                }
            }
        }
        directory.mark();
        Ok(Leased { ips, routes: self.routes.clone(), dns })
    }

    /// What [`Self::lease`] would give now, if nothing had to be reclaimed. Writes nothing.
    ///
    /// # Errors
    /// As [`Self::lease`].
    pub fn preview(&self, holder: Holder<'_>) -> Result<Leased, Error> {
        let dns = self.dns()?;
        let requested = self.requested_by_set()?;
        let directory = Directory::look(&self.directory)?;
        if let Some(directory) = &directory {
            self.refuse_second(holder, held_in(directory, holder)?)?;
        }
        let mut ips = Vec::with_capacity(self.sets.len());
        for (number, (set, requested)) in self.sets.iter().zip(requested).enumerate() {
            let address = match (&directory, requested) {
                (None, Some(address)) => Some(address),
                (None, None) => first_of(set),
                (Some(directory), Some(address)) => {
                    if directory.exists(&address.to_string())? {
                        return Err(taken(directory, address));
                    }
                    Some(address)
                }
                (Some(directory), None) => match next_of(directory, number, set)? {
                    Some(address) => Some(address),
                    None => return Err(exhausted(directory, set)?),
                },
            };
            ips.extend(address.and_then(|address| ip_config(set, address)));
        }
        Ok(Leased { ips, routes: self.routes.clone(), dns })
    }

    /// Releases what the holder has, and tells what that was; nothing is fine.
    ///
    /// # Errors
    /// [`Error::NotADirectory`], [`Error::Io`].
    pub fn release(&self, holder: Holder<'_>) -> Result<Vec<IpAddr>, Error> {
        let Some(directory) = Directory::find(&self.directory)? else { return Ok(Vec::new()) };
        let released = release(&directory, &self.sets, holder)?;
        if !released.is_empty() {
            directory.mark();
        }
        Ok(released)
    }

    /// What the holder has. Writes nothing.
    ///
    /// # Errors
    /// [`Error::NotADirectory`], [`Error::Io`].
    pub fn held(&self, holder: Holder<'_>) -> Result<Vec<IpAddr>, Error> {
        match Directory::look(&self.directory)? {
            Some(directory) => held_in(&directory, holder),
            None => Ok(Vec::new()),
        }
    }

    /// Whether the holder has what it leased. Of leases that the reference plugin made it is known
    /// only whether there is any. Writes nothing.
    ///
    /// # Errors
    /// [`Error::Lost`], [`Error::NotHeld`], [`Error::NotADirectory`], [`Error::Io`].
    pub fn check(&self, holder: Holder<'_>) -> Result<(), Error> {
        let (container_id, ifname) = (holder.container_id.to_owned(), holder.ifname.to_owned());
        let not_held = Error::NotHeld {
            container_id: container_id.clone(),
            ifname: ifname.clone(),
            directory: self.directory.clone(),
        };
        let Some(directory) = Directory::look(&self.directory)? else { return Err(not_held) };
        let entries = index::entries(&directory, holder)?;
        if let Some(address) = entries.iter().find(|one| !one.is_true).and_then(|one| one.address) {
            return Err(Error::Lost { address, container_id, ifname });
        }
        if entries.is_empty() && held_in(&directory, holder)?.is_empty() {
            return Err(not_held);
        }
        Ok(())
    }

    /// Releases every lease whose holder is not valid, and lease files without contents. A lease
    /// that names a container ID alone, as early reference plugins wrote it, stays. Goes on after
    /// an error.
    ///
    /// # Errors
    /// [`Error::NotADirectory`], or the first [`Error::Io`].
    pub fn retain(&self, valid: &dyn Fn(Holder<'_>) -> bool) -> Result<Vec<Released>, Error> {
        let Some(directory) = Directory::find(&self.directory)? else { return Ok(Vec::new()) };
        let released =
            release_where(&directory, &self.sets, true, &mut |_, holder| !valid(holder))?;
        if !released.is_empty() {
            directory.mark();
        }
        Ok(released)
    }

    /// Whether every range set has a free address. Writes nothing.
    ///
    /// # Errors
    /// [`Error::Exhausted`], [`Error::NotADirectory`], [`Error::Io`].
    pub fn room(&self) -> Result<(), Error> {
        self.room_after_reclaim(&mut |_| false)
    }

    /// As [`Self::room`]; leases for which `abandoned` is true count as free, since
    /// [`Self::lease`] would reclaim them.
    ///
    /// # Errors
    /// As [`Self::room`].
    pub fn room_after_reclaim(
        &self,
        abandoned: &mut dyn FnMut(Holder<'_>) -> bool,
    ) -> Result<(), Error> {
        let Some(directory) = Directory::look(&self.directory)? else { return Ok(()) };
        for (number, set) in self.sets.iter().enumerate() {
            if next_of(&directory, number, set)?.is_some() {
                continue;
            }
            let mut is_reclaimable = false;
            rebuild::each_lease(&directory, &mut |address, claim| {
                is_reclaimable |= set.range_of(address).is_some_and(|_| match claim {
                    holder::Claim::Holder(holder) => !is_reclaimable && abandoned(holder),
                    holder::Claim::Nobody => true,
                    _ => false,
                });
            })?;
            if !is_reclaimable {
                return Err(exhausted(&directory, set)?);
            }
        }
        Ok(())
    }

    fn dns(&self) -> Result<Dns, Error> {
        let Some(path) = &self.resolv_conf else { return Ok(Dns::default()) };
        resolv_conf::read(path).map_err(|source| Error::ResolvConf { path: path.clone(), source })
    }

    /// The requested address of each set.
    fn requested_by_set(&self) -> Result<Vec<Option<IpAddr>>, Error> {
        let mut by_set = vec![None; self.sets.len()];
        for &address in &self.requested {
            let mut sets = self.sets.iter().zip(&mut by_set);
            let Some((set, of_set)) = sets.find(|(set, _)| set.range_of(address).is_some()) else {
                let ranges: Vec<String> = self.sets.iter().map(RangeSet::to_string).collect();
                return Err(Error::Outside { address, ranges: ranges.join(", ") });
            };
            refuse_barred(&self.sets, set, address)?;
            if let Some(first) = of_set.replace(address) {
                return Err(Error::TwoOfOneSet { first, second: address, ranges: set.to_string() });
            }
        }
        Ok(by_set)
    }

    fn refuse_second(
        &self,
        holder: Holder<'_>,
        held: impl IntoIterator<Item = IpAddr>,
    ) -> Result<(), Error> {
        let is_of_ours =
            |address: &IpAddr| self.sets.iter().any(|set| set.range_of(*address).is_some());
        match held.into_iter().find(is_of_ours) {
            Some(address) => Err(Error::AlreadyLeased {
                address,
                container_id: holder.container_id.to_owned(),
                ifname: holder.ifname.to_owned(),
            }),
            None => Ok(()),
        }
    }
}

fn directory_of(data_dir: Option<&str>, network: &str) -> Result<PathBuf, Error> {
    let data_dir = data_dir.unwrap_or(DATA_DIR);
    if !Path::new(data_dir).is_absolute() {
        return Err(Error::DataDir { given: data_dir.to_owned() });
    }
    Ok(Path::new(data_dir).join(network))
}

fn ip_config(set: &RangeSet, address: IpAddr) -> Option<IpConfig> {
    set.range_of(address).map(|range| range.ip_config(address))
}

/// The address that an untouched set begins with.
fn first_of(set: &RangeSet) -> Option<IpAddr> {
    set.ranges.iter().find_map(|range| range.next_allowed(0).map(|number| range.address(number)))
}

/// The free address that is next in a set; nothing is taken.
fn next_of(directory: &Directory, number: usize, set: &RangeSet) -> Result<Option<IpAddr>, Error> {
    let last = LastReserved::open(directory, number, false)?;
    let mut is_free = |address: IpAddr| Ok(!directory.exists(&address.to_string())?);
    Search::new(directory, set, false).run(last.address, &mut is_free)
}

/// What a holder has, without writing.
fn held_in(directory: &Directory, holder: Holder<'_>) -> Result<Vec<IpAddr>, Error> {
    if directory.hints().is_none() {
        return rebuild::leases_of(directory, holder);
    }
    let entries = index::entries(directory, holder)?;
    Ok(entries
        .iter()
        .filter(|entry| entry.is_true)
        .filter_map(|entry: &Entry| entry.address)
        .collect())
}

#[cfg(test)]
mod tests;
