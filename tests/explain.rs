//! `causeway explain`: the plan of a whole list, and what the kernel has of what it needs, with nothing
//! changed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::process::{Command, Output, Stdio};

use harness::Host;
use harness::call::Plugin;
use serde_json::{Value, json};

const FILE: &str = "/run/cni-test/10-pods.conflist";

fn explain(host: &Host, config: &Value, arguments: &[&str]) -> Output {
    host.write(FILE, &config.to_string());
    host.inside(|| {
        Command::new(env!("CARGO_BIN_EXE_causeway"))
            .args(["explain", FILE])
            .args(arguments)
            .env("CNI_PATH", "/run/cni-test/causeway")
            .env(
                "CAP_ARGS",
                r#"{"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}"#,
            )
            .stdin(Stdio::null())
            .output()
            .expect("run causeway")
    })
}

fn said(out: &Output) -> String {
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    String::from_utf8(out.stdout.clone()).unwrap()
}

fn usual() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true,
                "ipam": { "type": "host-local", "subnet": "10.88.0.0/16" }
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
            { "type": "bandwidth", "ingressRate": 8_000_000, "ingressBurst": 8_000_000 }
        ]
    })
}

#[test]
fn a_list_is_explained_and_nothing_is_changed() {
    let host = Host::new();
    let before = host.snapshot();
    let text = said(&explain(&host, &usual(), &[]));
    for word in [
        "\nbridge\n",
        "\nportmap\n",
        "\nbandwidth\n",
        "cni0",
        "10.88.0.2/16",
        "8080",
        "Nothing was changed",
    ] {
        assert!(text.contains(word), "no word of {word}: {text}");
    }
    before.assert_same(&host.snapshot(), "after an explained list");
    assert!(host.json("ip -j netns").as_array().unwrap().is_empty());

    let text = said(&explain(&host, &usual(), &["--output", "json"]));
    let value: Value = serde_json::from_str(&text).unwrap();
    let types: Vec<_> =
        value["plugins"].as_array().unwrap().iter().map(|one| &one["type"]).collect();
    assert_eq!(types, ["bridge", "portmap", "bandwidth"]);
    assert_eq!(value["result"]["ips"][0]["address"], "10.88.0.2/16");
    let features: Vec<_> = value["features"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["state"].as_str().unwrap()))
        .collect();
    assert_eq!(
        features,
        [
            ("veth", "here"),
            ("bridge", "here"),
            ("tbf", "here"),
            ("nf_tables", "here"),
            ("NAT of nf_tables", "here"),
        ]
    );
}

#[test]
fn the_plan_is_what_an_add_makes() {
    let host = Host::new();
    let pod = host.pod("blue");
    let first = said(&explain(&host, &usual(), &["--netns", "blue", "--output", "json"]));
    let first: Value = serde_json::from_str(&first).unwrap();
    let mut fused = json!({ "cniVersion": "1.0.0", "name": "pods", "type": "causeway" });
    fused["plugins"] = usual()["plugins"].clone();
    let made = pod.call(Plugin::Causeway("causeway"), &fused).id("explain").add();
    assert_eq!(first["result"]["ips"], made["ips"]);
    assert_eq!(first["result"]["interfaces"][1]["name"], made["interfaces"][1]["name"]);

    // What is there already is refused as by an ADD.
    let out = explain(&host, &usual(), &["--netns", "blue", "--container-id", "other"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("eth0"), "{out:?}");
}

#[test]
fn features_that_are_lacking_are_named() {
    let host = Host::new();
    let mut config = usual();
    config["plugins"][0]["vlan"] = 5.into();
    let out = explain(&host, &config, &["--output", "json"]);
    let value: Value =
        serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"));
    let filtering = value["features"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["option"] == "CONFIG_BRIDGE_VLAN_FILTERING")
        .expect("VLAN filtering is needed");
    let can = host.has_vlan_filtering();
    assert_eq!(filtering["state"] == "lacking", !can, "{value}");
    assert_eq!(out.status.success(), can && filtering["state"] != "lacking");
}

/// What a container sends is redirected to where it can be limited.
#[test]
fn a_limit_both_ways_needs_a_filter_as_well() {
    let host = Host::new();
    let mut config = usual();
    config["plugins"][2]["egressRate"] = 8_000_000.into();
    config["plugins"][2]["egressBurst"] = 8_000_000.into();
    let text = said(&explain(&host, &config, &["--output", "json"]));
    let value: Value = serde_json::from_str(&text).unwrap();
    let features = value["features"].as_array().unwrap();
    let here: Vec<_> = features
        .iter()
        .filter(|one| one["state"] == "here")
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    for name in ["ifb", "tbf", "ingress", "u32 and mirred"] {
        assert!(here.contains(&name), "{name}: {features:?}");
    }
}

#[test]
fn address_sources_that_do_not_tell_are_said_to() {
    let host = Host::new();
    host.script_plugin("my-ipam", "#!/bin/sh\necho run >/run/cni-test/was-run\n");
    let mut config = usual();
    config["plugins"][0]["ipam"] = json!({ "type": "my-ipam" });
    let text = said(&explain(&host, &config, &[]));
    assert!(text.contains("my-ipam says what it gives only when"), "{text}");
    assert!(text.contains("cni0"), "{text}");
    assert!(!host.inside(|| std::path::Path::new("/run/cni-test/was-run").exists()));
}

#[test]
fn what_an_add_refuses_is_refused() {
    let host = Host::new();
    let mut config = usual();
    config["plugins"][0]["vlan"] = 5000.into();
    let out = explain(&host, &config, &[]);
    assert_eq!(out.status.code(), Some(1));
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(text.contains("plugins[0]") && text.contains("5000"), "{text}");
}
