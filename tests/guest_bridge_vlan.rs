//! The bridge plugin's VLANs on a kernel that has them: what ports carry, real packets, tags, the
//! VLAN's own gateway, CHECK, and what DEL and failures leave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::{self, bridge, dual_stack};
use harness::killed::killed_add;
use harness::refusal::{CHECK_FAILED, KERNEL_REFUSED};
use harness::snapshot::nothing_stays;
use harness::{Host, Pod};
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");

/// The VLANs of a port as `bridge` prints them, such as `100 PVID Egress Untagged`; a run of VLANs
/// is one entry, such as `200-203`.
fn vlans(host: &Host, port: &str) -> Vec<String> {
    let all = host.json(&format!("bridge -j -compressvlans vlan show dev {port}"));
    let text = |one: &Value| {
        let mut text = one["vlan"].to_string();
        if let Some(last) = one["vlanEnd"].as_u64() {
            text.push_str(&format!("-{last}"));
        }
        for flag in one["flags"].as_array().into_iter().flatten() {
            text.push(' ');
            text.push_str(flag.as_str().expect("a flag"));
        }
        text
    };
    all[0]["vlans"].as_array().into_iter().flatten().map(text).collect()
}

/// The host's port of the attachment.
fn port_of(result: &Value) -> &str {
    result["interfaces"][1]["name"].as_str().expect("the host end's name")
}

/// The host's port of a VLAN's gateway interface.
fn other_end(host: &Host, link: &str) -> String {
    let links = host.json(&format!("ip -j link show {link}"));
    links[0]["link"].as_str().expect("the other end of a veth pair").to_owned()
}

#[test]
fn ports_carry_what_is_asked_for() {
    let (native, all) = ("100 PVID Egress Untagged", (1..=4094).collect::<Vec<u64>>());
    let many: Vec<Value> = all.iter().step_by(2).map(|id| json!({"id": id})).collect();
    let odd: Vec<String> = std::iter::once("1 PVID Egress Untagged".to_owned())
        .chain(all.iter().step_by(2).skip(1).map(u64::to_string))
        .collect();
    let odd: Vec<&str> = odd.iter().map(String::as_str).collect();
    // The bridge's VLAN for new ports, if it is there before; the configuration; what comes of it.
    let rows: &[(Option<u16>, Value, &[&str])] = &[
        (None, json!({"vlan": 100}), &[native]),
        (None, json!({"vlan": 100, "preserveDefaultVlan": false}), &[native]),
        (None, json!({"vlan": 100, "preserveDefaultVlan": true}), &["1 Egress Untagged", native]),
        (None, json!({"vlan": 1}), &["1 PVID Egress Untagged"]),
        (None, json!({"vlan": 4094}), &["4094 PVID Egress Untagged"]),
        (Some(7), json!({"vlan": 100}), &[native]),
        (Some(7), json!({"vlan": 7}), &["7 PVID Egress Untagged"]),
        (
            Some(7),
            json!({"vlan": 100, "preserveDefaultVlan": true}),
            &["7 Egress Untagged", native],
        ),
        (Some(0), json!({"vlan": 100}), &[native]),
        (
            None,
            json!({"vlanTrunk": [{"id": 101}, {"minID": 200, "maxID": 203}]}),
            &["1 PVID Egress Untagged", "101", "200-203"],
        ),
        (
            Some(7),
            json!({"vlanTrunk": [{"id": 101}], "preserveDefaultVlan": true}),
            &["1 PVID Egress Untagged", "7 Egress Untagged", "101"],
        ),
        (
            None,
            json!({"vlan": 100, "vlanTrunk": [{"id": 201}, {"minID": 99, "maxID": 101}]}),
            &["99", native, "101", "201"],
        ),
        (
            None,
            json!({"vlanTrunk": [{"minID": 1, "maxID": 4094}]}),
            &["1 PVID Egress Untagged", "2-4094"],
        ),
        (None, json!({"vlanTrunk": many}), &odd),
    ];
    let host = Host::new();
    let pod = host.pod("blue");
    for (default, keys, carried) in rows {
        if let Some(default) = default {
            let kind = format!("type bridge vlan_filtering 1 vlan_default_pvid {default}");
            host.run(&format!("ip link add br0 {kind}"));
        }
        let call = pod.call(BRIDGE, &bridge(keys.clone()));
        let result = call.add();
        assert_eq!(vlans(&host, port_of(&result)), *carried, "{keys} with VLAN {default:?} before");
        let about = host.json("ip -j -d link show br0");
        assert_eq!(about[0]["linkinfo"]["info_data"]["vlan_filtering"], 1, "{keys}");
        call.check(&result).silence();
        call.del();
        assert_eq!(pod.link_names(), ["lo"], "in the pod after DEL of {keys}");
        assert_eq!(host.link_names(), ["lo", "br0"], "after DEL of {keys}");
        host.run("ip link del br0");
    }
}

