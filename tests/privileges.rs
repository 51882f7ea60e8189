//! What the program may do while it works, and what those that it starts may: no more than is needed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use harness::Host;
use harness::call::{Call, Plugin, await_end};
use harness::config::{bridge, everything};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

const BRIDGE: Plugin = Plugin::Causeway("bridge");
const TRACE: &str = "/run/trace";

/// `CAP_DAC_OVERRIDE`, `CAP_DAC_READ_SEARCH`, `CAP_FOWNER`, `CAP_NET_ADMIN`, `CAP_NET_RAW`.
const ALWAYS: u64 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 12 | 1 << 13;
/// `CAP_SYS_ADMIN`, to enter the namespace.
const ENTER: u64 = ALWAYS | 1 << 21;
/// `CAP_KILL`, with plugins of others.
const KILL: u64 = 1 << 5;
/// `CAP_SYS_MODULE`, for iptables.
const MODULES: u64 = 1 << 16;

/// A line of /proc/PID/status.
fn line<'t>(status: &'t str, name: &str) -> &'t str {
    let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

fn set(status: &str, name: &str) -> u64 {
    u64::from_str_radix(line(status, name), 16).unwrap()
}

/// Has `program` write what it and its parent may do, and then do what it is there for.
fn spy(host: &Host, path: &str, then: &str) {
    host.run(&format!("mkdir -p {}", path.rsplit_once('/').unwrap().0));
    let script = format!(
        "#!/bin/sh\ncat /proc/$PPID/status >/run/parent\ncat /proc/$$/status >/run/child\n{then}\n"
    );
    host.executable(path, &script);
}

