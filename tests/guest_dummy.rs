//! dummy, which not every kernel has, and Debian's reference plugins neither: what it makes is compared
//! with what the newest reference is known to make. scripts/test runs this in a guest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::refusal::{BAD_CONFIG, refuse_late};
use harness::testing_reference;
use harness::uplink::{self, fixed, network, on_a_fresh_host};
use serde_json::{Value, json};

const DUMMY: Plugin = Plugin::Causeway("dummy");

fn dummy(more: Value) -> Value {
    network(DUMMY, more)
}

#[test]
fn comes_and_goes() {
    uplink::comes_and_goes(DUMMY, &dummy(json!({"ipam": fixed()})));
}

#[test]
fn check_finds_losses() {
    let mac: (&str, &[&str]) =
        ("ip link set eth0 address 02:00:00:00:00:01", &["02:00:00:00:00:01"]);
    uplink::check_finds_losses(DUMMY, &dummy(json!({"ipam": fixed()})), &[mac]);
}

#[test]
fn a_link_of_that_name_on_the_host() {
    uplink::the_host_has_a_link_of_that_name(DUMMY, &dummy(json!({})));
}

#[test]
fn in_a_list() {
    uplink::works_in_a_list(&dummy(json!({"ipam": fixed()})));
}

/// Sysctls of the container's interface that the reference plugin changes, and no others.
#[test]
fn it_makes_what_the_reference_makes() {
    on_a_fresh_host(DUMMY, &dummy(json!({"ipam": fixed()})), |_, pod, call| {
        let result = call.add();
        assert_eq!(
            result["ips"],
            json!([
                {"address": "10.88.0.5/24", "gateway": "10.88.0.254", "interface": 0},
                {"address": "fd00:88::5/64", "gateway": "fd00:88::fe", "interface": 0}
            ])
        );
        assert_eq!(result["routes"], json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]));
        let is = pod.snapshot();
        let link = is.get("/links/eth0");
        assert_eq!(link["linkinfo"]["info_kind"], "dummy");
        assert_eq!(link["mtu"], 1500);
        assert_eq!(link["flags"], json!(["BROADCAST", "LOWER_UP", "NOARP", "UP"]));
        let addresses = link["addresses"].as_object().unwrap();
        assert!(addresses.contains_key("10.88.0.5/24") && addresses.contains_key("fd00:88::5/64"));
        let routes = is.get("/routes").as_object().unwrap();
        for via in ["10.88.0.254", "fd00:88::fe"] {
            let key = format!("default via {via} dev eth0");
            assert!(routes.keys().any(|route| route.contains(&key)), "{key}: {routes:?}");
        }
        // As of any interface that is made anew.
        pod.run("ip link add fresh0 type dummy");
        let fresh = pod.snapshot();
        let changed: Vec<_> = fresh
            .get("/sysctls/eth0")
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, value)| fresh.get("/sysctls/fresh0")[key.as_str()] != **value)
            .map(|(key, _)| key.as_str())
            .collect();
        assert_eq!(changed, ["ipv6.keep_addr_on_down"]);
        pod.run("ip link del fresh0");
        // The container's own packets to its addresses go by way of `lo`.
        pod.run("ip link set lo up");
        assert!(pod.reaches("10.88.0.5") && pod.reaches("fd00:88::5"));
        pod.run("ip link set lo down");
        call.del();
    });
}

#[test]
fn it_needs_addresses() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    for ipam in [json!(null), json!({})] {
        let call = pod.call(DUMMY, &dummy(json!({"ipam": ipam})));
        refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], &["ipam", "dummy"]);
    }
}
