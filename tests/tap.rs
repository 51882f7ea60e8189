//! tap: devices that a program of the right user can open, with addresses, in a bridge, and gone
//! with DEL. Debian packages no reference plugin of this type, so what it would make is written here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::process::{Command, Output};

use harness::call::{Call, Plugin};
use harness::config::{merge, newest};
use harness::devices::{dual_ipam, in_pod, is_up, v4_ipam};
use harness::killed::killed_add;
use harness::refusal::{
    ALREADY_ATTACHED, BAD_CONFIG, CHECK_FAILED, KERNEL_REFUSED, MISSING_FEATURE, refuse,
    refuse_late,
};
use harness::snapshot::nothing_stays;
use harness::{Host, Pod};
use nix::mount::{MsFlags, mount};
use serde_json::{Value, json};

const TAP: Plugin = Plugin::Causeway("tap");
const MAC: &str = "0a:58:0a:01:00:05";

fn tap(more: Value) -> Value {
    let mut config = json!({"cniVersion": newest(), "name": "testnet", "type": "tap"});
    merge(&mut config, more);
    config
}

/// Runs a program that has a virtual machine's part, as a user and a group: opens `eth0` with
/// `flags`, and answers what `then` says.
fn machine(pod: &Pod<'_>, user: u32, group: u32, flags: u16, then: &str) -> Output {
    let script = format!(
        r#"
import fcntl, ipaddress, os, select, struct, subprocess, sys, time
os.setgroups([])
fd = os.open("/dev/net/tun", os.O_RDWR)
os.setgid({group}); os.setuid({user})
fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"eth0", {flags} | 0x0002 | 0x1000))
{then}
"#
    );
    pod.inside(|| Command::new("python3").arg("-c").arg(&script).output().unwrap())
}

/// The machine at 10.88.0.1 and fd00:88::1: answers ARP, neighbour solicitations and echo requests
/// until both families were pinged, and says what it saw.
const ANSWERING: &str = r#"
MINE = bytes.fromhex("0a5800000001")
def checksum(data):
    if len(data) % 2: data += b"\0"
    s = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while s >> 16: s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
TARGET = ipaddress.ip_address("fd00:88::1").packed
seen = set()
end = time.time() + 20
while time.time() < end and len(seen) < 2:
    if not select.select([fd], [], [], 0.5)[0]: continue
    f = os.read(fd, 2048)
    kind = f[12:14]
    if kind == b"\x08\x06" and f[20:22] == b"\0\1" and f[38:42] == bytes([10, 88, 0, 1]):
        os.write(fd, f[6:12] + MINE + f[12:20] + b"\0\2" + MINE + f[38:42] + f[22:32])
    elif kind == b"\x08\0" and f[23] == 1 and f[34] == 8:
        icmp = b"\0\0\0\0" + f[38:]
        icmp = icmp[:2] + struct.pack("!H", checksum(icmp)) + icmp[4:]
        os.write(fd, f[6:12] + MINE + f[12:26] + f[30:34] + f[26:30] + icmp)
        seen.add(4)
    elif kind == b"\x86\xdd" and f[20] == 58:
        src, dst, body = f[22:38], f[38:54], f[54:]
        if body[0] == 135 and body[8:24] == TARGET and src != bytes(16):
            reply = b"\x88\0\0\0\x60\0\0\0" + body[8:24] + b"\2\1" + MINE
        elif body[0] == 128 and dst == TARGET:
            reply = b"\x81\0\0\0" + body[4:]
            seen.add(6)
        else: continue
        pseudo = TARGET + src + struct.pack("!IHBB", len(reply), 0, 0, 58)
        reply = reply[:2] + struct.pack("!H", checksum(pseudo + reply)) + reply[4:]
        os.write(fd, f[6:12] + MINE + kind + f[14:18] + struct.pack("!HBB", len(reply), 58, 255) + TARGET + src + reply)
print(sorted(seen))
"#;

