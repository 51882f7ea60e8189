//! The ptp plugin, and static below it, beside the reference: links, flags, addresses, routes, rules,
//! sysctls, leases and results of the same configuration in two fresh hosts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config;
use harness::side_by_side::{Case, compare};
use harness::{Host, require_reference, testing_reference};
use serde_json::{Value, json};

/// A ptp configuration of the newest version that both sides speak.
fn ptp(more: Value) -> Value {
    let mut config = config::ptp(json!({"cniVersion": "1.0.0"}));
    config::merge(&mut config, more);
    config
}

fn dual(more: Value) -> Value {
    let mut config = config::ptp_dual_stack(json!({"cniVersion": "1.0.0"}));
    config::merge(&mut config, more);
    config
}

/// As [`ptp`], with these addresses of static.
fn fixed(addresses: Value) -> Value {
    ptp(json!({"ipam": {"type": "static", "addresses": addresses}}))
}

/// A case with IPv6 addresses.
fn with_v6(config: Value) -> Case {
    let why = "on a link with two ends nobody can have the address already; nobody waits for it";
    Case::of(config)
        .differs("add/host/sysctls/VETH/ipv6.accept_dad", why)
        .differs("add/pod/sysctls/eth0/ipv6.accept_dad", why)
}

#[test]
fn minimal() {
    compare(&Case::of(ptp(json!({}))));
}

#[test]
fn mtu() {
    compare(&Case::of(ptp(json!({"mtu": 1400}))));
}

#[test]
fn both_families() {
    compare(&with_v6(dual(json!({}))));
}

#[test]
fn ipv6_alone() {
    compare(&with_v6(ptp(json!({
        "ipam": {"type": "host-local", "subnet": "fd00:88::/64", "routes": [{"dst": "::/0"}]}
    }))));
}

#[test]
fn two_ipv4_subnets() {
    compare(&Case::of(ptp(json!({
        "ipam": {"type": "host-local",
                 "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "10.89.0.0/16"}]],
                 "routes": [{"dst": "0.0.0.0/0"}]}
    }))));
}

#[test]
fn routes_with_and_without_gw() {
    compare(&with_v6(dual(json!({
        "ipam": {"type": "host-local",
                 "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]],
                 "routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.88.0.9"},
                            {"dst": "172.16.0.0/12"},
                            {"dst": "fd99::/32", "gw": "fd00:88::9"}, {"dst": "fd98::/32"}]}
    }))));
}

#[test]
fn a_gateway_of_its_own() {
    compare(&Case::of(ptp(json!({
        "ipam": {"type": "host-local", "ranges": [[
            {"subnet": "10.88.0.0/16", "rangeStart": "10.88.3.40", "gateway": "10.88.3.254"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}
    }))));
}

#[test]
fn ipv4_address_of_a_subnet_of_two() {
    compare(&Case::of(fixed(json!([{"address": "10.88.0.5/31", "gateway": "10.88.0.4"}]))));
}

#[test]
fn dns_of_the_network() {
    compare(&Case::of(ptp(json!({
        "dns": {"nameservers": ["10.88.0.1", "fd00::1"], "domain": "pods.test",
                "search": ["pods.test", "test"], "options": ["ndots:5"]}
    }))));
}

#[test]
fn dns_of_the_address_source() {
    compare(&Case::of(ptp(json!({
        "ipam": {"type": "static", "addresses": [{"address": "10.88.0.5/24", "gateway": "10.88.0.1"}],
                 "dns": {"nameservers": ["192.0.2.53"], "search": ["a.test"]}}
    }))));
}

#[test]
fn masquerading_by_nftables() {
    let why = "constant rules over nftables sets in a table of causeway's own, not iptables chains for each pod";
    let case = with_v6(dual(json!({"ipMasq": true})));
    compare(&case.differs("add/host/nft*", why).differs("del/host/nft*", why));
}

#[test]
fn masquerading_by_iptables() {
    // Debian's reference plugins know no other backend, and pass over the key.
    let case = with_v6(dual(json!({"ipMasq": true, "ipMasqBackend": "iptables"})));
    let why = "a DEL waits for the iptables-restore of an ADD that was killed";
    compare(&case.differs("*/host/files//run/causeway-iptables.lock", why));
}

#[test]
fn long_interface_name() {
    compare(&Case::of(ptp(json!({}))).env("CNI_IFNAME", "fifteen-bytes-x"));
}

#[test]
fn every_cni_version() {
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
        compare(&with_v6(dual(json!({
            "cniVersion": version, "dns": {"nameservers": ["192.0.2.1"]}
        }))));
    }
}

#[test]
fn addresses_of_the_configuration() {
    let addresses = json!([
        {"address": "10.88.0.5/24", "gateway": "10.88.0.1"},
        {"address": "fd00:88::5/64", "gateway": "fd00:88::1"}
    ]);
    let mut config = fixed(addresses);
    config["ipam"]["routes"] = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
    compare(&with_v6(config));
}

/// static by itself; what it prints is all that it does.
fn alone(addresses: Value, more: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.0.0", "name": "testnet", "type": "static",
        "ipam": {"type": "static", "addresses": addresses,
                 "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.0.0.0/8", "gw": "10.88.0.9"}],
                 "dns": {"nameservers": ["192.0.2.53"], "domain": "pods.test",
                         "search": ["pods.test"], "options": ["ndots:5"]}}
    });
    config::merge(&mut config, more);
    config
}

