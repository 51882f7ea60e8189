//! Addresses from a DHCP server: attaching, checking, detaching, and what the server is told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use causeway::dhcp::message::{Kind, option};
use harness::call::Plugin;
use harness::chained::fused;
use harness::config::{merge, newest};
use harness::dhcp::{World, addresses, by_dhcp};
use harness::dhcp_server::Manner;
use harness::killed::killed_add;
use harness::snapshot::nothing_stays;
use serde_json::json;

const BRIDGE: Plugin = Plugin::Causeway("bridge");

#[test]
fn an_attachment_has_the_servers_address_and_gives_it_back() {
    let world = World::new(Manner::default());
    let pod = world.host.pod("blue");
    let before = (world.host.snapshot(), pod.snapshot());
    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
    let result = call.add();
    assert_eq!(result["ips"][0]["address"], "10.9.0.5/24");
    assert_eq!(result["ips"][0]["gateway"], "10.9.0.1");
    assert_eq!(result["ips"][0]["interface"], 2);
    assert_eq!(result["routes"], json!([{"dst": "0.0.0.0/0", "gw": "10.9.0.1"}]));
    assert_eq!(addresses(&pod), ["10.9.0.5/24"]);
    assert!(pod.reaches("10.9.0.1"));
    call.check(&result).silence();

    let request = &world.server.heard(Kind::Request)[0].message;
    assert_eq!(request.option(option::CLIENT_ID).unwrap(), b"\0id-blue/testnet/eth0");
    assert_eq!(request.option(option::REQUEST_LIST).unwrap(), [3, 1]);
    assert!(!request.broadcast);
    assert_eq!(request.mac.to_string(), pod.mac("eth0"));

    call.del();
    world.server.has_all_back();
    let release = &world.server.heard(Kind::Release)[0].message;
    assert_eq!(release.client.to_string(), "10.9.0.5");
    assert_eq!(release.option(option::CLIENT_ID).unwrap(), b"\0id-blue/testnet/eth0");
    nothing_stays(&before, &pod, "after DEL");
    call.del();
}

#[test]
fn two_pods_have_two_addresses_and_reach_each_other() {
    let world = World::new(Manner::default());
    let (blue, green) = (world.host.pod("blue"), world.host.pod("green"));
    blue.call(BRIDGE, &by_dhcp(json!({}))).add();
    green.call(BRIDGE, &by_dhcp(json!({}))).add();
    assert_eq!(addresses(&blue), ["10.9.0.5/24"]);
    assert_eq!(addresses(&green), ["10.9.0.6/24"]);
    assert!(blue.reaches("10.9.0.6"));
}

#[test]
fn a_bridge_that_is_new_becomes_the_gateway() {
    // The server's bridge is cni0, of which the other is a port.
    let world = World::new(Manner::default());
    let pod = world.host.pod("blue");
    let before = (world.host.snapshot(), pod.snapshot());
    let more = json!({"isGateway": true, "ipMasq": true, "forceAddress": true});
    let call = pod.call(BRIDGE, &by_dhcp(more));
    let result = call.add();
    call.check(&result).silence();
    assert!(world.host.run("nft list ruleset").contains("10.9.0.5"));
    call.del();
    assert!(!world.host.run("nft list ruleset").contains("10.9.0.5"));
    assert_eq!(pod.snapshot().diff(&before.1).len(), 0);
}

/// The usual case: an interface of its own on the network that the server is on.
#[test]
fn macvlan_gets_its_address_from_the_network_of_its_master() {
    let world = World::new(Manner::default());
    let pod = world.host.pod("blue");
    let before = (world.host.snapshot(), pod.snapshot());
    let config = json!({
        "cniVersion": newest(), "name": "testnet", "type": "macvlan", "master": "port1",
        "ipam": {"type": "dhcp"},
    });
    let call = pod.call(Plugin::Causeway("macvlan"), &config);
    let result = call.add();
    assert_eq!(result["ips"][0]["address"], "10.9.0.5/24");
    assert_eq!(addresses(&pod), ["10.9.0.5/24"]);
    assert!(pod.reaches("10.9.0.1"));
    call.check(&result).silence();
    call.del();
    world.server.has_all_back();
    nothing_stays(&before, &pod, "after DEL");
    world.server.change(|manner| manner.is_silent = true);
    call.run("ADD").fails(105, &["no DHCP server answers"]);
    nothing_stays(&before, &pod, "after an ADD that failed");
}

#[test]
fn as_part_of_a_list_in_one_process() {
    let world = World::new(Manner::default());
    let pod = world.host.pod("blue");
    let before = (world.host.snapshot(), pod.snapshot());
    let mut list = fused(&[
        by_dhcp(json!({})),
        json!({"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.log_martians": "1"}}),
    ]);
    merge(&mut list, json!({"cniVersion": newest(), "name": "testnet"}));
    let call = pod.call(Plugin::Causeway("causeway"), &list);
    let result = call.add();
    assert_eq!(result["ips"][0]["address"], "10.9.0.5/24");
    assert!(pod.reaches("10.9.0.1"));
    assert_eq!(pod.run("sysctl -n net.ipv4.conf.eth0.log_martians").trim(), "1");
    call.check(&result).silence();
    call.del();
    world.server.has_all_back();
    nothing_stays(&before, &pod, "after DEL");
}

