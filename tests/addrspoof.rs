//! `addrspoofchk`: a container sends from its own addresses alone. Real frames, forged byte by byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeSet;

use harness::call::Plugin;
use harness::chained::{List, Side, address};
use harness::config::{bridge, dual_stack, merge, ptp_dual_stack};
use harness::dhcp::{World, by_dhcp};
use harness::dhcp_server::Manner;
use harness::forged::{Forge, Forged, packet};
use harness::person::Person;
use harness::refusal::{BAD_CONFIG, CHECK_FAILED, refuse_configs};
use harness::{Host, Pod};
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");

fn checked() -> Value {
    dual_stack(json!({"addrspoofchk": true}))
}

/// The link-local address that the kernel made of an interface's hardware address.
fn link_local(pod: &Pod<'_>) -> String {
    let said = pod.run("ip -6 -o addr show dev eth0 scope link");
    let found = said.split_whitespace().find_map(|word| word.strip_suffix("/64"));
    found.unwrap_or_else(|| panic!("no link-local address: {said}")).to_owned()
}

/// What one pod may send, and what it may not while another has the other addresses.
struct Frames {
    good: Vec<Forged>,
    bad: Vec<Forged>,
    last: Forged,
}

fn frames(pod: &Pod<'_>, own: &Value, others: &Value) -> Frames {
    let forge = Forge::of(pod);
    let (own4, own6) = (&address(own, false), &address(own, true));
    let (other4, other6) = (&address(others, false), &address(others, true));
    let local = &link_local(pod);
    let (any4, gateway) = (("10.88.0.255", 9), "10.88.0.1");
    let nodes = "ff02::1";
    let udp6 = |name, from: &str| forge.udp(name, (from, 9), (nodes, 9));
    let target = other6.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let hidden = [&[58, 0, 1, 4, 0, 0, 0, 0][..], &[136, 0, 0, 0, 0x20, 0, 0, 0], &target].concat();
    let tagged = |packet: &[u8], kind: u16| [&[0, 7][..], &kind.to_be_bytes(), packet].concat();
    let forged4 = packet(other4, any4.0, 17, &[0; 8]);
    let advertised =
        packet(own6, nodes, 58, &[&[136, 0, 0, 0, 0x20, 0, 0, 0], &target[..]].concat());
    let own_packet = packet(own4, any4.0, 17, &[0; 8]);
    let good = vec![
        forge.udp("own IPv4", (own4, 9), any4),
        forge.arp("asks by ARP", 1, own4, gateway),
        forge.arp("answers by ARP", 2, own4, gateway),
        forge.arp("ARP probe", 1, "0.0.0.0", own4),
        udp6("own IPv6", own6),
        udp6("own link-local", local),
        forge.neighbour("solicits", own6, 135, other6),
        forge.neighbour("solicits from link-local", local, 135, other6),
        forge.neighbour("advertises", own6, 136, own6),
        forge.neighbour("advertises link-local", local, 136, local),
        forge.neighbour("detects duplicates", "::", 135, own6),
        forge.neighbour("detects duplicates of link-local", "::", 135, local),
        forge.icmpv6("reports groups", "::", "ff02::16", 143, &[0; 4]),
    ];
    let bad = vec![
        forge.udp("another's IPv4", (other4, 9), any4),
        forge.udp("the gateway's IPv4", (gateway, 9), any4),
        forge.udp("an address of the world", ("192.0.2.1", 9), any4),
        forge.udp("no IPv4", ("0.0.0.0", 68), ("255.255.255.255", 53)),
        forge.udp("asks DHCP", ("0.0.0.0", 68), ("255.255.255.255", 67)),
        forge.arp("ARP for another", 2, other4, gateway),
        forge.arp("ARP for the gateway", 2, gateway, other4),
        forge.arp("asks as another", 1, other4, gateway),
        forge.arp("ARP probe for another", 1, "0.0.0.0", other4),
        forge.arp("ARP answer of nobody", 2, "0.0.0.0", own4),
        forge.frame("ARP of another layout", 0x0806, &{
            let mut packet = forge.arp_packet(2, own4, gateway);
            // The addresses that count are then others.
            packet[4] = 8;
            packet
        }),
        udp6("another's IPv6", other6),
        udp6("the gateway's link-local", "fe80::1"),
        udp6("no IPv6", "::"),
        forge.neighbour("advertises another", own6, 136, other6),
        forge.neighbour("advertises the gateway", local, 136, "fd00:88::1"),
        forge.neighbour("detects duplicates of another", "::", 135, other6),
        forge.ip("advertises behind an extension", own6, nodes, 0, &hidden),
        forge.icmpv6("is a router", local, nodes, 134, &[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]),
        forge.icmpv6("redirects", local, nodes, 137, &[0; 36]),
        forge.frame("another's IPv4 with a tag", 0x8100, &tagged(&forged4, 0x0800)),
        forge.frame("advertises another with a tag", 0x8100, &tagged(&advertised, 0x86dd)),
        forge.frame("two tags", 0x8100, &tagged(&tagged(&own_packet, 0x0800), 0x8100)),
        forge.frame("another protocol", 0x88cc, &[2, 7, 4]),
        forge.frame("reverse ARP", 0x8035, &forge.arp_packet(3, own4, own4)),
    ];
    Frames { good, bad, last: forge.udp("the last", (own4, 9), any4) }
}

