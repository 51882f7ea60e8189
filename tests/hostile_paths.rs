//! Whoever chose names and paths does their worst: what climbs, what is a link, what commands a terminal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::process::Stdio;

use harness::Host;
use harness::call::Plugin;
use harness::config::{bridge, dual_stack, everything, merge, newest};
use harness::refusal::{BAD_CONFIG, BAD_ENVIRONMENT, refuse, refuse_late};
use serde_json::json;

const BRIDGE: Plugin = Plugin::Causeway("bridge");

#[test]
fn names_that_climb_are_refused_wherever_they_stand() {
    let host = Host::new();
    let pod = host.pod("blue");
    let climbing = ["../../etc/passwd", "..", "a/b", "/etc", "a\u{0}b", "a\nb"];
    for name in climbing {
        for key in ["name", "bridge"] {
            let call = pod.call(BRIDGE, &bridge(json!({key: name})));
            refuse(&pod, &call, "ADD", &[BAD_CONFIG], &[key]);
        }
        for (plugin, key) in
            [("macvlan", "master"), ("ipvlan", "master"), ("host-device", "device")]
        {
            let config =
                json!({"cniVersion": newest(), "name": "testnet", "type": plugin, key: name});
            let call = pod.call(Plugin::Causeway(plugin), &config);
            refuse_late(&pod, &call, "ADD", &[BAD_CONFIG, 100], &[]);
        }
        let mut config = bridge(json!({}));
        config["ipam"] = json!({"type": name});
        refuse(&pod, &pod.call(BRIDGE, &config), "ADD", &[BAD_CONFIG], &[]);
    }
}

#[test]
fn folders_must_be_absolute() {
    let host = Host::new();
    let pod = host.pod("blue");
    for folder in ["relative", "../up", "./here"] {
        let call = pod.call(BRIDGE, &bridge(json!({"stateDir": folder})));
        refuse(&pod, &call, "ADD", &[BAD_CONFIG], &["stateDir", folder]);
        let mut config = bridge(json!({}));
        config["ipam"]["dataDir"] = folder.into();
        refuse(&pod, &pod.call(BRIDGE, &config), "ADD", &[BAD_CONFIG], &["dataDir", folder]);
    }
}

/// Sysctls are written by path; a name must not lead out of the container's own.
#[test]
fn sysctls_and_interfaces_of_prev_result_do_not_climb() {
    let host = Host::new();
    let pod = host.pod("blue");
    let result = pod.call(BRIDGE, &dual_stack(json!({}))).add();
    let pattern = host.read("/proc/sys/kernel/core_pattern");
    let base = json!({"cniVersion": newest(), "name": "testnet", "type": "tuning"});
    for key in [
        "net/../kernel/core_pattern",
        "net.ipv4.conf.../../../kernel/core_pattern",
        "kernel.core_pattern",
        "/proc/sys/kernel/core_pattern",
        "net.ipv4.conf.IFNAME/../../../../kernel/core_pattern",
    ] {
        let mut config = base.clone();
        merge(&mut config, json!({"prevResult": result, "sysctl": {key: "|/bin/false"}}));
        refuse_late(
            &pod,
            &pod.call(Plugin::Causeway("tuning"), &config),
            "ADD",
            &[BAD_CONFIG, 100, 5],
            &[],
        );
        assert_eq!(host.read("/proc/sys/kernel/core_pattern"), pattern, "{key}");
    }
    for name in ["../all", "../../kernel", "a/b", ""] {
        let mut climbing = result.clone();
        for interface in climbing["interfaces"].as_array_mut().unwrap() {
            interface["name"] = name.into();
        }
        for plugin in ["bandwidth", "portmap", "firewall"] {
            let config = json!({"cniVersion": newest(), "name": "testnet", "type": plugin, "prevResult": climbing,
                "ingressRate": 8000, "ingressBurst": 8000,
                "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}});
            let call = pod.call(Plugin::Causeway(plugin), &config);
            // The rules that pods share stay.
            let look = || host.snapshot().without("/files").without("/nft");
            let before = look();
            let outcome = call.run("ADD");
            if outcome.status == Some(0) {
                // It had no need of the name.
                call.del();
            } else {
                outcome.error();
            }
            before.assert_same(&look(), &format!("{plugin} with {name:?}"));
        }
    }
}

/// GC is told of attachments whose names lead elsewhere.
#[test]
fn valid_attachments_that_climb_change_nothing() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.write("/var/lib/cni/precious", "precious");
    let call = pod.call(BRIDGE, &everything());
    let result = call.add();
    let names =
        [("../../precious", "eth0"), ("id-blue", "eth0"), ("", ""), ("a", "../../../precious")];
    call.run_gc(&names);
    call.check(&result).silence();
    assert_eq!(host.read("/var/lib/cni/precious"), "precious");
}

/// The log goes to a file that the configuration names; in a folder that others may write to, that
/// may be a link to any file of root's, or a pipe that nobody reads.
#[test]
fn a_log_file_is_no_way_to_other_files() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.write("/run/precious", "precious");
    host.run("ln -s /run/precious /run/link.log");
    host.run("mkfifo /run/pipe.log");
    host.run("mkdir /run/folder.log");
    for file in ["link", "pipe", "folder"] {
        let config = bridge(json!({"logFile": format!("/run/{file}.log"), "logLevel": "debug"}));
        let call = pod.call(BRIDGE, &config);
        let added = call.run("ADD");
        added.success();
        assert!(added.stderr.contains("logFile"), "{added}");
        call.del();
    }
    assert_eq!(host.read("/run/precious"), "precious");
    let call = pod.call(BRIDGE, &bridge(json!({"logFile": "/run/own.log"})));
    call.add();
    assert_eq!(host.run("stat -c %a /run/own.log").trim(), "600");
}

