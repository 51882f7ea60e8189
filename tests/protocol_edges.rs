//! The edges of the protocol: verbs without an attachment, versions, what stdout may carry, and the
//! names that the binary answers to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::process::Stdio;

use harness::call::{Call, Outcome, Plugin, await_end};
use harness::config::{bridge, dual_stack, everything, merge, newest};
use harness::{Host, testing_reference};
use serde_json::json;

const BRIDGE: Plugin = Plugin::Causeway("bridge");
const HOST_LOCAL: Plugin = Plugin::Causeway("host-local");
const LOOPBACK: Plugin = Plugin::Causeway("loopback");

/// The versions that causeway speaks.
const VERSIONS: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

#[test]
fn version_lists_what_is_spoken() {
    let host = Host::new();
    for plugin in [BRIDGE, HOST_LOCAL, LOOPBACK, Plugin::Causeway("causeway")] {
        // What a runtime gives, and what an older one may leave out.
        for config in [json!({"cniVersion": newest()}), json!({})] {
            let said = host.call(plugin, &config).run("VERSION").success();
            if !testing_reference() {
                assert_eq!(said["supportedVersions"], json!(VERSIONS), "{plugin:?}");
                assert_eq!(said["cniVersion"], "1.1.0", "{plugin:?}");
            }
        }
        let said = host.call(plugin, &json!({})).stdin(b"").run("VERSION").success();
        assert!(said["supportedVersions"].is_array(), "{said}");
    }
}

/// A program that calls without CNI_COMMAND gets JSON; a person at a terminal gets help.
#[test]
fn no_verb_from_a_program() {
    let host = Host::new();
    let outcome = host.call(BRIDGE, &bridge(json!({}))).run_without_verb();
    if !testing_reference() {
        outcome.fails(4, &["CNI_COMMAND"]);
    }
}

#[test]
fn unknown_verbs() {
    let host = Host::new();
    let pod = host.pod("blue");
    let before = host.snapshot();
    for verb in ["FROBNICATE", "add", "ADD "] {
        pod.call(BRIDGE, &bridge(json!({}))).run(verb).fails(4, &["CNI_COMMAND", verb]);
    }
    before.assert_same(&host.snapshot(), "after unknown verbs");
}

#[test]
fn errors_carry_the_version_of_the_request() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    for version in VERSIONS {
        let bad = bridge(json!({"cniVersion": version, "mtu": -1}));
        assert_eq!(pod.call(BRIDGE, &bad).run("ADD").error().version, version);
    }
    // Where the version is not known or not spoken, it is one that causeway speaks.
    let unknown = bridge(json!({"cniVersion": "9.9.9"}));
    let error = pod.call(BRIDGE, &unknown).run("ADD").error();
    assert!(VERSIONS.contains(&error.version.as_str()), "{error:?}");
    let error = pod.call(BRIDGE, &json!({})).stdin(b"{").run("ADD").error();
    assert!(VERSIONS.contains(&error.version.as_str()), "{error:?}");
}

#[test]
fn results_have_the_form_of_their_version() {
    for version in VERSIONS.iter().filter(|v| **v != "1.1.0" || !testing_reference()) {
        let host = Host::new();
        let pod = host.pod("blue");
        let config =
            dual_stack(json!({"cniVersion": version, "dns": {"nameservers": ["192.0.2.1"]}}));
        let result = pod.call(BRIDGE, &config).add();
        assert_eq!(result["cniVersion"], *version);
        assert_eq!(result["dns"]["nameservers"], json!(["192.0.2.1"]));
        match *version {
            "0.1.0" | "0.2.0" => {
                assert_eq!(result["ip4"]["ip"], "10.88.0.2/24", "{result}");
                assert_eq!(result["ip4"]["gateway"], "10.88.0.1");
                assert_eq!(result["ip6"]["ip"], "fd00:88::2/64");
                assert_eq!(result["ip4"]["routes"][0]["dst"], "0.0.0.0/0");
                assert!(result.get("interfaces").is_none() && result.get("ips").is_none());
            }
            "0.3.0" | "0.3.1" | "0.4.0" => {
                assert_eq!(result["ips"][0]["version"], "4", "{result}");
                assert_eq!(result["ips"][1]["version"], "6");
            }
            _ => assert!(result["ips"][0].get("version").is_none(), "{result}"),
        }
        if result.get("ips").is_some() {
            assert_eq!(result["ips"][0]["address"], "10.88.0.2/24");
            assert_eq!(result["ips"][0]["interface"], 2);
            let links = result["interfaces"].as_array().unwrap();
            assert_eq!(links.len(), 3);
            assert_eq!(links[0]["name"], "br0");
            assert_eq!(links[2]["name"], "eth0");
            assert_eq!(links[2]["sandbox"], "/run/netns/blue");
            assert_eq!(links[2]["mac"], pod.mac("eth0"));
            let mtus = links.iter().filter(|link| link.get("mtu").is_some()).count();
            assert_eq!(
                mtus,
                if *version == "1.1.0" { 3 } else { 0 },
                "mtu came with 1.1.0: {result}"
            );
        }
    }
}

