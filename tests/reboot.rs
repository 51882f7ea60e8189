//! After a reboot the leases and records of pods that are gone belong to nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::{bridge, everything, merge};
use harness::person::Person;
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

/// What a reboot leaves of a node: files, of which none speaks of anything that is alive.
fn rebooted(host: &Host, config: &Value) {
    for name in ["old", "older"] {
        let pod = host.pod(name);
        pod.call(BRIDGE, config).add();
        // A kernel that has booted has no links of these.
        pod.end();
    }
    reboot(host);
    host.run("ip link del br0");
    host.run("nft flush ruleset");
}

#[track_caller]
fn has_nothing_of_before(host: &Host, how: &str) {
    let left = host.snapshot();
    for of in ["id-old", "/networks/testnet/10.", "/networks/testnet/fd"] {
        assert_eq!(left.files(of), Vec::<&str>::new(), "{how}");
    }
}

#[test]
fn gc_takes_the_leases_and_records_of_an_earlier_boot() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    rebooted(&host, &everything());
    host.call(BRIDGE, &everything()).gc(&[]);
    has_nothing_of_before(&host, "after GC");
    let new = host.pod("new");
    let call = new.call(BRIDGE, &everything());
    let result = call.add();
    call.check(&result).silence();
    host.call(BRIDGE, &everything()).gc(&[("id-new", "eth0")]);
    call.check(&result).silence();
}

#[test]
fn doctor_takes_the_leases_and_records_of_an_earlier_boot() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    rebooted(&host, &everything());
    let alive = host.pod("new");
    let call = alive.call(BRIDGE, &everything());
    let result = call.add();
    let person = Person::on(&host);
    let told = person.causeway("doctor");
    assert!(told.stdout.contains("a record of before the last boot"), "{told}");
    let mended = person.causeway("doctor --fix");
    assert_eq!(mended.status, Some(0), "{mended}");
    let left = host.snapshot();
    assert_eq!(left.files("/causeway/testnet/id-old"), Vec::<&str>::new(), "after doctor --fix");
    let leases = [left.files("/networks/testnet/10."), left.files("/networks/testnet/fd")];
    assert_eq!(leases.map(|leases| leases.len()), [1, 1], "after doctor --fix: the living pod's");
    call.check(&result).silence();
    let again = person.causeway("doctor");
    assert!(!again.stdout.contains("boot"), "{again}");
    // What stands beside the leases is made anew by the next call that writes.
    host.pod("newer").call(BRIDGE, &everything()).add();
    assert_eq!(host.snapshot().files("id-old"), Vec::<&str>::new());
}

/// The leases were on a disk that forgets, the records were not.
#[test]
fn a_data_directory_that_is_gone_after_a_reboot() {
    if testing_reference() {
        return;
    }
    let host = Host::new();
    let mut config = everything();
    merge(&mut config["ipam"], json!({"dataDir": "/run/leases"}));
    host.run("mkdir /run/leases");
    host.run("mount -t tmpfs tmpfs /run/leases");
    let first = host.pod("first");
    let first_call = first.call(BRIDGE, &config);
    first_call.add();
    first.destroy();
    rebooted(&host, &config);
    host.run("umount /run/leases");
    let (new, newer) = (host.pod("new"), host.pod("newer"));
    let call = new.call(BRIDGE, &config);
    let result = call.add();
    assert_eq!(result["ips"][0]["address"], "10.88.0.2/24", "nobody has it any more");
    // What was its own once is another's now.
    first_call.del();
    call.check(&result).silence();
    let other = newer.call(BRIDGE, &config);
    assert_ne!(other.add()["ips"][0]["address"], result["ips"][0]["address"]);
    host.call(BRIDGE, &config).gc(&[("id-new", "eth0"), ("id-newer", "eth0")]);
    call.check(&result).silence();
    assert_eq!(host.snapshot().files("id-old"), Vec::<&str>::new());
    assert!(new.reaches("10.88.0.1"));
}
