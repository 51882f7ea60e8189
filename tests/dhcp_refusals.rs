//! What a DHCP server or its absence can do wrong, and what a configuration can: each is told, in
//! time, and leaves nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use causeway::dhcp::message::{Kind, option};
use harness::call::{Plugin, await_end};
use harness::dhcp::{SOCKET, World, addresses, by_dhcp, network};
use harness::dhcp_server::{DhcpServer, Manner};
use harness::refusal::{BAD_CONFIG, DELEGATE, refuse_late};
use harness::snapshot::nothing_stays;
use serde_json::json;

const BRIDGE: Plugin = Plugin::Causeway("bridge");
/// The specification's code for a passing condition.
const TRY_AGAIN_LATER: u64 = 11;
const NOT_AVAILABLE: u64 = 50;

/// ADD of one pod must fail with all of `words`, in the daemon's time limit, and leave nothing.
#[track_caller]
fn refused(world: &World, words: &[&str]) {
    let pod = world.host.pod("blue");
    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
    let start = Instant::now();
    refuse_late(&pod, &call, "ADD", &[DELEGATE], words);
    assert!(start.elapsed() < Duration::from_secs(8), "took {:?}", start.elapsed());
    let before = (world.host.snapshot(), pod.snapshot());
    call.del();
    nothing_stays(&before, &pod, "after the DEL that follows");
    assert_eq!(world.host.run("ls /run/cni/dhcp-leases"), "");
}

#[test]
fn a_server_that_never_answers() {
    let world = World::new(Manner { is_silent: true, ..Manner::default() });
    refused(&world, &["no DHCP server answers: in 2 s sent ", " DISCOVER, heard nothing"]);
    let sent = world.server.heard(Kind::Discover);
    assert!(sent.len() >= 5, "{}", sent.len());
}

#[test]
fn a_server_that_offers_and_then_is_silent() {
    let world = World::new(Manner { ignores_requests: true, ..Manner::default() });
    refused(
        &world,
        &["offers an address but does not lend it", "REQUEST, heard", "of 10.9.0.5 from 10.9.0.1"],
    );
}

#[test]
fn a_server_that_refuses() {
    let world = World::new(Manner { refuses: true, ..Manner::default() });
    refused(&world, &["the DHCP server refuses", "NAK, the last from 10.9.0.1 (\"go away\")"]);
}

#[test]
fn an_ack_without_a_subnet_mask() {
    let world = World::new(Manner::default());
    world.server.change(|manner| manner.options[0] = (option::SUBNET_MASK, Vec::new()));
    refused(&world, &["subnet mask"]);
    world.server.has_all_back();
}

#[test]
fn a_server_that_hands_out_what_others_have() {
    let taken = Ipv4Addr::new(10, 9, 0, 5);
    let world = World::new(Manner::default());
    let other = world.host.pod("other");
    world.host.run("ip link add o0 type veth peer name eth0 netns other");
    world.host.run("ip link set o0 master cni0 up");
    other.run("ip addr add 10.9.0.5/24 dev eth0");
    other.run("ip link set eth0 up");
    world.host.wait("the other answers", |host| host.succeeds("ping -c1 -W1 10.9.0.5"));
    world.server.change(|manner| manner.pool = vec![taken, Ipv4Addr::new(10, 9, 0, 6)]);
    let pod = world.host.pod("blue");
    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
    call.add();
    assert_eq!(addresses(&pod), ["10.9.0.6/24"]);
    let declined = &world.server.heard(Kind::Decline)[0].message;
    assert_eq!(declined.address(option::REQUESTED_ADDRESS), Some(taken));
    assert_eq!(declined.option(option::CLIENT_ID).unwrap(), b"\0id-blue/testnet/eth0");
    call.del();
    other.run("ip addr add 10.9.0.7/24 dev eth0");
    // A server that does not listen to a DECLINE is not asked for ever.
    world.server.change(|manner| {
        manner.pool = vec![Ipv4Addr::new(10, 9, 0, 7)];
        manner.keeps_offering = true;
    });
    let green = world.host.pod("green");
    let call = green.call(BRIDGE, &by_dhcp(json!({})));
    let mac = other.mac("eth0");
    call.run("ADD").fails(DELEGATE, &["hands out addresses that others have", "10.9.0.7", &mac]);
    call.del();
}

#[test]
fn no_daemon() {
    let host = network();
    let pod = host.pod("blue");
    let config = by_dhcp(json!({}));
    let call = pod.call(BRIDGE, &config);
    let before = (host.snapshot(), pod.snapshot());
    let words = ["no dhcp daemon listens at /run/cni/dhcp.sock", "causeway dhcp daemon"];
    call.run("ADD").fails(TRY_AGAIN_LATER, &words);
    nothing_stays(&before, &pod, "after the refusal");
    host.call(BRIDGE, &config).run("STATUS").fails(NOT_AVAILABLE, &words);
    call.del();
    host.call(BRIDGE, &config).gc(&[]);
    let elsewhere = by_dhcp(json!({"ipam": {"type": "dhcp", "daemonSocketPath": "/run/x.sock"}}));
    pod.call(BRIDGE, &elsewhere).run("ADD").fails(TRY_AGAIN_LATER, &["/run/x.sock"]);
    // A socket that a killed daemon has left.
    host.inside(|| {
        std::fs::create_dir_all("/run/cni").unwrap();
        drop(std::os::unix::net::UnixListener::bind(SOCKET).unwrap());
    });
    call.run("ADD").fails(TRY_AGAIN_LATER, &["Connection refused"]);
}

