//! A black box around a plugin: private hosts, pods, calls as a runtime makes them, snapshots.
//!
//! A [`Host`] is a network and a mount namespace of its own, held open by two file descriptors.
//! Nothing of it outlives the test process, however that ends. Work is done in it by a short-lived
//! thread that enters the namespaces first, so that no child process is needed to hold them and
//! tests may run side by side.

// Every test program takes what it needs from here; what one leaves unused another uses.
#![allow(dead_code)]

pub mod call;
pub mod chained;
pub mod config;
pub mod devices;
pub mod dhcp;
pub mod dhcp_server;
mod ending;
pub mod faults;
pub mod forged;
pub mod injected;
pub mod killed;
pub mod limited;
pub mod list;
pub mod packets;
pub mod patience;
pub mod person;
pub mod refusal;
pub mod router;
pub mod routing;
pub mod ruleset;
pub mod services;
pub mod side_by_side;
pub mod snapshot;
pub mod symbols;
pub mod tuned;
pub mod types;
pub mod uplink;

use std::fs::{self, File};
use std::io::Write;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use serde_json::Value;

/// Where Debian's package containernetworking-plugins puts the reference plugins.
pub const REFERENCE_DIR: &str = "/usr/lib/cni";

/// Overrides the directory that holds the binaries under test: for a release, or the reference plugins, against
/// which the tests themselves can be tested.
pub const OVERRIDE: &str = "CAUSEWAY_TEST_BINARY_DIR";

/// The directory of a host that holds the plugin directories; part of no snapshot.
const PLUGINS: &str = "/run/cni-test";

/// The plugin types that the causeway binary answers to by the name it is called by.
const TYPES: [&str; 20] = [
    "causeway",
    "bridge",
    "macvlan",
    "ipvlan",
    "vlan",
    "dummy",
    "host-local",
    "dhcp",
    "loopback",
    "portmap",
    "firewall",
    "bandwidth",
    "tuning",
    "sbr",
    "static",
    "ptp",
    "netkit",
    "host-device",
    "tap",
    "vrf",
];

/// The reference plugins of Debian that tests call.
const REFERENCE: [&str; 16] = [
    "bridge",
    "macvlan",
    "ipvlan",
    "vlan",
    "host-local",
    "dhcp",
    "loopback",
    "portmap",
    "firewall",
    "bandwidth",
    "tuning",
    "sbr",
    "static",
    "ptp",
    "host-device",
    "vrf",
];

/// Whether the binaries under test are the reference plugins themselves.
pub fn testing_reference() -> bool {
    std::env::var_os(OVERRIDE).is_some_and(|dir| !Path::new(&dir).join("causeway").exists())
}

/// A private host: own network, own /run, own /var/lib, own /sys.
pub struct Host {
    net: File,
    mnt: File,
}

