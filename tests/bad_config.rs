//! Configurations that cannot be carried out: the right code, the key by name, and no change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::config::{bridge, dual_stack, merge};
use harness::refusal::{
    ALREADY_ATTACHED, BAD_CONFIG, BAD_VERSION, CHECK_FAILED, DELEGATE, EXHAUSTED, KERNEL_REFUSED,
    NOT_DECODED, UNAVAILABLE, refuse, refuse_configs, refuse_late,
};
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");

/// `ipam` keys that must be refused, around one range.
fn range(keys: Value) -> Value {
    let mut range = json!({"subnet": "10.88.0.0/24"});
    merge(&mut range, keys);
    ranges(json!([[range]]))
}

fn ranges(ranges: Value) -> Value {
    bridge(json!({"isGateway": true, "ipam": {"type": "host-local", "ranges": ranges}}))
}

#[test]
fn ranges_that_cannot_be() {
    refuse_configs(
        &[BAD_CONFIG],
        &[
            (range(json!({"subnet": "10.88.0.0/32"})), &["10.88.0.0/32"]),
            (range(json!({"subnet": "10.88.0.0/31"})), &["10.88.0.0/31"]),
            (range(json!({"subnet": "fd00::/128"})), &["fd00::/128"]),
            (range(json!({"subnet": null})), &["subnet"]),
            (range(json!({"subnet": "10.88.0.1/24"})), &["10.88.0.1/24"]),
            (range(json!({"gateway": "10.99.0.1"})), &["gateway", "10.99.0.1"]),
            (range(json!({"gateway": "fd00::1"})), &["gateway", "fd00::1"]),
            (range(json!({"rangeStart": "10.99.0.1"})), &["rangeStart", "10.99.0.1"]),
            (range(json!({"rangeEnd": "10.99.0.1"})), &["rangeEnd", "10.99.0.1"]),
            (
                range(json!({"rangeStart": "10.88.0.9", "rangeEnd": "10.88.0.8"})),
                &["rangeStart", "rangeEnd"],
            ),
            (ranges(json!([])), &["ranges"]),
            (ranges(json!([[]])), &["ranges"]),
            (
                ranges(json!([[{"subnet": "10.88.0.0/16"}], [{"subnet": "10.88.5.0/24"}]])),
                &["10.88.0.0/16", "10.88.5.0/24", "overlap"],
            ),
            (
                ranges(json!([[{"subnet": "10.88.0.0/24", "rangeEnd": "10.88.0.50"},
                           {"subnet": "10.88.0.0/24", "rangeStart": "10.88.0.40"}]])),
                &["overlap"],
            ),
            (
                ranges(json!([[{"subnet": "10.88.0.0/24"}, {"subnet": "fd00::/64"}]])),
                &["10.88.0.0/24", "fd00::/64"],
            ),
        ],
    );
}

#[test]
fn addresses_and_routes_that_cannot_be_read() {
    let ipam = |more: Value| {
        let mut ipam = json!({"type": "host-local", "subnet": "10.88.0.0/24"});
        merge(&mut ipam, more);
        bridge(json!({"ipam": ipam}))
    };
    refuse_configs(
        &[BAD_CONFIG, NOT_DECODED],
        &[
            (ipam(json!({"subnet": "banana"})), &["subnet", "banana"]),
            (ipam(json!({"subnet": "10.88.0.0/33"})), &["subnet", "10.88.0.0/33"]),
            (ipam(json!({"gateway": "banana"})), &["gateway", "banana"]),
            (ipam(json!({"rangeStart": "10.88.0"})), &["rangeStart", "10.88.0"]),
            (ipam(json!({"routes": [{"dst": "banana"}]})), &["routes", "dst", "banana"]),
            (ipam(json!({"routes": [{"gw": "10.88.0.9"}]})), &["routes", "dst"]),
            (
                ipam(json!({"routes": [{"dst": "10.0.0.0/8", "gw": "banana"}]})),
                &["routes", "gw", "banana"],
            ),
            (bridge(json!({"runtimeConfig": {"ips": ["banana"]}})), &["ips", "banana"]),
            (bridge(json!({"args": {"cni": {"ips": ["banana"]}}})), &["ips", "banana"]),
        ],
    );
}

