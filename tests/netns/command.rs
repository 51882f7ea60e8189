//! `causeway netns`, as people run it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output};

use causeway::kernel::netns::Namespace;
use nix::mount::{MsFlags, mount};
use serde_json::{Value, json};

use super::harness::{self, Host};
use super::{create, dir, listed, mounts_at, open, output, stderr, stdout};

pub(crate) const CAUSEWAY: &str = env!("CARGO_BIN_EXE_causeway");

/// Runs the program under test in the calling thread's namespaces.
fn causeway(words: &str) -> Output {
    output(Command::new(CAUSEWAY).arg("netns").args(words.split_whitespace()))
}

/// What the program printed, which must have succeeded without complaint.
fn quiet(words: &str) -> String {
    let out = causeway(words);
    assert!(out.status.success(), "{words}: {}: {}", out.status, stderr(&out));
    assert_eq!(stderr(&out), "", "{words}");
    stdout(&out)
}

#[test]
fn ip_netns_and_causeway_see_each_others_namespaces() {
    Host::new().inside(|| {
        harness::run_here("ip netns add theirs");
        quiet("add ours");
        let names = harness::run_here("ip netns list");
        let names: BTreeSet<_> =
            names.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(names, BTreeSet::from(["ours", "theirs"]));
        assert_eq!(listed(), [("ours".into(), true), ("theirs".into(), true)]);

        // The same device is seen by both.
        quiet("exec theirs ip link add one type veth peer name two");
        assert!(harness::run_here("ip -n theirs link").contains("one"));
        harness::run_here("ip netns exec ours ip link add three type veth peer name four");
        assert!(quiet("exec ours ip link").contains("three"));

        harness::run_here("ip netns del ours");
        quiet("del theirs");
        assert_eq!(listed(), []);
        assert_eq!(harness::run_here("ip netns list"), "");
        assert_eq!(mounts_at(&dir().join("ours")) + mounts_at(&dir().join("theirs")), 0);
        assert_eq!(mounts_at(dir()), 1);
    });
}

#[test]
fn a_failed_add_leaves_nothing_and_says_why() {
    let host = Host::new();
    // A user namespace of its own has a limit of its own, which then counts for nobody else.
    let script = format!(
        "mount -t tmpfs none /run && echo 0 >/proc/sys/user/max_net_namespaces && \
         {CAUSEWAY} netns add one; echo code $?; ls -A /run/netns"
    );
    let mut inside = Command::new("unshare");
    inside.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    let out = host.inside(|| output(&mut inside));
    assert_eq!(stdout(&out), "code 1\n", "{}", stderr(&out));
    assert!(stderr(&out).contains("user.max_net_namespaces"), "{}", stderr(&out));
}

#[test]
fn want_of_privilege_is_named() {
    Host::new().inside(|| {
        create("blue");
        let weak = |words: &str| {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin", CAUSEWAY, "netns"]);
            output(command.args(words.split_whitespace()))
        };
        for words in ["add red", "exec blue true", "del blue"] {
            let out = weak(words);
            assert_eq!(out.status.code(), Some(1), "{words}");
            assert!(stderr(&out).contains("needs root"), "{words}: {}", stderr(&out));
        }
        assert!(weak("list").status.success(), "looking is free");
        assert_eq!(listed(), [("blue".to_owned(), true)]);
    });
}

#[test]
fn the_command_line_adds_lists_and_deletes() {
    Host::new().inside(|| {
        assert_eq!(quiet("list --dir /run/mine"), "");
        assert_eq!(quiet("list --dir /run/mine --output json"), "[]\n");
        assert_eq!(quiet("add --dir /run/mine red blue"), "");
        fs::write("/run/mine/half", "").unwrap();

        let inode = |name: &str| open(Path::new("/run/mine").join(name)).inode();
        let (blue, red) = (inode("blue"), inode("red"));
        let rows: Vec<String> = quiet("--dir /run/mine list").lines().map(String::from).collect();
        let words: Vec<Vec<&str>> =
            rows.iter().map(|row| row.split_whitespace().collect()).collect();
        let (blue_text, red_text) = (blue.to_string(), red.to_string());
        assert_eq!(words[0], ["NAME", "INODE", "NAMESPACE"]);
        assert_eq!(words[1], ["blue", &blue_text, "yes"]);
        assert_eq!(words[2], ["half", "-", "no"]);
        assert_eq!(words[3], ["red", &red_text, "yes"]);

        let list: Value =
            serde_json::from_str(&quiet("list --dir /run/mine --output json")).unwrap();
        assert_eq!(
            list,
            json!([
                {"name": "blue", "path": "/run/mine/blue", "inode": blue, "namespace": true},
                {"name": "half", "path": "/run/mine/half", "inode": null, "namespace": false},
                {"name": "red", "path": "/run/mine/red", "inode": red, "namespace": true},
            ])
        );

        // One that fails keeps none of the others back.
        let out = causeway("add --dir /run/mine half green");
        assert_eq!(out.status.code(), Some(1));
        assert!(stderr(&out).contains("half"), "{}", stderr(&out));
        assert!(inode("green") > 0);

        let out = causeway("del --dir /run/mine red missing half green blue");
        assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
        assert_eq!(stderr(&out).lines().count(), 1);
        assert!(stderr(&out).contains("/run/mine/missing does not exist"), "{}", stderr(&out));
        assert_eq!(quiet("list --dir /run/mine"), "");
        assert_eq!(listed(), [], "the usual directory is not touched");
    });
}