impl Host {
    /// A host with `lo` up and nothing else.
    pub fn new() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests make network namespaces: run them as root (scripts/test does)"
        );
        let (net, mnt) = thread::spawn(|| {
            unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
                .expect("a private host needs CAP_SYS_ADMIN: run the tests as root");
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
                .expect("keep mounts private");
            for place in ["/run", "/var/lib"] {
                mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), none)
                    .expect("mount a tmpfs");
            }
            // /sys/class/net shows the namespace that it was mounted in.
            mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none)
                .expect("mount sysfs");
            for dir in ["/run/netns", "/var/lib/cni"] {
                fs::create_dir_all(dir).expect("make a state directory");
            }
            lay_out_plugins();
            let own = |kind| File::open(format!("/proc/thread-self/ns/{kind}")).expect("own ns");
            (own("net"), own("mnt"))
        })
        .join()
        .unwrap_or_else(|cause| resume_unwind(cause));
        let host = Self { net, mnt };
        host.run("ip link set lo up");
        host
    }

    /// Does `work` in this host.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.enter(None, work)
    }

    fn enter<T: Send>(&self, netns: Option<&Path>, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let visit = scope.spawn(|| {
                unshare(CloneFlags::CLONE_FS).expect("leave the process's working directory");
                setns(&self.mnt, CloneFlags::CLONE_NEWNS).expect("enter the host's mounts");
                match netns {
                    None => setns(&self.net, CloneFlags::CLONE_NEWNET),
                    Some(path) => {
                        let file = File::open(path)
                            .unwrap_or_else(|e| panic!("no pod at {}: {e}", path.display()));
                        setns(file, CloneFlags::CLONE_NEWNET)
                    }
                }
                .expect("enter the network namespace");
                work()
            });
            visit.join().unwrap_or_else(|cause| resume_unwind(cause))
        })
    }

    /// A new pod namespace, kept at /run/netns/`name`, with `lo` down as a runtime makes it.
    pub fn pod(&self, name: &str) -> Pod<'_> {
        let path = PathBuf::from("/run/netns").join(name);
        self.inside(|| {
            fs::write(&path, "").expect("make the mount point of a pod");
            unshare(CloneFlags::CLONE_NEWNET).expect("make a pod's namespace");
            let own = Some("/proc/thread-self/ns/net");
            let none: Option<&str> = None;
            mount(own, &path, none, MsFlags::MS_BIND, none).expect("keep the pod's namespace");
        });
        Pod { host: self, name: name.to_owned(), path }
    }

    /// Runs a command in this host and gives its stdout; words are split at white space.
    ///
    /// Panics when it fails, with what it said.
    pub fn run(&self, command: &str) -> String {
        self.inside(|| run_here(command))
    }

    /// Runs a command in this host and says whether it succeeded.
    pub fn succeeds(&self, command: &str) -> bool {
        self.inside(|| output_of(command, None).status.success())
    }

    /// Feeds an nftables script to this host.
    pub fn nft(&self, script: &str) {
        self.inside(|| {
            let out = output_of("nft -f -", Some(script));
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(out.status.success(), "nft refused {script}: {said}");
        });
    }

    /// What a command with JSON output printed in this host; nothing counts as an empty list.
    pub fn json(&self, command: &str) -> Value {
        json_of(&self.run(command))
    }

    /// The names of this host's links.
    pub fn link_names(&self) -> Vec<String> {
        names_of(&self.json("ip -j link"))
    }

    /// The one link of this host that is a pod's counterpart on the bridge.
    pub fn host_veth(&self) -> String {
        let links = self.json("ip -j -d link show type veth");
        let mut names = names_of(&links);
        assert_eq!(names.len(), 1, "one veth expected on the host: {names:?}");
        names.remove(0)
    }

    /// Reads a file of this host; also one below /proc/sys/net.
    pub fn read(&self, path: &str) -> String {
        self.inside(|| fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}")))
    }

    /// Writes a file of this host, and the directories that lead to it.
    pub fn write(&self, path: &str, text: &str) {
        self.inside(|| {
            if let Some(parent) = Path::new(path).parent() {
                fs::create_dir_all(parent).unwrap_or_else(|e| panic!("{path}: {e}"));
            }
            fs::write(path, text).unwrap_or_else(|e| panic!("{path}: {e}"));
        });
    }

    /// Puts an executable script into both plugin directories, as a foreign plugin `name`.
    pub fn script_plugin(&self, name: &str, script: &str) {
        for side in ["causeway", "reference"] {
            self.executable(&format!("{PLUGINS}/{side}/{name}"), script);
        }
    }

    /// Writes an executable script to `path`.
    ///
    /// A child process writes it: were the file open for writing here, a process that another test
    /// starts at that moment would inherit it, and the script could not be executed ("Text file
    /// busy") until that process has executed its own program.
    pub fn executable(&self, path: &str, script: &str) {
        self.inside(|| {
            let mut child = Command::new("install")
                .args(["-m", "755", "/dev/stdin", path])
                .stdin(Stdio::piped())
                .spawn()
                .expect("start install");
            let mut pipe = child.stdin.take().expect("the stdin of install");
            pipe.write_all(script.as_bytes()).expect("hand the script to install");
            drop(pipe);
            assert!(child.wait().expect("wait for install").success(), "install {path}");
        });
    }

    /// Whether this kernel's bridges can filter VLANs.
    pub fn has_vlan_filtering(&self) -> bool {
        let can = self.succeeds("ip link add probe type bridge vlan_filtering 1");
        if can {
            self.run("ip link del probe");
        }
        can
    }

    /// Waits until `done` holds, while patience lasts; for what the kernel does in its own time.
    pub fn wait(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let (start, patience) = (Instant::now(), patience::patience());
        while start.elapsed() < patience {
            if done(self) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("in {patience:?} it did not happen that {what}");
    }
}

/// A namespace of a [`Host`] that attachments are made for.
pub struct Pod<'h> {
    /// The host it belongs to.
    pub host: &'h Host,
    /// The name below /run/netns.
    pub name: String,
    /// What a runtime gives as CNI_NETNS.
    pub path: PathBuf,
}

