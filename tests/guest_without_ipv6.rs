//! A kernel that was started without IPv6 (`ipv6.disable=1`), as some operators have it: everything works for
//! IPv4, and IPv6 is refused by its name. scripts/test runs this in a guest of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::path::Path;

use harness::call::Plugin;
use harness::chained::{address, fused};
use harness::config::{bridge, dual_stack, merge, newest, ptp};
use harness::snapshot::nothing_stays;
use harness::{Host, Pod};
use serde_json::{Value, json};

fn the_kernel_has_none() {
    assert!(!Path::new("/proc/sys/net/ipv6").exists(), "this kernel has IPv6; see scripts/test");
}

/// ADD, CHECK and DEL, beside another pod that is reached and reaches.
fn works(plugin: &'static str, config: &Value) {
    the_kernel_has_none();
    let host = Host::new();
    let (green, blue) = (host.pod("green"), host.pod("blue"));
    let plugin = Plugin::Causeway(plugin);
    let other = green.call(plugin, config).add();
    let before = (host.snapshot(), blue.snapshot());
    let call = blue.call(plugin, config);
    let result = call.add();
    call.check(&result).silence();
    let addresses = [&other, &result].map(|result| address(result, false));
    let [green_has, blue_has] = &addresses;
    for (pod, from, to) in [(&blue, blue_has, green_has), (&green, green_has, blue_has)] {
        pod.run(&format!("ping -c 1 -W 5 -q -I {from} {to}"));
    }
    call.run_gc(&[("id-green", "eth0"), ("id-blue", "eth0")]).silence();
    call.check(&result).silence();
    call.del();
    nothing_stays(&before, &blue, "after DEL");
    green.call(plugin, config).del();
}

#[test]
fn a_bridge() {
    works(
        "bridge",
        &bridge(json!({"isDefaultGateway": true, "ipMasq": true, "macspoofchk": true})),
    );
}

#[test]
fn a_pair() {
    works("ptp", &ptp(json!({"ipMasq": true})));
}

#[test]
fn a_list_as_one() {
    let mut list = fused(&[
        json!({"type": "bridge", "bridge": "br0", "isDefaultGateway": true, "ipMasq": true,
               "ipam": {"type": "host-local", "subnet": "10.88.0.0/24"}}),
        json!({"type": "portmap", "snat": true}),
        json!({"type": "firewall", "backend": "nftables"}),
        json!({"type": "bandwidth", "ingressRate": 80_000_000, "ingressBurst": 8_000_000,
               "egressRate": 40_000_000, "egressBurst": 4_000_000}),
        json!({"type": "tuning", "sysctl": {"net.core.somaxconn": "512"}}),
        json!({"type": "sbr"}),
    ]);
    merge(&mut list, json!({"cniVersion": newest(), "name": "testnet"}));
    works("causeway", &list);
}

/// What is asked for in vain is named, and nothing is left of the rest.
#[test]
fn an_ipv6_address_is_refused() {
    the_kernel_has_none();
    let host = Host::new();
    let blue: Pod = host.pod("blue");
    let before = (host.snapshot(), blue.snapshot());
    let pair = json!({"ipam": {"type": "static", "addresses": [
        {"address": "10.88.0.2/24", "gateway": "10.88.0.1"},
        {"address": "fd00:88::2/64", "gateway": "fd00:88::1"}]}});
    for (plugin, config) in [("bridge", dual_stack(json!({}))), ("ptp", ptp(pair))] {
        let error = blue.call(Plugin::Causeway(plugin), &config).run("ADD").error();
        assert!(format!("{} {}", error.msg, error.details).contains("IPv6"), "{error:?}");
        assert!(!error.msg.contains("undoing it failed"), "{error:?}");
        nothing_stays(&before, &blue, &format!("after ADD of {plugin}"));
    }
}

#[test]
fn the_loopback_interface() {
    the_kernel_has_none();
    let host = Host::new();
    let blue = host.pod("blue");
    let config = json!({"cniVersion": newest(), "name": "lo", "type": "loopback"});
    let call = blue.call(Plugin::Causeway("loopback"), &config).ifname("lo");
    let result = call.add();
    call.check(&result).silence();
    assert_eq!(result["ips"], json!([{"address": "127.0.0.1/8", "interface": 0}]));
    call.del();
}
