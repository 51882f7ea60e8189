//! What is attached on this node, from everything that tells of it: causeway's own records, the
//! results that runtimes keep, host-local's leases, and the links and namespaces that are there.
//!
//! [`Sources`] is what was read, [`Inventory::join`] puts it together by owner (network, container ID
//! and interface), and is a pure function, so that it is tested from files. Nothing here writes.
//!
//! ```no_run
//! use causeway::inventory::{Inventory, Places};
//!
//! let inventory = Inventory::of_node(&Places::of_node(None)?)?;
//! for attachment in &inventory.attachments {
//!     println!("{} is {}", attachment.owner.text(), attachment.state);
//! }
//! # Ok::<(), causeway::inventory::Error>(())
//! ```

mod attachment;
mod join;
mod leases;
mod sources;

pub use attachment::{Attachment, HostLink, Life, State};
pub use leases::{Leak, Lease, NetworkLeases, RangeUse, Standing};
pub use sources::{Error, LeaseFolder, Places, Sources};

/// All attachments of a node.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The attachments, by network, container ID and interface.
    pub attachments: Vec<Attachment>,
    /// The leases of every network, by network.
    pub leases: Vec<NetworkLeases>,
    /// What could not be read or understood, in words with its path.
    pub problems: Vec<String>,
}

impl Inventory {
    /// Reads the node.
    ///
    /// # Errors
    /// [`Error`] when the kernel cannot be asked for links.
    pub fn of_node(places: &Places) -> Result<Self, Error> {
        let mut sources = Sources::read(places);
        sources.look_at_node()?;
        Ok(Self::join(sources))
    }

    /// Puts together what was read.
    pub fn join(sources: Sources) -> Self {
        join::join(sources)
    }

    /// The attachments whose container ID begins with `prefix`, or is it: then only those of exactly
    /// that container.
    pub fn of_container(&self, prefix: &str) -> Vec<&Attachment> {
        let all = self.attachments.iter();
        let exact: Vec<_> = all.clone().filter(|one| one.owner.container_id == prefix).collect();
        if !exact.is_empty() {
            return exact;
        }
        all.filter(|one| one.owner.container_id.starts_with(prefix)).collect()
    }
}