/// Folders for state that are links themselves: only root can have made them so, and they are used; files
/// in them that are links lead nowhere.
#[test]
fn folders_of_state_may_be_links() {
    let host = Host::new();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    host.write("/run/precious", "precious");
    host.run("mkdir -p /run/leases/testnet /run/records");
    host.run("ln -s /run/leases /var/lib/cni/networks");
    host.run("ln -s /run/records /var/lib/cni/causeway");
    // What is to be made is there, as a link to something else.
    host.run("ln -s /run/precious /run/leases/testnet/10.88.0.2");
    host.run("ln -s /run/precious /run/leases/testnet/last_reserved_ip.0");
    host.run("mkdir /run/records/testnet");
    host.run("ln -s /run/precious /run/records/testnet/.new.id-blue:eth0:bridge");
    host.run("ln -s /run/precious /run/records/testnet/id-green:eth0:bridge");
    let call = blue.call(BRIDGE, &everything());
    let other = green.call(BRIDGE, &everything());
    let (result, others) = (call.add(), other.add());
    call.check(&result).silence();
    other.check(&others).silence();
    assert_eq!(host.read("/run/precious"), "precious");
    call.del();
    other.del();
    assert_eq!(host.read("/run/precious"), "precious");
    // A network's own folder that is none is refused: everything in it would be somebody else's.
    host.run("mv /run/leases/testnet /run/elsewhere");
    host.run("ln -s /run/elsewhere /run/leases/testnet");
    refuse(&blue, &call, "ADD", &[5], &["testnet", "symbolic link"]);
}

/// Network names, container IDs and interfaces that climb or cannot be names, at every verb.
#[test]
fn identities_that_climb_are_refused_at_every_verb() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.write("/var/lib/cni/results/precious", "precious");
    let call = pod.call(BRIDGE, &everything());
    for id in ["../results/precious", "..", ".", "a/../../x", "a\u{1b}[2J"] {
        for verb in ["ADD", "CHECK", "DEL"] {
            refuse(&pod, &call.clone().id(id), verb, &[BAD_ENVIRONMENT], &["CNI_CONTAINERID"]);
        }
    }
    for name in ["../all", "a/b", ".", "..", "a b", "0123456789abcdef", ""] {
        for verb in ["ADD", "CHECK", "DEL"] {
            refuse(&pod, &call.clone().ifname(name), verb, &[BAD_ENVIRONMENT], &["CNI_IFNAME"]);
        }
    }
    for name in ["../results", "..", "a/b", "\u{1b}[2J"] {
        let call = call.clone().key("name", &name.into());
        for verb in ["ADD", "CHECK", "DEL", "STATUS", "GC"] {
            refuse(&pod, &call, verb, &[BAD_CONFIG], &["name"]);
        }
    }
    assert_eq!(host.read("/var/lib/cni/results/precious"), "precious");
}

/// Names that a container chose go to no terminal as they are.
#[test]
fn names_do_not_command_a_terminal() {
    let host = Host::new();
    let pod = host.pod("blue");
    let escape = "\u{1b}[2J";
    let call = pod.call(BRIDGE, &everything()).env(
        "CNI_ARGS",
        &format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web{escape}"),
    );
    call.add();
    pod.run(&format!("ip link add x{escape} type veth peer name y{escape}"));
    pod.run(&format!("ip link set x{escape} alias {escape}"));
    let causeway = env!("CARGO_BIN_EXE_causeway");
    for command in [
        "list",
        "show id-blue",
        "doctor",
        "leases",
        "graph --format mermaid",
        "graph --format dot",
        "trace id-blue --to 10.88.0.1",
        "repair",
        "watch",
    ] {
        // On a terminal, where colours are not taken out. Its keyboard stays there: an end of it ends `watch`.
        let said = host.inside(|| {
            let mut script = std::process::Command::new("script")
                // A `timeout` of its own process group would have what wants the keyboard stopped, unless
                // the shell happened to become it.
                .args([
                    "-qec",
                    &format!("timeout --foreground 3 {causeway} {command}"),
                    "/dev/null",
                ])
                .env("TERM", "xterm")
                .env("SHELL", "/bin/sh")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let _keyboard = script.stdin.take();
            script.wait_with_output().unwrap()
        });
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(
            !said.contains("web\u{1b}") && !said.contains(&format!("x{escape}")),
            "{command}: {said}"
        );
        assert!(!said.trim().is_empty(), "{command} says nothing");
    }
    // And what others say makes no lines of its own in a log.
    host.script_plugin("foreign", "#!/bin/sh\ncat >/dev/null\nprintf '{\"code\": 999, \"msg\": \"no\\\\n2026-01-01T00:00:00.000Z causeway[1] info: ADD ok\\\\u001b[2J\"}'\nexit 1\n");
    let green = host.pod("green");
    let config = bridge(json!({"ipam": {"type": "foreign"}, "logFile": "/run/causeway.log"}));
    green.call(BRIDGE, &config).run("ADD").error();
    let log = host.read("/run/causeway.log");
    assert!(!log.contains(escape), "{log:?}");
    assert!(log.lines().all(|line| line.contains("error:") || line.contains("warn:")), "{log}");
}