#[test]
fn options_are_given_and_asked_for() {
    let world = World::new(Manner::default());
    let pod = world.host.pod("blue");
    let ipam = json!({"ipam": {
        "type": "dhcp",
        "provide": [
            {"option": "host-name", "value": "fixed", "fromArg": "K8S_POD_NAME"},
            {"option": "user-class", "value": "a class"},
            {"option": "dhcp-client-identifier", "value": "mine"},
        ],
        "request": [{"skipDefault": true}, {"option": "121"}, {"option": "subnet-mask"}],
    }});
    let call = pod.call(BRIDGE, &by_dhcp(ipam)).env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=web");
    call.add();
    for kind in [Kind::Discover, Kind::Request] {
        let message = &world.server.heard(kind)[0].message;
        assert_eq!(message.option(option::HOST_NAME).unwrap(), b"web");
        assert_eq!(message.option(option::USER_CLASS).unwrap(), b"a class");
        assert_eq!(message.option(option::CLIENT_ID).unwrap(), b"mine");
        assert_eq!(message.option(option::REQUEST_LIST).unwrap(), [121, 1]);
    }
    call.del();
    world.server.has_all_back();
}

#[test]
fn routes_come_from_the_server_with_the_priority_asked_for() {
    let mut manner = Manner::default();
    manner.options.push((
        option::CLASSLESS_ROUTES,
        vec![0, 10, 9, 0, 1, 16, 10, 20, 10, 9, 0, 2, 24, 192, 168, 5, 0, 0, 0, 0],
    ));
    let world = World::new(manner);
    let pod = world.host.pod("blue");
    let call = pod.call(BRIDGE, &by_dhcp(json!({"ipam": {"type": "dhcp", "priority": 7}})));
    let result = call.add();
    assert_eq!(
        result["routes"],
        json!([
            {"dst": "0.0.0.0/0", "gw": "10.9.0.1", "priority": 7},
            {"dst": "10.20.0.0/16", "gw": "10.9.0.2", "priority": 7},
            {"dst": "192.168.5.0/24", "gw": "0.0.0.0", "priority": 7, "scope": 253},
        ])
    );
    let routes = pod.run("ip route");
    for route in [
        "default via 10.9.0.1 dev eth0 metric 7",
        "10.20.0.0/16 via 10.9.0.2 dev eth0 metric 7",
        "192.168.5.0/24 dev eth0 scope link metric 7",
    ] {
        assert!(routes.contains(route), "{route} is missing:\n{routes}");
    }
    call.check(&result).silence();
}

#[test]
fn the_broadcast_flag_is_set_when_asked_for() {
    let world = World::with(Manner::default(), "-broadcast -resendtimeout 2s");
    let pod = world.host.pod("blue");
    pod.call(BRIDGE, &by_dhcp(json!({}))).add();
    assert!(world.server.heard(Kind::Discover)[0].message.broadcast);
    assert!(world.server.heard(Kind::Request)[0].message.broadcast);
}

#[test]
fn check_tells_that_the_lease_is_another() {
    let world = World::new(Manner::default());
    let pod = world.host.pod("blue");
    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
    let mut result = call.add();
    result["ips"][0]["address"] = "10.9.0.77/24".into();
    call.check(&result).fails(104, &["the lease is now of 10.9.0.5/24, not of 10.9.0.77/24"]);
}

#[test]
fn what_no_valid_attachment_holds_is_collected() {
    let world = World::new(Manner::default());
    let (blue, green) = (world.host.pod("blue"), world.host.pod("green"));
    let config = by_dhcp(json!({}));
    let before = blue.snapshot();
    blue.call(BRIDGE, &config).add();
    let stays = green.call(BRIDGE, &config).add();
    world.host.call(BRIDGE, &config).gc(&[("id-green", "eth0")]);
    assert_eq!(world.server.leases(), 1);
    assert_eq!(world.server.heard(Kind::Release).len(), 1);
    before.assert_same(&blue.snapshot(), "after GC");
    green.call(BRIDGE, &config).check(&stays).silence();
    world.host.call(BRIDGE, &config).run("STATUS").silence();
}

/// ADD is killed at every system call of one kind; DEL then leaves neither link nor lease.
fn killed_everywhere(syscall: &str) {
    let world = World::new(Manner::default());
    let pod = world.host.pod("blue");
    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
    call.add();
    call.del();
    let before = (world.host.snapshot(), pod.snapshot());
    let mut nth = 1;
    while killed_add(&world.host, &call, BRIDGE, syscall, nth) {
        call.del();
        world.server.has_all_back();
        nothing_stays(&before, &pod, &format!("after a kill at {syscall} {nth}"));
        nth += 1;
    }
    assert!(nth > 1, "ADD never made the call {syscall}");
}

#[test]
fn an_add_killed_while_asking_leaves_nothing_after_del() {
    killed_everywhere("connect,recvfrom,poll");
}

#[test]
fn an_add_killed_while_making_leaves_nothing_after_del() {
    killed_everywhere("sendto,sendmsg,rename,write");
}