#[test]
fn vlans_part_pods() {
    let host = Host::new();
    let names = ["blue", "cyan", "green", "white", "grey"];
    let pods: Vec<Pod<'_>> = names.iter().map(|name| host.pod(name)).collect();
    let vlan = [json!(100), json!(100), json!(200), json!(0), Value::Null];
    for (pod, vlan) in pods.iter().zip(vlan) {
        pod.call(BRIDGE, &dual_stack(json!({"isDefaultGateway": false, "vlan": vlan}))).add();
    }
    let same = [(0, 1), (1, 0), (3, 4), (4, 3)];
    for from in 0..names.len() {
        for to in 0..names.len() {
            for network in ["10.88.0.", "fd00:88::"] {
                let address = format!("{network}{}", to + 2);
                let what = format!("{} reaches {} at {address}", names[from], names[to]);
                if same.contains(&(from, to)) {
                    assert!(pods[from].reaches(&address), "not: {what}");
                } else if from < to {
                    assert!(pods[from].gets_no_answer(&address), "{what}");
                }
            }
        }
    }
    // Nor do frames to everybody leave the VLAN.
    let mac = pods[0].mac("eth0");
    let (near, far) = (pods[1].watch(), pods[2].watch());
    assert!(pods[0].gets_no_answer("10.88.0.99"), "nobody has this address");
    assert!(near.sees(|frame| frame.source() == mac), "the VLAN's pods hear the question");
    assert!(far.misses(|frame| frame.source() == mac), "another VLAN's pod hears it");
}

/// Gives a pod an address in a VLAN by tags of its own.
fn tag(pod: &Pod<'_>, vlan: u16, host_part: u8) {
    pod.run(&format!("ip link add link eth0 name eth0.{vlan} type vlan id {vlan}"));
    pod.run(&format!("ip link set eth0.{vlan} up"));
    pod.run(&format!("ip addr add 10.{}.0.{host_part}/24 dev eth0.{vlan}", vlan % 256));
}

#[test]
fn trunks_carry_tags() {
    let host = Host::new();
    let (first, second, third) = (host.pod("first"), host.pod("second"), host.pod("third"));
    let l2 = |more: Value| {
        let mut config = bridge(json!({"ipam": {}, "macspoofchk": true}));
        config::merge(&mut config, more);
        config
    };
    let trunk = json!({"vlan": 100, "vlanTrunk": [{"minID": 101, "maxID": 103}]});
    first.call(BRIDGE, &l2(trunk)).add();
    second.call(BRIDGE, &l2(json!({"vlanTrunk": [{"id": 101}, {"id": 104}]}))).add();
    third.call(BRIDGE, &l2(json!({"vlan": 102}))).add();
    for (pod, host_part) in [(&first, 1), (&second, 2)] {
        for vlan in [101, 102, 103, 104] {
            tag(pod, vlan, host_part);
        }
        pod.run(&format!("ip addr add 10.1.0.{host_part}/24 dev eth0"));
    }
    third.run("ip addr add 10.102.0.3/24 dev eth0");

    let watch = second.watch();
    assert!(first.reaches("10.101.0.2"), "tagged frames of a VLAN that both carry");
    let (mac, tags) = (first.mac("eth0"), |frame: &harness::packets::Frame| frame.ethertype());
    assert!(watch.sees(|frame| frame.source() == mac), "the frames come from the pod");
    assert!(first.reaches("10.102.0.3"), "tagged for one, untagged for the other");
    assert!(first.gets_no_answer("10.103.0.2"), "a VLAN that only the sender carries");
    assert!(first.gets_no_answer("10.104.0.2"), "a VLAN that only the receiver carries");
    assert!(first.gets_no_answer("10.1.0.2"), "untagged frames of VLAN 100 and VLAN 1");
    assert!(second.gets_no_answer("10.102.0.3"), "a VLAN that the trunk does not carry");
    let untagged = third.watch();
    assert!(first.reaches("10.102.0.3"));
    assert!(
        untagged.sees(|frame| frame.source() == mac && tags(frame) != 0x8100),
        "an access port gets frames without tags"
    );
}

