//! nf_tables black-box: what causeway writes is read with `nft`, and packets prove what it does.
//!
//! Each test runs in a thread of its own with a private network and mount namespace, which its
//! child processes inherit; nothing outside is touched. They need root, and nft and iproute2.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod private_host;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use causeway::kernel::nft::{
    Base, Chain, ChainName, Change, Element, Error, Family, Field, Hook, Key, MapTo, Rule, Set,
    SetName, Socket, Table, comment,
    expr::{Compare, Connection, Expr, Header, Meta, Nat, Register, Verdict},
    set::Value,
};
use causeway::kernel::{addrspoof, firewall, macspoof, masquerade};
use ipnetwork::IpNetwork;
use private_host::{inside, private, run};

fn udp(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

/// The next datagram's text and who seems to have sent it.
fn heard(socket: &UdpSocket) -> (String, IpAddr) {
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).expect("nothing arrived");
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), from.ip())
}

fn net(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn commit(socket: &mut Socket, fill: impl FnOnce(&mut Change)) {
    let mut change = Change::new();
    fill(&mut change);
    socket.commit(&change).unwrap();
}

const MAC: [u8; 6] = [0x02, 0x42, 0x0a, 0x58, 0, 5];

#[test]
fn nft_lists_exactly_what_is_wanted() {
    private(|| {
        let mut socket = Socket::open().unwrap();
        let pods = [net("10.88.0.5/16"), net("fd00:88::5/64")];
        commit(&mut socket, |change| {
            masquerade::add(change, &pods, "net/id/eth0");
            macspoof::add(change, "veth1a2b3c", MAC, "net/id/eth0");
        });
        let wanted = include_str!("../testdata/nft/two-purposes.nft");
        assert_eq!(run("nft list ruleset"), wanted);
        // What people save and load again must come out the same.
        run("nft list ruleset > /run/saved; nft flush ruleset; nft -f /run/saved");
        assert_eq!(run("nft list ruleset"), wanted);
        assert_eq!(masquerade::missing(&mut socket, &pods, "net/id/eth0").unwrap(), [""; 0]);
        assert_eq!(
            macspoof::missing(&mut socket, "veth1a2b3c", MAC, "net/id/eth0").unwrap(),
            [""; 0]
        );
        let json: serde_json::Value = serde_json::from_str(&run("nft -j list ruleset")).unwrap();
        let element = json["nftables"]
            .as_array()
            .unwrap()
            .iter()
            .find_map(|object| {
                (object["set"]["name"] == "pods-ipv4-16").then(|| &object["set"]["elem"][0]["elem"])
            })
            .unwrap();
        assert_eq!(element["val"], "10.88.0.5");
        assert_eq!(element["comment"], "net/id/eth0");
    });
}

#[test]
fn nft_lists_the_check_of_addresses() {
    private(|| {
        let mut socket = Socket::open().unwrap();
        let addresses = [ip("10.88.0.5"), ip("fd00:88::5"), ip("fe80::42:aff:fe58:5")];
        let port = |link, bridged| addrspoof::Guarded {
            link,
            bridged,
            addresses: &addresses,
            dhcp: bridged,
        };
        let both = [port("veth1a2b3c", true), port("vethd4e5f6", false)];
        commit(&mut socket, |change| {
            both.iter().for_each(|one| addrspoof::add(change, one, "net/id/eth0"));
        });
        let wanted = include_str!("../testdata/nft/addresses-checked.nft");
        assert_eq!(run("nft list ruleset"), wanted);
        run("nft list ruleset > /run/saved; nft flush ruleset; nft -f /run/saved");
        assert_eq!(run("nft list ruleset"), wanted);
        for one in &both {
            assert_eq!(addrspoof::missing(&mut socket, one, "net/id/eth0").unwrap(), [""; 0]);
        }
        let entries = addrspoof::entries(&mut socket).unwrap();
        assert_eq!(entries.len(), 7 + 6);
        assert!(entries.iter().all(|entry| entry.owner == "net/id/eth0"));
        // Only whose it is takes it away, and rules stay.
        for (owner, left) in [("other", 13), ("net/id/eth0", 0)] {
            commit(&mut socket, |change| {
                both.iter().for_each(|one| addrspoof::remove(change, one, owner));
            });
            assert_eq!(addrspoof::entries(&mut socket).unwrap().len(), left, "{owner}");
        }
        let said = addrspoof::missing(&mut socket, &both[0], "net/id/eth0").unwrap();
        assert_eq!(said.len(), 7);
        assert_eq!(
            said[3],
            "set ipv6 of table bridge causeway_addrspoof lacks veth1a2b3c with fd00:88::5"
        );
    });
}

#[test]
fn whole_addresses_have_no_mask() {
    private(|| {
        let mut socket = Socket::open().unwrap();
        let pods = [net("10.88.0.5/32"), net("fd00:88::5/128")];
        commit(&mut socket, |change| masquerade::add(change, &pods, "o"));
        let ruleset = run("nft list ruleset");
        for rule in [
            "ip saddr @pods-ipv4-32 ip daddr != 224.0.0.0/4 ip saddr . ip daddr != @inside-ipv4-32 masquerade",
            "ip6 saddr @pods-ipv6-128 ip6 daddr != ff00::/8 ip6 saddr . ip6 daddr != @inside-ipv6-128 masquerade",
        ] {
            assert!(ruleset.contains(rule), "{ruleset}");
        }
        assert_eq!(masquerade::missing(&mut socket, &pods, "o").unwrap(), [""; 0]);
    });
}

#[test]
fn entries_come_and_go_with_their_owner() {
    private(|| {
        let mut socket = Socket::open().unwrap();
        let pods = [net("10.88.0.5/16"), net("fd00:88::5/64")];
        let long = format!("net/{}/eth0", "c".repeat(200));
        assert_eq!(masquerade::entries(&mut socket).unwrap(), []);
        commit(&mut socket, |change| masquerade::add(change, &pods, &long));
        commit(&mut socket, |change| masquerade::add(change, &pods, &long));
        let mut entries = masquerade::entries(&mut socket).unwrap();
        entries.sort_by_key(|entry| entry.address);
        let wanted = pods.map(|address| masquerade::Entry { address, owner: comment(&long) });
        assert_eq!(entries, wanted);

        // Another gets the first address: it takes the entry over, and the former holder's removal
        // leaves it alone.
        commit(&mut socket, |change| masquerade::add(change, &pods[..1], "new"));
        assert_eq!(
            masquerade::missing(&mut socket, &pods[..1], &long).unwrap(),
            [
                "10.88.0.5 in set pods-ipv4-16 of table inet causeway_masquerade belongs to new",
                "10.88.0.5 in set inside-ipv4-16 of table inet causeway_masquerade belongs to new"
            ]
        );
        commit(&mut socket, |change| masquerade::remove(change, &pods, &long));
        let entries = masquerade::entries(&mut socket).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].owner, "new");
        assert_eq!(masquerade::missing(&mut socket, &pods[..1], "new").unwrap(), [""; 0]);
        let entry = &entries[0];
        commit(&mut socket, |change| masquerade::remove(change, &[entry.address], &entry.owner));
        assert_eq!(masquerade::entries(&mut socket).unwrap(), []);
        assert!(!run("nft list ruleset").contains("elements"));

        commit(&mut socket, |change| macspoof::add(change, "veth0", MAC, "o"));
        let entry = macspoof::Entry { link: "veth0".into(), mac: MAC, owner: "o".into() };
        assert_eq!(macspoof::entries(&mut socket).unwrap(), [entry]);
        commit(&mut socket, |change| macspoof::remove(change, "veth0", MAC, "other"));
        assert_eq!(macspoof::entries(&mut socket).unwrap().len(), 1);
        commit(&mut socket, |change| macspoof::remove(change, "veth0", MAC, "o"));
        assert_eq!(macspoof::entries(&mut socket).unwrap(), []);
    });
}

