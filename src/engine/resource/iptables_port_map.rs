//! Ports of the host that lead to the container, by iptables: the reference plugin's chains and
//! rules.

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::reference::hostport::{self, HostPorts, Mark, Masquerading};
use crate::engine::{Error, Node, Owner, reference};
use crate::kernel::iptables;
use crate::kernel::port::{Mapping, Transport};

/// The container's chain in iptables' nat table, and the jumps to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IptablesPortMap {
    /// The attachment, after which the chain is named.
    pub owner: Owner,
    /// The container's addresses with their subnets' prefix lengths, at most one per family.
    pub pods: Vec<IpNetwork>,
    /// The mappings, of both families.
    pub mappings: Vec<Mapping>,
    /// Whether connections are masqueraded that would be answered past the host.
    pub snat: bool,
    /// Whether all are.
    pub masq_all: bool,
    /// The bit of the packet mark by which it is known what to masquerade.
    pub mark_bit: u8,
    /// The operator's own chain that sets the mark; masquerading is then the operator's, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_mark_chain: Option<String>,
    /// What else an IPv4 packet must be like, in iptables' words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions_v4: Vec<String>,
    /// What else an IPv6 packet must be like, in iptables' words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions_v6: Vec<String>,
}

impl IptablesPortMap {
    fn host_ports(&self) -> Vec<HostPorts<'_>> {
        let mark = self.set_mark_chain.as_deref().map_or(Mark::Bit(self.mark_bit), Mark::Chain);
        let masquerading = if self.snat {
            Masquerading::By { all: self.masq_all, mark }
        } else {
            Masquerading::None
        };
        let of = |pod: &IpNetwork| HostPorts {
            owner: &self.owner,
            pod: *pod,
            mappings: &self.mappings,
            masquerading,
            conditions: if pod.is_ipv4() { &self.conditions_v4 } else { &self.conditions_v6 },
        };
        self.pods.iter().map(of).collect()
    }

    /// Has connections forgotten that know the way of before, since UDP has no other end.
    fn forget_connections(&self, node: &mut Node<'_>) {
        for pod in &self.pods {
            let udp = self.mappings.iter().filter(|one| one.protocol == Transport::Udp);
            let ports: Vec<u16> =
                udp.filter(|one| one.concerns(pod.ip())).map(|one| one.host_port).collect();
            node.forget_udp(&ports, pod.is_ipv6());
        }
    }
}

impl Kind for IptablesPortMap {
    fn describe(&self) -> String {
        let pods = self.pods.iter().map(|pod| {
            let of = self.mappings.iter().filter(|mapping| mapping.concerns(pod.ip()));
            let list: Vec<String> = of.map(ToString::to_string).collect();
            let list = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
            format!("{list} of {}", pod.ip())
        });
        let pods: Vec<String> = pods.collect();
        format!("forward host ports (iptables): {}", pods.join("; "))
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        hostport::add(&self.host_ports())?;
        self.forget_connections(node);
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let mut missing = Vec::new();
        for ports in self.host_ports() {
            match hostport::missing(&ports)? {
                Some(found) => missing.extend(found),
                // The reference plugin may have used iptables' other variant, or nftables.
                None if reference::portmap_present(&self.owner, ports.pod.is_ipv6(), node)? => {}
                None => missing.push(hostport::absent(&ports)),
            }
        }
        Ok(missing)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        // A program that an ADD has run which was killed since may still be at work.
        let _lock = iptables::lock()?;
        reference::remove_portmap(&self.owner, node)?;
        self.forget_connections(node);
        Ok(())
    }
}
