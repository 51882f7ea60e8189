//! Calls of a program built with the feature `faults`, of which one step fails by order
//! (src/kernel/raw/faults.rs): every step in turn.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use super::Pod;
use super::call::{Call, Outcome};
use super::snapshot::{Snapshot, nothing_stays};

/// What can fail.
pub const KINDS: [&str; 4] = ["netlink", "file", "lock", "child"];
/// How it fails.
const WAYS: [&str; 6] = ["EPERM", "ENOMEM", "EBUSY", "ENOSPC", "EEXIST", "lost"];
/// How many faults there are between two looks at everything. What a fault leaves is still there then,
/// since no attachment is made under the same container ID again.
const BETWEEN_LOOKS: usize = 24;

/// Whether every step is to fail in every way, and not every second in one of them.
pub fn wants_all() -> bool {
    std::env::var("CAUSEWAY_FAULTS").is_ok_and(|value| value == "full")
}

/// After how many faults to look; `CAUSEWAY_FAULTS_LOOK=1` finds which one it was.
fn between_looks() -> usize {
    let wanted = std::env::var("CAUSEWAY_FAULTS_LOOK").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(BETWEEN_LOOKS)
}

/// One step of a call that fails.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What is counted.
    pub kind: &'static str,
    /// Which one, from 1.
    pub number: usize,
    /// How it fails.
    pub way: &'static str,
}

/// The ways in which the step of that number is to fail: all of them, or one by turns.
pub fn faults(kind: &'static str, number: usize) -> Vec<Fault> {
    let at = KINDS.iter().position(|one| *one == kind).unwrap_or_default();
    let mut ways = WAYS.to_vec();
    ways.rotate_left((number / 2 + at) % WAYS.len());
    if !wants_all() {
        ways.truncate(1);
    }
    ways.into_iter().map(|way| Fault { kind, number, way }).collect()
}

impl Fault {
    /// As `CAUSEWAY_FAULT` says it.
    pub fn order(self) -> String {
        let Self { kind, number, way } = self;
        format!("{kind}:{number}:{way}")
    }

    /// Makes a call with this fault; nothing if it does not come so far.
    pub fn in_call(self, call: &Call<'_>, verb: &str) -> Option<Outcome> {
        let outcome = call.clone().env("CAUSEWAY_FAULT", &self.order()).run(verb);
        outcome.stderr.contains("CAUSEWAY_FAULT: struck").then_some(outcome)
    }
}

/// A container's calls of which steps fail.
pub struct Sweep<'p, 'h> {
    pod: &'p Pod<'h>,
    call: Call<'h>,
    /// The attachments that GC must leave alone.
    valid: Vec<(&'static str, &'static str)>,
    before: (Snapshot, Snapshot),
    /// Commands after which the host is as before a first ADD that made what attachments share.
    bare_again: &'p [&'p str],
    /// Faults whose answers leave nothing to be known.
    excused: fn(&str, Fault) -> bool,
    /// Of how many steps one fails.
    of: usize,
    since_look: Vec<String>,
    attachments: usize,
    struck: usize,
    wrong: String,
}

impl<'p, 'h> Sweep<'p, 'h> {
    /// Of `call`, beside the attachment `id-green`.
    pub fn new(pod: &'p Pod<'h>, call: &Call<'h>) -> Self {
        // What attachments share and what a first call makes is there from now on.
        let result = call.add();
        call.check(&result).silence();
        call.del();
        Self::beside(pod, call, pod.host.snapshot(), &[])
    }

    /// On a host that has nothing yet; `bare_again` are commands that remove what an ADD makes for all.
    pub fn on_a_bare_host(pod: &'p Pod<'h>, call: &Call<'h>, bare_again: &'p [&'p str]) -> Self {
        Self::beside(pod, call, pod.host.snapshot(), bare_again)
    }

    fn beside(
        pod: &'p Pod<'h>,
        call: &Call<'h>,
        host: Snapshot,
        bare_again: &'p [&'p str],
    ) -> Self {
        Self {
            pod,
            call: call.clone(),
            valid: vec![("id-green", "eth0")],
            before: (host, pod.snapshot()),
            bare_again,
            excused: |_, _| false,
            of: if wants_all() { 1 } else { 2 },
            since_look: Vec::new(),
            attachments: 0,
            struck: 0,
            wrong: String::new(),
        }
    }

