//! Connections through mapped ports: real packets of TCP and UDP, from everywhere that may use them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::chained::{List, Side, address, bridge_entry, dual_entry};
use harness::services::{Service, World};
use harness::{Host, Pod};
use serde_json::{Value, json};

fn portmap(mappings: Value, more: Value) -> Value {
    let mut entry = json!({"type": "portmap", "capabilities": {"portMappings": true},
                           "runtimeConfig": {"portMappings": mappings}});
    harness::config::merge(&mut entry, more);
    entry
}

fn http(protocol: &str) -> Value {
    json!([{"hostPort": 8080, "containerPort": 80, "protocol": protocol}])
}

/// A bridge whose ports send back where a frame came from, which a pod that uses its own port needs
/// where bridged packets pass the host's rules.
fn hairpin() -> Value {
    let mut entry = dual_entry("br0", 88);
    entry["hairpinMode"] = json!(true);
    entry
}

/// A list of a dual-stack bridge and port mappings.
fn list<'h>(pod: &Pod<'h>, side: Side, mappings: Value, more: Value) -> List<'h> {
    let entry = portmap(mappings, more);
    if side == Side::Fused {
        let runtime = entry["runtimeConfig"].clone();
        let mut portmap = entry;
        portmap.as_object_mut().unwrap().remove("runtimeConfig");
        return List::new(pod, side, &[hairpin(), portmap])
            .map(|call| call.key("runtimeConfig", &runtime));
    }
    List::new(pod, side, &[hairpin(), entry])
}

/// Who may use a mapped port: the world, the host, its loopback, another pod, and the pod itself.
fn everyone_reaches(side: Side, protocol: &'static str, backend: &str) {
    let host = Host::new();
    let world = World::new(&host);
    let (server, other) = (host.pod("server"), host.pod("other"));
    let list_of_server = list(&server, side, http(protocol), json!({"backend": backend}));
    let result = list_of_server.add();
    let beside = List::new(&other, Side::Causeway, &[dual_entry("br0", 88)]);
    let beside_result = beside.add();
    let service = Service::start(&server, protocol, 80);
    for (from, to) in [("the world", World::HOST_V4), ("the world over IPv6", World::HOST_V6)] {
        assert!(service.answers(world.outside(), &format!("{to}:8080")), "{from}");
    }
    for to in [World::HOST_V4, World::HOST_V6, "10.88.0.1", "127.0.0.1"] {
        assert!(service.answers_host(&host, &format!("{to}:8080")), "the host to {to}");
        if to != "127.0.0.1" {
            assert!(service.answers(&other, &format!("{to}:8080")), "another pod to {to}");
            assert!(service.answers(&server, &format!("{to}:8080")), "the pod itself to {to}");
        }
    }
    list_of_server.check(&result);
    list_of_server.del(&result);
    assert!(!service.answers_at_once(world.outside(), &format!("{}:8080", World::HOST_V4)));
    beside.del(&beside_result);
}

#[test]
fn everyone_reaches_a_tcp_port() {
    everyone_reaches(Side::Causeway, "tcp", "nftables");
}

#[test]
fn everyone_reaches_a_udp_port() {
    everyone_reaches(Side::Causeway, "udp", "nftables");
}

#[test]
fn everyone_reaches_ports_of_a_fused_list() {
    everyone_reaches(Side::Fused, "tcp", "nftables");
}

#[test]
fn everyone_reaches_a_tcp_port_by_iptables() {
    everyone_reaches(Side::Causeway, "tcp", "iptables");
}

#[test]
fn everyone_reaches_a_udp_port_by_iptables() {
    everyone_reaches(Side::Fused, "udp", "iptables");
}

/// Sources are kept where they can be, and rewritten where they must be.
#[test]
fn the_world_is_seen_as_it_is_and_neighbours_as_the_host() {
    for (more, world_is_seen) in [
        (json!({}), true),
        (json!({"masqAll": true}), false),
        (json!({"backend": "iptables"}), true),
        (json!({"backend": "iptables", "markMasqBit": 31}), true),
        (json!({"backend": "iptables", "masqAll": true}), false),
    ] {
        let host = Host::new();
        let world = World::new(&host);
        let (server, other) = (host.pod("server"), host.pod("other"));
        let first = list(&server, Side::Causeway, http("tcp"), more.clone());
        let result = first.add();
        let second = List::new(&other, Side::Causeway, &[dual_entry("br0", 88)]);
        let second_result = second.add();
        let service = Service::start(&server, "tcp", 80);
        let seen = service.seen_from(world.outside(), &format!("{}:8080", World::HOST_V4));
        let expected = if world_is_seen { World::OUTSIDE_V4 } else { "10.88.0.1" };
        assert_eq!(seen.as_deref(), Some(expected), "{more}");
        let seen = service.seen_from(&other, &format!("{}:8080", World::HOST_V4));
        assert_eq!(seen.as_deref(), Some("10.88.0.1"), "{more}");
        // Past the host, a neighbour is seen as it is.
        let direct = format!("{}:80", address(&result, false));
        let seen = service.seen_from(&other, &direct);
        assert_eq!(seen, Some(address(&second_result, false)), "{more}");
        first.del(&result);
    }
}

