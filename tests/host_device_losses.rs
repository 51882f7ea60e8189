//! host-device when something was lost: the namespace, its path, the record, the alias, the process
//! itself. Whatever it is, the host gets its device back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::process::{Child, Command, Stdio};

use harness::call::{Call, Plugin, await_end};
use harness::devices::{
    MAC, assert_home, host_device, in_pod, is_up, on_host, plug, v4_ipam, wired,
};
use harness::killed::killed_add;
use harness::refusal::{ALREADY_ATTACHED, KERNEL_REFUSED};
use harness::{Host, Pod};
use serde_json::{Value, json};

const DEVICE: Plugin = Plugin::Causeway("host-device");
const RECORD: &str = "/var/lib/cni/causeway/testnet/id-blue:eth0:host-device";

fn config() -> Value {
    host_device(json!({"device": "dev0", "ipam": v4_ipam()}))
}

/// A process that stays in the pod until it is dropped.
struct Resident(Child);

impl Resident {
    fn of(pod: &Pod<'_>) -> Self {
        Self(pod.inside(|| Command::new("sleep").arg("600").spawn().unwrap()))
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn attached<'h>(pod: &Pod<'h>) -> Call<'h> {
    let call = pod.call(DEVICE, &config());
    call.add();
    call
}

#[test]
fn a_namespace_without_a_path_gives_it_back_as_long_as_somebody_is_in_it() {
    for without_netns in [false, true] {
        let host = wired();
        let pod = host.pod("blue");
        let call = attached(&pod);
        let resident = Resident::of(&pod);
        pod.destroy();
        let call = if without_netns { call.without("CNI_NETNS") } else { call };
        for _ in 0..2 {
            call.del();
            assert_home(&host, "with the path gone");
        }
        assert!(host.snapshot().files("id-blue").is_empty());
        drop(resident);
    }
}

#[test]
fn a_virtual_device_ends_with_the_namespace() {
    let host = wired();
    let pod = host.pod("blue");
    let call = attached(&pod);
    pod.destroy();
    host.wait("the namespace ends", |host| !host.succeeds("ip link show wire0"));
    call.del();
    assert_eq!(host.link_names(), ["lo"]);
    assert!(host.snapshot().files("id-blue").is_empty());
    // Another one of that name can be attached.
    plug(&host, "dev0", MAC);
    let pod = host.pod("blue");
    attached(&pod).del();
    assert_home(&host, "after DEL");
}

#[test]
fn without_a_record_the_alias_tells() {
    let host = wired();
    let pod = host.pod("blue");
    let call = attached(&pod);
    host.run(&format!("rm {RECORD}"));
    call.del();
    assert_home(&host, "without a record");
    assert!(host.snapshot().files("/networks/testnet/10.").is_empty());
    // What has no alias is somebody else's.
    pod.run("ip link add eth0 type veth peer name other");
    call.run("ADD").fails(ALREADY_ATTACHED, &["eth0"]);
    call.del();
    assert_eq!(pod.link_names().len(), 3);
    assert_home(&host, "after DEL of an ADD that was refused");
}

#[test]
fn without_an_alias_and_under_another_name_the_record_tells() {
    for spoil in [
        &["ip link set eth0 alias other"][..],
        &["ip link set eth0 down", "ip link set eth0 name eth9"],
        &["ip link set eth0 address 0a:00:00:00:00:01", "ip link set eth0 alias x"],
        &[
            "ip link set eth0 alias x",
            "ip link set eth0 down",
            "ip link set eth0 name dev0",
            "ip link add eth0 type bridge",
        ],
    ] {
        let host = wired();
        let pod = host.pod("blue");
        let call = attached(&pod);
        for command in spoil {
            pod.inside(|| {
                let words: Vec<&str> = command.split(' ').collect();
                assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success());
            });
        }
        call.del();
        host.run(&format!("ip link set dev0 address {MAC}"));
        assert_home(&host, &format!("{spoil:?}"));
    }
}

