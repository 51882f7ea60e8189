//! Several plugins in one call: one plan, one record, one undo; foreign ones executed in their place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::{Call, Plugin};
use harness::config::{dual_stack, merge};
use harness::refusal::{BAD_CONFIG, CHECK_FAILED, DELEGATE, refuse, refuse_late};
use harness::snapshot::nothing_stays;
use harness::{Host, Pod};
use serde_json::{Value, json};

const CAUSEWAY: Plugin = Plugin::Causeway("causeway");

/// A foreign plugin that keeps a file for each attachment, names a DNS domain in the result, and
/// writes down how it was called. It fails while /run/cni-test/fail-VERB is there.
const ACME: &str = r#"#!/bin/sh
cat >/run/cni-test/acme.$CNI_COMMAND
env | grep ^CNI_ | sort >/run/cni-test/acme.$CNI_COMMAND.env
if [ -e /run/cni-test/fail-$CNI_COMMAND ]; then
  echo '{"cniVersion": "1.1.0", "code": 111, "msg": "acme has had enough", "details": "of '$CNI_COMMAND'"}'
  exit 1
fi
case $CNI_COMMAND in
ADD)
  mkdir -p /run/acme
  touch /run/acme/$CNI_CONTAINERID
  exec python3 -c 'import json, sys
result = json.load(sys.stdin)["prevResult"]
result["dns"] = {"domain": "acme.example"}
print(json.dumps(result))' </run/cni-test/acme.ADD ;;
CHECK) test -e /run/acme/$CNI_CONTAINERID ;;
DEL) rm -rf /run/acme ;;
esac
"#;

/// The configuration that a runtime makes of a list with one entry for all of `plugins`.
fn list(plugins: &[Value]) -> Value {
    json!({"cniVersion": "1.1.0", "name": "testnet", "type": "causeway", "plugins": plugins})
}

/// The bridge entry of a list: without what the list says.
fn bridge(more: Value) -> Value {
    let mut entry = dual_stack(json!({"ipMasq": true, "cniVersion": null, "name": null}));
    merge(&mut entry, more);
    entry
}

fn acme(host: &Host) -> Value {
    host.script_plugin("acme", ACME);
    json!({"type": "acme", "capabilities": {"portMappings": true}, "level": 3})
}

fn attach<'h>(pod: &Pod<'h>, config: &Value) -> (Call<'h>, Value) {
    let call = pod.call(CAUSEWAY, config);
    let result = call.add();
    (call, result)
}

fn json_file(host: &Host, path: &str) -> Value {
    serde_json::from_str(&host.read(path)).unwrap()
}