#[test]
fn a_machine_that_opens_it_is_reached() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = tap(json!({"owner": 1234, "ipam": dual_ipam(), "mac": MAC}));
    let call = pod.call(TAP, &config);
    let result = call.add();
    assert_eq!(result["ips"][0]["address"], "10.88.0.2/24");
    assert_eq!(result["ips"][1]["interface"], 0);
    call.check(&result).silence();
    std::thread::scope(|scope| {
        let machine = scope.spawn(|| machine(&pod, 1234, 1234, 0, ANSWERING));
        host.wait("the machine is reached", |_| {
            pod.reaches("10.88.0.1") && pod.reaches("fd00:88::1")
        });
        let said = machine.join().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), "[4, 6]\n", "{said:?}");
    });
    call.check(&result).silence();
    call.del();
    assert_eq!(pod.link_names(), ["lo"]);
    assert!(host.snapshot().files("id-blue").is_empty());
}

#[test]
fn every_key_does_what_it_says() {
    let host = Host::new();
    let pod = host.pod("blue");
    pod.run("ip link add br0 type bridge");
    let before = (host.snapshot(), pod.snapshot());
    let info = |link: &Value, key: &str| link["linkinfo"]["info_data"][key].clone();
    // Users come by name or number.
    let id = |link: &Value, key: &str| info(link, key).to_string().replace('"', "");
    type Look<'a> = &'a dyn Fn(&Value);
    let rows: &[(Value, Look<'_>)] = &[
        (json!({}), &|link| {
            assert_eq!(info(link, "type"), "tap");
            assert_eq!(info(link, "persist"), true);
            assert_eq!(info(link, "multi_queue"), false);
            assert_eq!((info(link, "pi"), info(link, "vnet_hdr")), (json!(false), json!(false)));
            assert_eq!((info(link, "user"), info(link, "group")), (Value::Null, Value::Null));
            assert_eq!(link["mtu"], 1500);
        }),
        (json!({"multiQueue": true}), &|link| assert_eq!(info(link, "multi_queue"), true)),
        (json!({"owner": 1234}), &|link| assert_eq!(id(link, "user"), "1234")),
        (json!({"group": 4321}), &|link| assert_eq!(id(link, "group"), "4321")),
        (json!({"owner": 0, "group": 4321}), &|link| {
            assert_eq!(id(link, "group"), "4321");
            assert!(["0", "root"].contains(&id(link, "user").as_str()));
            assert_eq!(info(link, "vnet_hdr"), true);
        }),
        (json!({"mtu": 1400}), &|link| assert_eq!(link["mtu"], 1400)),
        (json!({"mac": MAC}), &|link| assert_eq!(link["address"], MAC)),
        (json!({"mac": "0a:00:00:00:00:09", "runtimeConfig": {"mac": MAC}}), &|link| {
            assert_eq!(link["address"], MAC);
        }),
        (json!({"owner": 1, "group": 2, "mtu": 9000, "mac": MAC, "multiQueue": true}), &|link| {
            assert_eq!((&link["mtu"], &link["address"]), (&json!(9000), &json!(MAC)));
            assert_eq!(info(link, "multi_queue"), true);
        }),
        // The last, for it changes the bridge.
        (json!({"bridge": "br0"}), &|link| assert_eq!(link["master"], "br0")),
    ];
    for (keys, look) in rows {
        let call = pod.call(TAP, &tap(keys.clone()));
        let result = call.add();
        let link = in_pod(&pod, "eth0");
        look(&link);
        assert!(is_up(&link), "{keys}");
        let expected =
            json!([{"name": "eth0", "mac": link["address"], "sandbox": "/run/netns/blue"}]);
        assert_eq!(result["interfaces"], expected, "{keys}");
        call.check(&result).silence();
        call.del();
        call.del();
        if keys.get("bridge").is_none() {
            nothing_stays(&before, &pod, &keys.to_string());
        }
        assert_eq!(pod.link_names(), ["lo", "br0"]);
    }
    let call = pod.call(TAP, &tap(json!({"mac": "0a:00:00:00:00:09"})));
    let result = call.clone().env("CNI_ARGS", &format!("MAC={MAC}")).add();
    assert_eq!(result["interfaces"][0]["mac"], MAC);
    call.del();
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let call = pod.call(TAP, &tap(json!({"cniVersion": version, "ipam": v4_ipam()})));
        assert_eq!(call.add()["cniVersion"], version);
        call.del();
    }
    host.call(TAP, &tap(json!({}))).run("STATUS").silence();
}

