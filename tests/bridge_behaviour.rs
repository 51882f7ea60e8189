//! What an attachment to a bridge does: real packets, CHECK, DEL, and what stays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::{bridge, dual_stack};
use harness::{Host, Pod};
use serde_json::json;

const BRIDGE: Plugin = Plugin::Causeway("bridge");

/// A router beyond the host: the host is 192.0.2.1 and fd00:2::1, the other side .2 and ::2.
fn outside(host: &Host) -> Pod<'_> {
    let outside = host.pod("outside");
    host.run("ip link add up0 type veth peer out0 netns outside");
    for address in ["192.0.2.1/24", "fd00:2::1/64"] {
        host.run(&format!("ip addr add {address} dev up0 nodad"));
    }
    host.run("ip link set up0 up");
    for address in ["192.0.2.2/24", "fd00:2::2/64"] {
        outside.run(&format!("ip addr add {address} dev out0 nodad"));
    }
    outside.run("ip link set out0 up");
    outside
}

#[test]
fn packets_pass_between_pods_gateway_and_host() {
    let host = Host::new();
    let config = dual_stack(json!({}));
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    blue.call(BRIDGE, &config).add();
    green.call(BRIDGE, &config).add();
    for address in ["10.88.0.1", "10.88.0.3", "fd00:88::1", "fd00:88::3"] {
        assert!(blue.reaches(address), "blue does not reach {address}");
    }
    for address in ["10.88.0.2", "fd00:88::2"] {
        assert!(green.reaches(address), "green does not reach {address}");
        assert!(host.reaches(address), "the host does not reach {address}");
    }
}

#[test]
fn the_host_forwards_to_the_outside() {
    let host = Host::new();
    let outside = outside(&host);
    outside.run("ip route add 10.88.0.0/24 via 192.0.2.1");
    outside.run("ip route add fd00:88::/64 via fd00:2::1");
    let blue = host.pod("blue");
    blue.call(BRIDGE, &dual_stack(json!({}))).add();
    for address in ["192.0.2.2", "fd00:2::2"] {
        assert!(blue.reaches(address), "blue does not reach {address}");
        let seen = blue.seen_by(&outside, address).map(|ip| ip.to_string());
        let own = if address.contains(':') { "fd00:88::2" } else { "10.88.0.2" };
        assert_eq!(seen.as_deref(), Some(own), "without ipMasq the outside sees the pod's address");
    }
}

#[test]
fn ip_masq_hides_pods_from_the_outside_only() {
    let host = Host::new();
    let outside = outside(&host);
    let config = dual_stack(json!({"ipMasq": true}));
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    blue.call(BRIDGE, &config).add();
    green.call(BRIDGE, &config).add();
    let seen = |by: &Pod<'_>, from: &Pod<'_>, at: &str| {
        from.seen_by(by, at).map(|ip| ip.to_string()).unwrap_or_default()
    };
    assert_eq!(seen(&outside, &blue, "192.0.2.2"), "192.0.2.1");
    assert_eq!(seen(&outside, &blue, "fd00:2::2"), "fd00:2::1");
    assert!(blue.reaches("192.0.2.2") && blue.reaches("fd00:2::2"), "answers come back");
    assert_eq!(
        seen(&green, &blue, "10.88.0.3"),
        "10.88.0.2",
        "inside the subnet nothing is hidden"
    );
    assert_eq!(
        seen(&green, &blue, "fd00:88::3"),
        "fd00:88::2",
        "inside the subnet nothing is hidden"
    );
    // What blue leaves behind must not hide or expose green.
    blue.call(BRIDGE, &config).del();
    assert_eq!(seen(&outside, &green, "192.0.2.2"), "192.0.2.1");
    assert_eq!(seen(&outside, &green, "fd00:2::2"), "fd00:2::1");
}

#[test]
fn mac_spoof_check_drops_other_addresses() {
    let host = Host::new();
    let checked = dual_stack(json!({"macspoofchk": true}));
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    blue.call(BRIDGE, &checked).add();
    green.call(BRIDGE, &dual_stack(json!({}))).add();
    let own = blue.mac("eth0");
    assert!(blue.reaches("10.88.0.1") && blue.reaches("fd00:88::1"), "the own address passes");

    blue.run("ip link set eth0 address 02:00:00:00:00:99");
    assert!(blue.gets_no_answer("10.88.0.1"), "a spoofed address reaches the gateway");
    assert!(blue.gets_no_answer("10.88.0.3"), "a spoofed address reaches another pod");

    green.run("ip link set eth0 address 02:00:00:00:00:98");
    assert!(green.reaches("10.88.0.1"), "a pod without the check may change its address");

    blue.run(&format!("ip link set eth0 address {own}"));
    assert!(blue.reaches("10.88.0.1"), "the own address passes again");
}