/// A gateway for each VLAN, on an interface of its own; the host routes between them.
#[test]
fn each_vlan_has_its_gateway() {
    let host = Host::new();
    let (blue, cyan, green) = (host.pod("blue"), host.pod("cyan"), host.pod("green"));
    let net = |vlan: u16| {
        dual_stack(json!({
            "name": format!("net{vlan}"), "vlan": vlan, "mtu": 1400, "ipMasq": vlan == 100,
            "ipam": {"type": "host-local", "ranges": [
                [{"subnet": format!("10.{vlan}.0.0/24")}], [{"subnet": format!("fd00:{vlan}::/64")}]]}
        }))
    };
    let first = blue.call(BRIDGE, &net(100));
    let result = first.add();
    let shared = host.snapshot();
    let interfaces = result["interfaces"].as_array().unwrap();
    let names: Vec<&str> = interfaces.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["br0", port_of(&result), "eth0", "br0.100"]);
    for name in ["br0", "br0.100"] {
        let link = &host.json(&format!("ip -j link show {name}"))[0];
        let told = interfaces.iter().find(|one| one["name"] == name).unwrap();
        assert_eq!(told["mac"], link["address"], "the result tells {name}'s hardware address");
        assert_eq!(link["mtu"], 1400, "of {name}");
    }
    cyan.call(BRIDGE, &net(100)).add();
    green.call(BRIDGE, &net(200)).add();
    for vlan in [100, 200] {
        let port = other_end(&host, &format!("br0.{vlan}"));
        assert_eq!(vlans(&host, &port), [format!("{vlan} PVID Egress Untagged")]);
    }
    assert_eq!(vlans(&host, "br0"), ["1 PVID Egress Untagged"], "the bridge itself is in neither");

    for address in ["10.100.0.1", "fd00:100::1", "10.100.0.3", "fd00:100::3"] {
        assert!(blue.reaches(address), "{address} in the same VLAN");
    }
    for address in ["10.100.0.2", "fd00:100::2", "10.200.0.2", "fd00:200::2"] {
        assert!(host.reaches(address), "{address} from the host");
    }
    for (at, seen) in [("10.200.0.2", "10.200.0.1"), ("fd00:200::2", "fd00:200::1")] {
        let from = blue.seen_by(&green, at).map(|ip| ip.to_string());
        assert_eq!(from.as_deref(), Some(seen), "routed to another VLAN and masqueraded");
    }
    // Past the gateway there is no way.
    let (mac, watch) = (blue.mac("eth0"), green.watch());
    blue.run("ip route replace 10.200.0.0/24 dev eth0");
    assert!(blue.gets_no_answer("10.200.0.2"));
    assert!(watch.misses(|frame| frame.source() == mac));

    first.check(&result).silence();
    green.call(BRIDGE, &net(200)).del();
    cyan.call(BRIDGE, &net(100)).del();
    first.check(&result).silence();
    assert!(blue.reaches("10.100.0.1"), "the gateway serves who is left");
    first.del();
    let left = host.snapshot();
    let gone = port_of(&result);
    let was: Vec<&str> = shared.links().into_iter().filter(|name| *name != gone).collect();
    let more: Vec<&str> = left.links().into_iter().filter(|name| !was.contains(name)).collect();
    let port = other_end(&host, "br0.200");
    assert!(more.iter().all(|name| ["br0.200", &port].contains(name)), "left: {more:?}");
    for name in ["br0.100", "br0.200"] {
        assert!(left.links().contains(&name), "{name} is shared, as the bridge is");
    }
}