fn names(frames: &[Forged]) -> BTreeSet<&'static str> {
    frames.iter().map(|frame| frame.name).collect()
}

/// Guarded and not, alone and with macspoofchk, one by one and as one list.
#[test]
fn forged_frames_are_dropped_and_own_ones_pass() {
    for (side, more) in [
        (Side::Causeway, json!({})),
        (Side::Causeway, json!({"addrspoofchk": true})),
        (Side::Fused, json!({"addrspoofchk": true, "macspoofchk": true})),
    ] {
        let host = Host::new();
        let (blue, green) = (host.pod("blue"), host.pod("green"));
        let entries = |more: &Value| {
            let mut first = dual_stack(json!({"ipMasq": true}));
            merge(&mut first, more.clone());
            vec![first, json!({"type": "firewall"})]
        };
        let list = List::new(&blue, side, &entries(&more));
        let (own, others) = (list.add(), List::new(&green, side, &entries(&json!({}))).add());
        let Frames { good, bad, last } = frames(&blue, &own, &others);
        let all: Vec<_> = good.iter().chain(&bad).cloned().collect();
        let passed = blue.gets_through(&green.watch(), &all, &last);
        let expected = if more.get("addrspoofchk").is_some() { names(&good) } else { names(&all) };
        assert_eq!(passed, expected, "{side:?} {more}");
        list.check(&own);
        for to in ["10.88.0.1", "fd00:88::1", &address(&others, false), &address(&others, true)] {
            assert!(blue.reaches(to), "{side:?} {more}: {to}");
        }
        for to in [address(&own, false), address(&own, true)] {
            assert!(green.reaches(&to), "{side:?} {more}: {to}");
        }
        if more.get("macspoofchk").is_some() {
            let forge = Forge { mac: [2, 0, 0, 0, 0, 0x99], ..Forge::of(&blue) };
            let own4 = address(&own, false);
            let other = forge.udp("another's hardware address", (&own4, 9), ("10.88.0.255", 9));
            assert_eq!(blue.gets_through(&green.watch(), &[other], &last), BTreeSet::new());
        }
        list.del(&own);
        let elements = host.nft_elements();
        assert!(elements.iter().all(|(set, _)| !set.contains("spoof")), "{elements:?}");
    }
}

