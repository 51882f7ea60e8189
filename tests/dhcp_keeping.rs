//! Leases in the course of time: renewal, rebinding, expiry, a server that changes its mind, and
//! daemons that come and go.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::net::Ipv4Addr;

use causeway::dhcp::message::{Kind, option};
use harness::call::Plugin;
use harness::dhcp::{HASTY, World, addresses, by_dhcp, is_up};
use harness::dhcp_server::Manner;
use harness::snapshot::nothing_stays;
use nix::sys::signal::Signal;
use serde_json::json;

const BRIDGE: Plugin = Plugin::Causeway("bridge");

fn short(seconds: u32, renewal: u32, rebinding: u32) -> Manner {
    Manner { seconds, renewal: Some(renewal), rebinding: Some(rebinding), ..Manner::default() }
}

/// How many requests came from the leased address, to the server alone and to everybody.
fn renewals(world: &World) -> (usize, usize) {
    let all = world.server.heard(Kind::Request);
    let from_lease: Vec<_> =
        all.iter().filter(|heard| !heard.message.client.is_unspecified()).collect();
    let alone = from_lease.iter().filter(|heard| heard.is_unicast).count();
    (alone, from_lease.len() - alone)
}

#[test]
fn a_lease_is_renewed_with_its_server() {
    let world = World::new(short(60, 1, 50));
    let pod = world.host.pod("blue");
    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
    let result = call.add();
    world.host.wait("the lease is renewed thrice", |_| renewals(&world).0 >= 3);
    assert_eq!(renewals(&world).1, 0, "nobody else was asked");
    let request = &world.server.heard(Kind::Request)[1].message;
    assert_eq!(request.client.to_string(), "10.9.0.5");
    assert_eq!(request.option(option::SERVER), None);
    assert_eq!(request.option(option::REQUESTED_ADDRESS), None);
    call.check(&result).silence();
    assert_eq!(addresses(&pod), ["10.9.0.5/24"]);
}

#[test]
fn a_lease_is_rebound_when_its_server_is_silent() {
    let world = World::new(short(60, 1, 2));
    world.server.change(|manner| manner.ignores_unicast = true);
    let pod = world.host.pod("blue");
    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
    let result = call.add();
    world.host.wait("the lease is rebound twice", |_| renewals(&world).1 >= 2);
    assert!(renewals(&world).0 > 0, "its server was asked first");
    call.check(&result).silence();
}

#[test]
fn a_lease_that_runs_out_takes_address_and_link_along() {
    let world = World::new(short(3, 1, 2));
    let pod = world.host.pod("blue");
    let before = (world.host.snapshot(), pod.snapshot());
    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
    let result = call.add();
    world.server.change(|manner| manner.is_silent = true);
    world.host.wait("the link is down", |_| !is_up(&pod));
    assert_eq!(addresses(&pod), [""; 0]);
    call.check(&result).fails(104, &["no server renewed it"]);
    call.del();
    nothing_stays(&before, &pod, "after DEL");
}

#[test]
fn an_address_that_the_server_takes_back_is_replaced() {
    let world = World::new(short(60, 1, 50));
    let pod = world.host.pod("blue");
    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
    let result = call.add();
    assert_eq!(addresses(&pod), ["10.9.0.5/24"]);
    world.server.forget();
    world.server.change(|manner| manner.pool = vec![Ipv4Addr::new(10, 9, 0, 50)]);
    // A server that does not know the lease and has no such address says no.
    world.server.change(|manner| manner.refuses = true);
    world.host.wait("the address is taken away", |_| addresses(&pod).is_empty());
    world.server.change(|manner| manner.refuses = false);
    world.host.wait("there is another", |_| addresses(&pod) == ["10.9.0.50/24"]);
    let routes = || pod.run("ip route");
    world
        .host
        .wait("the route is there again", |_| routes().contains("default via 10.9.0.1 dev eth0"));
    assert!(pod.reaches("10.9.0.1"));
    call.check(&result).fails(104, &["the lease is now of 10.9.0.50/24, not of 10.9.0.5/24"]);
    call.del();
    world.server.has_all_back();
}

