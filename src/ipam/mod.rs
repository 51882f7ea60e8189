//! Address sources: host-local and static in this process, dhcp by its daemon, any other as a foreign
//! plugin.

pub mod host_local;
pub mod static_addresses;

use std::path::PathBuf;

use crate::delegate;
use crate::dhcp::asking::{self, Dhcp};
use crate::engine::Owner;
use crate::engine::node::LeaseKeeper;
use crate::protocol::request::Request;
use crate::protocol::result::{AddResult, Dns, IpConfig, Route};
use crate::protocol::{self, names};

use host_local::{Holder, HostLocal};
use static_addresses::StaticAddresses;

/// What an address source hands out.
#[derive(Debug, Clone, PartialEq)]
pub struct Leased {
    /// The source's type, such as "host-local".
    pub source: String,
    /// Addresses with gateways.
    pub ips: Vec<IpConfig>,
    /// Routes for the container.
    pub routes: Vec<Route>,
    /// Name resolution.
    pub dns: Dns,
}

/// A failure of an address source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// host-local failed.
    #[error(transparent)]
    HostLocal(#[from] host_local::Error),
    /// The dhcp daemon could not be asked, or refused.
    #[error(transparent)]
    Dhcp(#[from] asking::Error),
    /// static failed.
    #[error(transparent)]
    Static(#[from] static_addresses::Error),
    /// A foreign plugin failed.
    #[error(transparent)]
    Delegate(#[from] delegate::Error),
    /// A foreign plugin's result could not be read.
    #[error("IPAM plugin {plugin} gave a result that cannot be read: {source}")]
    Result {
        /// The plugin's type.
        plugin: String,
        /// What is wrong with it.
        source: protocol::error::Error,
    },
    /// The plugin's result holds no address.
    #[error("IPAM plugin {0} gave no address; for layer 2 only, attach without ipam")]
    NoAddress(String),
    /// The `ipam` section is wrong.
    #[error("ipam.type: {0}")]
    Type(String),
    /// A foreign plugin would have to run to know.
    #[error("what IPAM plugin {0} would give is known only by running it; nothing was run")]
    Unknown(String),
}

impl Error {
    /// Where in the configuration something is wrong, as a key's path, and what; `None` if the error
    /// is about something else.
    pub fn place(&self) -> Option<(String, String)> {
        use host_local::Error as Local;
        use static_addresses::Error as Fixed;
        let at = |path: &str| Some((path.to_owned(), self.to_string()));
        match self {
            Self::HostLocal(Local::Key(error)) | Self::Static(Fixed::Key(error)) => error.place(),
            Self::HostLocal(Local::Config { path, problem }) => {
                Some((path.clone(), problem.to_string()))
            }
            Self::HostLocal(Local::NoSection | Local::NoRanges) => at("ipam"),
            Self::HostLocal(Local::TooManySets { .. }) => at("ipam.ranges"),
            Self::HostLocal(Local::DataDir { .. }) => at("ipam.dataDir"),
            Self::HostLocal(Local::ResolvConf { .. }) => at("ipam.resolvConf"),
            Self::Static(Fixed::Value { field, problem }) => Some((field.clone(), problem.clone())),
            Self::Static(Fixed::TooMany { field, .. }) => at(field),
            Self::Dhcp(asking::Error::Wrong(wrong)) => {
                Some((wrong.field.clone(), wrong.problem.clone()))
            }
            Self::Delegate(_) | Self::Type(_) => at("ipam.type"),
            _ => None,
        }
    }
}

/// The address source of a configuration.
pub enum Source {
    /// Leases of this node's ranges, in this process.
    HostLocal(HostLocal),
    /// By the dhcp daemon.
    Dhcp(Dhcp),
    /// Addresses of the configuration, in this process.
    Static(StaticAddresses),
    /// A program found on CNI_PATH.
    Foreign {
        /// Its type.
        name: String,
        /// The program.
        program: PathBuf,
        /// The configuration, to be passed on unaltered.
        stdin: Vec<u8>,
    },
}

const HOST_LOCAL: &str = "host-local";
/// The source whose addresses the container itself may ask for, too.
pub const DHCP: &str = "dhcp";

/// Every source of this program's.
pub const SOURCES: [&str; 3] = [HOST_LOCAL, static_addresses::NAME, DHCP];

impl Source {
    /// The source that a configuration names; `None` when it has no `ipam` section.
    ///
    /// # Errors
    /// A wrong section, or a foreign plugin that is not on CNI_PATH.
    pub fn of(request: &Request) -> Result<Option<Self>, Error> {
        let Some(ipam) = &request.config.ipam else { return Ok(None) };
        let name =
            protocol::keys::member(ipam, "type").and_then(|name| name.as_str()).unwrap_or_default();
        if name == HOST_LOCAL {
            return HostLocal::of(request)
                .map(|source| Some(Self::HostLocal(source)))
                .map_err(Error::from);
        }
        if name == DHCP {
            return Ok(Some(Self::Dhcp(Dhcp::of(request)?)));
        }
        if name == static_addresses::NAME {
            return Ok(Some(Self::Static(StaticAddresses::of(request)?)));
        }
        names::plugin_type(name).map_err(|error| Error::Type(error.to_string()))?;
        Ok(Some(Self::Foreign {
            name: name.to_owned(),
            program: delegate::find(name, &request.path)?,
            stdin: request.config.bytes.clone(),
        }))
    }

    /// Its type.
    pub fn name(&self) -> &str {
        match self {
            Self::HostLocal(_) => HOST_LOCAL,
            Self::Dhcp(_) => DHCP,
            Self::Static(_) => static_addresses::NAME,
            Self::Foreign { name, .. } => name,
        }
    }

    /// Whether the container's interface must be there, and up, before addresses can be leased.
    pub fn needs_link(&self) -> bool {
        matches!(self, Self::Dhcp(_))
    }

    /// Whether it can be asked at all, before anything is made.
    ///
    /// # Errors
    /// That the dhcp daemon cannot be reached.
    pub fn reach(&self) -> Result<(), Error> {
        match self {
            Self::Dhcp(source) => Ok(source.reach()?),
            Self::HostLocal(_) | Self::Static(_) | Self::Foreign { .. } => Ok(()),
        }
    }

    /// Leases addresses. `abandoned` tells whether a lease's holder provably is nobody any more.
    ///
    /// # Errors
    /// [`host_local::Error`], what the dhcp daemon says, or the foreign plugin's error, whose DEL has
    /// been called then.
    pub fn lease(
        &self,
        owner: &Owner,
        abandoned: &mut dyn FnMut(Holder<'_>) -> bool,
    ) -> Result<Leased, Error> {
        match self {
            Self::HostLocal(source) => {
                let leased = source.lease(holder(owner), abandoned)?;
                Ok(Leased {
                    source: HOST_LOCAL.into(),
                    ips: leased.ips,
                    routes: leased.routes,
                    dns: leased.dns,
                })
            }
            Self::Dhcp(source) => {
                let answer = source.lease()?;
                Ok(Leased {
                    source: DHCP.into(),
                    ips: answer.ips,
                    routes: answer.routes,
                    dns: answer.dns,
                })
            }
            Self::Static(source) => Ok(of_configuration(source)),
            Self::Foreign { name, program, stdin } => {
                let value = delegate::add(program, stdin)?;
                let result = AddResult::read(&value).map_err(|source| {
                    let _ = delegate::del(program, stdin);
                    Error::Result { plugin: name.clone(), source }
                })?;
                Ok(Leased {
                    source: name.clone(),
                    ips: result.ips,
                    routes: result.routes,
                    dns: result.dns,
                })
            }
        }
    }

    /// What [`Self::lease`] would hand out, writing nothing.
    ///
    /// # Errors
    /// [`Error::Unknown`] for dhcp and foreign plugins; else as `lease`.
    pub fn preview(&self, owner: &Owner) -> Result<Leased, Error> {
        match self {
            Self::HostLocal(source) => {
                let leased = source.preview(holder(owner))?;
                Ok(Leased {
                    source: HOST_LOCAL.into(),
                    ips: leased.ips,
                    routes: leased.routes,
                    dns: leased.dns,
                })
            }
            Self::Static(source) => Ok(of_configuration(source)),
            Self::Dhcp(_) | Self::Foreign { .. } => Err(Error::Unknown(self.name().to_owned())),
        }
    }

    /// Gives back what the attachment holds; nothing is fine.
    ///
    /// # Errors
    /// The disk's, or the foreign plugin's.
    pub fn release(&self, owner: &Owner) -> Result<(), Error> {
        match self {
            Self::HostLocal(source) => Ok(source.release(holder(owner)).map(drop)?),
            Self::Dhcp(source) => Ok(source.release()?),
            Self::Static(_) => Ok(()),
            Self::Foreign { program, stdin, .. } => Ok(delegate::del(program, stdin)?),
        }
    }

    /// Whether the attachment holds its lease (CHECK).
    ///
    /// # Errors
    /// That it does not, or the foreign plugin's error.
    pub fn check(&self, owner: &Owner) -> Result<(), Error> {
        match self {
            Self::HostLocal(source) => Ok(source.check(holder(owner))?),
            Self::Dhcp(source) => Ok(source.check()?),
            Self::Static(source) => Ok(source.check()?),
            Self::Foreign { program, stdin, .. } => Ok(delegate::check(program, stdin)?),
        }
    }

    /// Releases every lease whose holder is not valid (GC).
    ///
    /// # Errors
    /// What could not be released.
    pub fn retain(&self, valid: &dyn Fn(Holder<'_>) -> bool) -> Result<(), Error> {
        match self {
            Self::HostLocal(source) => Ok(source.retain(valid).map(drop)?),
            Self::Dhcp(source) => Ok(source.retain()?),
            Self::Static(_) => Ok(()),
            Self::Foreign { program, stdin, .. } => Ok(delegate::gc(program, stdin)?),
        }
    }

    /// Whether there is an address left to hand out (STATUS), as far as can be known without asking
    /// for one; leases that ADD would reclaim since
    /// they are `abandoned` count as free.
    ///
    /// # Errors
    /// That there is none, or the foreign plugin's error.
    pub fn room(&self, abandoned: &mut dyn FnMut(Holder<'_>) -> bool) -> Result<(), Error> {
        match self {
            Self::HostLocal(source) => Ok(source.room_after_reclaim(abandoned)?),
            Self::Dhcp(source) => Ok(source.reach()?),
            Self::Static(_) => Ok(()),
            Self::Foreign { program, stdin, .. } => Ok(delegate::status(program, stdin)?),
        }
    }
}

fn of_configuration(source: &StaticAddresses) -> Leased {
    Leased {
        source: static_addresses::NAME.into(),
        ips: source.ips.clone(),
        routes: source.routes.clone(),
        dns: source.dns.clone(),
    }
}

/// The holder of an attachment's leases.
pub fn holder(owner: &Owner) -> Holder<'_> {
    Holder { container_id: &owner.container_id, ifname: &owner.ifname }
}

/// A source and the attachment it works for.
pub struct Keeper<'a> {
    /// The source.
    pub source: &'a Source,
    /// The attachment.
    pub owner: &'a Owner,
}

impl LeaseKeeper for Keeper<'_> {
    fn release(&self) -> Result<(), String> {
        self.source.release(self.owner).map_err(|error| error.to_string())
    }

    fn verify(&self) -> Result<(), String> {
        self.source.check(self.owner).map_err(|error| error.to_string())
    }
}
