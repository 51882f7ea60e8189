//! The kinds of things that plans are made of. Each is written once and serves ADD, CHECK, DEL and
//! explain alike.

pub mod address;
pub mod address_guard;
pub mod announcement;
pub mod bridge;
pub mod bridge_policy;
pub mod bridge_port;
pub mod container_link;
pub mod firewall;
pub mod firewalld_source;
pub mod foreign;
pub mod forwarding;
pub mod gateway;
pub mod gateway_route;
pub mod guard;
pub mod host_device;
pub mod host_gateway;
pub mod ifb;
pub mod iptables_firewall;
pub mod iptables_masquerade;
pub mod iptables_port_map;
pub mod lease;
pub mod link_attributes;
pub mod local_routing;
pub mod loopback;
pub mod masquerade;
pub mod netkit;
mod pair;
pub mod pod_link;
pub mod port_map;
pub mod port_vlan;
pub mod readiness;
pub mod route;
pub mod settings;
pub mod shaper;
pub mod slaac;
pub mod source_routing;
pub mod sysctls;
pub mod tap;
pub mod veth;
pub mod vlan_gateway;
pub mod vrf;
pub mod vrf_port;

use serde::{Deserialize, Serialize};

use super::{Error, Node};
use crate::kernel::difference::Difference;

/// Whether a resource was made by this call or was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// This call made or changed it.
    Now,
    /// It was there as wanted.
    Before,
}

/// What the engine asks of every kind of resource.
pub trait Kind {
    /// One line for people, as part of "this would …": "add address 10.0.0.2/24 to eth0".
    fn describe(&self) -> String;

    /// Makes it, or queues the requests that make it.
    ///
    /// # Errors
    /// The kernel's refusal, or a conflict with what is there.
    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error>;

    /// Says what is missing or different; nothing when it is as it should be.
    ///
    /// # Errors
    /// Only when it could not be looked at.
    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error>;

    /// As [`Self::verify`], and whether it is another attachment that has what is missing.
    ///
    /// # Errors
    /// As [`Self::verify`].
    fn differences(&self, node: &mut Node<'_>) -> Result<Vec<Difference>, Error> {
        Ok(self.verify(node)?.into_iter().map(Difference::from).collect())
    }

    /// Removes it, or queues the requests that do, if it is there and ours. What is gone already,
    /// also with the container's namespace, is fine. Things that attachments share stay.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error>;

    /// Undoes what this very call has made of it, or half made, or not begun. Other than
    /// [`Self::remove`], which comes at the end of an attachment, it brings back all that was before.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn undo(&self, node: &mut Node<'_>) -> Result<(), Error> {
        self.remove(node)
    }

    /// Whether anything of it can be left when the container's namespace is gone. A plan of which
    /// nothing can needs no record.
    fn outlives_namespace(&self) -> bool {
        true
    }

    /// Takes a shared thing back that this very call made and that no other call can count on.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn take_back(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        Ok(())
    }
}

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident($kind:ty)),+ $(,)?) => {
        /// Something that an attachment needs.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "camelCase")]
        pub enum Resource {
            $($(#[$doc])* $name($kind)),+
        }

        impl Resource {
            /// The resource behind its kind.
            pub fn kind(&self) -> &dyn Kind {
                match self {
                    $(Self::$name(inner) => inner),+
                }
            }
        }

        $(impl From<$kind> for Resource {
            fn from(inner: $kind) -> Self {
                Self::$name(inner)
            }
        })+
    };
}

resources! {
    /// Addresses held from an address source.
    Lease(lease::Lease),
    /// A bridge on the host, shared.
    Bridge(bridge::Bridge),
    /// A veth pair between the host, or a bridge of it, and the container.
    Veth(veth::Veth),
    /// A netkit pair between the host and the container.
    Netkit(netkit::Netkit),
    /// Addresses and routes of the host's end of a pair.
    HostGateway(host_gateway::HostGateway),
    /// A device of the host, in the container.
    HostDevice(host_device::HostDevice),
    /// A TAP device in the container.
    Tap(tap::Tap),
    /// A VRF in the container, shared by its interfaces.
    Vrf(vrf::Vrf),
    /// The container's interface in a VRF.
    VrfPort(vrf_port::VrfPort),
    /// An interface in the container that somebody else made; only removed.
    PodLink(pod_link::PodLink),
    /// A link in the container, on a master or by itself.
    ContainerLink(container_link::ContainerLink),
    /// The loopback interface, up.
    Loopback(loopback::Loopback),
    /// The host end of a pair as a port of a bridge.
    BridgePort(bridge_port::BridgePort),
    /// VLANs of a bridge port.
    PortVlan(port_vlan::PortVlan),
    /// A VLAN's own interface on a bridge, shared.
    VlanGateway(vlan_gateway::VlanGateway),
    /// Sysctls of an interface.
    Settings(settings::Settings),
    /// Sysctls of the container that the configuration names.
    Sysctls(sysctls::Sysctls),
    /// Attributes of the container's interface.
    LinkAttributes(link_attributes::LinkAttributes),
    /// Addresses in the container.
    Addresses(address::Addresses),
    /// A route in the container.
    Route(route::PodRoute),
    /// A route in the container to the gateway, or to its subnet through it.
    GatewayRoute(gateway_route::GatewayRoute),
    /// An address on the bridge, shared.
    Gateway(gateway::Gateway),
    /// Forwarding of a family, shared.
    Forwarding(forwarding::Forwarding),
    /// Tables of their own for packets from the container's addresses.
    SourceRouting(source_routing::SourceRouting),
    /// A device through which goes what the container sends.
    Ifb(ifb::Ifb),
    /// A limit to what is sent to the container, or to what it sends.
    Shaper(shaper::Shaper),
    /// What another program's plugin has made.
    Foreign(foreign::Foreign),
    /// Masquerading of the container's addresses.
    Masquerade(masquerade::Masquerade),
    /// Masquerading by iptables.
    IptablesMasquerade(iptables_masquerade::IptablesMasquerade),
    /// Ports of the host that lead to the container.
    PortMap(port_map::PortMap),
    /// The host's loopback reaches the container, shared.
    LocalRouting(local_routing::LocalRouting),
    /// Ports of the host that lead to the container, by iptables.
    IptablesPortMap(iptables_port_map::IptablesPortMap),
    /// Frames with other source addresses are dropped.
    Guard(guard::Guard),
    /// Packets with other source addresses are dropped.
    AddressGuard(address_guard::AddressGuard),
    /// The container's addresses are let through.
    Firewall(firewall::Firewall),
    /// Nothing passes between bridges; the bridges are shared.
    BridgePolicy(bridge_policy::BridgePolicy),
    /// The container's addresses are let through by iptables.
    IptablesFirewall(iptables_firewall::IptablesFirewall),
    /// The container's addresses are in a zone of firewalld.
    FirewalldSource(firewalld_source::FirewalldSource),
    /// The bridge port carries packets.
    Readiness(readiness::Readiness),
    /// Addresses in the container that a router's advertisements give.
    Slaac(slaac::Slaac),
    /// The neighbours were told.
    Announcement(announcement::Announcement),
}