#[test]
fn routes_follow_the_server() {
    let world = World::new(short(60, 1, 50));
    let pod = world.host.pod("blue");
    pod.call(BRIDGE, &by_dhcp(json!({}))).add();
    world.server.change(|manner| manner.options[1] = (option::ROUTER, vec![10, 9, 0, 2]));
    world.host.wait("the router is another", |_| {
        let routes = pod.run("ip route");
        routes.contains("default via 10.9.0.2") && !routes.contains("10.9.0.1 ")
    });
    assert_eq!(addresses(&pod), ["10.9.0.5/24"]);
}

fn outlives(signal: Signal) {
    let world = World::new(short(60, 3, 50));
    let pod = world.host.pod("blue");
    let before = (world.host.snapshot(), pod.snapshot());
    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
    let result = call.add();
    world.end(signal);
    world.start(HASTY);
    assert_eq!(world.server.heard(Kind::Release).len(), 0);
    call.check(&result).silence();
    world.host.wait("the lease is renewed", |_| renewals(&world).0 >= 1);
    assert_eq!(world.server.heard(Kind::Discover).len(), 1, "no address was sought anew");
    call.check(&result).silence();
    call.del();
    assert_eq!(world.server.heard(Kind::Release).len(), 1);
    world.server.has_all_back();
    nothing_stays(&before, &pod, "after DEL");
}

#[test]
fn a_lease_outlives_a_daemon_that_ends() {
    outlives(Signal::SIGTERM);
}

#[test]
fn a_lease_outlives_a_daemon_that_is_killed() {
    outlives(Signal::SIGKILL);
}

#[test]
fn a_lease_that_ran_out_while_there_was_no_daemon_is_over() {
    let world = World::new(short(3, 2, 3));
    let pod = world.host.pod("blue");
    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
    call.add();
    eprintln!("the daemon before said\n{}", world.end(Signal::SIGTERM));
    std::thread::sleep(std::time::Duration::from_millis(3200));
    assert_eq!(addresses(&pod), ["10.9.0.5/24"]);
    world.start(HASTY);
    world.host.wait("the link is down", |_| !is_up(&pod));
    assert_eq!(addresses(&pod), [""; 0]);
    call.del();
}

#[test]
fn a_lease_of_an_interface_that_is_gone_is_forgotten() {
    let world = World::new(short(60, 1, 50));
    let (blue, green) = (world.host.pod("blue"), world.host.pod("green"));
    let config = by_dhcp(json!({}));
    blue.call(BRIDGE, &config).add();
    green.call(BRIDGE, &config).add();
    blue.run("ip link del eth0");
    let files = |world: &World| world.host.run("ls /run/cni/dhcp-leases").lines().count();
    assert_eq!(files(&world), 2);
    world.host.wait("a running daemon finds out", |_| files(&world) == 1);
    world.end(Signal::SIGKILL);
    green.destroy();
    world.start(HASTY);
    world.host.wait("a new daemon finds out", |_| files(&world) == 0);
    blue.call(BRIDGE, &config).del();
    green.call(BRIDGE, &config).del();
}

#[test]
fn a_namespace_is_not_kept_alive_by_its_lease() {
    let world = World::new(Manner::default());
    let pod = world.host.pod("blue");
    pod.call(BRIDGE, &by_dhcp(json!({}))).add();
    let veth = |world: &World| world.host.run("ip -br link show type veth").matches("veth").count();
    assert_eq!(veth(&world), 1);
    // The kernel removes the links of a namespace that nobody holds, and so their peers.
    pod.destroy();
    world.host.wait("the namespace is gone", |_| veth(&world) == 0);
}

/// The same container ID with another interface, whose DEL never came.
#[test]
fn a_new_interface_gets_a_lease_of_its_own() {
    let world = World::new(Manner::default());
    let pod = world.host.pod("blue");
    let config = by_dhcp(json!({}));
    let call = pod.call(BRIDGE, &config);
    call.add();
    pod.run("ip link del eth0");
    let other = world.host.pod("green");
    let moved = other.call(BRIDGE, &config).id("id-blue");
    let result = moved.add();
    moved.check(&result).silence();
    assert_eq!(addresses(&other), ["10.9.0.5/24"], "the server knows the client again");
    moved.del();
}
