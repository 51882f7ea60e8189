//! One run of a plugin, from start to answer.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::{Error, OUTPUT_MAX};
use crate::kernel::raw;
use crate::protocol::config::{DELEGATE_TIMEOUT, member};
use crate::protocol::error::CniError;
use crate::protocol::request::Verb;

/// How often, and after what pause, a program that is just being written (`ETXTBSY`) is tried
/// again: one second in all.
const BUSY_RETRIES: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// How long to wait for output before looking whether the plugin has ended and only something that
/// it left running still holds its stdout, in milliseconds.
const LOOK_EVERY: u16 = 100;

/// How long a plugin may take whose configuration does not say. An ADD that hangs, and the DEL after
/// it, are then over within the four minutes that a kubelet waits for a pod's network.
const LIMIT: Duration = Duration::from_secs(100);

/// How much of a senseless answer an error quotes, in bytes.
const EXCERPT: usize = 200;

/// Runs the plugin with `verb` as CNI_COMMAND and gives what it printed. It is killed when it takes
/// longer than the key `delegateTimeout` of the configuration in `stdin` says, or 100 seconds.
///
/// # Errors
/// [`Error::Start`], [`Error::Pipe`], [`Error::Failed`] with the plugin's own error,
/// [`Error::Silent`], [`Error::Killed`], [`Error::Garbled`], [`Error::TooLong`] and
/// [`Error::TooSlow`].
pub fn run(verb: Verb, plugin: &Path, stdin: &[u8]) -> Result<Vec<u8>, Error> {
    run_with(verb, plugin, stdin, &BTreeMap::new(), Some(limit(stdin)))
}

/// As [`run`], with variables set that this process may have otherwise, or not at all, and with the limit
/// that is given, if any.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    verb: Verb,
    plugin: &Path,
    stdin: &[u8],
    environment: &BTreeMap<String, String>,
    limit: Option<Duration>,
) -> Result<Vec<u8>, Error> {
    let mut running = Running(start(verb, plugin, environment)?);
    let patience = Patience { start: Instant::now(), limit };
    let output = talk(&mut running.0, plugin, stdin, &patience)?;
    patience.await_end(&running.0, plugin)?;
    let status = running.0.wait().map_err(|source| pipe(plugin, "wait for its end", source))?;
    if status.success() { Ok(output) } else { Err(failure(plugin, status, &output)) }
}

/// How long a plugin with this configuration may take, by its key `delegateTimeout`.
pub fn limit(stdin: &[u8]) -> Duration {
    let config: serde_json::Value = serde_json::from_slice(stdin).unwrap_or_default();
    let seconds = member(&config, DELEGATE_TIMEOUT).and_then(serde_json::Value::as_u64);
    // What is wrong with the value is told where configurations are read.
    let seconds = seconds.and_then(|seconds| u16::try_from(seconds).ok()).filter(|one| *one > 0);
    seconds.map_or(LIMIT, |seconds| Duration::from_secs(seconds.into()))
}

/// Until when a plugin is waited for.
struct Patience {
    start: Instant,
    limit: Option<Duration>,
}

impl Patience {
    fn check(&self, plugin: &Path) -> Result<(), Error> {
        match self.limit {
            Some(limit) if self.start.elapsed() >= limit => {
                Err(Error::TooSlow { plugin: name_of(plugin), seconds: limit.as_secs() })
            }
            _ => Ok(()),
        }
    }

    /// Waits for the end of a plugin that has closed its stdout, which it nearly always does by ending.
    fn await_end(&self, child: &Child, plugin: &Path) -> Result<(), Error> {
        // Without such a file, before Linux 5.3, it is waited for without a limit.
        let Ok(process) = raw::process_file(child.id()) else { return Ok(()) };
        loop {
            let mut ends = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ends, PollTimeout::from(LOOK_EVERY)) {
                Ok(0) => self.check(plugin)?,
                Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(pipe(plugin, "wait for its end", errno.into())),
            }
        }
    }
}

/// A plugin that neither outlives an error of ours nor is left as a zombie.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both do nothing to a child that has been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(
    verb: Verb,
    plugin: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<Child, Error> {
    let mut command = Command::new(plugin);
    command
        .envs(environment)
        .env("CNI_COMMAND", verb.as_str())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    let mut retries = BUSY_RETRIES;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && retries > 0 => {
                retries -= 1;
                thread::sleep(BUSY_PAUSE);
            }
            other => {
                return other.map_err(|source| Error::Start {
                    plugin: plugin.display().to_string(),
                    source,
                });
            }
        }
    }
}