    /// Leaves out the faults, in a verb, for which `excused` holds.
    pub fn but(mut self, excused: fn(&str, Fault) -> bool) -> Self {
        self.excused = excused;
        self
    }

    /// Has only every seventh step fail, for where calls are slow.
    pub fn sampled(mut self) -> Self {
        if !wants_all() {
            self.of = 7;
        }
        self
    }

    /// Has each step of each verb fail, or of so many one; panics with what was not as it should be.
    #[track_caller]
    pub fn run(mut self, verbs: &[&'static str]) {
        for verb in verbs {
            for kind in KINDS {
                for number in (1..).step_by(self.of) {
                    let excused = self.excused;
                    let mut faults = faults(kind, number).into_iter();
                    if !faults.all(|fault| excused(verb, fault) || self.try_one(verb, fault)) {
                        break;
                    }
                }
            }
            self.look();
        }
        println!("{} steps failed by order", self.struck);
        assert!(self.struck > 10, "only {} steps were struck", self.struck);
        assert!(self.wrong.is_empty(), "of {}:\n{}", self.struck, self.wrong);
    }

    /// A fault in a call for a new container; says whether the call came so far.
    fn try_one(&mut self, verb: &str, fault: Fault) -> bool {
        self.attachments += 1;
        let call = self.call.clone().id(&format!("{}-{}", self.pod.name, self.attachments));
        let mut came_so_far = false;
        let tried = catch_unwind(AssertUnwindSafe(|| {
            self.one(&call, verb, fault, &mut came_so_far);
        }));
        self.struck += usize::from(came_so_far);
        self.since_look.push(format!("{verb} {fault:?}"));
        if let Err(cause) = tried {
            let text = cause.downcast_ref::<String>().cloned().unwrap_or_default();
            let _ = writeln!(self.wrong, "\n{verb}, {fault:?}: {text}");
            call.run("DEL");
            self.look();
        }
        if self.since_look.len() >= between_looks() {
            self.look();
        }
        came_so_far
    }

    fn one(&self, call: &Call<'_>, verb: &str, fault: Fault, came_so_far: &mut bool) {
        let result = if verb == "ADD" { Value::Null } else { call.add() };
        let mut asked = call.clone();
        match verb {
            "CHECK" => asked = asked.key("prevResult", &result),
            "GC" => asked = asked.collecting(&self.valid),
            _ => {}
        }
        let outcome = fault.in_call(&asked, verb);
        *came_so_far = outcome.is_some();
        if let Some(outcome) = outcome.as_ref().filter(|outcome| outcome.status != Some(0)) {
            outcome.error();
        }
        match (verb, outcome) {
            // A failed ADD has undone itself. Only of a file that was made while the disk said that it was
            // not, nobody knows before DEL.
            ("ADD", Some(outcome)) if outcome.status != Some(0) => {
                if (fault.kind, fault.way) == ("file", "lost") {
                    call.del();
                    self.make_bare();
                }
            }
            ("GC", _) => {
                asked.run("GC").silence();
                // No runtime is kept from asking for DEL as well.
                call.del();
            }
            _ => {
                call.del();
                self.make_bare();
            }
        }
    }

    fn make_bare(&self) {
        for command in self.bare_again {
            self.pod.host.succeeds(command);
        }
    }

    /// Looks whether everything is as it was.
    fn look(&mut self) {
        let since = std::mem::take(&mut self.since_look);
        let looked = catch_unwind(AssertUnwindSafe(|| {
            nothing_stays(&self.before, self.pod, "after these faults");
        }));
        if let Err(cause) = looked {
            let text = cause.downcast_ref::<String>().cloned().unwrap_or_default();
            let _ = writeln!(self.wrong, "\nafter one of {since:#?}: {text}");
            // What stays now is not to be told again.
            self.before = (self.pod.host.snapshot(), self.pod.snapshot());
        }
    }
}
