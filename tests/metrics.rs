//! `causeway metrics` after calls of every kind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeSet;

use harness::Host;
use harness::call::Plugin;
use harness::config::bridge;
use harness::refusal::{ALREADY_ATTACHED, CHECK_FAILED};
use serde_json::json;

const BRIDGE: Plugin = Plugin::Causeway("bridge");
const METRICS: &str = concat!(env!("CARGO_BIN_EXE_causeway"), " metrics");

/// The value of the sample with this name and these labels.
#[track_caller]
fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse().unwrap()
}

/// What the format asks for: each sample's family is announced once, before it, and no sample is twice.
fn well_formed(text: &str) {
    let (mut families, mut samples) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.insert(name), "{name} is announced twice");
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(samples.insert(sample), "{sample} is there twice");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = sample.split('{').next().unwrap();
            let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            assert!(families.contains(name) || stem.is_some_and(|stem| families.contains(stem)));
        }
    }
}

#[test]
fn what_happened_is_counted() {
    let host = Host::new();
    let (one, other) = (host.pod("blue"), host.pod("green"));
    let config = bridge(json!({}));
    assert!(!host.run(METRICS).contains("causeway_call_duration_seconds_count"));

    let result = one.call(BRIDGE, &config).add();
    one.call(BRIDGE, &config).check(&result).silence();
    let call = other.call(BRIDGE, &config);
    let result = call.add();
    call.clone().id("another").run("ADD").fails(ALREADY_ATTACHED, &["eth0"]);
    other.run("ip addr flush dev eth0");
    call.check(&result).fails(CHECK_FAILED, &["eth0"]);
    call.del();
    one.call(BRIDGE, &config).stdin(b"{").run("ADD");

    let text = host.run(METRICS);
    well_formed(&text);
    for (verb, calls) in [("ADD", 3.0), ("CHECK", 2.0), ("DEL", 1.0), ("unreadable", 1.0)] {
        let labels = format!("{{plugin=\"bridge\",verb=\"{verb}\"}}");
        let count = format!("causeway_call_duration_seconds_count{labels}");
        assert_eq!(value(&text, &count), calls, "{verb}");
        assert!(value(&text, &format!("causeway_call_duration_seconds_sum{labels}")) > 0.0);
    }
    for (verb, code) in [("ADD", ALREADY_ATTACHED), ("CHECK", CHECK_FAILED)] {
        let labels = format!("{{plugin=\"bridge\",verb=\"{verb}\",code=\"{code}\"}}");
        assert_eq!(value(&text, &format!("causeway_call_failures_total{labels}")), 1.0);
    }
    assert_eq!(value(&text, "causeway_leases{network=\"testnet\"}"), 1.0);
    let attached = "causeway_attachments{network=\"testnet\",state=\"attached\"}";
    assert_eq!(value(&text, attached), 1.0);
}

#[test]
fn a_range_that_a_configuration_has_is_told_of() {
    let host = Host::new();
    host.run("mkdir -p /run/net.d");
    let config = bridge(json!({"ipam": {"type": "host-local", "subnet": "10.9.0.0/29"}}));
    host.write("/run/net.d/10-testnet.conf", &config.to_string());
    host.pod("blue").call(BRIDGE, &config).add();
    host.run(&format!("{METRICS} --conf-dir /run/net.d --textfile /run/causeway.prom"));
    let text = host.read("/run/causeway.prom");
    well_formed(&text);
    let of_range = |name: &str| {
        let mut found = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        found.next().unwrap().rsplit_once(' ').unwrap().1.to_owned()
    };
    let found = ["addresses", "used", "free", "leaked"];
    let found = found.map(|name| of_range(&format!("causeway_range_{name}")));
    // Without the network's own address, the broadcast address and the gateway.
    assert_eq!(found, ["5", "1", "4", "0"]);
    let files = host.run("ls /run");
    assert_eq!(files.lines().filter(|name| name.contains(".prom")).count(), 1, "{files}");
    let missing = host.succeeds(&format!("{METRICS} --textfile /run/none/causeway.prom"));
    assert!(!missing, "a folder that is not there");
}