#[test]
fn hairpin_mode_sends_frames_back() {
    for hairpin in [true, false] {
        let host = Host::new();
        let blue = host.pod("blue");
        blue.call(BRIDGE, &bridge(json!({"hairpinMode": hairpin}))).add();
        let mac = blue.mac("eth0");
        let watch = blue.watch();
        // Nobody has this address: the question goes to every port.
        blue.gets_no_answer("10.88.0.99");
        let came_back = |frame: &harness::packets::Frame| !frame.outgoing && frame.source() == mac;
        if hairpin {
            assert!(watch.sees(came_back), "the bridge does not send back to the port");
        } else {
            assert!(watch.misses(came_back), "the bridge sends back without hairpinMode");
        }
    }
}

#[test]
fn port_isolation_parts_pods_but_not_from_the_gateway() {
    let host = Host::new();
    let isolated = dual_stack(json!({"portIsolation": true}));
    let (blue, green, red) = (host.pod("blue"), host.pod("green"), host.pod("red"));
    let call = blue.call(BRIDGE, &isolated);
    let result = call.add();
    green.call(BRIDGE, &isolated).add();
    red.call(BRIDGE, &dual_stack(json!({}))).add();
    for pod in [&blue, &green] {
        assert!(pod.reaches("10.88.0.1") && pod.reaches("fd00:88::1"), "the gateway answers");
    }
    assert!(blue.gets_no_answer("10.88.0.3"), "isolated ports reach each other");
    assert!(blue.gets_no_answer("fd00:88::3"), "isolated ports reach each other");
    assert!(blue.reaches("10.88.0.4"), "a port that is not isolated answers");
    call.check(&result).silence();
}

/// What ADD hands over can be used at once: no address is still being looked for elsewhere.
#[test]
fn addresses_are_ready_when_add_returns() {
    for detect in [false, true] {
        let host = Host::new();
        let blue = host.pod("blue");
        blue.call(BRIDGE, &dual_stack(json!({"enabledad": detect}))).add();
        let links = blue.json("ip -j addr show dev eth0");
        let addresses = links[0]["addr_info"].as_array().unwrap();
        let global: Vec<_> = addresses.iter().filter(|a| a["scope"] == "global").collect();
        assert_eq!(global.len(), 2, "{addresses:?}");
        for address in global {
            assert!(address.get("tentative").is_none(), "with enabledad {detect}: {address}");
            assert!(address.get("dadfailed").is_none(), "with enabledad {detect}: {address}");
        }
        blue.inside(|| std::net::UdpSocket::bind(("fd00:88::2", 0)).expect("use the address"));
    }
}

#[test]
fn addresses_are_announced() {
    let host = Host::new();
    host.run("ip link add br0 type bridge");
    host.run("ip link set br0 up");
    let blue = host.pod("blue");
    let watch = host.watch();
    blue.call(BRIDGE, &dual_stack(json!({}))).add();
    let mac = blue.mac("eth0");
    let mut seen = (false, false);
    watch.sees(|frame| {
        seen.0 |= frame.announces_v4("10.88.0.2") && frame.source() == mac;
        seen.1 |= frame.announces_v6("fd00:88::2") && frame.source() == mac;
        seen.0 && seen.1
    });
    assert!(seen.0, "no gratuitous ARP was seen on the host");
    assert!(seen.1, "no unsolicited neighbour advertisement was seen on the host");
}

