//! What tuning refuses, before anything is changed or with everything undone, and the list of
//! allowed sysctls.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::{Call, Plugin};
use harness::config::{dual_stack, merge};
use harness::list::with;
use harness::refusal::{BAD_CONFIG, KERNEL_REFUSED, NOT_DECODED, refuse, refuse_late};
use harness::{Host, Pod};
use nix::mount::{MsFlags, mount};
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");
const TUNING: Plugin = Plugin::Causeway("tuning");
const CAUSEWAY: Plugin = Plugin::Causeway("causeway");
const NOT_AVAILABLE: u64 = 50;
const IO: u64 = 5;

fn tuning(more: Value) -> Value {
    let mut config = json!({"cniVersion": "1.1.0", "name": "testnet", "type": "tuning"});
    merge(&mut config, more);
    config
}

fn sysctls(all: Value) -> Value {
    tuning(json!({"sysctl": all}))
}

/// The result of the bridge plugin for a pod.
fn attached(pod: &Pod<'_>) -> Value {
    pod.call(BRIDGE, &dual_stack(json!({"cniVersion": "1.1.0"}))).add()
}

/// What no snapshot has.
fn wide(pod: &Pod<'_>) -> String {
    pod.run("cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_forward")
}

/// A host that has this file of allowed sysctls, in an /etc of its own; none at all without text.
fn host_allowing(text: Option<&str>) -> Host {
    let host = Host::new();
    host.inside(|| {
        let none: Option<&str> = None;
        mount(Some("tmpfs"), "/etc", Some("tmpfs"), MsFlags::empty(), none).expect("an own /etc");
    });
    if let Some(text) = text {
        host.write("/etc/cni/tuning/allowlist.conf", text);
    }
    host
}

#[test]
fn bad_configurations_are_refused_before_anything_is_changed() {
    let host = Host::new();
    let pod = host.pod("blue");
    let given = attached(&pod);
    let rows: &[(Value, &[&str])] = &[
        (sysctls(json!({"kernel.hostname": "x"})), &["sysctl[\"kernel.hostname\"]", "net"]),
        (sysctls(json!({"net": "1"})), &["sysctl[\"net\"]"]),
        (sysctls(json!({"": "1"})), &["sysctl[\"\"]"]),
        (sysctls(json!({"net/../kernel/hostname": "x"})), &["net/../kernel/hostname"]),
        (sysctls(json!({"net/ipv4/../../kernel/hostname": "x"})), &["sysctl"]),
        (sysctls(json!({"../proc/sys/net/core/somaxconn": "9"})), &["sysctl"]),
        (sysctls(json!({"net..core.somaxconn": "9"})), &["net..core.somaxconn"]),
        (sysctls(json!({"/net/core/somaxconn": "9"})), &["/net/core/somaxconn"]),
        (sysctls(json!({"net.core.somaxconn\u{0}": "9"})), &["sysctl"]),
        (
            sysctls(json!({"net.core.somaxconn": "9", "net.core.nothing": "1"})),
            &["net.core.nothing", "no such setting"],
        ),
        (sysctls(json!({"net.core": "1"})), &["net.core", "no such setting"]),
        (
            sysctls(json!({"net.ipv4.conf.IFNAME.nothing": "1"})),
            &["IFNAME.nothing", "no such setting"],
        ),
        (sysctls(json!({"net.ipv4.conf.eth7.arp_filter": "1"})), &["eth7", "no such setting"]),
        (sysctls(json!({"net.ipv4.tcp_available_congestion_control": "reno"})), &["cannot be set"]),
        (sysctls(json!({"net.core.somaxconn": "9", "net/core/somaxconn": "8"})), &["same setting"]),
        (sysctls(json!({"net.core.somaxconn": 9})), &["sysctl", "string"]),
        (sysctls(json!(["net.core.somaxconn"])), &["sysctl"]),
        (
            tuning(json!({"args": {"cni": {"sysctl": {"kernel.x": "1"}}}})),
            &["args.cni.sysctl[\"kernel.x\"]"],
        ),
        (tuning(json!({"mac": "here"})), &["mac", "here", "0a:58"]),
        (tuning(json!({"mac": "01:00:5e:00:00:01"})), &["mac", "unicast"]),
        (tuning(json!({"runtimeConfig": {"mac": "x"}})), &["runtimeConfig.mac"]),
        (tuning(json!({"args": {"cni": {"mac": "x"}}})), &["args.cni.mac"]),
        (tuning(json!({"mtu": -1})), &["mtu", "-1"]),
        (tuning(json!({"mtu": 67})), &["mtu", "67"]),
        (tuning(json!({"mtu": 65537})), &["mtu", "65537"]),
        (tuning(json!({"mtu": 1279})), &["mtu", "IPv6", "1280"]),
        (tuning(json!({"mtu": "1400"})), &["mtu"]),
        (tuning(json!({"args": {"cni": {"mtu": 3}}})), &["args.cni.mtu", "3"]),
        (tuning(json!({"txQLen": -1})), &["txQLen", "-1"]),
        (tuning(json!({"txQLen": 4294967296u64})), &["txQLen", "4294967296"]),
        (tuning(json!({"promisc": "yes"})), &["promisc"]),
        (tuning(json!({"allmulti": 1})), &["allmulti"]),
        (tuning(json!({"dataDir": "here"})), &["dataDir", "absolute"]),
        (tuning(json!({"dataDir": 7})), &["dataDir"]),
    ];
    let wide_before = wide(&pod);
    for (config, words) in rows {
        let call = with(&pod.call(TUNING, config), &given);
        refuse(&pod, &call, "ADD", &[BAD_CONFIG], words);
    }
    let call = with(&pod.call(TUNING, &tuning(json!({}))), &given).env("CNI_ARGS", "MAC=x");
    refuse(&pod, &call, "ADD", &[BAD_CONFIG], &["CNI_ARGS", "MAC"]);
    assert_eq!(wide(&pod), wide_before);
}

