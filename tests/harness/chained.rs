//! Plugins of a list called one after the other, as a runtime calls them.

use serde_json::{Value, json};

use super::Pod;
use super::call::{Call, Outcome, Plugin};
use super::config::{merge, newest};

/// Whose plugins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The binary under test, a process per plugin.
    Causeway,
    /// The binary under test, all in one process.
    Fused,
    /// The reference plugins.
    Reference,
}

/// A list of plugins for one pod.
pub struct List<'h> {
    calls: Vec<Call<'h>>,
}

impl<'h> List<'h> {
    /// The list of `entries` for `pod`, with `side`'s plugins.
    pub fn new(pod: &Pod<'h>, side: Side, entries: &[Value]) -> Self {
        Self::of_version(
            pod,
            side,
            entries,
            if side == Side::Reference { "1.0.0" } else { newest() },
        )
    }

    /// As [`List::new`], speaking another version.
    pub fn of_version(pod: &Pod<'h>, side: Side, entries: &[Value], version: &str) -> Self {
        let head = json!({"cniVersion": version, "name": "testnet"});
        let complete = |entry: &Value| {
            let mut config = entry.clone();
            merge(&mut config, head.clone());
            config
        };
        let calls = match side {
            Side::Fused => {
                let list = complete(&fused(entries));
                vec![pod.call(Plugin::Causeway("causeway"), &list)]
            }
            Side::Causeway | Side::Reference => entries
                .iter()
                .map(|entry| {
                    let name = entry["type"].as_str().expect("a type").to_owned().leak();
                    let plugin = match side {
                        Side::Reference => Plugin::Reference(name),
                        _ => Plugin::Causeway(name),
                    };
                    pod.call(plugin, &complete(entry))
                })
                .collect(),
        };
        Self { calls }
    }

    /// Changes every call, for instance by a variable.
    pub fn map(self, change: impl Fn(Call<'h>) -> Call<'h>) -> Self {
        Self { calls: self.calls.into_iter().map(change).collect() }
    }

    /// The last call of the list; with the list's one call when it is fused.
    pub fn last(&self) -> &Call<'h> {
        self.calls.last().expect("a list of at least one plugin")
    }

    /// ADD of all, in order; gives the last result.
    pub fn add(&self) -> Value {
        let mut result = Value::Null;
        for call in &self.calls {
            result = with(call, &result).add();
        }
        result
    }

    /// ADD of all but the last, which must succeed, and of the last, whatever comes of it. Gives the
    /// result that the last was given, too.
    pub fn try_add(&self) -> (Outcome, Value) {
        let mut before = Value::Null;
        for call in self.calls.iter().take(self.calls.len() - 1) {
            before = with(call, &before).add();
        }
        (with(self.last(), &before).run("ADD"), before)
    }

    /// The calls, in the order of ADD.
    pub fn calls(&self) -> &[Call<'h>] {
        &self.calls
    }

    /// CHECK of all that must succeed.
    #[track_caller]
    pub fn check(&self, result: &Value) {
        for call in &self.calls {
            with(call, result).run("CHECK").silence();
        }
    }

    /// CHECK by the last.
    pub fn check_last(&self, result: &Value) -> Outcome {
        with(self.last(), result).run("CHECK")
    }

    /// DEL of all, the last first.
    #[track_caller]
    pub fn del(&self, result: &Value) {
        for call in self.calls.iter().rev() {
            with(call, result).del();
        }
    }
}

/// One entry for all of `entries`. A runtime knows only this one, so what the entries are given by it
/// (runtimeConfig) is given to this one.
pub fn fused(entries: &[Value]) -> Value {
    let mut list = json!({"type": "causeway", "plugins": []});
    for entry in entries {
        let mut entry = entry.clone();
        if let Some(runtime) = entry.as_object_mut().and_then(|keys| keys.remove("runtimeConfig")) {
            let all = list["runtimeConfig"].take();
            list["runtimeConfig"] = if all.is_null() { json!({}) } else { all };
            merge(&mut list["runtimeConfig"], runtime);
        }
        list["plugins"].as_array_mut().expect("a list").push(entry);
    }
    list
}

fn with<'h>(call: &Call<'h>, result: &Value) -> Call<'h> {
    if result.is_null() { call.clone() } else { call.clone().key("prevResult", result) }
}

/// A bridge entry: `bridge` with leases of `subnet`, as a gateway.
pub fn bridge_entry(bridge: &str, subnet: &str) -> Value {
    json!({"type": "bridge", "bridge": bridge, "isDefaultGateway": true,
           "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]}})
}

/// A bridge entry of both families: 10.`net`.0.0/24 and fd00:`net`::/64.
pub fn dual_entry(bridge: &str, net: u8) -> Value {
    let (ipv4, ipv6) = (format!("10.{net}.0.0/24"), format!("fd00:{net}::/64"));
    json!({"type": "bridge", "bridge": bridge, "isDefaultGateway": true,
           "ipam": {"type": "host-local", "ranges": [[{"subnet": ipv4}], [{"subnet": ipv6}]]}})
}

/// The address of one family in a result, without its prefix length.
pub fn address(result: &Value, v6: bool) -> String {
    let ips = result["ips"].as_array().expect("addresses");
    let texts = ips.iter().filter_map(|ip| ip["address"].as_str());
    let found =
        texts.map(|text| text.split('/').next().unwrap_or(text)).find(|a| a.contains(':') == v6);
    found.expect("an address of that family").to_owned()
}

/// Every plugin of a usual list as one, dual-stack, with ports of the host from `port` on.
pub fn whole_list(port: u16) -> Value {
    let mut bridge = dual_entry("br0", 88);
    merge(&mut bridge, json!({"ipMasq": true}));
    let mut list = fused(&[
        bridge,
        json!({"type": "portmap", "capabilities": {"portMappings": true},
               "runtimeConfig": {"portMappings": two_ports(port)}}),
        json!({"type": "firewall", "backend": "nftables"}),
        json!({"type": "bandwidth", "capabilities": {"bandwidth": true},
               "runtimeConfig": {"bandwidth": limits()}}),
        json!({"type": "tuning", "mtu": 1400, "sysctl": {"net.core.somaxconn": "512"}}),
        json!({"type": "sbr"}),
    ]);
    merge(&mut list, json!({"cniVersion": newest(), "name": "testnet"}));
    list
}

/// What two ports of the host, from `port` on, lead to.
pub fn two_ports(port: u16) -> Value {
    json!([{"hostPort": port, "containerPort": 80, "protocol": "tcp"},
           {"hostPort": port + 1, "containerPort": 53, "protocol": "udp"}])
}

/// Limits of both directions.
pub fn limits() -> Value {
    json!({"ingressRate": 80_000_000, "ingressBurst": 8_000_000,
           "egressRate": 40_000_000, "egressBurst": 4_000_000})
}
