//! The bridge plugin beside the reference: links, flags, addresses, routes, rules, sysctls, leases
//! and results of the same configuration in two fresh hosts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config;
use harness::side_by_side::{Case, compare, matches};
use harness::{Host, require_reference, testing_reference};
use serde_json::{Value, json};

/// A bridge configuration of the newest version that both sides speak.
fn bridge(more: Value) -> Value {
    let mut config = config::bridge(json!({"cniVersion": "1.0.0"}));
    config::merge(&mut config, more);
    config
}

#[test]
fn a_pattern_stands_for_what_it_says() {
    assert!(matches("a/*/c", "a/b/x/c"));
    assert!(matches("*", "anything"));
    assert!(matches("a/b", "a/b"));
    assert!(!matches("a/b", "a/b/c"));
    assert!(!matches("a/*/c", "a/c"));
}

#[test]
fn minimal() {
    compare(&Case::of(bridge(json!({}))));
}

#[test]
fn default_bridge_name() {
    compare(&Case::of(bridge(json!({"bridge": null}))));
}

#[test]
fn is_gateway() {
    compare(&Case::of(bridge(json!({"isGateway": true}))));
}

#[test]
fn is_default_gateway() {
    compare(&Case::of(bridge(json!({"isDefaultGateway": true}))));
}

#[test]
fn is_default_gateway_with_a_default_route_of_its_own() {
    compare(&Case::of(bridge(json!({
        "isDefaultGateway": true,
        "ipam": {"type": "host-local", "subnet": "10.88.0.0/24",
                 "routes": [{"dst": "0.0.0.0/0", "gw": "10.88.0.200"}]}
    }))));
}

#[test]
fn mtu() {
    compare(&Case::of(bridge(json!({"isGateway": true, "mtu": 1400}))));
}

#[test]
fn mtu_of_a_bridge_that_is_there() {
    let case = Case::of(bridge(json!({"isGateway": true, "mtu": 1400})));
    compare(&case.prepare(|host| {
        host.run("ip link add br0 mtu 1300 type bridge");
    }));
}

#[test]
fn hairpin_mode() {
    compare(&Case::of(bridge(json!({"isGateway": true, "hairpinMode": true}))));
}

#[test]
fn promisc_mode() {
    compare(&Case::of(bridge(json!({"isGateway": true, "promiscMode": true}))));
}

#[test]
fn a_bridge_that_is_there() {
    let case = Case::of(bridge(json!({"isGateway": true})));
    compare(&case.prepare(|host| {
        host.run("ip link add br0 type bridge");
    }));
}

#[test]
fn a_bridge_that_has_the_address() {
    let case = Case::of(bridge(json!({"isGateway": true})));
    compare(&case.prepare(|host| {
        host.run("ip link add br0 type bridge");
        host.run("ip link set br0 up");
        host.run("ip addr add 10.88.0.1/24 dev br0");
    }));
}

#[test]
fn force_address_with_a_changed_subnet() {
    let case = Case::of(bridge(json!({"isGateway": true, "forceAddress": true})));
    compare(&case.prepare(|host| {
        host.run("ip link add br0 type bridge");
        host.run("ip link set br0 up");
        host.run("ip addr add 10.99.0.1/24 dev br0");
    }));
}

#[test]
fn force_address_with_a_changed_v6_subnet_that_overlaps() {
    let case = Case::of(bridge(json!({
        "isGateway": true, "forceAddress": true,
        "ipam": {"type": "host-local", "subnet": "fd00:88::/64"}
    })));
    compare(&case.prepare(|host| {
        host.run("ip link add br0 type bridge");
        host.run("ip link set br0 up");
        host.run("ip addr add fd00:88::5/48 dev br0");
    }));
}

#[test]
fn a_second_v6_subnet_on_the_bridge() {
    let case = Case::of(bridge(json!({
        "isGateway": true, "ipam": {"type": "host-local", "subnet": "fd00:88::/64"}
    })));
    compare(&case.prepare(|host| {
        host.run("ip link add br0 type bridge");
        host.run("ip link set br0 up");
        host.run("ip addr add fd00:99::1/64 dev br0 nodad");
    }));
}

#[test]
fn two_ranges_dual_stack() {
    compare(&Case::of(bridge(json!({
        "isDefaultGateway": true,
        "ipam": {"type": "host-local",
                 "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]]}
    }))));
}

#[test]
fn v6_only() {
    compare(&Case::of(bridge(json!({
        "isDefaultGateway": true, "ipam": {"type": "host-local", "subnet": "fd00:88::/64"}
    }))));
}

#[test]
fn v6_without_a_gateway() {
    compare(&Case::of(bridge(json!({"ipam": {"type": "host-local", "subnet": "fd00:88::/64"}}))));
}

#[test]
fn enable_dad() {
    compare(&Case::of(bridge(json!({
        "isGateway": true, "enabledad": true,
        "ipam": {"type": "host-local",
                 "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]]}
    }))));
}

#[test]
fn ranges_with_bounds_and_gateway() {
    compare(&Case::of(bridge(json!({
        "isDefaultGateway": true,
        "ipam": {"type": "host-local", "ranges": [[
            {"subnet": "10.88.0.0/16", "rangeStart": "10.88.3.40", "rangeEnd": "10.88.3.50",
             "gateway": "10.88.3.254"}]]}
    }))));
}

#[test]
fn two_v4_addresses_on_one_interface() {
    compare(&Case::of(bridge(json!({
        "ipam": {"type": "host-local",
                 "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "10.89.0.0/24"}]]}
    }))));
}

#[test]
fn routes_with_and_without_gw() {
    compare(&Case::of(bridge(json!({
        "isGateway": true,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]],
                 "routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.88.0.9"},
                            {"dst": "172.16.0.0/12"},
                            {"dst": "fd99::/32", "gw": "fd00:88::9"}, {"dst": "fd98::/32"}]}
    }))));
}

