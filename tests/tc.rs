//! Traffic control at the library: what a kernel has, and reading back what was made.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use causeway::kernel::netlink::RouteSocket;
use causeway::kernel::tc::{self, LIMITING, found};
use causeway::kernel::{Error, link};
use harness::Host;

#[test]
fn a_discipline_that_the_kernel_lacks_is_named() {
    let host = Host::new();
    let before = host.snapshot();
    let error = host.inside(|| {
        let mut socket = RouteSocket::open().unwrap();
        for kind in ["tbf", "htb"] {
            tc::require(&mut socket, kind, "ingressRate").unwrap();
        }
        tc::require(&mut socket, "nosuch", "ingressRate").unwrap_err()
    });
    assert!(matches!(error, Error::Missing { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("sch_nosuch") && text.contains("ingressRate needs"), "{text}");
    before.assert_same(&host.snapshot(), "after looking");
}

#[test]
fn looking_harms_nothing_that_is_there() {
    let host = Host::new();
    host.run("tc qdisc add dev lo root handle 1: tbf rate 8mbit burst 100000 limit 125000");
    let before = host.snapshot();
    host.inside(|| {
        let mut socket = RouteSocket::open().unwrap();
        tc::require(&mut socket, "tbf", "ingressRate").unwrap();
        tc::require(&mut socket, "htb", "ingressRate").unwrap();
    });
    before.assert_same(&host.snapshot(), "after looking");
}

#[test]
fn what_tc_has_made_is_read_back() {
    let host = Host::new();
    host.run("ip link add one type veth peer name two");
    host.run("tc qdisc add dev one root handle 1: tbf rate 40gbit burst 1000000 limit 125000");
    host.run("tc qdisc add dev one ingress");
    host.run(
        "tc filter add dev one parent ffff: prio 1 protocol all u32 match u32 0 0 \
              action mirred egress redirect dev two",
    );
    host.run(
        "tc filter add dev one parent ffff: prio 2 protocol ip u32 match ip dst 10.1.0.0/16 \
              flowid 1:7",
    );
    host.inside(|| {
        let mut socket = RouteSocket::open().unwrap();
        let one = link::index(&socket, "one").unwrap().unwrap();
        let two = link::index(&socket, "two").unwrap().unwrap();
        let root = found::root(&mut socket, one).unwrap().unwrap();
        assert_eq!((root.kind.as_str(), root.handle), ("tbf", LIMITING));
        let limits = root.limits.unwrap();
        assert_eq!((limits.rate, limits.limit), (5_000_000_000, Some(125_000)));
        assert_eq!(found::incoming(&mut socket, one).unwrap().unwrap().kind, "ingress");
        assert_eq!(found::incoming(&mut socket, two).unwrap(), None);
        assert_eq!(found::root(&mut socket, 4_000_000).unwrap(), None);
        let filters = found::redirecting(&mut socket, one).unwrap();
        assert_eq!(filters.len(), 2, "{filters:?}");
        assert_eq!((filters[0].priority, &filters[0].redirects), (1, &vec![two]));
        assert_eq!((filters[1].protocol, filters[1].class), (0x0800, Some(0x0001_0007)));
        let key = filters[1].keys[0];
        assert_eq!((key.mask, key.value, key.offset), (0xffff_0000, 0x0a01_0000, 16));
    });
}