/// Feeds the plugin and listens to it at the same time, so that neither waits for the other
/// forever, however much is said.
fn talk(
    child: &mut Child,
    plugin: &Path,
    input: &[u8],
    patience: &Patience,
) -> Result<Vec<u8>, Error> {
    let (mut rest, mut output) = (input, Vec::new());
    let mut stdin = child.stdin.take();
    let Some(mut stdout) = child.stdout.take() else { return Ok(output) };
    if let Some(end) = &stdin {
        never_wait(end).map_err(|errno| pipe(plugin, "set up its stdin", errno.into()))?;
    }
    loop {
        patience.check(plugin)?;
        if let Some(end) = &mut stdin
            && feed(end, &mut rest).map_err(|source| pipe(plugin, "write to its stdin", source))?
        {
            // Closing it tells the plugin that this was all.
            stdin = None;
        }
        match wait_for(&stdout, stdin.as_ref(), LOOK_EVERY.into())
            .map_err(|errno| pipe(plugin, "wait for its output", errno.into()))?
        {
            Event::Output => {
                if listen(&mut stdout, &mut output)
                    .map_err(|source| pipe(plugin, "read its stdout", source))?
                {
                    return Ok(output);
                }
                if output.len() > OUTPUT_MAX {
                    return Err(Error::TooLong { plugin: name_of(plugin) });
                }
            }
            Event::Input => {}
            Event::Silence => {
                let ended =
                    child.try_wait().map_err(|source| pipe(plugin, "wait for its end", source))?;
                // It may have printed something between the silence and its end.
                if ended.is_some()
                    && let Ok(Event::Silence) = wait_for(&stdout, None, PollTimeout::ZERO)
                {
                    return Ok(output);
                }
            }
        }
    }
}

enum Event {
    /// Stdout has something, or its end.
    Output,
    /// Stdin takes more, or nothing ever again.
    Input,
    /// Nothing within the time.
    Silence,
}

fn wait_for(
    stdout: &ChildStdout,
    stdin: Option<&ChildStdin>,
    timeout: PollTimeout,
) -> nix::Result<Event> {
    let mut ends = vec![PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
    ends.extend(stdin.map(|stdin| PollFd::new(stdin.as_fd(), PollFlags::POLLOUT)));
    let count = loop {
        match poll(&mut ends, timeout) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    let has_output = ends.first().and_then(PollFd::any).unwrap_or_default();
    Ok(match count {
        0 => Event::Silence,
        _ if has_output => Event::Output,
        _ => Event::Input,
    })
}

/// Writes what fits into the pipe; says whether that is all, or all that the plugin wants.
fn feed(stdin: &mut ChildStdin, rest: &mut &[u8]) -> io::Result<bool> {
    while !rest.is_empty() {
        match stdin.write(rest) {
            Ok(written) => *rest = rest.get(written..).unwrap_or_default(),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(false),
                // The plugin reads no further, as it may: VERSION or STATUS needs little.
                io::ErrorKind::BrokenPipe => return Ok(true),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
    Ok(true)
}

/// Reads once; says whether that was the end.
fn listen(stdout: &mut ChildStdout, output: &mut Vec<u8>) -> io::Result<bool> {
    let mut piece = [0; 8192];
    match stdout.read(&mut piece) {
        Ok(0) => Ok(true),
        Ok(length) => {
            output.extend_from_slice(piece.get(..length).unwrap_or_default());
            Ok(false)
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

fn never_wait(end: &ChildStdin) -> nix::Result<()> {
    fcntl(end, FcntlArg::F_SETFL(OFlag::O_WRONLY | OFlag::O_NONBLOCK)).map(drop)
}

/// Why a run without success failed.
fn failure(plugin: &Path, status: ExitStatus, output: &[u8]) -> Error {
    if let Some(signal) = status.signal() {
        let known = Signal::try_from(signal).map(|signal| signal.as_str().to_owned());
        return Error::Killed {
            plugin: name_of(plugin),
            signal: known.unwrap_or_else(|_| signal.to_string()),
        };
    }
    let code = status.code().unwrap_or_default();
    if output.trim_ascii().is_empty() {
        return Error::Silent { plugin: name_of(plugin), code };
    }
    match serde_json::from_slice::<CniError>(output) {
        Ok(error) => Error::Failed { plugin: name_of(plugin), error },
        Err(error) => garbled(
            plugin,
            format!("ended with exit code {code}"),
            "error",
            error.to_string(),
            output,
        ),
    }
}

pub(super) fn garbled(
    plugin: &Path,
    ending: String,
    expected: &'static str,
    problem: String,
    output: &[u8],
) -> Error {
    let begin = output.get(..EXCERPT).unwrap_or(output);
    let dots = if begin.len() < output.len() { "..." } else { "" };
    let excerpt = format!("{:?}{dots}", String::from_utf8_lossy(begin));
    Error::Garbled { plugin: name_of(plugin), ending, expected, problem, excerpt }
}

fn pipe(plugin: &Path, doing: &'static str, source: io::Error) -> Error {
    Error::Pipe { plugin: name_of(plugin), doing, source }
}

/// The plugin's type, by which people know it.
fn name_of(plugin: &Path) -> String {
    plugin.file_name().unwrap_or(plugin.as_os_str()).to_string_lossy().into_owned()
}