#[test]
fn a_route_of_a_family_without_addresses() {
    compare(&Case::of(bridge(json!({
        "isGateway": true,
        "ipam": {"type": "host-local", "subnet": "10.88.0.0/24",
                 "routes": [{"dst": "10.0.0.0/8"}]}
    }))));
}

#[test]
fn l2_without_ipam() {
    compare(&Case::of(bridge(json!({"ipam": {}}))));
}

#[test]
fn l2_with_hairpin_and_mtu() {
    compare(&Case::of(bridge(json!({"ipam": {}, "hairpinMode": true, "mtu": 1280}))));
}

#[test]
fn dns_of_the_network() {
    compare(&Case::of(bridge(json!({
        "dns": {"nameservers": ["10.88.0.1", "fd00::1"], "domain": "pods.test",
                "search": ["pods.test", "test"], "options": ["ndots:5"]}
    }))));
}

#[test]
fn dns_of_a_resolv_conf() {
    let case = Case::of(bridge(json!({
        "ipam": {"type": "host-local", "subnet": "10.88.0.0/24", "resolvConf": "/run/for-pods.conf"}
    })));
    let why =
        "Debian's reference plugins drop what IPAM says of name resolution; later ones keep it";
    let case = case.differs("result/dns/*", why);
    compare(&case.prepare(|host| {
        host.write(
            "/run/for-pods.conf",
            "# a comment\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n\
             domain example.test\nsearch a.test b.test\noptions ndots:2 rotate\n",
        );
    }));
}

#[test]
fn data_dir() {
    compare(&Case::of(bridge(json!({
        "ipam": {"type": "host-local", "subnet": "10.88.0.0/24", "dataDir": "/run/leases"}
    }))));
}

#[test]
fn mac_by_runtime_config() {
    let config = bridge(json!({"runtimeConfig": {"mac": "02:11:22:33:44:55"}}));
    compare(&Case::of(config).mac("02:11:22:33:44:55"));
}

#[test]
fn mac_by_cni_args() {
    let case = Case::of(bridge(json!({"isGateway": true}))).mac("02:11:22:33:44:66");
    compare(&case.env("CNI_ARGS", "IgnoreUnknown=1;MAC=02:11:22:33:44:66;K8S_POD_NAME=p"));
}

#[test]
fn mac_by_args() {
    let config = bridge(json!({"args": {"cni": {"mac": "02:11:22:33:44:77"}}}));
    compare(&Case::of(config).mac("02:11:22:33:44:77"));
}

#[test]
fn mac_by_all_three_at_once() {
    let config = bridge(json!({
        "args": {"cni": {"mac": "02:11:22:33:44:02"}}, "runtimeConfig": {"mac": "02:11:22:33:44:03"}
    }));
    let case =
        Case::of(config).mac("02:11:22:33:44:01").mac("02:11:22:33:44:02").mac("02:11:22:33:44:03");
    compare(&case.env("CNI_ARGS", "IgnoreUnknown=1;MAC=02:11:22:33:44:01"));
}

#[test]
fn ip_by_cni_args() {
    let case = Case::of(bridge(json!({"isGateway": true})));
    compare(&case.env("CNI_ARGS", "IgnoreUnknown=1;IP=10.88.0.77"));
}

#[test]
fn ip_by_args() {
    compare(&Case::of(bridge(json!({"args": {"cni": {"ips": ["10.88.0.78"]}}}))));
}

