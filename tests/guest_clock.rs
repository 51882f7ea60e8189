//! The machine's clock is set by years, back and forth, between calls, under them, and under the dhcp daemon:
//! nothing runs out, nothing is taken for another boot's, and no age is negative. For this the clock is
//! really set, so scripts/test runs it in a guest of its own, which it tells by `causeway.clock`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use causeway::dhcp::message::Kind;
use harness::Host;
use harness::call::{Call, Plugin, await_end};
use harness::chained::whole_list;
use harness::config::everything;
use harness::dhcp::{HASTY, World, addresses, by_dhcp, is_up};
use harness::dhcp_server::Manner;
use harness::person::Person;
use harness::snapshot::nothing_stays;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");
/// When everything is made: in 2026.
const NOW: i64 = 1_790_000_000;
/// 1971, and the first second that does not fit in 32 bits, in 2106.
const TIMES: [i64; 2] = [31_536_000, 4_294_967_296];

/// The machine's clock, which one test at a time sets.
struct Clock<'h> {
    host: &'h Host,
    _alone: MutexGuard<'static, ()>,
}

impl<'h> Clock<'h> {
    fn of(host: &'h Host) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let command = fs::read_to_string("/proc/cmdline").expect("how the kernel was started");
        assert!(
            command.split_whitespace().any(|word| word == "causeway.clock"),
            "this machine's clock is not to be set; see scripts/test"
        );
        let clock = Self { host, _alone: ALONE.lock().unwrap_or_else(PoisonError::into_inner) };
        clock.set(NOW);
        clock
    }

    fn set(&self, seconds: i64) {
        self.host.run(&format!("date -s @{seconds}"));
        let is: i64 = self.host.run("date +%s").trim().parse().expect("seconds");
        assert!((seconds..seconds + 60).contains(&is), "the clock was not set: {is}");
    }
}

/// Everything that a person may look at is there, and no age is negative.
fn can_be_looked_at(person: &Person<'_>, when: i64) {
    for command in ["list", "leases", "show id-blue"] {
        let said = person.succeeds(command);
        let negative = said.split_whitespace().find(|word| {
            let rest = word.strip_prefix('-').unwrap_or_default();
            rest.starts_with(|first: char| first.is_ascii_digit())
        });
        assert_eq!(negative, None, "{command} at {when}: {said}");
    }
    assert_eq!(person.json("doctor")["findings"], json!([]), "at {when}");
    for line in person.succeeds("metrics").lines() {
        let Some(took) = line.strip_prefix("causeway_call_duration_seconds_sum") else { continue };
        let seconds: f64 = took.rsplit(' ').next().unwrap().parse().expect("a number");
        assert!((0.0..1000.0).contains(&seconds), "at {when}: {line}");
    }
}

#[test]
fn between_calls() {
    for time in TIMES {
        let host = Host::new();
        let clock = Clock::of(&host);
        let (blue, green, red) = (host.pod("blue"), host.pod("green"), host.pod("red"));
        let (call, other) = (blue.call(BRIDGE, &everything()), green.call(BRIDGE, &everything()));
        let before = (host.snapshot(), red.snapshot());
        let (result, others) = (call.add(), other.add());
        clock.set(time);
        let person = Person::on(&host);
        can_be_looked_at(&person, time);
        call.check(&result).silence();
        other.run("STATUS").silence();
        // What is made then is no other's, and outlives the way back.
        let third = red.call(BRIDGE, &everything());
        let new = third.add();
        assert_eq!(new["ips"][0]["address"], "10.88.0.4/24", "at {time}");
        clock.set(NOW - 3600);
        can_be_looked_at(&person, NOW);
        third.check(&new).silence();
        let valid = [("id-blue", "eth0"), ("id-green", "eth0"), ("id-red", "eth0")];
        third.gc(&valid);
        for (call, result) in [(&call, &result), (&other, &others), (&third, &new)] {
            call.check(result).silence();
        }
        clock.set(time);
        third.gc(&valid[..2]);
        call.check(&result).silence();
        third.del();
        call.del();
        other.check(&others).silence();
        clock.set(NOW);
        other.del();
        let left = host.snapshot();
        assert!(left.files("id-").is_empty(), "at {time}: {:?}", left.files("id-"));
        before.1.assert_same(&red.snapshot(), &format!("at {time}"));
    }
}

