//! vrf: interfaces in VRFs, with their addresses and routes, until the last one leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::chained::{List as Chain, Side};
use harness::config::{merge, newest};
use harness::killed::killed_add;
use harness::list::{List, with};
use harness::refusal::{BAD_CONFIG, CHECK_FAILED, refuse, refuse_late};
use harness::snapshot::nothing_stays;
use harness::{Host, Pod, require_reference};
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");
const VRF: Plugin = Plugin::Causeway("vrf");
const CAUSEWAY: Plugin = Plugin::Causeway("causeway");

fn vrf(more: Value) -> Value {
    let mut config = json!({"cniVersion": newest(), "name": "testnet", "type": "vrf",
                            "vrfname": "blue"});
    merge(&mut config, more);
    config
}

/// A bridge of both families with a default route and one more.
fn bridge() -> Value {
    json!({"cniVersion": newest(), "name": "testnet", "type": "bridge", "bridge": "br0",
           "isDefaultGateway": true,
           "ipam": {"type": "host-local",
                    "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]],
                    "routes": [{"dst": "10.99.0.0/16"}, {"dst": "fd00:99::/64"}]}})
}

/// The namespace has had a VRF before: the kernel's rule for all of them is there to stay.
fn used(host: &Host) -> Pod<'_> {
    let pod = host.pod("blue");
    pod.run("ip link add warm type vrf table 77");
    pod.run("ip link del warm");
    pod
}

/// Attaches the pod's `ifname` to the bridge; gives the result.
fn attached(pod: &Pod<'_>, ifname: &str) -> Value {
    pod.call(BRIDGE, &bridge()).ifname(ifname).add()
}

fn table_of(pod: &Pod<'_>, name: &str) -> u64 {
    let link = pod.json(&format!("ip -j -d link show {name}"));
    link[0]["linkinfo"]["info_data"]["table"].as_u64().unwrap()
}

fn master_of(pod: &Pod<'_>, ifname: &str) -> Value {
    pod.json(&format!("ip -j link show {ifname}"))[0]["master"].clone()
}

/// The destinations of a table's unicast routes of both families, without link-local ones.
fn routes(pod: &Pod<'_>, table: &str) -> Vec<String> {
    let mut all = Vec::new();
    for family in ["", "-6"] {
        let found = pod.json(&format!("ip -j {family} route show table {table}"));
        for route in found.as_array().unwrap() {
            let to = route["dst"].as_str().unwrap().to_owned();
            if route.get("type").is_none() && !to.starts_with("fe80") && !to.starts_with("ff00") {
                let via = route["gateway"].as_str().map(|via| format!(" via {via}"));
                all.push(format!("{to}{}", via.unwrap_or_default()));
            }
        }
    }
    all.sort();
    all
}

const ALL_ROUTES: [&str; 6] = [
    "10.88.0.0/24",
    "10.99.0.0/16 via 10.88.0.1",
    "default via 10.88.0.1",
    "default via fd00:88::1",
    "fd00:88::/64",
    "fd00:99::/64 via fd00:88::1",
];

#[track_caller]
fn reaches_from(pod: &Pod<'_>, vrf: &str, to: &str) {
    pod.run(&format!("ping -c 1 -W 5 -I {vrf} {to}"));
}

#[test]
fn the_interface_moves_with_addresses_and_routes() {
    let host = Host::new();
    let pod = used(&host);
    let given = attached(&pod, "eth0");
    let before = (host.snapshot(), pod.snapshot());
    let call = with(&pod.call(VRF, &vrf(json!({}))), &given);
    let result = call.add();
    assert_eq!(result["ips"], given["ips"]);
    assert_eq!(result["interfaces"], given["interfaces"]);
    assert_eq!(master_of(&pod, "eth0"), "blue");
    assert_eq!(table_of(&pod, "blue"), 1);
    assert_eq!(routes(&pod, "1"), ALL_ROUTES);
    assert_eq!(routes(&pod, "main"), [""; 0]);
    let addresses = pod.run("ip addr show eth0");
    assert!(addresses.contains("10.88.0.2/24") && addresses.contains("fd00:88::2/64"));
    for to in ["10.88.0.1", "fd00:88::1"] {
        reaches_from(&pod, "blue", to);
    }
    call.check(&result).silence();
    pod.call(BRIDGE, &bridge()).check(&result).silence();
    for _ in 0..2 {
        call.del();
        nothing_stays(&before, &pod, "after DEL");
    }
    assert!(pod.reaches("10.88.0.1") && pod.reaches("fd00:88::1"));
}

