//! One file, or folder, per plugin type: configuration in, plan out.
//!
//! A plugin never writes to the kernel for an ADD. It reads facts and gives a plan; [`call`] has the
//! verbs, written once for all of them, and for one plugin as for a [`chain`] of several.

mod addresses;
mod attach;
mod attached;
pub mod bandwidth;
pub mod bridge;
pub mod call;
pub mod chain;
mod collect;
pub mod container_link;
#[cfg(test)]
mod container_link_tests;
mod detach;
pub mod dhcp;
pub mod dummy;
pub mod error;
pub mod firewall;
pub mod host_device;
pub mod host_local;
mod inside;
pub mod ipvlan;
mod limits;
pub mod loopback;
pub mod macvlan;
pub mod master;
pub mod pair;
pub mod portmap;
pub mod ptp;
mod requested_mac;
pub mod sbr;
pub mod slaac;
pub mod static_addresses;
pub mod step;
pub mod tap;
pub mod tuning;
pub mod vlan;
pub mod vrf;

use crate::engine::{Node, Owner, Resource};
use crate::ipam::Leased;
use crate::kernel::privileges::Children;
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

pub use call::Deliver;
pub use error::Error;
pub use step::Step;

/// The program's own name, which as a type stands for the first of [`TYPES`].
pub const SELF: &str = "causeway";

/// What an ADD would make and report.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The resources in order of making.
    pub resources: Vec<Resource>,
    /// The result; of a chained plugin the one before, changed where it must be. Hardware addresses
    /// and MTUs of new links on the host, which the kernel chooses, are filled in when they are
    /// made.
    pub result: AddResult,
}

/// What a plugin is to an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It makes the container's interface. The container's namespace is locked during a call, and an
    /// attachment without an interface is known to be one that was not finished.
    Interface,
    /// It changes what a plugin before it in the chain has made, and so needs that one's result at
    /// ADD and CHECK.
    Chained,
    /// It hands out addresses, below another program's plugin, which may hold the namespace's lock.
    Addresses,
    /// It brings up what every namespace has, and leaves nothing on the host.
    Loopback,
}

/// What a plan builds on, besides the facts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given<'a> {
    /// The addresses leased for it; `None` without an address source.
    pub lease: Option<&'a Leased>,
    /// The result before it: prevResult, or what the entries before it in the same call would
    /// report. Always there for [`Role::Chained`].
    pub previous: Option<&'a AddResult>,
    /// What the entries before it in the same call will have made by then.
    pub planned: &'a [Resource],
}

impl Given<'_> {
    /// The name of the host's end of the container's interface, if that is made in the same call.
    pub fn host_link(&self, ifname: &str) -> Option<&str> {
        self.planned.iter().find_map(|resource| match resource {
            Resource::Veth(veth) if veth.pod == ifname => Some(veth.host.as_str()),
            Resource::Netkit(pair) if pair.pod == ifname => Some(pair.host.as_str()),
            _ => None,
        })
    }

    /// Whether the container's interface is made in the same call, or may be by a foreign plugin.
    pub fn may_make(&self, ifname: &str) -> bool {
        self.host_link(ifname).is_some()
            || self.planned.iter().any(|resource| match resource {
                Resource::ContainerLink(link) => link.name == ifname,
                Resource::HostDevice(device) => device.pod == ifname,
                Resource::Tap(tap) => tap.name == ifname,
                Resource::Foreign(_) => true,
                _ => false,
            })
    }
}

/// A plugin type.
pub trait Plugin: Sized {
    /// The `type` it answers to, and its name in records.
    const TYPE: &'static str;
    /// What it is to an attachment.
    const ROLE: Role;
    /// What its plan depends on.
    type Facts;

    /// Reads and checks the plugin's own configuration keys.
    ///
    /// # Errors
    /// A wrong key or value, named.
    fn configure(request: &Request) -> Result<Self, Error>;

    /// Whether an `ipam` section is this plugin's business.
    fn uses_ipam(&self) -> bool {
        false
    }

    /// What the programs need that it runs.
    fn children(&self) -> Children {
        Children::Modest
    }

    /// Reads the facts for an ADD, before anything is changed. Nothing of the attachment may be
    /// there yet but what prevResult tells; as part of a fused chain, not even that.
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
        given: &Given<'_>,
    ) -> Result<Plan, Error>;

    /// What an attachment may have left that there is no record of, but for rules and leases, which
    /// are found by their owner. Removing these must harm nobody else. The first of an
    /// [`Role::Interface`] is removed also when there is a record.
    fn traces(&self, request: &Request, owner: &Owner) -> Vec<Resource>;

    /// Removes what only marks of the owner, or names that the reference plugins use, tell to be the
    /// attachment's: for DEL when there is no record.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn remove_unrecorded(
        &self,
        _request: &Request,
        _owner: &Owner,
        _node: &mut Node<'_>,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// Removes what is marked with an owner that is stale, for GC; records and leases are collected
    /// by the caller.
    ///
    /// # Errors
    /// What could not be removed.
    fn collect(
        &self,
        _request: &Request,
        _node: &mut Node<'_>,
        _is_stale: &dyn Fn(&str) -> bool,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// Whether the node has what an ADD needs, for STATUS.
    ///
    /// # Errors
    /// What is missing.
    fn probe(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }
}

/// A plugin type with the way to it.
pub struct Type {
    /// The type's name.
    pub name: &'static str,
    /// What it is to an attachment.
    pub role: Role,
    /// Reads the configuration of a request.
    open: for<'r> fn(&'r Request) -> Result<Box<dyn Step + 'r>, Error>,
}

const fn of<P: Plugin + 'static>() -> Type
where
    P::Facts: 'static,
{
    Type { name: P::TYPE, role: P::ROLE, open: step::open::<P> }
}

/// Every plugin type that this program answers to.
pub static TYPES: [Type; 19] = [
    of::<bridge::Bridge>(),
    of::<macvlan::Macvlan>(),
    of::<ipvlan::Ipvlan>(),
    of::<vlan::Vlan>(),
    of::<dummy::Dummy>(),
    of::<host_local::HostLocalPlugin>(),
    of::<dhcp::DhcpPlugin>(),
    of::<loopback::Loopback>(),
    of::<portmap::Portmap>(),
    of::<firewall::Firewall>(),
    of::<bandwidth::Bandwidth>(),
    of::<tuning::Tuning>(),
    of::<sbr::Sbr>(),
    of::<static_addresses::StaticPlugin>(),
    of::<ptp::Ptp>(),
    of::<ptp::Netkit>(),
    of::<host_device::HostDevicePlugin>(),
    of::<tap::TapPlugin>(),
    of::<vrf::VrfPlugin>(),
];

/// The plugin type of this name.
pub fn find(name: &str) -> Option<&'static Type> {
    TYPES.iter().find(|known| known.name == name)
}

/// The plugin type for a call under a program name, with the configuration's `type`.
///
/// The name counts, since a delegated IPAM plugin gets the configuration of the plugin above it;
/// only under its own or an unknown name does the program look at `type`.
///
/// # Errors
/// [`Error::Config`] when neither is a plugin type of this program.
pub fn named(program: &str, plugin_type: &str) -> Result<&'static Type, Error> {
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
