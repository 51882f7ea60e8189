//! netkit, which Linux has from 6.7 on: real pairs and packets. scripts/test runs this in a guest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeSet;

use harness::call::Plugin;
use harness::chained::{List, Side, address};
use harness::config::{merge, ptp_dual_stack};
use harness::forged::Forge;
use harness::killed::killed_add;
use harness::refusal::{ALREADY_ATTACHED, CHECK_FAILED};
use harness::services::Service;
use harness::snapshot::nothing_stays;
use harness::{Host, Pod};
use serde_json::{Value, json};

const NETKIT: Plugin = Plugin::Causeway("netkit");
const PTP: Plugin = Plugin::Causeway("ptp");

/// What must hold of every pair, however it is asked for.
fn ways() -> Vec<(Plugin, Value)> {
    let of = |plugin, more| {
        let mut config = ptp_dual_stack(json!({"ipMasq": true, "mtu": 1400}));
        merge(&mut config, more);
        (plugin, config)
    };
    vec![
        of(NETKIT, json!({"type": "netkit"})),
        of(NETKIT, json!({"type": "netkit", "mode": "l2"})),
        of(PTP, json!({"linkType": "netkit", "mode": "l3"})),
        of(PTP, json!({"linkType": "netkit", "mode": "l2"})),
    ]
}

/// Both modes, by the type of its own.
fn modes() -> Vec<(Plugin, Value)> {
    ways().into_iter().filter(|(plugin, _)| *plugin == NETKIT).collect()
}

fn is_l2(config: &Value) -> bool {
    config["mode"] == "l2"
}

/// The name of the host's one netkit link.
fn head(host: &Host) -> String {
    let links = host.json("ip -j -d link show type netkit");
    let names: Vec<_> =
        links.as_array().unwrap().iter().filter_map(|link| link["ifname"].as_str()).collect();
    assert_eq!(names.len(), 1, "one netkit link on the host: {names:?}");
    names[0].to_owned()
}

