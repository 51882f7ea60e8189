//! Every netlink request, file operation and lock of the dhcp daemon fails in turn, in the program built with the
//! feature `faults`: plugins get a lease or a well-formed error, the daemon goes on, DEL leaves nothing,
//! and an interface that could not follow its lease at once does so later. Its children are none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use causeway::dhcp::message::option;
use harness::call::{Call, Outcome, Plugin};
use harness::dhcp::{Daemon, HASTY, SOCKET, addresses, by_dhcp, is_up, network};
use harness::dhcp_server::{DhcpServer, Manner};
use harness::injected::{Fault, faults, wants_all};
use harness::patience::patience;
use harness::snapshot::nothing_stays;
use harness::{Host, Pod};
use nix::sys::signal::Signal;
use serde_json::json;

const BRIDGE: Plugin = Plugin::Causeway("bridge");
const DHCP: Plugin = Plugin::Causeway("dhcp");

/// Starts a daemon of which a step fails; one that does not start says why.
fn faulty(host: &Host, fault: Fault) -> Option<Daemon> {
    let mut command = Command::new(format!("{}/{}", DHCP.dir(), DHCP.name()));
    command.arg("daemon").args(HASTY.split_whitespace());
    command.env("CAUSEWAY_FAULT", fault.order());
    match Daemon::try_run(host, command, SOCKET) {
        Ok(daemon) => Some(daemon),
        Err(ended) => {
            assert!(ended.status.is_some_and(|code| code != 0), "{fault:?}: {ended}");
            let said = ended.stderr.lines().any(|line| line.contains("cannot"));
            assert!(said, "{fault:?}: it does not say why: {ended}");
            None
        }
    }
}

fn struck(daemon: &Daemon) -> bool {
    daemon.log().contains("CAUSEWAY_FAULT: struck")
}

/// It went well, or the error is well formed.
#[track_caller]
fn well_formed(outcome: &Outcome) -> bool {
    if outcome.status == Some(0) {
        return true;
    }
    outcome.error();
    false
}

/// A container's life beside a daemon of which a step fails; says whether it came so far.
fn life(host: &Host, server: &DhcpServer, pod: &Pod<'_>, call: &Call<'_>, fault: Fault) -> bool {
    let before = (host.snapshot(), pod.snapshot());
    let Some(mut daemon) = faulty(host, fault) else { return true };
    let added = call.run("ADD");
    if well_formed(&added) {
        well_formed(&call.check(&added.success()));
    } else {
        assert_eq!(pod.link_names(), ["lo"], "{fault:?}: {added}");
    }
    well_formed(&call.run("DEL"));
    well_formed(&call.run_gc(&[]));
    let came_so_far = struck(&daemon);
    let ended = daemon.ended(Signal::SIGTERM);
    assert!(ended.success(), "{fault:?}: the daemon ended by {ended}: {}", daemon.log());
    // Whatever it has left, the next one finishes.
    let mut next = Daemon::start(host, DHCP, HASTY);
    call.del();
    call.gc(&[]);
    next.end(Signal::SIGTERM);
    nothing_stays(&before, pod, &format!("after {fault:?}: {}", daemon.log()));
    // What the server was not told runs out by itself.
    server.forget();
    came_so_far
}

#[test]
fn of_a_lease_from_its_beginning_to_its_end() {
    let host = network();
    let server = DhcpServer::start(&host, "cni0", Manner::default());
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
    // The directories and locks that stay are there from now on.
    let mut first = Daemon::start(&host, DHCP, HASTY);
    call.add();
    call.del();
    first.end(Signal::SIGTERM);
    let mut count = 0;
    for kind in ["netlink", "file", "lock"] {
        for number in (1..).step_by(if wants_all() { 1 } else { 2 }) {
            let mut ways = faults(kind, number).into_iter();
            if !ways.all(|fault| life(&host, &server, &pod, &call, fault)) {
                break;
            }
            count += 1;
        }
    }
    println!("{count} of the daemon's steps failed by order");
    assert!(count > 10, "only {count} steps were struck");
}