#[test]
fn bridge_keys_that_exclude_each_other_or_are_out_of_range() {
    refuse_configs(
        &[BAD_CONFIG],
        &[
            (
                bridge(json!({"hairpinMode": true, "promiscMode": true})),
                &["hairpinMode", "promiscMode"],
            ),
            (
                bridge(json!({"disableContainerInterface": true})),
                &["disableContainerInterface", "ipam"],
            ),
            (bridge(json!({"vlan": 4095})), &["vlan", "4095"]),
            (bridge(json!({"vlan": -1})), &["vlan", "-1"]),
            (bridge(json!({"vlanTrunk": [{"id": 0}]})), &["vlanTrunk", "id"]),
            (bridge(json!({"vlanTrunk": [{"id": 4095}]})), &["vlanTrunk", "4095"]),
            (bridge(json!({"vlanTrunk": [{"minID": 5}]})), &["vlanTrunk", "maxID"]),
            (bridge(json!({"vlanTrunk": [{"maxID": 5}]})), &["vlanTrunk", "minID"]),
            (
                bridge(json!({"vlanTrunk": [{"id": 5}, {"minID": 9, "maxID": 8}]})),
                &["vlanTrunk", "minID", "maxID"],
            ),
            (bridge(json!({"vlanTrunk": [{"minID": 9, "maxID": 5000}]})), &["vlanTrunk", "5000"]),
            (bridge(json!({"mtu": -1})), &["mtu", "-1"]),
            (bridge(json!({"bridge": "sixteen-bytes-xx"})), &["bridge", "sixteen-bytes-xx"]),
            (bridge(json!({"bridge": "a/b"})), &["bridge", "a/b"]),
            (
                bridge(json!({"ipMasq": true, "ipMasqBackend": "ebtables"})),
                &["ipMasqBackend", "ebtables"],
            ),
            (bridge(json!({"ipMasqBackend": "ebtables"})), &["ipMasqBackend", "ebtables"]),
        ],
    );
}

#[test]
fn hardware_addresses_that_cannot_be() {
    refuse_configs(
        &[BAD_CONFIG],
        &[
            (
                bridge(json!({"runtimeConfig": {"mac": "zz:00:00:00:00:01"}})),
                &["mac", "zz:00:00:00:00:01"],
            ),
            (
                bridge(json!({"runtimeConfig": {"mac": "02:00:00:00:01"}})),
                &["mac", "02:00:00:00:01"],
            ),
            (bridge(json!({"args": {"cni": {"mac": "banana"}}})), &["mac", "banana"]),
            // Multicast and zero are no addresses of an interface.
            (
                bridge(json!({"runtimeConfig": {"mac": "01:00:5e:00:00:01"}})),
                &["mac", "01:00:5e:00:00:01"],
            ),
            (
                bridge(json!({"runtimeConfig": {"mac": "00:00:00:00:00:00"}})),
                &["mac", "00:00:00:00:00:00"],
            ),
        ],
    );
}

#[test]
fn a_bridge_name_that_another_kind_of_link_has() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.run("ip link add br0 type veth peer br0p");
    let call = pod.call(BRIDGE, &bridge(json!({"isGateway": true})));
    refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], &["br0", "bridge"]);
}

#[test]
fn a_bridge_that_has_another_address() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.run("ip link add br0 type bridge");
    host.run("ip link set br0 up");
    host.run("ip addr add 10.99.0.1/24 dev br0");
    let call = pod.call(BRIDGE, &bridge(json!({"isGateway": true})));
    refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], &["br0", "10.99.0.1/24", "forceAddress"]);
}

#[test]
fn an_ipam_type_that_is_nowhere() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = bridge(json!({"ipam": {"type": "nonsense-ipam"}}));
    let call = pod.call(BRIDGE, &config);
    let dir = BRIDGE.dir();
    refuse(&pod, &call, "ADD", &[DELEGATE], &["nonsense-ipam", &dir]);
    let both = call.env("CNI_PATH", &format!("{dir}:/run/nowhere"));
    refuse(&pod, &both, "ADD", &[DELEGATE], &["nonsense-ipam", &dir, "/run/nowhere"]);
}

/// A type is a file's name; it must not lead out of CNI_PATH.
#[test]
fn an_ipam_type_that_is_a_path() {
    refuse_configs(
        &[BAD_CONFIG, DELEGATE],
        &[
            (bridge(json!({"ipam": {"type": "../../bin/true"}})), &["../../bin/true"]),
            (bridge(json!({"ipam": {"type": "/bin/true"}})), &["/bin/true"]),
            (bridge(json!({"ipam": {"type": ".."}})), &["type"]),
        ],
    );
}

