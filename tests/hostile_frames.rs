//! A container sends what it likes: frames from others, claims of all addresses, floods.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::{bridge, dual_stack, everything};
use harness::forged::Forge;
use harness::{Host, Pod};
use serde_json::json;

const BRIDGE: Plugin = Plugin::Causeway("bridge");

/// A frame with a source address that is not the container's, sent past its interface's own.
#[test]
fn forged_frames_are_dropped_where_that_is_asked_for() {
    for checked in [true, false] {
        let host = Host::new();
        let (blue, green) = (host.pod("blue"), host.pod("green"));
        blue.call(BRIDGE, &bridge(json!({"macspoofchk": checked, "isGateway": true}))).add();
        green.call(BRIDGE, &bridge(json!({"isGateway": true}))).add();
        // A link on the interface sends by it with an address of its own.
        blue.run(
            "ip link add link eth0 name forged address 02:00:00:00:00:99 type macvlan mode bridge",
        );
        blue.run("ip link set forged up");
        blue.run("ip addr add 10.88.0.77/32 dev forged");
        let seen = seen_at(&green, &blue);
        assert_eq!(seen, !checked, "macspoofchk {checked}");
        assert!(blue.reaches("10.88.0.1"), "the container's own frames pass");
    }
}

/// Whether a frame from the forged address arrives at a pod when the other sends some.
fn seen_at(there: &Pod<'_>, from: &Pod<'_>) -> bool {
    let watch = there.watch();
    let forged = |frame: &harness::packets::Frame| frame.source() == "02:00:00:00:00:99";
    // Asking who has an address sends to everybody.
    from.inside(|| {
        let socket = std::net::UdpSocket::bind("10.88.0.77:0").unwrap();
        nix::sys::socket::setsockopt(
            &socket,
            nix::sys::socket::sockopt::BindToDevice,
            &"forged".into(),
        )
        .unwrap();
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Broadcast, &true).unwrap();
        for _ in 0..5 {
            let _ = socket.send_to(b"forged", "255.255.255.255:9");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    !watch.misses(forged)
}

/// A container fills the bridge's table of hardware addresses and speaks for every address of the subnet
/// while others come and go.
#[test]
fn floods_of_neighbours_harm_no_call() {
    let host = Host::new();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    blue.call(BRIDGE, &everything()).add();
    let call = green.call(BRIDGE, &everything());
    // The check of hardware addresses is what keeps the first kind away; without it the table fills.
    let red = host.pod("red");
    red.call(BRIDGE, &dual_stack(json!({}))).add();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let sent = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for pod in [&blue, &red] {
            scope.spawn(|| {
                let own = Forge::of(pod);
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let number = sent.fetch_add(200, std::sync::atomic::Ordering::Relaxed) as u32;
                    let frames: Vec<_> = (number..number + 200)
                        .map(|number| {
                            let [_, a, b, c] = number.to_be_bytes();
                            let forge = Forge { mac: [2, 0, 0, a, b, c], ..Forge::of_nobody() };
                            forge.arp("flood", 1, "192.0.2.1", "192.0.2.2")
                        })
                        .chain((2..=254).map(|host| {
                            own.arp("claim", 1, &format!("10.88.0.{host}"), "10.88.0.1")
                        }))
                        .collect();
                    pod.send_forged(&frames);
                }
            });
        }
        for round in 0..10 {
            let result = call.add();
            call.check(&result).silence();
            assert!(green.reaches("10.88.0.1"), "round {round}");
            call.gc(&[("id-blue", "eth0"), ("id-red", "eth0"), ("id-green", "eth0")]);
            call.del();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let learned = host.run("bridge fdb show br br0").lines().count();
    assert!(learned > 1000, "no flood: {learned} addresses");
    blue.call(BRIDGE, &everything()).del();
    red.call(BRIDGE, &dual_stack(json!({}))).del();
    assert_eq!(host.snapshot().links(), ["br0", "lo"]);
    let left = host.run("bridge fdb show br br0").lines().count();
    assert!(left < 20, "addresses of links that are gone: {left}");
}

/// A container has spoken for an address before another gets it. That one's ADD tells the neighbours, so
/// it is reached from its first moment.
#[test]
fn an_address_that_was_claimed_before_is_reached() {
    let host = Host::new();
    let blue = host.pod("blue");
    blue.call(BRIDGE, &dual_stack(json!({}))).add();
    let forge = Forge::of(&blue);
    let claims = |host: &Host| {
        let text = host.run("ip neigh show dev br0");
        text.lines().filter(|line| line.contains(&blue.mac("eth0"))).count()
    };
    let frames: Vec<_> = (2..=6)
        .flat_map(|host| {
            let (v4, v6) = (format!("10.88.0.{host}"), format!("fd00:88::{host}"));
            [
                forge.arp("claim", 1, &v4, "10.88.0.1"),
                forge.neighbour("claim", &v6, 135, "fd00:88::1"),
            ]
        })
        .collect();
    blue.send_forged(&frames);
    host.wait("the host believes it", |host| claims(host) >= 5);
    for name in ["green", "red"] {
        let pod = host.pod(name);
        let result = pod.call(BRIDGE, &dual_stack(json!({}))).add();
        let address = result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap();
        let own = pod.mac("eth0");
        host.wait("the host knows better", |host| {
            host.run(&format!("ip neigh show {address}")).contains(&own)
        });
        assert!(host.reaches(address), "{name}");
    }
}
