//! Every netlink request, file operation, lock and child process of every verb fails in turn, in the
//! program built with the feature `faults`: the error is well formed, a failed ADD leaves nothing, and
//! DEL and GC remove whatever else there is. tests/faults.rs does the same from outside, to a program
//! without that feature.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::chained::{dual_entry, fused, whole_list};
use harness::config::{bridge, everything, merge, newest, ptp_dual_stack};
use harness::devices::{host_device, v4_ipam, wired};
use harness::dhcp::{World, by_dhcp};
use harness::dhcp_server::Manner;
use harness::injected::{Fault, KINDS, Sweep, faults};
use harness::person::Person;
use harness::router::{Advertisement, Router};
use harness::types::{self, after_a_bridge, of_type};
use harness::uplink::uplink;
use harness::{Host, Pod};
use serde_json::{Value, json};

const ALL: [&str; 4] = ["ADD", "CHECK", "DEL", "GC"];

/// Beside another attachment of the network, which has made what they share.
fn beside_another(plugin: &'static str, config: &Value, other: &Value) {
    let host = Host::new();
    let (green, blue) = (host.pod("green"), host.pod("blue"));
    let plugin = Plugin::Causeway(plugin);
    let beside = green.call(plugin, other);
    let result = beside.add();
    Sweep::new(&blue, &blue.call(plugin, config)).run(&ALL);
    beside.check(&result).silence();
}

/// A plugin of a list, after a bridge.
fn chained(plugin: &'static str, keys: Value) {
    let host = Host::new();
    let blue = host.pod("blue");
    let config = after_a_bridge(&blue, plugin, keys);
    Sweep::new(&blue, &blue.call(Plugin::Causeway(plugin), &config)).run(&ALL);
}

fn alone(pod: &Pod<'_>, plugin: &'static str, keys: Value) {
    let config = of_type(plugin, keys);
    Sweep::new(pod, &pod.call(Plugin::Causeway(plugin), &config)).run(&ALL);
}

#[test]
fn of_a_bridge() {
    beside_another("bridge", &everything(), &everything());
}

/// On a host where nothing is: what is shared is made, too, and goes again.
#[test]
fn of_the_first_bridge() {
    let host = Host::new();
    let blue = host.pod("blue");
    let call = blue.call(Plugin::Causeway("bridge"), &everything());
    let bare = [
        "nft flush ruleset",
        "ip link del br0",
        "sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0",
    ];
    Sweep::on_a_bare_host(&blue, &call, &bare).run(&["ADD"]);
}

#[test]
fn of_a_bridge_with_iptables() {
    let config = bridge(json!({"ipMasq": true, "ipMasqBackend": "iptables"}));
    beside_another("bridge", &config, &config);
}

#[test]
fn of_a_list_as_one() {
    beside_another("causeway", &whole_list(8080), &whole_list(9090));
}

#[test]
fn of_ptp() {
    let config = ptp_dual_stack(json!({"ipMasq": true}));
    beside_another("ptp", &config, &config);
}

#[test]
fn of_tap() {
    let config = of_type("tap", json!({"ipam": v4_ipam()}));
    beside_another("tap", &config, &config);
}

#[test]
fn of_macvlan() {
    let host = Host::new();
    let blue = host.pod("blue");
    host.run("ip link add up0 type veth peer name up1");
    host.run("ip link set up0 up");
    host.run("ip link set up1 up");
    alone(&blue, "macvlan", json!({"master": "up0", "ipam": v4_ipam()}));
}

#[test]
fn of_host_device() {
    let host = wired();
    let blue = host.pod("blue");
    let config = host_device(json!({"device": "dev0", "ipam": v4_ipam()}));
    Sweep::new(&blue, &blue.call(Plugin::Causeway("host-device"), &config)).run(&ALL);
}

#[test]
fn of_host_local() {
    let host = Host::new();
    let blue = host.pod("blue");
    Sweep::new(&blue, &blue.call(Plugin::Causeway("host-local"), &types::host_local())).run(&ALL);
}

#[test]
fn of_static_addresses() {
    let host = Host::new();
    let config = types::bridge_with_static_addresses();
    let blue = host.pod("blue");
    Sweep::new(&blue, &blue.call(Plugin::Causeway("bridge"), &config)).run(&ALL);
}

#[test]
fn of_loopback() {
    let host = Host::new();
    let blue = host.pod("blue");
    let config = of_type("loopback", json!({}));
    let call = blue.call(Plugin::Causeway("loopback"), &config).ifname("lo");
    Sweep::new(&blue, &call).run(&ALL);
}

/// The plugin's side: the daemon is whole, and so must be what it keeps and what the server has lent.
#[test]
fn of_dhcp() {
    let world = World::new(Manner::default());
    let blue = world.host.pod("blue");
    Sweep::new(&blue, &blue.call(Plugin::Causeway("bridge"), &by_dhcp(json!({})))).run(&ALL);
    world.server.has_all_back();
}

