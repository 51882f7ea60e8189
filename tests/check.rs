//! CHECK finds every kind of damage, and nothing where there is none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::{bridge, dual_stack, everything};
use harness::snapshot::Snapshot;
use harness::{Host, Pod};
use serde_json::json;

const BRIDGE: Plugin = Plugin::Causeway("bridge");

/// ADD, CHECK that finds nothing, `damage`, CHECK that must find it and name `words`.
fn check_finds(words: &[&str], damage: impl FnOnce(&Host, &Pod<'_>)) {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &everything());
    let result = call.add();
    call.check(&result).silence();
    call.check(&result).silence();
    damage(&host, &pod);
    let damaged = (host.snapshot(), pod.snapshot());
    call.check(&result).fails(104, words);
    damaged.0.assert_same(&host.snapshot(), "CHECK only looks, on the host");
    damaged.1.assert_same(&pod.snapshot(), "CHECK only looks, in the pod");
    // Whatever is broken, DEL still cleans up.
    call.del();
    assert_eq!(pod.snapshot().links(), ["lo"]);
    assert!(!leases_of(&host.snapshot()).iter().any(|text| text.contains("id-blue")));
}

/// The texts of the lease files.
fn leases_of(host: &Snapshot) -> Vec<String> {
    let text = |path: &str| host.0["files"][path].as_str().unwrap_or_default().to_owned();
    host.files("/networks/testnet/").into_iter().map(text).collect()
}

/// Takes the pod's end down, and waits for what the kernel makes of it on the host in its own time.
fn down(host: &Host, pod: &Pod<'_>) {
    pod.run("ip link set eth0 down");
    host.wait("the bridge has no carrier", |host| {
        !host.run("ip -o link show br0").contains("LOWER_UP")
    });
}

#[test]
fn check_finds_the_pod_link_down() {
    check_finds(&["eth0"], down);
}

#[test]
fn check_finds_the_pod_link_gone() {
    check_finds(&["eth0"], |_, pod| drop(pod.run("ip link del eth0")));
}

#[test]
fn check_finds_the_pod_link_renamed() {
    check_finds(&["eth0"], |host, pod| {
        down(host, pod);
        pod.run("ip link set eth0 name other");
    });
}

#[test]
fn check_finds_another_hardware_address() {
    check_finds(&["eth0"], |_, pod| drop(pod.run("ip link set eth0 address 02:00:00:00:00:07")));
}

#[test]
fn check_finds_another_mtu() {
    check_finds(&["1400"], |_, pod| drop(pod.run("ip link set eth0 mtu 1300")));
}

#[test]
fn check_finds_the_v4_address_gone() {
    check_finds(&["10.88.0.2"], |_, pod| drop(pod.run("ip addr del 10.88.0.2/24 dev eth0")));
}

#[test]
fn check_finds_the_v6_address_gone() {
    check_finds(&["fd00:88::2"], |_, pod| drop(pod.run("ip addr del fd00:88::2/64 dev eth0")));
}

#[test]
fn check_finds_another_prefix_length() {
    check_finds(&["10.88.0.2/24"], |_, pod| {
        pod.run("ip addr del 10.88.0.2/24 dev eth0");
        pod.run("ip addr add 10.88.0.2/16 dev eth0");
        pod.run("ip route add default via 10.88.0.1");
    });
}

#[test]
fn check_finds_the_v4_route_gone() {
    check_finds(&["0.0.0.0/0"], |_, pod| drop(pod.run("ip route del default")));
}

#[test]
fn check_finds_the_v6_route_gone() {
    check_finds(&["::/0"], |_, pod| drop(pod.run("ip -6 route del default")));
}

#[test]
fn check_finds_another_next_hop() {
    check_finds(&["10.88.0.1"], |_, pod| drop(pod.run("ip route replace default via 10.88.0.9")));
}

#[test]
fn check_finds_the_bridge_gone() {
    check_finds(&["br0"], |host, _| drop(host.run("ip link del br0")));
}

#[test]
fn check_finds_the_bridge_down() {
    check_finds(&["br0"], |host, _| drop(host.run("ip link set br0 down")));
}

#[test]
fn check_finds_the_gateway_gone() {
    check_finds(&["10.88.0.1", "br0"], |host, _| {
        drop(host.run("ip addr del 10.88.0.1/24 dev br0"))
    });
}

#[test]
fn check_finds_the_port_out_of_the_bridge() {
    check_finds(&["br0"], |host, _| {
        host.run(&format!("ip link set {} nomaster", host.host_veth()));
    });
}

#[test]
fn check_finds_the_port_in_another_bridge() {
    check_finds(&["br0"], |host, _| {
        host.run("ip link add br1 type bridge");
        host.run(&format!("ip link set {} master br1", host.host_veth()));
    });
}

#[test]
fn check_finds_the_port_down() {
    check_finds(&["veth"], |host, _| {
        host.run(&format!("ip link set {} down", host.host_veth()));
    });
}

#[test]
fn check_finds_hairpin_off() {
    check_finds(&["hairpin"], |host, _| {
        host.run(&format!("ip link set {} type bridge_slave hairpin off", host.host_veth()));
    });
}

#[test]
fn check_finds_forwarding_off() {
    check_finds(&["forward"], |host, _| host.write("/proc/sys/net/ipv4/ip_forward", "0"));
}

#[test]
fn check_finds_the_ruleset_gone() {
    check_finds(&["causeway_masquerade", "causeway_macspoof"], |host, _| {
        drop(host.run("nft flush ruleset"))
    });
}

#[test]
fn check_finds_the_lease_gone() {
    check_finds(&["10.88.0.2"], |host, _| {
        host.run("rm /var/lib/cni/networks/testnet/10.88.0.2");
    });
}

#[test]
fn check_finds_the_lease_taken_by_another() {
    check_finds(&["fd00:88::2"], |host, _| {
        host.write("/var/lib/cni/networks/testnet/fd00:88::2", "id-other\r\neth0");
        // DEL must leave it alone; the test's last look is for leases of id-blue only.
    });
}

/// Every element that names the pod's address or link, each missing by itself, is found.
#[test]
fn check_finds_each_nft_element_gone() {
    let elements = {
        let host = Host::new();
        let pod = host.pod("blue");
        pod.call(BRIDGE, &everything()).add();
        host.nft_elements().len()
    };
    assert!(elements >= 3, "v4 and v6 masquerading and the spoof check have elements: {elements}");
    for index in 0..elements {
        check_finds(&[], |host, _| {
            let (set, element) = host.nft_elements().swap_remove(index);
            host.nft(&format!("delete element {set} {{ {element} }}"));
        });
    }
}

#[test]
fn check_is_content_after_every_kind_of_add() {
    let configs = [
        bridge(json!({})),
        bridge(json!({"ipam": {}})),
        bridge(json!({"isGateway": true, "promiscMode": true})),
        dual_stack(json!({"ipMasq": true})),
        dual_stack(json!({"enabledad": true})),
        bridge(json!({"macspoofchk": true, "ipam": {}})),
        bridge(json!({"cniVersion": "0.4.0", "isDefaultGateway": true})),
        bridge(json!({"cniVersion": "1.0.0", "isDefaultGateway": true})),
        bridge(json!({"isGateway": true, "ipam": {"type": "host-local", "subnet": "10.88.0.0/24",
            "routes": [{"dst": "192.168.0.0/16", "gw": "10.88.0.9"}, {"dst": "172.16.0.0/12"}]}})),
    ];
    for config in configs {
        let host = Host::new();
        let pod = host.pod("blue");
        let call = pod.call(BRIDGE, &config);
        if harness::testing_reference() && config["ipam"] == json!({}) {
            continue; // the reference cannot CHECK without IPAM
        }
        let result = call.add();
        let outcome = call.check(&result);
        assert_eq!(outcome.status, Some(0), "{config}: {outcome}");
    }
}

/// Other things in the pod are none of CHECK's business.
#[test]
fn check_tolerates_what_others_added() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &everything());
    let result = call.add();
    pod.run("ip addr add 172.20.0.1/24 dev eth0");
    pod.run("ip route add 172.21.0.0/24 via 10.88.0.7");
    pod.run("ip link add other type veth peer another");
    host.run("ip addr add 172.22.0.1/24 dev br0");
    call.check(&result).silence();
}