/// Addresses that no sysctl keeps, as with other plugins before it.
#[test]
fn addresses_that_the_kernel_takes_away_come_back() {
    let host = Host::new();
    let pod = used(&host);
    let given = attached(&pod, "eth0");
    pod.inside(|| {
        std::fs::write("/proc/sys/net/ipv6/conf/eth0/keep_addr_on_down", "0").unwrap();
        std::fs::write("/proc/sys/net/ipv6/conf/eth0/accept_dad", "1").unwrap();
    });
    pod.run("ip addr add fd00:77::7/64 dev eth0 nodad preferred_lft 0 valid_lft 3000");
    pod.run("ip route add 10.77.0.0/16 dev eth0");
    pod.run("ip route add 10.66.0.0/16 via 10.77.0.1 metric 7 mtu 1300");
    let before = (pod.json("ip -j addr show eth0"), routes(&pod, "main"));
    let call = with(&pod.call(VRF, &vrf(json!({"table": 1000}))), &given);
    let result = call.add();
    let seen = pod.run("ip addr show eth0");
    assert!(seen.contains("fd00:88::2/64") && seen.contains("fd00:77::7/64"), "{seen}");
    assert!(seen.contains("deprecated") && !seen.contains("tentative"), "{seen}");
    assert_eq!(routes(&pod, "1000"), before.1);
    let metric = pod.json("ip -j route show table 1000 10.66.0.0/16");
    assert_eq!(metric[0]["metric"], 7);
    assert_eq!(metric[0]["metrics"][0]["mtu"], 1300);
    reaches_from(&pod, "blue", "fd00:88::1");
    call.check(&result).silence();
    call.del();
    let after = (pod.json("ip -j addr show eth0"), routes(&pod, "main"));
    let addresses = |all: &Value| -> Vec<String> {
        let list = all[0]["addr_info"].as_array().unwrap();
        let mut list: Vec<_> = list.iter().map(|one| one["local"].to_string()).collect();
        list.sort();
        list
    };
    assert_eq!(addresses(&after.0), addresses(&before.0));
    assert_eq!(after.1, before.1);
}

#[test]
fn a_vrf_is_shared_and_goes_with_the_last() {
    let host = Host::new();
    let pod = used(&host);
    let config = vrf(json!({}));
    let calls: Vec<_> = ["eth0", "eth1", "eth2"]
        .iter()
        .map(|ifname| {
            let given = attached(&pod, ifname);
            with(&pod.call(VRF, &config), &given).ifname(ifname)
        })
        .collect();
    let red = with(&pod.call(VRF, &vrf(json!({"vrfname": "red"}))), &attached(&pod, "eth3"))
        .ifname("eth3");
    for call in &calls {
        call.add();
        assert_eq!(table_of(&pod, "blue"), 1);
    }
    // The first table that no VRF has.
    red.add();
    assert_eq!(table_of(&pod, "red"), 2);
    calls[0].del();
    assert_eq!(master_of(&pod, "eth0"), Value::Null);
    assert_eq!(master_of(&pod, "eth1"), "blue");
    calls[2].del();
    calls[0].del();
    assert_eq!(master_of(&pod, "eth1"), "blue");
    calls[1].del();
    assert!(!pod.link_names().contains(&"blue".to_owned()));
    // What the first left is taken again.
    calls[0].add();
    assert_eq!((table_of(&pod, "blue"), table_of(&pod, "red")), (1, 2));
    calls[0].del();
    red.del();
    assert_eq!(pod.link_names().len(), 5);
}

#[test]
fn tables_are_chosen_and_reused() {
    let host = Host::new();
    let pod = used(&host);
    let given = attached(&pod, "eth0");
    let add = |keys: Value| with(&pod.call(VRF, &vrf(keys)), &given);
    // One that was there before goes with its last interface, too.
    pod.run("ip link add blue type vrf table 1234");
    pod.run("ip link set blue up");
    for keys in [json!({"table": 1234}), json!({})] {
        if !pod.link_names().contains(&"blue".to_owned()) {
            pod.run("ip link add blue type vrf table 1234");
            pod.run("ip link set blue up");
        }
        let call = add(keys);
        let result = call.add();
        assert_eq!(table_of(&pod, "blue"), 1234);
        assert_eq!(routes(&pod, "1234"), ALL_ROUTES);
        call.check(&result).silence();
        call.del();
        assert!(!pod.link_names().contains(&"blue".to_owned()));
    }
    // A table that has routes is somebody's.
    pod.run("ip route add 192.0.2.0/24 dev eth0 table 1");
    let call = add(json!({}));
    call.add();
    assert_eq!(table_of(&pod, "blue"), 2);
    call.del();
    let call = add(json!({"table": 4_000_000_000u32}));
    call.add();
    assert_eq!(table_of(&pod, "blue"), 4_000_000_000);
    assert_eq!(routes(&pod, "4000000000"), ALL_ROUTES);
    call.del();
}