#[test]
fn requested_addresses_that_are_taken_or_outside() {
    let host = Host::new();
    let (other, pod) = (host.pod("green"), host.pod("blue"));
    let config = dual_stack(json!({}));
    other.call(BRIDGE, &config).env("CNI_ARGS", "IgnoreUnknown=1;IP=10.88.0.77").add();
    let call = pod.call(BRIDGE, &config);
    for ip in ["10.88.0.77", "10.99.0.5", "10.88.0.1", "fd00:99::5", "fd00:88::1", "10.88.0.255"] {
        let by_args = call.clone().env("CNI_ARGS", &format!("IgnoreUnknown=1;IP={ip}"));
        refuse(&pod, &by_args, "ADD", &[UNAVAILABLE], &[ip]);
        let by_runtime = call.clone().key("runtimeConfig", &json!({"ips": [ip]}));
        refuse(&pod, &by_runtime, "ADD", &[UNAVAILABLE], &[ip]);
        let by_args = call.clone().key("args", &json!({"cni": {"ips": [ip]}}));
        refuse(&pod, &by_args, "ADD", &[UNAVAILABLE], &[ip]);
    }
    // Of two, one of which can be had, neither stays.
    let half = call.clone().key("runtimeConfig", &json!({"ips": ["fd00:88::50", "10.88.0.77"]}));
    refuse(&pod, &half, "ADD", &[UNAVAILABLE], &["10.88.0.77"]);
}

#[test]
fn an_exhausted_range() {
    let host = Host::new();
    let (other, pod) = (host.pod("green"), host.pod("blue"));
    let config = bridge(
        json!({"isGateway": true, "ipam": {"type": "host-local", "subnet": "10.88.0.0/30"}}),
    );
    other.call(BRIDGE, &config).add();
    refuse(&pod, &pod.call(BRIDGE, &config), "ADD", &[EXHAUSTED], &["10.88.0.0/30"]);
    // When the other one goes, there is room again.
    other.call(BRIDGE, &config).del();
    pod.call(BRIDGE, &config).add();
}

/// What the first range gave is not lost when the second has nothing.
#[test]
fn an_exhausted_second_range() {
    let host = Host::new();
    let (other, pod) = (host.pod("green"), host.pod("blue"));
    let config = bridge(json!({"isGateway": true, "ipam": {"type": "host-local", "ranges": [
        [{"subnet": "10.88.0.0/24"}],
        [{"subnet": "fd00:88::/64", "rangeStart": "fd00:88::10", "rangeEnd": "fd00:88::10"}]
    ]}}));
    other.call(BRIDGE, &config).add();
    refuse(&pod, &pod.call(BRIDGE, &config), "ADD", &[EXHAUSTED], &["fd00:88::"]);
}

#[test]
fn an_interface_that_is_there() {
    let host = Host::new();
    let pod = host.pod("blue");
    pod.run("ip link add eth0 type bridge");
    let call = pod.call(BRIDGE, &dual_stack(json!({"ipMasq": true})));
    refuse(&pod, &call, "ADD", &[ALREADY_ATTACHED], &["eth0"]);
}

#[test]
fn check_without_or_with_a_foreign_previous_result() {
    let host = Host::new();
    let (other, pod) = (host.pod("green"), host.pod("blue"));
    let config = dual_stack(json!({}));
    let foreign = other.call(BRIDGE, &config).add();
    let call = pod.call(BRIDGE, &config);
    let own = call.add();
    refuse(&pod, &call, "CHECK", &[BAD_CONFIG], &["prevResult"]);
    let with = |previous: &Value| call.clone().key("prevResult", previous);
    refuse(&pod, &with(&foreign), "CHECK", &[BAD_CONFIG, CHECK_FAILED], &[]);
    refuse(&pod, &with(&json!("text")), "CHECK", &[BAD_CONFIG, NOT_DECODED], &["prevResult"]);
    refuse(
        &pod,
        &with(&json!({"cniVersion": "9.9.9"})),
        "CHECK",
        &[BAD_CONFIG, BAD_VERSION],
        &["9.9.9"],
    );
    let mut wrong = own.clone();
    wrong["ips"][0]["address"] = json!("10.88.0.99/24");
    refuse(&pod, &with(&wrong), "CHECK", &[CHECK_FAILED, BAD_CONFIG], &["10.88.0.99"]);
    let mut wrong = own.clone();
    wrong["interfaces"][2]["mac"] = json!("02:00:00:00:00:99");
    refuse(&pod, &with(&wrong), "CHECK", &[CHECK_FAILED], &["02:00:00:00:00:99"]);
    call.check(&own).silence();
}

#[test]
fn an_mtu_that_the_kernel_refuses() {
    let host = Host::new();
    let pod = host.pod("blue");
    for mtu in [67, 100_000] {
        let call = pod.call(BRIDGE, &dual_stack(json!({"mtu": mtu})));
        refuse(&pod, &call, "ADD", &[KERNEL_REFUSED, BAD_CONFIG], &["mtu"]);
    }
}
