//! Counts what a call asks of the kernel, by strace.

use std::fs;
use std::process::Command;

use crate::Error;
use crate::call::Call;

const LOG: &str = "/run/strace";

/// What a call and its descendants did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Including the first one.
    pub processes: usize,
    /// Beyond the first of each process.
    pub threads: usize,
    pub system_calls: usize,
}

impl Counted {
    /// Adds what a further call did.
    pub fn add(&mut self, other: Self) {
        self.processes += other.processes;
        self.threads += other.threads;
        self.system_calls += other.system_calls;
    }
}

/// Executes the call under strace; gives its answer, too.
pub fn count(call: &Call) -> Result<(Counted, String), Error> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "signal=none", "-o", LOG]);
    let answer = call.execute_under(strace)?;
    let log = fs::read(LOG).map_err(Error::io("read strace's log"))?;
    Ok((parse(&String::from_utf8_lossy(&log)), answer))
}

/// Lines are `PID name(arguments) = result`. A call that another process interrupts has two lines,
/// of which the second begins with `<...`.
fn parse(log: &str) -> Counted {
    let mut counted = Counted { processes: 1, threads: 0, system_calls: 0 };
    for line in log.lines() {
        let Some((_, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let Some((name, arguments)) = call.split_once('(') else { continue };
        if call.starts_with("<...") || call.starts_with("+++") {
            continue;
        }
        counted.system_calls += 1;
        match name {
            "clone" | "clone3" if arguments.contains("CLONE_THREAD") => counted.threads += 1,
            "clone" | "clone3" | "fork" | "vfork" => counted.processes += 1,
            _ => {}
        }
    }
    counted
}