#[test]
fn check_finds_what_is_lost() {
    let host = Host::new();
    let pod = used(&host);
    let given = attached(&pod, "eth0");
    let call = with(&pod.call(VRF, &vrf(json!({"table": 10}))), &given);
    let result = call.add();
    call.check(&result).silence();
    for (spoil, mend, word) in [
        ("ip link set eth0 nomaster", "ip link set eth0 master blue", "eth0 is not in VRF blue"),
        ("ip link set blue down", "ip link set blue up", "blue is down"),
        ("ip link del blue", "ip link add blue type vrf table 11", "VRF blue"),
        ("ip link set blue up", "", "11, not 10"),
    ] {
        pod.run(spoil);
        call.check(&result).fails(CHECK_FAILED, &[word]);
        if !mend.is_empty() {
            pod.run(mend);
        }
    }
    call.del();
    let call = with(&pod.call(VRF, &vrf(json!({}))), &given);
    call.run("CHECK").fails(CHECK_FAILED, &["VRF blue"]);
    pod.call(VRF, &vrf(json!({}))).run("CHECK").fails(BAD_CONFIG, &["prevResult"]);
}

#[test]
fn bad_configurations_are_refused() {
    let host = Host::new();
    let pod = used(&host);
    let given = attached(&pod, "eth0");
    pod.run("ip link add red type vrf table 5");
    pod.run("ip link add other type bridge");
    let rows: &[(Value, &[&str])] = &[
        (json!({"vrfname": null}), &["vrfname", "missing"]),
        (json!({"vrfname": ""}), &["vrfname", "missing"]),
        (json!({"vrfname": "a/b"}), &["vrfname", "a/b"]),
        (json!({"vrfname": "a-name-of-16-byte"}), &["vrfname"]),
        (json!({"vrfname": "eth0"}), &["vrfname", "eth0"]),
        (json!({"vrfname": "other"}), &["vrfname", "other", "no VRF"]),
        (json!({"vrfname": "red", "table": 6}), &["table", "red", "5", "6"]),
        (json!({"table": -1}), &["table"]),
        (json!({"table": 4294967296u64}), &["table"]),
        (json!({"table": "10"}), &["table"]),
        (json!({"table": 254}), &["table", "254"]),
    ];
    for (keys, words) in rows {
        let call = with(&pod.call(VRF, &vrf(keys.clone())), &given);
        refuse(&pod, &call, "ADD", &[BAD_CONFIG], words);
    }
    let call = with(&pod.call(VRF, &vrf(json!({}))), &given);
    pod.run("ip link set eth0 master other");
    refuse(&pod, &call, "ADD", &[BAD_CONFIG], &["eth0", "other"]);
    pod.run("ip link set eth0 nomaster");
    refuse_late(
        &pod,
        &with(&pod.call(VRF, &vrf(json!({}))), &given).ifname("eth7"),
        "ADD",
        &[BAD_CONFIG],
        &["eth7", "not in the container"],
    );
    let alone = pod.call(VRF, &vrf(json!({})));
    refuse(&pod, &alone, "ADD", &[BAD_CONFIG], &["prevResult"]);
    let twice = json!({"cniVersion": "1.1.0", "name": "othernet", "type": "causeway", "plugins": [
        {"type": "bridge", "bridge": "br0", "ipam": {"type": "host-local", "subnet": "10.77.0.0/24"}},
        {"type": "vrf", "vrfname": "one"}, {"type": "vrf", "vrfname": "two"}]});
    let call = pod.call(CAUSEWAY, &twice).ifname("eth1");
    refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], &["plugins[2]", "one"]);
}

#[test]
fn a_list_does_what_its_plugins_do_one_by_one() {
    let entries = [
        {
            let mut entry = bridge();
            merge(&mut entry, json!({"cniVersion": null, "name": null}));
            entry
        },
        json!({"type": "vrf", "vrfname": "blue"}),
    ];
    let play = |side: Side| {
        let host = Host::new();
        let pod = used(&host);
        let list = Chain::new(&pod, side, &entries);
        list.del(&list.add());
        let before = (host.snapshot(), pod.snapshot());
        let result = list.add();
        list.check(&result);
        reaches_from(&pod, "blue", "10.88.0.1");
        reaches_from(&pod, "blue", "fd00:88::1");
        let seen = (routes(&pod, "1"), master_of(&pod, "eth0"), table_of(&pod, "blue"));
        list.del(&result);
        nothing_stays(&before, &pod, &format!("{side:?}"));
        let result = list.add();
        pod.destroy();
        list.del(&result);
        assert!(host.snapshot().files("id-blue").is_empty());
        seen
    };
    let (one_by_one, at_once) = (play(Side::Causeway), play(Side::Fused));
    assert_eq!(one_by_one, at_once);
    assert_eq!(one_by_one.0, ALL_ROUTES);
}

