//! IPv6 addresses from router advertisements: the key `slaac`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::chained::fused;
use harness::config::{merge, newest};
use harness::dhcp::{World, by_dhcp};
use harness::dhcp_server::Manner;
use harness::refusal::{BAD_CONFIG, CHECK_FAILED, KERNEL_REFUSED, NOT_DECODED};
use harness::router::{Advertisement, Router};
use harness::snapshot::nothing_stays;
use harness::uplink::uplink;
use harness::{Host, Pod};
use serde_json::{Value, json};

const MACVLAN: Plugin = Plugin::Causeway("macvlan");

/// Gives a machine the router's addresses on its link, and starts the router.
fn router(other: &Pod<'_>, says: Advertisement) -> Router {
    // The host's own card is on that wire, too.
    other.host.run("sysctl -qw net.ipv6.conf.up0.accept_ra=0");
    for address in ["fe80::1/64", "fd00:77::1/64"] {
        other.run(&format!("ip addr add {address} dev wire0 nodad"));
    }
    other.inside(|| Router::start("wire0", says))
}

fn config(more: Value) -> Value {
    let mut config = json!({
        "cniVersion": newest(), "name": "testnet", "type": "macvlan", "master": "up0",
        "mac": "02:00:00:00:00:05", "slaac": true,
    });
    merge(&mut config, more);
    config
}

/// What follows from that hardware address (RFC 4291, appendix A).
const ADDRESS: &str = "fd00:77::ff:fe00:5/64";

/// The one address that a router gave, with its interface and the router.
#[track_caller]
fn from_router(result: &Value) -> &Value {
    let ips = result["ips"].as_array().unwrap();
    let found: Vec<_> = ips.iter().filter(|ip| ip["gateway"] == "fe80::1").collect();
    assert_eq!(found.len(), 1, "{result}");
    let route = json!({"dst": "::/0", "gw": "fe80::1"});
    assert!(result["routes"].as_array().unwrap().contains(&route), "{result}");
    found[0]
}

#[test]
fn alone_and_beside_an_address_source() {
    let addresses = json!({"type": "static", "routes": [{"dst": "0.0.0.0/0"}], "addresses": [
        {"address": "10.88.0.5/24", "gateway": "10.88.0.254"},
        {"address": "fd00:88::5/64", "gateway": "fd00:88::fe"},
    ]});
    for (more, count) in [(json!({}), 1), (json!({"ipam": addresses}), 3)] {
        let host = Host::new();
        let other = uplink(&host);
        let _router = router(&other, Advertisement::default());
        let pod = host.pod("blue");
        // Whatever the container's own choice is.
        pod.run("sysctl -qw net.ipv6.conf.default.accept_ra=0");
        pod.run("sysctl -qw net.ipv6.conf.default.autoconf=0");
        pod.run("sysctl -qw net.ipv6.conf.all.forwarding=1");
        let before = (host.snapshot(), pod.snapshot());
        let call = pod.call(MACVLAN, &config(more));
        let result = call.add();
        assert_eq!(result["ips"].as_array().unwrap().len(), count, "{result}");
        let ip = from_router(&result);
        assert_eq!(ip["address"], ADDRESS);
        assert_eq!(ip["interface"], 0);
        assert!(pod.run("ip -6 addr show dev eth0").contains(ADDRESS));
        assert!(pod.reaches("fd00:77::1"));
        call.check(&result).silence();
        call.del();
        nothing_stays(&before, &pod, "after DEL");
    }
}