#[test]
fn a_list_of_one_does_what_the_plugin_does_alone() {
    let host = Host::new();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let mut alone = bridge(json!({}));
    merge(&mut alone, json!({"cniVersion": "1.1.0", "name": "testnet"}));
    let before = (host.snapshot(), blue.snapshot());
    let (call, result) = attach(&blue, &list(&[bridge(json!({}))]));
    call.check(&result).silence();
    assert!(blue.reaches("10.88.0.1"));
    let other = green.call(Plugin::Causeway("bridge"), &alone);
    let beside = other.add();
    assert_eq!(result["ips"].as_array().unwrap().len(), beside["ips"].as_array().unwrap().len());
    assert_eq!(result["interfaces"][0], beside["interfaces"][0]);
    assert!(blue.reaches(beside["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap()));
    other.del();
    call.del();
    // The bridge and what comes with it stay, as they do with the plugin alone.
    let left = host.link_names();
    assert_eq!(left, ["lo", "br0"]);
    before.1.assert_same(&blue.snapshot(), "in the pod");
}

#[test]
fn a_foreign_plugin_is_executed_in_its_place() {
    let host = Host::new();
    let pod = host.pod("blue");
    let mut config = list(&[bridge(json!({})), acme(&host), json!({"type": "loopback"})]);
    let mapping = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
    config["runtimeConfig"] = json!({"portMappings": mapping, "aliases": ["not asked for"]});
    let (call, result) = attach(&pod, &config);
    assert_eq!(result["dns"]["domain"], "acme.example");
    assert_eq!(result["interfaces"].as_array().unwrap().len(), 3);
    // What a runtime would have given it.
    let given = json_file(&host, "/run/cni-test/acme.ADD");
    assert_eq!(given["name"], "testnet");
    assert_eq!(given["cniVersion"], "1.1.0");
    assert_eq!(given["level"], 3);
    assert_eq!(given["runtimeConfig"], json!({"portMappings": mapping}));
    assert_eq!(given["prevResult"]["ips"], result["ips"]);
    assert_eq!(given["prevResult"]["interfaces"], result["interfaces"]);
    let env = host.read("/run/cni-test/acme.ADD.env");
    for line in ["CNI_CONTAINERID=id-blue", "CNI_IFNAME=eth0", "CNI_NETNS=/run/netns/blue"] {
        assert!(env.lines().any(|one| one == line), "{env}");
    }
    // After it, lo came up.
    assert!(pod.run("ip -o link show lo").contains("UP"));

    call.check(&result).silence();
    assert_eq!(json_file(&host, "/run/cni-test/acme.CHECK")["prevResult"], result);
    host.run("rm /run/acme/id-blue");
    call.check(&result).fails(CHECK_FAILED, &["acme"]);
    host.run("touch /run/cni-test/fail-CHECK");
    call.check(&result).fails(CHECK_FAILED, &["acme has had enough"]);

    call.del();
    assert_eq!(json_file(&host, "/run/cni-test/acme.DEL")["level"], 3);
    assert!(!host.succeeds("test -e /run/acme"));
    assert_eq!(host.link_names(), ["lo", "br0"]);
    call.del();
}

#[test]
fn a_foreign_plugin_that_fails_takes_the_whole_attachment_with_it() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = list(&[bridge(json!({})), acme(&host)]);
    // The bridge itself stays, so it is there before.
    let (call, _) = attach(&pod, &config);
    call.del();
    host.run("touch /run/cni-test/fail-ADD");
    let error = refuse_late(&pod, &call, "ADD", &[111], &["acme has had enough", "plugins[1]"]);
    assert_eq!(error.version, "1.1.0");
    // It was told to clean up.
    assert_eq!(json_file(&host, "/run/cni-test/acme.DEL")["level"], 3);

    // One that cannot clean up is tried again by the next DEL.
    host.run("touch /run/cni-test/fail-DEL");
    call.run("ADD").fails(107, &["acme has had enough", "undoing it failed"]);
    assert!(host.succeeds("test -e /var/lib/cni/causeway/testnet/id-blue:eth0:causeway"));
    host.run("rm /run/cni-test/fail-DEL");
    call.del();
    assert!(!host.succeeds("test -e /var/lib/cni/causeway/testnet/id-blue:eth0:causeway"));
}

#[test]
fn a_foreign_plugin_that_is_not_there_is_named_before_anything_is_done() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = list(&[bridge(json!({})), json!({"type": "absent"})]);
    let call = pod.call(CAUSEWAY, &config);
    refuse(&pod, &call, "ADD", &[DELEGATE], &["plugins[1]", "absent", "CNI_PATH"]);
}

#[test]
fn either_form_of_a_list_detaches_what_the_other_attached() {
    let host = Host::new();
    let pod = host.pod("blue");
    let fused = pod.call(CAUSEWAY, &list(&[bridge(json!({})), json!({"type": "loopback"})]));
    let mut alone = bridge(json!({}));
    merge(&mut alone, json!({"cniVersion": "1.1.0", "name": "testnet"}));
    let alone = pod.call(Plugin::Causeway("bridge"), &alone);
    let loopback = json!({"cniVersion": "1.1.0", "name": "testnet", "type": "loopback"});
    let loopback = pod.call(Plugin::Causeway("loopback"), &loopback);
    fused.add();
    fused.del();
    let before = (host.snapshot(), pod.snapshot());

    let result = fused.add();
    alone.check(&result).silence();
    loopback.del();
    alone.del();
    nothing_stays(&before, &pod, "fused ADD, unfused DEL");

    let result = alone.add();
    loopback.clone().key("prevResult", &result).add();
    fused.check(&result).silence();
    fused.del();
    nothing_stays(&before, &pod, "unfused ADD, fused DEL");
}

#[test]
fn gc_and_status_ask_every_plugin() {
    let host = Host::new();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let config = list(&[bridge(json!({})), acme(&host)]);
    let (call, result) = attach(&green, &config);
    let before = (host.snapshot(), blue.snapshot());
    attach(&blue, &config);
    host.call(CAUSEWAY, &config).gc(&[("id-green", "eth0")]);
    let given = json_file(&host, "/run/cni-test/acme.GC");
    assert_eq!(given["cni.dev/valid-attachments"][0]["containerID"], "id-green");
    // acme's DEL took everybody's files; green's has to come back for the comparison.
    host.write("/run/acme/id-green", "");
    nothing_stays(&before, &blue, "after GC");
    call.check(&result).silence();

    let status = |config: &Value| host.call(CAUSEWAY, config).run("STATUS");
    status(&config).silence();
    host.run("touch /run/cni-test/fail-STATUS");
    status(&config).fails(111, &["acme has had enough"]);
}

#[test]
fn one_record_tells_of_the_whole_list() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attach(&pod, &list(&[bridge(json!({})), acme(&host)]));
    let files = host.run("ls /var/lib/cni/causeway/testnet");
    assert_eq!(files.trim(), "id-blue:eth0:causeway");
    // The record alone is enough: the configuration may have changed since.
    let other = pod.call(CAUSEWAY, &list(&[bridge(json!({"ipMasq": false}))]));
    other.del();
    assert!(!host.succeeds("test -e /run/acme"));
    assert_eq!(host.nft_elements(), []);
    call.del();
}

#[test]
fn a_list_that_cannot_be_one_is_refused() {
    let host = Host::new();
    let pod = host.pod("blue");
    let refused = |plugins: Value, words: &[&str]| {
        let mut config = list(&[]);
        config["plugins"] = plugins;
        refuse(&pod, &pod.call(CAUSEWAY, &config), "ADD", &[BAD_CONFIG], words);
    };
    refused(json!([]), &["plugins", "at least one"]);
    refused(json!("bridge"), &["plugins", "list"]);
    refused(json!([7]), &["plugins[0]", "object"]);
    refused(json!([{"bridge": "br0"}]), &["plugins[0]", "type"]);
    refused(json!([{"type": "../bridge"}]), &["plugins[0]", "type"]);
    refused(json!([bridge(json!({})), bridge(json!({}))]), &["plugins[1]", "second"]);
    refused(json!([{"type": "host-local", "ipam": {}}]), &["plugins[0]", "ipam"]);
    refused(
        json!([bridge(json!({})), {"type": "causeway", "plugins": [{"type": "loopback"}]}]),
        &["plugins[1]", "list in a list"],
    );
    refused(json!([bridge(json!({"vlan": 5000}))]), &["plugins[0]", "vlan"]);
}
