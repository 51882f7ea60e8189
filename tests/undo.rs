//! A failure half-way leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::{Call, Plugin};
use harness::chained::whole_list;
use harness::config::{bridge, dual_stack, everything, merge};
use harness::snapshot::{Snapshot, nothing_stays};
use harness::{Host, Pod};
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");

/// An ADD that must fail and leave host and pod as they were.
#[track_caller]
fn fails_without_a_trace(pod: &Pod<'_>, call: &Call<'_>, codes: &[u64], words: &[&str]) {
    let before = (pod.host.snapshot(), pod.snapshot());
    let error = call.run("ADD").fails_with(codes, words);
    nothing_stays(&before, pod, &format!("after the failed ADD ({})", error.msg));
}

/// A route whose next hop is nowhere is refused by the kernel after link and addresses are made.
#[test]
fn a_route_that_the_kernel_refuses() {
    let host = Host::new();
    let pod = host.pod("blue");
    for (dst, gw) in [("192.168.0.0/16", "172.31.0.1"), ("fd77::/64", "fd99::1")] {
        let mut config = everything();
        merge(&mut config["ipam"], json!({"routes": [{"dst": dst, "gw": gw}]}));
        fails_without_a_trace(&pod, &pod.call(BRIDGE, &config), &[100, 7], &[dst, gw]);
    }
}

/// The same, beside another pod: what is shared with it must stay.
#[test]
fn a_failure_beside_another_pod() {
    let host = Host::new();
    let (other, pod) = (host.pod("green"), host.pod("blue"));
    let call = other.call(BRIDGE, &everything());
    let result = call.add();
    let mut config = everything();
    merge(&mut config["ipam"], json!({"routes": [{"dst": "192.168.0.0/16", "gw": "172.31.0.1"}]}));
    fails_without_a_trace(&pod, &pod.call(BRIDGE, &config), &[100, 7], &["172.31.0.1"]);
    call.check(&result).silence();
    assert!(other.reaches("10.88.0.1") && other.reaches("fd00:88::1"));
}

/// A route that is there already, made by somebody else in the pod.
#[test]
fn a_route_that_is_there() {
    let host = Host::new();
    let pod = host.pod("blue");
    pod.run("ip link add other type veth peer another");
    pod.run("ip link set other up");
    pod.run("ip link set another up");
    pod.run("ip addr add 172.20.0.1/24 dev other");
    pod.run("ip route add default via 172.20.0.9");
    let call = pod.call(BRIDGE, &everything());
    let before = (host.snapshot(), pod.snapshot());
    let outcome = call.run("ADD");
    if outcome.status == Some(0) {
        // Whether a second default route is made or the first one counts, DEL brings back what was.
        call.del();
        let plain = |s: &Snapshot| s.get("/routes").clone();
        assert_eq!(plain(&before.1), plain(&pod.snapshot()));
    } else {
        nothing_stays(&before, &pod, "after the failed ADD");
    }
}

/// A foreign IPAM plugin that hands out an address the pod has on another link: that is allowed by
/// the kernel for IPv4 and must then work, or fail without a trace.
#[test]
fn an_address_that_the_pod_has() {
    let host = Host::new();
    let pod = host.pod("blue");
    pod.run("ip link add other type veth peer another");
    pod.run("ip addr add 10.88.0.2/24 dev other");
    let call = pod.call(BRIDGE, &everything());
    let before = (host.snapshot(), pod.snapshot());
    let outcome = call.run("ADD");
    if outcome.status == Some(0) {
        call.check(&outcome.success()).silence();
        call.del();
        before.1.assert_same(&pod.snapshot(), "after DEL");
    } else {
        nothing_stays(&before, &pod, "after the failed ADD");
    }
}

#[test]
fn a_bridge_that_cannot_be_made() {
    let host = Host::new();
    let pod = host.pod("blue");
    // A link of that name and of another kind is in the way.
    host.run("ip link add br0 type veth peer br0p");
    fails_without_a_trace(&pod, &pod.call(BRIDGE, &everything()), &[7], &["br0"]);
}

