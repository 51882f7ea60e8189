//! firewall with real packets: what reaches whom under each policy, with causeway as with the
//! reference plugin.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::chained::{List, Side, address, dual_entry};
use harness::{Host, Pod};
use serde_json::{Value, json};

/// A host with two bridges: blue and green on the first, red on the second, each with the firewall
/// `entry`; and a world outside, by a pair of links.
struct Net<'h> {
    blue: (Pod<'h>, Value),
    green: (Pod<'h>, Value),
    red: (Pod<'h>, Value),
    world: Pod<'h>,
}

/// What reaches whom, as the tests look at it.
#[derive(Debug, PartialEq)]
struct Reach {
    same_bridge: [bool; 2],
    other_bridge: [bool; 2],
    world: [bool; 2],
    from_world: [bool; 2],
    host: [bool; 2],
}

fn attach<'h>(host: &'h Host, side: Side, name: &str, entries: &[Value]) -> (Pod<'h>, Value) {
    let pod = host.pod(name);
    let result = List::new(&pod, side, entries).add();
    (pod, result)
}

fn build<'h>(host: &'h Host, side: Side, entry: &Value) -> Net<'h> {
    let first = [dual_entry("br0", 88), entry.clone()];
    let second = [dual_entry("br1", 89), entry.clone()];
    let world = host.pod("world");
    host.run("ip link add out type veth peer name in netns world");
    host.run("ip addr add 192.0.2.1/24 dev out");
    host.run("ip -6 addr add 2001:db8::1/64 dev out nodad");
    host.run("ip link set out up");
    world.run("ip link set in up");
    world.run("ip addr add 192.0.2.2/24 dev in");
    world.run("ip -6 addr add 2001:db8::2/64 dev in nodad");
    world.run("ip route add default via 192.0.2.1");
    world.run("ip -6 route add default via 2001:db8::1");
    // Networks of their own, since leases are the network's.
    let red = host.pod("red");
    let list = List::new(&red, side, &second).map(|call| call.key("name", &json!("other")));
    let result = list.add();
    let net = Net {
        blue: attach(host, side, "blue", &first),
        green: attach(host, side, "green", &first),
        red: (red, result),
        world,
    };
    // Addresses are usable once duplicates have been looked for; silence counts only after that.
    for (pod, net) in [(&net.blue, 88), (&net.green, 88), (&net.red, 89)] {
        for gateway in [format!("10.{net}.0.1"), format!("fd00:{net}::1")] {
            assert!(pod.0.reaches(&gateway), "a pod's way to {gateway} works");
        }
    }
    assert!(net.world.reaches("192.0.2.1") && net.world.reaches("2001:db8::1"));
    net
}

impl Net<'_> {
    /// What reaches whom, all asked at once, over ways that have carried answers before.
    fn reach(&self) -> Reach {
        let of = |(_, result): &(Pod<'_>, Value)| [false, true].map(|v6| address(result, v6));
        let (green, red) = (of(&self.green), of(&self.red));
        let world = ["192.0.2.2", "2001:db8::2"].map(str::to_owned);
        let host = ["10.88.0.1", "fd00:88::1"].map(str::to_owned);
        std::thread::scope(|scope| {
            let ask = |pod, to: [String; 2]| to.map(|to| scope.spawn(move || reaches(pod, &to)));
            let asked = [
                ask(&self.blue.0, green),
                ask(&self.blue.0, red),
                ask(&self.blue.0, world),
                ask(&self.world, of(&self.blue)),
                ask(&self.blue.0, host),
            ];
            let [same_bridge, other_bridge, world, from_world, host] =
                asked.map(|families| families.map(|one| one.join().unwrap()));
            Reach { same_bridge, other_bridge, world, from_world, host }
        })
    }
}

/// Whether there is an answer within a second, which is long after every answer that comes.
fn reaches(pod: &Pod<'_>, to: &str) -> bool {
    !(0..4).all(|_| pod.gets_no_answer(to))
}

const YES: [bool; 2] = [true; 2];
const NO: [bool; 2] = [false; 2];

fn entry(backend: &str, policy: &str) -> Value {
    json!({"type": "firewall", "backend": backend, "ingressPolicy": policy})
}

/// Plays a policy with each side and backend; all must give `expected`.
fn compare(policy: &str, expected: &Reach) {
    harness::require_reference();
    let sides = [
        (Side::Reference, "iptables"),
        (Side::Causeway, "iptables"),
        (Side::Fused, "iptables"),
        (Side::Causeway, "nftables"),
        (Side::Fused, "nftables"),
    ];
    std::thread::scope(|scope| {
        for (side, backend) in sides {
            scope.spawn(move || {
                let host = Host::new();
                // Debian's reference plugin has no "isolated" yet: this is what later ones add.
                let later = side == Side::Reference && policy == "isolated";
                let known = if later { "same-bridge" } else { policy };
                let net = build(&host, side, &entry(backend, known));
                if later {
                    isolate_by_hand(&host);
                }
                assert_eq!(net.reach(), *expected, "{policy} by {side:?} with {backend}");
            });
        }
    });
}

