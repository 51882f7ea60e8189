//! `causeway install` and its undoing, in folders of a private host.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use harness::call::await_end;
use harness::person::Person;
use harness::{Host, REFERENCE_DIR, require_reference};

const CAUSEWAY: &str = env!("CARGO_BIN_EXE_causeway");
const BIN: &str = "/run/opt/bin";
const CONF: &str = "/run/net.d";
const FOLDERS: &str = "--bin-dir /run/opt/bin --conf-dir /run/net.d";
/// What another program answers that has a plugin's name.
const FOREIGN: &str =
    "#!/bin/sh\necho '{\"cniVersion\": \"1.0.0\", \"supportedVersions\": [\"1.0.0\"]}'\n";

/// A host with both folders, and in the folder of plugins what other programs have put there.
fn node() -> Host {
    let host = Host::new();
    host.run(&format!("mkdir -p {BIN} {CONF}"));
    for (name, mode) in [("bridge", "0755"), ("host-local", "0700"), ("calico", "0755")] {
        host.executable(&format!("{BIN}/{name}"), FOREIGN);
        host.run(&format!("chmod {mode} {BIN}/{name}"));
    }
    host.run(&format!("touch -d 2020-02-02 {BIN}/bridge"));
    host.run(&format!("ln -s /usr/lib/cni/loopback {BIN}/loopback"));
    host.run(&format!("ln -s bridge {BIN}/ptp"));
    host
}

/// Every file of both folders: kind, mode, owner, inode, size, time of its content, where it leads.
fn files(host: &Host) -> String {
    let mut lines = Vec::new();
    for folder in [BIN, CONF] {
        let found = host.run(&format!(
            "find {folder} -mindepth 1 -printf %p\\t%y\\t%m\\t%U:%G\\t%i\\t%s\\t%T@\\t%l\\n"
        ));
        lines.extend(found.lines().map(str::to_owned));
    }
    lines.sort();
    lines.join("\n")
}

fn names(host: &Host) -> Vec<String> {
    host.run(&format!("ls {BIN}")).lines().map(str::to_owned).collect()
}

/// Whether all names lead to this very program.
#[track_caller]
fn is_in_place(host: &Host) {
    assert!(host.succeeds(&format!("cmp {CAUSEWAY} {BIN}/causeway")));
    assert_eq!(host.run(&format!("stat -c %a {BIN}/causeway")), "755\n");
    for name in ["bridge", "host-local", "loopback", "ptp", "tap", "vrf", "dhcp"] {
        assert_eq!(host.run(&format!("readlink {BIN}/{name}")), "causeway\n", "{name}");
    }
    let before = host.run(&format!("ls -A {BIN}/.causeway-before"));
    assert!(!before.contains(".new") && !before.contains(".old"), "{before}");
}