#[test]
fn on_a_bridge_and_by_a_device() {
    let host = Host::new();
    let other = uplink(&host);
    let _router = router(&other, Advertisement::default());
    host.run("ip link add cni0 type bridge");
    host.run("ip link set cni0 up");
    host.run("ip link set up0 master cni0");
    host.run("ip link add dev1 type veth peer name port1");
    host.run("ip link set port1 master cni0 up");
    let range = json!({"type": "host-local", "subnet": "10.88.0.0/24"});
    for (plugin, more) in [
        ("bridge", json!({"bridge": "cni0", "ipam": range})),
        (
            "bridge",
            json!({"bridge": "cni0", "isDefaultGateway": true, "ipMasq": true, "ipam": range}),
        ),
        ("bridge", json!({"bridge": "cni0"})),
        ("host-device", json!({"device": "dev1", "ipam": range})),
        ("host-device", json!({"device": "dev1"})),
    ] {
        let pod = host.pod("blue");
        let mut config = config(json!({"type": plugin}));
        merge(&mut config, more);
        let call = pod.call(Plugin::Causeway(plugin), &config);
        let result = call.add();
        let ip = from_router(&result);
        let interface = &result["interfaces"][ip["interface"].as_u64().unwrap() as usize];
        assert_eq!(interface["name"], "eth0", "{result}");
        assert!(pod.reaches("fd00:77::1"), "{config}");
        call.check(&result).silence();
        call.del();
        assert_eq!(pod.link_names(), ["lo"], "{config}");
        pod.destroy();
    }
}

/// What follows in the same process sees the address.
#[test]
fn in_a_list_as_one() {
    let host = Host::new();
    let other = uplink(&host);
    let _router = router(&other, Advertisement::default());
    let pod = host.pod("blue");
    let mut first = config(json!({}));
    for key in ["cniVersion", "name"] {
        first.as_object_mut().unwrap().remove(key);
    }
    let mut list = fused(&[first, json!({"type": "firewall", "backend": "nftables"})]);
    merge(&mut list, json!({"cniVersion": newest(), "name": "testnet"}));
    let call = pod.call(Plugin::Causeway("causeway"), &list);
    let result = call.add();
    from_router(&result);
    assert!(host.run("nft list ruleset").contains("fd00:77::ff:fe00:5"));
    call.check(&result).silence();
    call.del();
    assert!(!host.run("nft list ruleset").contains("fd00:77::ff:fe00:5"));
}

#[test]
fn beside_dhcp() {
    let world = World::new(Manner::default());
    world.host.run("ip addr add fe80::1/64 dev cni0 nodad");
    let _router = world.host.inside(|| Router::start("cni0", Advertisement::default()));
    let pod = world.host.pod("blue");
    let call = pod.call(Plugin::Causeway("bridge"), &by_dhcp(json!({"slaac": true})));
    let result = call.add();
    assert_eq!(result["ips"][0]["address"], "10.9.0.5/24");
    from_router(&result);
    call.check(&result).silence();
    call.del();
    world.server.has_all_back();
}

/// A router that does not want to be anybody's default gateway.
#[test]
fn a_prefix_without_a_default_route() {
    let host = Host::new();
    let other = uplink(&host);
    let _router = router(&other, Advertisement { lifetime: 0, ..Advertisement::default() });
    let pod = host.pod("blue");
    let call = pod.call(MACVLAN, &config(json!({})));
    let result = call.add();
    assert_eq!(result["ips"], json!([{"address": ADDRESS, "interface": 0}]));
    assert!(result.get("routes").is_none_or(|routes| routes == &json!([])), "{result}");
    call.check(&result).silence();
    call.del();
}

#[test]
fn check_finds_losses() {
    let host = Host::new();
    let other = uplink(&host);
    let router = router(&other, Advertisement::default());
    let pod = host.pod("blue");
    let call = pod.call(MACVLAN, &config(json!({})));
    let result = call.add();
    drop(router);
    pod.run("ip -6 route del default");
    call.check(&result).fails(CHECK_FAILED, &["eth0 has no default route via router fe80::1"]);
    pod.run("ip -6 addr flush dev eth0 scope global");
    call.check(&result).fails(CHECK_FAILED, &[ADDRESS, "no IPv6 address from router"]);
    pod.run("ip link del eth0");
    call.check(&result).fails(CHECK_FAILED, &["eth0 is not in the container"]);
    call.del();
}

