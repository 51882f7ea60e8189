//! `causeway lint` and `causeway schema` as people and CI run them, against a node's own networks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::process::{Command, Output, Stdio};

use harness::Host;
use harness::call::Plugin;
use serde_json::{Value, json};

const DIR: &str = "/run/cni-test/conf";

fn causeway(host: &Host, arguments: &[&str]) -> Output {
    host.inside(|| {
        Command::new(env!("CARGO_BIN_EXE_causeway"))
            .args(arguments)
            .env("CNI_PATH", "/run/cni-test/causeway")
            .env("NETCONFPATH", DIR)
            .stdin(Stdio::null())
            .output()
            .expect("run causeway")
    })
}

fn report(out: &Output) -> Value {
    serde_json::from_slice(&out.stdout).unwrap_or_else(|error| panic!("{error}: {out:?}"))
}

fn rules(out: &Output) -> Vec<String> {
    let report = report(out);
    let findings = report["findings"].as_array().expect("findings").clone();
    findings.iter().map(|finding| finding["rule"].as_str().expect("a rule").to_owned()).collect()
}

fn bridge(name: &str, bridge: &str, subnet: &str) -> String {
    json!({
        "cniVersion": "1.0.0",
        "name": name,
        "plugins": [{
            "type": "bridge", "bridge": bridge, "isGateway": true,
            "ipam": { "type": "host-local", "subnet": subnet }
        }]
    })
    .to_string()
}

#[test]
fn the_node_s_own_networks_count() {
    let host = Host::new();
    host.run("ip link add lan0 type bridge");
    host.run("ip link set lan0 up");
    host.run("ip addr add 10.77.3.9/24 dev lan0");
    host.run("ip route add 10.90.0.0/16 via 10.77.3.1 dev lan0");
    host.write(&format!("{DIR}/10-pods.conflist"), &bridge("pods", "cni0", "10.88.0.0/16"));
    let out = causeway(&host, &["lint", "--output", "json"]);
    assert!(rules(&out).is_empty(), "{out:?}");
    assert_eq!(out.status.code(), Some(0));

    // Its own bridge may have the address of the gateway.
    host.run("ip link add cni0 type bridge");
    host.run("ip link set cni0 up");
    host.run("ip addr add 10.88.0.1/16 dev cni0");
    let out = causeway(&host, &["lint", "--output", "json"]);
    assert!(rules(&out).is_empty(), "{out:?}");

    host.write(&format!("{DIR}/20-lan.conflist"), &bridge("lan", "cni1", "10.77.0.0/16"));
    host.write(&format!("{DIR}/30-routed.conflist"), &bridge("routed", "cni2", "10.90.8.0/24"));
    let out = causeway(&host, &["lint", "--output", "json"]);
    assert_eq!(rules(&out), ["node-address", "node-network", "node-network"], "{out:?}");
    assert_eq!(out.status.code(), Some(1));
    let findings = report(&out)["findings"].clone();
    assert!(findings[0]["message"].as_str().unwrap().contains("10.77.3.9"), "{findings}");
    assert!(findings[2]["message"].as_str().unwrap().contains("10.90.0.0/16"), "{findings}");
    assert!(findings[2]["file"].as_str().unwrap().ends_with("30-routed.conflist"), "{findings}");

    // The files alone are in order.
    let out = causeway(&host, &["lint", "--offline", "--output", "json"]);
    assert!(rules(&out).is_empty(), "{out:?}");
}

#[test]
fn attached_pods_are_no_network_of_the_node() {
    let host = Host::new();
    let pod = host.pod("a");
    let config = json!({
        "cniVersion": "1.0.0", "name": "pods", "type": "ptp",
        "ipam": { "type": "host-local", "subnet": "10.88.0.0/16" }
    });
    host.write(&format!("{DIR}/10-pods.conf"), &config.to_string());
    pod.call(Plugin::Causeway("ptp"), &config).add();
    let out = causeway(&host, &["lint", "--output", "json"]);
    assert!(rules(&out).is_empty(), "{out:?}");
}

#[test]
fn programs_warnings_and_exit_codes() {
    let host = Host::new();
    let misspelt = bridge("pods", "cni0", "10.88.0.0/16").replace("isGateway", "isGatway");
    host.write(&format!("{DIR}/10-pods.conflist"), &misspelt);
    let out = causeway(&host, &["lint"]);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("did you mean `isGateway`?") && said.contains("^^^^^^^^^^"), "{said}");
    assert!(!said.contains('\u{1b}'), "no colour into a pipe: {said:?}");
    assert_eq!(out.status.code(), Some(0));
    assert_eq!(causeway(&host, &["lint", "--deny-warnings"]).status.code(), Some(1));

    let foreign = misspelt.replace("isGatway", "isGateway");
    let foreign = foreign.replace("\"type\":\"bridge\"", "\"type\":\"flannel\"");
    host.write(&format!("{DIR}/10-pods.conflist"), &foreign);
    let out = causeway(&host, &["lint", "--output", "json"]);
    assert_eq!((rules(&out), out.status.code()), (vec!["program".to_owned()], Some(1)), "{out:?}");
    host.script_plugin("flannel", "#!/bin/sh\nexit 0\n");
    assert_eq!(causeway(&host, &["lint"]).status.code(), Some(0));

    let out = causeway(&host, &["lint", "/run/cni-test/nothing"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("/run/cni-test/nothing"), "{out:?}");
}

#[test]
fn schemas_are_printed() {
    let host = Host::new();
    let all = report(&causeway(&host, &["schema"]));
    assert_eq!(all["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let bridge = &all["$defs"]["plugin-bridge"]["properties"];
    assert_eq!(bridge["vlan"]["maximum"], 4094);
    assert_eq!(bridge["isGateway"]["type"], "boolean");
    for name in ["bridge", "causeway", "netkit", "host-local", "vrf"] {
        let schema = report(&causeway(&host, &["schema", name]));
        let definition = schema["$ref"].as_str().expect("a reference").rsplit('/').next().unwrap();
        assert!(schema["$defs"][definition]["properties"].is_object(), "{schema}");
    }
    let out = causeway(&host, &["schema", "calico"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("host-device"), "{out:?}");
}
