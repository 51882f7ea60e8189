//! What an attachment of type macvlan is: verbs, real packets in every mode, the master and the
//! hardware address that count.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::config::merge;
use harness::refusal::CHECK_FAILED;
use harness::testing_reference;
use harness::uplink::{self, fixed, network, on_a_fresh_host, uplink};
use serde_json::{Value, json};

const MACVLAN: Plugin = Plugin::Causeway("macvlan");

fn macvlan(more: Value) -> Value {
    network(MACVLAN, more)
}

#[test]
fn comes_and_goes() {
    for mode in ["bridge", "private", "vepa", "passthru"] {
        uplink::comes_and_goes(MACVLAN, &macvlan(json!({"mode": mode})));
    }
    uplink::comes_and_goes(MACVLAN, &macvlan(json!({"ipam": fixed(), "mtu": 1400})));
    uplink::comes_and_goes(MACVLAN, &macvlan(json!({"ipam": null})));
}

#[test]
fn check_finds_losses() {
    let mac: (&str, &[&str]) =
        ("ip link set eth0 address 02:00:00:00:00:01", &["02:00:00:00:00:01"]);
    let mode: (&str, &[&str]) =
        ("ip link set eth0 type macvlan mode private", &["bridge", "private"]);
    uplink::check_finds_losses(MACVLAN, &macvlan(json!({"ipam": fixed()})), &[mac, mode]);
}

/// The macvlan is on another master than the configuration says.
#[test]
fn check_finds_another_master() {
    on_a_fresh_host(MACVLAN, &macvlan(json!({})), |host, _, call| {
        let result = call.add();
        host.run("ip link set up0 name card0");
        call.check(&result).fails(CHECK_FAILED, &["up0"]);
        host.run("ip link add up0 type veth peer name up9");
        call.check(&result).fails(CHECK_FAILED, &["up0"]);
        call.del();
    });
}

#[test]
fn a_link_of_that_name_on_the_host() {
    uplink::the_host_has_a_link_of_that_name(MACVLAN, &macvlan(json!({})));
}

#[test]
fn kills() {
    uplink::kills_at_every_message(MACVLAN, &macvlan(json!({})));
    // Nothing but the link: no lease.
    uplink::kills_at_every_message(MACVLAN, &macvlan(json!({"ipam": null})));
}

#[test]
fn moving_in_and_out() {
    for more in [
        json!({}),
        json!({"mode": "private", "mtu": 1400}),
        json!({"mode": "passthru"}),
        json!({"ipam": fixed()}),
        json!({"ipam": {}}),
    ] {
        uplink::moves_both_ways("macvlan", &macvlan(more));
    }
}

#[test]
fn in_a_list() {
    uplink::works_in_a_list(&macvlan(json!({"ipam": fixed()})));
}

/// Both pods reach the other machine; each other as the mode says.
#[test]
fn packets_in_every_mode() {
    for (mode, they_meet) in [("bridge", true), ("private", false), ("vepa", false)] {
        let host = Host::new();
        let other = uplink(&host);
        let (blue, green) = (host.pod("blue"), host.pod("green"));
        let mut config = macvlan(json!({"mode": mode, "ipam": fixed()}));
        blue.call(MACVLAN, &config).add();
        config["ipam"]["addresses"] = json!([
            {"address": "10.88.0.6/24", "gateway": "10.88.0.254"},
            {"address": "fd00:88::6/64", "gateway": "fd00:88::fe"}
        ]);
        green.call(MACVLAN, &config).add();
        for pod in [&blue, &green] {
            assert!(pod.reaches("10.88.0.254") && pod.reaches("fd00:88::fe"), "{mode}");
        }
        assert!(other.reaches("10.88.0.5") && other.reaches("fd00:88::6"), "{mode}");
        if they_meet {
            assert!(blue.reaches("10.88.0.6") && green.reaches("fd00:88::5"), "{mode}");
        } else {
            assert!(blue.gets_no_answer("10.88.0.6"), "{mode}");
            assert!(green.gets_no_answer("fd00:88::5"), "{mode}");
        }
    }
    let host = Host::new();
    let _other = uplink(&host);
    let pod = host.pod("blue");
    pod.call(MACVLAN, &macvlan(json!({"mode": "passthru"}))).add();
    assert!(pod.reaches("10.88.0.254"));
    let card = host.json("ip -j link show up0");
    assert_eq!(card[0]["address"], json!(pod.mac("eth0")));
}

/// Neighbours learn of the addresses without asking, since they may have been another's.
#[test]
fn neighbours_are_told() {
    let host = Host::new();
    let other = uplink(&host);
    let pod = host.pod("blue");
    for (address, command) in [
        ("10.88.0.5", "ip neigh replace 10.88.0.5 lladdr 02:00:00:00:00:99 dev wire0 nud stale"),
        ("fd00:88::5", "ip neigh replace fd00:88::5 lladdr 02:00:00:00:00:99 dev wire0 nud stale"),
    ] {
        other.run(command);
        pod.call(MACVLAN, &macvlan(json!({"ipam": fixed()}))).add();
        let mac = pod.mac("eth0");
        host.wait("the other machine learns the new hardware address", |_| {
            other.run(&format!("ip neigh show {address}")).contains(&mac)
        });
        pod.call(MACVLAN, &macvlan(json!({"ipam": fixed()}))).del();
    }
}

#[test]
fn an_ipv6_address_that_another_machine_has() {
    on_a_fresh_host(MACVLAN, &macvlan(json!({})), |host, pod, call| {
        let before = (host.snapshot(), pod.snapshot());
        let mut config = macvlan(json!({"ipam": fixed()}));
        config["ipam"]["addresses"][1]["address"] = json!("fd00:88::fe/64");
        call.clone().config(&config).run("ADD").fails(100, &["fd00:88::fe"]);
        harness::snapshot::nothing_stays(&before, pod, "after a duplicate address");
    });
}