#[test]
fn unknown_keys_are_tolerated() {
    let host = Host::new();
    let pod = host.pod("blue");
    let mut config = bridge(json!({
        "someKey": {"of": "another plugin"}, "capabilities": {"portMappings": true},
        "runtimeConfig": {"portMappings": [{"hostPort": 80}]}, "args": {"labels": ["x"], "cni": {"other": 1}}
    }));
    merge(&mut config["ipam"], json!({"someKey": 5}));
    let call = pod.call(BRIDGE, &config);
    let args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=n;K8S_POD_NAME=p;K8S_POD_INFRA_CONTAINER_ID=c";
    call.env("CNI_ARGS", args).add();
}

/// A runtime reads all of stdout as JSON; whatever the log level, nothing else may be there.
#[test]
fn stdout_carries_nothing_but_the_answer() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = bridge(json!({"isGateway": true, "logLevel": "debug"}));
    let call = pod.call(BRIDGE, &config).env("RUST_LOG", "trace");
    let result = call.add();
    call.check(&result).silence();
    call.run("ADD").error();
    call.del();
}

#[test]
fn the_log_file_is_written() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    let config = bridge(json!({"logLevel": "debug", "logFile": "/run/log/causeway.log"}));
    host.run("mkdir /run/log");
    let call = pod.call(BRIDGE, &config);
    call.add();
    let text = host.read("/run/log/causeway.log");
    assert!(text.contains("ADD") && text.contains("id-blue"), "{text}");
    call.del();
    let more = host.read("/run/log/causeway.log");
    assert!(more.starts_with(&text) && more.len() > text.len(), "DEL appends: {more}");
}

/// A log file that cannot be written is no reason to leave a pod without network.
#[test]
fn a_log_file_that_cannot_be_written() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = bridge(json!({"logLevel": "debug", "logFile": "/proc/nowhere/causeway.log"}));
    pod.call(BRIDGE, &config).add();
}

/// The result cannot be delivered, so the runtime counts the ADD as failed: nothing may stay.
#[test]
fn a_result_that_cannot_be_delivered_leaves_nothing() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    pod.call(BRIDGE, &dual_stack(json!({}))).ifname("net9").add(); // so that what is shared is there
    let config = dual_stack(json!({"ipMasq": true, "macspoofchk": true}));
    pod.call(BRIDGE, &config).ifname("net8").add();
    let before = (host.snapshot(), pod.snapshot());
    let call = pod.call(BRIDGE, &config);
    let closed = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        Stdio::from(writer)
    };
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    for (stdout, what) in [(closed(), "a closed pipe"), (full(), "a full device")] {
        let outcome = Outcome::new(what.to_owned(), &await_end(call.spawn("ADD", stdout)));
        assert!(outcome.status.is_some_and(|code| code != 0), "ADD into {what}: {outcome}");
        let plain = |s: harness::snapshot::Snapshot| s.without_shared_files();
        plain(before.0.clone())
            .assert_same(&plain(host.snapshot()), &format!("after ADD into {what}, on the host"));
        before.1.assert_same(&pod.snapshot(), &format!("after ADD into {what}, in the pod"));
    }
    call.add();
}

