//! host-device with hardware: the network card that scripts/vmtest gives a guest. When the namespace
//! that it is in ends, the kernel gives it to the machine's first one, so that is the host here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::{Call, Plugin};
use harness::devices::host_device;
use harness::{Host, Pod};
use serde_json::{Value, json};

const DEVICE: Plugin = Plugin::Causeway("host-device");
/// The card's hardware address, as scripts/vmtest has it.
const MAC: &str = "52:54:00:ca:05:e1";
/// Leads into the machine's first namespace.
const FIRST: &str = "nsenter --net=/proc/1/ns/net";

/// A link of the first namespace by hardware address.
fn card(host: &Host) -> Option<Value> {
    let links = host.json(&format!("{FIRST} ip -j -d link"));
    links.as_array().unwrap().iter().find(|link| link["address"] == MAC).cloned()
}

/// A call made from the first namespace, with its devices below /sys.
fn call<'h>(pod: &Pod<'h>, keys: &Value) -> Call<'h> {
    let there = format!("{FIRST} unshare --mount sh -c 'mount -t sysfs none /sys && exec \"$0\"'");
    pod.call(DEVICE, &host_device(keys.clone())).ifname("net1").by(&there)
}

#[track_caller]
fn assert_home(host: &Host, when: &str) {
    let card = card(host).unwrap_or_else(|| panic!("{when}: the card is not on the host"));
    assert_eq!(card["ifname"], "eth0", "{when}");
    assert!(card.get("ifalias").is_none(), "{when}: {card}");
    assert!(host.snapshot().files(":net1:").is_empty(), "{when}");
}

/// One test, for there is one card.
#[test]
fn a_card_comes_back_whatever_becomes_of_the_namespace() {
    let host = Host::new();
    host.run("modprobe virtio_net");
    host.wait("the card has its driver", |host| card(host).is_some());
    let found = card(&host).unwrap();
    assert_eq!(found["ifname"], "eth0", "this is no guest of scripts/vmtest");
    let virtio = found["parentdev"].as_str().expect("the card's device").to_owned();
    let path = host.run(&format!("readlink -f /sys/bus/virtio/devices/{virtio}"));
    let pci = path.trim().rsplit('/').nth(1).expect("a PCI device").to_owned();
    let kernelpath = path.trim();

    for keys in [
        json!({"runtimeConfig": {"deviceID": pci}}),
        json!({"hwaddr": MAC}),
        json!({"kernelpath": kernelpath}),
    ] {
        let pod = host.pod("blue");
        let ours = call(&pod, &keys);
        let result = ours.add();
        let link = pod.json("ip -j link show net1");
        assert_eq!((&link[0]["address"], &link[0]["ifalias"]), (&json!(MAC), &json!("eth0")));
        let told = result["interfaces"][0].get("pciID");
        let by_pci = keys.get("runtimeConfig").is_some();
        assert_eq!(told, by_pci.then_some(&json!(pci)), "{keys}");
        let green = host.pod("green");
        call(&green, &keys).run("ADD").fails(103, &["testnet/id-blue/net1"]);
        green.destroy();
        ours.check(&result).silence();
        ours.del();
        assert_home(&host, &format!("{keys}: after DEL"));

        // The kernel is still at ending the namespace when DEL comes.
        ours.add();
        pod.destroy();
        ours.del();
        assert_home(&host, &format!("{keys}: after DEL without a namespace"));
    }

    let keys = json!({"pciBusID": pci});
    let pod = host.pod("blue");
    let ours = call(&pod, &keys);
    ours.add();
    pod.destroy();
    host.wait("the kernel gives the card back", |host| card(host).is_some());
    ours.run_gc(&[]).silence();
    assert_home(&host, "after GC");

    // Both names are taken by then.
    let pod = host.pod("blue");
    let ours = call(&pod, &keys);
    ours.add();
    host.run(&format!("{FIRST} ip link add eth0 type dummy"));
    host.run(&format!("{FIRST} ip link add net1 type dummy"));
    pod.destroy();
    host.wait("the kernel gives the card back", |host| card(host).is_some());
    let name = card(&host).unwrap()["ifname"].as_str().unwrap().to_owned();
    ours.run("DEL").fails(107, &["eth0", &name, "rename or remove"]);
    host.run(&format!("{FIRST} ip link del eth0"));
    ours.del();
    assert_home(&host, "after the name was free again");
    host.run(&format!("{FIRST} ip link del net1"));

    // Somebody holds the namespace who is not in it.
    let pod = host.pod("blue");
    let ours = call(&pod, &keys);
    ours.add();
    let held = host.inside(|| std::fs::File::open(&pod.path).unwrap());
    pod.destroy();
    ours.run("DEL").fails(107, &["eth0", "not come back", "holds it"]);
    drop(held);
    ours.del();
    assert_home(&host, "after the namespace was let go");
    host.run("modprobe -r virtio_net");
}
