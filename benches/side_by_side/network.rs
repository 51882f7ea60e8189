//! The networks that pods are attached to: one for each contender and case.

use serde_json::{Value, json};

/// What a case asks of a network.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// What makes it.
    pub kind: Kind,
    pub masquerade: bool,
    /// IPv6 beside IPv4.
    pub dual_stack: bool,
    /// Of the IPv4 range, which begins with 10.N.0.0.
    pub prefix: u8,
}

/// One plugin alone, or a list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bridge,
    /// `bridge` with VLAN 100, which needs a kernel whose bridges filter VLANs.
    BridgeVlan,
    /// `bridge` with an address that is told.
    BridgeStatic,
    /// `bridge` with an address from a DHCP server.
    BridgeDhcp,
    Ptp,
    /// `netkit`, beside the reference's `ptp`, since the reference has none.
    Netkit,
    Macvlan,
    Ipvlan,
    Vlan,
    Dummy,
    HostDevice,
    Tap,
    Loopback,
    Portmap,
    Firewall,
    Bandwidth,
    Tuning,
    Sbr,
    Vrf,
    HostLocal,
    Static,
    Dhcp,
    /// The usual list: bridge, portmap, firewall, bandwidth, tuning.
    Chain,
}

/// The VLAN of the cases that have one.
pub const VLAN: u16 = 100;

impl Kind {
    /// Each plugin alone, in the order of the README.
    pub const ALONE: [Self; 19] = [
        Self::Bridge,
        Self::Macvlan,
        Self::Ipvlan,
        Self::Vlan,
        Self::Dummy,
        Self::Ptp,
        Self::Netkit,
        Self::HostDevice,
        Self::Tap,
        Self::HostLocal,
        Self::Static,
        Self::Dhcp,
        Self::Loopback,
        Self::Portmap,
        Self::Firewall,
        Self::Bandwidth,
        Self::Tuning,
        Self::Sbr,
        Self::Vrf,
    ];

    /// The type's name, and so the program's; of a list, its first one's.
    pub fn plugin(self) -> &'static str {
        match self {
            Self::Bridge
            | Self::BridgeVlan
            | Self::BridgeStatic
            | Self::BridgeDhcp
            | Self::Chain => "bridge",
            Self::Ptp => "ptp",
            Self::Netkit => "netkit",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
            Self::Vlan => "vlan",
            Self::Dummy => "dummy",
            Self::HostDevice => "host-device",
            Self::Tap => "tap",
            Self::Loopback => "loopback",
            Self::Portmap => "portmap",
            Self::Firewall => "firewall",
            Self::Bandwidth => "bandwidth",
            Self::Tuning => "tuning",
            Self::Sbr => "sbr",
            Self::Vrf => "vrf",
            Self::HostLocal => "host-local",
            Self::Static => "static",
            Self::Dhcp => "dhcp",
        }
    }

    /// Whether nothing is made in the pod's namespace, which may then be anybody's.
    pub fn only_leases(self) -> bool {
        matches!(self, Self::HostLocal | Self::Static)
    }

    /// Whether the pod's interface is there before, made by another plugin.
    pub fn is_chained(self) -> bool {
        matches!(
            self,
            Self::Portmap | Self::Firewall | Self::Bandwidth | Self::Tuning | Self::Sbr | Self::Vrf
        )
    }

    /// Whether the gateways answer to an attached pod.
    pub fn reaches_gateways(self) -> bool {
        match self {
            Self::Dummy | Self::Tap | Self::Loopback | Self::Dhcp => false,
            _ => !self.only_leases() && !self.is_chained(),
        }
    }
}

/// A network of one contender.
#[derive(Debug, Clone)]
pub struct Network {
    pub shape: Shape,
    pub name: String,
    /// The bridge, or the link of the host that stands in its place: the master, or the device that
    /// a pod gets.
    pub bridge: String,
    /// The second byte of its IPv4 addresses.
    pub number: u8,
    /// Whose network it is.
    of_reference: bool,
}

/// A pod of a network.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Counts the pods of its network, from 0.
    pub number: usize,
    pub container_id: String,
    /// Path of the namespace.
    pub netns: String,
    /// Hardware addresses of the interface that a chained plugin finds, of the host's end first.
    pub macs: (String, String),
    /// What ADD answered; before that, what the plugin before it has.
    pub result: Value,
}