#[test]
fn exec_runs_a_command_inside_in_the_programs_own_place() {
    let host = Host::new();
    host.inside(|| {
        let blue = open(create("blue"));
        let sys_mounts = mounts_at(Path::new("/sys"));
        quiet("exec blue ip link add inner type veth peer name outer");

        let own = quiet("exec blue readlink /proc/self/ns/net");
        assert_eq!(own.trim(), format!("net:[{}]", blue.inode()));
        let devices = quiet("exec blue ls /sys/class/net");
        assert_eq!(devices.split_whitespace().collect::<Vec<_>>(), ["inner", "lo", "outer"]);
        assert_eq!(mounts_at(Path::new("/sys")), sys_mounts, "our own /sys is untouched");

        for code in [0, 7, 255] {
            let mut command = Command::new(CAUSEWAY);
            command.args(["netns", "exec", "blue", "sh", "-c", &format!("exit {code}")]);
            assert_eq!(output(&mut command).status.code(), Some(code));
        }
        let mut killed = Command::new(CAUSEWAY);
        killed.args(["netns", "exec", "blue", "sh", "-c", "kill -TERM $$"]);
        assert_eq!(output(&mut killed).status.signal(), Some(libc::SIGTERM));

        let by_path = quiet("exec /run/netns/blue readlink /proc/self/ns/net");
        assert_eq!(by_path, own);
        let sleeper = Sleeper::start(&blue);
        let by_pid = quiet(&format!("exec pid:{} readlink /proc/self/ns/net", sleeper.0.id()));
        assert_eq!(by_pid, own);
    });
}

/// A process that sits in a namespace until it is dropped.
struct Sleeper(Child);

impl Sleeper {
    fn start(namespace: &Namespace) -> Self {
        let sleep = || Command::new("sleep").arg("1000").spawn().expect("start sleep");
        Self(namespace.enter(sleep).expect("enter"))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn exec_says_what_is_wrong() {
    Host::new().inside(|| {
        create("blue");
        fs::write("/run/text", "no program").unwrap();
        let refused = |words: &str, code: i32, says: &str| {
            let out = causeway(words);
            assert_eq!(out.status.code(), Some(code), "{words}: {}", stderr(&out));
            assert!(stderr(&out).contains(says), "{words}: {}", stderr(&out));
        };
        refused("exec red true", 1, "network namespace /run/netns/red does not exist");
        refused("exec /run true", 1, "not a network namespace but a directory");
        refused("exec pid:0 true", 1, "does not exist");
        refused("exec pid:me true", 1, "pid:1234");
        refused("exec blue no-such-command", 127, "cannot run no-such-command");
        refused("exec blue /run/text", 126, "cannot run /run/text");
        refused("exec blue", 2, "COMMAND");
    });
}

#[test]
fn exec_puts_a_namespaces_files_over_those_of_etc() {
    Host::new().inside(|| {
        // The machine's /etc stays out of sight, and so does what is done to it here.
        let none: Option<&str> = None;
        mount(none, "/etc", Some("tmpfs"), MsFlags::empty(), none).unwrap();
        fs::create_dir_all("/etc/netns/blue").unwrap();
        fs::write("/etc/resolv.conf", "nameserver 192.0.2.1\n").unwrap();
        fs::write("/etc/netns/blue/resolv.conf", "nameserver 192.0.2.53\n").unwrap();
        create("blue");
        create("red");

        assert_eq!(quiet("exec blue cat /etc/resolv.conf"), "nameserver 192.0.2.53\n");
        assert_eq!(quiet("exec red cat /etc/resolv.conf"), "nameserver 192.0.2.1\n");
        assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap(), "nameserver 192.0.2.1\n");
        let theirs = harness::run_here("ip netns exec blue cat /etc/resolv.conf");
        assert_eq!(theirs, "nameserver 192.0.2.53\n", "ip netns does the same");

        fs::write("/etc/netns/blue/hosts", "").unwrap();
        let out = causeway("exec blue true");
        assert!(out.status.success(), "a file without counterpart is left out");
        assert!(stderr(&out).contains("/etc/hosts"), "{}", stderr(&out));
    });
}