/// With them closed, the next file that is opened would be stdin, stdout or stderr, and get what is written there.
#[test]
fn closed_standard_files_are_no_others_place() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    let config = dual_stack(json!({"ipMasq": true}));
    let call = pod.call(BRIDGE, &config);
    call.add();
    let leases = || host.run("grep -r . /var/lib/cni/networks/testnet");
    let kept = leases();
    call.del();
    let deaf = call.clone().by("env sh -c 'exec \"$@\" 1>&- 2>&-' sh");
    deaf.run("ADD").silence();
    let moved = |text: &str| text.replace("10.88.0.2", "10.88.0.3").replace("::2", "::3");
    let sorted = |text: String| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(moved(&kept)), sorted(leases()));
    deaf.del();
    let blind = call.clone().by("env sh -c 'exec \"$@\" 0<&-' sh");
    blind.run("VERSION").success();
    blind.run("ADD").error();
}

#[test]
fn netns_override_allows_the_hosts_own_namespace() {
    let host = Host::new();
    // Debian's reference plugins are older than the variable and allow it always.
    for value in ["true", "1", "TRUE"] {
        let call = host
            .call(BRIDGE, &bridge(json!({})))
            .id("self")
            .ifname("inner0")
            .netns("/proc/self/ns/net");
        let call = call.env("CNI_NETNS_OVERRIDE", value);
        call.add();
        assert!(host.link_names().contains(&"inner0".to_owned()));
        call.del();
        assert!(!host.link_names().contains(&"inner0".to_owned()));
    }
}

#[test]
fn gc_removes_the_stale_and_keeps_the_valid() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let config = dual_stack(json!({"ipMasq": true, "macspoofchk": true}));
    let (kept, gone, lost) = (host.pod("kept"), host.pod("gone"), host.pod("lost"));
    let result = kept.call(BRIDGE, &config).add();
    let before = (host.snapshot(), kept.snapshot());
    gone.call(BRIDGE, &config).add();
    lost.call(BRIDGE, &config).add();
    let other_network = dual_stack(json!({"name": "othernet", "bridge": "br1", "ipam":
        {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}], [{"subnet": "fd00:77::/64"}]]}}));
    let other = host.pod("other");
    lost.destroy();
    // A lease of an attachment that no longer has anything else.
    host.write("/var/lib/cni/networks/testnet/10.88.0.200", "id-old\r\neth0");

    let valid = [("id-kept", "eth0")];
    host.call(BRIDGE, &config).gc(&valid);
    let same = |when: &str| {
        let plain = |s: &harness::snapshot::Snapshot| s.without_shared_files();
        plain(&before.0).assert_same(&plain(&host.snapshot()), when);
        before.1.assert_same(&kept.snapshot(), when);
    };
    same("after GC");
    kept.call(BRIDGE, &config).check(&result).silence();
    assert!(kept.reaches("10.88.0.1"));
    assert_eq!(gone.link_names(), ["lo"]);
    host.call(BRIDGE, &config).gc(&valid);
    same("after another GC");

    // GC of one network leaves another alone, even if nothing is valid.
    let others = other.call(BRIDGE, &other_network).add();
    host.call(BRIDGE, &config).gc(&[]);
    other.call(BRIDGE, &other_network).check(&others).silence();
    assert!(other.reaches("10.77.0.1"));
    assert_eq!(kept.link_names(), ["lo"]);
    host.call(BRIDGE, &other_network).gc(&[]);
    assert_eq!(other.link_names(), ["lo"]);
}

/// GC without the list of valid attachments would remove everything; it must refuse.
#[test]
fn gc_without_a_list_of_attachments() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    let config = dual_stack(json!({}));
    let result = pod.call(BRIDGE, &config).add();
    host.call(BRIDGE, &config).run("GC").fails(7, &["cni.dev/valid-attachments"]);
    pod.call(BRIDGE, &config).check(&result).silence();
}

