//! sbr in one process with the bridge plugin, and what it refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::config::{dual_stack, merge};
use harness::list::with;
use harness::refusal::{BAD_CONFIG, CHECK_FAILED, refuse, refuse_late};
use harness::routing::{answers, attached, rules, sbr, second, table};
use harness::snapshot::nothing_stays;
use serde_json::json;

const BRIDGE: Plugin = Plugin::Causeway("bridge");
const SBR: Plugin = Plugin::Causeway("sbr");
const CAUSEWAY: Plugin = Plugin::Causeway("causeway");

#[test]
fn bad_configurations_are_refused_before_anything_is_changed() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (good, given) = attached(&pod, &sbr(json!({})));
    good.add();
    good.del();
    for (more, words) in [
        (json!({"table": 0}), &["table", "0"][..]),
        (json!({"table": -1}), &["table", "-1"]),
        (json!({"table": 4294967296u64}), &["table", "4294967296"]),
        (json!({"table": "main"}), &["table"]),
        (json!({"gateways": ["here"]}), &["gateways[0]", "here"]),
        (json!({"gateways": ["10.99.0.1", "10.99.0.3"]}), &["gateways[1]", "second IPv4"]),
        (json!({"gateways": ["fd00::1", "10.99.0.1", "fd00::2"]}), &["gateways[2]", "second IPv6"]),
        (json!({"gateways": "10.99.0.1"}), &["gateways"]),
        (json!({"addSourceHints": 1}), &["addSourceHints"]),
    ] {
        let call = with(&pod.call(SBR, &sbr(more)).ifname("eth1"), &given);
        refuse(&pod, &call, "ADD", &[BAD_CONFIG], words);
    }
    let call = pod.call(SBR, &sbr(json!({}))).ifname("eth1");
    refuse(&pod, &call, "ADD", &[BAD_CONFIG], &["prevResult", "sbr"]);
    let nothing = json!({"cniVersion": "1.1.0", "interfaces": given["interfaces"], "ips": []});
    refuse(&pod, &with(&call, &nothing), "ADD", &[BAD_CONFIG], &["prevResult.ips", "eth1"]);
    let others = json!({"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/x"}],
                        "ips": [{"address": "10.88.0.2/24", "interface": 0}]});
    refuse(&pod, &with(&call, &others), "ADD", &[BAD_CONFIG], &["prevResult.ips", "eth1"]);
    let absent = with(
        &call.clone().ifname("eth7"),
        &json!({"cniVersion": "1.1.0", "ips": [{"address": "10.1.0.2/24"}]}),
    );
    refuse(&pod, &absent, "ADD", &[BAD_CONFIG], &["eth7", "not in the container"]);
}

#[test]
fn what_the_kernel_refuses_is_undone() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (_, given) = attached(&pod, &sbr(json!({})));
    // No route leads to these; the rules and copies are there by then.
    for gateway in ["172.16.0.1", "fd00:77::1"] {
        let config = sbr(json!({"gateways": [gateway]}));
        let call = with(&pod.call(SBR, &config).ifname("eth1"), &given);
        pod.run("ip route del default");
        pod.run("ip -6 route del default");
        refuse_late(&pod, &call, "ADD", &[100], &[gateway]);
        pod.run("ip route add default via 10.88.0.1");
        pod.run("ip -6 route add default via fd00:88::1");
    }
}

#[test]
fn in_one_process_with_the_bridge() {
    let host = Host::new();
    let pod = host.pod("blue");
    let mut bridge = second(json!({"isDefaultGateway": null, "isGateway": true, "ipMasq": true}));
    merge(&mut bridge, json!({"cniVersion": null, "name": null}));
    let list = json!({"cniVersion": "1.1.0", "name": "second", "type": "causeway",
                      "plugins": [bridge, {"type": "sbr"}]});
    pod.call(BRIDGE, &dual_stack(json!({}))).add();
    let call = pod.call(CAUSEWAY, &list).ifname("eth1");
    call.add();
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    let result = call.add();
    assert_eq!(rules(&pod), ["from 10.99.0.3 lookup 100", "from fd00:99::3 lookup 101"]);
    assert_eq!(
        table(&pod, "-4", "100"),
        [
            "10.99.0.0/24 src 10.99.0.3",
            "198.51.100.0/24 via 10.99.0.1 mtu 1300",
            "default via 10.99.0.1"
        ]
    );
    assert_eq!(table(&pod, "-6", "101"), ["default via fd00:99::1", "fd00:99::/64"]);
    assert_eq!(table(&pod, "-4", "main"), Vec::<String>::new());
    assert!(answers(&pod, "10.99.0.3", "10.99.0.1"));
    call.check(&result).silence();
    pod.run("ip rule del from 10.99.0.3");
    call.check(&result).fails(CHECK_FAILED, &["10.99.0.3"]);
    call.del();
    nothing_stays(&before, &pod, "after DEL");

    // Attached by one, detached by the plugins one by one, and the other way round.
    let alone = second(json!({"isDefaultGateway": null, "isGateway": true, "ipMasq": true}));
    let bridge = pod.call(BRIDGE, &alone).ifname("eth1");
    let sbr = pod.call(SBR, &sbr(json!({}))).ifname("eth1");
    let result = call.add();
    with(&sbr, &result).check(&result).silence();
    with(&sbr, &result).del();
    with(&bridge, &result).del();
    nothing_stays(&before, &pod, "fused ADD, unfused DEL");
    let result = with(&sbr, &bridge.add()).add();
    call.check(&result).silence();
    with(&call, &result).del();
    nothing_stays(&before, &pod, "unfused ADD, fused DEL");

    // What fails takes the rest with it.
    let mut broken = list.clone();
    broken["plugins"][1]["gateways"] = json!(["172.16.0.1"]);
    pod.run("ip route del default");
    let call = pod.call(CAUSEWAY, &broken).ifname("eth1");
    refuse_late(&pod, &call, "ADD", &[100], &["172.16.0.1"]);
}
