//! host-local and loopback by themselves and beside the reference; foreign IPAM plugins.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::bridge;
use harness::{Host, require_reference, testing_reference};
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");
const HOST_LOCAL: Plugin = Plugin::Causeway("host-local");
const LOOPBACK: Plugin = Plugin::Causeway("loopback");

/// A result of Debian's reference plugins as later ones print it from 1.0.0 on: without a `dns` that
/// is empty.
fn plain(result: &Value) -> Value {
    let mut result = result.clone();
    if let Some(keys) = result.as_object_mut()
        && keys.get("dns") == Some(&json!({}))
    {
        keys.remove("dns");
    }
    result
}

/// Loopback through the reference and through causeway, in two fresh hosts.
///
/// Whatever the version, the reference prints a result in the form of 1.0.0.
#[test]
fn loopback_side_by_side() {
    require_reference();
    for version in ["0.2.0", "0.3.1", "0.4.0", "1.0.0"] {
        let play = |plugin: Plugin| {
            let host = Host::new();
            let pod = host.pod("blue");
            let config = json!({"cniVersion": version, "name": "cni-loopback", "type": "loopback"});
            let call = pod.call(plugin, &config).ifname("lo");
            let result = call.add();
            let added = pod.snapshot();
            if version != "0.2.0" && version != "0.3.1" {
                call.check(&result).silence();
                pod.run("ip link set lo down");
                call.check(&result).error();
                pod.run("ip link set lo up");
            }
            call.del();
            let removed = pod.snapshot();
            call.del();
            (result, added, removed)
        };
        let (theirs, ours) = (play(Plugin::Reference("loopback")), play(LOOPBACK));
        if version == "1.0.0" {
            assert_eq!(plain(&theirs.0), ours.0, "the result in {version}");
        }
        theirs.1.assert_same(&ours.1, "after ADD by causeway instead of the reference");
        theirs.2.assert_same(&ours.2, "after DEL by causeway instead of the reference");
    }
}

/// Loopback may be asked for again, and keeps no record: nothing of it outlives the namespace.
#[test]
fn loopback_twice() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = json!({"cniVersion": "1.1.0", "name": "cni-loopback", "type": "loopback"});
    let call = pod.call(LOOPBACK, &config).ifname("lo");
    let first = call.add();
    assert_eq!(first, call.add());
    call.check(&first).silence();
    assert!(host.snapshot().files("cni-loopback").is_empty());
}

/// Loopback as containerd calls it: with a result of another plugin, which it must hand on.
#[test]
fn loopback_hands_a_previous_result_on() {
    require_reference();
    let previous = json!({
        "cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/blue"}],
        "ips": [{"address": "10.1.1.1/24", "interface": 0}], "dns": {"domain": "pods.test"}
    });
    let config =
        json!({"cniVersion": "1.0.0", "name": "net", "type": "loopback", "prevResult": previous});
    for plugin in [Plugin::Reference("loopback"), LOOPBACK] {
        let host = Host::new();
        let pod = host.pod("blue");
        assert_eq!(pod.call(plugin, &config).ifname("lo").add(), previous, "{plugin:?}");
    }
}

/// host-local by itself, as another plugin calls it.
#[test]
fn host_local_side_by_side() {
    require_reference();
    for version in ["0.2.0", "0.3.1", "0.4.0", "1.0.0"] {
        let play = |plugin: Plugin| {
            let host = Host::new();
            let pod = host.pod("blue");
            let config = json!({
                "cniVersion": version, "name": "testnet", "type": "macvlan", "master": "nothing",
                "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]],
                         "routes": [{"dst": "0.0.0.0/0"}, {"dst": "fd99::/32", "gw": "fd00:88::9"}]}
            });
            let call = pod.call(plugin, &config);
            let mut results = vec![call.add()];
            if version != "0.2.0" && version != "0.3.1" {
                call.check(&results[0]).silence();
            }
            results.push(call.clone().ifname("net1").add());
            call.run("ADD").error();
            call.del();
            results.push(call.clone().id("other").add());
            call.del();
            (results, host.snapshot().get("/files").clone())
        };
        let (theirs, ours) = (play(Plugin::Reference("host-local")), play(HOST_LOCAL));
        let results: Vec<Value> =
            if version == "1.0.0" { theirs.0.iter().map(plain).collect() } else { theirs.0 };
        assert_eq!(results, ours.0, "the results in {version}");
        // Debian's reference plugins let everybody read leases; later ones do not.
        let leases = |files: &Value| -> Value {
            let files = files.as_object().unwrap().iter();
            let files = files.filter(|(path, _)| !path.contains("causeway"));
            files
                .map(|(path, text)| {
                    (path.clone(), Value::from(text.as_str().unwrap().replacen("0644", "0600", 1)))
                })
                .collect()
        };
        assert_eq!(leases(&theirs.1), leases(&ours.1), "the lease directory in {version}");
    }
}