#[test]
fn gc_brings_it_back() {
    let host = wired();
    let pod = host.pod("blue");
    let call = attached(&pod);
    host.call(DEVICE, &config()).gc(&[("id-blue", "eth0")]);
    assert!(pod.reaches("10.88.0.1"));
    host.call(DEVICE, &config()).gc(&[]);
    assert_home(&host, "after GC");
    assert!(host.snapshot().files("id-blue").is_empty());
    // Also of a pod whose path is gone.
    call.add();
    let _resident = Resident::of(&pod);
    pod.destroy();
    host.call(DEVICE, &config()).gc(&[]);
    assert_home(&host, "after GC");
}

#[test]
fn a_failed_add_leaves_it_as_it_was() {
    let host = wired();
    let pod = host.pod("blue");
    let mut ipam = v4_ipam();
    ipam["routes"] = json!([{"dst": "10.99.0.0/16", "gw": "192.0.2.1"}]);
    let call = pod.call(DEVICE, &host_device(json!({"device": "dev0", "ipam": ipam})));
    host.run("ip link set dev0 alias uplink");
    call.run("ADD").fails(KERNEL_REFUSED, &["10.99.0.0/16"]);
    let link = on_host(&host, "dev0");
    assert!(is_up(&link), "{link}");
    assert_eq!(link["ifalias"], "uplink");
    assert!(host.snapshot().files("id-blue").is_empty());
    assert!(host.snapshot().files("/networks/testnet/10.").is_empty());
    assert_eq!(pod.link_names(), ["lo"]);
    // One that was down stays down.
    host.run("ip link set dev0 down");
    call.run("ADD").fails(KERNEL_REFUSED, &["10.99.0.0/16"]);
    assert!(!is_up(&on_host(&host, "dev0")));
}

/// Kills ADD at every system call of a kind, and lets `answer` clean up each time.
fn kill_and(answer: &dyn Fn(&Host, &Call<'_>)) {
    let host = wired();
    let pod = host.pod("blue");
    let call = pod.call(DEVICE, &config());
    let mut moved = 0;
    for name in ["write", "/^rename", "setns", "sendto", "close"] {
        let mut nth = 1;
        while killed_add(&host, &call, DEVICE, name, nth) {
            moved += u32::from(!host.succeeds("ip link show dev0"));
            answer(&host, &call);
            let when = format!("after a kill at {name} number {nth}");
            assert_home(&host, &when);
            assert_eq!(pod.link_names(), ["lo"], "{when}");
            // A record that was being written goes with the next ADD or GC.
            let left = host.snapshot();
            let left = left.files("id-blue");
            assert!(left.iter().all(|file| file.contains("/.new.")), "{when}: {left:?}");
            nth += 1;
        }
        call.del();
    }
    assert!(moved > 5, "only {moved} kills found the device moved");
}

#[test]
fn a_killed_add_loses_nothing_with_del() {
    kill_and(&|_, call| call.del());
}

#[test]
fn a_killed_add_loses_nothing_with_gc() {
    kill_and(&|host, _| host.call(DEVICE, &config()).gc(&[]));
}

#[test]
fn a_killed_del_loses_nothing() {
    let host = wired();
    let pod = host.pod("blue");
    // With the name taken in the pod there are two ways back.
    for taken in [false, true] {
        if taken {
            pod.run("ip link add dev0 type veth peer name other");
        }
        let call = pod.call(DEVICE, &config());
        for name in ["sendto", "setns", "unlink", "close"] {
            for nth in 1.. {
                call.add();
                let script = format!(
                    "strace -o /dev/null -e trace={name} -e inject={name}:signal=SIGKILL:when={nth}"
                );
                let child = call.clone().by(&script).spawn("DEL", Stdio::piped());
                let ended = await_end(child).status.code().is_some();
                call.del();
                let when = format!("after a kill at {name} number {nth}");
                assert_home(&host, &when);
                assert_eq!(pod.link_names().len(), if taken { 3 } else { 1 }, "{when}");
                if ended {
                    break;
                }
            }
        }
    }
}

#[test]
fn the_link_that_is_left_in_a_pod_is_found_by_del_of_the_pod_alone() {
    let host = wired();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let call = attached(&blue);
    // The other pod has an interface of the same name, and nothing of it is touched.
    green.run("ip link add eth0 type bridge");
    green.call(DEVICE, &config()).del();
    assert_eq!(in_pod(&green, "eth0")["linkinfo"]["info_kind"], "bridge");
    assert!(blue.reaches("10.88.0.1"));
    call.del();
    assert_home(&host, "after DEL");
}