/// Each of these takes something away that the attachment needs.
#[test]
fn check_notices() {
    let trunk = json!({"vlan": 100, "vlanTrunk": [{"id": 300}]});
    let rows: &[(&str, &[&str])] = &[
        ("bridge vlan del dev PORT vid 100", &["PORT", "100"]),
        ("bridge vlan del dev PORT vid 300", &["PORT", "300"]),
        ("bridge vlan add dev PORT vid 100", &["PORT", "100"]),
        ("bridge vlan add dev PORT vid 300 untagged", &["PORT", "300"]),
        ("bridge vlan del dev GATEWAY vid 100", &["br0.100", "100"]),
        ("bridge vlan add dev GATEWAY vid 100", &["br0.100", "100"]),
        ("ip link set GATEWAY nomaster", &["br0.100", "100"]),
        ("ip link set br0.100 down", &["br0.100", "down"]),
        ("ip link del br0.100", &["br0.100"]),
        ("ip addr del 10.88.0.1/24 dev br0.100", &["br0.100", "10.88.0.1"]),
        ("ip link set br0 type bridge vlan_filtering 0", &["br0", "VLAN"]),
    ];
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &dual_stack(trunk));
    for (spoil, words) in rows {
        let result = call.add();
        call.check(&result).silence();
        let (port, gateway) = (port_of(&result), other_end(&host, "br0.100"));
        host.run(&spoil.replace("PORT", port).replace("GATEWAY", &gateway));
        let words: Vec<&str> =
            words.iter().map(|word| if *word == "PORT" { port } else { word }).collect();
        let outcome = call.check(&result);
        assert_ne!(outcome.status, Some(0), "CHECK notices nothing after: {spoil}");
        outcome.fails_with(&[CHECK_FAILED], &words);
        call.del();
        for shared in host.link_names().iter().filter(|name| name.starts_with("br0")) {
            host.run(&format!("ip link del {shared}"));
        }
    }
}

/// An ADD that fails takes the VLAN's gateway back with the bridge, but not what others use.
#[test]
fn a_failed_add_leaves_nothing() {
    let host = Host::new();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let good = dual_stack(json!({"vlan": 100}));
    let mut bad = good.clone();
    config::merge(
        &mut bad["ipam"],
        json!({"routes": [{"dst": "192.168.0.0/16", "gw": "172.31.0.1"}]}),
    );
    for beside in [false, true] {
        let kept = beside.then(|| {
            let call = green.call(BRIDGE, &good);
            let result = call.add();
            (call, result)
        });
        let before = (host.snapshot(), blue.snapshot());
        blue.call(BRIDGE, &bad).run("ADD").fails_with(&[KERNEL_REFUSED], &["172.31.0.1"]);
        nothing_stays(&before, &blue, "after the failed ADD");
        if let Some((call, result)) = kept {
            call.check(&result).silence();
            assert!(green.reaches("10.88.0.1") && green.reaches("fd00:88::1"));
        }
    }
}

/// An ADD that is killed while it makes the VLAN's gateway, at each of its requests: what is half made
/// is finished by the next one.
#[test]
fn a_killed_add_is_put_right() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &dual_stack(json!({"vlan": 100})));
    let (mut half_made, mut nth) = (0, 1);
    loop {
        assert!(killed_add(&host, &call, BRIDGE, "sendto", nth), "no request number {nth}");
        let links = host.json("ip -j link");
        let gateway = links.as_array().unwrap().iter().find(|link| link["ifname"] == "br0.100");
        let flags = gateway.map(|link| link["flags"].as_array().cloned().unwrap_or_default());
        if flags.is_some_and(|flags| flags.contains(&"UP".into())) {
            break;
        }
        call.del();
        assert_eq!(pod.link_names(), ["lo"], "killed at request {nth}, then removed");
        if gateway.is_some() {
            half_made += 1;
            let result = call.add();
            assert!(pod.reaches("10.88.0.1"), "killed at request {nth}");
            call.check(&result).silence();
            call.del();
        }
        for shared in host.link_names().iter().filter(|name| name.starts_with("br0")) {
            host.run(&format!("ip link del {shared}"));
        }
        nth += 1;
    }
    assert!(half_made > 0, "no kill hit the making of the gateway");
}
