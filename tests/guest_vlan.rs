//! vlan, which not every kernel has: verbs, frames with a tag on the wire, and the reference plugin
//! beside it. scripts/test runs this in a guest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::merge;
use harness::refusal::{BAD_CONFIG, CHECK_FAILED, NOT_DECODED, refuse, refuse_late};
use harness::router::{Advertisement, Router};
use harness::side_by_side::{Case, compare};
use harness::uplink::{self, fixed, network, on_a_fresh_host, uplink};
use harness::{Host, Pod};
use serde_json::{Value, json};

const VLAN: Plugin = Plugin::Causeway("vlan");

fn vlan(more: Value) -> Value {
    let mut config = network(VLAN, json!({"vlanId": 100}));
    merge(&mut config, more);
    config
}

fn beside(more: Value) -> Case {
    let mut config = vlan(json!({"cniVersion": "1.0.0"}));
    merge(&mut config, more);
    Case::of(config).prepare(|host| drop(uplink(host)))
}

/// Moves the other machine's addresses into a VLAN.
fn tag(other: &Pod<'_>, id: u16) {
    other.run("ip addr flush dev wire0");
    other.run(&format!("ip link add wire0.{id} link wire0 type vlan id {id}"));
    other.run(&format!("ip link set wire0.{id} up"));
    for address in ["10.88.0.254/24", "fd00:88::fe/64"] {
        other.run(&format!("ip addr add {address} dev wire0.{id} nodad"));
    }
}

#[test]
fn comes_and_goes() {
    uplink::comes_and_goes(VLAN, &vlan(json!({"ipam": fixed(), "mtu": 1400, "vlanId": 4094})));
}

#[test]
fn check_finds_losses() {
    let mac: (&str, &[&str]) =
        ("ip link set eth0 address 02:00:00:00:00:01", &["02:00:00:00:00:01"]);
    uplink::check_finds_losses(VLAN, &vlan(json!({"ipam": fixed()})), &[mac]);
}

/// Another VLAN's interface under the name, and another MTU than the configuration's when prevResult
/// tells none.
#[test]
fn check_compares_with_the_configuration() {
    on_a_fresh_host(VLAN, &vlan(json!({"mtu": 1400, "ipam": fixed()})), |host, pod, call| {
        let call = call.clone().key("cniVersion", &json!("1.0.0"));
        let result = call.add();
        call.check(&result).silence();
        pod.run("ip link set eth0 mtu 1300");
        call.check(&result).fails(CHECK_FAILED, &["1300", "1400"]);
        pod.run("ip link del eth0");
        host.run("ip link add link up0 name eth0 netns blue type vlan id 101");
        call.check(&result).fails(CHECK_FAILED, &["VLAN 101", "VLAN 100"]);
        call.del();
    });
}

#[test]
fn a_link_of_that_name_on_the_host() {
    uplink::the_host_has_a_link_of_that_name(VLAN, &vlan(json!({})));
}

#[test]
fn kills() {
    uplink::kills_at_every_message(VLAN, &vlan(json!({})));
}

#[test]
fn moving_in_and_out() {
    uplink::moves_both_ways("vlan", &vlan(json!({"mtu": 1400})));
}

#[test]
fn in_a_list() {
    uplink::works_in_a_list(&vlan(json!({"ipam": fixed()})));
}

#[test]
fn beside_the_reference() {
    compare(&beside(json!({"mtu": 1400, "vlanId": 1})));
    compare(&beside(json!({"ipam": fixed()})));
    for version in ["0.2.0", "0.4.0"] {
        compare(&beside(json!({"cniVersion": version})));
    }
}

#[test]
fn frames_carry_the_tag() {
    let host = Host::new();
    let other = uplink(&host);
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let config = vlan(json!({"ipam": fixed()}));
    blue.call(VLAN, &config).add();
    // Without a tag nobody answers.
    assert!(blue.gets_no_answer("10.88.0.254"));
    tag(&other, 100);
    assert!(blue.reaches("10.88.0.254") && blue.reaches("fd00:88::fe"));
    assert!(other.reaches("10.88.0.5") && other.reaches("fd00:88::5"));
    // Another VLAN is another wire, also with the same addresses.
    let config = vlan(json!({"ipam": fixed(), "vlanId": 101}));
    green.call(VLAN, &config).add();
    assert!(green.gets_no_answer("10.88.0.254"));
    assert!(blue.reaches("10.88.0.254"));
}

