//! The usual list, bridge with masquerading, portmap, firewall, bandwidth and tuning, one by one and
//! as one: the same state, no child process, all or nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::chained::{List, Side, dual_entry, fused};
use harness::config::{merge, newest};
use harness::killed::killed_add;
use harness::refusal::{CHECK_FAILED, KERNEL_REFUSED};
use harness::services::{Service, World};
use harness::snapshot::{Snapshot, nothing_stays, readable};
use harness::symbols::Symbols;
use harness::{Host, Pod};
use serde_json::{Value, json};

const CAUSEWAY: Plugin = Plugin::Causeway("causeway");

/// The entries, with ports of the host from `port` on.
fn usual(port: u16) -> Vec<Value> {
    let mut bridge = dual_entry("br0", 88);
    merge(&mut bridge, json!({"ipMasq": true, "hairpinMode": true}));
    let mappings = json!([
        {"hostPort": port, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": port + 1, "containerPort": 53, "protocol": "udp"}
    ]);
    let limits = json!({"ingressRate": 80_000_000, "ingressBurst": 8_000_000,
                        "egressRate": 40_000_000, "egressBurst": 4_000_000});
    vec![
        bridge,
        json!({"type": "portmap", "capabilities": {"portMappings": true},
               "runtimeConfig": {"portMappings": mappings}}),
        json!({"type": "firewall", "backend": "nftables"}),
        json!({"type": "bandwidth", "capabilities": {"bandwidth": true},
               "runtimeConfig": {"bandwidth": limits}}),
        json!({"type": "tuning", "mtu": 1400, "sysctl": {"net.core.somaxconn": "512"}}),
    ]
}

fn list<'h>(pod: &Pod<'h>, side: Side) -> List<'h> {
    List::new(pod, side, &usual(8080))
}

/// A host where another pod is attached, with everything that attachments share.
fn in_use(host: &Host) -> (Pod<'_>, Value) {
    let other = host.pod("green");
    let result = List::new(&other, Side::Fused, &usual(9090)).add();
    (other, result)
}

/// GC by the fused list; the other pod is all that is valid.
fn collect(host: &Host) {
    let mut config = fused(&usual(8080));
    merge(&mut config, json!({"cniVersion": newest(), "name": "testnet"}));
    host.call(CAUSEWAY, &config).gc(&[("id-green", "eth0")]);
}

/// The conflist that README.md has to copy.
#[test]
fn the_list_in_the_readme_attaches() {
    let readme = include_str!("../README.md");
    let text = readme.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let conflist: Value = serde_json::from_str(text).unwrap();
    let entries: Vec<Value> = conflist["plugins"].as_array().unwrap().clone();
    for side in [Side::Causeway, Side::Fused] {
        let host = Host::new();
        let (one, other) = (host.pod("blue"), host.pod("green"));
        let list = List::new(&one, side, &entries);
        let result = list.add();
        list.check(&result);
        List::new(&other, side, &entries).add();
        for address in ["10.88.0.1", "fd00:88::1", "10.88.0.2", "fd00:88::2"] {
            assert!(other.reaches(address), "{address} is out of reach, {side:?}");
        }
        list.del(&result);
    }
}

#[test]
fn one_by_one_and_as_one_make_the_same() {
    let play = |side: Side| {
        let host = Host::new();
        let pod = host.pod("blue");
        let list = list(&pod, side);
        let result = list.add();
        list.check(&result);
        let filters = host.run("tc filter show dev br0") + &host.run("tc -s -d class show dev br0");
        let (at_host, at_pod) = (host.snapshot(), pod.snapshot());
        // The bridge and the host's link have addresses by chance.
        let symbols = Symbols::of(&at_host, &at_pod, &[]);
        let masked = |snapshot: &Snapshot| Snapshot(symbols.apply(&snapshot.without("/files").0));
        list.del(&result);
        let left = masked(&host.snapshot().without_shared_files());
        (symbols.apply(&result), (masked(&at_host), masked(&at_pod)), filters, left)
    };
    let (one_by_one, as_one) = (play(Side::Causeway), play(Side::Fused));
    assert_eq!(as_one.0, one_by_one.0);
    let kinds: Vec<_> = one_by_one.1.0.links();
    assert!(kinds.iter().any(|name| name.starts_with("bwp")), "{kinds:?}");
    for (which, a, b) in [
        ("host", &one_by_one.1.0, &as_one.1.0),
        ("pod", &one_by_one.1.1, &as_one.1.1),
        ("host after DEL", &one_by_one.3, &as_one.3),
    ] {
        let differences = a.diff(b);
        assert!(differences.is_empty(), "{which}: {}", readable(&differences));
    }
    assert_eq!(as_one.2, one_by_one.2);
}

