//! What an address from a DHCP server costs an attachment: ADD and DEL of a bridge with `dhcp` beside the same
//! with `static`, in turns, from a server on the bridge that answers at once. `scripts/bench --dhcp` runs it
//! with the binary that is shipped, as root; hosts, server and daemon are those of the tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../tests/harness/mod.rs"]
mod harness;

use std::time::{Duration, Instant};

use harness::call::Plugin;
use harness::dhcp::{World, by_dhcp};
use harness::dhcp_server::Manner;
use serde_json::{Value, json};

const WARM_UP: usize = 3;
const ROUNDS: usize = 40;

/// What the calls of one side took.
#[derive(Default)]
struct Times {
    add: Vec<Duration>,
    del: Vec<Duration>,
}

impl Times {
    fn measure(&mut self, world: &World, config: &Value) {
        let pod = world.host.pod("blue");
        let call = pod.call(Plugin::Causeway("bridge"), config);
        let begin = Instant::now();
        call.add();
        self.add.push(begin.elapsed());
        let begin = Instant::now();
        call.del();
        self.del.push(begin.elapsed());
        pod.destroy();
    }
}

/// Milliseconds: the shortest, the median, and what nine in ten stay below.
fn figures(times: &[Duration]) -> [f64; 3] {
    let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    [0, times.len() / 2, times.len() * 9 / 10].map(|place| times.get(place).copied().unwrap_or(0.0))
}

fn main() {
    let world = World::new(Manner::default());
    let fixed = by_dhcp(json!({ "ipam": {
        "type": "static",
        "addresses": [{ "address": "10.9.0.200/24", "gateway": "10.9.0.1" }],
        "routes": [{ "dst": "0.0.0.0/0" }],
    }}));
    let sides = [("static", fixed), ("dhcp", by_dhcp(json!({})))];
    let mut times = [Times::default(), Times::default()];
    for round in 0..WARM_UP + ROUNDS {
        for ((_, config), times) in sides.iter().zip(&mut times) {
            times.measure(&world, config);
            if round < WARM_UP {
                *times = Times::default();
            }
        }
    }
    println!("{ROUNDS} rounds, milliseconds: shortest, median, nine in ten");
    for (verb, pick) in
        [("ADD", |times: &Times| figures(&times.add)), ("DEL", |times| figures(&times.del))]
            as [(&str, fn(&Times) -> [f64; 3]); 2]
    {
        let [fixed, dhcp] = times.each_ref().map(pick);
        for ((name, _), [least, median, most]) in sides.iter().zip([fixed, dhcp]) {
            println!("{verb}  {name:8} {least:7.2} {median:7.2} {most:7.2}");
        }
        println!(
            "{verb}  more     {:7.2} {:7.2} {:7.2}",
            dhcp[0] - fixed[0],
            dhcp[1] - fixed[1],
            dhcp[2] - fixed[2]
        );
    }
}
