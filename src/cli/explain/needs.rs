//! What of the kernel a plan needs.

use std::collections::BTreeSet;

use crate::engine::Resource;
use crate::kernel::features::Feature;
use crate::kernel::link::Variety;

/// The features that these resources need, each once.
pub(super) fn features(resources: &[&Resource]) -> Vec<Feature> {
    let all: BTreeSet<_> = resources.iter().flat_map(|resource| of(resource)).collect();
    all.into_iter().collect()
}

fn of(resource: &Resource) -> Vec<Feature> {
    match resource {
        Resource::Bridge(bridge) if bridge.vlan_filtering => {
            vec![Feature::Bridge, Feature::VlanFiltering]
        }
        Resource::Bridge(_) => vec![Feature::Bridge],
        Resource::PortVlan(_) => vec![Feature::VlanFiltering],
        Resource::VlanGateway(_) => vec![Feature::Vlan],
        Resource::Veth(_) => vec![Feature::Veth],
        Resource::Netkit(_) => vec![Feature::Netkit],
        Resource::Tap(_) => vec![Feature::Tun],
        Resource::Vrf(_) | Resource::VrfPort(_) => vec![Feature::Vrf],
        Resource::ContainerLink(link) => vec![match link.variety {
            Variety::Macvlan { .. } => Feature::Macvlan,
            Variety::Ipvlan { .. } => Feature::Ipvlan,
            Variety::Vlan { .. } => Feature::Vlan,
            Variety::Dummy => Feature::Dummy,
        }],
        Resource::Ifb(_) => vec![Feature::Ifb, Feature::Ingress, Feature::Redirection],
        Resource::Shaper(shaper) => match shaper.subnets.kind() {
            "htb" => vec![Feature::Tbf, Feature::Htb],
            _ => vec![Feature::Tbf],
        },
        Resource::Masquerade(_) | Resource::PortMap(_) => vec![Feature::NfTables, Feature::Nat],
        Resource::Guard(_)
        | Resource::AddressGuard(_)
        | Resource::Firewall(_)
        | Resource::BridgePolicy(_) => vec![Feature::NfTables],
        _ => Vec::new(),
    }
}
