//! `host-device`: a device of the host that the container has for itself.

mod lookup;
mod planning;
#[cfg(test)]
mod planning_tests;
pub mod settings;

use crate::engine::resource::Kind as _;
use crate::engine::resource::host_device::HostDevice;
use crate::engine::{Node, Owner, Resource};
use crate::kernel::link::{self, Device};
use crate::kernel::sysfs::Sysfs;
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;

use super::{Error, Given, Plan, Plugin, Role, attached};
use settings::Settings;

/// The plugin with its checked configuration.
pub struct HostDevicePlugin {
    settings: Settings,
}

/// What the plan depends on.
#[derive(Debug, Clone, PartialEq)]
pub enum Facts {
    /// The device is on the host.
    OnHost {
        /// The device.
        device: Box<Device>,
        /// The inode number of the container's namespace.
        namespace: u64,
        /// Its PCI address; empty when it is no PCI device.
        pci: String,
    },
    /// A program in user space drives the device.
    UserSpace {
        /// Its PCI address.
        pci: String,
    },
    /// The device is in the container, as prevResult tells.
    Attached {
        /// Its hardware address in colon form, or empty.
        mac: String,
    },
}

impl Facts {
    /// The PCI address of the device; empty when it is none of PCI.
    fn pci(&self) -> String {
        match self {
            Self::OnHost { pci, .. } | Self::UserSpace { pci } => pci.clone(),
            Self::Attached { .. } => String::new(),
        }
    }
}

impl Plugin for HostDevicePlugin {
    const TYPE: &'static str = "host-device";
    const ROLE: Role = Role::Interface;
    type Facts = Facts;

    fn configure(request: &Request) -> Result<Self, Error> {
        Ok(Self { settings: Settings::read(request)? })
    }

    fn uses_ipam(&self) -> bool {
        true
    }

    fn observe(
        &self,
        request: &Request,
        _owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<Facts, Error> {
        Facts::observe(&self.settings, request, node)
    }

    fn attached(&self, request: &Request, result: &AddResult) -> Result<Facts, Error> {
        let interface = attached::interface(request, result)?;
        match lookup::in_user_space(&self.settings, &Sysfs::default())? {
            Some(pci) => Ok(Facts::UserSpace { pci }),
            None => Ok(Facts::Attached { mac: interface.mac.clone() }),
        }
    }

    fn plan(
        &self,
        request: &Request,
        _owner: &Owner,
        facts: &Facts,
        given: &Given<'_>,
    ) -> Result<Plan, Error> {
        planning::plan(request, facts, given.lease)
    }

    /// None: the interface in the container must not be removed but brought back.
    fn traces(&self, _request: &Request, _owner: &Owner) -> Vec<Resource> {
        Vec::new()
    }

    fn remove_unrecorded(
        &self,
        request: &Request,
        _owner: &Owner,
        node: &mut Node<'_>,
    ) -> Result<(), Error> {
        let by_alias = HostDevice { pod: request.ifname.clone(), ..HostDevice::default() };
        by_alias.remove(node)?;
        let Some(pod) = node.pod.as_mut() else { return Ok(()) };
        // What has no alias no plugin has moved there, unless it was taken away since. A virtual link
        // is most likely another plugin's, whose name kept our ADD from happening.
        match link::find_device(&mut pod.route, &request.ifname)? {
            Some(device) if device.identity.is_certain() => Err(Error::AlreadyAttached(format!(
                "interface {} in the container is hardware, but neither a record nor its alias tells \
                 what it was called on the host; move it back by hand (ip link set {} netns 1)",
                request.ifname, request.ifname
            ))),
            Some(_) => {
                log::warn!(
                    "interface {} in the container does not say what it was called on the host; it \
                     was left alone",
                    request.ifname
                );
                Ok(())
            }
            None => Ok(()),
        }
    }
}