/// The name of every pod's interface.
pub const IFNAME: &str = "eth0";

impl Network {
    pub fn new(shape: Shape, who: &str, number: u8) -> Self {
        Self {
            shape,
            name: format!("net-{who}"),
            // Short: the interface of a VLAN of it has a longer name.
            bridge: format!("br{number}"),
            number,
            of_reference: who == "reference",
        }
    }

    /// The configurations as a runtime passes them for a pod, one for each plugin, or one for all.
    pub fn configurations(&self, pod: &Pod, as_one: bool) -> Vec<Value> {
        let mut configurations = self.configurations_of_all(as_one);
        for configuration in &mut configurations {
            let Value::Object(keys) = configuration else { continue };
            let runtime = match keys.get("type").and_then(Value::as_str) {
                Some("causeway") => {
                    json!({ "portMappings": self.ports(pod), "bandwidth": limits() })
                }
                Some("portmap") => json!({ "portMappings": self.ports(pod) }),
                Some("bandwidth") => json!({ "bandwidth": limits() }),
                _ => continue,
            };
            keys.insert("runtimeConfig".to_owned(), runtime);
        }
        configurations
    }

    /// The same without what differs from pod to pod.
    pub fn configurations_of_all(&self, as_one: bool) -> Vec<Value> {
        let kinds: &[Kind] = match self.shape.kind {
            Kind::Chain => {
                &[Kind::Bridge, Kind::Portmap, Kind::Firewall, Kind::Bandwidth, Kind::Tuning]
            }
            _ => &[self.shape.kind],
        };
        let mut entries: Vec<_> = kinds.iter().map(|kind| self.plugin(*kind)).collect();
        if as_one {
            entries = vec![json!({ "type": "causeway", "plugins": entries })];
        }
        for entry in &mut entries {
            if let Value::Object(keys) = entry {
                keys.insert("cniVersion".to_owned(), json!("1.0.0"));
                keys.insert("name".to_owned(), json!(self.name));
            }
        }
        entries
    }

    /// What the plugin before a chained one has answered.
    pub fn result_before(&self, pod: &Pod) -> Value {
        if !self.shape.kind.is_chained() {
            return Value::Null;
        }
        let ips: Vec<_> = self
            .addresses(pod.number)
            .iter()
            .zip(self.gateways())
            .map(|(address, gateway)| {
                json!({ "address": address, "gateway": gateway, "interface": 1 })
            })
            .collect();
        json!({
            "cniVersion": "1.0.0",
            "interfaces": [
                { "name": self.host_end(pod), "mac": pod.macs.0 },
                { "name": IFNAME, "mac": pod.macs.1, "sandbox": pod.netns },
            ],
            "ips": ips,
            "routes": [{ "dst": "0.0.0.0/0" }],
        })
    }

    /// The host's end of the interface that a chained plugin finds.
    pub fn host_end(&self, pod: &Pod) -> String {
        format!("h{}-{}", self.number, pod.number)
    }

    fn ports(&self, pod: &Pod) -> Value {
        let port = |one| json!({ "hostPort": self.port(pod) + one, "containerPort": 80 + one, "protocol": "tcp" });
        json!([port(0), port(1)])
    }

    /// The first host port of a pod. No two pods of a case share one.
    fn port(&self, pod: &Pod) -> usize {
        4000 + usize::from(self.number) * 10_000 + pod.number * 2
    }