#[test]
fn gc_of_nothing() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let before = host.snapshot();
    host.call(BRIDGE, &dual_stack(json!({"ipMasq": true}))).gc(&[]);
    let plain = |s: &harness::snapshot::Snapshot| s.without_shared_files();
    plain(&before).assert_same(&plain(&host.snapshot()), "after GC of nothing");
}

#[test]
fn status_tells_whether_add_can_be_served() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    let config = bridge(
        json!({"isGateway": true, "ipam": {"type": "host-local", "subnet": "10.88.0.0/30"}}),
    );
    let before = host.snapshot();
    host.call(BRIDGE, &config).run("STATUS").silence();
    let plain = |s: &harness::snapshot::Snapshot| s.without_shared_files();
    plain(&before).assert_same(&plain(&host.snapshot()), "STATUS only looks");
    pod.call(BRIDGE, &config).add();
    host.call(BRIDGE, &config).run("STATUS").fails(50, &["10.88.0.0/30"]);
    pod.call(BRIDGE, &config).del();
    host.call(BRIDGE, &config).run("STATUS").silence();
    let nowhere = bridge(json!({"ipam": {"type": "nonsense-ipam"}}));
    let error = host.call(BRIDGE, &nowhere).run("STATUS").error();
    assert!(matches!(error.code, 50 | 105) && error.msg.contains("nonsense-ipam"), "{error:?}");
}

/// `"type": "causeway"` is a bridge, so that one name in a configuration suffices.
#[test]
fn the_binarys_own_name_is_a_bridge() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = dual_stack(json!({"type": "causeway"}));
    let call = pod.call(Plugin::Causeway("causeway"), &config);
    let result = call.add();
    assert_eq!(result["interfaces"][0]["name"], "br0");
    call.check(&result).silence();
    assert!(pod.reaches("10.88.0.1"));
    call.del();
}

/// What the file is called decides; the configuration's `type` counts where that is no plugin.
#[test]
fn a_name_that_is_no_plugin() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    host.run(&format!("ln -s {} /run/frobnicate", env!("CARGO_BIN_EXE_causeway")));
    let before = host.snapshot();
    let config = bridge(json!({"type": "frobnicate"}));
    let call = pod.call(BRIDGE, &config).program("/run/frobnicate");
    for verb in ["ADD", "DEL", "CHECK"] {
        call.run(verb).fails(7, &["frobnicate", "bridge", "host-local", "loopback"]);
    }
    before.assert_same(&host.snapshot(), "after calls by a name and a type that are no plugins");
    call.key("type", &json!("loopback")).add();
    assert!(pod.run("ip link show lo").contains("LOWER_UP"), "the type is looked at");
}

/// A plugin hands its own configuration, with its own `type`, to the IPAM plugin it calls.
#[test]
fn the_name_counts_more_than_the_type() {
    let host = Host::new();
    let pod = host.pod("blue");
    let result = pod.call(HOST_LOCAL, &bridge(json!({}))).add();
    assert_eq!(result["ips"][0]["address"], "10.88.0.2/24");
    assert_eq!(pod.link_names(), ["lo"]);
}

/// A configuration may come in small pieces; the end of stdin is its end.
#[test]
fn a_configuration_in_pieces() {
    use std::io::Write;
    let host = Host::new();
    let pod = host.pod("blue");
    let call = Call::new(&host, BRIDGE, &json!({})).id("id-blue").ifname("eth0").netns(&pod.path);
    let text = bridge(json!({})).to_string();
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let child = call.spawn_reading("ADD", Stdio::from(reader), Stdio::piped());
    for piece in text.as_bytes().chunks(7) {
        writer.write_all(piece).unwrap();
        writer.flush().unwrap();
    }
    drop(writer);
    Outcome::new("ADD in pieces".to_owned(), &await_end(child)).success();
}

/// Explaining prints what ADD would do and changes nothing.
#[test]
fn an_explained_add_changes_nothing() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    let before = (host.snapshot(), pod.snapshot());
    let call = pod.call(BRIDGE, &everything());
    let outcome = call.clone().env("CAUSEWAY_EXPLAIN", "1").run("ADD");
    assert_eq!(outcome.status, Some(0), "{outcome}");
    for word in ["br0", "eth0", "10.88.0.2", "fd00:88::2", "0.0.0.0/0"] {
        assert!(outcome.stdout.contains(word), "no word of {word}: {outcome}");
    }
    before.0.assert_same(&host.snapshot(), "after an explained ADD, on the host");
    before.1.assert_same(&pod.snapshot(), "after an explained ADD, in the pod");
    assert_eq!(call.add()["ips"][0]["address"], "10.88.0.2/24", "as it was explained");
}