#[test]
fn without_snat_nothing_is_rewritten() {
    let host = Host::new();
    let world = World::new(&host);
    let server = host.pod("server");
    let only = list(&server, Side::Causeway, http("tcp"), json!({"snat": false}));
    only.add();
    let service = Service::start(&server, "tcp", 80);
    assert!(service.answers(world.outside(), &format!("{}:8080", World::HOST_V4)));
    assert_eq!(host.read("/proc/sys/net/ipv4/conf/br0/route_localnet").trim(), "0");
    let table = host.run("nft list table inet causeway_portmap");
    assert!(!table.contains("masquerade"), "{table}");
}

#[test]
fn a_host_address_limits_where_the_port_is_open() {
    host_address_limits("nftables");
}

#[test]
fn a_host_address_limits_where_the_port_is_open_by_iptables() {
    host_address_limits("iptables");
}

fn host_address_limits(backend: &str) {
    let host = Host::new();
    let world = World::new(&host);
    host.run("ip addr add 192.0.2.9/24 dev uplink");
    let (one, two) = (host.pod("one"), host.pod("two"));
    let at = |ip: &str| json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": ip}]);
    let by = || json!({"backend": backend});
    let first = list(&one, Side::Causeway, at(World::HOST_V4), by());
    first.add();
    // The same port of another address, and of every address that has no owner of its own.
    let second = list(&two, Side::Causeway, at("0.0.0.0"), by());
    let result = second.add();
    let (here, there) = (Service::start(&one, "tcp", 80), Service::start(&two, "tcp", 80));
    let (specific, general) = (format!("{}:8080", World::HOST_V4), "192.0.2.9:8080");
    assert!(here.answers(world.outside(), &specific));
    assert!(there.answers(world.outside(), general));
    assert!(!there.answers_at_once(world.outside(), &format!("{}:8080", World::HOST_V6)));
    second.del(&result);
    assert!(!there.answers_at_once(world.outside(), general));
    assert!(here.answers(world.outside(), &specific));
}

#[test]
fn conditions_of_nftables_hold() {
    let host = Host::new();
    let world = World::new(&host);
    let (near, far) = (host.pod("near"), host.pod("far"));
    let only = |text: &str| json!({"conditionsV4": ["ip", "saddr", text]});
    let a = list(&near, Side::Causeway, http("tcp"), only("10.88.0.0/16"));
    let result = a.add();
    // The same port under another condition is no conflict.
    let b = list(&far, Side::Causeway, http("tcp"), only("192.0.2.0/24"));
    let (outcome, _) = b.try_add();
    // IPv6 has no condition, so there the port is taken.
    outcome.fails(108, &["8080/tcp", "testnet/id-near/eth0"]);
    let v4_only = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp",
                          "hostIP": "0.0.0.0"}]);
    let far = host.pod("farther");
    let b = list(&far, Side::Causeway, v4_only, only("192.0.2.0/24"));
    let second = b.add();
    let (inside, outside) = (Service::start(&near, "tcp", 80), Service::start(&far, "tcp", 80));
    let to = format!("{}:8080", World::HOST_V4);
    assert!(outside.answers(world.outside(), &to));
    assert!(inside.answers(&far, &to));
    a.check(&result);
    b.check(&second);
    b.del(&second);
    assert!(!outside.answers_at_once(world.outside(), &to));
}

