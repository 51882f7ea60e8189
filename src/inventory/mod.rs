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

use std::path::Path;

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

    /// The attachments that a person means: of the container with that ID, of the pod `namespace/name`, of
    /// the containers whose ID begins so, of pods of that name in any namespace, or of the network
    /// namespace with that file name; the first of these that there is.
    pub fn called(&self, text: &str) -> Vec<&Attachment> {
        let by = |fits: &dyn Fn(&Attachment) -> bool| -> Vec<&Attachment> {
            self.attachments.iter().filter(|one| fits(one)).collect()
        };
        let of_pod = by(&|one| one.pod.as_deref() == Some(text));
        if !of_pod.is_empty() || text.is_empty() {
            return of_pod;
        }
        let of_container = self.of_container(text);
        if !of_container.is_empty() {
            return of_container;
        }
        let of_pod = by(&|one| {
            one.pod
                .as_deref()
                .and_then(|pod| pod.rsplit_once('/'))
                .is_some_and(|(_, name)| name == text)
        });
        if !of_pod.is_empty() {
            return of_pod;
        }
        by(&|one| one.netns.as_deref().and_then(Path::file_name).is_some_and(|name| name == text))
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