/// A neighbour that knew the address by another hardware address learns the new one unasked.
#[test]
fn neighbours_learn_a_new_owner_of_an_address() {
    let host = Host::new();
    let config = dual_stack(json!({"runtimeConfig": {"ips": ["10.88.0.50", "fd00:88::50"]}}));
    let (witness, old, new) = (host.pod("witness"), host.pod("old"), host.pod("new"));
    witness.call(BRIDGE, &dual_stack(json!({}))).add();
    old.call(BRIDGE, &config).add();
    assert!(witness.reaches("10.88.0.50") && witness.reaches("fd00:88::50"));
    old.call(BRIDGE, &config).del();
    new.call(BRIDGE, &config).add();
    let mac = new.mac("eth0");
    for address in ["10.88.0.50", "fd00:88::50"] {
        host.wait(&format!("{address} is known by its new hardware address"), |_| {
            witness.json(&format!("ip -j neigh show {address}"))[0]["lladdr"] == mac.as_str()
        });
    }
}

#[test]
fn the_bridge_and_its_address_outlive_the_last_pod() {
    let host = Host::new();
    let blue = host.pod("blue");
    let call = blue.call(BRIDGE, &dual_stack(json!({})));
    call.add();
    call.del();
    let left = host.snapshot();
    assert_eq!(left.links(), ["br0", "lo"]);
    let addresses = left.get("/links/br0/addresses").as_object().unwrap();
    assert!(addresses.contains_key("10.88.0.1/24") && addresses.contains_key("fd00:88::1/64"));
}

#[test]
fn a_pod_may_have_several_interfaces_on_one_bridge() {
    let host = Host::new();
    let blue = host.pod("blue");
    let config = bridge(json!({"isGateway": true, "ipMasq": true, "macspoofchk": true}));
    let first = blue.call(BRIDGE, &config);
    let second = blue.call(BRIDGE, &config).ifname("net1");
    let result = first.add();
    let with_one = (host.snapshot(), blue.snapshot());
    let other = second.add();
    assert_eq!(other["ips"][0]["address"], "10.88.0.3/24");
    first.check(&result).silence();
    second.check(&other).silence();
    second.del();
    with_one
        .0
        .without("/files")
        .assert_same(&host.snapshot().without("/files"), "after net1 is gone, on the host");
    with_one.1.assert_same(&blue.snapshot(), "after net1 is gone, in the pod");
    first.check(&result).silence();
    assert!(blue.reaches("10.88.0.1"));
}

#[test]
fn disable_container_interface_leaves_the_pod_end_down() {
    if testing_old_reference() {
        return;
    }
    let host = Host::new();
    let blue = host.pod("blue");
    let before = blue.snapshot();
    let call = blue.call(BRIDGE, &bridge(json!({"disableContainerInterface": true, "ipam": null})));
    let result = call.add();
    let pod = blue.snapshot();
    let flags = pod.get("/links/eth0/flags").as_array().expect("eth0 is there").clone();
    assert!(!flags.contains(&"UP".into()), "eth0 is up: {flags:?}");
    let veth = host.host_veth();
    assert_eq!(host.snapshot().0["links"][&veth]["master"], "br0");
    assert_eq!(result["interfaces"].as_array().map(Vec::len), Some(3), "{result}");
    call.check(&result).silence();
    call.del();
    before.assert_same(&blue.snapshot(), "after DEL");
    assert_eq!(host.snapshot().links(), ["br0", "lo"]);
}

/// Keys that the reference plugins of this machine do not know cannot be tried on them.
fn testing_old_reference() -> bool {
    harness::testing_reference()
}

/// VLANs where this kernel has them (tests/guest_bridge_vlan.rs looks closely); where not, an error
/// that says so and leaves nothing, also of the VLAN's interface on a bridge that was there before.
#[test]
fn vlans_work_or_the_kernel_lacks_them() {
    for there_before in [false, true] {
        let host = Host::new();
        let blue = host.pod("blue");
        if there_before {
            host.run("ip link add br0 type bridge");
            host.run("ip link set br0 up");
        }
        let before = (host.link_names(), blue.snapshot());
        let trunk = json!([{"id": 101}, {"minID": 200, "maxID": 203}]);
        let config = bridge(json!({"isGateway": true, "vlan": 100, "vlanTrunk": trunk}));
        let outcome = blue.call(BRIDGE, &config).run("ADD");
        if host.has_vlan_filtering() {
            outcome.success();
            assert!(blue.reaches("10.88.0.1"), "the gateway answers in the VLAN");
        } else {
            outcome.fails(106, &["vlan", "BRIDGE_VLAN_FILTERING"]);
            assert_eq!(host.link_names(), before.0, "after the failed ADD");
            before.1.assert_same(&blue.snapshot(), "after the failed ADD, in the pod");
        }
    }
}
