//! GC, and `repair --leftovers`, of many attachments at once, whose links and rules go together.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::process::Stdio;
use std::time::{Duration, Instant};

use harness::call::{Call, Plugin, await_end};
use harness::chained::{fused, whole_list};
use harness::config::{merge, newest};
use harness::person::Person;
use harness::snapshot::{Snapshot, nothing_stays};
use harness::{Host, Pod};
use serde_json::{Value, json};

const CAUSEWAY: Plugin = Plugin::Causeway("causeway");

/// A file that a record says is to be removed.
const STUCK: &str = "/run/stuck";

/// A foreign plugin that passes the result on, and tells of each DEL.
const TELLING: &str = r#"#!/bin/sh
case $CNI_COMMAND in
ADD) exec python3 -c 'import json, sys
print(json.dumps(json.load(sys.stdin)["prevResult"]))' ;;
DEL) echo $CNI_CONTAINERID >>/run/told ;;
esac
"#;

/// A host with one attachment that stays, and what there is besides.
struct Node<'h> {
    host: &'h Host,
    stays: (Call<'h>, Value),
    before: (Snapshot, Snapshot),
    pod: Pod<'h>,
}

impl<'h> Node<'h> {
    fn new(host: &'h Host) -> Self {
        host.run("ip link add up0 type veth peer name wire0");
        host.run("ip link set up0 up");
        host.script_plugin("telling", TELLING);
        let pod = host.pod("stays");
        let call = pod.call(CAUSEWAY, &whole_list(9000));
        let stays = (call.clone(), call.add());
        let before = (host.snapshot(), pod.snapshot());
        Self { host, stays, before, pod }
    }

    fn collect(&self) -> harness::call::Outcome {
        self.host.call(CAUSEWAY, &whole_list(9000)).run_gc(&[("id-stays", "eth0")])
    }

    #[track_caller]
    fn is_as_before(&self, when: &str) {
        nothing_stays(&self.before, &self.pod, when);
        let (call, result) = &self.stays;
        call.check(result).silence();
    }
}

/// Attaches so many containers to the whole list; the ports of the host are each one's own.
fn attach<'h>(host: &'h Host, count: u16) -> Vec<Pod<'h>> {
    let attach = |number| {
        let pod = host.pod(&format!("p{number}"));
        pod.call(CAUSEWAY, &whole_list(10_000 + 10 * number)).add();
        pod
    };
    (0..count).map(attach).collect()
}

/// A list without a bridge: a macvlan, which is a link in the container's namespace alone.
fn macvlan() -> Value {
    let entry = json!({"type": "macvlan", "master": "up0",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]]}});
    let mut list = fused(&[entry, json!({"type": "tuning", "mtu": 1400})]);
    merge(&mut list, json!({"cniVersion": newest(), "name": "testnet"}));
    list
}

#[test]
fn of_every_kind_at_once() {
    let host = Host::new();
    let node = Node::new(&host);
    let pods = attach(&host, 12);
    // Of some the namespace is gone, and of some the host's link as well.
    for pod in &pods[..3] {
        pod.destroy();
    }
    pods[3].run("ip link del eth0");
    let inside = host.pod("inside");
    inside.call(CAUSEWAY, &macvlan()).add();
    let foreign = host.pod("foreign");
    let mut list = whole_list(8000);
    list["plugins"].as_array_mut().unwrap().push(json!({"type": "telling"}));
    foreign.call(CAUSEWAY, &list).add();
    assert!(inside.link_names().contains(&"eth0".to_owned()));

    node.collect().silence();
    for pod in pods[3..].iter().chain([&inside, &foreign]) {
        assert_eq!(pod.link_names(), ["lo"], "{}", pod.name);
    }
    assert_eq!(host.read("/run/told"), "id-foreign\n");
    host.run("rm /run/told");
    // The snapshot has the names of namespaces, too.
    pods[3..].iter().chain([&inside, &foreign]).for_each(Pod::end);
    node.is_as_before("GC of every kind");
}