#[test]
fn everything_comes_in_and_goes_out_again() {
    let host = node();
    let person = Person::on(&host);
    let before = files(&host);
    let plan = person.succeeds(&format!("install {FOLDERS} --dry-run"));
    assert_eq!(files(&host), before, "a dry run changes nothing");
    assert!(
        plan.contains("bridge would be a link") && plan.contains("nothing was changed"),
        "{plan}"
    );

    let said = person.succeeds(&format!("install {FOLDERS}"));
    is_in_place(&host);
    assert_eq!(said.lines().count(), 21, "the program, 19 types and a network: {said}");
    for word in [
        "bin/bridge is now a link to causeway; what was there is kept",
        "tap is new",
        "10.64.0.0/16",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(host.read(&format!("{BIN}/calico")), FOREIGN, "what is not causeway's stays");
    assert_eq!(plan.lines().count(), said.lines().count() + 1);

    let installed = files(&host);
    let again = person.succeeds(&format!("install {FOLDERS}"));
    assert!(again.contains("in place") && again.lines().count() == 1, "{again}");
    assert_eq!(files(&host), installed);

    let plan = person.succeeds(&format!("install {FOLDERS} --undo --dry-run"));
    assert_eq!(files(&host), installed);
    let said = person.succeeds(&format!("install {FOLDERS} --undo"));
    assert_eq!(plan.lines().count(), said.lines().count() + 1, "{plan}{said}");
    assert_eq!(files(&host), before, "the very same files: {said}");
    let again = person.succeeds(&format!("install {FOLDERS} --undo"));
    assert!(again.contains("nothing to undo"), "{again}");
}

/// The first network is one that can be attached to with what was installed.
#[test]
fn the_first_network_works_and_is_of_its_own() {
    let host = Host::new();
    host.run(&format!("mkdir -p {BIN} {CONF}"));
    host.run("ip link add cni0 type bridge");
    host.run("ip address add 10.64.200.1/24 dev cni0");
    host.run("ip link set cni0 up");
    host.run("ip route add 10.65.0.0/20 via 10.64.200.2");
    host.run("ip route add blackhole 10.66.1.0/24 table 77");
    let person = Person::on(&host).with("CNI_PATH", BIN).with("NETCONFPATH", CONF);
    let said = person.succeeds(&format!("install {FOLDERS}"));
    assert!(said.contains("10.67.0.0/16") && said.contains("cni1"), "{said}");
    person.succeeds("lint");
    let pod = host.pod("blue");
    person.succeeds("attach pods blue");
    let has = pod.run("ip -brief address show dev eth0");
    assert!(has.contains("10.67.0.2/16") && has.contains("fd"), "{has}");
    person.succeeds("check pods blue");
    person.succeeds("detach pods blue");
    person.succeeds(&format!("install {FOLDERS} --undo"));
    assert_eq!(files(&host), "");
}

#[test]
fn a_configuration_that_is_there_is_left_alone() {
    let host = node();
    let person = Person::on(&host);
    for (file, text) in [("87-podman.conflist", "{"), ("1.conf", "{}"), ("a.json", "")] {
        host.write(&format!("{CONF}/{file}"), text);
        let said = person.succeeds(&format!("install {FOLDERS}"));
        assert!(!said.contains("network"), "{said}");
        assert_eq!(host.run(&format!("ls {CONF}")), format!("{file}\n"));
        person.succeeds(&format!("install {FOLDERS} --undo"));
        host.run(&format!("rm {CONF}/{file}"));
    }
    person.succeeds(&format!("install {FOLDERS} --no-conf"));
    assert_eq!(host.run(&format!("ls {CONF}")), "");
    person.succeeds(&format!("install {FOLDERS}"));
    let file = format!("{CONF}/10-pods.conflist");
    let own = host.read(&file).replace("cni0", "mine");
    host.write(&file, &own);
    let said = person.succeeds(&format!("install {FOLDERS} --undo"));
    assert!(said.contains("changed since: left alone"), "{said}");
    assert_eq!(host.read(&file), own);
}

#[test]
fn an_installation_over_another_keeps_the_first_originals() {
    let host = node();
    let before = files(&host);
    // Another version: the same program with a byte more.
    host.run(&format!("cp {CAUSEWAY} /run/older"));
    host.run("truncate -s +1 /run/older");
    host.run(&format!("/run/older install {FOLDERS}"));
    assert!(!host.succeeds(&format!("cmp -s {CAUSEWAY} {BIN}/causeway")));
    host.run(&format!("rm {BIN}/tap"));
    let person = Person::on(&host);
    let said = person.succeeds(&format!("install {FOLDERS}"));
    assert!(said.contains("another causeway") && said.lines().count() == 2, "{said}");
    is_in_place(&host);
    person.succeeds(&format!("install {FOLDERS} --undo"));
    assert_eq!(files(&host), before);
}

/// As before there was `install`: program and links put there by hand.
#[test]
fn what_was_installed_by_hand_comes_back() {
    let host = node();
    host.run(&format!("cp {CAUSEWAY} {BIN}/causeway"));
    host.run(&format!("truncate -s +1 {BIN}/causeway"));
    host.run(&format!("ln -sfn causeway {BIN}/bridge"));
    let before = files(&host);
    let person = Person::on(&host);
    person.succeeds(&format!("install {FOLDERS}"));
    is_in_place(&host);
    person.succeeds(&format!("install {FOLDERS} --undo"));
    assert_eq!(files(&host), before);
}

/// Another installer, or the update of a node's image, may put its plugins there at any time.
#[test]
fn what_others_have_put_there_since_is_theirs() {
    let host = node();
    let person = Person::on(&host);
    person.succeeds(&format!("install {FOLDERS} --no-conf"));
    let newer = FOREIGN.replace("echo", "echo ");
    for name in ["bridge", "tap"] {
        host.run(&format!("rm {BIN}/{name}"));
        host.executable(&format!("{BIN}/{name}"), &newer);
    }
    let said = person.succeeds(&format!("install {FOLDERS} --undo"));
    assert_eq!(said.matches("replaced by something else").count(), 2, "{said}");
    assert_eq!(host.read(&format!("{BIN}/bridge")), newer);
    assert_eq!(host.read(&format!("{BIN}/tap")), newer);
    assert_eq!(host.read(&format!("{BIN}/.causeway-before/bridge")), FOREIGN);
    assert_eq!(names(&host), ["bridge", "calico", "host-local", "loopback", "ptp", "tap"]);

    // Installed again, the newer ones are what was there before.
    person.succeeds(&format!("install {FOLDERS} --no-conf"));
    is_in_place(&host);
    person.succeeds(&format!("install {FOLDERS} --undo"));
    assert_eq!(host.read(&format!("{BIN}/bridge")), newer);
    assert!(!host.succeeds(&format!("test -e {BIN}/.causeway-before")));
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let host = node();
    let person = Person::on(&host);
    let before = files(&host);
    let refused = |words: &str, expected: &[&str]| {
        person.fails(words, expected);
        assert_eq!(files(&host), before, "{words}");
    };
    refused("install --bin-dir /run/none", &["/run/none", "mkdir -p", "--bin-dir"]);
    refused(&format!("install --bin-dir {BIN} --conf-dir /run/none"), &["/run/none", "--conf-dir"]);
    refused(&format!("install --bin-dir {BIN}/bridge --no-conf"), &["Not a directory"]);

    // A folder under a plugin's name.
    host.run(&format!("mkdir {BIN}/vlan"));
    person.fails(&format!("install {FOLDERS}"), &["vlan", "in the way"]);
    host.run(&format!("rmdir {BIN}/vlan"));
    assert_eq!(files(&host), before);

    // The configuration comes last; where it cannot be written, all the rest is taken back.
    host.run(&format!("mount --bind {CONF} {CONF}"));
    host.run(&format!("mount -o remount,bind,ro {CONF}"));
    refused(&format!("install {FOLDERS}"), &[CONF, "ead-only", "--conf-dir"]);
    host.run(&format!("umount {CONF}"));

    for (option, word) in [("ro", "ead-only"), ("noexec", "noexec")] {
        host.run(&format!("mount --bind {BIN} {BIN}"));
        host.run(&format!("mount -o remount,bind,{option} {BIN}"));
        refused(&format!("install {FOLDERS}"), &[BIN, word]);
        if option == "ro" {
            let said = person.causeway(&format!("install {FOLDERS} --dry-run"));
            assert_eq!(said.status, Some(0), "{said}");
        }
        host.run(&format!("umount {BIN}"));
    }

    // A disk without room for the program.
    host.run("mkdir /run/small");
    host.run("mount -t tmpfs -o size=1m tmpfs /run/small");
    person.fails("install --bin-dir /run/small --no-conf", &["/run/small", "make room"]);
    assert_eq!(host.run("ls -A /run/small"), "");

    // What was kept is not lost to a record that this version does not understand.
    person.succeeds(&format!("install {FOLDERS}"));
    host.run(&format!("cp {BIN}/.causeway-before/record.json /run/record"));
    for wrong in ["", "{}", r#"{"format":9,"names":{},"network":null}"#] {
        host.write(&format!("{BIN}/.causeway-before/record.json"), wrong);
        let installed = files(&host);
        for undo in ["", "--undo"] {
            person.fails(&format!("install {FOLDERS} {undo}"), &["record.json"]);
        }
        assert_eq!(files(&host), installed);
    }
    host.run(&format!("cp /run/record {BIN}/.causeway-before/record.json"));
    person.succeeds(&format!("install {FOLDERS} --undo"));
    assert_eq!(files(&host), before);
}

/// Killed at each of its renames: whatever is in the folder can be executed, and both doing and undoing
/// can be carried on.
#[test]
fn killed_at_any_moment_it_can_be_carried_on() {
    let host = node();
    let before = files(&host);
    let mut undone = 0;
    for way in ["", "--undo"] {
        // Each of the first ones, which differ; of the many links that follow, every fourth.
        for when in (1..8).chain((8..).step_by(4)) {
            if way == "--undo" {
                host.run(&format!("{CAUSEWAY} install {FOLDERS}"));
            }
            let finished = host.succeeds(&format!(
                "strace -qq -o /dev/null -e trace=rename -e inject=rename:signal=KILL:when={when} \
                 {CAUSEWAY} install {FOLDERS} {way}"
            ));
            for name in ["bridge", "host-local"] {
                let answer = version(&host, name);
                assert!(answer.contains("supportedVersions"), "{way} {when}, {name}: {answer}");
            }
            // Carried on by turns with what it was about, and with the contrary.
            if when % 2 == 0 {
                host.run(&format!("{CAUSEWAY} install {FOLDERS}"));
                is_in_place(&host);
            }
            host.run(&format!("{CAUSEWAY} install {FOLDERS} --undo"));
            assert_eq!(files(&host), before, "{way} {when}");
            if finished {
                break;
            }
            undone += 1;
        }
    }
    assert!(undone > 12, "only {undone} runs were killed");
}

fn version(host: &Host, name: &str) -> String {
    let child = host.inside(|| {
        Command::new(format!("{BIN}/{name}"))
            .env_clear()
            .env("CNI_COMMAND", "VERSION")
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    });
    String::from_utf8_lossy(&await_end(child).stdout).into_owned()
}

/// A runtime calls plugins while they are replaced, and finds each of them at any moment.
#[test]
fn calls_go_on_meanwhile() {
    require_reference();
    let host = node();
    // Not scripts, which the shell opens once more after the kernel has.
    for name in ["bridge", "host-local"] {
        host.run(&format!("cp {REFERENCE_DIR}/{name} {BIN}/{name}"));
    }
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let calls = ["bridge", "host-local"].map(|name| {
            let (host, ended) = (&host, &ended);
            scope.spawn(move || {
                let mut count = 0;
                while !ended.load(Ordering::Relaxed) {
                    let answer = version(host, name);
                    assert!(answer.contains("supportedVersions"), "{name}: {answer:?}");
                    count += 1;
                }
                count
            })
        });
        for _ in 0..10 {
            host.run(&format!("{CAUSEWAY} install {FOLDERS}"));
            host.run(&format!("{CAUSEWAY} install {FOLDERS} --undo"));
        }
        ended.store(true, Ordering::Relaxed);
        for calls in calls {
            assert!(calls.join().unwrap() > 10);
        }
    });
}

#[test]
fn it_stays_and_sees_to_it() {
    let host = node();
    let before = files(&host);
    let child = host.inside(|| {
        Command::new(CAUSEWAY)
            .args(["install", "--stay=1", "--bin-dir", BIN, "--conf-dir", CONF])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start causeway")
    });
    let pid = child.id();
    host.wait("everything is there", |host| {
        host.succeeds(&format!("test -e {CONF}/10-pods.conflist"))
    });
    host.run(&format!("rm {BIN}/bridge"));
    host.wait("the link is there again", |host| host.succeeds(&format!("test -L {BIN}/bridge")));
    host.run(&format!("kill -TERM {pid}"));
    let said = await_end(child);
    assert!(said.status.success(), "{said:?}");
    is_in_place(&host);
    host.run(&format!("{CAUSEWAY} install {FOLDERS} --undo"));
    assert_eq!(files(&host), before);
}
