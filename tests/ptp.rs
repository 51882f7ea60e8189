//! What an attachment of type ptp is: CHECK finds what is missing, DEL and GC leave nothing, with a
//! record and without.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::{ptp, ptp_dual_stack};
use harness::killed::killed_add;
use harness::refusal::{CHECK_FAILED, KERNEL_REFUSED};
use harness::snapshot::nothing_stays;
use harness::{Host, testing_reference};
use serde_json::{Value, json};

const PTP: Plugin = Plugin::Causeway("ptp");

fn everything() -> Value {
    ptp_dual_stack(json!({"ipMasq": true, "mtu": 1400}))
}

#[test]
fn the_result_tells_both_ends() {
    let host = Host::new();
    let pod = host.pod("blue");
    let result = pod.call(PTP, &everything()).add();
    let [outside, inside] = result["interfaces"].as_array().unwrap().as_slice() else {
        panic!("two interfaces expected: {result}");
    };
    assert_eq!(outside["name"], json!(host.host_veth()));
    assert_eq!(outside.get("sandbox"), None);
    assert_eq!(inside["name"], "eth0");
    assert_eq!(inside["mac"], json!(pod.mac("eth0")));
    assert_eq!(inside["sandbox"], "/run/netns/blue");
    assert_eq!(
        result["ips"],
        json!([
            {"address": "10.88.0.2/24", "gateway": "10.88.0.1", "interface": 1},
            {"address": "fd00:88::2/64", "gateway": "fd00:88::1", "interface": 1}
        ])
    );
    if !testing_reference() {
        assert_eq!((&outside["mtu"], &inside["mtu"]), (&json!(1400), &json!(1400)));
    }
}

/// Everything that CHECK looks at, spoilt one after the other.
#[test]
fn check_finds_what_is_missing() {
    let host = Host::new();
    let pod = host.pod("blue");
    // host-local would go on to another address each time.
    let mut config = everything();
    config["ipam"] = json!({
        "type": "static", "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        "addresses": [{"address": "10.88.0.2/24", "gateway": "10.88.0.1"},
                      {"address": "fd00:88::2/64", "gateway": "fd00:88::1"}]
    });
    let call = pod.call(PTP, &config);
    let spoil_pod: &[(&str, &[&str])] = &[
        ("ip addr del 10.88.0.2/24 dev eth0", &["10.88.0.2/24"]),
        ("ip addr del fd00:88::2/64 dev eth0", &["fd00:88::2/64"]),
        ("ip route del default", &["0.0.0.0/0"]),
        ("ip -6 route del default", &["::/0"]),
        ("ip route del 10.88.0.1", &["10.88.0.1"]),
        ("ip route del 10.88.0.0/24", &["10.88.0.0/24"]),
        ("ip -6 route del fd00:88::/64", &["fd00:88::/64"]),
        ("ip link set eth0 down", &["eth0", "down"]),
        ("ip link set eth0 mtu 1300", &["eth0", "1300"]),
        ("ip link set eth0 address 02:00:00:00:00:01", &["02:00:00:00:00:01"]),
        ("ip link del eth0", &["eth0"]),
    ];
    for (command, words) in spoil_pod {
        let result = call.add();
        call.check(&result).silence();
        pod.run(command);
        let outcome = call.check(&result);
        assert!(outcome.status != Some(0), "CHECK finds nothing after {command}");
        outcome.fails(CHECK_FAILED, words);
        call.del();
    }
    if testing_reference() {
        return;
    }
    for (command, words) in [
        ("ip addr del 10.88.0.1/32 dev VETH", ["10.88.0.1"]),
        ("ip addr del fd00:88::1/128 dev VETH", ["fd00:88::1"]),
        ("ip route del 10.88.0.2", ["10.88.0.2"]),
        ("ip -6 route del fd00:88::2", ["fd00:88::2"]),
        ("ip link set VETH down", ["is down"]),
        ("nft flush ruleset", ["masquerade"]),
        ("sysctl -qw net.ipv4.ip_forward=0", ["forward"]),
    ] {
        let result = call.add();
        call.check(&result).silence();
        host.run(&command.replace("VETH", &host.host_veth()));
        call.check(&result).fails(CHECK_FAILED, &words);
        call.del();
    }
}

#[test]
fn del_leaves_nothing_and_can_be_repeated() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(PTP, &everything());
    // What attachments share, forwarding and constant rules, stays from the first on.
    call.add();
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    for round in ["with a record", "without a record", "without a namespace"] {
        call.add();
        match round {
            "without a record" => {
                host.run("rm -r /var/lib/cni/causeway/testnet");
            }
            "without a namespace" => {
                let without = call.clone().without("CNI_NETNS");
                without.del();
            }
            _ => {}
        }
        call.del();
        nothing_stays(&before, &pod, round);
        call.del();
    }
    call.add();
    pod.destroy();
    call.del();
    assert_eq!(host.link_names(), ["lo"]);
    before
        .0
        .without_shared_files()
        .assert_same(&host.snapshot().without_shared_files(), "after the namespace is gone");
}