#[test]
fn a_sysctl_that_is_named_twice_is_refused() {
    let host = Host::new();
    let pod = host.pod("blue");
    let given = attached(&pod);
    // serde_json cannot write such a thing.
    let text = |entry: &str| {
        format!(r#"{{"cniVersion": "1.1.0", "name": "testnet", "prevResult": {given}, {entry}}}"#)
    };
    let twice =
        r#""type": "tuning", "sysctl": {"net.core.somaxconn": "9", "net.core.somaxconn": "8"}"#;
    let refused = |call: Call<'_>, verb: &str| {
        refuse(&pod, &call, verb, &[BAD_CONFIG], &["net.core.somaxconn", "twice"]);
    };
    let call =
        |plugin: Plugin, entry: &str| pod.call(plugin, &json!({})).stdin(text(entry).as_bytes());
    refused(call(TUNING, twice), "ADD");
    refused(call(TUNING, twice), "CHECK");
    let list = format!(r#""type": "causeway", "plugins": [{{"type": "loopback"}}, {{{twice}}}]"#);
    refused(call(CAUSEWAY, &list), "ADD");
}

#[test]
fn it_needs_what_another_plugin_has_made() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = tuning(json!({"mtu": 1400}));
    refuse_late(&pod, &pod.call(TUNING, &config), "ADD", &[BAD_CONFIG], &["prevResult", "tuning"]);
    refuse_late(&pod, &pod.call(TUNING, &config), "CHECK", &[BAD_CONFIG], &["prevResult"]);
    let nobody = json!({"cniVersion": "1.1.0", "ips": []});
    let call = with(&pod.call(TUNING, &config), &nobody);
    refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], &["eth0", "not in the container"]);
    let garbage = with(&pod.call(TUNING, &config), &json!(7));
    refuse_late(&pod, &garbage, "ADD", &[BAD_CONFIG, NOT_DECODED], &["prevResult"]);
    // As part of a list too: lo is not eth0.
    let list = json!({"cniVersion": "1.1.0", "name": "testnet", "type": "causeway",
                      "plugins": [{"type": "loopback"}, {"type": "tuning", "mtu": 1400}]});
    refuse_late(&pod, &pod.call(CAUSEWAY, &list), "ADD", &[BAD_CONFIG], &["plugins[1]", "eth0"]);
}

#[test]
fn what_the_kernel_refuses_is_undone() {
    let host = Host::new();
    let pod = host.pod("blue");
    let given = attached(&pod);
    let wide_before = wide(&pod);
    let rows: &[(Value, &[&str])] = &[
        // somaxconn comes first and is put back.
        (
            sysctls(json!({"net.core.somaxconn": "9", "net.ipv4.ip_forward": "many"})),
            &["ip_forward", "many"],
        ),
        // Sysctls, backup and hardware address come before the MTU.
        (
            tuning(
                json!({"sysctl": {"net.core.somaxconn": "9"}, "mac": "0a:58:0a:01:00:05", "mtu": 65536}),
            ),
            &["MTU 65536", "eth0"],
        ),
    ];
    for (config, words) in rows {
        let call = with(&pod.call(TUNING, config), &given);
        refuse(&pod, &call, "ADD", &[KERNEL_REFUSED], words);
        assert_eq!(wide(&pod), wide_before);
    }
    let full = tuning(
        json!({"mtu": 1400, "dataDir": "/proc/nowhere", "sysctl": {"net.core.somaxconn": "9"}}),
    );
    let call = with(&pod.call(TUNING, &full), &given);
    refuse(&pod, &call, "ADD", &[IO], &["/proc/nowhere", "dataDir"]);
    assert_eq!(wide(&pod), wide_before);
    // As part of a list the whole attachment goes.
    let list = |tuning: Value| {
        let mut bridge = dual_stack(json!({"cniVersion": null, "name": null, "bridge": "br1"}));
        merge(&mut bridge, json!({"ipam": {"type": "host-local", "subnet": "10.99.0.0/24"}}));
        json!({"cniVersion": "1.1.0", "name": "othernet", "type": "causeway", "plugins": [bridge, tuning]})
    };
    for (config, words) in rows {
        let call = pod.call(CAUSEWAY, &list(config.clone())).ifname("eth1");
        refuse_late(&pod, &call, "ADD", &[KERNEL_REFUSED], &words[..1]);
        assert_eq!(wide(&pod), wide_before);
    }
}