/// Names of files, aliases of links and comments of elements have limits; IDs have none.
#[test]
fn container_ids_and_network_names_of_any_length() {
    let host = Host::new();
    let lengths = if testing_reference() { vec![1, 64] } else { vec![1, 64, 128, 250, 255, 1000] };
    for length in lengths {
        let config = bridge(json!({
            "isGateway": true, "ipMasq": true, "macspoofchk": true,
            "name": format!("n{}", "e".repeat(length.min(200)))
        }));
        let (first, second) = (host.pod("first"), host.pod("second"));
        let before = (host.snapshot(), first.snapshot());
        // The two differ only at the end.
        let calls = [(&first, "1"), (&second, "2")].map(|(pod, end)| {
            let id = format!("{}{end}", "d".repeat(length - 1));
            pod.call(BRIDGE, &config).id(&id)
        });
        let results = calls.each_ref().map(|call| call.add());
        assert_ne!(results[0]["ips"], results[1]["ips"]);
        for (call, result) in calls.iter().zip(&results) {
            call.check(result).silence();
        }
        calls[0].del();
        calls[1].check(&results[1]).silence();
        if testing_reference() {
            calls[1].del();
        } else {
            host.call(BRIDGE, &config).gc(&[]);
        }
        assert_eq!(first.link_names(), ["lo"], "IDs of {length} bytes");
        assert_eq!(second.link_names(), ["lo"], "IDs of {length} bytes");
        let left = host.snapshot();
        for what in ["ddd", ":eth0"] {
            assert!(left.files(what).is_empty(), "IDs of {length} bytes: {:?}", left.files(what));
        }
        assert!(host.nft_elements().is_empty(), "IDs of {length} bytes");
        before.1.assert_same(&first.snapshot(), "in the pod");
        first.destroy();
        second.destroy();
    }
}

/// The runtime dies while it hands the configuration over: stdin ends anywhere.
#[test]
fn stdin_that_ends_midway_changes_nothing() {
    if harness::testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    let other = host.pod("green").call(BRIDGE, &dual_stack(json!({})));
    let result = other.add();
    let config = dual_stack(json!({"ipMasq": true})).to_string();
    let before = (host.snapshot(), pod.snapshot());
    for length in (0..config.len()).step_by(7) {
        for verb in ["ADD", "DEL", "CHECK", "GC"] {
            let call = pod.call(BRIDGE, &json!({})).stdin(&config.as_bytes()[..length]);
            call.run(verb).fails_with(&[6, 7], &[]);
        }
    }
    harness::snapshot::nothing_stays(&before, &pod, "after half configurations");
    other.check(&result).silence();
}

/// The runtime dies while a call is under way: nobody reads the answer of an ADD, which takes itself
/// back, while DEL and GC, which have none, are done.
#[test]
fn stdout_that_is_closed_midway() {
    if harness::testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &dual_stack(json!({"ipMasq": true})));
    call.add();
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    for round in 0..12 {
        let mut child = call.spawn("ADD", Stdio::piped());
        std::thread::sleep(std::time::Duration::from_millis(round));
        drop(child.stdout.take());
        let outcome = Outcome::new("ADD".to_owned(), &await_end(child));
        if outcome.status == Some(0) {
            // The answer was in the pipe before it was closed.
            call.del();
        }
        harness::snapshot::nothing_stays(&before, &pod, &format!("round {round}: {outcome}"));
    }
    call.add();
    let mut child = call.spawn("DEL", Stdio::piped());
    drop(child.stdout.take());
    Outcome::new("DEL".to_owned(), &await_end(child)).silence();
    harness::snapshot::nothing_stays(&before, &pod, "after a DEL that nobody listens to");
}