#[test]
fn gc_removes_what_is_not_valid() {
    let host = Host::new();
    let config = everything();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let result = green.call(PTP, &config).add();
    let before = (host.snapshot(), blue.snapshot());
    for with_record in [true, false] {
        blue.call(PTP, &config).add();
        if !with_record {
            host.run("find /var/lib/cni/causeway/testnet -name id-blue* -delete");
        }
        host.call(PTP, &config).gc(&[("id-green", "eth0")]);
        nothing_stays(&before, &blue, &format!("after GC, record: {with_record}"));
    }
    green.call(PTP, &config).check(&result).silence();
}

#[test]
fn status_tells_of_a_full_range() {
    let host = Host::new();
    let range = json!({"ipMasq": true, "ipam": {"type": "host-local", "subnet": "10.88.0.0/30"}});
    let config = ptp(range);
    host.call(PTP, &config).run("STATUS").silence();
    host.pod("blue").call(PTP, &config).add();
    host.call(PTP, &config).run("STATUS").fails(50, &["10.88.0"]);
}

/// An address without a subnet, with a gateway that is elsewhere: the routes that the container is
/// given lead through it all the same.
#[test]
fn an_address_by_itself() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = ptp(json!({"ipam": {
        "type": "static",
        "addresses": [{"address": "10.88.0.5/32", "gateway": "169.254.1.1"},
                      {"address": "fd00:88::5/128", "gateway": "fe80::1"}],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
    }}));
    let call = pod.call(PTP, &config);
    let before = pod.snapshot();
    let result = call.add();
    call.check(&result).silence();
    assert!(host.reaches("10.88.0.5") && host.reaches("fd00:88::5"));
    let route = pod.run("ip route show default");
    assert!(route.contains("via 169.254.1.1"), "{route}");
    call.del();
    before.assert_same(&pod.snapshot(), "after DEL");
}

/// Two addresses of one subnet have one gateway, which the host's end gets once.
#[test]
fn two_addresses_of_one_subnet() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = ptp(json!({"ipam": {"type": "static", "addresses": [
        {"address": "10.88.0.5/24", "gateway": "10.88.0.1"},
        {"address": "10.88.0.6/24", "gateway": "10.88.0.1"},
        {"address": "fd00:88::5/64", "gateway": "fd00:88::1"},
        {"address": "fd00:88::6/64", "gateway": "fd00:88::1"}
    ]}}));
    let call = pod.call(PTP, &config);
    let result = call.add();
    call.check(&result).silence();
    for address in ["10.88.0.5", "10.88.0.6", "fd00:88::5", "fd00:88::6"] {
        assert!(host.reaches(address), "{address}");
    }
    call.del();
}

/// The address is another container's: nothing is made, and the other goes on.
#[test]
fn an_address_that_another_container_has() {
    let host = Host::new();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    for address in ["10.88.0.5/24", "fd00:88::5/64"] {
        let gateway = if address.contains(':') { "fd00:88::1" } else { "10.88.0.1" };
        let config = ptp(json!({"ipam": {"type": "static",
            "addresses": [{"address": address, "gateway": gateway}]}}));
        let call = green.call(PTP, &config);
        let result = call.add();
        let before = (host.snapshot(), blue.snapshot());
        let veth = host.host_veth();
        let plain = address.split('/').next().unwrap();
        blue.call(PTP, &config).run("ADD").fails(7, &[plain, &veth]);
        nothing_stays(&before, &blue, "after a refused ADD");
        call.check(&result).silence();
        assert!(host.reaches(plain));
        call.del();
    }
}

/// A route that the kernel refuses undoes all of it.
#[test]
fn a_failure_half_way_leaves_nothing() {
    let host = Host::new();
    let pod = host.pod("blue");
    let mut config = everything();
    config["ipam"]["routes"] = json!([{"dst": "192.168.0.0/16", "gw": "172.31.0.1"}]);
    let before = (host.snapshot(), pod.snapshot());
    pod.call(PTP, &config).run("ADD").fails_with(&[KERNEL_REFUSED], &["172.31.0.1"]);
    nothing_stays(&before, &pod, "after the failed ADD");
}

/// A kill before any of the netlink messages leaves nothing that DEL, GC or another ADD does not clear.
#[test]
fn kills_at_every_message() {
    let host = Host::new();
    let (green, pod) = (host.pod("green"), host.pod("blue"));
    let config = everything();
    let beside = green.call(PTP, &config);
    let result = beside.add();
    let call = pod.call(PTP, &config);
    call.add();
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    let mut kills = 0;
    for nth in 1..60 {
        let came_so_far = killed_add(&host, &call, PTP, "sendto", nth);
        match nth % 3 {
            0 => call.del(),
            1 => host.call(PTP, &config).gc(&[("id-green", "eth0")]),
            _ => {
                if came_so_far {
                    let outcome = call.run("ADD");
                    if outcome.status != Some(0) {
                        outcome.fails(103, &["eth0"]);
                    }
                }
                call.del();
            }
        }
        nothing_stays(&before, &pod, &format!("after a kill at message {nth}"));
        if !came_so_far {
            break;
        }
        kills += 1;
    }
    assert!(kills > 5, "only {kills} messages");
    beside.check(&result).silence();
}