#[test]
fn in_a_list_names_are_checked_before_there_is_an_interface() {
    let host = Host::new();
    let pod = host.pod("blue");
    let list = |name: &str| {
        let bridge = dual_stack(json!({"cniVersion": null, "name": null}));
        let tuning = json!({"type": "tuning", "sysctl": {"net.ipv4.ip_forward": "1", name: "1"}});
        json!({"cniVersion": "1.1.0", "name": "testnet", "type": "causeway", "plugins": [bridge, tuning]})
    };
    for name in ["net.ipv4.conf.IFNAME.nothing", "net.ipv6.neigh.eth0.nothing", "net.core.nothing"]
    {
        let call = pod.call(CAUSEWAY, &list(name));
        refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], &["plugins[1]", name, "no such setting"]);
    }
    let call = pod.call(CAUSEWAY, &list("net.ipv4.conf.IFNAME.arp_filter"));
    call.check(&call.add()).silence();
}

#[test]
fn the_list_of_allowed_sysctls_decides() {
    let host = host_allowing(Some("\n^net\\.core\\.\n  ^net.ipv4.conf.IFNAME.[a-z_]*$  \n"));
    let pod = host.pod("blue");
    let given = attached(&pod);
    let with_prev = |config: &Value| with(&pod.call(TUNING, config), &given);
    let good = sysctls(json!({"net.core.somaxconn": "9", "net.ipv4.conf.IFNAME.arp_filter": "1"}));
    let call = with_prev(&good);
    let result = call.add();
    call.check(&result).silence();
    call.del();
    // Names are compared as they are written.
    for name in ["net.ipv4.ip_forward", "net/core/somaxconn", "net.ipv4.conf.eth0.arp_filter"] {
        let call = with_prev(&sysctls(json!({"net.core.wmem_default": "90000", name: "1"})));
        refuse(&pod, &call, "ADD", &[BAD_CONFIG], &[name, "not allowed", "allowlist.conf"]);
    }
    let args = tuning(json!({"args": {"cni": {"sysctl": {"net.ipv4.ip_forward": "1"}}}}));
    refuse(&pod, &with_prev(&args), "ADD", &[BAD_CONFIG], &["args.cni.sysctl", "not allowed"]);
    // Without sysctls nobody asks.
    let call = with_prev(&tuning(json!({"mtu": 1400})));
    call.add();
    call.del();

    let status = |config: &Value| host.call(TUNING, config).run("STATUS");
    status(&good).silence();
    status(&sysctls(json!({"net.ipv4.ip_forward": "1"}))).fails(NOT_AVAILABLE, &["not allowed"]);
    // An attachment of before the list was made can be checked and detached.
    host.run("rm /etc/cni/tuning/allowlist.conf");
    let call = with_prev(&sysctls(json!({"net.ipv4.ip_forward": "1"})));
    let result = call.add();
    host.write("/etc/cni/tuning/allowlist.conf", "");
    call.check(&result).silence();
    call.del();
    assert_eq!(pod.run("cat /proc/sys/net/ipv4/ip_forward"), "0\n");
    // An empty list allows nothing.
    refuse(&pod, &with_prev(&good), "ADD", &[BAD_CONFIG], &["not allowed"]);
}

#[test]
fn a_list_of_allowed_sysctls_that_cannot_be_read_is_no_permission() {
    let host = host_allowing(Some("^net.ipv4.\n*wrong\n"));
    let pod = host.pod("blue");
    let given = attached(&pod);
    let call = with(&pod.call(TUNING, &sysctls(json!({"net.core.somaxconn": "9"}))), &given);
    refuse(&pod, &call, "ADD", &[BAD_CONFIG], &["line 2", "allowlist.conf", "regular expression"]);
    host.run("rm /etc/cni/tuning/allowlist.conf");
    host.run("mkdir /etc/cni/tuning/allowlist.conf");
    refuse(&pod, &call, "ADD", &[IO], &["allowlist.conf"]);
    host.run("rmdir /etc/cni/tuning/allowlist.conf");
    call.add();
}