#[test]
fn the_master_is_in_the_container() {
    on_a_fresh_host(VLAN, &vlan(json!({"linkInContainer": true})), |host, pod, call| {
        host.run("ip link set up0 netns blue");
        pod.run("ip link set up0 up");
        let before = pod.snapshot();
        let result = call.add();
        call.check(&result).silence();
        let link = pod.json("ip -j link show eth0");
        assert_eq!(link[0]["link"], "up0");
        call.del();
        before.assert_same(&pod.snapshot(), "after DEL");
        // Taken inside the container.
        pod.run("ip link add five link up0 type vlan id 100");
        refuse_late(pod, call, "ADD", &[BAD_CONFIG], &["vlanId", "100", "five in the container"]);
    });
}

#[test]
fn a_vlan_that_is_taken() {
    let host = Host::new();
    let _other = uplink(&host);
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let config = vlan(json!({}));
    let call = blue.call(VLAN, &config);
    let result = call.add();
    let second = green.call(VLAN, &config);
    let elsewhere = ["vlanId", "VLAN 100", "up0", "taken", "another namespace"];
    refuse_late(&green, &second, "ADD", &[BAD_CONFIG], &elsewhere);
    // A link of the host under the container's name is no reason to look for another.
    host.run("ip link add eth0 type veth peer name eth9");
    refuse_late(&green, &second, "ADD", &[BAD_CONFIG], &elsewhere);
    call.check(&result).silence();
    call.del();
    host.run("ip link add card100 link up0 type vlan id 100");
    refuse_late(&green, &second, "ADD", &[BAD_CONFIG], &["vlanId", "card100 on the host"]);
    host.run("ip link del card100");
    second.add();
    second.del();
}

#[test]
fn refusals() {
    let host = Host::new();
    let _other = uplink(&host);
    let pod = host.pod("blue");
    let call = |more: Value| pod.call(VLAN, &vlan(more));
    let rows: &[(Value, &[&str])] = &[
        (json!({"master": null}), &["master", "missing"]),
        (json!({"master": ""}), &["master", "missing"]),
        (json!({"vlanId": null}), &["vlanId", "missing"]),
        (json!({"vlanId": 0}), &["vlanId", "0", "4094"]),
        (json!({"vlanId": 4095}), &["vlanId", "4095"]),
        (json!({"vlanId": -1}), &["vlanId", "-1"]),
        (json!({"vlanId": 65637}), &["vlanId", "65637"]),
        (json!({"vlanId": "100"}), &["vlanId"]),
        (json!({"mtu": -1}), &["mtu", "-1"]),
    ];
    for (more, words) in rows {
        refuse(&pod, &call(more.clone()), "ADD", &[BAD_CONFIG, NOT_DECODED], words);
    }
    let rows: &[(Value, &[&str])] = &[
        (json!({"master": "eth9"}), &["master", "eth9"]),
        (json!({"master": "lo"}), &["master", "lo"]),
        (json!({"ipam": null}), &["ipam", "missing"]),
        (json!({"mtu": 1501}), &["mtu", "1501", "1500"]),
        (json!({"mtu": 1279, "ipam": fixed()}), &["mtu", "1280"]),
    ];
    for (more, words) in rows {
        refuse_late(&pod, &call(more.clone()), "ADD", &[BAD_CONFIG], words);
    }
    host.run("ip link set up0 down");
    refuse_late(&pod, &call(json!({})), "ADD", &[BAD_CONFIG], &["master", "up0", "down"]);
}

#[test]
fn an_address_from_router_advertisements() {
    let host = Host::new();
    let other = uplink(&host);
    tag(&other, 100);
    for address in ["fe80::1/64", "fd00:77::1/64"] {
        other.run(&format!("ip addr add {address} dev wire0.100 nodad"));
    }
    let _router = other.inside(|| Router::start("wire0.100", Advertisement::default()));
    let pod = host.pod("blue");
    let call = pod.call(VLAN, &vlan(json!({"slaac": true, "slaacTimeout": 60})));
    let result = call.add();
    assert_eq!(result["ips"][1]["gateway"], "fe80::1", "{result}");
    assert!(pod.reaches("fd00:77::1"));
    call.check(&result).silence();
    call.del();
}
