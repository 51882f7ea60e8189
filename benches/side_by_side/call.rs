//! One call of a program, as a runtime makes it: environment, configuration on a pipe, answer on a
//! pipe; measured by the stopwatch.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::Error;

/// Where the stopwatch reports. /run is the case's own.
const REPORT: &str = "/run/stopwatch";

/// What is to be executed.
#[derive(Clone)]
pub struct Call {
    /// Whose it is, for messages.
    pub who: String,
    /// What it does, for messages.
    pub verb: &'static str,
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(&'static str, String)>,
    pub stdin: String,
}

/// What one call, or the calls for a list, took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    /// From just before the process was made until it was reaped.
    pub wall: Duration,
    /// User and system time of the process and of every descendant that was waited for.
    pub cpu: Duration,
    /// Of the largest process, if it was looked at.
    pub peak_rss_kib: Option<u64>,
}

impl Measured {
    /// Adds what a further call took.
    pub fn add(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
        self.peak_rss_kib = self.peak_rss_kib.max(other.peak_rss_kib);
    }
}

impl Call {
    /// Executes it under the stopwatch; gives its answer, too.
    pub fn measure(&self, stopwatch: &Path) -> Result<(Measured, String), Error> {
        let mut command = Command::new(stopwatch);
        command.arg(REPORT).arg(&self.program);
        let output = self.execute(command)?;
        if !output.status.success() {
            return Err(self.refused(output.status.code().unwrap_or(-1), &output));
        }
        let report = fs::read_to_string(REPORT).map_err(Error::io("read stopwatch's report"))?;
        let (measured, code) = parse(&report).ok_or_else(|| Error::Unreadable(report.clone()))?;
        if code != 0 {
            return Err(self.refused(code, &output));
        }
        Ok((measured, String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// Executes it under another program, such as strace, which passes the exit code on.
    pub fn execute_under(&self, mut command: Command) -> Result<String, Error> {
        command.arg(&self.program);
        let output = self.execute(command)?;
        if !output.status.success() {
            return Err(self.refused(output.status.code().unwrap_or(-1), &output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Executes it, whatever comes of it. `command` has the program as its last argument, or is it.
    pub fn execute(&self, mut command: Command) -> Result<Output, Error> {
        // The configuration lies in the pipe before the program starts, so that no measurement
        // depends on when this process is given its turn. It is far below the pipe's 64 KiB.
        let (read, write) = nix::unistd::pipe().map_err(Error::io("make a pipe"))?;
        File::from(write)
            .write_all(self.stdin.as_bytes())
            .map_err(Error::io("write the configuration"))?;
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(read))
            .output()
            .map_err(Error::io(format!("execute {}", self.program.display())))
    }

    /// That it ended with a code of failure.
    pub fn refused(&self, code: i32, output: &Output) -> Error {
        let mut answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        answer.push_str(String::from_utf8_lossy(&output.stderr).trim());
        Error::Refused { who: self.who.clone(), verb: self.verb.to_owned(), code, answer }
    }
}

/// The stopwatch's line: wall in nanoseconds, user and system time in microseconds, peak in KiB,
/// exit code.
fn parse(report: &str) -> Option<(Measured, i32)> {
    let mut numbers = report.split_whitespace().map(|word| word.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let wall = Duration::from_nanos(next()?);
    let cpu = Duration::from_micros(next()?) + Duration::from_micros(next()?);
    let peak_rss_kib = Some(next()?);
    let code = i32::try_from(next()?).ok()?;
    Some((Measured { wall, cpu, peak_rss_kib }, code))
}