/// A plugin that takes its time and answers what it was given.
const ANOTHERS: &str = r#"#!/bin/sh
config=$(cat)
sleep 0.2
[ "$CNI_COMMAND" != ADD ] || echo "$config" | python3 -Sc 'import json, sys
print(json.dumps(json.load(sys.stdin)["prevResult"]))'
"#;

/// The clock jumps all the time, also within calls, of which some run others' plugins.
#[test]
fn under_calls() {
    const ROUNDS: usize = 4;
    let host = Host::new();
    let clock = Clock::of(&host);
    host.script_plugin("another", ANOTHERS);
    let (green, blue) = (host.pod("green"), host.pod("blue"));
    let bystander = green.call(Plugin::Causeway("causeway"), &whole_list(9090));
    let beside = bystander.add();
    let mut list = whole_list(8080);
    list["plugins"].as_array_mut().expect("entries").push(json!({"type": "another"}));
    let call: Call<'_> = blue.call(Plugin::Causeway("causeway"), &list);
    let person = Person::on(&host);
    call.add();
    call.del();
    let before = (host.snapshot(), blue.snapshot());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for time in TIMES.into_iter().cycle() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                clock.set(time);
                thread::sleep(Duration::from_millis(200));
            }
        });
        let rounds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..ROUNDS {
                let result = call.add();
                call.check(&result).silence();
                person.succeeds("list");
                bystander.gc(&[("id-green", "eth0"), ("id-blue", "eth0")]);
                bystander.check(&beside).silence();
                call.del();
            }
        }));
        is_over.store(true, Ordering::Relaxed);
        rounds.unwrap_or_else(|cause| std::panic::resume_unwind(cause));
    });
    clock.set(NOW);
    nothing_stays(&before, &blue, "after calls under a clock that jumps");
}

#[test]
fn under_the_dhcp_daemon() {
    let manner = Manner { seconds: 60, renewal: Some(1), rebinding: Some(50), ..Manner::default() };
    let world = World::new(manner);
    let clock = Clock::of(&world.host);
    let pod = world.host.pod("blue");
    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
    let result = call.add();
    let renewed = || world.server.heard(Kind::Request).len();
    for time in TIMES {
        clock.set(time);
        let before = renewed();
        world.host.wait("the lease is renewed twice", |_| renewed() >= before + 2);
        call.check(&result).silence();
        world.end(Signal::SIGTERM);
        clock.set(NOW);
        world.start(HASTY);
        let before = renewed();
        world.host.wait("the next daemon renews it", |_| renewed() > before);
        call.check(&result).silence();
        assert!(is_up(&pod) && addresses(&pod) == ["10.9.0.5/24"], "at {time}");
        assert!(pod.reaches("10.9.0.1"), "at {time}");
    }
    assert_eq!(world.server.heard(Kind::Discover).len(), 1, "no address was sought anew");
    // It runs out all the same when it should, though its end seems to be years away.
    let before = renewed();
    world.server.change(|manner| manner.seconds = 4);
    world.host.wait("the lease is a short one", |_| renewed() > before + 1);
    world.server.change(|manner| manner.is_silent = true);
    clock.set(TIMES[0]);
    world.host.wait("the link is down", |_| !is_up(&pod));
    assert_eq!(addresses(&pod), [""; 0]);
    call.del();
}

#[test]
fn under_a_watcher() {
    let host = Host::new();
    let clock = Clock::of(&host);
    let person = Person::on(&host);
    let blue = host.pod("blue");
    let call = blue.call(BRIDGE, &everything());
    call.add();
    let program = env!("CARGO_BIN_EXE_causeway");
    let child = person.start(program, &["watch", "--output", "json"], Stdio::null());
    for time in TIMES {
        thread::sleep(Duration::from_millis(300));
        clock.set(time);
        call.del();
        call.add();
    }
    thread::sleep(Duration::from_millis(1500));
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a process ID"));
    nix::sys::signal::kill(id, Signal::SIGTERM).expect("end watch");
    let said = await_end(child);
    let (told, cause) =
        (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(!cause.contains("panicked"), "{cause}");
    let events: Vec<Value> =
        told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(events.len() >= 2, "{told}{cause}");
    clock.set(NOW);
    call.del();
}
