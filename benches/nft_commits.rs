//! How long masquerading takes to be added, checked and removed in this process, by the number of
//! pods that are masqueraded already: `cargo bench --bench nft_commits`, as root. It works in a
//! network namespace of its own.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use causeway::kernel::masquerade;
use causeway::kernel::nft::{Change, Socket};
use ipnetwork::IpNetwork;
use nix::sched::{CloneFlags, unshare};

const OWNER: &str = "network/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/eth0";

fn pod(number: u32) -> [IpNetwork; 1] {
    [IpNetwork::new(Ipv4Addr::from(0x0a58_0000 + number).into(), 16).unwrap()]
}

fn commit(socket: &mut Socket, fill: impl FnOnce(&mut Change)) {
    let mut change = Change::new();
    fill(&mut change);
    socket.commit(&change).unwrap();
}

/// The median and the 90th percentile of 500 calls.
fn times(mut each: impl FnMut(u32)) -> (Duration, Duration) {
    let mut times: Vec<_> = (0..500u32)
        .map(|number| {
            let begin = Instant::now();
            each(30_000 + number);
            begin.elapsed()
        })
        .collect();
    times.sort();
    (times[250], times[450])
}

fn main() {
    for present in [0u32, 2_000, 20_000] {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let begin = Instant::now();
        let mut socket = Socket::open().unwrap();
        let opened = begin.elapsed();
        let begin = Instant::now();
        commit(&mut socket, |change| masquerade::add(change, &pod(60_000), OWNER));
        let first = begin.elapsed();
        let pods: Vec<_> = (0..present).flat_map(pod).collect();
        commit(&mut socket, |change| masquerade::add(change, &pods, OWNER));
        let adds = times(|number| {
            commit(&mut socket, |change| masquerade::add(change, &pod(number), OWNER));
        });
        let checks = times(|number| {
            assert!(masquerade::missing(&mut socket, &pod(number), OWNER).unwrap().is_empty());
        });
        let removals = times(|number| {
            commit(&mut socket, |change| masquerade::remove(change, &pod(number), OWNER));
        });
        println!(
            "{present} present: open {opened:?}, first {first:?}; median and 90%: \
             add {adds:?}, check {checks:?}, remove {removals:?}"
        );
    }
}
