//! static by its own name, beside the reference: results, CHECK, and that nothing stays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::merge;
use harness::{Host, require_reference};
use serde_json::{Value, json};

const VERSIONS: [&str; 6] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"];

/// The configuration of an interface plugin that has its addresses from static.
fn config(ipam: Value, more: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.0.0", "name": "testnet", "type": "macvlan", "master": "nothing",
        "ipam": {"type": "static"}
    });
    merge(&mut config["ipam"], ipam);
    merge(&mut config, more);
    config
}

/// What one of the two does with a configuration: the result of ADD, or nothing when it refuses; and
/// what CHECK says of results with that gateway and with another.
fn play(plugin: Plugin, config: &Value, args: &str) -> (Option<Value>, Vec<bool>) {
    let host = Host::new();
    let pod = host.pod("blue");
    let before = (host.snapshot(), pod.snapshot());
    let call = pod.call(plugin, config).env("CNI_ARGS", args);
    let outcome = call.run("ADD");
    let mut result: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let mut checks = Vec::new();
    let added = result.get("code").is_none();
    if added && ["0.4.0", "1.0.0"].contains(&config["cniVersion"].as_str().unwrap()) {
        let mut other = result.clone();
        if let Some(gateway) = other.pointer_mut("/ips/0/gateway") {
            *gateway = "10.88.0.77".into();
        }
        let mut strange = result.clone();
        strange["ips"] = json!([{"version": "4", "address": "10.99.0.1/24"}]);
        for previous in [&result, &other, &strange] {
            checks.push(call.check(previous).stdout.is_empty());
        }
    }
    call.del();
    call.del();
    let after = (host.snapshot(), pod.snapshot());
    before
        .0
        .without_shared_files()
        .assert_same(&after.0.without_shared_files(), "what is left on the host");
    before.1.assert_same(&after.1, "what is left in the container");
    // Later releases than Debian's print no empty name resolution from 1.0.0 on.
    if result.get("dns") == Some(&json!({})) && config["cniVersion"] == "1.0.0" {
        result.as_object_mut().unwrap().remove("dns");
    }
    (added.then_some(result), checks)
}

fn both() -> Value {
    json!([{"address": "10.88.0.5/24", "gateway": "10.88.0.254"}, {"address": "fd00:88::5/64"}])
}

#[test]
fn both_make_the_same_of_every_configuration() {
    require_reference();
    let runtime = json!({"runtimeConfig": {"ips": ["10.4.0.5/24", "fd04::5/64"]}});
    let args = json!({"args": {"cni": {"ips": ["10.3.0.5/24"]}}});
    let mut all = runtime.clone();
    merge(&mut all, args.clone());
    let routes = json!([{"dst": "0.0.0.0/0"}, {"dst": "fd99::/32", "gw": "fd00:88::9"}]);
    let dns = json!({"nameservers": ["10.88.0.1"], "domain": "pods.test", "search": ["a", "b"],
                     "options": ["ndots:1"]});
    let variable = "IP=10.88.0.6/24,fd00:88::6/64;GATEWAY=10.88.0.254,fd00:88::fe";
    for (ipam, more, variables) in [
        (json!({"addresses": both()}), json!({}), ""),
        (json!({"addresses": both(), "routes": routes, "dns": dns}), json!({}), ""),
        // Order is kept, and nothing is read into the addresses.
        (
            json!({"addresses": [{"address": "fd00::5/128"}, {"address": "10.0.0.5/32"}]}),
            json!({}),
            "",
        ),
        (json!({"addresses": both()}), json!({}), variable),
        (json!({}), json!({}), variable),
        (json!({}), json!({}), "IgnoreUnknown=1;IP=10.88.0.6/24;K8S_POD_NAME=web"),
        // A gateway of no subnet is nobody's.
        (json!({}), json!({}), "IP=10.88.0.6/24;GATEWAY=10.99.0.1"),
        (json!({"addresses": both()}), args, variable),
        (json!({"addresses": both()}), runtime, variable),
        (json!({"addresses": both()}), all, variable),
        // No address at all is a result as well.
        (json!({"addresses": []}), json!({}), ""),
    ] {
        let config = config(ipam, more);
        let theirs = play(Plugin::Reference("static"), &config, variables);
        let ours = play(Plugin::Causeway("static"), &config, variables);
        assert!(theirs.0.is_some(), "{config} {variables}");
        assert_eq!(theirs, ours, "{config} {variables}");
    }
}

#[test]
fn every_version_of_the_protocol() {
    require_reference();
    let routes = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
    for version in VERSIONS {
        let version = json!({"cniVersion": version});
        let config = config(json!({"addresses": both(), "routes": routes}), version);
        let theirs = play(Plugin::Reference("static"), &config, "");
        assert!(theirs.0.is_some(), "{config}");
        assert_eq!(theirs, play(Plugin::Causeway("static"), &config, ""), "{config}");
    }
}

#[test]
fn both_refuse_what_is_wrong() {
    require_reference();
    let one = |address: &str| json!({"addresses": [{"address": address}]});
    let two = json!({"addresses": [{"address": "10.88.0.5/24"}, {"address": "10.88.0.6/24"}]});
    for (ipam, more, variables) in [
        (one("10.88.0.5"), json!({}), ""),
        (one("10.88.0.5/33"), json!({}), ""),
        (one(""), json!({}), ""),
        (json!({"addresses": [{"address": "10.88.0.5/24", "gateway": "x"}]}), json!({}), ""),
        (json!({"routes": [{"dst": "everywhere"}]}), json!({}), ""),
        (two, json!({"cniVersion": "0.2.0"}), ""),
        (json!({}), json!({}), "IP=10.88.0.6"),
        (json!({}), json!({}), "IP=10.88.0.6/24;GATEWAY=x"),
        (json!({}), json!({"args": {"cni": {"ips": ["10.3.0.5"]}}}), ""),
        (json!({}), json!({"runtimeConfig": {"ips": ["10.4.0.5"]}}), ""),
    ] {
        let config = config(ipam, more);
        for plugin in [Plugin::Reference("static"), Plugin::Causeway("static")] {
            let (result, _) = play(plugin, &config, variables);
            assert_eq!(result, None, "{plugin:?}: {config} {variables}");
        }
    }
}