impl Pod<'_> {
    /// Does `work` in the pod's network and the host's file system.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.host.enter(Some(&self.path), work)
    }

    /// Runs a command in the pod, as [`Host::run`] does.
    pub fn run(&self, command: &str) -> String {
        self.inside(|| run_here(command))
    }

    /// What a command with JSON output printed in the pod.
    pub fn json(&self, command: &str) -> Value {
        json_of(&self.run(command))
    }

    /// The names of the pod's links.
    pub fn link_names(&self) -> Vec<String> {
        names_of(&self.json("ip -j link"))
    }

    /// The hardware address of one of the pod's links.
    pub fn mac(&self, link: &str) -> String {
        let links = self.json(&format!("ip -j link show {link}"));
        links[0]["address"].as_str().expect("a hardware address").to_owned()
    }

    /// Takes the namespace away, as a runtime does when the pod dies.
    pub fn destroy(&self) {
        self.host.inside(|| {
            nix::mount::umount2(&self.path, nix::mount::MntFlags::MNT_DETACH)
                .expect("let the pod's namespace go");
            fs::remove_file(&self.path).expect("remove the mount point");
        });
    }
}

/// The program that people call.
pub fn program() -> PathBuf {
    let own = Path::new(env!("CARGO_BIN_EXE_causeway"));
    std::env::var_os(OVERRIDE).map_or_else(|| own.into(), |dir| Path::new(&dir).join("causeway"))
}

/// Makes the two plugin directories of a host out of links to the binaries.
fn lay_out_plugins() {
    let link = |side: &str, name: &str, to: &Path| {
        let from = format!("{PLUGINS}/{side}/{name}");
        std::os::unix::fs::symlink(to, from).expect("link a plugin");
    };
    for side in ["causeway", "reference"] {
        fs::create_dir_all(format!("{PLUGINS}/{side}")).expect("make a plugin directory");
    }
    match std::env::var_os(OVERRIDE) {
        Some(dir) => {
            for name in TYPES {
                let dir = Path::new(&dir);
                // There is no such plugin of the reference's.
                let is_missing = name == "causeway" && testing_reference();
                link("causeway", name, &dir.join(if is_missing { "bridge" } else { name }));
            }
        }
        None => {
            for name in TYPES {
                link("causeway", name, Path::new(env!("CARGO_BIN_EXE_causeway")));
            }
        }
    }
    for name in REFERENCE {
        link("reference", name, &Path::new(REFERENCE_DIR).join(name));
    }
}

/// Runs a command in the calling thread's namespaces.
pub(crate) fn run_here(command: &str) -> String {
    let out = output_of(command, None);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "`{command}` failed, {}: {said}", out.status);
    String::from_utf8(out.stdout).expect("UTF-8 from a command")
}

/// Runs a command in the calling thread's namespaces, with `stdin`, whatever comes of it.
pub(crate) fn output_of(command: &str, stdin: Option<&str>) -> std::process::Output {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command");
    let mut child = Command::new(program)
        .args(words)
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run `{program}`: {e}; {}", how_to_install(program)));
    if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
        pipe.write_all(text.as_bytes()).expect("feed a command");
    }
    child.wait_with_output().expect("the output of a command")
}

/// What to install when `program` is missing.
pub(crate) fn how_to_install(program: &str) -> String {
    let package = match program.rsplit('/').next().unwrap_or(program) {
        "ip" | "bridge" | "tc" => "iproute2",
        "nft" => "nftables",
        "iperf3" => "iperf3",
        "dbus-daemon" => "dbus-daemon",
        _ => return "is it built and on the PATH?".to_owned(),
    };
    format!("install the Debian package {package} (scripts/test does)")
}

/// Panics with what to do when the reference plugins are not on this machine.
pub fn require_reference() {
    let bridge = Path::new(REFERENCE_DIR).join("bridge");
    assert!(
        bridge.exists(),
        "{} is missing: install the Debian packages containernetworking-plugins and iptables \
         (scripts/test does)",
        bridge.display()
    );
}

fn json_of(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Array(Vec::new());
    }
    serde_json::from_str(text).unwrap_or_else(|e| panic!("not JSON ({e}): {text}"))
}

fn names_of(links: &Value) -> Vec<String> {
    let links = links.as_array().expect("a list of links");
    links.iter().filter_map(|link| Some(link["ifname"].as_str()?.to_owned())).collect()
}
