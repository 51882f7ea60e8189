//! Every verb is ended by SIGKILL or SIGTERM before each of its steps in turn, in the program built with the feature
//! `faults`: a step is a batch of netlink requests, a file operation, a lock or a child process. Then DEL,
//! or GC alone, cleans up, or an ADD of a new container works beside what was left; nothing leaks.
//! tests/kill.rs kills a program without that feature, at moments.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::{Call, Plugin};
use harness::chained::whole_list;
use harness::config::{bridge, everything};
use harness::snapshot::{Snapshot, nothing_stays};
use harness::{Host, Pod};
use serde_json::{Value, json};

/// How a kill is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The runtime asks for DEL.
    Delete,
    /// Nobody asks for anything but GC.
    Collect,
    /// The runtime starts another container, beside what was left; GC comes after that.
    AddAnother,
}

const ANSWERS: [Answer; 3] = [Answer::Delete, Answer::Collect, Answer::AddAnother];

/// Every step is killed and answered in every way, not every second in one by turns.
fn wants_all() -> bool {
    std::env::var("CAUSEWAY_KILLS").is_ok_and(|value| value == "full")
}

/// A network's calls, and what there is besides.
struct Killing<'h> {
    host: &'h Host,
    plugin: Plugin,
    config: Value,
    next: Value,
    before: (Snapshot, Snapshot),
    bystander: (Call<'h>, Value),
    rounds: usize,
    killed: usize,
}

impl<'h> Killing<'h> {
    fn new(host: &'h Host, plugin: &'static str, config: impl Fn(u16) -> Value) -> Self {
        let plugin = Plugin::Causeway(plugin);
        let bystander = host.pod("green").call(plugin, &config(9090));
        let bystander = (bystander.clone(), bystander.add());
        let (config, next) = (config(8080), config(7070));
        let pod = host.pod("blue");
        let call = pod.call(plugin, &config);
        call.check(&call.add()).silence();
        call.del();
        let before = (host.snapshot(), pod.snapshot());
        pod.destroy();
        Self { host, plugin, config, next, before, bystander, rounds: 0, killed: 0 }
    }

    /// A call of an attachment that there was not before, for a pod.
    fn call(&self, pod: &Pod<'h>, id: &str) -> Call<'h> {
        pod.call(self.plugin, &self.config).id(id)
    }

    /// GC; the bystander is valid, and another container.
    fn collect(&self, other: &str) {
        let valid = [("id-green", "eth0"), (other, "eth0")];
        self.host.call(self.plugin, &self.config).gc(&valid);
    }

    /// Kills each step of a verb.
    fn every_step_of(&mut self, verb: &str) {
        for step in (1..).step_by(if wants_all() { 1 } else { 2 }) {
            let mut answers = ANSWERS.to_vec();
            if !wants_all() {
                answers.rotate_left(step / 2 % ANSWERS.len());
                answers.truncate(1);
            }
            for answer in answers {
                if !self.round(verb, step, answer) {
                    return;
                }
            }
        }
    }

    /// One kill and its answer; says whether the call came so far.
    fn round(&mut self, verb: &str, step: usize, answer: Answer) -> bool {
        self.rounds += 1;
        let pod = self.host.pod("blue");
        let id = format!("round-{}", self.rounds);
        let call = self.call(&pod, &id);
        let mut asked = call.clone();
        if verb != "ADD" {
            let result = call.add();
            asked = asked.key("prevResult", &result);
        }
        if verb == "GC" {
            asked = asked.collecting(&[("id-green", "eth0")]);
        }
        let signal = if self.rounds.is_multiple_of(2) { "kill" } else { "term" };
        let outcome = asked.env("CAUSEWAY_FAULT", &format!("step:{step}:{signal}")).run(verb);
        let is_killed = outcome.status.is_none();
        self.killed += usize::from(is_killed);
        let when = format!("{verb} killed at step {step}, answered by {answer:?}");
        match answer {
            Answer::Delete => call.del(),
            Answer::Collect => self.collect("none"),
            Answer::AddAnother => {
                let next = self.host.pod("red");
                let id = format!("{id}-next");
                let another = next.call(self.plugin, &self.next).id(&id);
                let result = another.add();
                another.check(&result).silence();
                self.collect(&id);
                another.check(&result).silence();
                another.del();
                next.destroy();
            }
        }
        nothing_stays(&self.before, &pod, &format!("{when}: {outcome}"));
        pod.destroy();
        is_killed
    }

    fn end(self) {
        println!("{} kills", self.killed);
        assert!(self.killed > 50, "only {} of {} rounds were killed", self.killed, self.rounds);
        let (call, result) = self.bystander;
        call.check(&result).silence();
    }
}

/// `config` is a configuration that maps ports of the host from one on, if it maps any.
fn all_verbs(plugin: &'static str, config: impl Fn(u16) -> Value) {
    let host = Host::new();
    let mut killing = Killing::new(&host, plugin, config);
    for verb in ["ADD", "CHECK", "DEL", "GC"] {
        killing.every_step_of(verb);
    }
    killing.end();
}

#[test]
fn of_a_bridge() {
    all_verbs("bridge", |_| everything());
}

#[test]
fn of_a_bridge_with_iptables() {
    all_verbs("bridge", |_| {
        bridge(json!({"isGateway": true, "ipMasq": true, "ipMasqBackend": "iptables"}))
    });
}

#[test]
fn of_a_list_as_one() {
    all_verbs("causeway", whole_list);
}
