//! Removing several links at once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use causeway::kernel::link::{self, Leaving};
use causeway::kernel::netlink::RouteSocket;
use harness::Host;

const GROUP: u32 = 0x5eed_0001;

/// A host with links of these names.
fn host_with(names: &[&str]) -> Host {
    let host = Host::new();
    for name in names {
        host.run(&format!("ip link add {name} type ifb"));
    }
    host
}

/// Links by their names; a missing one gets an index that nobody has.
fn leaving(socket: &mut RouteSocket, names: &[&str]) -> Vec<Leaving> {
    let index = |name: &str| link::index(socket, name).unwrap().unwrap_or(4_000_000);
    names.iter().map(|name| (index(name), (*name).to_owned())).collect()
}

fn remove_as_group(host: &Host, names: &[&str]) -> bool {
    host.inside(|| {
        let mut socket = RouteSocket::open().unwrap();
        let links = leaving(&mut socket, names);
        link::remove_as_group(&mut socket, &links, GROUP).unwrap()
    })
}

#[test]
fn several_go_and_others_stay() {
    let host = host_with(&["one", "two", "three", "stays"]);
    assert!(remove_as_group(&host, &["one", "two", "three"]));
    assert_eq!(host.link_names(), ["lo", "stays"]);
}

#[test]
fn those_that_are_gone_already_are_fine() {
    let host = host_with(&["one", "two"]);
    assert!(remove_as_group(&host, &["gone", "one", "two"]));
    assert_eq!(host.link_names(), ["lo"]);
    assert!(remove_as_group(&host, &["one", "two"]));
}

#[test]
fn a_group_that_somebody_is_in_is_left_alone() {
    for kind in ["ifb", "bridge", "veth"] {
        let host = host_with(&["one", "two"]);
        host.run(&format!("ip link add other type {kind}"));
        host.run(&format!("ip link set other group {GROUP}"));
        assert!(!remove_as_group(&host, &["one", "two"]), "{kind}");
        let names = host.link_names();
        for name in ["one", "two", "other"] {
            assert!(names.contains(&name.to_owned()), "{kind}: {names:?}");
        }
    }
}

#[test]
fn what_cannot_go_as_a_group_goes_one_by_one() {
    let host = host_with(&["one", "two"]);
    let error = host.inside(|| {
        let mut socket = RouteSocket::open().unwrap();
        let links = leaving(&mut socket, &["one", "lo", "gone", "two"]);
        link::remove_together(&mut socket, &links).unwrap_err()
    });
    // The kernel keeps its loopback device.
    assert!(error.to_string().contains("remove link lo"), "{error}");
    assert_eq!(host.link_names(), ["lo"]);
}
