//! tuning in one process with the plugins before it, and what its neighbours hear.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::{dual_stack, merge};
use harness::list::{List, with};
use harness::refusal::CHECK_FAILED;
use harness::snapshot::{nothing_stays, readable};
use harness::{Host, Pod};
use serde_json::{Value, json};

const CAUSEWAY: Plugin = Plugin::Causeway("causeway");
const BRIDGE: Plugin = Plugin::Causeway("bridge");
const TUNING: Plugin = Plugin::Causeway("tuning");
const MAC: &str = "0a:58:0a:01:00:05";
const FIRST: &str = "MAC=0a:58:0a:01:00:01";

fn everything() -> Value {
    json!({
        "type": "tuning", "mac": MAC, "mtu": 1400, "promisc": true, "allmulti": true, "txQLen": 77,
        "sysctl": {
            "net.core.somaxconn": "512",
            "net.ipv4.conf.IFNAME.arp_filter": "1",
            "net.ipv6.conf.eth0.hop_limit": "33"
        }
    })
}

/// An entry as a configuration of its own.
fn alone(entry: &Value) -> Value {
    let mut config = entry.clone();
    merge(&mut config, json!({"cniVersion": "1.1.0", "name": "testnet"}));
    config
}

fn fused(entries: &[Value]) -> Value {
    json!({"cniVersion": "1.1.0", "name": "testnet", "type": "causeway", "plugins": entries})
}

fn entry_of_bridge() -> Value {
    dual_stack(json!({"cniVersion": null, "name": null, "ipMasq": true}))
}

fn somaxconn(pod: &Pod<'_>) -> String {
    pod.run("cat /proc/sys/net/core/somaxconn")
}

#[test]
fn a_list_does_what_its_plugins_do_one_by_one() {
    let play = |is_fused: bool| {
        let host = Host::new();
        let pod = host.pod("blue");
        let (bridge, tuning) = (entry_of_bridge(), everything());
        let list = if is_fused {
            List::of(&pod, &[(CAUSEWAY, fused(&[bridge, tuning]))])
        } else {
            List::of(&pod, &[(BRIDGE, alone(&bridge)), (TUNING, alone(&tuning))])
        };
        let result = list.add();
        list.check(&result);
        (result, pod.snapshot(), somaxconn(&pod))
    };
    let (one_by_one, at_once) = (play(false), play(true));
    assert_eq!(at_once.0["interfaces"][2], one_by_one.0["interfaces"][2]);
    assert_eq!(at_once.0["interfaces"][2]["mac"], MAC);
    assert_eq!(at_once.0["interfaces"][2]["mtu"], 1400);
    assert_eq!(at_once.0["ips"], one_by_one.0["ips"]);
    let differences = one_by_one.1.diff(&at_once.1);
    assert!(differences.is_empty(), "{}", readable(&differences));
    assert_eq!(at_once.2, "512\n");
    assert_eq!(at_once.2, one_by_one.2);
}

#[test]
fn one_record_is_enough() {
    let host = Host::new();
    let (pod, other) = (host.pod("blue"), host.pod("green"));
    let config = fused(&[entry_of_bridge(), everything()]);
    let call = pod.call(CAUSEWAY, &config);
    call.add();
    call.del();
    let beside = other.call(CAUSEWAY, &fused(&[entry_of_bridge()])).add();
    let before = (host.snapshot(), pod.snapshot());
    let wide_before = somaxconn(&pod);

    let result = call.add();
    assert_eq!(host.run("ls /var/lib/cni/causeway/testnet").matches("id-blue").count(), 1);
    // The interface goes with the attachment; nobody will ask what it was like before.
    assert!(!host.succeeds("test -e /run/cni/tuning"));
    for ip in beside["ips"].as_array().unwrap() {
        assert!(pod.reaches(ip["address"].as_str().unwrap().split('/').next().unwrap()));
    }
    call.check(&result).silence();
    pod.run("ip link set eth0 txqueuelen 78");
    call.check(&result).fails(CHECK_FAILED, &["78", "77"]);
    call.del();
    nothing_stays(&before, &pod, "after DEL");
    assert_eq!(somaxconn(&pod), wide_before);
    call.del();

    call.add();
    host.call(CAUSEWAY, &config).gc(&[("id-green", "eth0")]);
    nothing_stays(&before, &pod, "after GC");
    assert_eq!(somaxconn(&pod), wide_before);
}