#[test]
fn conditions_of_iptables_hold() {
    let host = Host::new();
    let world = World::new(&host);
    let (near, far) = (host.pod("near"), host.pod("far"));
    let v4_only =
        || json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "0.0.0.0"}]);
    let only = |words: &[&str]| json!({"conditionsV4": words});
    let a = list(&near, Side::Causeway, v4_only(), only(&["!", "-s", "192.0.2.0/24"]));
    let result = a.add();
    // The same port under another condition is no conflict; under the same one it is.
    let words = ["-s", World::OUTSIDE_V4, "-m", "comment", "--comment", "a \"b\" \\ c"];
    let b = list(&far, Side::Causeway, v4_only(), only(&words));
    let second = b.add();
    let third = host.pod("third");
    let same = list(&third, Side::Causeway, v4_only(), only(&["-s", "192.0.2.2/32"]));
    same.try_add().0.fails(108, &["8080/tcp", "testnet/id-far"]);
    let (inside, outside) = (Service::start(&near, "tcp", 80), Service::start(&far, "tcp", 80));
    let to = format!("{}:8080", World::HOST_V4);
    assert!(outside.answers(world.outside(), &to));
    assert!(inside.answers(&far, &to));
    a.check(&result);
    b.check(&second);
    b.del(&second);
    assert!(!outside.answers_at_once(world.outside(), &to));
    assert!(!inside.answers_at_once(world.outside(), &to));
}

/// A mark of the operator's own, as Kubernetes has one.
#[test]
fn an_external_chain_masquerades() {
    let host = Host::new();
    let world = World::new(&host);
    for command in [
        "-N KUBE-MARK-MASQ",
        "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
        "-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE",
    ] {
        host.run(&format!("iptables -t nat {command}"));
        host.run(&format!("ip6tables -t nat {command}"));
    }
    let server = host.pod("server");
    let more = json!({"externalSetMarkChain": "KUBE-MARK-MASQ"});
    let only = list(&server, Side::Causeway, http("tcp"), more);
    let result = only.add();
    let service = Service::start(&server, "tcp", 80);
    assert!(service.answers(&server, &format!("{}:8080", World::HOST_V4)));
    assert!(service.answers(&server, &format!("{}:8080", World::HOST_V6)));
    assert!(service.answers_host(&host, "127.0.0.1:8080"));
    let seen = service.seen_from(world.outside(), &format!("{}:8080", World::HOST_V4));
    assert_eq!(seen.as_deref(), Some(World::OUTSIDE_V4));
    let saved = host.run("iptables-save -t nat");
    assert!(!saved.contains("CNI-HOSTPORT-MASQ"), "{saved}");
    only.check(&result);
    only.del(&result);
}

#[test]
fn udp_flows_follow_the_port() {
    flows_follow("nftables", "nftables");
}

#[test]
fn udp_flows_follow_the_port_by_iptables() {
    flows_follow("iptables", "iptables");
}

#[test]
fn udp_flows_follow_the_port_from_one_backend_to_the_other() {
    flows_follow("iptables", "nftables");
}

/// A client that goes on sending from the same port finds the new pod, not the old one.
fn flows_follow(from: &str, to_backend: &str) {
    let host = Host::new();
    let world = World::new(&host);
    let to = format!("{}:8080", World::HOST_V4);
    let (one, two) = (host.pod("one"), host.pod("two"));
    let (first, second) = (
        list(&one, Side::Causeway, http("udp"), json!({"backend": from})),
        list(&two, Side::Causeway, http("udp"), json!({"backend": to_backend})),
    );
    let client = world.udp_client(4444);
    // Before anybody listens, a flow to the host itself begins.
    client.send(&to);
    let result = first.add();
    let old = Service::start(&one, "udp", 80);
    assert!(client.is_answered_by(&old, &to));
    first.del(&result);
    second.add();
    let new = Service::start(&two, "udp", 80);
    assert!(client.is_answered_by(&new, &to));
}

#[test]
fn many_ports_lead_to_one_pod() {
    let host = Host::new();
    let world = World::new(&host);
    let server = host.pod("server");
    let mappings: Vec<Value> = (0..40)
        .map(|n| json!({"hostPort": 9000 + n, "containerPort": 80, "protocol": "tcp"}))
        .collect();
    let many = List::new(
        &server,
        Side::Causeway,
        &[bridge_entry("br0", "10.88.0.0/16"), portmap(json!(mappings), json!({}))],
    );
    let result = many.add();
    let service = Service::start(&server, "tcp", 80);
    for port in [9000, 9017, 9039] {
        assert!(service.answers(world.outside(), &format!("{}:{port}", World::HOST_V4)));
    }
    many.check(&result);
    many.del(&result);
    let left = host.run("nft -j list table inet causeway_portmap");
    assert!(!left.contains("elem"), "{left}");
}