#[test]
fn host_local_check_finds_the_lease_gone() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = bridge(json!({"type": "macvlan"}));
    let call = pod.call(HOST_LOCAL, &config);
    let result = call.add();
    call.check(&result).silence();
    host.run("rm /var/lib/cni/networks/testnet/10.88.0.2");
    call.check(&result).fails(104, &["10.88.0.2"]);
}

#[test]
fn host_local_gc_and_status() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let config = bridge(
        json!({"type": "macvlan", "ipam": {"type": "host-local", "subnet": "10.88.0.0/29"}}),
    );
    for name in ["a", "b", "c", "d", "e"] {
        host.pod(name).call(HOST_LOCAL, &config).add();
    }
    host.call(HOST_LOCAL, &config).run("STATUS").fails(50, &["10.88.0.0/29"]);
    host.call(HOST_LOCAL, &config).gc(&[("id-b", "eth0"), ("id-d", "eth0")]);
    let left = host.snapshot();
    let leases: Vec<&str> = left
        .files("/networks/testnet/10.")
        .into_iter()
        .map(|p| p.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(leases, ["10.88.0.3", "10.88.0.5"]);
    host.call(HOST_LOCAL, &config).run("STATUS").silence();
}

/// Another program's bridge has causeway's host-local hand out addresses; then causeway's bridge takes its
/// place, and knows that record, too.
#[test]
fn host_local_asked_by_anothers_bridge() {
    require_reference();
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let records = || host.snapshot().files("/var/lib/cni/causeway/testnet/id-").len();
    for verb in ["DEL", "GC"] {
        let pod = host.pod(verb);
        let config = |version: &str| bridge(json!({"cniVersion": version}));
        let others = pod.call(Plugin::Reference("bridge"), &config("1.0.0"));
        others.env("CNI_PATH", &HOST_LOCAL.dir()).add();
        assert_eq!(records(), 1, "{verb}");
        match verb {
            "DEL" => pod.call(BRIDGE, &config("1.0.0")).del(),
            _ => host.call(BRIDGE, &config("1.1.0")).gc(&[]),
        }
        assert_eq!(records(), 0, "{verb}");
        assert!(host.snapshot().files("/networks/testnet/10.").is_empty(), "{verb}");
    }
}

/// Another IPAM plugin, found on CNI_PATH, is asked with the whole configuration.
#[test]
fn a_foreign_ipam_plugin() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.script_plugin("foreign", FOREIGN);
    let config =
        bridge(json!({"isDefaultGateway": true, "ipam": {"type": "foreign", "own": "key"}}));
    let call = pod.call(BRIDGE, &config);
    let result = call.add();
    assert_eq!(result["ips"][0]["address"], "10.66.0.5/24", "{result}");
    if !testing_reference() {
        // Debian's version drops what the IPAM plugin says; later ones keep it.
        assert_eq!(result["dns"]["nameservers"], json!(["192.0.2.9"]));
    }
    assert!(pod.reaches("10.66.0.1"));
    call.check(&result).silence();
    call.del();
    let calls = host.read("/run/foreign-calls");
    let verbs: Vec<&str> = calls.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(verbs, ["ADD", "CHECK", "DEL"]);
    let expected = format!("id-blue eth0 /run/netns/blue {}", BRIDGE.dir());
    assert!(calls.lines().all(|line| line.contains(&expected)), "{calls}");
    assert!(calls.lines().all(|line| line.contains("\"own\":\"key\"")), "{calls}");
    assert_eq!(pod.link_names(), ["lo"]);
}

const FOREIGN: &str = r#"#!/bin/sh
config=$(cat)
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $CNI_NETNS $CNI_PATH $config" >> /run/foreign-calls
[ "$CNI_COMMAND" = ADD ] || exit 0
cat <<END
{"cniVersion": "1.0.0", "ips": [{"address": "10.66.0.5/24", "gateway": "10.66.0.1"}],
 "dns": {"nameservers": ["192.0.2.9"]}}
END
"#;

/// The versions of a chain may differ from what the IPAM plugin answers in.
#[test]
fn a_foreign_ipam_plugin_that_answers_in_an_old_form() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.script_plugin("old", r#"#!/bin/sh
cat > /dev/null
[ "$CNI_COMMAND" = ADD ] || exit 0
echo '{"cniVersion": "0.2.0", "ip4": {"ip": "10.66.0.5/24", "gateway": "10.66.0.1", "routes": [{"dst": "0.0.0.0/0"}]}}'
"#);
    let config = bridge(json!({"isGateway": true, "cniVersion": "0.2.0", "ipam": {"type": "old"}}));
    let result = pod.call(BRIDGE, &config).add();
    assert_eq!(result["ip4"]["ip"], "10.66.0.5/24");
    assert!(pod.run("ip route show default").contains("10.66.0.1"));
}
