//! What macvlan refuses, and what it says; nothing is left of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::refusal::{BAD_CONFIG, NOT_DECODED, refuse, refuse_late};
use harness::uplink::{fixed, network, on_a_fresh_host, uplink};
use serde_json::{Value, json};

const MACVLAN: Plugin = Plugin::Causeway("macvlan");

fn macvlan(more: Value) -> Value {
    network(MACVLAN, more)
}

#[test]
fn wrong_keys() {
    let host = Host::new();
    let _other = uplink(&host);
    let pod = host.pod("blue");
    let rows: &[(Value, &[&str])] = &[
        (json!({"master": "a/b"}), &["master", "a/b"]),
        (json!({"master": "much-too-long-a-name"}), &["master", "15 bytes"]),
        (json!({"master": 7}), &["master"]),
        (json!({"mode": "source"}), &["mode", "source", "bridge", "passthru"]),
        (json!({"mtu": -1}), &["mtu", "-1"]),
        (json!({"mtu": 67}), &["mtu", "67"]),
        (json!({"mtu": 70000}), &["mtu", "70000"]),
        (json!({"mtu": "1500"}), &["mtu"]),
        (json!({"mac": "0a:58"}), &["mac", "0a:58"]),
        (json!({"mac": "01:00:5e:00:00:01"}), &["mac", "01:00:5e:00:00:01", "unicast"]),
        (json!({"runtimeConfig": {"mac": "x"}}), &["runtimeConfig.mac"]),
        (json!({"bcqueuelen": -1}), &["bcqueuelen"]),
        (json!({"linkInContainer": "yes"}), &["linkInContainer"]),
        (json!({"ipam": {"type": "host-local"}}), &["ipam", "subnet"]),
    ];
    for (more, words) in rows {
        let call = pod.call(MACVLAN, &macvlan(more.clone()));
        refuse(&pod, &call, "ADD", &[BAD_CONFIG, NOT_DECODED], words);
    }
}

#[test]
fn no_such_master() {
    let host = Host::new();
    let _other = uplink(&host);
    let pod = host.pod("blue");
    pod.run("ip link add in0 type veth peer name in1");
    let rows: &[(Value, &[&str])] = &[
        (json!({"master": "eth9"}), &["master", "eth9", "on the host"]),
        (json!({"master": "in0"}), &["master", "in0", "in the container", "linkInContainer"]),
        (json!({"linkInContainer": true}), &["master", "up0", "on the host", "linkInContainer"]),
        (
            json!({"master": "eth9", "linkInContainer": true}),
            &["master", "eth9", "in the container"],
        ),
        (json!({"master": null}), &["master", "default route", "on the host"]),
        (
            json!({"master": null, "linkInContainer": true}),
            &["master", "default route", "in the container"],
        ),
    ];
    for (more, words) in rows {
        let call = pod.call(MACVLAN, &macvlan(more.clone()));
        refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], words);
    }
}

/// What depends on the lease is found before any link is made.
#[test]
fn what_the_master_cannot_serve() {
    let host = Host::new();
    let _other = uplink(&host);
    let pod = host.pod("blue");
    let late = |more: Value, words: &[&str]| {
        let call = pod.call(MACVLAN, &macvlan(more));
        refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], words);
    };
    late(json!({"mtu": 1501}), &["mtu", "1501", "1500", "up0"]);
    late(json!({"mtu": 1279, "ipam": fixed()}), &["mtu", "1280", "fd00:88::5"]);
    late(json!({"master": "lo"}), &["master", "lo", "loopback"]);
    host.run("ip link set up0 mtu 1000");
    late(json!({"ipam": fixed()}), &["master", "1280", "fd00:88::5"]);
    host.run("ip link set up0 mtu 1500");
    host.run("ip link set up0 down");
    late(json!({"ipam": fixed()}), &["master", "up0", "down"]);
    // IPv4 works as soon as it comes up.
    let call = pod.call(MACVLAN, &macvlan(json!({})));
    let result = call.add();
    host.run("ip link set up0 up");
    assert!(pod.reaches("10.88.0.254"));
    call.check(&result).silence();
    call.del();
}

#[test]
fn a_master_that_is_somebody_elses() {
    let host = Host::new();
    let _other = uplink(&host);
    let (pod, green) = (host.pod("blue"), host.pod("green"));
    let call = |mode: &str| pod.call(MACVLAN, &macvlan(json!({"mode": mode})));
    let beside = |mode: &str| green.call(MACVLAN, &macvlan(json!({"mode": mode})));

    let result = beside("passthru").add();
    for mode in ["bridge", "passthru"] {
        refuse_late(&pod, &call(mode), "ADD", &[BAD_CONFIG], &["up0", "passthru"]);
    }
    beside("passthru").check(&result).silence();
    beside("passthru").del();

    let result = beside("bridge").add();
    refuse_late(&pod, &call("passthru"), "ADD", &[BAD_CONFIG], &["mode", "up0", "for itself"]);
    beside("bridge").check(&result).silence();
    beside("bridge").del();

    host.run("ip link add br0 type bridge");
    host.run("ip link set up0 master br0");
    refuse_late(&pod, &call("bridge"), "ADD", &[BAD_CONFIG], &["master", "up0", "bridge"]);
}

#[test]
fn a_list_cannot_have_two() {
    let host = Host::new();
    let _other = uplink(&host);
    let pod = host.pod("blue");
    let entry = macvlan(json!({}));
    let list = json!({"cniVersion": "1.1.0", "name": "testnet", "type": "causeway",
                      "plugins": [entry, entry]});
    let call = pod.call(Plugin::Causeway("causeway"), &list);
    refuse(&pod, &call, "ADD", &[BAD_CONFIG], &["plugins[1]", "macvlan"]);
}

/// CHECK with a result that is another attachment's.
#[test]
fn anothers_result() {
    on_a_fresh_host(MACVLAN, &macvlan(json!({})), |_, _, call| {
        let result = call.add();
        let mut other = result.clone();
        other["interfaces"][0]["sandbox"] = json!("/run/netns/green");
        call.check(&other).fails(BAD_CONFIG, &["prevResult", "green"]);
        other["interfaces"][0]["name"] = json!("eth1");
        call.check(&other).fails(BAD_CONFIG, &["prevResult", "eth0"]);
        call.run("CHECK").fails(BAD_CONFIG, &["prevResult"]);
        call.del();
    });
}
