//! The networks that pods are attached to: one for each contender and case.

use serde_json::{Value, json};

/// What a case asks of a network.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// A bridge, or address management alone.
    pub kind: Kind,
    pub masquerade: bool,
    /// IPv6 beside IPv4.
    pub dual_stack: bool,
    /// Of the IPv4 range, which begins with 10.N.0.0.
    pub prefix: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bridge,
    HostLocal,
}

/// A network of one contender.
#[derive(Debug, Clone)]
pub struct Network {
    pub shape: Shape,
    pub name: String,
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

    /// The configuration as a runtime passes it.
    pub fn configuration(&self) -> Value {
        let Self { number, shape, .. } = self;
        let mut ranges = vec![json!([{ "subnet": format!("10.{number}.0.0/{}", shape.prefix) }])];
        if shape.dual_stack {
            ranges.push(json!([{ "subnet": format!("fd00:{number}::/64") }]));
        }
        let ipam = json!({ "type": "host-local", "ranges": ranges });
        match shape.kind {
            Kind::HostLocal => json!({
                "cniVersion": "1.0.0", "name": self.name, "type": "host-local", "ipam": ipam,
            }),
            Kind::Bridge => json!({
                "cniVersion": "1.0.0", "name": self.name, "type": "bridge", "bridge": self.bridge,
                "isDefaultGateway": true, "ipMasq": shape.masquerade, "ipam": ipam,
            }),
        }
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