#[test]
fn removing_what_is_gone_is_done() {
    private(|| {
        let mut socket = Socket::open().unwrap();
        let pods = [net("10.88.0.5/16"), net("10.88.0.6/16")];
        let chain = |chain: &'static str| ChainName {
            family: Family::Inet,
            table: "causeway_masquerade".into(),
            chain: chain.into(),
        };
        let set = SetName {
            family: Family::Inet,
            table: "causeway_masquerade".into(),
            set: "pods-ipv4-16".into(),
        };
        let mut change = Change::new();
        masquerade::remove(&mut change, &pods, "o");
        macspoof::remove(&mut change, "veth0", MAC, "o");
        change.remove(set.clone(), Key::address(ip("10.88.0.5")));
        change.remove_rule(chain("postrouting-ipv4-16"), 77);
        change.flush_chain(chain("gone"));
        change.remove_chain(chain("gone"));
        // No table, then a table with one of two elements, then none again.
        socket.commit(&change).unwrap();
        commit(&mut socket, |change| masquerade::add(change, &pods[..1], "o"));
        socket.commit(&change).unwrap();
        assert_eq!(masquerade::entries(&mut socket).unwrap(), []);
        socket.commit(&change).unwrap();
        run("nft flush ruleset");
        socket.commit(&change).unwrap();

        // One change that removes something absent and adds something new does the latter.
        let mut change = Change::new();
        masquerade::remove(&mut change, &pods[..1], "o");
        change.remove(set, Key::address(ip("10.88.0.9")));
        masquerade::add(&mut change, &pods[1..], "o");
        socket.commit(&change).unwrap();
        assert_eq!(masquerade::entries(&mut socket).unwrap().len(), 1);
    });
}