/// Without `master`, the default route tells: of IPv4 before IPv6, the lowest metric.
#[test]
fn the_default_route_names_the_master() {
    let host = Host::new();
    let _other = uplink(&host);
    let config = macvlan(json!({"master": null}));
    for name in ["up1", "up2"] {
        host.run(&format!("ip link add {name} type veth peer name {name}-far"));
        host.run(&format!("ip link set {name} up"));
        host.run(&format!("ip link set {name}-far up"));
    }
    let master = |host: &Host| {
        let pod = host.pod("blue");
        let call = pod.call(MACVLAN, &config);
        let result = call.add();
        call.check(&result).silence();
        let index = pod.json("ip -j link show eth0")[0]["link_index"].as_i64().unwrap();
        call.del();
        pod.destroy();
        let links = host.json("ip -j link");
        let found = links.as_array().unwrap().iter().find(|link| link["ifindex"] == index);
        found.unwrap()["ifname"].as_str().unwrap().to_owned()
    };
    host.run("ip -6 route add default dev up2");
    if !testing_reference() {
        assert_eq!(master(&host), "up2");
    }
    host.run("ip route add default dev up1 metric 100");
    assert_eq!(master(&host), "up1");
    host.run("ip route add default dev up0 metric 50");
    assert_eq!(master(&host), "up0");
    host.run("ip route add 10.0.0.0/8 dev up2");
    assert_eq!(master(&host), "up0");
}

#[test]
fn the_hardware_address_that_was_asked_for() {
    let host = Host::new();
    let _other = uplink(&host);
    let pod = host.pod("blue");
    let by = |config: Value, args: &str| {
        let call = pod.call(MACVLAN, &config).env("CNI_ARGS", args);
        let result = call.add();
        assert_eq!(result["interfaces"][0]["mac"], json!(pod.mac("eth0")));
        call.check(&result).silence();
        let mac = pod.mac("eth0");
        call.del();
        mac
    };
    let key = macvlan(json!({"mac": "0a:58:0a:01:00:01"}));
    assert_eq!(by(key.clone(), ""), "0a:58:0a:01:00:01");
    assert_eq!(by(key.clone(), "MAC=0a:58:0a:01:00:02"), "0a:58:0a:01:00:02");
    let mut both = key.clone();
    merge(&mut both, json!({"runtimeConfig": {"mac": "0A-58-0A-01-00-03"}}));
    assert_eq!(by(both, "MAC=0a:58:0a:01:00:02"), "0a:58:0a:01:00:03");
    // Without, it follows from the attachment.
    if !testing_reference() {
        assert_eq!(by(macvlan(json!({})), ""), by(macvlan(json!({})), ""));
    }
}

#[test]
fn the_master_is_in_the_container() {
    let host = Host::new();
    let _other = uplink(&host);
    let pod = host.pod("blue");
    host.run("ip link set up0 netns blue");
    pod.run("ip link set up0 up");
    let before = (host.snapshot(), pod.snapshot());
    let mut config = macvlan(json!({"linkInContainer": true, "mtu": 1400}));
    for round in ["named", "by the default route"] {
        let call = pod.call(MACVLAN, &config);
        let result = call.add();
        call.check(&result).silence();
        assert!(pod.reaches("10.88.0.254"), "{round}");
        assert_eq!(pod.json("ip -j link show eth0")[0]["link"], "up0", "{round}");
        call.del();
        nothing_stays_but_route(&before, &pod);
        if round == "named" {
            merge(&mut config, json!({"master": null, "ipam": fixed()}));
            pod.run("ip route add default dev up0 metric 9");
        }
    }
}

fn nothing_stays_but_route(
    before: &(harness::snapshot::Snapshot, harness::snapshot::Snapshot),
    pod: &harness::Pod<'_>,
) {
    before.1.without("/routes").assert_same(&pod.snapshot().without("/routes"), "after DEL");
}

#[test]
fn a_queue_for_broadcasts() {
    on_a_fresh_host(MACVLAN, &macvlan(json!({"bcqueuelen": 2000})), |_, pod, call| {
        let result = call.add();
        let link = pod.json("ip -j -d link show eth0");
        assert_eq!(link[0]["linkinfo"]["info_data"]["bcqueuelen"], 2000, "{link}");
        call.check(&result).silence();
        pod.run("ip link set eth0 type macvlan bcqueuelen 3000");
        call.check(&result).fails(CHECK_FAILED, &["2000", "3000"]);
        call.del();
    });
}

/// The usual list without what needs a link on the host.
#[test]
fn every_version_of_the_protocol() {
    on_a_fresh_host(MACVLAN, &macvlan(json!({})), |_, pod, call| {
        for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
            let call = call.clone().key("cniVersion", &json!(version));
            let result = call.add();
            assert_eq!(result["cniVersion"], version);
            let has_interfaces = !["0.1.0", "0.2.0"].contains(&version);
            assert_eq!(result.get("interfaces").is_some(), has_interfaces, "{result}");
            if ["0.4.0", "1.0.0", "1.1.0"].contains(&version) {
                call.check(&result).silence();
            }
            assert!(pod.reaches("10.88.0.254"), "{version}");
            call.del();
        }
    });
}

#[test]
fn status_wants_the_master() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let config = macvlan(json!({}));
    host.call(MACVLAN, &config).run("STATUS").fails(50, &["master", "up0"]);
    let _other = uplink(&host);
    host.call(MACVLAN, &config).run("STATUS").silence();
    let inside = macvlan(json!({"master": "eth7", "linkInContainer": true}));
    host.call(MACVLAN, &inside).run("STATUS").silence();
}