/// The hardware address of the host's netkit link.
fn host_mac(host: &Host) -> [u8; 6] {
    let links = host.json(&format!("ip -j link show {}", head(host)));
    let mac = links[0]["address"].as_str().unwrap();
    let bytes: Vec<u8> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

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
fn pairs_of_either_mode() {
    for (plugin, config) in ways() {
        let host = Host::new();
        let pod = host.pod("blue");
        let call = pod.call(plugin, &config);
        let result = call.add();
        let head = head(&host);
        let links = pod.json("ip -j -d link show eth0");
        let link = &links[0];
        assert_eq!(link["linkinfo"]["info_kind"], "netkit", "{config}");
        assert_eq!(link["mtu"], 1400, "{config}");
        let flags = link["flags"].to_string();
        assert_eq!(flags.contains("NOARP"), !is_l2(&config), "{config}: {flags}");
        let interfaces = &result["interfaces"];
        assert_eq!(interfaces[0]["name"], json!(head), "{config}");
        assert_eq!(interfaces[1]["name"], "eth0");
        assert_eq!(interfaces[1]["mtu"], 1400);
        if is_l2(&config) {
            assert_eq!(interfaces[1]["mac"], link["address"], "{config}");
        } else {
            assert_eq!(interfaces[0].get("mac"), None, "{config}");
            assert_eq!(interfaces[1].get("mac"), None, "{config}");
        }
        call.check(&result).silence();
        call.run("ADD").fails(ALREADY_ATTACHED, &["eth0"]);
        call.del();
        assert_eq!(host.link_names(), ["lo"], "{config}");
        assert_eq!(pod.link_names(), ["lo"], "{config}");
    }
}

#[test]
fn packets_pass() {
    for (plugin, config) in modes() {
        let host = Host::new();
        let outside = outside(&host);
        let (blue, green) = (host.pod("blue"), host.pod("green"));
        blue.call(plugin, &config).add();
        green.call(plugin, &config).add();
        for address in ["10.88.0.1", "10.88.0.3", "fd00:88::1", "fd00:88::3"] {
            assert!(blue.reaches(address), "{config}: blue does not reach {address}");
        }
        for address in ["10.88.0.2", "fd00:88::2"] {
            assert!(host.reaches(address), "{config}: the host does not reach {address}");
        }
        for (there, as_seen) in [("192.0.2.2", "192.0.2.1"), ("fd00:2::2", "fd00:2::1")] {
            let seen = blue.seen_by(&outside, there).map(|ip| ip.to_string());
            assert_eq!(seen.as_deref(), Some(as_seen), "{config}: masqueraded");
            assert!(blue.reaches(there), "{config}: answers of {there} come back");
        }
        blue.call(plugin, &config).del();
        assert!(green.reaches("10.88.0.1") && green.reaches("fd00:88::1"), "{config}");
    }
}

/// Without a BPF program a blackhole lets nothing pass, in its direction.
#[test]
fn policies() {
    for key in ["policy", "peerPolicy"] {
        let host = Host::new();
        let pod = host.pod("blue");
        let mut config = ways().remove(0).1;
        let passes = pod.call(NETKIT, &config);
        passes.add();
        assert!(pod.reaches("10.88.0.1"));
        passes.del();
        config[key] = json!("blackhole");
        let call = pod.call(NETKIT, &config);
        let result = call.add();
        let count = |link: &str, host_side: bool| {
            let command = format!("ip -j -s link show {link}");
            let links = if host_side { host.json(&command) } else { pod.json(&command) };
            links[0]["stats64"]["rx"]["packets"].as_u64().unwrap()
        };
        assert!(pod.gets_no_answer("10.88.0.1"), "{key}");
        let (in_pod, at_host) = (count("eth0", false), count(&head(&host), true));
        if key == "policy" {
            assert!(at_host > 0 && in_pod == 0, "what goes to the container: {at_host} {in_pod}");
        } else {
            assert!(at_host == 0, "what comes from the container: {at_host} {in_pod}");
        }
        call.check(&result).silence();
        call.del();
    }
}

#[test]
fn check_finds_what_is_missing() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(NETKIT, &ways().remove(0).1);
    for (command, words) in [
        ("ip link set HEAD down", ["is down"]),
        ("ip route del 10.88.0.ADDRESS", ["10.88.0."]),
        ("ip link del HEAD", ["eth0"]),
    ] {
        let result = call.add();
        call.check(&result).silence();
        let address = result["ips"][0]["address"].as_str().unwrap();
        let last = address.split(['.', '/']).nth(3).unwrap();
        host.run(&command.replace("HEAD", &head(&host)).replace("ADDRESS", last));
        call.check(&result).fails(CHECK_FAILED, &words);
        call.del();
    }
}

#[test]
fn check_compares_with_the_configuration() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = ways().remove(0).1;
    let result = pod.call(NETKIT, &config).add();
    for (key, value, words) in [
        ("mode", "l2", "has mode l3, not l2"),
        ("policy", "blackhole", "has policy forward, not blackhole"),
        ("peerPolicy", "blackhole", "has peerPolicy forward, not blackhole"),
    ] {
        let mut other = config.clone();
        other[key] = json!(value);
        pod.call(NETKIT, &other).check(&result).fails(CHECK_FAILED, &[words]);
    }
    pod.call(NETKIT, &config).check(&result).silence();
}

#[test]
fn nothing_stays_after_del_and_gc() {
    for (plugin, config) in modes() {
        let host = Host::new();
        let pod = host.pod("blue");
        let call = pod.call(plugin, &config);
        call.add();
        call.del();
        let before = (host.snapshot(), pod.snapshot());
        for round in
            ["DEL", "DEL without a record", "DEL without a namespace", "GC", "GC without a record"]
        {
            call.add();
            if round.contains("record") {
                host.run("rm -r /var/lib/cni/causeway/testnet");
            }
            match round {
                "DEL without a namespace" => call.clone().without("CNI_NETNS").del(),
                _ if round.starts_with("GC") => host.call(plugin, &config).gc(&[]),
                _ => call.del(),
            }
            nothing_stays(&before, &pod, &format!("{config}: {round}"));
        }
        for nth in [3, 6, 9] {
            killed_add(&host, &call, plugin, "sendto", nth);
            call.del();
            nothing_stays(&before, &pod, &format!("{config}: killed at message {nth}"));
        }
        call.add();
        pod.destroy();
        call.del();
        assert_eq!(host.link_names(), ["lo"], "{config}: after the namespace is gone");
    }
}

