//! One file, or folder, per plugin type: configuration in, plan out.
//!
//! A plugin never writes to the kernel. It reads facts and gives a plan; [`call`] has the four
//! verbs, written once for all of them.

pub mod bridge;
pub mod call;
pub mod error;
pub mod host_local;
pub mod loopback;
pub mod stale;

use crate::engine::{Node, Owner, Resource};
use crate::ipam::Leased;
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

pub use call::Deliver;
pub use error::Error;

/// The program's own name, which as a type stands for the first of [`TYPES`].
pub const SELF: &str = "causeway";

/// What an ADD would make and report.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The resources in order of making.
    pub resources: Vec<Resource>,
    /// The result. Hardware addresses and MTUs of links on the host, which the kernel chooses, are
    /// filled in when they are made.
    pub result: AddResult,
}

/// A plugin type.
pub trait Plugin: Sized {
    /// The `type` it answers to, and its name in records.
    const TYPE: &'static str;
    /// Whether it makes the container's interface. Then the container's namespace is locked during
    /// a call, and an attachment without an interface is known to be one that was not finished. An
    /// IPAM plugin runs below another program's plugin, which may hold that lock.
    const MAKES_LINKS: bool;
    /// What its plan depends on.
    type Facts;

    /// Reads and checks the plugin's own configuration keys.
    ///
    /// # Errors
    /// A wrong key or value, named.
    fn configure(request: &Request) -> Result<Self, Error>;

    /// Whether an `ipam` section is this plugin's business.
    fn uses_ipam(&self) -> bool;

    /// Reads the facts for an ADD. Nothing of the attachment may be there yet.
    ///
    /// # Errors
    /// A refusal, or [`Error::AlreadyAttached`].
    fn observe(
        &self,
        request: &Request,
        owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<Self::Facts, Error>;

    /// The facts as prevResult tells them, for a CHECK.
    ///
    /// # Errors
    /// [`Error::Foreign`] when it is another attachment's result.
    fn attached(&self, request: &Request, result: &AddResult) -> Result<Self::Facts, Error>;

    /// The plan: a pure function of its arguments.
    ///
    /// # Errors
    /// What makes the configuration impossible.
    fn plan(
        &self,
        request: &Request,
        owner: &Owner,
        facts: &Self::Facts,
        lease: Option<&Leased>,
    ) -> Result<Plan, Error>;

    /// What an attachment may have left that there is no record of, but for rules and leases, which
    /// are found by their owner. Removing these must harm nobody else. The first is removed also
    /// when there is a record.
    fn traces(&self, request: &Request, owner: &Owner) -> Vec<Resource>;

    /// Whether attachments have nftables elements, for GC and STATUS.
    fn uses_rules(&self) -> bool;
}

/// A plugin type with its entry points.
pub struct Type {
    /// The type's name.
    pub name: &'static str,
    /// Carries a request out.
    pub run: fn(&Request, &mut dyn Deliver) -> Result<(), Error>,
    /// Makes the plan of an ADD, and nothing else.
    pub explain: fn(&Request) -> Result<Plan, Error>,
}

const fn of<P: Plugin>() -> Type {
    Type { name: P::TYPE, run: call::run::<P>, explain: call::explain::<P> }
}

/// Every plugin type that this program answers to.
pub static TYPES: [Type; 3] =
    [of::<bridge::Bridge>(), of::<host_local::HostLocalPlugin>(), of::<loopback::Loopback>()];

/// The plugin type for a call under a program name, with the configuration's `type`.
///
/// The name counts, since a delegated IPAM plugin gets the configuration of the plugin above it;
/// only under its own or an unknown name does the program look at `type`.
///
/// # Errors
/// [`Error::Config`] when neither is a plugin type of this program.
pub fn named(program: &str, plugin_type: &str) -> Result<&'static Type, Error> {
    let find = |name: &str| TYPES.iter().find(|known| known.name == name);
    let own = || TYPES.first().filter(|_| plugin_type == SELF);
    find(program).or_else(|| find(plugin_type)).or_else(own).ok_or_else(|| {
        let known: Vec<_> = TYPES.iter().map(|known| known.name).collect();
        Error::config(
            "type",
            format!(
                "\"{plugin_type}\", called as {program}, is no plugin of this program; it has {} and {SELF}",
                known.join(", ")
            ),
        )
    })
}
