//! After a reboot the leases and records of pods that are gone belong to nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::{bridge, everything};
use harness::{Host, testing_reference};
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");

/// The host has booted again, as far as the boot ID tells.
fn reboot(host: &Host) {
    host.write("/run/boot-id", "11111111-2222-3333-4444-555555555555\n");
    host.run("mount --bind /run/boot-id /proc/sys/kernel/random/boot_id");
}

/// A network with room for one pod.
fn narrow() -> Value {
    bridge(json!({
        "isGateway": true, "ipMasq": true, "ipam": {"type": "host-local", "subnet": "10.88.0.0/30"}
    }))
}

#[test]
fn a_full_range_gives_the_leases_of_an_earlier_boot_again() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let (old, new) = (host.pod("old"), host.pod("new"));
    old.call(BRIDGE, &narrow()).add();
    old.destroy();
    new.call(BRIDGE, &narrow()).run("ADD").fails(101, &["10.88.0.0/30"]);
    reboot(&host);
    host.run("ip link del br0");
    host.run("nft flush ruleset");
    let call = new.call(BRIDGE, &narrow());
    let result = call.add();
    assert_eq!(result["ips"][0]["address"], "10.88.0.2/30");
    call.check(&result).silence();
    // The old pod's DEL comes late; it must not take from the new one what was its own once.
    old.call(BRIDGE, &narrow()).del();
    call.check(&result).silence();
    assert!(new.reaches("10.88.0.1"));
}

/// A pod whose namespace is there is alive, whatever the boot ID says.
#[test]
fn a_full_range_keeps_the_leases_of_pods_that_are_there() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let (old, new) = (host.pod("old"), host.pod("new"));
    old.call(BRIDGE, &narrow()).add();
    reboot(&host);
    new.call(BRIDGE, &narrow()).run("ADD").fails(101, &["10.88.0.0/30"]);
}

/// A lease without a record is of another program's making, which only its runtime can judge.
#[test]
fn a_full_range_keeps_the_leases_of_others() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let new = host.pod("new");
    host.write("/var/lib/cni/networks/testnet/10.88.0.2", "id-other\r\neth0");
    reboot(&host);
    new.call(BRIDGE, &narrow()).run("ADD").fails(101, &["10.88.0.0/30"]);
}

/// The runtime starts the pod anew after the reboot, under the same container ID.
#[test]
fn the_same_attachment_is_made_again_after_a_reboot() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    pod.call(BRIDGE, &everything()).add();
    pod.destroy();
    reboot(&host);
    host.run("ip link del br0");
    host.run("nft flush ruleset");
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &everything());
    let result = call.add();
    call.check(&result).silence();
    let leases = host.snapshot();
    assert_eq!(leases.files("/networks/testnet/10.").len(), 1, "the old lease is given back");
    call.del();
    assert!(host.snapshot().files("id-blue").is_empty());
}
