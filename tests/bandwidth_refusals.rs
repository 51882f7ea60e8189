//! What bandwidth refuses, before anything is changed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::limited::{BANDWIDTH, attached, bandwidth, both};
use harness::list::with;
use harness::refusal::{BAD_CONFIG, refuse};
use serde_json::{Value, json};

#[test]
fn wrong_values_are_named() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (_, given) = attached(&pod, &both());
    let rows: &[(Value, &[&str])] = &[
        (json!({"ingressRate": 8000}), &["ingressBurst", "ingressRate is 8000"]),
        (json!({"ingressBurst": 8000}), &["ingressRate", "ingressBurst is 8000"]),
        (json!({"egressRate": 8000}), &["egressBurst"]),
        (json!({"egressBurst": 8000}), &["egressRate"]),
        (json!({"egressRate": 8000, "egressBurst": 0}), &["egressBurst", "give both"]),
        (json!({"ingressRate": 7, "ingressBurst": 8000}), &["ingressRate", "at least 8"]),
        (json!({"ingressRate": 8000, "ingressBurst": 7}), &["ingressBurst", "at least 8"]),
        (json!({"ingressRate": -1, "ingressBurst": 8000}), &["ingressRate", "-1"]),
        (json!({"ingressRate": 8000, "ingressBurst": -5}), &["ingressBurst", "-5"]),
        (json!({"ingressRate": 1.5, "ingressBurst": 8000}), &["ingressRate", "1.5"]),
        (json!({"ingressRate": "8M", "ingressBurst": 8000}), &["ingressRate", "8M"]),
        // 2^32 - 1 bytes are the first too many, as with the reference plugin.
        (
            json!({"ingressRate": 8000, "ingressBurst": 34_359_738_360u64}),
            &["ingressBurst", "34359738360", "4 GiB", "34359738359"],
        ),
        (
            json!({"ingressRate": 1_374_389_534_401u64, "ingressBurst": 1_000_000_000}),
            &["ingressRate", "1374389534401", "tbf", "1374389534400"],
        ),
        (json!({"egressRate": u64::MAX, "egressBurst": 1_000_000_000}), &["egressRate", "tbf"]),
        (
            json!({"ingressRate": 80_000_000_000u64, "ingressBurst": 79_992}),
            &["ingressBurst", "microsecond", "at least 80008"],
        ),
        (
            json!({"ingressRate": 8000, "ingressBurst": 8000, "shapedSubnets": ["10.0.0.0/8"],
                   "unshapedSubnets": ["10.1.0.0/16"]}),
            &["shapedSubnets", "unshapedSubnets", "keep one"],
        ),
        (
            json!({"ingressRate": 8000, "ingressBurst": 8000,
                   "shapedSubnets": ["10.0.0.0/8", "10.1.0.0"]}),
            &["shapedSubnets[1]", "10.1.0.0", "prefix"],
        ),
        (
            json!({"ingressRate": 8000, "ingressBurst": 8000, "unshapedSubnets": ["fd00::/129"]}),
            &["unshapedSubnets[0]", "fd00::/129"],
        ),
        (
            json!({"ingressRate": 8000, "ingressBurst": 8000, "unshapedSubnets": "fd00::/8"}),
            &["unshapedSubnets"],
        ),
        (
            json!({"runtimeConfig": {"bandwidth": {"ingressRate": 8000}}}),
            &["runtimeConfig.bandwidth.ingressBurst"],
        ),
        (
            json!({"runtimeConfig": {"bandwidth": {"egressRate": -8000}}}),
            &["runtimeConfig.bandwidth.egressRate", "-8000"],
        ),
    ];
    for (more, words) in rows {
        let call = with(&pod.call(BANDWIDTH, &bandwidth(more.clone())), &given);
        refuse(&pod, &call, "ADD", &[BAD_CONFIG], words);
    }
}

#[test]
fn what_is_just_right_is_taken() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (_, given) = attached(&pod, &both());
    for (rate, burst) in [
        (8u64, 8),
        (8000, 34_359_738_359u64),
        (1_374_389_534_400, 34_359_738_359),
        (1_374_389_534_400, 1_374_400),
        (80_000_000_000, 80_008),
    ] {
        let config = bandwidth(json!({"ingressRate": rate, "ingressBurst": burst,
                                      "egressRate": rate, "egressBurst": burst}));
        for config in [config.clone(), {
            let mut config = config;
            config["shapedSubnets"] = json!(["10.0.0.0/8"]);
            config
        }] {
            let call = with(&pod.call(BANDWIDTH, &config), &given);
            call.check(&call.add()).silence();
            call.del();
        }
    }
}

#[test]
fn without_an_interface_to_limit_there_is_nothing_to_do() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, given) = attached(&pod, &both());
    refuse(
        &pod,
        &pod.call(BANDWIDTH, &both()),
        "ADD",
        &[BAD_CONFIG],
        &["prevResult", "is missing"],
    );

    let mut other = given.clone();
    other["interfaces"] = json!([{"name": "br0"}, {"name": "eth0", "sandbox": pod.path}]);
    let veth = host.host_veth();
    refuse(&pod, &with(&call, &other), "ADD", &[BAD_CONFIG], &["prevResult", &veth]);
    other["interfaces"] = json!([]);
    other["ips"] = json!([]);
    refuse(&pod, &with(&call, &other), "ADD", &[BAD_CONFIG], &["prevResult", &veth]);

    let elsewhere = call.clone().env("CNI_IFNAME", "eth7");
    refuse(&pod, &elsewhere, "ADD", &[BAD_CONFIG], &["prevResult", "eth7 is not in the container"]);
    pod.run("ip link add ifb7 type ifb");
    let no_veth = call.clone().env("CNI_IFNAME", "ifb7");
    refuse(&pod, &no_veth, "ADD", &[BAD_CONFIG], &["ifb7", "no other end on the host", "ifb"]);
    // A pair that has its other end in the container itself.
    pod.run("ip link add one type veth peer name two");
    let inside = call.clone().env("CNI_IFNAME", "one");
    refuse(&pod, &inside, "ADD", &[BAD_CONFIG], &["one", "no other end on the host"]);
}
