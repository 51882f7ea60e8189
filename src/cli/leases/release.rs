//! `causeway leases release`: giving addresses back by hand, but not from under anybody.

use crate::exit_code::ExitCode;
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::super::attach::conf_dir;
use super::super::error::Error;
use super::super::output::{self, tell};
use crate::inventory::{Inventory, Lease, NetworkLeases, Places, Standing};
use crate::ipam::host_local;
use crate::kernel::netlink::RouteSocket;
use crate::kernel::netns::{self, DIRECTORY, Namespace};
use crate::kernel::{addr, link};

/// Give leases back that nobody holds
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  causeway leases release 10.88.0.7 10.88.0.9
  causeway leases release --leaked --network pods
  causeway leases release --leaked -n     only say what would be released

A lease whose holder is attached is not released: detach it instead. Nor is one whose address some
namespace on this node has. --force does both; then two containers may get one address.")]
pub(super) struct Release {
    /// The addresses
    #[arg(value_name = "ADDRESS", required_unless_present = "leaked")]
    addresses: Vec<IpAddr>,
    /// Every lease that nobody holds
    #[arg(long, conflicts_with = "addresses")]
    leaked: bool,
    /// Only of one network; needed when two have the address
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Also when the holder is attached, or a namespace has the address
    #[arg(long, conflicts_with = "leaked")]
    force: bool,
    /// Only say what would be released
    #[arg(long, short = 'n')]
    dry_run: bool,
}

impl Release {
    /// Releases. Nothing is released if one of the named addresses must not be.
    ///
    /// # Errors
    /// [`Error`].
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let inventory = Inventory::of_node(&Places::of_node(Some(&conf_dir()?))?)?;
        let in_use = if self.force { BTreeMap::new() } else { addresses_in_use() };
        let mut refused = 0;
        for (network, lease) in self.choose(&inventory, &in_use)? {
            let (address, name) = (lease.stored.address, &network.network);
            let holder = holder_of(lease);
            // Named addresses have been refused by now.
            if let Some(place) = in_use.get(&address) {
                let place = place.clone();
                tell(&Error::InUse { address, network: name.clone(), place }.to_string());
                refused += 1;
                continue;
            }
            if self.dry_run {
                output::print(&format!("would release {address} of {name}, {holder}\n"))?;
            } else if host_local::give_back(&network.path, &lease.stored)? {
                output::print(&format!("released {address} of {name}, {holder}\n"))?;
            } else {
                tell(&format!(
                    "{address} of {name} has changed in the meantime and was left alone"
                ));
                refused += 1;
            }
        }
        Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn choose<'i>(
        &self,
        inventory: &'i Inventory,
        in_use: &BTreeMap<IpAddr, PathBuf>,
    ) -> Result<Vec<(&'i NetworkLeases, &'i Lease)>, Error> {
        let is_wanted =
            |one: &&NetworkLeases| self.network.as_ref().is_none_or(|name| one.network == *name);
        let networks = inventory.leases.iter().filter(is_wanted);
        let all: Vec<_> = networks
            .flat_map(|network| network.leases.iter().map(move |lease| (network, lease)))
            .collect();
        if self.leaked {
            let leaked = all.into_iter().filter(|(_, lease)| super::is_leaked(lease));
            return Ok(leaked.collect());
        }
        let mut chosen = Vec::new();
        for &address in &self.addresses {
            let found: Vec<_> =
                all.iter().filter(|(_, lease)| lease.stored.address == address).copied().collect();
            match found.as_slice() {
                [] => return Err(Error::NotLeased(address)),
                [(network, lease)] => {
                    if lease.standing == Standing::Held && !self.force {
                        return Err(Error::Held {
                            address,
                            network: network.network.clone(),
                            holder: holder_of(lease),
                        });
                    }
                    if let Some(place) = in_use.get(&address) {
                        let (network, place) = (network.network.clone(), place.clone());
                        return Err(Error::InUse { address, network, place });
                    }
                    chosen.push((*network, *lease));
                }
                several => {
                    let networks = several.iter().map(|(network, _)| network.network.clone());
                    return Err(Error::SeveralNetworks { address, networks: networks.collect() });
                }
            }
        }
        Ok(chosen)
    }
}

fn holder_of(lease: &Lease) -> String {
    match &lease.owner {
        Some(owner) if owner.ifname.is_empty() => format!("held by {}", owner.container_id),
        Some(owner) => format!("held by {}/{}", owner.container_id, owner.ifname),
        None => "held by nobody".to_owned(),
    }
}

/// Every address that an interface of any namespace of this node has, with the namespace's path. Those
/// that cannot be entered are left out: then nobody but root is asking, who cannot release either.
fn addresses_in_use() -> BTreeMap<IpAddr, PathBuf> {
    let mut namespaces: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for entry in netns::list(DIRECTORY.as_ref()).unwrap_or_default() {
        if let Some(inode) = entry.inode {
            namespaces.entry(inode).or_insert(entry.path);
        }
    }
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path().join("ns/net");
        let inode = fs::read_link(&path).ok().and_then(|to| inode_of(to.to_str()?));
        if let Some(inode) = inode {
            namespaces.entry(inode).or_insert(path);
        }
    }
    let mut found = BTreeMap::new();
    for path in namespaces.into_values() {
        let inside =
            Namespace::open(&path).and_then(|namespace| namespace.enter(RouteSocket::open));
        let Ok(Ok(mut socket)) = inside else { continue };
        for one in link::list(&mut socket).unwrap_or_default() {
            for address in addr::list(&mut socket, one.index).unwrap_or_default() {
                found.entry(address.network.ip()).or_insert_with(|| path.clone());
            }
        }
    }
    found
}

/// The number of `net:[4026531840]`.
fn inode_of(text: &str) -> Option<u64> {
    text.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}