#[test]
fn only_its_owner_may_open_it() {
    let host = Host::new();
    let pod = host.pod("blue");
    let opens = |user, group, flags| machine(&pod, user, group, flags, "").status.success();
    let call = |keys: Value| pod.call(TAP, &tap(keys));
    let attached = call(json!({"owner": 1234, "group": 4321}));
    attached.add();
    assert!(opens(1234, 4321, 0));
    assert!(!opens(1234, 1, 0) && !opens(1, 4321, 0) && !opens(1, 1, 0));
    assert!(!opens(1234, 4321, 0x0100), "it has one queue");
    attached.del();
    let attached = call(json!({"owner": 1234, "multiQueue": true}));
    attached.add();
    assert!(opens(1234, 1, 0x0100) && !opens(1, 1, 0x0100) && !opens(1234, 1, 0));
    attached.del();
    // Nobody in particular: whoever may do everything.
    let attached = call(json!({}));
    attached.add();
    assert!(opens(1, 1, 0), "the kernel asks only where there is an owner");
    attached.del();
}

#[test]
fn check_finds_what_is_lost() {
    let host = Host::new();
    let pod = host.pod("blue");
    pod.run("ip link add br0 type bridge");
    let config = tap(json!({"mac": MAC, "mtu": 1400, "bridge": "br0", "ipam": v4_ipam()}));
    let call = pod.call(TAP, &config);
    let result = call.add();
    call.check(&result).silence();
    for (spoil, mend, word) in [
        ("ip link set eth0 nomaster", "ip link set eth0 master br0", "br0"),
        ("ip link set eth0 mtu 1300", "ip link set eth0 mtu 1400", "1300"),
        ("ip link set eth0 address 0a:00:00:00:00:01", "", "0a:00:00:00:00:01"),
        ("ip addr flush dev eth0", "", "10.88.0.2/24"),
        ("ip link set eth0 down", "", "down"),
        ("ip link del eth0", "", "eth0"),
    ] {
        pod.run(spoil);
        call.check(&result).fails(CHECK_FAILED, &[word]);
        if !mend.is_empty() {
            pod.run(mend);
        }
    }
    call.del();
    assert!(host.snapshot().files("id-blue").is_empty());
}

#[test]
fn bad_configurations_are_refused() {
    let host = Host::new();
    let pod = host.pod("blue");
    pod.run("ip link add none type veth peer name other");
    let rows: &[(Value, &[&str])] = &[
        (json!({"mtu": 67}), &["mtu", "67"]),
        (json!({"mtu": -1}), &["mtu", "-1"]),
        (json!({"mtu": 65522}), &["mtu", "65522"]),
        (json!({"mtu": "1400"}), &["mtu"]),
        (json!({"mac": "here"}), &["mac", "here"]),
        (json!({"mac": "01:00:5e:00:00:01"}), &["mac", "unicast"]),
        (json!({"runtimeConfig": {"mac": "x"}}), &["runtimeConfig.mac"]),
        (json!({"owner": -1}), &["owner"]),
        (json!({"owner": "root"}), &["owner"]),
        (json!({"owner": 4294967295u32}), &["owner"]),
        (json!({"group": 4294967296u64}), &["group"]),
        (json!({"multiQueue": 1}), &["multiQueue"]),
        (json!({"bridge": "a/b"}), &["bridge", "a/b"]),
        (json!({"bridge": "br7"}), &["bridge", "br7", "not in the container"]),
        (json!({"bridge": "none"}), &["bridge", "none", "no bridge"]),
        (json!({"selinuxContext": "a\nb"}), &["selinuxContext"]),
        (
            json!({"mtu": 1279, "ipam": {"type": "host-local", "ranges": [[{"subnet": "fd00::/64"}]]}}),
            &["mtu", "1279", "1280"],
        ),
    ];
    for (keys, words) in rows {
        let call = pod.call(TAP, &tap(keys.clone()));
        refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], words);
    }
    pod.run("ip link add eth0 type bridge");
    let call = pod.call(TAP, &tap(json!({})));
    refuse_late(&pod, &call, "ADD", &[ALREADY_ATTACHED], &["eth0"]);
    pod.run("ip link del eth0");
    let mut ipam = v4_ipam();
    ipam["routes"] = json!([{"dst": "10.99.0.0/16", "gw": "192.0.2.1"}]);
    let call = pod.call(TAP, &tap(json!({"ipam": ipam})));
    refuse_late(&pod, &call, "ADD", &[KERNEL_REFUSED], &["10.99.0.0/16"]);
}

