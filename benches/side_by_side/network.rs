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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A bridge plugin alone.
    Bridge,
    /// The plugin ptp alone.
    Ptp,
    /// The plugin macvlan alone.
    Macvlan,
    /// Address management alone.
    HostLocal,
    /// The usual list: bridge, portmap, firewall, bandwidth, tuning.
    Chain,
}

/// A network of one contender.
#[derive(Debug, Clone)]
pub struct Network {
    pub shape: Shape,
    pub name: String,
    /// The bridge or, for macvlan, the master.
    pub bridge: String,
    /// The second byte of its IPv4 addresses.
    pub number: u8,
}

/// A pod of a network.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Counts the pods of its network, from 0.
    pub number: usize,
    pub container_id: String,
    /// Path of the namespace.
    pub netns: String,
    /// What ADD answered.
    pub result: Value,
}

impl Network {
    pub fn new(shape: Shape, who: &str, number: u8) -> Self {
        Self { shape, name: format!("net-{who}"), bridge: format!("br-{who}"), number }
    }

    /// The configurations as a runtime passes them, one for each plugin, or one for all.
    pub fn configurations(&self, pod: &Pod, as_one: bool) -> Vec<Value> {
        let with = |mut entry: Value| {
            if let Value::Object(keys) = &mut entry {
                keys.insert("cniVersion".to_owned(), json!("1.0.0"));
                keys.insert("name".to_owned(), json!(self.name));
            }
            entry
        };
        if self.shape.kind != Kind::Chain {
            return vec![with(self.first_plugin())];
        }
        let ports = [0, 1].map(|one| {
            json!({ "hostPort": self.port(pod) + one, "containerPort": 80 + one, "protocol": "tcp" })
        });
        let limits = json!({
            "ingressRate": 100_000_000, "ingressBurst": 1_000_000,
            "egressRate": 100_000_000, "egressBurst": 1_000_000,
        });
        let asked = |key: &str| json!({ key: true });
        let entries = [
            (self.first_plugin(), None),
            (
                json!({ "type": "portmap", "capabilities": asked("portMappings") }),
                Some(json!({ "portMappings": ports })),
            ),
            (json!({ "type": "firewall", "backend": "nftables" }), None),
            (
                json!({ "type": "bandwidth", "capabilities": asked("bandwidth") }),
                Some(json!({ "bandwidth": limits })),
            ),
            (
                json!({ "type": "tuning", "sysctl": { "net.core.somaxconn": "512" }, "mtu": 1400 }),
                None,
            ),
        ];
        if as_one {
            let plugins: Vec<_> = entries.into_iter().map(|(entry, _)| entry).collect();
            let runtime = json!({ "portMappings": ports, "bandwidth": limits });
            return vec![with(json!({
                "type": "causeway", "plugins": plugins, "runtimeConfig": runtime,
            }))];
        }
        let each = entries.into_iter().map(|(mut entry, runtime)| {
            if let (Value::Object(keys), Some(runtime)) = (&mut entry, runtime) {
                keys.insert("runtimeConfig".to_owned(), runtime);
            }
            with(entry)
        });
        each.collect()
    }

    /// The first host port of a pod. No two pods of a case share one.
    fn port(&self, pod: &Pod) -> usize {
        4000 + usize::from(self.number) * 10_000 + pod.number * 2
    }

    fn first_plugin(&self) -> Value {
        let Self { number, shape, .. } = self;
        let mut ranges = vec![json!([{ "subnet": format!("10.{number}.0.0/{}", shape.prefix) }])];
        if shape.dual_stack {
            ranges.push(json!([{ "subnet": format!("fd00:{number}::/64") }]));
        }
        let ipam = json!({ "type": "host-local", "ranges": ranges });
        match shape.kind {
            Kind::HostLocal => json!({ "type": "host-local", "ipam": ipam }),
            Kind::Ptp => json!({
                "type": "ptp", "ipMasq": shape.masquerade, "ipam": self.with_default_routes(ipam),
            }),
            Kind::Macvlan => json!({
                "type": "macvlan", "master": self.bridge, "ipam": self.with_default_routes(ipam),
            }),
            Kind::Bridge | Kind::Chain => json!({
                "type": "bridge", "bridge": self.bridge, "isDefaultGateway": true,
                "ipMasq": shape.masquerade, "ipam": ipam,
            }),
        }
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
