//! Symbols for what is random in an attachment, so that two hosts can be compared.
//!
//! Names of host links and hardware addresses are replaced by what they are; the link-local
//! addresses that follow from hardware addresses too. If a bridge wears the address of its port,
//! both get the same symbol, so that this is compared as well.

use serde_json::Value;

use super::snapshot::Snapshot;

/// What to replace by what.
pub struct Symbols(Vec<(String, String)>);

impl Symbols {
    /// The symbols for a host and its one pod; `keep` are hardware addresses that were asked for.
    pub fn of(host: &Snapshot, pod: &Snapshot, keep: &[&str]) -> Self {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut veths = 0;
        // A VLAN's interface on a bridge is one, too, but has a name that is no chance.
        let is_veth = |host: &Snapshot, name: &str| {
            host.0["links"][name]["linkinfo"]["info_kind"] == "veth" && !name.contains('.')
        };
        let mut host_links = host.links();
        // Its other end comes after the pod's, which tells of none in the same namespace.
        let has_end_here = |name: &str| host.0["links"][name]["link"].is_string();
        host_links.sort_by_key(|name| (!is_veth(host, name), has_end_here(name), name.to_string()));
        for name in host_links {
            let symbol = if is_veth(host, name) {
                veths += 1;
                let symbol = if veths == 1 { "VETH".to_owned() } else { format!("VETH{veths}") };
                pairs.push((name.to_owned(), symbol.clone()));
                symbol
            } else {
                name.to_owned()
            };
            name_address(&mut pairs, &host.0["links"][name], &symbol, keep);
        }
        for name in pod.links() {
            name_address(&mut pairs, &pod.0["links"][name], &format!("POD-{name}"), keep);
        }
        // A bridge keeps the link-local address of the hardware address it came up with; ipvlans of one
        // master have its hardware address and each another link-local one.
        let host_links = host.links().into_iter().map(|name| (host, name, name.to_owned()));
        let pod_links = pod.links().into_iter().map(|name| (pod, name, format!("POD-{name}")));
        for (side, name, symbol) in host_links.chain(pod_links) {
            let addresses = side.0["links"][name]["addresses"].as_object();
            for address in
                addresses.into_iter().flatten().filter_map(|(a, _)| a.strip_suffix("/64"))
            {
                if address.starts_with("fe80:") && !pairs.iter().any(|(from, _)| from == address) {
                    pairs.push((address.to_owned(), format!("OTHER-LINK-LOCAL-{symbol}")));
                }
            }
        }
        Self(pairs)
    }

    /// `value` with symbols in place of what is random.
    pub fn apply(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.replace(text).into(),
            Value::Array(items) => items.iter().map(|item| self.apply(item)).collect(),
            Value::Object(map) => {
                map.iter().map(|(key, inner)| (self.replace(key), self.apply(inner))).collect()
            }
            other => other.clone(),
        }
    }

    fn replace(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

fn name_address(pairs: &mut Vec<(String, String)>, link: &Value, symbol: &str, keep: &[&str]) {
    let Some(mac) = link["address"].as_str() else { return };
    if mac == "00:00:00:00:00:00"
        || keep.contains(&mac)
        || pairs.iter().any(|(from, _)| from == mac)
    {
        return;
    }
    pairs.push((mac.to_owned(), format!("MAC-{symbol}")));
    pairs.push((link_local(mac), format!("LINK-LOCAL-{symbol}")));
}

/// The link-local address that follows from a hardware address (RFC 4291, appendix A).
pub fn link_local(mac: &str) -> String {
    let b: Vec<u16> = mac
        .split(':')
        .map(|part| u16::from_str_radix(part, 16).expect("a hardware address"))
        .collect();
    let groups = [
        0xfe80,
        0,
        0,
        0,
        ((b[0] ^ 2) << 8) | b[1],
        (b[2] << 8) | 0xff,
        0xfe00 | b[3],
        (b[4] << 8) | b[5],
    ];
    std::net::Ipv6Addr::from(groups).to_string()
}