#[test]
fn every_source_of_static_addresses() {
    let own =
        json!([{"address": "10.88.0.5/24", "gateway": "10.88.0.1"}, {"address": "fd00:88::5/64"}]);
    let args = json!({"cni": {"ips": ["10.90.0.5/24", "fd00:90::5/64"]}});
    let variable = "IgnoreUnknown=1;IP=10.91.0.5/24,fd00:91::5/64;GATEWAY=10.91.0.1,10.88.0.99";
    for (addresses, more, variable) in [
        (own.clone(), json!({}), ""),
        (json!([]), json!({}), ""),
        (own.clone(), json!({}), variable),
        (json!([]), json!({}), variable),
        (own.clone(), json!({"args": args}), ""),
        (own.clone(), json!({"args": args}), variable),
        (own.clone(), json!({"runtimeConfig": {"ips": ["10.92.0.5/24"]}}), ""),
        (own, json!({"args": args, "runtimeConfig": {"ips": ["10.92.0.5/24"]}}), variable),
    ] {
        compare(&Case::of(alone(addresses, more)).env("CNI_ARGS", variable));
    }
    for version in ["0.1.0", "0.2.0", "0.3.1", "0.4.0"] {
        let own = json!([{"address": "10.88.0.5/24", "gateway": "10.88.0.1"}, {"address": "fd00:88::5/64"}]);
        compare(&Case::of(alone(own, json!({"cniVersion": version}))));
    }
}

/// What the reference attached, causeway checks and removes, and the other way round.
#[test]
fn either_removes_what_the_other_attached() {
    require_reference();
    if testing_reference() {
        return;
    }
    let (ours, theirs) = (Plugin::Causeway("ptp"), Plugin::Reference("ptp"));
    for masquerade in
        [json!({}), json!({"ipMasq": true}), json!({"ipMasq": true, "ipMasqBackend": "iptables"})]
    {
        for (first, second) in [(theirs, ours), (ours, theirs)] {
            if second == theirs && masquerade == json!({"ipMasq": true}) {
                // Debian's reference plugin fails to remove iptables chains that are not there.
                continue;
            }
            let what = format!("{masquerade}: attached by {first:?}, removed by {second:?}");
            let config = dual(masquerade.clone());
            let host = Host::new();
            let pod = host.pod("blue");
            let empty = pod.snapshot();
            let result = pod.call(first, &config).add();
            pod.call(second, &config).check(&result).silence();
            pod.call(second, &config).del();
            empty.assert_same(&pod.snapshot(), &what);
            let left = host.snapshot();
            assert_eq!(left.links(), ["lo"], "{what}");
            let leases = left.files("networks/testnet/");
            assert!(!leases.iter().any(|path| path.contains("88.0.2")), "{what}: {leases:?}");
            if second == ours {
                // Of another backend's rules nothing names the pod any more.
                let rules = left.get("/nft").to_string();
                assert!(
                    !rules.contains("10.88.0.2") && !rules.contains("id-blue"),
                    "{what}: {rules}"
                );
            }
            // What either left behind for its own use must not be in the way of a new attachment.
            let call = pod.call(ours, &config);
            let result = call.add();
            call.check(&result).silence();
            call.del();
            let gc = config::ptp_dual_stack(masquerade.clone());
            host.call(ours, &gc).gc(&[]);
            let left = host.snapshot();
            assert_eq!(left.links(), ["lo"], "{what}");
            assert!(!left.get("/nft").to_string().contains("id-blue"), "{what}");
            let files = left.files("testnet/");
            assert!(!files.iter().any(|path| path.contains("id-blue")), "{what}: {files:?}");
        }
    }
}