#[test]
fn one_that_cannot_be_removed_keeps_its_record_and_no_other_back() {
    let host = Host::new();
    let node = Node::new(&host);
    let pods = attach(&host, 6);
    // A file that something is mounted on cannot be removed.
    host.write(STUCK, "{}");
    host.run(&format!("mount --bind {STUCK} {STUCK}"));
    let path = "/var/lib/cni/causeway/testnet/id-p2:eth0:causeway";
    let mut record: Value = serde_json::from_str(&host.read(path)).unwrap();
    let resources = record["resources"].as_array_mut().unwrap();
    resources
        .push(json!({"kind": "linkAttributes", "link": "eth0", "wanted": {}, "backup": STUCK}));
    host.write(path, &record.to_string());
    node.collect().fails(107, &[STUCK]);
    let records = host.run("ls /var/lib/cni/causeway/testnet");
    let mut records: Vec<_> = records.lines().collect();
    records.sort_unstable();
    assert_eq!(records, ["id-p2:eth0:causeway", "id-stays:eth0:causeway"]);
    for pod in &pods {
        assert_eq!(pod.link_names(), ["lo"], "{}", pod.name);
    }
    let rules = host.run("nft list ruleset");
    assert!(!rules.contains("testnet/id-p"), "{rules}");
    host.run(&format!("umount {STUCK}"));
    assert_eq!(host.read(STUCK), "{}");
    node.collect().silence();
    pods.iter().for_each(Pod::end);
    node.is_as_before("GC after another");
}

/// GC killed at ever later moments; another finishes it.
#[test]
fn a_killed_one_is_finished_by_another() {
    const KILLS: u32 = 12;
    let host = Host::new();
    let node = Node::new(&host);
    let pods = attach(&host, 5);
    let start = Instant::now();
    node.collect().silence();
    let step = start.elapsed() / KILLS;
    pods.iter().for_each(Pod::end);
    let mut killed = 0;
    for kill in 0..KILLS {
        let pods = attach(&host, 5);
        let call = host.call(CAUSEWAY, &whole_list(9000)).collecting(&[("id-stays", "eth0")]);
        let start = Instant::now();
        let mut child = call.spawn("GC", Stdio::piped());
        while start.elapsed() < step * kill {
            std::thread::sleep(Duration::from_micros(100));
        }
        let _ = child.kill();
        killed += usize::from(await_end(child).status.code().is_none());
        let when = format!("after a kill {:?} into GC and another GC", step * kill);
        node.collect().silence();
        for pod in &pods {
            assert_eq!(pod.link_names(), ["lo"], "{when}: {}", pod.name);
        }
        pods.iter().for_each(Pod::end);
        node.is_as_before(&when);
    }
    assert!(killed > 0, "none of {KILLS} kills hit a running GC");
}

/// Leftovers of pods that are gone, with and without their records.
#[test]
fn leftovers_are_removed_together() {
    let host = Host::new();
    let node = Node::new(&host);
    let pods = attach(&host, 6);
    for pod in &pods[3..] {
        host.run(&format!("rm /var/lib/cni/causeway/testnet/id-{}:eth0:causeway", pod.name));
    }
    pods.iter().for_each(Pod::end);
    let person = Person::on(&host);
    let done = person.json("repair --leftovers");
    let done = done["done"].as_array().unwrap();
    for pod in &pods {
        let of_pod = format!("testnet/id-{}/eth0", pod.name);
        let deed = done.iter().find(|deed| deed["what"].as_str().unwrap().contains(&of_pod));
        assert!(deed.is_some_and(|deed| deed["failure"].is_null()), "{of_pod}: {done:#?}");
    }
    // While there was a link of theirs, those without a record might have been alive.
    person.json("repair --leftovers");
    // The index of leases is made anew by whoever changes them next.
    node.collect().silence();
    node.is_as_before("leftovers are gone");
}
