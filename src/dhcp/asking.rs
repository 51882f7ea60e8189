//! The plugin's side: asking the daemon, our own or the reference's.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnetwork::IpNetwork;

use super::rpc::{self, ALLOCATE, Answer, CHECK, Client, CmdArgs, RELEASE, RETAIN, UNKNOWN};
use super::settings::{Settings, Wrong};
use crate::protocol::request::Request;

/// How long the daemon may take for anything but getting an address, for which it has its own limit.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why the daemon could not be asked, or what it answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key is wrong.
    #[error(transparent)]
    Wrong(#[from] Wrong),
    /// Nobody listens.
    #[error(
        "no dhcp daemon listens at {} ({source}); start it (causeway dhcp daemon, or the units cni-dhcp), or set \
         ipam.daemonSocketPath to where it listens",
        path.display()
    )]
    NoDaemon {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The socket is there and cannot be used.
    #[error("{}: cannot connect to the dhcp daemon: {source}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The daemon was asked and the connection failed.
    #[error("asking the dhcp daemon at {}: {source}", path.display())]
    Asking {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        source: rpc::Error,
    },
    /// The daemon refused.
    #[error("the dhcp daemon: {0}")]
    Refused(String),
    /// The attachment has another address than it was given.
    #[error("the lease is now of {now}, not of {given}")]
    Other {
        /// What prevResult says.
        given: String,
        /// What the daemon says.
        now: String,
    },
}

/// The address source of one request.
pub struct Dhcp {
    socket: PathBuf,
    args: CmdArgs,
    /// The addresses that prevResult gives the interface.
    given: Vec<IpNetwork>,
}

impl Dhcp {
    /// Reads the configuration.
    ///
    /// # Errors
    /// [`Error::Wrong`].
    pub fn of(request: &Request) -> Result<Self, Error> {
        let config = &request.config;
        let null = serde_json::Value::Object(Default::default());
        let settings = Settings::read(config.ipam.as_ref().unwrap_or(&null))?;
        // As it was written: what of it goes to the server is the configuration's to say.
        let args = std::env::var("CNI_ARGS").unwrap_or_default();
        settings.options(&args)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or(path.to_owned());
        let folders: Vec<_> = request.path.iter().map(|folder| text(folder)).collect();
        Ok(Self {
            socket: settings.socket,
            args: CmdArgs {
                container_id: request.container_id.clone(),
                netns: request
                    .netns
                    .as_deref()
                    .map(absolute)
                    .as_deref()
                    .map(text)
                    .unwrap_or_default(),
                ifname: request.ifname.clone(),
                args,
                path: folders.join(":"),
                stdin: config.bytes.clone(),
            },
            given: given(request),
        })
    }

    /// Whether the daemon can be asked, before anything is made that it would be asked about.
    ///
    /// # Errors
    /// [`Error::NoDaemon`], [`Error::Connect`], or that it is something else.
    pub fn reach(&self) -> Result<(), Error> {
        self.connect(Some(PATIENCE)).map(drop)
    }

    /// Gets an address for the interface, which must be there.
    ///
    /// # Errors
    /// [`Error::Refused`] with what was sent and heard; else as [`Self::reach`].
    pub fn lease(&self) -> Result<Answer, Error> {
        self.call(ALLOCATE, None)
    }

    /// Gives the address back. Without a daemon nobody keeps a lease up, and one that starts later
    /// finds the interface gone; so that is no error.
    ///
    /// # Errors
    /// As [`Self::reach`], but [`Error::NoDaemon`].
    pub fn release(&self) -> Result<(), Error> {
        match self.call(RELEASE, Some(PATIENCE)) {
            Err(error @ Error::NoDaemon { .. }) => {
                log::warn!("the lease runs out by itself: {error}");
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Whether the attachment holds the address that it was given. The reference's daemon can only be
    /// asked by asking for an address, so one that was lost is got anew and compared.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is none, [`Error::Other`].
    pub fn check(&self) -> Result<(), Error> {
        let answer = match self.call(CHECK, Some(PATIENCE)) {
            Err(Error::Refused(said)) if said.starts_with(UNKNOWN) => self.lease()?,
            other => other?,
        };
        let now: Vec<_> = answer.ips.iter().map(|ip| ip.address).collect();
        if self.given.is_empty() || now.iter().any(|address| self.given.contains(address)) {
            return Ok(());
        }
        let words = |list: &[IpNetwork]| {
            list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
        };
        Err(Error::Other { given: words(&self.given), now: words(&now) })
    }

    /// Has the daemon give back what no valid attachment holds. The reference's daemon cannot.
    ///
    /// # Errors
    /// As [`Self::release`].
    pub fn retain(&self) -> Result<(), Error> {
        match self.call(RETAIN, Some(PATIENCE)) {
            Err(Error::Refused(said)) if said.starts_with(UNKNOWN) => {
                log::warn!("the dhcp daemon is one that collects nothing");
                Ok(())
            }
            Err(error @ Error::NoDaemon { .. }) => {
                log::warn!("nothing to collect: {error}");
                Ok(())
            }
            other => other.map(drop),
        }
    }

    fn connect(&self, patience: Option<Duration>) -> Result<Client<UnixStream>, Error> {
        let path = || self.socket.clone();
        let stream = UnixStream::connect(&self.socket).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Error::NoDaemon { path: path(), source }
            }
            _ => Error::Connect { path: path(), source },
        })?;
        let asking = |source| Error::Asking { path: path(), source };
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| asking(error.into()))?;
        let limit = stream.try_clone().map_err(|error| asking(error.into()))?;
        let client = Client::open(stream).map_err(asking)?;
        limit.set_read_timeout(patience).map_err(|error| asking(error.into()))?;
        Ok(client)
    }

    fn call(&self, method: &str, patience: Option<Duration>) -> Result<Answer, Error> {
        let answer = self.connect(patience)?.call(method, &self.args);
        answer.map_err(|error| match error {
            rpc::Error::Refused(said) => Error::Refused(said),
            source => Error::Asking { path: self.socket.clone(), source },
        })
    }
}

fn given(request: &Request) -> Vec<IpNetwork> {
    let Some(result) = &request.config.prev_result else { return Vec::new() };
    let is_ours = |index: Option<usize>| {
        index
            .and_then(|index| result.interfaces.get(index))
            .is_none_or(|interface| interface.name == request.ifname)
    };
    let ips = result.ips.iter().filter(|ip| ip.address.is_ipv4() && is_ours(ip.interface));
    ips.map(|ip| ip.address).collect()
}
