//! ipvlan, which not every kernel has: verbs, real packets in every mode, the master that counts, and
//! the reference plugin beside it. scripts/test runs this in a guest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::config::merge;
use harness::refusal::{BAD_CONFIG, CHECK_FAILED, NOT_DECODED, refuse, refuse_late};
use harness::router::{Advertisement, Router};
use harness::side_by_side::{Case, compare};
use harness::snapshot::nothing_stays;
use harness::uplink::{self, fixed, network, on_a_fresh_host, uplink};
use serde_json::{Value, json};

const IPVLAN: Plugin = Plugin::Causeway("ipvlan");

fn ipvlan(more: Value) -> Value {
    network(IPVLAN, more)
}

fn beside(more: Value) -> Case {
    let mut config = ipvlan(json!({"cniVersion": "1.0.0"}));
    merge(&mut config, more);
    Case::of(config).prepare(|host| drop(uplink(host)))
}

#[test]
fn comes_and_goes() {
    uplink::comes_and_goes(IPVLAN, &ipvlan(json!({"mode": "l3s"})));
    uplink::comes_and_goes(IPVLAN, &ipvlan(json!({"ipam": fixed(), "mtu": 1400})));
}

#[test]
fn check_finds_losses() {
    let mode: (&str, &[&str]) = ("ip link set eth0 type ipvlan mode l3", &["l2", "l3"]);
    uplink::check_finds_losses(IPVLAN, &ipvlan(json!({"ipam": fixed()})), &[mode]);
}

#[test]
fn a_link_of_that_name_on_the_host() {
    uplink::the_host_has_a_link_of_that_name(IPVLAN, &ipvlan(json!({})));
}

#[test]
fn moving_in_and_out() {
    uplink::moves_both_ways("ipvlan", &ipvlan(json!({"mode": "l3s", "mtu": 1400})));
}

#[test]
fn in_a_list() {
    uplink::works_in_a_list(&ipvlan(json!({"ipam": fixed()})));
}

#[test]
fn beside_the_reference() {
    for mode in ["", "l3", "l3s"] {
        compare(&beside(json!({"mode": mode, "mtu": 1400})));
    }
    compare(&beside(json!({"ipam": fixed()})));
    compare(&beside(json!({"master": null})).prepare(|host| {
        drop(uplink(host));
        host.run("ip addr add 10.88.0.1/24 dev up0");
        host.run("ip route add default via 10.88.0.254");
    }));
    for version in ["0.2.0", "0.4.0"] {
        compare(&beside(json!({"cniVersion": version})));
    }
}

/// Both pods reach each other and, where the mode makes them part of the wire, the other machine.
#[test]
fn packets_in_every_mode() {
    for mode in ["l2", "l3", "l3s"] {
        let host = Host::new();
        let other = uplink(&host);
        let (blue, green) = (host.pod("blue"), host.pod("green"));
        let mut config = ipvlan(json!({"mode": mode, "ipam": fixed()}));
        if mode != "l2" {
            // Routes lead to the link: there are no neighbours to ask.
            config["ipam"]["routes"] = json!([]);
        }
        let result = blue.call(IPVLAN, &config).add();
        let card = host.json("ip -j link show up0");
        assert_eq!(card[0]["address"], result["interfaces"][0]["mac"]);
        config["ipam"]["addresses"] = json!([
            {"address": "10.88.0.6/24", "gateway": "10.88.0.254"},
            {"address": "fd00:88::6/64", "gateway": "fd00:88::fe"}
        ]);
        green.call(IPVLAN, &config).add();
        assert!(blue.reaches("10.88.0.6") && green.reaches("fd00:88::5"), "{mode}");
        if mode == "l2" {
            for pod in [&blue, &green] {
                assert!(pod.reaches("10.88.0.254") && pod.reaches("fd00:88::fe"), "{mode}");
            }
            assert!(other.reaches("10.88.0.5") && other.reaches("fd00:88::6"), "{mode}");
        }
    }
}

/// Neighbours learn where the address is now without asking.
#[test]
fn neighbours_are_told() {
    let host = Host::new();
    let other = uplink(&host);
    let pod = host.pod("blue");
    for address in ["10.88.0.5", "fd00:88::5"] {
        other.run(&format!(
            "ip neigh replace {address} lladdr 02:00:00:00:00:99 dev wire0 nud stale"
        ));
    }
    pod.call(IPVLAN, &ipvlan(json!({"ipam": fixed()}))).add();
    let mac = pod.mac("eth0");
    for address in ["10.88.0.5", "fd00:88::5"] {
        host.wait("the other machine learns the new hardware address", |_| {
            other.run(&format!("ip neigh show {address}")).contains(&mac)
        });
    }
}