/// The host end's name is taken: causeway derives it from the attachment.
#[test]
fn a_host_link_name_that_is_taken() {
    if harness::testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &everything());
    let result = call.add();
    let name = result["interfaces"][1]["name"].as_str().unwrap().to_owned();
    call.del();
    host.run(&format!("ip link add {name} type bridge"));
    let before = (host.snapshot(), pod.snapshot());
    let outcome = call.run("ADD");
    if outcome.status == Some(0) {
        // Another name is as good, as long as the stranger stays.
        call.del();
    }
    nothing_stays(&before, &pod, "after ADD with the host link's name taken");
}

/// With `enabledad` the kernel is asked whether somebody else uses the address; somebody does.
#[test]
fn an_address_that_somebody_else_uses() {
    let host = Host::new();
    let (stranger, pod) = (host.pod("stranger"), host.pod("blue"));
    let config = dual_stack(json!({"enabledad": true}));
    stranger.call(BRIDGE, &config).add();
    stranger.run("ip addr add fd00:88::3/64 dev eth0 nodad");
    fails_without_a_trace(&pod, &pod.call(BRIDGE, &config), &[102, 100], &["fd00:88::3"]);
}

#[test]
fn an_mtu_that_is_too_large() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &dual_stack(json!({"mtu": 100_000})));
    fails_without_a_trace(&pod, &call, &[100, 7], &["mtu"]);
}

#[test]
fn a_state_directory_that_is_read_only() {
    let host = Host::new();
    let pod = host.pod("blue");
    pod.call(BRIDGE, &everything()).ifname("net1").add(); // so that the directories are there
    host.run("mount -o remount,ro /var/lib");
    fails_without_a_trace(
        &pod,
        &pod.call(BRIDGE, &everything()),
        &[5],
        &["/var/lib/cni", "Read-only"],
    );
    host.run("mount -o remount,rw /var/lib");
    pod.call(BRIDGE, &everything()).add();
}

#[test]
fn a_state_directory_that_is_full() {
    let host = Host::new();
    let pod = host.pod("blue");
    pod.call(BRIDGE, &everything()).ifname("net1").add();
    host.run("mount -o remount,size=64k /var/lib");
    assert!(!host.succeeds("dd if=/dev/zero of=/var/lib/filler bs=4k"), "dd ends when it is full");
    fails_without_a_trace(
        &pod,
        &pod.call(BRIDGE, &everything()),
        &[5],
        &["/var/lib/cni", "No space"],
    );
    host.run("rm /var/lib/filler");
    pod.call(BRIDGE, &everything()).add();
}

/// Lease directories that are something else.
#[test]
fn a_lease_directory_that_is_a_file() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.write("/var/lib/cni/networks", "a file");
    fails_without_a_trace(&pod, &pod.call(BRIDGE, &everything()), &[5], &["/var/lib/cni/networks"]);
}

/// A foreign IPAM plugin that writes down how it was called and does `body` on ADD.
fn foreign(host: &Host, body: &str) -> Value {
    host.script_plugin(
        "foreign",
        &format!(
            "#!/bin/sh\ncat > /dev/null\necho $CNI_COMMAND >> /run/foreign-calls\n\
         [ $CNI_COMMAND = ADD ] || exit 0\n{body}\n"
        ),
    );
    bridge(json!({"isDefaultGateway": true, "ipMasq": true, "ipam": {"type": "foreign"}}))
}

/// An ADD with a foreign IPAM plugin that must fail, after which that plugin must have had DEL.
#[track_caller]
fn foreign_fails(body: &str, codes: &[u64], words: &[&str]) {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = foreign(&host, body);
    host.write("/run/foreign-calls", "");
    let before = (host.snapshot(), pod.snapshot());
    let error = pod.call(BRIDGE, &config).run("ADD").fails_with(codes, words);
    let calls = host.read("/run/foreign-calls");
    assert_eq!(calls, "ADD\nDEL\n", "what is handed out must be handed back: {error:?}");
    host.write("/run/foreign-calls", "");
    nothing_stays(&before, &pod, "after the failed ADD");
}

#[test]
fn a_foreign_ipam_plugin_that_fails() {
    let error = r#"echo '{"cniVersion": "1.0.0", "code": 11, "msg": "no address today", "details": "try later"}'; exit 1"#;
    foreign_fails(error, &[11, 105], &["no address today"]);
}