#[test]
fn ip_by_runtime_config() {
    compare(&Case::of(bridge(json!({
        "runtimeConfig": {"ips": ["10.88.0.79", "fd00:88::79"]},
        "capabilities": {"ips": true},
        "ipam": {"type": "host-local",
                 "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]]}
    }))));
}

#[test]
fn ranges_by_runtime_config() {
    compare(&Case::of(bridge(json!({
        "runtimeConfig": {"ipRanges": [[{"subnet": "10.90.0.0/24"}], [{"subnet": "fd00:90::/64"}]]},
        "capabilities": {"ipRanges": true}
    }))));
}

#[test]
fn ip_masq() {
    let case = Case::of(bridge(json!({
        "isDefaultGateway": true, "ipMasq": true,
        "ipam": {"type": "host-local",
                 "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]]}
    })));
    let why = "constant rules over nftables sets in a table of causeway's own, not iptables chains for each pod";
    let case = case.differs("add/host/nft*", why).differs("del/host/nft*", why);
    compare(&case);
}

#[test]
fn ip_masq_by_iptables() {
    // Debian's reference plugins know no other backend, and pass over the key.
    let case = Case::of(bridge(json!({
        "isDefaultGateway": true, "ipMasq": true, "ipMasqBackend": "iptables",
        "ipam": {"type": "host-local",
                 "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]]}
    })));
    let why = "a DEL waits for the iptables-restore of an ADD that was killed";
    compare(&case.differs("*/host/files//run/causeway-iptables.lock", why));
}

#[test]
fn mac_spoof_check() {
    let why = "one constant rule over a map of port and hardware address, not chains for each pod";
    let case = Case::of(bridge(json!({"isGateway": true, "macspoofchk": true})));
    compare(&case.differs("add/host/nft*", why).differs("del/host/nft*", why));
}

#[test]
fn long_interface_name() {
    compare(&Case::of(bridge(json!({}))).env("CNI_IFNAME", "fifteen-bytes-x"));
}

/// Every protocol version that the reference plugins on this machine speak.
#[test]
fn every_cni_version() {
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
        let full = json!({
            "cniVersion": version, "isDefaultGateway": true,
            "dns": {"nameservers": ["192.0.2.1"]},
            "ipam": {"type": "host-local",
                     "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]],
                     "routes": [{"dst": "192.168.0.0/16", "gw": "10.88.0.9"}]}
        });
        compare(&Case::of(bridge(full)));
    }
}

/// A configuration that names no version is of 0.1.0.
#[test]
fn no_cni_version() {
    compare(&Case::of(bridge(json!({"cniVersion": null}))));
}

/// What the reference attached, causeway checks and removes, and the other way round.
#[test]
fn either_removes_what_the_other_attached() {
    require_reference();
    let config = bridge(json!({
        "isDefaultGateway": true,
        "ipam": {"type": "host-local",
                 "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]]}
    }));
    let (ours, theirs) = (Plugin::Causeway("bridge"), Plugin::Reference("bridge"));
    for (first, second) in [(theirs, ours), (ours, theirs)] {
        if testing_reference() {
            return;
        }
        let host = Host::new();
        let pod = host.pod("blue");
        let empty = pod.snapshot();
        let result = pod.call(first, &config).add();
        pod.call(second, &config).check(&result).silence();
        pod.call(second, &config).del();
        empty
            .assert_same(&pod.snapshot(), &format!("attached by {first:?}, removed by {second:?}"));
        let left = host.snapshot();
        assert_eq!(left.links(), ["br0", "lo"], "attached by {first:?}, removed by {second:?}");
        let leases = left.files("networks/testnet/");
        assert!(!leases.iter().any(|path| path.contains("10.88.0.2")), "a lease stays: {leases:?}");
        // What either left behind for its own use must not be in the way of a new attachment.
        let call = pod.call(ours, &config);
        let result = call.add();
        assert_eq!(result["ips"][0]["address"], "10.88.0.3/24");
        call.check(&result).silence();
        call.del();
        host.call(ours, &config::dual_stack(json!({}))).gc(&[]);
        let left = host.snapshot();
        let leases = left.files("networks/testnet/");
        assert!(!leases.iter().any(|path| path.contains("id-blue")), "something stays: {leases:?}");
    }
}

/// Both share one lease directory: neither hands out what the other has handed out.
#[test]
fn both_share_the_leases() {
    require_reference();
    let host = Host::new();
    let config = bridge(json!({"isGateway": true}));
    let mut seen = Vec::new();
    for (index, plugin) in
        [Plugin::Reference("bridge"), Plugin::Causeway("bridge")].iter().cycle().take(6).enumerate()
    {
        let pod = host.pod(&format!("pod{index}"));
        let result = pod.call(*plugin, &config).add();
        seen.push(result["ips"][0]["address"].as_str().unwrap().to_owned());
    }
    let expected: Vec<String> = (2..8).map(|n| format!("10.88.0.{n}/24")).collect();
    assert_eq!(seen, expected);
}

/// The second attachment to a bridge finds everything shared as the first left it.
#[test]
fn a_second_pod() {
    require_reference();
    let mut made = Vec::new();
    for plugin in [Plugin::Reference("bridge"), Plugin::Causeway("bridge")] {
        let host = Host::new();
        let config = bridge(json!({"isDefaultGateway": true}));
        let (first, second) = (host.pod("first"), host.pod("second"));
        first.call(plugin, &config).add();
        let one = host.snapshot();
        let result = second.call(plugin, &config).add();
        second.call(plugin, &config).check(&result).silence();
        second.call(plugin, &config).del();
        one.without("/files").assert_same(
            &host.snapshot().without("/files"),
            &format!("after the second pod came and went by {plugin:?}"),
        );
        made.push(result["ips"].clone());
    }
    assert_eq!(made[0], made[1]);
}