#[test]
fn what_a_killed_add_has_moved_is_moved_back() {
    let host = Host::new();
    let pod = used(&host);
    let given = attached(&pod, "eth0");
    let call = with(&pod.call(VRF, &vrf(json!({}))), &given);
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    let mut moved = 0;
    for (name, gc) in [("sendto", false), ("sendto", true), ("/^rename", false), ("close", false)] {
        let mut nth = 1;
        while killed_add(&host, &call, VRF, name, nth) {
            moved += u32::from(pod.link_names().len() > 2);
            if gc {
                host.call(VRF, &vrf(json!({}))).gc(&[]);
            } else {
                call.del();
            }
            host.call(VRF, &vrf(json!({}))).gc(&[]);
            nothing_stays(&before, &pod, &format!("after a kill at {name} number {nth}"));
            nth += 1;
        }
        call.del();
    }
    assert!(moved > 5, "only {moved} kills found something half done");
    // Without a record, by the names alone.
    call.add();
    host.run("rm /var/lib/cni/causeway/testnet/id-blue:eth0:vrf");
    call.del();
    nothing_stays(&before, &pod, "without a record");
}

#[test]
fn beside_the_reference_and_moving_between_both() {
    require_reference();
    let old = json!({"cniVersion": "1.0.0"});
    let play = |plugin: Plugin, keys: &Value| {
        let host = Host::new();
        let pod = used(&host);
        let given = attached(&pod, "eth0");
        let mut config = vrf(old.clone());
        merge(&mut config, keys.clone());
        let call = with(&pod.call(plugin, &config), &given);
        let result = call.add();
        let mut seen = pod.snapshot().0;
        // The other end's name follows from the owner, the bridge's address is random.
        seen.as_object_mut().unwrap().remove("neighbours");
        call.check(&result).silence();
        call.del();
        assert!(!pod.link_names().contains(&"blue".to_owned()));
        (result["ips"].clone(), seen, routes(&pod, "main"))
    };
    for keys in [json!({}), json!({"table": 1000})] {
        let was = play(Plugin::Reference("vrf"), &keys);
        let is = play(VRF, &keys);
        assert_eq!(is.0, was.0);
        let (was_seen, is_seen) =
            (harness::snapshot::Snapshot(was.1), harness::snapshot::Snapshot(is.1));
        let mut differences = was_seen.diff(&is_seen);
        differences.retain(|one| {
            // Random of its own: a VRF's hardware address.
            // Debian's reference plugin moves no routes yet; later ones do.
            let is_later = one.path.starts_with("/routes") && one.left.is_none();
            !(one.path.starts_with("/links/blue/address") || is_later)
        });
        assert!(differences.is_empty(), "{}", harness::snapshot::readable(&differences));
    }

    let host = Host::new();
    let pod = used(&host);
    let given = attached(&pod, "eth0");
    let config = vrf(old);
    let (reference, own) = (
        with(&pod.call(Plugin::Reference("vrf"), &config), &given),
        with(&pod.call(VRF, &config), &given),
    );
    let result = reference.add();
    own.check(&result).silence();
    own.del();
    assert_eq!(master_of(&pod, "eth0"), Value::Null);
    assert!(!pod.link_names().contains(&"blue".to_owned()));
    let result = own.add();
    reference.check(&result).silence();
    reference.del();
    assert!(!pod.link_names().contains(&"blue".to_owned()));
    own.del();
    assert!(host.snapshot().files("id-blue").iter().all(|file| !file.contains("vrf")));
}

#[test]
fn a_host_device_comes_back_out_of_a_vrf() {
    let host = harness::devices::wired();
    let pod = used(&host);
    let list = List::of(
        &pod,
        &[(
            CAUSEWAY,
            json!({"cniVersion": "1.1.0", "name": "testnet", "type": "causeway", "plugins": [
                {"type": "host-device", "device": "dev0", "ipam": harness::devices::dual_ipam()},
                {"type": "vrf", "vrfname": "blue", "table": 7}]}),
        )],
    );
    let result = list.add();
    list.check(&result);
    reaches_from(&pod, "blue", "10.88.0.1");
    reaches_from(&pod, "blue", "fd00:88::1");
    list.del(&result);
    harness::devices::assert_home(&host, "after DEL");
    assert_eq!(pod.link_names(), ["lo"]);
}