#[test]
fn packets_pass_as_configured() {
    for side in [Side::Causeway, Side::Fused] {
        let host = Host::new();
        let world = World::new(&host);
        let (server, client) = (host.pod("blue"), host.pod("green"));
        let list = list(&server, side);
        let result = list.add();
        let other = List::new(&client, side, &usual(9090));
        other.add();
        let web = Service::start(&server, "tcp", 80);
        let names = Service::start(&server, "udp", 53);
        let outside = Service::start(world.outside(), "tcp", 7);
        for to in [World::HOST_V4, World::HOST_V6] {
            for from in [world.outside(), &client, &server] {
                assert!(web.answers(from, &format!("{to}:8080")), "{side:?} tcp {to}");
                assert!(names.answers(from, &format!("{to}:8081")), "{side:?} udp {to}");
            }
        }
        assert!(web.answers_host(&host, "127.0.0.1:8080"));
        let seen = outside.seen_from(&client, &format!("{}:7", World::OUTSIDE_V4));
        assert_eq!(seen.as_deref(), Some(World::HOST_V4), "masqueraded");
        list.check(&result);
        list.del(&result);
        assert!(!web.answers_at_once(world.outside(), &format!("{}:8080", World::HOST_V4)));
        assert!(client.reaches("10.88.0.1"));
    }
}

#[test]
fn no_process_is_started() {
    let host = Host::new();
    let pod = host.pod("blue");
    let trace = "/run/cni-test/trace";
    let wrapper = format!("strace -f -qq -A -o {trace} -e trace=execve,fork,vfork,clone,clone3");
    for side in [Side::Fused, Side::Causeway] {
        let plain = list(&pod, side);
        let result = plain.add();
        plain.del(&result);
        let traced = list(&pod, side).map(|call| call.by(&wrapper));
        let processes = |what: &str, verb: &dyn Fn()| {
            host.write(trace, "");
            verb();
            let text = host.read(trace);
            // The plugins themselves are executed, and nothing else is done.
            assert_eq!(text.lines().count(), traced.calls().len(), "{side:?} {what}: {text}");
        };
        let result = std::cell::RefCell::new(Value::Null);
        processes("ADD", &|| {
            result.replace(traced.add());
        });
        let result = result.into_inner();
        processes("CHECK", &|| traced.check(&result));
        processes("DEL", &|| traced.del(&result));
    }
}

/// Asked by ioctl for an interface that is not there, the kernel executes modprobe.
#[test]
fn nor_does_the_kernel_start_one() {
    let host = Host::new();
    let pod = host.pod("blue");
    let trace = "/run/cni-test/trace";
    let wrapper = format!("strace -f -qq -A -o {trace} -e trace=ioctl");
    for side in [Side::Fused, Side::Causeway] {
        host.write(trace, "");
        let traced = list(&pod, side).map(|call| call.by(&wrapper));
        let result = traced.add();
        traced.check(&result);
        traced.del(&result);
        let text = host.read(trace);
        assert!(text.contains("ioctl("), "strace has seen nothing");
        assert!(!text.contains("SIOCG"), "{side:?}: {text}");
    }
}