/// The time limit is kept, and the message says what was sent and heard.
#[test]
fn no_router_or_none_of_use() {
    for (says, words) in [
        (None, ["0 router advertisements heard", "no router answers"]),
        (Some(Advertisement { autonomous: false, lifetime: 1800 }), ["heard", "AdvAutonomous"]),
    ] {
        let host = Host::new();
        let other = uplink(&host);
        let _router = says.map(|says| router(&other, says));
        let pod = host.pod("blue");
        let range = json!({"type": "host-local", "subnet": "10.88.0.0/24"});
        let call = pod.call(MACVLAN, &config(json!({"slaacTimeout": 4, "ipam": range})));
        let before = (host.snapshot(), pod.snapshot());
        let start = std::time::Instant::now();
        let failure = call.run("ADD");
        let took = start.elapsed().as_secs_f64();
        assert!(took >= 4.0, "the limit was {took} s");
        let text = failure.stdout.clone();
        assert!(!text.contains(" 0 router solicitations sent"), "{text}");
        assert_eq!(text.contains(" 0 router advertisements heard"), says.is_none(), "{text}");
        failure.fails(KERNEL_REFUSED, &["after 4 s"]);
        for word in words {
            assert!(text.contains(word), "{word} is not in {text}");
        }
        nothing_stays(&before, &pod, "after an ADD that failed");
    }
}

#[test]
fn an_address_that_another_machine_has() {
    let host = Host::new();
    let other = uplink(&host);
    let _router = router(&other, Advertisement::default());
    other.run(&format!("ip addr add {ADDRESS} dev wire0 nodad"));
    let pod = host.pod("blue");
    let call = pod.call(MACVLAN, &config(json!({})));
    let before = (host.snapshot(), pod.snapshot());
    call.run("ADD").fails(KERNEL_REFUSED, &[ADDRESS, "in use by another host"]);
    nothing_stays(&before, &pod, "after an ADD that failed");
}

#[test]
fn what_cannot_be() {
    let host = Host::new();
    let _other = uplink(&host);
    let pod = host.pod("blue");
    let range = json!({"type": "host-local", "subnet": "10.88.0.0/24"});
    for (more, words) in [
        (json!({"slaac": "yes"}), ["slaac", "yes"]),
        (json!({"slaacTimeout": 0}), ["slaacTimeout", "between 1 and 300"]),
        (json!({"slaacTimeout": 301}), ["slaacTimeout", "between 1 and 300"]),
        (json!({"mtu": 1200}), ["slaac", "1280"]),
        (json!({"type": "dummy"}), ["slaac", "dummy"]),
        (json!({"type": "ptp", "ipam": range}), ["slaac", "ptp"]),
        (json!({"type": "netkit", "ipam": range}), ["slaac", "netkit"]),
        (json!({"type": "tap"}), ["slaac", "tap"]),
        (json!({"type": "ipvlan", "mode": "l3s"}), ["slaac", "l3s"]),
        (
            json!({"type": "bridge", "disableContainerInterface": true}),
            ["slaac", "disableContainerInterface"],
        ),
    ] {
        let config = config(more);
        let before = (host.snapshot(), pod.snapshot());
        pod.call(Plugin::Causeway("causeway"), &config)
            .run("ADD")
            .fails_with(&[BAD_CONFIG, NOT_DECODED], &words);
        nothing_stays(&before, &pod, &config.to_string());
    }
}

/// The kernel takes IPv6 from a link with an MTU below 1280.
#[test]
fn a_link_with_a_small_mtu() {
    let host = Host::new();
    let _other = uplink(&host);
    host.run("ip link set up0 mtu 1279");
    let pod = host.pod("blue");
    let device = json!({"type": "host-device", "device": "up0"});
    for (kind, more) in [("macvlan", json!({})), ("host-device", device)] {
        let before = (host.snapshot(), pod.snapshot());
        pod.call(Plugin::Causeway(kind), &config(more))
            .run("ADD")
            .fails(BAD_CONFIG, &["eth0 has an MTU of 1279 bytes", "at least 1280"]);
        nothing_stays(&before, &pod, kind);
    }
}

#[test]
fn the_plan_is_told() {
    let host = Host::new();
    let _other = uplink(&host);
    let pod = host.pod("blue");
    let call = pod.call(MACVLAN, &config(json!({}))).env("CAUSEWAY_EXPLAIN", "1");
    let text = call.run("ADD").stdout;
    assert!(text.contains("net.ipv6.conf.eth0.accept_ra=2"), "{text}");
    assert!(text.contains("wait up to 10 s until eth0 has an IPv6 address"), "{text}");
}