#[test]
fn of_an_address_from_a_router() {
    let host = Host::new();
    let other = uplink(&host);
    host.run("sysctl -qw net.ipv6.conf.up0.accept_ra=0");
    for address in ["fe80::1/64", "fd00:77::1/64"] {
        other.run(&format!("ip addr add {address} dev wire0 nodad"));
    }
    let _router = other.inside(|| Router::start("wire0", Advertisement::default()));
    let blue = host.pod("blue");
    // Not to wait a second for each address.
    blue.run("sysctl -qw net.ipv6.conf.default.dad_transmits=0");
    alone(&blue, "macvlan", json!({"master": "up0", "slaac": true}));
}

/// A plugin of another's that keeps a file for each attachment. It answers what it was given, or,
/// when that is nothing, an address.
const ANOTHERS: &str = r#"#!/bin/sh
mkdir -p /run/another
config=$(cat)
case $CNI_COMMAND in
ADD)
  echo >"/run/another/$CNI_CONTAINERID"
  case $config in
  *prevResult*) echo "$config" | python3 -Sc 'import json, sys
print(json.dumps(json.load(sys.stdin)["prevResult"]))' ;;
  *) echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.66.0.5/24", "gateway": "10.66.0.1"}]}' ;;
  esac ;;
CHECK) test -e "/run/another/$CNI_CONTAINERID" ;;
DEL) rm -f "/run/another/$CNI_CONTAINERID" ;;
GC)
  for file in /run/another/*; do
    case $config in *"\"${file##*/}\""*) ;; *) rm -f "$file" ;; esac
  done ;;
esac
"#;

#[test]
fn of_addresses_from_anothers_plugin() {
    let host = Host::new();
    host.script_plugin("another", ANOTHERS);
    let blue = host.pod("blue");
    let config =
        bridge(json!({"isDefaultGateway": true, "ipMasq": true, "ipam": {"type": "another"}}));
    Sweep::new(&blue, &blue.call(Plugin::Causeway("bridge"), &config)).run(&ALL);
}

#[test]
fn of_a_list_with_anothers_plugin() {
    let host = Host::new();
    host.script_plugin("another", ANOTHERS);
    let blue = host.pod("blue");
    let mut list = fused(&[
        dual_entry("br0", 88),
        json!({"type": "another"}),
        json!({"type": "tuning", "mtu": 1400}),
    ]);
    merge(&mut list, json!({"cniVersion": newest(), "name": "testnet"}));
    Sweep::new(&blue, &blue.call(Plugin::Causeway("causeway"), &list)).run(&ALL);
}

#[test]
fn of_portmap() {
    for backend in ["nftables", "iptables"] {
        chained("portmap", types::portmap(backend));
    }
}

#[test]
fn of_firewall() {
    for backend in ["nftables", "iptables"] {
        chained("firewall", json!({"backend": backend}));
    }
}

#[test]
fn of_bandwidth() {
    chained("bandwidth", types::bandwidth());
}

#[test]
fn of_tuning() {
    chained("tuning", types::tuning());
}

#[test]
fn of_sbr() {
    let host = Host::new();
    let blue = host.pod("blue");
    let config = after_a_bridge(&blue, "sbr", json!({}));
    // The kernel says that a route is there which is to be put back; then nobody puts it back.
    let is_there = |verb: &str, fault: Fault| {
        verb != "ADD" && (fault.kind, fault.way) == ("netlink", "EEXIST")
    };
    Sweep::new(&blue, &blue.call(Plugin::Causeway("sbr"), &config)).but(is_there).run(&ALL);
}

/// What people do with namespaces: one that could not be made is not there, and one can always be deleted.
#[test]
fn of_namespaces() {
    let host = Host::new();
    let person = Person::on(&host);
    // The directory becomes a mount with the first.
    person.succeeds("netns add blue");
    person.succeeds("netns del blue");
    let mut count = 0;
    for words in ["netns add blue", "netns list", "netns exec blue true", "netns del blue"] {
        for kind in KINDS {
            for number in 1.. {
                let mut came_so_far = false;
                for fault in faults(kind, number) {
                    if words != "netns add blue" {
                        person.succeeds("netns add blue");
                    }
                    let done = person.with("CAUSEWAY_FAULT", &fault.order()).causeway(words);
                    came_so_far |= done.stderr.contains("CAUSEWAY_FAULT: struck");
                    let when = format!("{words}, {fault:?}: {done}");
                    let has_failed = done.status != Some(0);
                    assert!(done.status.is_some_and(|code| code < 127), "{when}");
                    assert_eq!(has_failed, done.stderr.contains("causeway: "), "{when}");
                    let is_there = host.succeeds("test -e /run/netns/blue");
                    if words == "netns add blue" && has_failed {
                        assert!(!host.succeeds("mountpoint -q /run/netns/blue"), "{when}");
                    }
                    // Of a file that was made while the disk said that it was not, nobody knows.
                    if words == "netns add blue" && fault.way != "lost" {
                        assert_ne!(has_failed, is_there, "{when}");
                    }
                    person.succeeds("netns del blue");
                    assert!(!host.succeeds("test -e /run/netns/blue"), "{when}");
                }
                if !came_so_far {
                    break;
                }
                count += 1;
            }
        }
    }
    println!("{count} steps failed by order");
    assert!(count > 10, "only {count} steps were struck");
}