#[test]
fn one_record_is_enough_to_remove_everything() {
    let host = Host::new();
    let (other, beside) = in_use(&host);
    let pod = host.pod("blue");
    let before = (host.snapshot(), pod.snapshot());
    let as_one = list(&pod, Side::Fused);
    let one_by_one = list(&pod, Side::Causeway);

    let result = as_one.add();
    assert_eq!(host.run("ls /var/lib/cni/causeway/testnet").matches("id-blue").count(), 1);
    one_by_one.check(&result);
    one_by_one.del(&result);
    nothing_stays(&before, &pod, "attached as one, detached one by one");

    let result = one_by_one.add();
    as_one.check(&result);
    as_one.del(&result);
    nothing_stays(&before, &pod, "attached one by one, detached as one");

    as_one.add();
    collect(&host);
    nothing_stays(&before, &pod, "attached as one, collected");
    one_by_one.add();
    collect(&host);
    nothing_stays(&before, &pod, "attached one by one, collected as one");

    // The namespace may be gone before DEL.
    let doomed = host.pod("red");
    let list = List::new(&doomed, Side::Fused, &usual(7070));
    let before = host.snapshot().without_shared_files();
    let result = list.add();
    doomed.destroy();
    list.del(&result);
    before.assert_same(&host.snapshot().without_shared_files(), "the namespace went before DEL");
    List::new(&other, Side::Fused, &usual(9090)).check(&beside);
}

#[test]
fn what_fails_at_last_takes_all_with_it() {
    let host = Host::new();
    in_use(&host);
    let pod = host.pod("blue");
    let before = (host.snapshot(), pod.snapshot());
    let mut entries = usual(8080);
    entries[4]["sysctl"] = json!({"net.core.somaxconn": "many"});
    let (outcome, _) = List::new(&pod, Side::Fused, &entries).try_add();
    outcome.fails(KERNEL_REFUSED, &["somaxconn"]);
    nothing_stays(&before, &pod, "a sysctl that the kernel does not take");

    let mut entries = usual(8080);
    entries[1]["runtimeConfig"]["portMappings"][0]["hostPort"] = json!(9090);
    let (outcome, _) = List::new(&pod, Side::Fused, &entries).try_add();
    outcome.fails(108, &["9090/tcp", "id-green"]);
    nothing_stays(&before, &pod, "a port that is taken");
}

#[test]
fn check_finds_what_any_member_has_lost() {
    let rows: &[(&str, &[&str])] = &[
        ("nft flush set inet causeway_masquerade pods-ipv4-24", &["causeway_masquerade"]),
        ("nft flush map inet causeway_portmap ports-ipv4", &["ports-ipv4"]),
        ("nft delete table inet causeway_firewall", &["causeway_firewall"]),
        ("ip link del IFB", &["bwp"]),
        ("ip -n blue link set eth0 mtu 1300", &["1300"]),
        ("ip netns exec blue sysctl -q -w net.core.somaxconn=99", &["somaxconn", "99"]),
    ];
    for (harm, words) in rows {
        let host = Host::new();
        let pod = host.pod("blue");
        let list = list(&pod, Side::Fused);
        let result = list.add();
        list.check(&result);
        let names = host.link_names();
        let ifb = names.iter().find(|name| name.starts_with("bwp")).expect("an ifb link");
        host.run(&harm.replace("IFB", ifb));
        list.check_last(&result).fails(CHECK_FAILED, words);
        list.del(&result);
        assert_eq!(host.nft_elements(), [], "{harm}");
        assert_eq!(host.link_names(), ["lo", "br0"], "{harm}");
    }
}

/// A kill at every request, file operation and change of namespace of the fused ADD, answered by DEL,
/// GC, or another ADD.
#[test]
fn a_kill_anywhere_leaves_nothing_that_stays() {
    let host = Host::new();
    let (other, beside) = in_use(&host);
    let pod = host.pod("blue");
    let before = (host.snapshot(), pod.snapshot());
    let list = list(&pod, Side::Fused);
    let mut kills = 0;
    for name in
        ["sendto", "sendmsg", "write", "openat", "/^rename", "/^unlink", "setns", "symlinkat"]
    {
        for nth in 1..200 {
            if !killed_add(&host, list.last(), CAUSEWAY, name, nth) {
                list.last().del();
                break;
            }
            kills += 1;
            match kills % 3 {
                0 => list.last().del(),
                1 => collect(&host),
                _ => {
                    let outcome = list.last().run("ADD");
                    if outcome.status != Some(0) {
                        outcome.fails(103, &["eth0"]);
                        list.last().del();
                        list.last().add();
                    }
                    list.last().del();
                }
            }
            nothing_stays(&before, &pod, &format!("killed at {name} {nth}"));
        }
    }
    assert!(kills > 30, "{kills}");
    List::new(&other, Side::Fused, &usual(9090)).check(&beside);
}