/// The head is no port of a bridge: what comes out of it is looked at where the host takes packets in, also
/// in mode L3, where frames carry hardware addresses of zeros.
#[test]
fn a_guarded_container_sends_from_its_own_addresses_alone() {
    for (plugin, mut config) in modes() {
        for checked in [false, true] {
            config["addrspoofchk"] = json!(checked);
            let about = format!("mode {}, addrspoofchk {checked}", config["mode"]);
            let host = Host::new();
            // Nothing else may be what drops them.
            host.run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0");
            let (blue, green) = (host.pod("blue"), host.pod("green"));
            let call = blue.call(plugin, &config);
            let own = call.add();
            let others = green.call(PTP, &ptp_dual_stack(json!({}))).add();
            let (own4, own6) = (&address(&own, false), &address(&own, true));
            let (to4, to6) = (&address(&others, false), &address(&others, true));
            assert!(blue.reaches(to4) && blue.reaches(to6), "{about}");
            assert!(green.reaches(own4) && green.reaches(own6), "{about}");
            let to = host_mac(&host);
            let forge = Forge { to, ..Forge::of(&blue) };
            let sent = [
                forge.udp("own IPv4", (own4, 9), (to4, 9)),
                forge.udp("own IPv6", (own6, 9), (to6, 9)),
                forge.udp("another IPv4 of the subnet", ("10.88.0.77", 9), (to4, 9)),
                forge.udp("another IPv6 of the subnet", ("fd00:88::77", 9), (to6, 9)),
                forge.udp("an address of the world", ("192.0.2.1", 9), (to4, 9)),
            ];
            let last = forge.udp("the last", (own4, 9), (to4, 9));
            let passed = blue.gets_through(&green.watch(), &sent, &last);
            let own_ones = BTreeSet::from(["own IPv4", "own IPv6"]);
            let expected =
                if checked { own_ones } else { sent.iter().map(|frame| frame.name).collect() };
            assert_eq!(passed, expected, "{about}");
            call.check(&own).silence();
            if checked {
                host.run("nft flush set inet causeway_addrspoof ipv4");
                call.check(&own).fails(CHECK_FAILED, &["addrspoof", own4]);
            }
            call.del();
            let elements = host.nft_elements();
            assert!(
                elements.iter().all(|(set, _)| !set.contains("spoof")),
                "{about}: {elements:?}"
            );
        }
    }
}

/// The plugins after it find the host's end.
#[test]
fn in_a_list_one_by_one_and_as_one() {
    for (mode, side) in [("l3", Side::Fused), ("l2", Side::Causeway)] {
        let mut first = ptp_dual_stack(json!({"type": "netkit", "mode": mode, "ipMasq": true}));
        for key in ["cniVersion", "name"] {
            first.as_object_mut().unwrap().remove(key);
        }
        let mappings = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
        let limits = json!({"ingressRate": 80_000_000, "ingressBurst": 8_000_000,
                            "egressRate": 40_000_000, "egressBurst": 4_000_000});
        let entries = [
            first,
            json!({"type": "portmap", "capabilities": {"portMappings": true},
                       "runtimeConfig": {"portMappings": mappings}}),
            json!({"type": "firewall", "backend": "nftables"}),
            json!({"type": "bandwidth", "capabilities": {"bandwidth": true},
                   "runtimeConfig": {"bandwidth": limits}}),
            json!({"type": "tuning", "mtu": 1400}),
        ];
        let host = Host::new();
        let outside = outside(&host);
        let pod = host.pod("blue");
        let list = List::new(&pod, side, &entries);
        list.del(&list.add());
        let before = (host.snapshot(), pod.snapshot());
        let result = list.add();
        list.check(&result);
        let service = Service::start(&pod, "tcp", 80);
        outside.run("ip route add 10.88.0.0/24 via 192.0.2.1");
        assert!(service.answers(&outside, "192.0.2.1:8080"), "{mode} {side:?}");
        drop(service);
        list.del(&result);
        nothing_stays(&before, &pod, &format!("{mode} {side:?}"));
    }
}
