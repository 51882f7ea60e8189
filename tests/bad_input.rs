//! Bad environments, bad JSON, bad names: the right code, what is wrong by name, and no change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::config::bridge;
use harness::refusal::{
    BAD_CONFIG, BAD_ENVIRONMENT, BAD_VERSION, NOT_DECODED, refuse, refuse_configs,
};
use serde_json::json;

const BRIDGE: Plugin = Plugin::Causeway("bridge");

#[test]
fn unknown_cni_version() {
    refuse_configs(
        &[BAD_VERSION],
        &[
            (bridge(json!({"cniVersion": "9.9.9"})), &["9.9.9", "1.1.0"]),
            (bridge(json!({"cniVersion": "0.5.0"})), &["0.5.0"]),
            (bridge(json!({"cniVersion": "latest"})), &["latest"]),
        ],
    );
}

#[test]
fn verbs_that_a_version_does_not_have() {
    let host = Host::new();
    let pod = host.pod("blue");
    let rows = [("CHECK", "0.3.1"), ("GC", "1.0.0"), ("STATUS", "1.0.0"), ("GC", "0.4.0")];
    for (verb, version) in rows {
        let call = pod.call(BRIDGE, &bridge(json!({"cniVersion": version})));
        refuse(&pod, &call, verb, &[BAD_VERSION], &[verb, version]);
    }
}

#[test]
fn malformed_json() {
    let host = Host::new();
    let pod = host.pod("blue");
    let rows: [(&[u8], &[&str]); 6] = [
        (b"", &["stdin"]),
        (b"{\"cniVersion\": }", &["line 1", "column 16"]),
        (b"{\n  \"cniVersion\": \"1.0.0\",\n  \"name\" 5\n}\n", &["line 3", "column 10"]),
        (b"{\"cniVersion\": \"1.0.0\", \"name\": \"x\"", &["line 1"]),
        (b"{\"cniVersion\": \"1.0.0\", \"name\": \"x\"} trailing", &["line 1"]),
        (b"{\"name\": \"\xff\xfe\"}", &[]),
    ];
    for (stdin, words) in rows {
        for verb in ["ADD", "DEL", "CHECK"] {
            let call = pod.call(BRIDGE, &json!({})).stdin(stdin);
            refuse(&pod, &call, verb, &[NOT_DECODED], words);
        }
    }
}

#[test]
fn json_that_is_no_object() {
    let host = Host::new();
    let pod = host.pod("blue");
    for stdin in ["[1, 2]", "5", "\"text\"", "null"] {
        let call = pod.call(BRIDGE, &json!({})).stdin(stdin.as_bytes());
        refuse(&pod, &call, "ADD", &[BAD_CONFIG, NOT_DECODED], &["object"]);
    }
}

#[test]
fn values_of_the_wrong_type() {
    refuse_configs(
        &[BAD_CONFIG, NOT_DECODED],
        &[
            (bridge(json!({"mtu": "big"})), &["mtu"]),
            (bridge(json!({"isGateway": "yes"})), &["isGateway"]),
            (
                bridge(json!({"ipam": {"type": "host-local", "ranges": [[{"subnet": 5}]]}})),
                &["ranges", "subnet"],
            ),
            (
                bridge(
                    json!({"ipam": {"type": "host-local", "ranges": {"subnet": "10.88.0.0/24"}}}),
                ),
                &["ranges"],
            ),
            (bridge(json!({"vlanTrunk": {"id": 5}})), &["vlanTrunk"]),
            (bridge(json!({"cniVersion": 1})), &["cniVersion"]),
            (bridge(json!({"dns": {"nameservers": "192.0.2.1"}})), &["nameservers"]),
        ],
    );
}

#[test]
fn network_names() {
    refuse_configs(
        &[BAD_CONFIG],
        &[
            (bridge(json!({"name": "../x"})), &["name", "../x"]),
            (bridge(json!({"name": "a/b"})), &["name", "a/b"]),
            (bridge(json!({"name": "a b"})), &["name", "a b"]),
            (bridge(json!({"name": ".hidden"})), &["name", ".hidden"]),
            (bridge(json!({"name": "netz\u{e4}"})), &["name"]),
            (bridge(json!({"name": ""})), &["name"]),
            (bridge(json!({"name": null})), &["name"]),
        ],
    );
}