/// A lease of a pod's, whose daemon is about to fail at a step.
struct Held<'h> {
    server: DhcpServer,
    daemon: Daemon,
    pod: Pod<'h>,
    call: Call<'h>,
}

/// The daemon's netlink requests are more than these in whatever it does; among them no fault that is left out
/// counts as the end.
const LEAST_STEPS: usize = 24;

/// Has `then` happen to a lease with each step of the daemon failing that comes after its ADD: `then` waits
/// until the interface is as it should be in the end, whatever has failed on the way.
fn each_step_of(manner: &Manner, then: impl Fn(&Held<'_>, Fault) + Sync) {
    let steps = AtomicUsize::new(0);
    for kind in ["netlink", "file", "lock"] {
        let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            while !is_over.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed) + 1;
                let mut came_so_far = false;
                for fault in faults(kind, number) {
                    // The kernel says that the new address or route is there; then nobody makes it.
                    if (fault.kind, fault.way) == ("netlink", "EEXIST") {
                        came_so_far |= !wants_all() && number < LEAST_STEPS;
                        continue;
                    }
                    let host = network();
                    let server = DhcpServer::start(&host, "cni0", manner.clone());
                    let Some(daemon) = faulty(&host, fault) else {
                        came_so_far = true;
                        continue;
                    };
                    let pod = host.pod("blue");
                    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
                    let added = call.run("ADD");
                    if struck(&daemon) {
                        came_so_far = true;
                        continue;
                    }
                    added.success();
                    let held = Held { server, daemon, pod, call };
                    then(&held, fault);
                    if struck(&held.daemon) {
                        came_so_far = true;
                        steps.fetch_add(1, Ordering::Relaxed);
                    }
                    held.call.del();
                    assert_eq!(held.pod.link_names(), ["lo"], "{fault:?}");
                }
                if !came_so_far {
                    is_over.store(true, Ordering::Relaxed);
                }
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                worker.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause));
            }
        });
    }
    let steps = steps.into_inner();
    println!("{steps} of the daemon's steps failed by order");
    assert!(steps > 3, "only {steps} steps were struck");
}

/// Waits until `done` holds; a daemon that is slow about it says what it did.
#[track_caller]
fn wait(held: &Held<'_>, fault: Fault, what: &str, mut done: impl FnMut(&Pod<'_>) -> bool) {
    let start = Instant::now();
    while !done(&held.pod) {
        let log = || held.daemon.log();
        assert!(start.elapsed() < patience(), "{fault:?}: not in time: {what}: {}", log());
        thread::sleep(Duration::from_millis(20));
    }
}

/// The server takes the address back, and gives another with another router.
#[test]
fn of_an_address_that_is_replaced() {
    let manner = Manner { seconds: 60, renewal: Some(1), rebinding: Some(50), ..Manner::default() };
    each_step_of(&manner, |held, fault| {
        held.server.change(|manner| {
            manner.refuses = true;
            manner.pool = vec![Ipv4Addr::new(10, 9, 0, 50)];
            manner.options[1] = (option::ROUTER, vec![10, 9, 0, 2]);
        });
        held.server.forget();
        wait(held, fault, "the address is taken away", |pod| addresses(pod).is_empty());
        held.server.change(|manner| manner.refuses = false);
        wait(held, fault, "there is another address", |pod| addresses(pod) == ["10.9.0.50/24"]);
        wait(held, fault, "there is another route", |pod| {
            let routes = pod.run("ip route");
            routes.contains("default via 10.9.0.2 dev eth0") && !routes.contains("10.9.0.1 ")
        });
    });
}

#[test]
fn of_a_lease_that_runs_out() {
    let manner = Manner { seconds: 3, renewal: Some(1), rebinding: Some(2), ..Manner::default() };
    each_step_of(&manner, |held, fault| {
        held.server.change(|manner| manner.is_silent = true);
        wait(held, fault, "the address is gone", |pod| addresses(pod).is_empty());
        wait(held, fault, "the link is down", |pod| !is_up(pod));
    });
}
