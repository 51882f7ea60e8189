//! Either side of the daemon's socket may be the reference's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use causeway::dhcp::message::{Kind, option};
use harness::call::{Call, Plugin};
use harness::dhcp::{Daemon, World, addresses, by_dhcp, network};
use harness::dhcp_server::{DhcpServer, Manner};
use harness::snapshot::nothing_stays;
use harness::{Pod, require_reference};
use serde_json::{Value, json};

/// A configuration that Debian's reference plugins understand.
fn config() -> Value {
    by_dhcp(json!({
        "cniVersion": "1.0.0",
        "ipam": {
            "type": "dhcp",
            "provide": [{"option": "12", "fromArg": "K8S_POD_NAME"}],
            "request": [{"option": "121"}],
        },
    }))
}

fn call<'h>(pod: &Pod<'h>, plugin: Plugin) -> Call<'h> {
    pod.call(plugin, &config()).env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=web")
}

fn manner() -> Manner {
    let mut manner = Manner::default();
    let routes = vec![0, 10, 9, 0, 1, 16, 10, 20, 10, 9, 0, 2];
    manner.options.push((option::CLASSLESS_ROUTES, routes));
    manner
}

/// ADD, CHECK and DEL through a bridge plugin of one side, with the IPAM plugin of the same or the
/// other, and a daemon of one side.
#[track_caller]
fn works(bridge: Plugin, ipam: Plugin, daemon: Plugin) {
    require_reference();
    let host = network();
    let server = DhcpServer::start(&host, "cni0", manner());
    let flags =
        if matches!(daemon, Plugin::Causeway(_)) { "-resendmax 1s -loglevel debug" } else { "" };
    let _daemon = Daemon::start(&host, daemon, flags);
    let pod = host.pod("blue");
    let before = (host.snapshot(), pod.snapshot());
    let call = call(&pod, bridge).env("CNI_PATH", &ipam.dir());
    let result = call.add();
    assert_eq!(result["ips"][0]["address"], "10.9.0.5/24");
    assert_eq!(result["ips"][0]["gateway"], "10.9.0.1");
    assert_eq!(
        result["routes"],
        json!([
            {"dst": "0.0.0.0/0", "gw": "10.9.0.1"},
            {"dst": "10.20.0.0/16", "gw": "10.9.0.2"},
        ])
    );
    assert_eq!(addresses(&pod), ["10.9.0.5/24"]);
    assert!(pod.reaches("10.9.0.1"));
    let request = &server.heard(Kind::Request)[0].message;
    assert_eq!(request.option(option::CLIENT_ID).unwrap(), b"\0id-blue/testnet/eth0");
    assert_eq!(request.option(option::HOST_NAME).unwrap(), b"web");
    // The reference's daemon asks in whatever order.
    let mut asked = request.option(option::REQUEST_LIST).unwrap().to_vec();
    asked.sort_unstable();
    assert_eq!(asked, [1, 3, 121]);
    call.check(&result).silence();
    let is_ours = |plugin| matches!(plugin, Plugin::Causeway(_));
    // Debian's daemon seeks an address at CHECK.
    if is_ours(daemon) {
        assert_eq!(server.heard(Kind::Discover).len(), 1, "CHECK seeks no other address");
    }
    call.del();
    // Their bridge removes the link first, and then nobody can tell the server.
    if is_ours(daemon) && is_ours(bridge) {
        server.has_all_back();
    }
    nothing_stays(&before, &pod, "after DEL");
}

const OUR_BRIDGE: Plugin = Plugin::Causeway("bridge");
const THEIR_BRIDGE: Plugin = Plugin::Reference("bridge");
const OURS: Plugin = Plugin::Causeway("dhcp");
const THEIRS: Plugin = Plugin::Reference("dhcp");

#[test]
fn our_bridge_asks_their_daemon() {
    works(OUR_BRIDGE, OURS, THEIRS);
}

#[test]
fn their_plugins_ask_our_daemon() {
    works(THEIR_BRIDGE, THEIRS, OURS);
}

#[test]
fn their_bridge_calls_our_plugin_which_asks_their_daemon() {
    works(THEIR_BRIDGE, OURS, THEIRS);
}

#[test]
fn their_bridge_calls_our_plugin_which_asks_our_daemon() {
    works(THEIR_BRIDGE, OURS, OURS);
}

/// The results of both plugins for one server, called by themselves.
#[test]
fn results_are_alike() {
    require_reference();
    let world = World::new(manner());
    let pod = world.host.pod("blue");
    world.host.run("ip link add v0 type veth peer name eth0 netns blue");
    world.host.run("ip link set v0 master cni0 up");
    pod.run("ip link set eth0 up");
    let theirs = call(&pod, THEIRS);
    let was = theirs.add();
    theirs.del();
    let ours = call(&pod, OURS);
    let mut is = ours.add();
    ours.check(&is).silence();
    // Debian's release prints an empty one; later ones do not.
    is["dns"] = was["dns"].clone();
    assert_eq!(is, was);
    let again = ours.run("ADD").fails(103, &["id-blue", "already holds a lease"]);
    assert_eq!(again.version, "1.0.0");
    ours.del();
    world.server.has_all_back();
}

/// Attached by one side's plugins, detached by the other's.
#[test]
fn moving_in_and_out() {
    require_reference();
    let world = World::new(manner());
    let pod = world.host.pod("blue");
    let before = (world.host.snapshot(), pod.snapshot());
    for (adds, removes) in [(THEIR_BRIDGE, OUR_BRIDGE), (OUR_BRIDGE, THEIR_BRIDGE)] {
        let result = call(&pod, adds).add();
        call(&pod, removes).check(&result).silence();
        call(&pod, removes).del();
        if removes == THEIR_BRIDGE {
            world.server.forget();
        }
        world.server.has_all_back();
        // Of what causeway attached, its record stays until its own DEL or GC.
        call(&pod, OUR_BRIDGE).del();
        nothing_stays(&before, &pod, &format!("added by {adds:?}, removed by {removes:?}"));
    }
}

/// What our daemon refuses is an error of their plugin's with our words.
#[test]
fn refusals_reach_their_plugin() {
    require_reference();
    let world = World::new(Manner { is_silent: true, ..Manner::default() });
    let pod = world.host.pod("blue");
    let error = call(&pod, THEIR_BRIDGE).run("ADD").error();
    assert!(error.msg.contains("no DHCP server answers: in 2 s sent"), "{}", error.msg);
    let missing = pod.call(OUR_BRIDGE, &by_dhcp(json!({}))).netns("/run/netns/none");
    missing.run("ADD").error();
}