#[test]
fn either_form_detaches_what_the_other_attached() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (bridge, tuning) = (entry_of_bridge(), everything());
    let at_once = List::of(&pod, &[(CAUSEWAY, fused(&[bridge.clone(), tuning.clone()]))]);
    let one_by_one = List::of(&pod, &[(BRIDGE, alone(&bridge)), (TUNING, alone(&tuning))]);
    at_once.del(&at_once.add());
    let before = (host.snapshot(), pod.snapshot());
    let wide_before = somaxconn(&pod);

    let result = at_once.add();
    one_by_one.check(&result);
    one_by_one.del(&result);
    nothing_stays(&before, &pod, "fused ADD, unfused DEL");
    assert_eq!(somaxconn(&pod), wide_before);

    let result = one_by_one.add();
    at_once.check(&result);
    at_once.del(&result);
    nothing_stays(&before, &pod, "unfused ADD, fused DEL");
    assert_eq!(somaxconn(&pod), wide_before);
}

#[test]
fn an_interface_that_a_foreign_plugin_makes_is_backed_up() {
    const MAKER: &str = r#"#!/bin/sh
cat >/dev/null
in="nsenter --net=$CNI_NETNS ip link"
case $CNI_COMMAND in
ADD)
  $in add $CNI_IFNAME mtu 1450 type veth peer name far
  echo '{"cniVersion": "1.1.0", "interfaces": [{"name": "'$CNI_IFNAME'", "sandbox": "'$CNI_NETNS'"}]}' ;;
DEL)
  $in show $CNI_IFNAME >/run/cni-test/at-del 2>&1
  $in del $CNI_IFNAME 2>/dev/null ;;
esac
exit 0
"#;
    let host = Host::new();
    let pod = host.pod("blue");
    host.script_plugin("maker", MAKER);
    let entry =
        json!({"type": "tuning", "mtu": 1400, "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}});
    let call = pod.call(CAUSEWAY, &fused(&[json!({"type": "maker"}), entry.clone()]));
    let result = call.add();
    assert_eq!(result["interfaces"][0]["mtu"], 1400);
    assert_eq!(pod.json("ip -j link show eth0")[0]["mtu"], 1400);
    let backup = "/run/cni/tuning/id-blue_eth0.json";
    assert_eq!(host.read(backup), "{\n \"mtu\": 1450\n}");
    call.check(&result).silence();
    // The one before it finds the interface as it made it.
    call.del();
    assert!(host.read("/run/cni-test/at-del").contains("mtu 1450"));
    assert!(!host.succeeds(&format!("test -e {backup}")));
    assert_eq!(pod.link_names(), ["lo"]);
}

#[test]
fn the_neighbours_hear_of_the_new_hardware_address() {
    let host = Host::new();
    host.run("ip link add br0 type bridge");
    host.run("ip link set br0 up");
    let config = alone(&json!({"type": "tuning", "mac": MAC}));
    let listen = |act: &dyn Fn()| {
        let watch = host.watch();
        act();
        let mut seen = (false, false);
        watch.sees(|frame| {
            seen.0 |= frame.announces_v4("10.88.0.2") && frame.source() == MAC;
            seen.1 |= frame.announces_v6("fd00:88::2") && frame.source() == MAC;
            seen.0 && seen.1
        });
        assert!(seen.0, "no gratuitous ARP was seen on the host");
        assert!(seen.1, "no unsolicited neighbour advertisement was seen on the host");
    };
    let pod = host.pod("blue");
    let bridge = pod.call(BRIDGE, &alone(&entry_of_bridge())).env("CNI_ARGS", FIRST);
    let given = bridge.add();
    let tuning = with(&pod.call(TUNING, &config), &given);
    listen(&|| drop(tuning.add()));
    tuning.del();
    bridge.del();
    host.run("rm -r /var/lib/cni/networks");
    let at_once = fused(&[entry_of_bridge(), json!({"type": "tuning", "mac": MAC})]);
    listen(&|| drop(pod.call(CAUSEWAY, &at_once).add()));
}