/// What duplicate address detection needs passes, so ADD with it ends well.
#[test]
fn addresses_are_tried_out() {
    let host = Host::new();
    let pod = host.pod("blue");
    let config = dual_stack(json!({"addrspoofchk": true, "macspoofchk": true, "enabledad": true}));
    let call = pod.call(BRIDGE, &config);
    let result = call.add();
    call.check(&result).silence();
    assert!(pod.reaches("fd00:88::1"));
    // Later as well, when the guard is there.
    let own = address(&result, true);
    pod.run(&format!("ip addr del {own}/64 dev eth0"));
    pod.run(&format!("ip addr add {own}/64 dev eth0"));
    host.wait("the address is no longer tentative", |_| {
        pod.run("ip -6 addr show dev eth0 tentative").is_empty()
    });
    assert!(pod.reaches("fd00:88::1"));
}

/// With addresses from DHCP the container may ask for one, and the daemon does.
#[test]
fn dhcp_is_asked() {
    let world = World::new(Manner::default());
    let (blue, green) = (world.host.pod("blue"), world.host.pod("green"));
    let call = blue.call(BRIDGE, &by_dhcp(json!({"addrspoofchk": true, "macspoofchk": true})));
    let result = call.add();
    call.check(&result).silence();
    green.call(BRIDGE, &by_dhcp(json!({}))).add();
    let forge = Forge::of(&blue);
    let all = ("255.255.255.255", 67);
    let asks = [
        forge.udp("asks DHCP", ("0.0.0.0", 68), all),
        forge.udp("another port", ("0.0.0.0", 68), ("255.255.255.255", 53)),
        forge.udp("is a server", ("0.0.0.0", 67), ("255.255.255.255", 68)),
        forge.udp("another's address", ("10.9.0.1", 68), all),
    ];
    let last = forge.udp("the last", (&address(&result, false), 9), ("10.9.0.255", 9));
    let passed = blue.gets_through(&green.watch(), &asks, &last);
    assert_eq!(passed, BTreeSet::from(["asks DHCP"]));
    call.del();
    let elements = world.host.nft_elements();
    assert!(elements.iter().all(|(set, _)| !set.contains("spoof")), "{elements:?}");
}

/// A routed pair: what arrives behind the host.
#[test]
fn ptp_forwards_own_packets_alone() {
    for checked in [false, true] {
        let host = Host::new();
        // Nothing else may be what drops them.
        host.run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0");
        let (blue, green) = (host.pod("blue"), host.pod("green"));
        let ptp = Plugin::Causeway("ptp");
        let call = blue.call(ptp, &ptp_dual_stack(json!({"addrspoofchk": checked})));
        let own = call.add();
        let others = green.call(ptp, &ptp_dual_stack(json!({}))).add();
        let (own4, own6) = (address(&own, false), address(&own, true));
        let (to4, to6) = (&address(&others, false), &address(&others, true));
        assert!(blue.reaches(to4) && blue.reaches(to6), "addrspoofchk {checked}");
        assert!(green.reaches(&own4) && green.reaches(&own6), "addrspoofchk {checked}");
        let host_mac = own["interfaces"][0]["mac"].as_str().unwrap();
        let to: Vec<u8> =
            host_mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let forge = Forge { to: to.try_into().unwrap(), ..Forge::of(&blue) };
        let sent = [
            forge.udp("own", (&own4, 9), (to4, 9)),
            forge.udp("another of the subnet", ("10.88.0.77", 9), (to4, 9)),
            forge.udp("an address of the world", ("192.0.2.1", 9), (to4, 9)),
        ];
        let last = forge.udp("the last", (&own4, 9), (to4, 9));
        let passed = blue.gets_through(&green.watch(), &sent, &last);
        let expected = if checked { BTreeSet::from(["own"]) } else { names(&sent) };
        assert_eq!(passed, expected, "addrspoofchk {checked}");
        call.check(&own).silence();
        call.del();
        let elements = host.nft_elements();
        assert!(elements.iter().all(|(set, _)| !set.contains("spoof")), "{elements:?}");
    }
}

