//! Why a command about attachments or leases failed.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::engine::Owner;
use crate::ipam::host_local;
use crate::kernel;
use crate::kernel::netns;
use crate::libcni::{self, ConfError};
use crate::{inventory, protocol};

/// The failure; its text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// A plugin, or what is kept of results.
    #[error(transparent)]
    Runtime(#[from] libcni::Error),
    /// The namespace cannot be made, opened or deleted.
    #[error("{0}")]
    Namespace(#[from] netns::Error),
    /// The kernel refused to be asked.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// What is attached cannot be read.
    #[error(transparent)]
    Inventory(#[from] inventory::Error),
    /// The result cannot be printed in the network's version.
    #[error(transparent)]
    Result(#[from] protocol::error::Error),
    /// A variable of the environment has a value that cannot be.
    #[error("{name}: {problem}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// `pid:` is not followed by a number.
    #[error(transparent)]
    Process(#[from] super::netns::NoProcess),
    /// No network of this node is called so.
    #[error("no network of this node is called {name:?}; {}", networks(known))]
    NoSuchNetwork {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// `new` where only what is there can be meant.
    #[error("a namespace that is new has no attachments; give its name, which attach has said")]
    New,
    /// The attachment is there already.
    #[error(
        "{} is attached already, says {}; detach it first, or give another --ifname",
        owner.text(), path.display()
    )]
    AlreadyAttached {
        /// The attachment.
        owner: Owner,
        /// The kept result.
        path: PathBuf,
    },
    /// The container has an interface of that name.
    #[error("{netns} has an interface {ifname} already; give another --ifname", netns = netns.display())]
    Occupied {
        /// The namespace.
        netns: PathBuf,
        /// The interface.
        ifname: String,
    },
    /// Nothing tells of the attachment.
    #[error(
        "nothing is known of an attachment {}; `causeway list` shows those that there are{hint}", owner.text()
    )]
    NotAttached {
        /// The attachment.
        owner: Owner,
        /// What more to say.
        hint: &'static str,
    },
    /// --delete-netns for something else than a name.
    #[error("{0} is not below /run/netns, so it is not deleted; leave --delete-netns out")]
    NotByName(String),
    /// No attachment of that ID.
    #[error("no container's ID begins with {0:?}, and no pod is called so; see `causeway list`")]
    Unknown(String),
    /// Several containers of that ID.
    #[error("{id:?} may be {}; write more of it", ids.join(", "))]
    Ambiguous {
        /// What was given.
        id: String,
        /// The container IDs that begin so.
        ids: Vec<String>,
    },
    /// Leases cannot be given back.
    #[error(transparent)]
    Leases(#[from] host_local::Error),
    /// No network of that name has leases or ranges.
    #[error("host-local has neither leases nor ranges of a network called {0:?}")]
    NoLeases(String),
    /// No lease of that address.
    #[error("{0} is not leased; `causeway leases` shows what is")]
    NotLeased(IpAddr),
    /// A lease whose holder is attached.
    #[error(
        "{address} of {network} is {holder}, which is attached: detach it (`causeway detach`), and the \
         lease goes with it; nothing was released"
    )]
    Held {
        /// The address.
        address: IpAddr,
        /// The network.
        network: String,
        /// Whose it is.
        holder: String,
    },
    /// An address that is somewhere on the node.
    #[error(
        "{address} of {network} is in use: an interface in {} has it; it was not released", place.display()
    )]
    InUse {
        /// The address.
        address: IpAddr,
        /// The network.
        network: String,
        /// The namespace.
        place: PathBuf,
    },
    /// An address that two networks have leased.
    #[error("{address} is leased in {}; say which with --network", networks.join(" and "))]
    SeveralNetworks {
        /// The address.
        address: IpAddr,
        /// The networks.
        networks: Vec<String>,
    },
    /// SVG would fill the terminal.
    #[error(
        "a picture is nothing for a terminal: give -o node.svg, or --format mermaid to read it"
    )]
    PictureOnTerminal,
    /// The file that was asked for.
    #[error("{}: cannot write: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Stdout.
    #[error("cannot write to stdout: {0}")]
    Stdout(#[from] io::Error),
}

fn networks(known: &[String]) -> String {
    if known.is_empty() { "there are none".into() } else { format!("it has {}", known.join(", ")) }
}
