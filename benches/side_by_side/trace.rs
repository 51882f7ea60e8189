//! What a call asks of the kernel, and when it first does so, by strace.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::call::Call;
use crate::startup::First;

const LOG: &str = "/run/strace";

/// What a call and its descendants did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// Including the first one.
    pub processes: usize,
    /// Beyond the first of each process.
    pub threads: usize,
    pub system_calls: usize,
    /// Bytes that were read from files and pipes: not those of programs and libraries, which are mapped,
    /// and not from sockets.
    pub bytes_read: u64,
    /// Bytes that were written to files and pipes.
    pub bytes_written: u64,
}

impl Counted {
    /// Adds what a further call did.
    pub fn add(&mut self, other: Self) {
        self.processes += other.processes;
        self.threads += other.threads;
        self.system_calls += other.system_calls;
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
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
/// of which the second is `PID <... name resumed>rest) = result`.
fn parse(log: &str) -> Counted {
    let mut counted = Counted { processes: 1, ..Counted::default() };
    for line in log.lines() {
        let Some((_, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(rest) = call.strip_prefix("<... ") {
            counted.moved(rest.split(' ').next().unwrap_or_default(), rest);
            continue;
        }
        let Some((name, arguments)) = call.split_once('(') else { continue };
        if call.starts_with("+++") {
            continue;
        }
        counted.system_calls += 1;
        match name {
            "clone" | "clone3" if arguments.contains("CLONE_THREAD") => counted.threads += 1,
            "clone" | "clone3" | "fork" | "vfork" => counted.processes += 1,
            _ => counted.moved(name, arguments),
        }
    }
    counted
}

impl Counted {
    /// Counts the bytes of a call that has ended: behind the last ` = `.
    fn moved(&mut self, name: &str, rest: &str) {
        let Some((_, result)) = rest.rsplit_once(" = ") else { return };
        let bytes = result.split(' ').next().unwrap_or_default().parse::<u64>().unwrap_or(0);
        match name {
            "read" | "readv" | "pread64" | "preadv" | "preadv2" => self.bytes_read += bytes,
            "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" => self.bytes_written += bytes,
            // From one file to another.
            "sendfile" | "copy_file_range" | "splice" => {
                self.bytes_read += bytes;
                self.bytes_written += bytes;
            }
            _ => {}
        }
    }
}

/// Executes the call under strace and says how long after `execve` the program, or one that it
/// executes, first did what [`First`] names; gives its answer, too, also that of a failure.
pub fn first(call: &Call) -> Result<(Duration, First, String), Error> {
    let mut strace = Command::new("strace");
    // With a filter in the kernel it stops at these calls alone.
    strace.args(["-f", "--seccomp-bpf", "-qq", "-ttt", "-e", "signal=none"]);
    strace.args(["-e", "trace=execve,connect,sendto,sendmsg,write", "-o", LOG]);
    strace.arg(&call.program);
    let output = call.execute(strace)?;
    let log = fs::read(LOG).map_err(Error::io("read strace's log"))?;
    let log = String::from_utf8_lossy(&log);
    let (time, first) = parse_first(&log).ok_or_else(|| Error::Unreadable(log.to_string()))?;
    Ok((time, first, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Lines are `PID SECONDS.MICROSECONDS name(arguments...`.
fn parse_first(log: &str) -> Option<(Duration, First)> {
    let lines = || {
        log.lines().filter_map(|line| {
            let (_, rest) = line.split_once(' ')?;
            let (time, call) = rest.trim_start().split_once(' ')?;
            let (seconds, microseconds) = time.split_once('.')?;
            let time = Duration::from_secs(seconds.parse().ok()?)
                + Duration::from_micros(microseconds.parse().ok()?);
            Some((time, call))
        })
    };
    let (start, _) = lines().find(|(_, call)| call.starts_with("execve("))?;
    let find = |is: &dyn Fn(&str) -> bool| {
        lines().find(|(_, call)| is(call)).map(|(time, _)| time.saturating_sub(start))
    };
    let message = find(&|call| call.starts_with("sendto(") || call.starts_with("sendmsg("));
    let connection = find(&|call| call.starts_with("connect("));
    let answer = find(&|call| call.starts_with("write(1,"));
    message
        .map(|time| (time, First::Message))
        .or_else(|| connection.map(|time| (time, First::Connection)))
        .or_else(|| answer.map(|time| (time, First::Answer)))
}