#[test]
fn without_the_device_that_makes_them_the_error_says_so() {
    let host = Host::new();
    let pod = host.pod("blue");
    // A first call makes what calls share.
    let call = pod.call(TAP, &tap(json!({})));
    call.add();
    call.del();
    let selinux = host.read("/proc/filesystems").contains("selinuxfs");
    if !selinux {
        let call = pod.call(TAP, &tap(json!({"selinuxContext": "system_u:system_r:x_t:s0"})));
        refuse(&pod, &call, "ADD", &[MISSING_FEATURE], &["SELinux", "selinuxContext"]);
        call.run("STATUS").fails(50, &["SELinux"]);
    }
    host.inside(|| {
        let none: Option<&str> = None;
        mount(Some("tmpfs"), "/dev/net", Some("tmpfs"), MsFlags::empty(), none).unwrap();
    });
    refuse(&pod, &call, "ADD", &[MISSING_FEATURE], &["/dev/net/tun", "CONFIG_TUN"]);
    call.run("STATUS").fails(50, &["/dev/net/tun"]);
    // A file that is no such device.
    host.write("/dev/net/tun", "");
    refuse(&pod, &call, "ADD", &[MISSING_FEATURE], &["/dev/net/tun"]);
    // It can be detached all the same.
    call.del();
}

#[test]
fn whatever_a_kill_leaves_goes_with_del_and_gc() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = tap(json!({"ipam": v4_ipam(), "owner": 1}));
    let call = pod.call(TAP, &config);
    call.add();
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    let mut made = 0;
    let answers: [&dyn Fn(&Call<'_>); 2] =
        [&|call| call.del(), &|_| host.call(TAP, &config).gc(&[])];
    for answer in answers {
        for name in ["ioctl", "/^rename", "setns", "sendto", "close"] {
            let mut nth = 1;
            while killed_add(&host, &call, TAP, name, nth) {
                made += u32::from(pod.link_names().len() > 1);
                answer(&call);
                let when = format!("after a kill at {name} number {nth}");
                assert_eq!(pod.link_names(), ["lo"], "{when}");
                host.call(TAP, &config).gc(&[]);
                nothing_stays(&before, &pod, &when);
                nth += 1;
            }
            call.del();
        }
    }
    assert!(made > 5, "only {made} kills found the device made");
}

#[test]
fn a_namespace_that_is_gone_and_a_list_in_one() {
    let host = Host::new();
    let pod = host.pod("blue");
    let list = json!({"cniVersion": "1.1.0", "name": "testnet", "type": "causeway", "plugins": [
        {"type": "tap", "ipam": v4_ipam()},
        {"type": "tuning", "mtu": 1400},
        {"type": "sbr"}
    ]});
    let call = pod.call(Plugin::Causeway("causeway"), &list);
    let result = call.add();
    assert_eq!(in_pod(&pod, "eth0")["mtu"], 1400);
    call.check(&result).silence();
    call.del();
    assert_eq!(pod.link_names(), ["lo"]);
    let call = pod.call(TAP, &tap(json!({"ipam": v4_ipam()})));
    call.add();
    pod.destroy();
    call.del();
    assert!(host.snapshot().files("id-blue").is_empty());
    assert!(host.snapshot().files("/networks/testnet/10.").is_empty());
}