#[test]
fn somebody_else_at_the_socket() {
    let host = network();
    let pod = host.pod("blue");
    host.inside(|| std::fs::create_dir_all("/run/cni").unwrap());
    let listener = host.inside(|| std::os::unix::net::UnixListener::bind(SOCKET).unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::io::{Read, Write};
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 100]);
            stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap();
        });
        let call = pod.call(BRIDGE, &by_dhcp(json!({})));
        call.run("ADD").fails(5, &["asking the dhcp daemon", "404 Not Found"]);
    });
    assert_eq!(pod.link_names(), ["lo"]);
}

/// A runtime that loses patience kills the plugin and calls DEL, or does not.
#[test]
fn a_plugin_that_is_killed_while_it_waits() {
    let world = World::with(
        Manner { is_silent: true, ..Manner::default() },
        "-resendmax 200ms -resendtimeout 1h",
    );
    let pod = world.host.pod("blue");
    let before = (world.host.snapshot(), pod.snapshot());
    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
    let mut child = call.spawn("ADD", Stdio::piped());
    world.host.wait("the daemon asks", |_| !world.server.heard(Kind::Discover).is_empty());
    child.kill().unwrap();
    await_end(child);
    world
        .host
        .wait("the daemon gives up", |_| world.log().contains("the plugin that asked has gone"));
    call.del();
    nothing_stays(&before, &pod, "after DEL");

    // DEL comes while the daemon is still asking.
    let asking = call.spawn("ADD", Stdio::piped());
    let heard = world.server.heard(Kind::Discover).len();
    world.host.wait("the daemon asks", |_| world.server.heard(Kind::Discover).len() > heard);
    let alone = pod.call(Plugin::Causeway("dhcp"), &by_dhcp(json!({})));
    alone.del();
    let said = await_end(asking);
    assert!(!said.status.success());
    assert!(String::from_utf8_lossy(&said.stdout).contains("was given back"));
    nothing_stays(&before, &pod, "after ADD");
}

#[test]
fn wrong_keys_are_refused_before_anything_is_made() {
    let host = network();
    let pod = host.pod("blue");
    let rows = [
        (json!({"provide": [{"option": "hostname"}]}), "ipam.provide[0].option: \"hostname\""),
        (json!({"request": [{}, {"option": "300"}]}), "ipam.request[1].option: \"300\""),
        (json!({"priority": -5}), "ipam.priority"),
        (json!({"priority": "high"}), "ipam.priority"),
        (json!({"provide": {"option": "12"}}), "ipam.provide"),
        (json!({"daemonSocketPath": 5}), "ipam.daemonSocketPath"),
        (json!({"provide": [{"option": "12", "value": "x".repeat(256)}]}), "ipam.provide[0].value"),
    ];
    for (mut ipam, word) in rows {
        ipam["type"] = "dhcp".into();
        let call = pod.call(BRIDGE, &by_dhcp(json!({ "ipam": ipam })));
        harness::refusal::refuse(&pod, &call, "ADD", &[BAD_CONFIG], &[word]);
    }
}

#[test]
fn an_interface_that_is_not_there() {
    let world = World::new(Manner::default());
    let pod = world.host.pod("blue");
    let alone = pod.call(Plugin::Causeway("dhcp"), &by_dhcp(json!({})));
    alone.run("ADD").fails(DELEGATE, &["interface eth0 is not in /run/netns/blue"]);
    alone.del();
}

#[test]
fn a_daemon_that_has_no_server_yet_serves_others() {
    let world = World::with(Manner { is_silent: true, ..Manner::default() }, "-resendmax 200ms");
    let (blue, green) = (world.host.pod("blue"), world.host.pod("green"));
    let waiting = blue.call(BRIDGE, &by_dhcp(json!({}))).spawn("ADD", Stdio::piped());
    world.host.wait("the daemon asks", |_| !world.server.heard(Kind::Discover).is_empty());
    // Not held up by the other: its own server is on another bridge.
    world.host.run("ip link add cni1 address 02:00:00:00:0a:01 type bridge");
    world.host.run("ip addr add 10.9.0.1/24 dev cni1");
    world.host.run("ip link set cni1 up");
    let other = DhcpServer::start(&world.host, "cni1", Manner::default());
    green.call(BRIDGE, &by_dhcp(json!({"bridge": "cni1"}))).add();
    assert_eq!(other.leases(), 1);
    world.server.change(|manner| manner.is_silent = false);
    assert!(await_end(waiting).status.success());
}
