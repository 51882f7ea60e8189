//! Files that the program keeps between calls are damaged, or are no files: what is damaged is set
//! aside and told of, and no other pod is any the worse for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use harness::call::{Call, Plugin};
use harness::config::{dual_stack, everything, merge, newest};
use harness::person::Person;
use harness::{Host, Pod};
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");
const JOURNAL: &str = "/var/lib/cni/causeway/testnet";
const LEASES: &str = "/var/lib/cni/networks/testnet";
const PASSWORDS: &str = "/run/passwords";

/// What may stand where a file of ours should.
const DAMAGES: [&str; 9] = [
    "cut short",
    "empty",
    "garbage",
    "other JSON",
    "link to a file",
    "link to nowhere",
    "directory",
    "full directory",
    "pipe",
];

/// Puts something else in the place of a file.
fn damage(host: &Host, path: &str, how: &str) {
    host.inside(|| {
        let was = fs::read(path).unwrap_or_default();
        let _ = fs::remove_file(path);
        fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        match how {
            "cut short" => fs::write(path, &was[..was.len() / 2]),
            "empty" => fs::write(path, ""),
            "garbage" => fs::write(path, [0xff, 0x00, 0xfe, 0x7b, 0x0a].repeat(300)),
            "other JSON" => fs::write(path, r#"{"version": 1, "resources": []}"#),
            "link to a file" => symlink(PASSWORDS, path),
            "link to nowhere" => symlink("/run/nowhere", path),
            "directory" => fs::create_dir(path),
            "full directory" => {
                fs::create_dir(path).and_then(|()| fs::write(format!("{path}/x"), ""))
            }
            "pipe" => {
                nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
                Ok(())
            }
            _ => unreachable!(),
        }
        .unwrap();
    });
}

/// A host with two pods, of which the first is to be the victim.
struct Node<'h> {
    host: &'h Host,
    pods: [Pod<'h>; 2],
    calls: [Call<'h>; 2],
    results: [Value; 2],
}

impl<'h> Node<'h> {
    fn new(host: &'h Host, config: &Value) -> Self {
        host.write(PASSWORDS, "secret");
        let pods = ["blue", "green"].map(|name| host.pod(name));
        let calls = [&pods[0], &pods[1]].map(|pod| pod.call(BRIDGE, config));
        let results = [calls[0].add(), calls[1].add()];
        Self { host, pods, calls, results }
    }

    /// A third pod comes and goes, the second is whole, and people can look.
    fn others_go_on(&self, config: &Value, how: &str) {
        let third = self.host.pod("red");
        let call = third.call(BRIDGE, config);
        let result = call.add();
        assert!(third.reaches("10.88.0.1"), "{how}");
        for (one, other) in [(&result, &self.results[1]), (&self.results[0], &self.results[1])] {
            assert_ne!(one["ips"][0]["address"], other["ips"][0]["address"], "{how}");
        }
        call.check(&result).silence();
        self.calls[1].check(&self.results[1]).silence();
        call.clone().env("CNI_CONTAINERID", "unknown").env("CNI_IFNAME", "eth7").del();
        call.del();
        third.destroy();
        self.people_can_look(how);
    }

    fn people_can_look(&self, how: &str) {
        let person = Person::on(self.host);
        let listed = person.json("list");
        let ids: Vec<_> =
            listed.as_array().unwrap().iter().map(|one| &one["containerID"]).collect();
        assert!(ids.contains(&&json!("id-green")), "{how}: {listed:#}");
        person.json("leases");
        let doctor = person.causeway("doctor --output json");
        let told: Value =
            serde_json::from_str(&doctor.stdout).unwrap_or_else(|e| panic!("{e}: {doctor}"));
        assert!(told["findings"].is_array(), "{how}: {told}");
        self.host.inside(|| assert_eq!(fs::read_to_string(PASSWORDS).unwrap(), "secret", "{how}"));
        assert!(!self.host.succeeds("test -e /run/nowhere"), "{how}: a link was followed");
    }

    /// The victim's DEL and the GC of all leave nothing of pods.
    fn ends_clean(&self, how: &str) {
        self.calls[0].del();
        assert_eq!(self.pods[0].link_names(), ["lo"], "{how}");
        self.calls[1].check(&self.results[1]).silence();
        self.calls[1].gc(&[("id-green", "eth0")]);
        self.calls[1].check(&self.results[1]).silence();
        self.calls[1].del();
        assert_eq!(self.pods[1].link_names(), ["lo"], "{how}");
        let left = self.host.snapshot();
        assert_eq!(left.links(), ["br0", "lo"], "{how}");
        let elements = self.host.run("nft list ruleset");
        assert!(!elements.contains("10.88.0.2"), "{how}: {elements}");
    }
}

/// All of `paths` are damaged at once, in every way. `aside` is a folder, and what it must hold then.
fn every_damage(paths: &[&str], config: &Value, aside: Option<(&str, &str)>) {
    for how in DAMAGES {
        let host = Host::new();
        let node = Node::new(&host, config);
        for path in paths {
            damage(&host, path, how);
        }
        let how = format!("{paths:?}: {how}");
        node.people_can_look(&how);
        node.others_go_on(config, &how);
        node.ends_clean(&how);
        if let Some((folder, name)) = aside {
            let names = host.run(&format!("ls -A {folder}"));
            assert!(names.contains(name), "{how}: nothing was set aside: {names}");
        }
    }
}

#[test]
fn records() {
    let path = format!("{JOURNAL}/id-blue:eth0:bridge");
    every_damage(&[&path], &everything(), Some((JOURNAL, "id-blue:eth0:bridge.damaged")));
}

/// A record that was copied from another attachment would have that one removed in its name.
#[test]
fn a_record_of_another_attachment() {
    let host = Host::new();
    let node = Node::new(&host, &everything());
    host.run(&format!("cp {JOURNAL}/id-green:eth0:bridge {JOURNAL}/id-blue:eth0:bridge"));
    let doctor = Person::on(&host).causeway("doctor");
    assert!(doctor.stdout.contains("testnet/id-green/eth0"), "{doctor}");
    node.ends_clean("a record of another");
}

#[test]
fn a_record_of_a_later_version() {
    let host = Host::new();
    let node = Node::new(&host, &everything());
    host.run(&format!("sed -i s/\"version\":1/\"version\":9/ {JOURNAL}/id-blue:eth0:bridge"));
    node.ends_clean("a record of a later version");
    assert!(host.succeeds(&format!("test -e {JOURNAL}/id-blue:eth0:bridge.damaged")));
}

/// An ADD over a damaged record of its own attachment.
#[test]
fn an_add_over_a_damaged_record() {
    for how in DAMAGES {
        let host = Host::new();
        let pod = host.pod("blue");
        host.write(PASSWORDS, "secret");
        damage(&host, &format!("{JOURNAL}/id-blue:eth0:bridge"), how);
        let call = pod.call(BRIDGE, &everything());
        let result = call.add();
        call.check(&result).silence();
        call.del();
        assert_eq!(host.snapshot().links(), ["br0", "lo"], "{how}");
    }
}

#[test]
fn the_lock_of_shared_things() {
    every_damage(&["/var/lib/cni/causeway/.lock"], &everything(), None);
}

#[test]
fn the_journal_of_a_network_is_a_file() {
    let host = Host::new();
    let node = Node::new(&host, &everything());
    host.run(&format!("rm -r {JOURNAL}"));
    host.write(JOURNAL, "a file");
    node.people_can_look("the journal is a file");
    node.calls[0].del();
    node.calls[1].check(&node.results[1]).silence();
    node.calls[1].del();
    assert_eq!(host.snapshot().links(), ["br0", "lo"]);
    let third = host.pod("red");
    third.call(BRIDGE, &everything()).run("ADD").fails(5, &[JOURNAL]);
    assert_eq!(third.link_names(), ["lo"]);
}

/// The lease file of a pod: its address is nobody's then, but is not handed out again while somebody
/// may use it.
#[test]
fn leases() {
    every_damage(&[&format!("{LEASES}/10.88.0.2")], &everything(), None);
}

#[test]
fn what_is_kept_beside_leases() {
    let names = [
        "lock",
        "last_reserved_ip.0",
        ".causeway-new",
        ".causeway:id-blue:eth0:0",
        ".causeway:id-red:eth0:0",
        ".causeway-used:10.88.0.1-10.88.0.254",
        "notes.txt",
    ];
    let paths = names.map(|name| format!("{LEASES}/{name}"));
    every_damage(&paths.each_ref().map(String::as_str), &dual_stack(json!({})), None);
}

/// A bitmap that is in use, of a range that is nearly full.
#[test]
fn the_bitmap_of_a_range() {
    for how in DAMAGES {
        let host = Host::new();
        let config = json!({"cniVersion": newest(), "name": "testnet", "type": "host-local",
            "ipam": {"type": "host-local", "subnet": "10.88.0.0/24"}});
        let pod = host.pod("blue");
        let call = pod.call(Plugin::Causeway("host-local"), &config);
        for n in 0..100 {
            host.write(&format!("{LEASES}/10.88.0.{}", n + 2), &format!("c{n}\r\neth0"));
        }
        call.add();
        let names = host.run(&format!("ls -A {LEASES}"));
        let bitmap = names
            .lines()
            .find(|name| name.starts_with(".causeway-used:"))
            .unwrap_or_else(|| panic!("{names}"));
        damage(&host, &format!("{LEASES}/{bitmap}"), how);
        let result = call.clone().id("other").add();
        assert_eq!(result["ips"][0]["address"], "10.88.0.103/24", "{how}");
        call.del();
        assert_eq!(call.clone().id("third").add()["ips"][0]["address"], "10.88.0.104/24", "{how}");
        call.clone().id("other").del();
    }
}

#[test]
fn the_folder_of_leases_is_a_link() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.run("mkdir -p /run/elsewhere /var/lib/cni/networks");
    host.run(&format!("ln -s /run/elsewhere {LEASES}"));
    pod.call(BRIDGE, &everything()).run("ADD").fails(5, &[LEASES]);
    assert_eq!(host.run("ls -A /run/elsewhere"), "");
    assert_eq!(pod.link_names(), ["lo"]);
}

#[test]
fn the_places_of_leases_and_results_are_files() {
    let host = Host::new();
    host.write("/var/lib/cni/networks", "a file");
    host.write("/var/lib/cni/results", "a file");
    host.write("/var/lib/cni/causeway", "a file");
    let person = Person::on(&host);
    for command in ["list", "leases"] {
        let said = person.causeway(&format!("{command} --output json"));
        assert!(said.stderr.contains("/var/lib/cni/networks"), "{said}");
        assert!(serde_json::from_str::<Value>(&said.stdout).is_ok(), "{said}");
    }
    let doctor = person.causeway("doctor --output json");
    assert!(doctor.stdout.contains("/var/lib/cni/networks"), "{doctor}");
}

/// The backup in which tuning keeps what the interface was like.
#[test]
fn the_backup_of_tuning() {
    for how in DAMAGES {
        let host = Host::new();
        host.write(PASSWORDS, "secret");
        let pod = host.pod("blue");
        let bridge = pod.call(BRIDGE, &dual_stack(json!({})));
        let result = bridge.add();
        let mut config =
            json!({"cniVersion": newest(), "name": "testnet", "type": "tuning", "mtu": 1300});
        merge(&mut config, json!({"prevResult": result, "dataDir": "/run/tuning"}));
        let tuning = pod.call(Plugin::Causeway("tuning"), &config);
        tuning.add();
        damage(&host, "/run/tuning/id-blue_eth0.json", how);
        tuning.del();
        bridge.del();
        assert_eq!(host.snapshot().links(), ["br0", "lo"], "{how}");
        host.inside(|| assert_eq!(fs::read_to_string(PASSWORDS).unwrap(), "secret", "{how}"));
    }
}

/// Files that the program makes are for root alone, whatever the umask.
#[test]
fn state_is_for_root_alone() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.script_plugin("careless", "#!/bin/sh\numask 0\nexec /run/cni-test/causeway/bridge\n");
    pod.call(BRIDGE, &everything()).program("/run/cni-test/causeway/careless").add();
    let open = host.run("find /var/lib/cni -not -type l -perm /022");
    assert_eq!(open, "", "others may write");
    let readable = host.run("find /var/lib/cni -type f -perm /077 -not -path */metrics/*");
    let readable: Vec<_> = readable.lines().filter(|path| !path.ends_with("/lock")).collect();
    assert!(readable.is_empty(), "others may read {readable:?}");
}