/// Results of older versions of the protocol are as good for CHECK and DEL.
#[test]
fn every_version_is_guarded() {
    for (version, has_check) in
        [("0.2.0", false), ("0.3.1", false), ("0.4.0", true), ("1.0.0", true), ("1.1.0", true)]
    {
        for side in [Side::Causeway, Side::Fused] {
            let host = Host::new();
            let pod = host.pod("blue");
            let both = dual_stack(json!({"addrspoofchk": true, "macspoofchk": true}));
            let list = List::of_version(&pod, side, &[both], version);
            let result = list.add();
            let guarded = host.nft_elements();
            let count = guarded.iter().filter(|(set, _)| set.contains("spoof")).count();
            // Two of macspoofchk; the link, and three addresses, of which neighbours are told of two.
            assert_eq!(count, 2 + 1 + 3 + 2, "{version} {side:?}: {guarded:?}");
            assert!(pod.reaches("10.88.0.1"), "{version}");
            if has_check {
                list.check(&result);
                host.run("nft flush set bridge causeway_addrspoof ipv4");
                let said = list.check_last(&result);
                said.fails_with(&[CHECK_FAILED], &["addrspoof", "10.88.0.2"]);
            }
            list.del(&result);
            let left = host.nft_elements();
            assert!(left.iter().all(|(set, _)| !set.contains("spoof")), "{version}: {left:?}");
        }
    }
}

/// What is lost is found and put back; what is left over goes.
#[test]
fn losses_and_leftovers_are_found() {
    let host = Host::new();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let person = Person::on(&host);
    let call = blue.call(BRIDGE, &checked());
    let other = green.call(BRIDGE, &checked());
    let (result, others) = (call.add(), other.add());
    host.run("nft delete table bridge causeway_addrspoof");
    call.check(&result).error();
    person.succeeds("repair");
    call.check(&result).silence();
    other.check(&others).silence();
    // One address of the two alone.
    let own = address(&result, false);
    let veth = result["interfaces"][1]["name"].as_str().unwrap();
    host.run(&format!("nft delete element bridge causeway_addrspoof ipv4 {{ {veth} . {own} }}"));
    let said = person.causeway("trace id-blue --to 10.88.0.1");
    assert!(said.stdout.contains("addrspoofchk") && said.stdout.contains(&own), "{said}");
    assert!(blue.gets_no_answer("10.88.0.1") && blue.reaches("fd00:88::1"));
    person.succeeds("repair");
    assert!(blue.reaches("10.88.0.1"));
    let shown = person.succeeds("show id-blue");
    assert!(shown.contains(&own) && shown.contains("drop what"), "{shown}");

    // A record that is lost: GC finds the rest by its owner.
    host.run("rm /var/lib/cni/causeway/testnet/id-blue:eth0:bridge");
    other.gc(&[("id-green", "eth0")]);
    let left = host.nft_elements();
    let of = |name: &str| left.iter().filter(|(_, key)| key.contains(name)).count();
    assert_eq!(of(veth), 0, "{left:?}");
    assert_eq!(of(others["interfaces"][1]["name"].as_str().unwrap()), 6, "{left:?}");
    // And the link as well as the record: doctor does.
    let veth = others["interfaces"][1]["name"].as_str().unwrap();
    host.run("rm /var/lib/cni/causeway/testnet/id-green:eth0:bridge");
    host.run(&format!("ip link del {veth}"));
    host.run("ip netns del green");
    let said = person.causeway("doctor --fix");
    let left = host.nft_elements();
    assert!(left.iter().all(|(_, key)| !key.contains(veth)), "{said}\n{left:?}");
}

#[test]
fn what_cannot_be_guarded_is_refused() {
    let with = |more: Value| bridge(merged(json!({"addrspoofchk": true}), more));
    refuse_configs(
        &[BAD_CONFIG],
        &[
            (with(json!({"ipam": null})), &["addrspoofchk", "ipam"]),
            (with(json!({"vlanTrunk": [{"id": 7}]})), &["addrspoofchk", "vlanTrunk"]),
            (with(json!({"slaac": true})), &["addrspoofchk", "slaac"]),
        ],
    );
}

fn merged(mut config: Value, more: Value) -> Value {
    // A null stays, to take a key away later.
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}