#[test]
fn a_foreign_ipam_plugin_that_dies() {
    foreign_fails("echo broken >&2; exit 3", &[105], &["foreign", "3"]);
    foreign_fails("kill -9 $$", &[105], &["foreign", "SIGKILL"]);
}

#[test]
fn a_foreign_ipam_plugin_that_returns_garbage() {
    foreign_fails("echo 'this is no JSON'", &[105], &["foreign"]);
    foreign_fails("true", &[105], &["foreign"]);
    foreign_fails(
        r#"echo '{"cniVersion": "1.0.0", "ips": [{"address": "banana"}]}'"#,
        &[105],
        &["banana"],
    );
    foreign_fails(
        r#"echo '{"cniVersion": "9.9.9", "ips": [{"address": "10.66.0.5/24"}]}'"#,
        &[105],
        &["9.9.9"],
    );
}

#[test]
fn a_foreign_ipam_plugin_that_returns_no_address() {
    foreign_fails(r#"echo '{"cniVersion": "1.0.0", "ips": []}'"#, &[105], &["foreign"]);
    foreign_fails(r#"echo '{"cniVersion": "1.0.0"}'"#, &[105], &["foreign"]);
}

/// The failure comes late, when the address is already on the interface.
#[test]
fn a_foreign_ipam_plugin_whose_route_cannot_be_made() {
    foreign_fails(
        r#"echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.66.0.5/24"}],
                  "routes": [{"dst": "10.0.0.0/8", "gw": "172.31.0.1"}]}'"#,
        &[100, 7],
        &["172.31.0.1"],
    );
}

/// A DEL that cannot hand the address back says so, and another DEL finishes.
#[test]
fn a_foreign_ipam_plugin_that_fails_in_del() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config =
        foreign(&host, r#"echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.66.0.5/24"}]}'"#);
    let call = pod.call(BRIDGE, &config);
    call.add();
    host.script_plugin(
        "foreign",
        "#!/bin/sh\ncat > /dev/null\necho '{\"code\": 11, \"msg\": \"not now\"}'; exit 1\n",
    );
    call.run("DEL").fails(107, &["not now"]);
    foreign(&host, "exit 1");
    call.del();
    assert_eq!(pod.link_names(), ["lo"]);
    let left = host.snapshot();
    assert_eq!(left.links(), ["br0", "lo"]);
    assert!(left.files("id-blue").is_empty(), "{:?}", left.files("id-blue"));
    assert!(host.read("/run/foreign-calls").ends_with("DEL\n"));
}

/// The first of all ADDs on a node fails when everything is made: the tables that it founded go too, but not
/// those that another counts on.
#[test]
fn the_tables_of_a_first_add() {
    let host = Host::new();
    host.script_plugin("fails", "#!/bin/sh\n[ $CNI_COMMAND != ADD ]\n");
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let call = |pod: &Pod<'_>, port: u16, with: bool| {
        let mut list = whole_list(port);
        let mut entries = list["plugins"].as_array().expect("entries").clone();
        entries[0]["macspoofchk"] = json!(true);
        entries[0]["addrspoofchk"] = json!(true);
        entries.extend(with.then(|| json!({"type": "fails"})));
        list["plugins"] = Value::Array(entries);
        Call::new(&host, Plugin::Causeway("causeway"), &list)
            .id(&format!("id-{}", pod.name))
            .ifname("eth0")
            .netns(&pod.path)
    };
    let before = (host.snapshot(), blue.snapshot());
    assert_eq!(host.run("nft list ruleset"), "");
    call(&blue, 8080, true).run("ADD").fails(105, &["fails"]);
    nothing_stays(&before, &blue, "after a first ADD that failed");
    assert_eq!(host.run("nft list ruleset"), "");

    let other = call(&green, 9090, false);
    let result = other.add();
    let beside = host.run("nft list ruleset");
    call(&blue, 8080, true).run("ADD").fails(105, &["fails"]);
    assert_eq!(host.run("nft list ruleset"), beside);
    other.check(&result).silence();
    other.del();
    let stays = host.run("nft list ruleset");
    assert!(stays.contains("causeway_masquerade"), "after DEL the tables stay: {stays}");
}
