//! What host-local can fail with.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::protocol;
use crate::protocol::version::Version;

pub use super::problem::Problem;

/// A failure of host-local.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no `ipam` section.
    #[error("network configuration, `ipam`: is missing; host-local reads its ranges there")]
    NoSection,
    /// A key has a value of the wrong type or form.
    #[error(transparent)]
    Key(#[from] protocol::error::Error),
    /// A key has a value that cannot be.
    #[error("network configuration, `{path}`: {problem}")]
    Config {
        /// The key's path, such as `ipam.ranges[1][0].rangeEnd`.
        path: String,
        /// What is wrong with it, and what to do.
        problem: Problem,
    },
    /// There is nothing to lease from.
    #[error(
        "network configuration, `ipam`: there are no ranges to lease from; set `subnet`, or `ranges`"
    )]
    NoRanges,
    /// Results before 0.3.0 have one address of each family.
    #[error(
        "network configuration, `ipam.ranges`: cniVersion {version} knows one {family} address of an attachment, but there are {sets} {family} range sets; use cniVersion 0.3.0 or later, or put the ranges into one set"
    )]
    TooManySets {
        /// The configuration's version.
        version: Version,
        /// "IPv4" or "IPv6".
        family: &'static str,
        /// How many sets there are.
        sets: usize,
    },
    /// `dataDir` is not absolute.
    #[error("network configuration, `ipam.dataDir`: must be an absolute path, but is {given:?}")]
    DataDir {
        /// The offending path.
        given: String,
    },
    /// The file that `resolvConf` names cannot be read.
    #[error("network configuration, `ipam.resolvConf`: cannot read {}: {source}", path.display())]
    ResolvConf {
        /// The file.
        path: PathBuf,
        /// The file operation's error.
        source: io::Error,
    },
    /// Something else is where the leases of the network should be.
    #[error(
        "{} is a symbolic link or no directory; leases are kept only in a real directory, so move it away, or set `ipam.dataDir` to another place",
        path.display()
    )]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{}: cannot {doing}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The file operation's error.
        source: io::Error,
    },
    /// A range set has no free address.
    #[error(
        "no address is free in {ranges}: {} holds {leases} leases of it; widen the range, or release leases that nobody uses any more (GC)",
        directory.display()
    )]
    Exhausted {
        /// The set's ranges.
        ranges: String,
        /// Where the leases are.
        directory: PathBuf,
        /// How many leases of the set there are.
        leases: usize,
    },
    /// A requested address cannot be had.
    #[error("the requested address {address} {why}; request another, or none")]
    Taken {
        /// The address.
        address: IpAddr,
        /// Why not.
        why: Hindrance,
    },
    /// A requested address is in no range.
    #[error(
        "the requested address {address} is in none of the ranges: {ranges}; request one of those, or none"
    )]
    Outside {
        /// The address.
        address: IpAddr,
        /// Every range.
        ranges: String,
    },
    /// Two addresses of one range set are requested, and each set gives one.
    #[error(
        "the requested addresses {first} and {second} are both of {ranges}, which gives an attachment one address; request one of them, or put the ranges into sets of their own"
    )]
    TwoOfOneSet {
        /// The one.
        first: IpAddr,
        /// The other.
        second: IpAddr,
        /// The set's ranges.
        ranges: String,
    },
    /// The attachment holds an address of these ranges already (spec 1.1.0, section 2, "ADD":
    /// not twice without a DEL between).
    #[error(
        "container {container_id} already holds {address} for {ifname}; release it first (DEL)"
    )]
    AlreadyLeased {
        /// The address.
        address: IpAddr,
        /// The container ID.
        container_id: String,
        /// The interface's name.
        ifname: String,
    },
    /// The attachment holds nothing.
    #[error("container {container_id} holds no lease for {ifname} in {}", directory.display())]
    NotHeld {
        /// The container ID.
        container_id: String,
        /// The interface's name.
        ifname: String,
        /// Where it would be.
        directory: PathBuf,
    },
    /// The attachment held an address and does not any more.
    #[error(
        "{address}, which container {container_id} leased for {ifname}, is not its lease any more"
    )]
    Lost {
        /// The address.
        address: IpAddr,
        /// The container ID.
        container_id: String,
        /// The interface's name.
        ifname: String,
    },
}

/// Why a requested address cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    /// It is the gateway of a range.
    Gateway,
    /// It is in `exclude`.
    Excluded,
    /// Somebody has it; the container ID, if the lease names one.
    Leased(Option<String>),
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway => f.write_str("is a gateway"),
            Self::Excluded => f.write_str("is excluded by `exclude`"),
            Self::Leased(Some(container_id)) => write!(f, "is leased to container {container_id}"),
            Self::Leased(None) => f.write_str("is leased"),
        }
    }
}