/// What every verb keeps, seen by the calls it makes for it.
#[test]
fn each_verb_keeps_what_it_needs() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &everything());
    let traced = call.clone().by(&format!("strace -o {TRACE} -e trace=capset,prctl"));
    let names = |verb: &str| {
        let trace = host.read(TRACE);
        let calls: Vec<_> = trace.lines().filter(|line| line.contains('(')).collect();
        assert_eq!(calls.len(), if verb == "GC" { 2 } else { 3 }, "{verb}: {trace}");
        assert!(calls[0].contains("PR_SET_DUMPABLE, SUID_DUMP_DISABLE"), "{verb}: {trace}");
        assert!(calls[1].starts_with("capset("), "{verb}: {trace}");
        assert!(calls[1].contains("inheritable=0"), "{verb}: {trace}");
        // Which plugins the records of many attachments name is not known beforehand.
        let is_bound = calls.get(2).is_some_and(|call| call.contains("PR_SET_NO_NEW_PRIVS, 1"));
        assert_eq!(is_bound, verb != "GC", "{verb}: {trace}");
        let effective = calls[1].split("effective=").nth(1).unwrap().split(", permitted").next();
        let mut names: Vec<String> =
            effective.unwrap().split('|').map(|name| name.replace("1<<", "")).collect();
        names.sort_unstable();
        names
    };
    let always = ["CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_NET_ADMIN"];
    let with = |more: &[&str]| {
        let mut all: Vec<String> =
            always.iter().chain(&["CAP_NET_RAW"]).chain(more).map(ToString::to_string).collect();
        all.sort_unstable();
        all
    };
    let result = traced.add();
    assert_eq!(names("ADD"), with(&["CAP_SYS_ADMIN"]));
    traced.check(&result).silence();
    assert_eq!(names("CHECK"), with(&["CAP_SYS_ADMIN"]));
    traced.run("STATUS").silence();
    assert_eq!(names("STATUS"), with(&[]));
    traced.gc(&[("id-blue", "eth0")]);
    assert_eq!(names("GC"), with(&["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]));
    traced.del();
    assert_eq!(names("DEL"), with(&["CAP_SYS_ADMIN"]));
}

/// Started, and waited for until it hangs at its answer, which nobody takes.
fn hanging(host: &Host, call: &Call<'_>) -> (std::process::Child, std::os::fd::OwnedFd) {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
        .unwrap();
    while nix::unistd::write(&write, &[b' '; 4096]).is_ok() {}
    nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).unwrap();
    let child = call.spawn("ADD", Stdio::from(write));
    let place = format!("/proc/{}/wchan", child.id());
    host.wait("the answer is held up", |host| host.read(&place).contains("pipe"));
    (child, read)
}

/// The usual chain in one process, looked at from outside.
#[test]
fn the_whole_chain_is_made_with_little() {
    let host = Host::new();
    let pod = host.pod("blue");
    let list = json!({"type": "causeway", "plugins": [
        everything(),
        {"type": "portmap", "capabilities": {"portMappings": true}},
        {"type": "firewall"},
        {"type": "bandwidth", "ingressRate": 8_000_000, "ingressBurst": 8_000_000,
         "egressRate": 8_000_000, "egressBurst": 8_000_000},
        {"type": "tuning", "sysctl": {"net.core.somaxconn": "512"}},
    ], "cniVersion": "1.1.0", "name": "testnet",
       "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}});
    let call = pod.call(Plugin::Causeway("causeway"), &list);
    let (child, answer) = hanging(&host, &call);
    let status = host.read(&format!("/proc/{}/status", child.id()));
    for name in ["CapEff", "CapPrm"] {
        assert_eq!(set(&status, name), ENTER, "{name}: {status}");
    }
    for name in ["CapInh", "CapAmb"] {
        assert_eq!(set(&status, name), 0, "{name}: {status}");
    }
    assert_eq!(line(&status, "NoNewPrivs"), "1");
    drop(answer);
    await_end(child);
}

/// iptables may load its modules and nothing else that the program itself may not.
#[test]
fn iptables_gets_no_more() {
    let host = Host::new();
    let pod = host.pod("blue");
    spy(&host, "/run/spies/iptables-restore", "exec /usr/sbin/iptables-restore \"$@\"");
    let config = bridge(json!({"ipMasq": true, "ipMasqBackend": "iptables", "isGateway": true}));
    let call = pod.call(BRIDGE, &config).env("PATH", "/run/spies:/usr/sbin:/usr/bin:/sbin:/bin");
    call.add();
    let (parent, child) = (host.read("/run/parent"), host.read("/run/child"));
    assert_eq!(set(&parent, "CapEff"), ENTER, "{parent}");
    assert_eq!(set(&parent, "CapPrm"), ENTER | MODULES, "{parent}");
    assert_eq!(set(&child, "CapPrm"), ENTER | MODULES, "{child}");
    for status in [&parent, &child] {
        assert_eq!(line(status, "NoNewPrivs"), "1", "{status}");
    }
    call.del();
}

/// What a plugin of others needs is not known: it may what it could have been given by the runtime.
#[test]
fn plugins_of_others_are_not_limited() {
    let host = Host::new();
    let pod = host.pod("blue");
    let all = std::fs::read_to_string("/proc/self/status").unwrap();
    host.script_plugin("foreign", "#!/bin/sh\ncat >/dev/null\ncat /proc/$PPID/status >/run/parent\ncat /proc/$$/status >/run/child\necho '{\"cniVersion\": \"1.0.0\", \"ips\": [{\"address\": \"10.66.0.5/24\"}]}'\n");
    let call = pod.call(BRIDGE, &bridge(json!({"ipam": {"type": "foreign"}})));
    for verb in ["ADD", "DEL"] {
        assert_eq!(call.run(verb).status, Some(0), "{verb}");
        let (parent, child) = (host.read("/run/parent"), host.read("/run/child"));
        assert_eq!(set(&parent, "CapEff"), ENTER, "{verb}: {parent}");
        assert_eq!(set(&parent, "CapPrm"), ENTER | KILL, "{verb}: {parent}");
        assert_eq!(set(&child, "CapPrm"), set(&all, "CapPrm"), "{verb}: {child}");
        assert_eq!(line(&child, "NoNewPrivs"), line(&all, "NoNewPrivs"), "{verb}: {child}");
    }
}

/// A configuration that does not name a plugin any more: the record does, and that one is not limited
/// at DEL either.
#[test]
fn plugins_that_only_the_record_names_are_not_limited() {
    let host = Host::new();
    let pod = host.pod("blue");
    let all = std::fs::read_to_string("/proc/self/status").unwrap();
    host.script_plugin("chained", "#!/bin/sh\ncat >/run/stdin\ncat /proc/$$/status >/run/child\necho '{\"cniVersion\": \"1.0.0\"}'\n");
    let mut list = json!({"type": "causeway", "cniVersion": "1.0.0", "name": "testnet",
        "plugins": [bridge(json!({})), {"type": "chained"}]});
    pod.call(Plugin::Causeway("causeway"), &list).add();
    host.run("rm /run/child");
    list["plugins"].as_array_mut().unwrap().pop();
    pod.call(Plugin::Causeway("causeway"), &list).del();
    let child = host.read("/run/child");
    assert_eq!(set(&child, "CapPrm"), set(&all, "CapPrm"), "{child}");
    assert_eq!(line(&child, "NoNewPrivs"), line(&all, "NoNewPrivs"), "{child}");
}

/// A runtime that has less itself: what is there is kept.
#[test]
fn a_runtime_with_few_capabilities_is_enough() {
    let host = Host::new();
    let pod = host.pod("blue");
    let few = "setpriv --bounding-set -all,+net_admin,+net_raw,+sys_admin";
    let call = pod.call(BRIDGE, &everything()).by(few);
    let result = call.add();
    call.check(&result).silence();
    call.run("STATUS").silence();
    call.gc(&[("id-blue", "eth0")]);
    assert!(pod.reaches("10.88.0.1"));
    call.del();
}

/// A namespace below /proc of a process of another user, which only root with `CAP_SYS_PTRACE` may
/// open, and which a GC may have to open after all.
#[test]
fn namespaces_of_other_users_processes_are_entered() {
    let host = Host::new();
    let pod = host.pod("blue");
    let mut sleeper = pod.inside(|| {
        std::process::Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "sleep", "600"])
            .spawn()
            .unwrap()
    });
    let path = format!("/proc/{}/ns/net", sleeper.id());
    host.wait("the process has its user", |host| {
        host.run(&format!("stat -c %u /proc/{}", sleeper.id())).trim() == "65534"
    });
    let call = pod.call(BRIDGE, &everything()).netns(&path);
    let result = call.add();
    call.check(&result).silence();
    call.gc(&[]);
    assert_eq!(pod.link_names(), ["lo"]);
    call.add();
    call.del();
    assert_eq!(pod.link_names(), ["lo"]);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

/// Whatever the runtime's umask is, only root writes what the program keeps, and records have no
/// other readers.
#[test]
fn files_are_roots_alone() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.executable("/run/open", "#!/bin/sh\numask 0\nexec \"$@\"\n");
    let mut config = everything();
    config["logFile"] = "/run/causeway.log".into();
    let call = pod.call(BRIDGE, &config).by("/run/open");
    call.add();
    let found = host.run("find /var/lib/cni /run -xdev -mindepth 1 -newer /run/open -perm /022 ! -type l ! -path /run/netns/* ! -path /run/cni-test/*");
    assert_eq!(found, "", "others may write these");
    let mode = |path: &str| host.run(&format!("stat -c %a {path}")).trim().to_owned();
    assert_eq!(mode("/var/lib/cni/causeway"), "700");
    assert_eq!(mode("/var/lib/cni/causeway/testnet"), "700");
    assert_eq!(mode("/var/lib/cni/causeway/testnet/id-blue:eth0:bridge"), "600");
    // The reference plugins' own, as they make it.
    assert_eq!(mode("/var/lib/cni/networks/testnet"), "755");
    assert_eq!(mode("/var/lib/cni/networks/testnet/10.88.0.2"), "600");
    assert_eq!(mode("/run/causeway.log"), "600");
    call.del();
}

/// A configuration may hold secrets; they stay out of core files.
#[test]
fn no_core_is_left() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.executable("/run/dumping", "#!/bin/sh\ncd /run\nulimit -c unlimited\nexec \"$@\"\n");
    let call = pod.call(BRIDGE, &everything()).by("/run/dumping");
    let (child, answer) = hanging(&host, &call);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, Signal::SIGABRT).unwrap();
    let ended = await_end(child).status;
    drop(answer);
    assert_eq!(ended.signal(), Some(6), "{ended}");
    assert!(!ended.core_dumped());
    // And so that this says something: another program does leave one.
    if !std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap().starts_with('|') {
        let other = host.inside(|| {
            std::process::Command::new("/run/dumping").args(["sh", "-c", "kill -ABRT $$"]).status()
        });
        assert!(other.unwrap().core_dumped());
    }
    call.del();
}
