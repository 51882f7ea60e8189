//! DEL takes away what is left, whatever has gone before, and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::{Call, Plugin};
use harness::config::everything;
use harness::snapshot::Snapshot;
use harness::{Host, Pod};
use serde_json::Value;

const BRIDGE: Plugin = Plugin::Causeway("bridge");

/// An attachment with everything in use, beside another that must not be touched.
struct Beside<'h> {
    host: &'h Host,
    pod: Pod<'h>,
    other: Pod<'h>,
    other_result: Value,
    alone: (Snapshot, Snapshot),
}

impl<'h> Beside<'h> {
    fn new(host: &'h Host) -> Self {
        let other = host.pod("green");
        let other_result = other.call(BRIDGE, &everything()).add();
        let alone = (host.snapshot(), other.snapshot());
        let pod = host.pod("blue");
        pod.call(BRIDGE, &everything()).add();
        Self { host, pod, other, other_result, alone }
    }

    fn call(&self) -> Call<'h> {
        Call::new(self.host, BRIDGE, &everything())
            .id("id-blue")
            .ifname("eth0")
            .netns(&self.pod.path)
    }

    /// The other attachment is as it was before this one came, and nothing else is there.
    #[track_caller]
    fn only_the_other_is_left(&self, when: &str) {
        let same = |a: &Snapshot, b: &Snapshot, place: &str| {
            a.without_shared_files()
                .assert_same(&b.without_shared_files(), &format!("{when}, {place}"));
        };
        same(&self.alone.0, &self.host.snapshot(), "on the host");
        same(&self.alone.1, &self.other.snapshot(), "in the other pod");
        self.other.call(BRIDGE, &everything()).check(&self.other_result).silence();
        assert!(self.other.reaches("10.88.0.1"), "{when}, the other pod reaches its gateway");
    }
}

#[test]
fn del_twice() {
    let host = Host::new();
    let beside = Beside::new(&host);
    beside.call().del();
    beside.only_the_other_is_left("after DEL");
    beside.call().del();
    beside.only_the_other_is_left("after another DEL");
    assert_eq!(beside.pod.link_names(), ["lo"]);
}

#[test]
fn del_without_netns() {
    let host = Host::new();
    let beside = Beside::new(&host);
    beside.call().without("CNI_NETNS").del();
    beside.only_the_other_is_left("after DEL without CNI_NETNS");
    assert_eq!(beside.pod.link_names(), ["lo"]);
}

#[test]
fn del_with_an_empty_netns() {
    let host = Host::new();
    let beside = Beside::new(&host);
    beside.call().env("CNI_NETNS", "").del();
    beside.only_the_other_is_left("after DEL with an empty CNI_NETNS");
}

#[test]
fn del_after_the_namespace_is_gone() {
    let host = Host::new();
    let beside = Beside::new(&host);
    beside.pod.destroy();
    beside.call().del();
    beside.only_the_other_is_left("after DEL of a pod that is gone");
}

/// The path is there but no namespace is mounted on it any more, as after a reboot.
#[test]
fn del_after_the_namespace_became_a_plain_file() {
    let host = Host::new();
    let beside = Beside::new(&host);
    beside.pod.destroy();
    host.write("/run/netns/blue", "");
    beside.call().del();
    beside.only_the_other_is_left("after DEL with a plain file as CNI_NETNS");
}

#[test]
fn del_without_a_record() {
    let host = Host::new();
    let beside = Beside::new(&host);
    let records =
        host.snapshot().files("/causeway").iter().filter(|p| p.contains("id-blue")).count();
    assert!(records > 0, "a record of the attachment is below /var/lib/cni/causeway or /run");
    for path in host.snapshot().files("/causeway") {
        if path.contains("id-blue") {
            host.run(&format!("rm {path}"));
        }
    }
    beside.call().del();
    beside.only_the_other_is_left("after DEL without a record");
    assert_eq!(beside.pod.link_names(), ["lo"]);
}

#[test]
fn del_without_record_and_netns() {
    let host = Host::new();
    let beside = Beside::new(&host);
    for path in host.snapshot().files("/causeway") {
        if path.contains("id-blue") {
            host.run(&format!("rm {path}"));
        }
    }
    beside.call().without("CNI_NETNS").del();
    beside.only_the_other_is_left("after DEL without a record and without CNI_NETNS");
    assert_eq!(beside.pod.link_names(), ["lo"]);
}

#[test]
fn del_without_state_on_disk() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &everything());
    call.add();
    host.run("rm -r /var/lib/cni");
    call.del();
    assert_eq!(pod.link_names(), ["lo"]);
    assert_eq!(host.link_names(), ["lo", "br0"]);
    assert!(host.nft_elements().is_empty(), "elements stay: {:?}", host.nft_elements());
}

#[test]
fn del_with_a_previous_result() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &everything());
    let result = call.add();
    call.clone().key("prevResult", &result).del();
    assert_eq!(pod.link_names(), ["lo"]);
    assert_eq!(host.link_names(), ["lo", "br0"]);
}

#[test]
fn del_after_the_links_are_gone() {
    let host = Host::new();
    let beside = Beside::new(&host);
    beside.pod.run("ip link del eth0");
    beside.call().del();
    beside.only_the_other_is_left("after DEL of an attachment without links");
}

#[test]
fn del_after_the_bridge_is_gone() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &everything());
    call.add();
    host.run("ip link del br0");
    call.del();
    assert_eq!(pod.link_names(), ["lo"]);
    assert_eq!(host.link_names(), ["lo"]);
}

#[test]
fn del_of_what_never_was_changes_nothing() {
    let host = Host::new();
    let pod = host.pod("blue");
    let before = (host.snapshot(), pod.snapshot());
    pod.call(BRIDGE, &everything()).del();
    before
        .0
        .without_shared_files()
        .assert_same(&host.snapshot().without_shared_files(), "on the host");
    before.1.assert_same(&pod.snapshot(), "in the pod");
}

/// The specification says that DEL deletes the interface CNI_IFNAME, and runtimes count on it.
#[test]
fn del_removes_an_interface_that_nobody_knows() {
    let host = Host::new();
    let pod = host.pod("blue");
    let before = pod.snapshot();
    pod.run("ip link add eth0 type veth peer eth9");
    pod.call(BRIDGE, &everything()).del();
    before.assert_same(&pod.snapshot(), "after DEL");
}

#[test]
fn a_second_add_is_refused_and_harms_nothing() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &everything());
    let result = call.add();
    let before = (host.snapshot(), pod.snapshot());
    call.run("ADD").fails(103, &["eth0"]);
    before
        .0
        .without_last_reserved()
        .assert_same(&host.snapshot().without_last_reserved(), "on the host");
    before.1.assert_same(&pod.snapshot(), "in the pod");
    call.check(&result).silence();
    assert!(pod.reaches("10.88.0.1"));
}

#[test]
fn add_works_again_after_del() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &everything());
    for round in 0..3 {
        let result = call.add();
        call.check(&result).silence();
        let address = format!("10.88.0.{}/24", round + 2);
        assert_eq!(result["ips"][0]["address"], address, "leases go round");
        call.del();
    }
}