#[test]
fn missing_variables_are_all_listed() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &bridge(json!({})));
    let all = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"];
    for name in all {
        refuse(&pod, &call.clone().without(name), "ADD", &[BAD_ENVIRONMENT], &[name]);
        refuse(&pod, &call.clone().env(name, ""), "ADD", &[BAD_ENVIRONMENT], &[name]);
    }
    let bare = all.iter().fold(call, |call, name| call.without(name));
    refuse(&pod, &bare, "ADD", &[BAD_ENVIRONMENT], &all);
    refuse(&pod, &bare, "CHECK", &[BAD_ENVIRONMENT], &all);
    refuse(&pod, &bare, "DEL", &[BAD_ENVIRONMENT], &["CNI_CONTAINERID", "CNI_IFNAME"]);
}

#[test]
fn container_ids_outside_the_grammar() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &bridge(json!({})));
    for id in ["a/b", "../x", ".x", "-a", "_a", "a b", "a:b", "a\n", "\u{e4}", " a", "a*"] {
        for verb in ["ADD", "DEL", "CHECK"] {
            refuse(&pod, &call.clone().id(id), verb, &[BAD_ENVIRONMENT], &["CNI_CONTAINERID"]);
        }
    }
}

#[test]
fn interface_names_outside_the_grammar() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &bridge(json!({})));
    for name in ["sixteen-bytes-xx", "a/b", "a:b", "a b", "a\tb", "a\n", ".", ".."] {
        for verb in ["ADD", "DEL", "CHECK"] {
            refuse(&pod, &call.clone().ifname(name), verb, &[BAD_ENVIRONMENT], &["CNI_IFNAME"]);
        }
    }
}

#[test]
fn cni_args_outside_the_grammar() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &bridge(json!({})));
    for args in ["nonsense", "IgnoreUnknown=1;nonsense", "IP=10.88.0.9="] {
        let call = call.clone().env("CNI_ARGS", args);
        refuse(&pod, &call, "ADD", &[BAD_ENVIRONMENT], &["CNI_ARGS"]);
    }
    for (name, value) in [("IP", "banana"), ("IP", "10.88.0.900"), ("MAC", "banana")] {
        let call = call.clone().env("CNI_ARGS", &format!("IgnoreUnknown=1;{name}={value}"));
        refuse(&pod, &call, "ADD", &[BAD_ENVIRONMENT, BAD_CONFIG], &[name, value]);
    }
}

#[test]
fn a_netns_that_is_none() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.write("/run/netns/file", "");
    host.run("mkfifo /run/netns/fifo");
    host.run("mkdir /run/netns/directory");
    host.run("ln -s /run/netns/nowhere /run/netns/dangling");
    let call = pod.call(BRIDGE, &bridge(json!({"isGateway": true})));
    let paths = [
        "/run/netns/missing",
        "/run/netns/file",
        "/run/netns/fifo",
        "/run/netns/directory",
        "/run/netns/dangling",
        "/proc/self/ns/mnt",
        "/dev/null",
        "/run/netns/file/below",
    ];
    for path in paths {
        let call = call.clone().netns(path);
        refuse(&pod, &call, "ADD", &[BAD_ENVIRONMENT], &["CNI_NETNS", path]);
    }
}

#[test]
fn the_hosts_own_namespace() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.write("/run/netns/self", "");
    host.run("mount --bind /proc/self/ns/net /run/netns/self");
    let call = pod.call(BRIDGE, &bridge(json!({"isGateway": true})));
    for path in ["/proc/self/ns/net", "/run/netns/self"] {
        let call = call.clone().netns(path);
        refuse(&pod, &call, "ADD", &[BAD_ENVIRONMENT], &["CNI_NETNS", path]);
    }
}