fn isolate_by_hand(host: &Host) {
    for program in ["iptables", "ip6tables"] {
        for bridge in ["br0", "br1"] {
            host.run(&format!(
                "{program} -I CNI-ISOLATION-STAGE-1 1 -i {bridge} -o {bridge} -j DROP"
            ));
        }
    }
}

#[test]
fn open_lets_everything_through() {
    let expected =
        Reach { same_bridge: YES, other_bridge: YES, world: YES, from_world: YES, host: YES };
    compare("open", &expected);
}

#[test]
fn same_bridge_keeps_bridges_apart() {
    let expected =
        Reach { same_bridge: YES, other_bridge: NO, world: YES, from_world: YES, host: YES };
    compare("same-bridge", &expected);
}

#[test]
fn isolated_keeps_pods_apart_as_well() {
    let expected =
        Reach { same_bridge: NO, other_bridge: NO, world: YES, from_world: YES, host: YES };
    compare("isolated", &expected);
}

/// Without br_netfilter, iptables does not see what a bridge carries; nftables does on the bridge.
#[test]
fn isolated_needs_no_br_netfilter_with_nftables() {
    let host = Host::new();
    host.run(
        "sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0",
    );
    let net = build(&host, Side::Causeway, &entry("nftables", "isolated"));
    let reach = net.reach();
    assert_eq!((reach.same_bridge, reach.other_bridge, reach.world), (NO, NO, YES));
    // A pod that is not isolated is not kept from another that is not.
    let plain = [dual_entry("br0", 88), entry("nftables", "open")];
    let (one, _) = attach(&host, Side::Causeway, "one", &plain);
    let (_, two) = attach(&host, Side::Causeway, "two", &plain);
    assert!(one.reaches(&address(&two, false)));
    assert!(!reaches(&one, &address(&net.blue.1, false)));
}

fn drop_what_is_forwarded(host: &Host) {
    for program in ["iptables", "ip6tables"] {
        host.run(&format!("{program} -P FORWARD DROP"));
    }
}

/// Where FORWARD drops, what pods send passes, and the answers; what others send does not.
#[test]
fn accepts_open_a_host_that_drops() {
    let expected =
        Reach { same_bridge: YES, other_bridge: YES, world: YES, from_world: NO, host: YES };
    harness::require_reference();
    // Without a backend: causeway finds iptables in use, the reference plugin has no other.
    let entry = json!({"type": "firewall"});
    std::thread::scope(|scope| {
        for side in [Side::Reference, Side::Causeway, Side::Fused] {
            let (entry, expected) = (&entry, &expected);
            scope.spawn(move || {
                let host = Host::new();
                drop_what_is_forwarded(&host);
                // br_netfilter shows iptables what a bridge carries; that passes as well.
                let net = build(&host, side, entry);
                assert_eq!(net.reach(), *expected, "{side:?}");
            });
        }
    });
}

#[test]
fn without_firewall_a_host_that_drops_stays_closed() {
    let host = Host::new();
    drop_what_is_forwarded(&host);
    let pod = host.pod("blue");
    List::new(&pod, Side::Causeway, &[dual_entry("br0", 88)]).add();
    assert!(pod.reaches("10.88.0.1"));
    let other = host.pod("red");
    let list = List::new(&other, Side::Causeway, &[dual_entry("br1", 89)]);
    let result = list.map(|call| call.key("name", &json!("other"))).add();
    assert!(other.reaches("10.89.0.1"));
    assert!(!reaches(&pod, &address(&result, false)));
}

#[test]
fn the_admin_chain_of_nftables_has_the_first_word() {
    admin("nftables", &|host| {
        host.nft("add rule inet causeway_firewall admin ip daddr 192.0.2.2 drop");
    });
}

#[test]
fn the_admin_chain_of_iptables_has_the_first_word() {
    admin("iptables", &|host| {
        host.run("iptables -A CNI-ADMIN -d 192.0.2.2 -j DROP");
    });
}

/// The operator's chain decides before what is accepted, and is left alone by later ADDs and DELs.
fn admin(backend: &str, forbid: &dyn Fn(&Host)) {
    let host = Host::new();
    let net = build(&host, Side::Causeway, &entry(backend, "open"));
    assert!(net.blue.0.reaches("192.0.2.2"));
    forbid(&host);
    assert!(!reaches(&net.blue.0, "192.0.2.2"));
    assert!(net.blue.0.reaches("2001:db8::2"));
    let entries = [dual_entry("br0", 88), entry(backend, "same-bridge")];
    let (pod, result) = attach(&host, Side::Causeway, "more", &entries);
    assert!(pod.reaches("2001:db8::2"));
    assert!(!reaches(&pod, "192.0.2.2"));
    List::new(&pod, Side::Causeway, &entries).del(&result);
    assert!(!reaches(&net.blue.0, "192.0.2.2"));
}
