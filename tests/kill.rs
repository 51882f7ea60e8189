//! What a killed plugin left is removed afterwards, and many plugins at once do no harm.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::process::Stdio;
use std::time::{Duration, Instant};

use harness::call::{Call, Outcome, Plugin, await_end};
use harness::config::everything;
use harness::killed::killed_add as killed_add_at;
use harness::snapshot::nothing_stays;
use harness::{Host, Pod};

const BRIDGE: Plugin = Plugin::Causeway("bridge");

/// How a kill is answered.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Delete,
    Collect,
    AddAgain,
}

/// Kills ADD at ever later moments, from its start until after its end, and cleans up each time;
/// again in smaller steps until enough kills have hit a running ADD, since on a busy machine no
/// moment is known beforehand.
fn kill_and(answer: Answer) {
    const KILLS: u32 = 30;
    const ROUNDS: u32 = 20 * KILLS;
    let host = Host::new();
    let (other, pod) = (host.pod("green"), host.pod("blue"));
    let config = everything();
    let beside = other.call(BRIDGE, &config);
    let result = beside.add();
    let call = pod.call(BRIDGE, &config);
    let longest = (0..3).map(|_| time_of_add(&call)).max().unwrap();
    let mut step = (longest / KILLS).max(Duration::from_micros(50));
    let mut delay = Duration::ZERO;
    let before = (host.snapshot(), pod.snapshot());
    let (mut rounds, mut cut_short) = (0, 0);
    while cut_short < KILLS {
        rounds += 1;
        assert!(rounds <= ROUNDS, "only {cut_short} of {ROUNDS} kills hit a running ADD");
        let ended = killed_add(&call, delay);
        let when = format!("after a kill {delay:?} into ADD, answered by {answer:?}");
        if ended.status.is_none() {
            cut_short += 1;
            delay += step;
        } else {
            delay = Duration::ZERO;
            step = (step * 2 / 3).max(Duration::from_micros(50));
        }
        match answer {
            Answer::Delete => call.del(),
            Answer::Collect => host.call(BRIDGE, &config).gc(&[("id-green", "eth0")]),
            Answer::AddAgain => {
                // Whether the killed ADD is undone or counts as attached, DEL and ADD must work.
                let outcome = call.run("ADD");
                let outcome = if outcome.status == Some(0) {
                    outcome
                } else {
                    outcome.fails(103, &["eth0"]);
                    call.del();
                    call.run("ADD")
                };
                assert_eq!(outcome.status, Some(0), "{when}: {outcome}");
                call.check(&outcome.success()).silence();
                call.del();
            }
        }
        nothing_stays(&before, &pod, &when);
    }
    beside.check(&result).silence();
    assert!(other.reaches("10.88.0.1"));
}

fn time_of_add(call: &Call<'_>) -> Duration {
    let start = Instant::now();
    call.add();
    let took = start.elapsed();
    call.del();
    took
}

/// Starts ADD and kills it `delay` after that.
fn killed_add(call: &Call<'_>, delay: Duration) -> Outcome {
    let start = Instant::now();
    let mut child = call.spawn("ADD", Stdio::piped());
    while start.elapsed() < delay {
        std::hint::spin_loop();
    }
    let _ = child.kill();
    Outcome::new("killed ADD".to_owned(), &await_end(child))
}

#[test]
fn killed_then_deleted() {
    kill_and(Answer::Delete);
}

#[test]
fn killed_then_collected() {
    if !harness::testing_reference() {
        kill_and(Answer::Collect);
    }
}

#[test]
fn killed_then_added_again() {
    kill_and(Answer::AddAgain);
}

/// DEL killed at ever later moments; another DEL finishes it.
#[test]
fn a_killed_del_is_finished_by_another() {
    const KILLS: u32 = 30;
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &everything());
    call.add();
    let start = Instant::now();
    call.del();
    let step = start.elapsed() / KILLS * 6 / 5;
    let before = (host.snapshot(), pod.snapshot());
    for kill in 0..KILLS {
        call.add();
        let start = Instant::now();
        let mut child = call.spawn("DEL", Stdio::piped());
        while start.elapsed() < step * kill {
            std::hint::spin_loop();
        }
        let _ = child.kill();
        await_end(child);
        call.del();
        nothing_stays(
            &before,
            &pod,
            &format!("after a kill {:?} into DEL and another DEL", step * kill),
        );
    }
}

