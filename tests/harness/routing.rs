//! What tests of routing by source share: two networks, and what a pod's tables say.

use std::net::UdpSocket;
use std::time::Duration;

use serde_json::{Value, json};

use super::Pod;
use super::call::{Call, Plugin};
use super::config::{dual_stack, merge};
use super::list::with;

const BRIDGE: Plugin = Plugin::Causeway("bridge");
const SBR: Plugin = Plugin::Causeway("sbr");

/// The second network, on a bridge of its own.
pub fn second(more: Value) -> Value {
    let mut config = dual_stack(json!({
        "cniVersion": "1.1.0", "name": "second", "bridge": "br1",
        "ipam": {"type": "host-local", "routes": [{"dst": "198.51.100.0/24", "mtu": 1300}],
                 "ranges": [[{"subnet": "10.99.0.0/24"}], [{"subnet": "fd00:99::/64"}]]}
    }));
    merge(&mut config, more);
    config
}

/// sbr for the second network.
pub fn sbr(more: Value) -> Value {
    let mut config = json!({"cniVersion": "1.1.0", "name": "second", "type": "sbr"});
    merge(&mut config, more);
    config
}

/// A pod with `eth0` on the first network, with the default route, and with `eth1` on the second;
/// the call of sbr for `eth1` with the result of the bridge plugin.
pub fn attached<'h>(pod: &Pod<'h>, config: &Value) -> (Call<'h>, Value) {
    pod.call(BRIDGE, &dual_stack(json!({}))).add();
    // The default routes are the first network's, as a runtime with several networks has it.
    let network = second(json!({"isDefaultGateway": null, "isGateway": true}));
    let result = pod.call(BRIDGE, &network).ifname("eth1").add();
    (with(&pod.call(SBR, config).ifname("eth1"), &result), result)
}

/// The rules that are not for every packet, without their priorities.
pub fn rules(pod: &Pod<'_>) -> Vec<String> {
    let text = pod.run("ip rule") + &pod.run("ip -6 rule");
    let plain = |line: &str| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
    let mut rules: Vec<String> =
        text.lines().map(plain).filter(|line| !line.starts_with("from all")).collect();
    rules.sort();
    rules
}

/// The routes of a table through `eth1`, of one family.
pub fn table(pod: &Pod<'_>, family: &str, table: &str) -> Vec<String> {
    let routes = pod.json(&format!("ip -j {family} route show table all dev eth1"));
    let mut lines: Vec<String> = routes
        .as_array()
        .unwrap()
        .iter()
        .filter(|route| route["table"].as_str().unwrap_or("main") == table)
        .map(|route| {
            let part = |key: &str, word: &str| match &route[key] {
                Value::Null => String::new(),
                Value::String(text) => format!(" {word} {text}"),
                other => format!(" {word} {other}"),
            };
            let mtu = route["metrics"][0]["mtu"].as_u64().map(|mtu| format!(" mtu {mtu}"));
            format!(
                "{}{}{}{}",
                route["dst"].as_str().unwrap(),
                part("gateway", "via"),
                part("prefsrc", "src"),
                mtu.unwrap_or_default()
            )
        })
        .collect();
    lines.sort();
    lines
}

/// The link by which a packet to `to` would leave.
pub fn way(pod: &Pod<'_>, to: &str, from: &str) -> String {
    let from = if from.is_empty() { String::new() } else { format!(" from {from}") };
    let found = pod.json(&format!("ip -j route get {to}{from}"));
    found[0]["dev"].as_str().unwrap().to_owned()
}

/// Whether datagrams from an address of the pod to one of the host are answered. As long as the
/// neighbours are looking for each other some are lost.
pub fn answers(pod: &Pod<'_>, from: &str, to: &str) -> bool {
    let open = |address: &str| {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        socket
    };
    let server = pod.host.inside(|| open(to));
    let client = pod.inside(|| open(from));
    let server_address = server.local_addr().unwrap();
    let mut buffer = [0; 16];
    for _ in 0..200 {
        // Nobody there yet is a reason to try again.
        let _ = client.send_to(b"there", server_address);
        if let Ok((5, asking)) = server.recv_from(&mut buffer) {
            assert_eq!(asking, client.local_addr().unwrap());
            let _ = server.send_to(b"back", asking);
        }
        if client.recv(&mut buffer).is_ok_and(|length| length == 4) {
            return true;
        }
    }
    false
}