#[test]
fn check_tells_what_is_missing() {
    private(|| {
        let mut socket = Socket::open().unwrap();
        let pods = [net("10.88.0.5/16")];
        let missing = |socket: &mut Socket| masquerade::missing(socket, &pods, "o").unwrap();
        let chain = "chain postrouting-ipv4-16 of table inet causeway_masquerade";
        let pods_set = "set pods-ipv4-16 of table inet causeway_masquerade lacks 10.88.0.5";
        let inside_set = "set inside-ipv4-16 of table inet causeway_masquerade lacks 10.88.0.5";
        let all = [&format!("{chain} is missing"), pods_set, inside_set];
        assert_eq!(missing(&mut socket), all);
        commit(&mut socket, |change| masquerade::add(change, &pods, "o"));
        assert_eq!(missing(&mut socket), [""; 0]);

        run("nft add rule inet causeway_masquerade postrouting-ipv4-16 counter");
        let rules = format!("{chain} does not have the rules it should have");
        assert_eq!(missing(&mut socket), [&*rules]);
        run("nft flush chain inet causeway_masquerade postrouting-ipv4-16");
        assert_eq!(missing(&mut socket), [&*rules]);
        // The right rule but for one bit of the mask.
        run("nft add rule inet causeway_masquerade postrouting-ipv4-16 ip saddr @pods-ipv4-16 \
             ip daddr != 224.0.0.0/4 \
             ip saddr . ip daddr \\& 255.255.128.0 != @inside-ipv4-16 masquerade");
        assert_eq!(missing(&mut socket), [&*rules]);
        run("nft delete chain inet causeway_masquerade postrouting-ipv4-16; \
             nft add chain inet causeway_masquerade postrouting-ipv4-16");
        let hook = format!("{chain} is not hooked where it should be");
        assert_eq!(missing(&mut socket), [&*hook]);

        commit(&mut socket, |change| macspoof::add(change, "veth0", MAC, "o"));
        run("nft delete element bridge causeway_macspoof guarded { veth0 }");
        assert_eq!(
            macspoof::missing(&mut socket, "veth0", MAC, "o").unwrap(),
            ["set guarded of table bridge causeway_macspoof lacks veth0"]
        );
    });
}