/// The master and, without an address source, the addresses are those of the result before.
#[test]
fn after_another_plugin() {
    on_a_fresh_host(IPVLAN, &ipvlan(json!({})), |host, pod, call| {
        let before = (host.snapshot(), pod.snapshot());
        let previous = json!({
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "up0", "mac": "02:00:00:00:00:01"}],
            "ips": [{"address": "10.88.0.9/24", "gateway": "10.88.0.254", "interface": 0}],
            "routes": [{"dst": "192.168.0.0/16"}]
        });
        let mut config = ipvlan(json!({"master": null, "ipam": null}));
        let chained = call.clone().config(&config).key("prevResult", &previous);
        let result = chained.add();
        assert_eq!(result["interfaces"].as_array().unwrap().len(), 1, "{result}");
        assert_eq!(result["interfaces"][0]["name"], "eth0");
        assert_eq!(result["ips"][0]["address"], "10.88.0.9/24");
        assert_eq!(result["ips"][0]["interface"], 0);
        assert!(pod.reaches("10.88.0.254"));
        let route = pod.run("ip route show 192.168.0.0/16");
        assert!(route.contains("via 10.88.0.254"), "{route}");
        let plain = call.clone().config(&config);
        plain.check(&result).silence();
        pod.run("ip addr del 10.88.0.9/24 dev eth0");
        plain.check(&result).fails(CHECK_FAILED, &["10.88.0.9/24"]);
        plain.del();
        nothing_stays(&before, pod, "after DEL");

        // With an address source, only the master is the result's.
        merge(&mut config, json!({"ipam": fixed()}));
        let result = call.clone().config(&config).key("prevResult", &previous).add();
        assert_eq!(result["ips"][0]["address"], "10.88.0.5/24");
        call.clone().config(&config).check(&result).silence();
        call.clone().config(&config).del();

        // In a list, the plugin before has not run when the master would be looked up.
        host.script_plugin(
            "before",
            &format!("#!/bin/sh\n[ \"$CNI_COMMAND\" != ADD ] || echo '{previous}'\n"),
        );
        let list = json!({"cniVersion": "1.1.0", "name": "testnet", "type": "causeway",
                          "plugins": [{"type": "before"}, {"type": "ipvlan"}]});
        let call = pod.call(Plugin::Causeway("causeway"), &list);
        let result = call.add();
        assert_eq!(result["interfaces"][0]["mac"], json!(pod.mac("eth0")));
        assert_eq!(result["interfaces"][0]["mtu"], 1500);
        assert!(pod.reaches("10.88.0.254"));
        call.check(&result).silence();
        call.del();
        nothing_stays(&before, pod, "after DEL of the list");
    });
}

#[test]
fn the_master_is_in_the_container() {
    on_a_fresh_host(IPVLAN, &ipvlan(json!({"linkInContainer": true})), |host, pod, call| {
        host.run("ip link set up0 netns blue");
        pod.run("ip link set up0 up");
        let before = pod.snapshot();
        let result = call.add();
        call.check(&result).silence();
        assert!(pod.reaches("10.88.0.254"));
        call.del();
        before.assert_same(&pod.snapshot(), "after DEL");
    });
}

#[test]
fn refusals() {
    let host = Host::new();
    let _other = uplink(&host);
    let pod = host.pod("blue");
    let call = |more: Value| pod.call(IPVLAN, &ipvlan(more));
    let rows: &[(Value, &[&str])] = &[
        (json!({"mode": "l4"}), &["mode", "l4", "l3s"]),
        (json!({"mtu": -1}), &["mtu", "-1"]),
        (json!({"master": "a/b"}), &["master", "a/b"]),
    ];
    for (more, words) in rows {
        refuse(&pod, &call(more.clone()), "ADD", &[BAD_CONFIG, NOT_DECODED], words);
    }
    let named = json!({"interfaces": [{"name": "eth9"}], "cniVersion": "1.1.0"});
    let two = json!({"interfaces": [{"name": "up0"}, {"name": "lo"}], "cniVersion": "1.1.0"});
    let rows: &[(Value, &[&str])] = &[
        (json!({"master": "eth9"}), &["master", "eth9"]),
        (json!({"master": null}), &["master", "default route", "prevResult"]),
        (json!({"master": null, "prevResult": named}), &["master", "eth9"]),
        (json!({"master": null, "prevResult": two}), &["master", "prevResult", "2 interfaces"]),
        (json!({"ipam": null}), &["ipam", "prevResult"]),
        (json!({"master": "lo"}), &["master", "lo"]),
        (json!({"mtu": 1501}), &["mtu", "1501", "1500"]),
        (json!({"mtu": 1279, "ipam": fixed()}), &["mtu", "1280"]),
    ];
    for (more, words) in rows {
        refuse_late(&pod, &call(more.clone()), "ADD", &[BAD_CONFIG], words);
    }
    // Not both kinds on one master.
    host.run("ip link add mac0 link up0 type macvlan mode bridge");
    refuse_late(&pod, &call(json!({})), "ADD", &[BAD_CONFIG], &["master", "up0", "another kind"]);
}

/// All on one master have one hardware address, and addresses of their own all the same.
#[test]
fn addresses_from_router_advertisements() {
    let host = Host::new();
    let other = uplink(&host);
    for address in ["fe80::1/64", "fd00:77::1/64"] {
        other.run(&format!("ip addr add {address} dev wire0 nodad"));
    }
    let _router = other.inside(|| Router::start("wire0", Advertisement::default()));
    let mut found = Vec::new();
    for name in ["blue", "green"] {
        let pod = host.pod(name);
        let call = pod.call(IPVLAN, &ipvlan(json!({"slaac": true, "slaacTimeout": 60})));
        let result = call.add();
        assert_eq!(result["ips"][1]["gateway"], "fe80::1", "{result}");
        assert!(pod.reaches("fd00:77::1"));
        call.check(&result).silence();
        found.push(result["ips"][1]["address"].clone());
    }
    assert_ne!(found[0], found[1]);
}