    /// The entry of one plugin.
    fn plugin(&self, kind: Kind) -> Value {
        let mut entry = match kind {
            Kind::Bridge | Kind::Chain => json!({
                "bridge": self.bridge, "isDefaultGateway": true,
                "ipMasq": self.shape.masquerade, "ipam": self.host_local(),
            }),
            Kind::BridgeVlan => json!({
                "bridge": self.bridge, "isDefaultGateway": true, "vlan": VLAN,
                "ipam": self.host_local(),
            }),
            Kind::HostLocal => json!({ "ipam": self.host_local() }),
            Kind::Ptp | Kind::Netkit => json!({
                "ipMasq": self.shape.masquerade,
                "ipam": self.with_default_routes(self.host_local()),
            }),
            Kind::Macvlan | Kind::Ipvlan => json!({
                "master": self.bridge, "ipam": self.with_default_routes(self.host_local()),
            }),
            Kind::Vlan => json!({
                "master": self.bridge, "vlanId": VLAN,
                "ipam": self.with_default_routes(self.host_local()),
            }),
            Kind::HostDevice => json!({
                "device": self.bridge, "ipam": self.with_default_routes(self.host_local()),
            }),
            Kind::Dummy | Kind::Tap => json!({ "ipam": self.host_local() }),
            Kind::BridgeStatic => json!({
                "bridge": self.bridge, "isGateway": true, "ipam": self.told(),
            }),
            Kind::BridgeDhcp => json!({
                "bridge": self.bridge,
                "ipam": { "type": "dhcp", "daemonSocketPath": self.daemon_socket() },
            }),
            Kind::Static => json!({ "ipam": self.told() }),
            Kind::Dhcp => json!({ "ipam": { "type": "dhcp" } }),
            Kind::Loopback | Kind::Sbr => json!({}),
            Kind::Portmap => json!({ "capabilities": { "portMappings": true } }),
            Kind::Firewall => json!({ "backend": "nftables" }),
            Kind::Bandwidth => json!({ "capabilities": { "bandwidth": true } }),
            Kind::Tuning => json!({ "sysctl": { "net.core.somaxconn": "512" }, "mtu": 1400 }),
            Kind::Vrf => json!({ "vrfname": "blue" }),
        };
        if let Value::Object(keys) = &mut entry {
            let reference_has_none = kind == Kind::Netkit && self.of_reference;
            let plugin = if reference_has_none { "ptp" } else { kind.plugin() };
            keys.insert("type".to_owned(), json!(plugin));
        }
        entry
    }

    /// Where the daemon for DHCP of this network listens.
    pub fn daemon_socket(&self) -> String {
        format!("/run/cni/dhcp-{}.sock", self.number)
    }

    fn told(&self) -> Value {
        json!({
            "type": "static",
            "addresses": [{
                "address": format!("10.{}.0.9/16", self.number),
                "gateway": format!("10.{}.0.1", self.number),
            }],
            "routes": [{ "dst": "0.0.0.0/0" }],
        })
    }

    fn host_local(&self) -> Value {
        let Self { number, shape, .. } = self;
        let mut ranges = vec![json!([{ "subnet": format!("10.{number}.0.0/{}", shape.prefix) }])];
        if shape.dual_stack {
            ranges.push(json!([{ "subnet": format!("fd00:{number}::/64") }]));
        }
        json!({ "type": "host-local", "ranges": ranges })
    }

    fn with_default_routes(&self, mut ipam: Value) -> Value {
        let mut routes = vec![json!({ "dst": "0.0.0.0/0" })];
        if self.shape.dual_stack {
            routes.push(json!({ "dst": "::/0" }));
        }
        if let Value::Object(keys) = &mut ipam {
            keys.insert("routes".to_owned(), json!(routes));
        }
        ipam
    }

    /// The gateways, one for each family.
    pub fn gateways(&self) -> Vec<String> {
        let mut gateways = vec![format!("10.{}.0.1", self.number)];
        if self.shape.dual_stack {
            gateways.push(format!("fd00:{}::1", self.number));
        }
        gateways
    }

    /// Prefix lengths, in the order of [`Self::gateways`].
    pub fn prefixes(&self) -> [u8; 2] {
        [self.shape.prefix, 64]
    }

    /// The addresses of pod `number` where no IPAM hands them out, with prefix lengths.
    pub fn addresses(&self, number: usize) -> Vec<String> {
        let (high, low) = (number / 250, number % 250 + 2);
        let mut addresses = vec![format!("10.{}.{high}.{low}/{}", self.number, self.shape.prefix)];
        if self.shape.dual_stack {
            addresses.push(format!("fd00:{}::{:x}/64", self.number, number + 2));
        }
        addresses
    }
}

/// Bandwidth limits of every pod that has some; bits and bits per second.
fn limits() -> Value {
    json!({
        "ingressRate": 100_000_000, "ingressBurst": 1_000_000,
        "egressRate": 100_000_000, "egressBurst": 1_000_000,
    })
}