#[test]
fn many_at_once_on_an_empty_host_make_one_table() {
    private(|| {
        const THREADS: u8 = 16;
        let start = Arc::new(Barrier::new(usize::from(THREADS)));
        // Threads inherit the namespace of the thread that starts them.
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let start = Arc::clone(&start);
                std::thread::spawn(move || {
                    let mut socket = Socket::open().unwrap();
                    let pod = [IpNetwork::new([10, 88, 0, number].into(), 16).unwrap()];
                    start.wait();
                    for _ in 0..20 {
                        commit(&mut socket, |change| masquerade::add(change, &pod, "o"));
                        commit(&mut socket, |change| masquerade::remove(change, &pod, "o"));
                    }
                    commit(&mut socket, |change| masquerade::add(change, &pod, "o"));
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let mut socket = Socket::open().unwrap();
        let pods: Vec<_> = (0..THREADS)
            .map(|number| IpNetwork::new([10, 88, 0, number].into(), 16).unwrap())
            .collect();
        assert_eq!(masquerade::missing(&mut socket, &pods, "o").unwrap(), [""; 0]);
        assert_eq!(run("nft list ruleset").matches("masquerade\n").count(), 1);
    });
}

#[test]
fn large_changes_fit() {
    private(|| {
        let mut socket = Socket::open().unwrap();
        let pods: Vec<_> = (0..2000u32)
            .map(|number| IpNetwork::new(Ipv4Addr::from(0x0a58_0000 + number).into(), 16).unwrap())
            .collect();
        let owner = "o".repeat(100);
        commit(&mut socket, |change| masquerade::add(change, &pods, &owner));
        assert_eq!(masquerade::entries(&mut socket).unwrap().len(), 2000);
        // Every one of them is there already: as many refusals as messages.
        commit(&mut socket, |change| masquerade::add(change, &pods, "new"));
        assert!(masquerade::entries(&mut socket).unwrap().iter().all(|entry| entry.owner == "new"));
        commit(&mut socket, |change| masquerade::remove(change, &pods, "new"));
        assert_eq!(masquerade::entries(&mut socket).unwrap(), []);
    });
}

#[test]
fn a_socket_stays_in_its_namespace() {
    private(|| {
        run("ip netns add other");
        let mut socket = inside("other", || Socket::open().unwrap());
        commit(&mut socket, |change| masquerade::add(change, &[net("10.88.0.5/16")], "o"));
        assert_eq!(run("nft list ruleset"), "");
        assert!(run("ip netns exec other nft list ruleset").contains("10.88.0.5"));
    });
}

/// What port mappings and firewalls will need: maps of values and verdicts, nat, marks, counters.
#[test]
fn the_other_expressions_print_as_meant() {
    private(|| {
        let first = Register::FIRST;
        let table: &'static str = "t";
        let base = move || Base {
            table: Table { family: Family::Inet, name: table.into(), comment: None },
            sets: vec![
                Set {
                    name: "ports".into(),
                    key: &[Field::Protocol, Field::Port],
                    to: Some(MapTo::Fields(&[Field::Ipv4Address, Field::Port])),
                    comment: None,
                },
                Set {
                    name: "ways".into(),
                    key: &[Field::Ipv4Address],
                    to: Some(MapTo::Verdict),
                    comment: None,
                },
            ],
            chains: vec![
                Chain {
                    name: "prerouting".into(),
                    hook: Some(Hook {
                        kind: "nat".into(),
                        point: Hook::PREROUTING,
                        priority: -100,
                    }),
                    comment: Some("ports of this host".into()),
                    rules: vec![
                        Rule::new([
                            Expr::Meta { key: Meta::NetworkProtocol, to: first },
                            Expr::Compare { from: first, how: Compare::Equal, with: vec![2] },
                            Expr::Meta { key: Meta::TransportProtocol, to: first },
                            Expr::Compare { from: first, how: Compare::NotEqual, with: vec![1] },
                            Expr::Meta { key: Meta::TransportProtocol, to: first },
                            Expr::Payload {
                                header: Header::Transport,
                                offset: 2,
                                length: 2,
                                to: Register::after(4),
                            },
                            Expr::Lookup {
                                from: first,
                                set: "ports".into(),
                                absent: false,
                                to: Some(first),
                            },
                            Expr::Nat {
                                kind: Nat::Destination,
                                family: 2,
                                address: first,
                                port: Some(Register::after(4)),
                            },
                        ])
                        .with_comment("to the pods"),
                        Rule::new([
                            Expr::Connection { key: Connection::Mark, to: first },
                            Expr::SetMeta { key: Meta::Mark, from: first },
                            Expr::Constant { to: first, value: 0x2000u32.to_ne_bytes().to_vec() },
                            Expr::SetConnection { key: Connection::Mark, from: first },
                            Expr::Counter,
                        ]),
                        Rule::new([Expr::Verdict(Verdict::Jump("more".into()))]),
                    ],
                },
                Chain {
                    name: "more".into(),
                    hook: None,
                    comment: None,
                    rules: vec![Rule::new([
                        Expr::Meta { key: Meta::NetworkProtocol, to: first },
                        Expr::Compare { from: first, how: Compare::Equal, with: vec![2] },
                        Expr::Payload { header: Header::Network, offset: 16, length: 4, to: first },
                        Expr::Lookup {
                            from: first,
                            set: "ways".into(),
                            absent: false,
                            to: Some(Register::VERDICT),
                        },
                    ])],
                },
            ],
        };
        let set = |set: &'static str| SetName {
            family: Family::Inet,
            table: table.into(),
            set: set.into(),
        };
        let mut socket = Socket::open().unwrap();
        let target = Key::address(ip("10.88.0.5")).and_port(8080);
        commit(&mut socket, |change| {
            change.needs(set("ports"), base);
            change.add(Element {
                set: set("ports"),
                key: Key::default().and_protocol(6).and_port(80),
                value: Some(Value::Fields(target.clone())),
                comment: Some("web".into()),
            });
            change.add(Element {
                set: set("ways"),
                key: Key::address(ip("10.9.9.9")),
                value: Some(Value::Verdict(Verdict::Drop)),
                comment: None,
            });
        });
        assert_eq!(run("nft list ruleset"), include_str!("../testdata/nft/other-expressions.nft"));
        assert_eq!(socket.missing_of(&base()).unwrap(), [""; 0]);
        let key = Key::default().and_protocol(6).and_port(80);
        let found = socket.element(&set("ports"), &key).unwrap().unwrap();
        assert_eq!(found.value, Some(target));
        assert_eq!(found.comment.as_deref(), Some("web"));
        assert_eq!(socket.tables(Family::Inet).unwrap(), ["t"]);
        assert_eq!(socket.chains(Family::Inet, "t").unwrap().len(), 2);
        let prerouting =
            ChainName { family: Family::Inet, table: "t".into(), chain: "prerouting".into() };
        let rules = socket.rules(&prerouting).unwrap();
        assert_eq!(rules[0].comment.as_deref(), Some("to the pods"));
        assert_eq!(rules[2].jump_target(), Some("more"));

        // A chain that is jumped to cannot go; with the rule gone in the same transaction it can.
        let more = ChainName { chain: "more".into(), ..prerouting.clone() };
        let mut change = Change::new();
        change.flush_chain(more.clone());
        change.remove_chain(more);
        let busy = socket.commit(&change).unwrap_err();
        assert!(busy.is(nix::errno::Errno::EBUSY), "{busy}");
        assert!(busy.to_string().contains("remove chain more of table inet t"), "{busy}");
        change = Change::new();
        change.remove_rule(prerouting.clone(), rules[2].handle);
        change.flush_chain(ChainName { chain: "more".into(), ..prerouting.clone() });
        change.remove_chain(ChainName { chain: "more".into(), ..prerouting });
        socket.commit(&change).unwrap();
        assert_eq!(socket.chains(Family::Inet, "t").unwrap().len(), 1);
    });
}

#[test]
fn refusals_name_the_thing() {
    private(|| {
        // A table of the same name with a set of another make.
        run("nft 'table inet causeway_masquerade { set pods-ipv4-16 { type ether_addr; }; }'");
        let mut socket = Socket::open().unwrap();
        let mut change = Change::new();
        masquerade::add(&mut change, &[net("10.88.0.5/16")], "o");
        let refused = socket.commit(&change).unwrap_err();
        assert!(matches!(refused, Error::Refused { .. }), "{refused}");
        assert!(refused.to_string().contains("set pods-ipv4-16"), "{refused}");
        assert!(!run("nft list ruleset").contains("chain"));

        // A chain of a type that no kernel has stands for one that this kernel lacks.
        change = Change::new();
        let set = SetName { family: Family::Inet, table: "t".into(), set: "s".into() };
        let name = || Table { family: Family::Inet, name: "t".into(), comment: None };
        change.needs(set.clone(), move || Base {
            table: name(),
            sets: vec![],
            chains: vec![Chain {
                name: "c".into(),
                hook: Some(Hook { kind: "none".into(), point: Hook::INPUT, priority: 0 }),
                comment: None,
                rules: vec![],
            }],
        });
        change.add(Element { set, key: Key::address(ip("10.88.0.5")), value: None, comment: None });
        let lacks = socket.commit(&change).unwrap_err();
        assert_eq!(
            lacks.to_string(),
            "this kernel lacks nf_tables chains of type none in family inet"
        );
    });
}

/// Two pods and the world around this host, which routes. Pods have whole addresses, so that even
/// what stays in their subnet passes the host's postrouting.
fn routed_pods() {
    run("for ns in pod1 pod2 world; do
            ip netns add $ns
            ip -n $ns link set lo up
            ip netns exec $ns sysctl -qw net.ipv6.conf.default.accept_dad=0
         done
         sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
            net.ipv6.conf.default.accept_dad=0
         for n in 1 2; do
            ip link add veth$n type veth peer name eth0 netns pod$n
            ip link set veth$n up
            ip addr add 169.254.1.1/32 dev veth$n
            ip addr add fe80::1/64 dev veth$n nodad
            ip route add 10.88.0.$n dev veth$n
            ip route add fd00:88::$n dev veth$n
            ip -n pod$n link set eth0 up
            ip -n pod$n addr add 10.88.0.$n/32 dev eth0
            ip -n pod$n addr add fd00:88::$n/128 dev eth0 nodad
            ip -n pod$n route add 169.254.1.1 dev eth0
            ip -n pod$n route add default via 169.254.1.1
            ip -n pod$n route add default via fe80::1 dev eth0
         done
         ip link add out type veth peer name eth0 netns world
         ip link set out up
         ip addr add 203.0.113.1/24 dev out
         ip addr add 2001:db8::1/64 dev out nodad
         ip -n world link set eth0 up
         ip -n world addr add 203.0.113.2/24 dev eth0
         ip -n world addr add 2001:db8::2/64 dev eth0 nodad
         ip -n world route add default via 203.0.113.1
         ip -n world route add default via 2001:db8::1");
}

#[test]
fn packets_are_masqueraded_outside_the_subnet_only() {
    private(|| {
        routed_pods();
        let world4 = inside("world", || udp("203.0.113.2:9000"));
        let world6 = inside("world", || udp("[2001:db8::2]:9000"));
        let second4 = inside("pod2", || udp("10.88.0.2:9000"));
        let second6 = inside("pod2", || udp("[fd00:88::2]:9000"));
        let mut socket = Socket::open().unwrap();
        let send = |from: &str, to: &str| {
            // Each from a new port: a connection keeps the address that its first packet got.
            let from = inside("pod1", || udp(from));
            from.send_to(b"hello", to).unwrap();
        };
        let mut senders = |pods: &[IpNetwork]| {
            commit(&mut socket, |change| masquerade::add(change, pods, "o"));
            send("10.88.0.1:0", "203.0.113.2:9000");
            send("10.88.0.1:0", "10.88.0.2:9000");
            send("[fd00:88::1]:0", "[2001:db8::2]:9000");
            send("[fd00:88::1]:0", "[fd00:88::2]:9000");
            let seen = [&world4, &second4, &world6, &second6].map(|at| heard(at).1.to_string());
            commit(&mut socket, |change| masquerade::remove(change, pods, "o"));
            seen
        };
        let itself = ["10.88.0.1", "10.88.0.1", "fd00:88::1", "fd00:88::1"];
        assert_eq!(senders(&[]), itself);
        assert_eq!(
            senders(&[net("10.88.0.1/16"), net("fd00:88::1/64")]),
            ["203.0.113.1", "10.88.0.1", "2001:db8::1", "fd00:88::1"]
        );
        // For a pod whose subnet is itself, everybody else is outside.
        assert_eq!(
            senders(&[net("10.88.0.1/32"), net("fd00:88::1/128")]),
            ["203.0.113.1", "169.254.1.1", "2001:db8::1", "2001:db8::1"]
        );
        // Others' pods make no difference to this one, and nothing is left after removal.
        assert_eq!(senders(&[net("10.88.0.3/16"), net("fd00:88::3/64")]), itself);
        assert_eq!(senders(&[]), itself);
    });
}

#[test]
fn multicast_keeps_its_sender() {
    private(|| {
        routed_pods();
        // The kernel sends multicast out of the link that has the address.
        run("ip addr add 10.88.0.9/32 dev out");
        let mut socket = Socket::open().unwrap();
        commit(&mut socket, |change| masquerade::add(change, &[net("10.88.0.9/16")], "o"));
        let group = Ipv4Addr::new(224, 0, 0, 251);
        let world = inside("world", || {
            let socket = udp("0.0.0.0:9000");
            socket.join_multicast_v4(&group, &Ipv4Addr::new(203, 0, 113, 2)).unwrap();
            socket
        });
        let pod = udp("10.88.0.9:0");
        pod.send_to(b"group", "224.0.0.251:9000").unwrap();
        assert_eq!(heard(&world), ("group".into(), ip("10.88.0.9")));
        udp("10.88.0.9:0").send_to(b"alone", "203.0.113.2:9000").unwrap();
        assert_eq!(heard(&world), ("alone".into(), ip("203.0.113.1")));
    });
}

#[test]
fn frames_with_a_forged_sender_are_dropped() {
    private(|| {
        run("ip link add br0 type bridge
             ip link set br0 up
             for n in 1 2; do
                ip netns add pod$n
                ip link add veth$n type veth peer name eth0 netns pod$n
                ip link set veth$n master br0 up
                ip -n pod$n link set eth0 address 02:42:0a:58:00:0$n up
                ip -n pod$n addr add 10.88.0.$n/16 dev eth0
             done");
        let second = inside("pod2", || udp("10.88.0.2:9000"));
        let send_from = |mac: &str, text: &str| {
            run(&format!(
                "ip -n pod1 link set eth0 address {mac}
                 ip -n pod1 neigh replace 10.88.0.2 lladdr 02:42:0a:58:00:02 dev eth0"
            ));
            let first = inside("pod1", || udp("10.88.0.1:0"));
            first.send_to(text.as_bytes(), "10.88.0.2:9000").unwrap();
        };
        let (own, forged) = ("02:42:0a:58:00:01", "02:42:0a:58:00:77");
        let mut socket = Socket::open().unwrap();
        send_from(forged, "unguarded");
        assert_eq!(heard(&second).0, "unguarded");
        let mac = [0x02, 0x42, 0x0a, 0x58, 0, 1];
        commit(&mut socket, |change| macspoof::add(change, "veth1", mac, "o"));
        // What comes after a forged frame tells that it did not arrive.
        send_from(forged, "forged");
        send_from(own, "own");
        assert_eq!(heard(&second).0, "own");
        commit(&mut socket, |change| macspoof::remove(change, "veth1", mac, "o"));
        send_from(forged, "unguarded again");
        assert_eq!(heard(&second).0, "unguarded again");
    });
}

/// What a socket has made for others is taken away again, and nothing of anybody else's.
#[test]
fn what_was_founded_for_nothing_goes() {
    fn add_and_remove(socket: &mut Socket, pod: &str) {
        commit(socket, |change| masquerade::add(change, &[net(pod)], "net/id/eth0"));
        commit(socket, |change| masquerade::remove(change, &[net(pod)], "net/id/eth0"));
    }
    private(|| {
        // On a bare host everything goes.
        let mut socket = Socket::open().unwrap();
        add_and_remove(&mut socket, "10.88.0.5/16");
        add_and_remove(&mut socket, "fd00:88::5/64");
        assert!(run("nft list ruleset").contains("causeway_masquerade"));
        socket.take_back_founded().unwrap();
        assert_eq!(run("nft list ruleset"), "");
        socket.take_back_founded().unwrap();

        // Beside what was there, what is new.
        commit(&mut Socket::open().unwrap(), |change| {
            masquerade::add(change, &[net("10.88.0.7/16")], "net/other/eth0");
        });
        let before = run("nft list ruleset");
        let mut socket = Socket::open().unwrap();
        add_and_remove(&mut socket, "10.99.0.5/24");
        assert_ne!(run("nft list ruleset"), before);
        socket.take_back_founded().unwrap();
        assert_eq!(run("nft list ruleset"), before);

        // What somebody uses, or has put something beside, stays.
        let mut socket = Socket::open().unwrap();
        add_and_remove(&mut socket, "10.99.0.5/24");
        commit(&mut Socket::open().unwrap(), |change| {
            masquerade::add(change, &[net("10.99.0.6/24")], "net/other/eth0");
        });
        let used = run("nft list ruleset");
        socket.take_back_founded().unwrap();
        assert_eq!(run("nft list ruleset"), used);
        run("nft flush ruleset");
        let mut socket = Socket::open().unwrap();
        add_and_remove(&mut socket, "10.99.0.5/24");
        run("nft add chain inet causeway_masquerade mine");
        let mixed = run("nft list ruleset");
        socket.take_back_founded().unwrap();
        assert_eq!(run("nft list ruleset"), mixed);
    });
}

/// The operator's chain is not taken away with its rules.
#[test]
fn a_chain_that_was_filled_stays() {
    private(|| {
        let mut socket = Socket::open().unwrap();
        let pod = [ip("10.88.0.5")];
        commit(&mut socket, |change| firewall::add(change, &pod, "net/id/eth0"));
        commit(&mut socket, |change| firewall::remove(change, &pod, "net/id/eth0"));
        let chain = format!("inet {} {}", firewall::TABLE, firewall::ADMIN);
        run(&format!("nft add rule {chain} accept"));
        let filled = run("nft list ruleset");
        socket.take_back_founded().unwrap();
        assert_eq!(run("nft list ruleset"), filled);

        run("nft flush ruleset");
        let mut socket = Socket::open().unwrap();
        commit(&mut socket, |change| firewall::add(change, &pod, "net/id/eth0"));
        commit(&mut socket, |change| firewall::remove(change, &pod, "net/id/eth0"));
        socket.take_back_founded().unwrap();
        assert_eq!(run("nft list ruleset"), "");
    });
}

/// A transaction that was made from older rules than there are is refused: nothing changes between looking and
/// taking away.
#[test]
fn a_transaction_may_name_its_generation() {
    private(|| {
        let mut socket = Socket::open().unwrap();
        let old = socket.generation().unwrap();
        run("nft add table inet other");
        assert_ne!(socket.generation().unwrap(), old);
    });
}
