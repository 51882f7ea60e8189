//! Real TCP connections through the limits, measured with iperf3.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use harness::call::Plugin;
use harness::config::dual_stack;
use harness::limited::bandwidth;
use harness::{Host, Pod, how_to_install, output_of};
use serde_json::{Value, json};

/// Bits per second: what a slow machine manages easily, and yet much more than a burst.
const RATE: u64 = 100_000_000;
/// Bits: 40 milliseconds' worth.
const BURST: u64 = 4_000_000;

/// A server that goes with the test.
struct Server(Child);

impl Server {
    /// Listens at an address in the calling thread's namespace, for one client.
    fn here(address: &str) -> Self {
        // A new IPv6 address cannot be used before it is known to be nobody else's.
        while std::net::TcpListener::bind((address, 0)).is_err() {
            sleep(Duration::from_millis(20));
        }
        let child = Command::new("iperf3")
            .args(["--server", "--one-off", "--bind", address])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap_or_else(|e| panic!("iperf3: {e}; {}", how_to_install("iperf3"))))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Receives from a server in the calling thread's namespace, and gives the rate in bits per second:
/// the median of the intervals in the middle, when the burst is spent and before the end.
fn receive(address: &str) -> f64 {
    let command = format!("iperf3 --client {address} --reverse --time 3 --interval 0.25 --json");
    for _ in 0..100 {
        let out = output_of(&command, None);
        let report: Value = serde_json::from_slice(&out.stdout).expect("JSON from iperf3");
        let Some(intervals) = report["intervals"].as_array().filter(|all| all.len() > 8) else {
            // The server does not listen yet.
            sleep(Duration::from_millis(50));
            continue;
        };
        let middle = &intervals[4..intervals.len() - 2];
        let mut rates: Vec<f64> =
            middle.iter().map(|one| one["sum"]["bits_per_second"].as_f64().unwrap()).collect();
        rates.sort_by(f64::total_cmp);
        return rates[rates.len() / 2];
    }
    panic!("no connection to {address} in five seconds");
}

/// What the pod receives from the host, and sends to it.
fn measured(pod: &Pod<'_>, gateway: &str, own: &str) -> (f64, f64) {
    let host = pod.host;
    let server = host.inside(|| Server::here(gateway));
    let to_pod = pod.inside(|| receive(gateway));
    drop(server);
    let server = pod.inside(|| Server::here(own));
    let from_pod = host.inside(|| receive(own));
    drop(server);
    (to_pod, from_pod)
}

fn attached(pod: &Pod<'_>, more: Value) {
    let mut limits = bandwidth(more);
    limits["capabilities"] = json!({"bandwidth": true});
    let list = json!({"cniVersion": "1.1.0", "name": "testnet", "type": "causeway",
                      "plugins": [dual_stack(json!({})), limits]});
    pod.call(Plugin::Causeway("causeway"), &list).add();
}

#[track_caller]
fn assert_near(rate: f64, wanted: u64, what: &str) {
    let share = rate / wanted as f64;
    assert!((0.9..=1.1).contains(&share), "{what}: {rate} bit/s are {share} of what was asked for");
}

#[test]
fn each_direction_has_the_rate_that_was_asked_for() {
    let host = Host::new();
    let pod = host.pod("blue");
    attached(
        &pod,
        json!({"ingressRate": RATE, "ingressBurst": BURST,
                          "egressRate": RATE / 2, "egressBurst": BURST}),
    );
    for (gateway, own) in [("10.88.0.1", "10.88.0.2"), ("fd00:88::1", "fd00:88::2")] {
        let (to_pod, from_pod) = measured(&pod, gateway, own);
        assert_near(to_pod, RATE, &format!("to the pod, from {gateway}"));
        assert_near(from_pod, RATE / 2, &format!("from the pod, to {gateway}"));
    }
}

#[test]
fn only_the_networks_that_are_named_are_limited() {
    let host = Host::new();
    let pod = host.pod("blue");
    attached(
        &pod,
        json!({"ingressRate": RATE, "ingressBurst": BURST, "egressRate": RATE / 2,
                          "egressBurst": BURST, "shapedSubnets": ["10.88.0.1/32"]}),
    );
    let (to_pod, from_pod) = measured(&pod, "10.88.0.1", "10.88.0.2");
    assert_near(to_pod, RATE, "to the pod, from a named network");
    assert_near(from_pod, RATE / 2, "from the pod, to a named network");
    let (to_pod, from_pod) = measured(&pod, "fd00:88::1", "fd00:88::2");
    for free in [to_pod, from_pod] {
        assert!(free > 2.0 * RATE as f64, "{free} bit/s to a network that is not named");
    }
}

#[test]
fn all_but_the_networks_that_are_named_are_limited() {
    let host = Host::new();
    let pod = host.pod("blue");
    attached(
        &pod,
        json!({"ingressRate": RATE, "ingressBurst": BURST, "egressRate": RATE / 2,
                          "egressBurst": BURST, "unshapedSubnets": ["10.88.0.1/32"]}),
    );
    let (to_pod, from_pod) = measured(&pod, "fd00:88::1", "fd00:88::2");
    assert_near(to_pod, RATE, "to the pod, from a network that is not named");
    assert_near(from_pod, RATE / 2, "from the pod, to a network that is not named");
    let (to_pod, from_pod) = measured(&pod, "10.88.0.1", "10.88.0.2");
    for free in [to_pod, from_pod] {
        assert!(free > 2.0 * RATE as f64, "{free} bit/s to a named network");
    }
}