/// Many at once: leases are not handed out twice, and nothing stays when all are gone.
#[test]
fn many_at_once() {
    const PODS: usize = 24;
    let host = Host::new();
    let config = everything();
    // The first one makes what is shared.
    let first = host.pod("first");
    first.call(BRIDGE, &config).add();
    let before = (host.snapshot(), first.snapshot());
    let pods: Vec<Pod<'_>> = (0..PODS).map(|index| host.pod(&format!("pod{index}"))).collect();
    let calls: Vec<Call<'_>> = pods.iter().map(|pod| pod.call(BRIDGE, &config)).collect();
    let ends = |verb: &str| -> Vec<Outcome> {
        let children: Vec<_> = calls.iter().map(|call| call.spawn(verb, Stdio::piped())).collect();
        children.into_iter().map(|child| Outcome::new(verb.to_owned(), &await_end(child))).collect()
    };
    let mut addresses: Vec<String> = ends("ADD")
        .iter()
        .map(|outcome| outcome.success()["ips"][0]["address"].as_str().unwrap().to_owned())
        .collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), PODS, "an address was handed out twice: {addresses:?}");
    for pod in &pods {
        assert!(pod.reaches("10.88.0.1"), "{} does not reach the gateway", pod.name);
    }
    for outcome in ends("DEL") {
        outcome.silence();
    }
    nothing_stays(&before, &first, "after many came and went at once");
}

/// Many at once on a bare host: one of them makes the bridge, all of them get it.
#[test]
fn many_at_once_on_a_bare_host() {
    const PODS: usize = 8;
    for _ in 0..3 {
        let host = Host::new();
        let config = everything();
        let pods: Vec<Pod<'_>> = (0..PODS).map(|index| host.pod(&format!("pod{index}"))).collect();
        let calls: Vec<Call<'_>> = pods.iter().map(|pod| pod.call(BRIDGE, &config)).collect();
        let children: Vec<_> = calls.iter().map(|call| call.spawn("ADD", Stdio::piped())).collect();
        for child in children {
            Outcome::new("ADD".to_owned(), &await_end(child)).success();
        }
        for pod in &pods {
            assert!(pod.reaches("10.88.0.1") && pod.reaches("fd00:88::1"), "{}", pod.name);
        }
    }
}

/// The specification forbids a runtime to ask twice at once for one attachment. If one does, it
/// gets the attachment at most once, and DEL still brings back what was.
#[test]
fn the_same_attachment_twice_at_once() {
    let host = Host::new();
    let (other, pod) = (host.pod("green"), host.pod("blue"));
    other.call(BRIDGE, &everything()).add();
    let before = (host.snapshot(), pod.snapshot());
    let call = pod.call(BRIDGE, &everything());
    for _ in 0..12 {
        let children = [(); 2].map(|()| call.spawn("ADD", Stdio::piped()));
        let outcomes = children.map(|child| Outcome::new("ADD".to_owned(), &await_end(child)));
        let good = outcomes.iter().filter(|outcome| outcome.status == Some(0)).count();
        assert!(good < 2, "both got it: {}\n{}", outcomes[0], outcomes[1]);
        call.del();
        nothing_stays(&before, &pod, "after two ADDs at once and DEL");
        call.check(&call.add()).silence();
        call.del();
    }
}

/// Killed after the record is written and before it has its name.
#[test]
fn a_record_that_is_being_written_goes_with_del() {
    if harness::testing_reference() {
        return;
    }
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &everything());
    call.add();
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    assert!(killed_add_at(&host, &call, BRIDGE, "rename", 1), "the record is renamed");
    assert_eq!(host.snapshot().files(".new.").len(), 1, "{:?}", host.snapshot().files("id-blue"));
    call.del();
    nothing_stays(&before, &pod, "after a kill at the record's rename, and DEL");
}
