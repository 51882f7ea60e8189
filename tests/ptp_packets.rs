//! Real packets of containers that are attached by ptp, alone and with other plugins.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::chained::{List, Side};
use harness::config::ptp_dual_stack;
use harness::services::Service;
use harness::snapshot::{Snapshot, nothing_stays};
use harness::symbols::Symbols;
use harness::{Host, Pod};
use serde_json::{Value, json};

const PTP: Plugin = Plugin::Causeway("ptp");

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

fn seen(by: &Pod<'_>, from: &Pod<'_>, at: &str) -> String {
    from.seen_by(by, at).map(|ip| ip.to_string()).unwrap_or_default()
}

#[test]
fn packets_pass_between_pods_gateway_and_host() {
    let host = Host::new();
    let config = ptp_dual_stack(json!({}));
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    blue.call(PTP, &config).add();
    green.call(PTP, &config).add();
    for address in ["10.88.0.1", "10.88.0.3", "fd00:88::1", "fd00:88::3"] {
        assert!(blue.reaches(address), "blue does not reach {address}");
    }
    for address in ["10.88.0.2", "fd00:88::2"] {
        assert!(green.reaches(address), "green does not reach {address}");
        assert!(host.reaches(address), "the host does not reach {address}");
    }
    // The host is between them, so it counts down the packets' time to live.
    assert!(!blue.run("ip neigh").contains("10.88.0.3"), "the other pod is no neighbour");
    blue.call(PTP, &config).del();
    assert!(green.reaches("10.88.0.1") && green.reaches("fd00:88::1"), "green goes on");
    assert!(green.gets_no_answer("10.88.0.2"), "blue is gone");
}

#[test]
fn the_first_packet_arrives() {
    let host = Host::new();
    let blue = host.pod("blue");
    blue.call(PTP, &ptp_dual_stack(json!({}))).add();
    // Nobody waits for detection of duplicates: one request, one second.
    for gateway in ["10.88.0.1", "fd00:88::1"] {
        blue.run(&format!("ping -c 1 -W 1 {gateway}"));
    }
    for pod in ["10.88.0.2", "fd00:88::2"] {
        host.run(&format!("ping -c 1 -W 1 {pod}"));
    }
}

#[test]
fn the_host_forwards_to_the_outside() {
    let host = Host::new();
    let outside = outside(&host);
    outside.run("ip route add 10.88.0.0/24 via 192.0.2.1");
    outside.run("ip route add fd00:88::/64 via fd00:2::1");
    let blue = host.pod("blue");
    blue.call(PTP, &ptp_dual_stack(json!({}))).add();
    assert_eq!(seen(&outside, &blue, "192.0.2.2"), "10.88.0.2");
    assert_eq!(seen(&outside, &blue, "fd00:2::2"), "fd00:88::2");
    assert!(blue.reaches("192.0.2.2") && blue.reaches("fd00:2::2"), "answers come back");
}

#[test]
fn masquerading_hides_pods_from_the_outside_only() {
    for backend in ["nftables", "iptables"] {
        let host = Host::new();
        let outside = outside(&host);
        let config = ptp_dual_stack(json!({"ipMasq": true, "ipMasqBackend": backend}));
        let (blue, green) = (host.pod("blue"), host.pod("green"));
        blue.call(PTP, &config).add();
        green.call(PTP, &config).add();
        assert_eq!(seen(&outside, &blue, "192.0.2.2"), "192.0.2.1", "{backend}");
        assert_eq!(seen(&outside, &blue, "fd00:2::2"), "fd00:2::1", "{backend}");
        assert!(blue.reaches("192.0.2.2") && blue.reaches("fd00:2::2"), "answers come back");
        assert_eq!(seen(&green, &blue, "10.88.0.3"), "10.88.0.2", "{backend}");
        assert_eq!(seen(&green, &blue, "fd00:88::3"), "fd00:88::2", "{backend}");
        blue.call(PTP, &config).del();
        assert_eq!(seen(&outside, &green, "192.0.2.2"), "192.0.2.1", "{backend}");
        assert_eq!(seen(&outside, &green, "fd00:2::2"), "fd00:2::1", "{backend}");
    }
}

/// ptp with the usual plugins after it.
fn list() -> Vec<Value> {
    let mut first = ptp_dual_stack(json!({"ipMasq": true}));
    for key in ["cniVersion", "name"] {
        first.as_object_mut().unwrap().remove(key);
    }
    let mappings = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
    let limits = json!({"ingressRate": 80_000_000, "ingressBurst": 8_000_000,
                        "egressRate": 40_000_000, "egressBurst": 4_000_000});
    vec![
        first,
        json!({"type": "portmap", "capabilities": {"portMappings": true},
               "runtimeConfig": {"portMappings": mappings}}),
        json!({"type": "firewall", "backend": "nftables"}),
        json!({"type": "bandwidth", "capabilities": {"bandwidth": true},
               "runtimeConfig": {"bandwidth": limits}}),
        json!({"type": "tuning", "mtu": 1400, "sysctl": {"net.core.somaxconn": "512"}}),
        json!({"type": "sbr"}),
    ]
}

#[test]
fn in_a_list_one_by_one_and_as_one() {
    let play = |side: Side| {
        let host = Host::new();
        let outside = outside(&host);
        let pod = host.pod("blue");
        let list = List::new(&pod, side, &list());
        // Constant rules and forwarding stay from the first time on.
        list.del(&list.add());
        let before = (host.snapshot(), pod.snapshot());
        let result = list.add();
        list.check(&result);
        let (at_host, at_pod) = (host.snapshot(), pod.snapshot());
        let service = Service::start(&pod, "tcp", 80);
        outside.run("ip route add 10.88.0.0/24 via 192.0.2.1");
        assert!(service.answers(&outside, "192.0.2.1:8080"), "{side:?}: the mapped port");
        drop(service);
        let symbols = Symbols::of(&at_host, &at_pod, &[]);
        list.del(&result);
        nothing_stays(&before, &pod, &format!("{side:?}"));
        let masked = |snapshot: &Snapshot| Snapshot(symbols.apply(&snapshot.without("/files").0));
        (symbols.apply(&result), masked(&at_host), masked(&at_pod))
    };
    let (one_by_one, as_one) = (play(Side::Causeway), play(Side::Fused));
    assert_eq!(as_one.0, one_by_one.0);
    one_by_one.1.assert_same(&as_one.1, "on the host, one by one and as one");
    one_by_one.2.assert_same(&as_one.2, "in the pod, one by one and as one");
}
