//! Calls of a plugin as a runtime makes them, and what comes back.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::patience::stretched;
use super::{Host, PLUGINS, Pod};

/// A plugin binary of a host: whose it is, and by what name it is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plugin {
    /// The binary under test, called by this type name.
    Causeway(&'static str),
    /// The reference plugin of this type name.
    Reference(&'static str),
}

impl Plugin {
    /// The directory that a runtime would give as CNI_PATH.
    pub fn dir(self) -> String {
        match self {
            Self::Causeway(_) => format!("{PLUGINS}/causeway"),
            Self::Reference(_) => format!("{PLUGINS}/reference"),
        }
    }

    /// The plugin's type name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Causeway(name) | Self::Reference(name) => name,
        }
    }
}

/// A call in the making; every part can be changed before it is made.
#[derive(Clone)]
pub struct Call<'h> {
    host: &'h Host,
    program: String,
    env: BTreeMap<String, String>,
    stdin: Vec<u8>,
}

impl<'h> Call<'h> {
    /// A call of `plugin` with the environment of a runtime, for no attachment in particular.
    pub fn new(host: &'h Host, plugin: Plugin, config: &Value) -> Self {
        let call = Self {
            host,
            program: format!("{}/{}", plugin.dir(), plugin.name()),
            env: BTreeMap::new(),
            stdin: Vec::new(),
        };
        call.env("CNI_PATH", &plugin.dir())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .config(config)
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Takes an environment variable away.
    pub fn without(mut self, name: &str) -> Self {
        self.env.remove(name);
        self
    }

    /// Sets CNI_CONTAINERID.
    pub fn id(self, id: &str) -> Self {
        self.env("CNI_CONTAINERID", id)
    }

    /// Sets CNI_IFNAME.
    pub fn ifname(self, name: &str) -> Self {
        self.env("CNI_IFNAME", name)
    }

    /// Sets CNI_NETNS.
    pub fn netns(self, path: impl AsRef<Path>) -> Self {
        self.env("CNI_NETNS", path.as_ref().to_str().expect("a UTF-8 path"))
    }

    /// Sets the configuration on stdin.
    pub fn config(self, config: &Value) -> Self {
        self.stdin(config.to_string().as_bytes())
    }

    /// Sets stdin, whether it is a configuration or not.
    pub fn stdin(mut self, bytes: &[u8]) -> Self {
        self.stdin = bytes.to_vec();
        self
    }

    /// Adds a key to the configuration on stdin.
    pub fn key(self, key: &str, value: &Value) -> Self {
        let mut config: Value = serde_json::from_slice(&self.stdin).expect("a configuration");
        config[key] = value.clone();
        self.config(&config)
    }

    /// Runs the plugin by another path than a runtime would find it by.
    pub fn program(mut self, path: &str) -> Self {
        self.program = path.to_owned();
        self
    }

    /// Runs the plugin by way of another program, such as strace, that executes it.
    pub fn by(self, wrapper: &str) -> Self {
        let name = self.program.rsplit('/').next().unwrap_or_default();
        // A plugin's role follows from its name, which the wrapper leaves alone.
        let script = format!("by-{name}");
        self.host.script_plugin(&script, &format!("#!/bin/sh\nexec {wrapper} {}\n", self.program));
        let path = format!("{PLUGINS}/causeway/{script}");
        self.program(&path)
    }

    /// Makes the call.
    pub fn run(&self, verb: &str) -> Outcome {
        let child = self.spawn(verb, Stdio::piped());
        Outcome::new(format!("{verb} by {}", self.program), &await_end(child))
    }

    /// Makes the call without CNI_COMMAND.
    pub fn run_without_verb(&self) -> Outcome {
        let child = self.start(Stdio::piped());
        Outcome::new(format!("{} without a verb", self.program), &await_end(child))
    }

    /// Starts the call with `stdout` and feeds it the configuration, but does not wait for it.
    pub fn spawn(&self, verb: &str, stdout: Stdio) -> Child {
        self.clone().env("CNI_COMMAND", verb).start(stdout)
    }

    /// As [`Call::spawn`], but the caller feeds the configuration through `stdin`.
    pub fn spawn_reading(&self, verb: &str, stdin: Stdio, stdout: Stdio) -> Child {
        self.clone().env("CNI_COMMAND", verb).launch(stdin, stdout)
    }

    fn start(&self, stdout: Stdio) -> Child {
        let mut child = self.launch(Stdio::piped(), stdout);
        let mut pipe = child.stdin.take().expect("the plugin's stdin");
        // A plugin that finds its environment wrong may answer before it reads all.
        if let Err(e) = pipe.write_all(&self.stdin) {
            assert_eq!(e.kind(), std::io::ErrorKind::BrokenPipe, "feed the plugin: {e}");
        }
        child
    }

    fn launch(&self, stdin: Stdio, stdout: Stdio) -> Child {
        self.host.inside(|| {
            Command::new(&self.program)
                .env_clear()
                .envs(&self.env)
                .stdin(stdin)
                .stdout(stdout)
                .stderr(Stdio::piped())
                // A group of its own, so that what it starts can be ended with it.
                .process_group(0)
                .spawn()
                .unwrap_or_else(|e| panic!("cannot run {}: {e}", self.program))
        })
    }

    /// ADD that must succeed; gives the result.
    pub fn add(&self) -> Value {
        self.run("ADD").success()
    }

    /// CHECK against `previous`.
    pub fn check(&self, previous: &Value) -> Outcome {
        self.clone().key("prevResult", previous).run("CHECK")
    }

    /// DEL that must succeed and say nothing on stdout.
    pub fn del(&self) {
        self.run("DEL").silence();
    }

    /// GC that must succeed and say nothing on stdout; `valid` are the attachments that stay.
    pub fn gc(&self, valid: &[(&str, &str)]) {
        self.run_gc(valid).silence();
    }

    /// GC; `valid` are the attachments that stay.
    pub fn run_gc(&self, valid: &[(&str, &str)]) -> Outcome {
        self.clone().collecting(valid).run("GC")
    }

    /// As a runtime asks for GC; `valid` are the attachments that stay.
    pub fn collecting(self, valid: &[(&str, &str)]) -> Self {
        let valid: Vec<Value> =
            valid.iter().map(|(id, ifname)| json!({"containerID": id, "ifname": ifname})).collect();
        let call = self.without("CNI_CONTAINERID").without("CNI_NETNS").without("CNI_IFNAME");
        call.key("cni.dev/valid-attachments", &Value::Array(valid))
    }
}

/// Waits for a plugin; one that hangs is killed after half a minute, which no test takes for well.
pub fn await_end(child: Child) -> Output {
    let (ended, end) = mpsc::channel::<()>();
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process ID"));
    let watchdog = thread::spawn(move || {
        if end.recv_timeout(stretched(Duration::from_secs(30))) == Err(RecvTimeoutError::Timeout) {
            // And by itself, for a program that was started without a group of its own.
            let _ = killpg(pid, Signal::SIGKILL);
            let _ = kill(pid, Signal::SIGKILL);
        }
    });
    let said = child.wait_with_output().expect("wait for the plugin");
    drop(ended);
    watchdog.join().expect("the watchdog");
    said
}

impl<'h> Host {
    /// A call for no attachment: VERSION, STATUS, GC.
    pub fn call(&'h self, plugin: Plugin, config: &Value) -> Call<'h> {
        Call::new(self, plugin, config)
    }
}

impl<'h> Pod<'h> {
    /// A call for the attachment of this pod's `eth0`; the container ID is `id-` and the pod's name.
    pub fn call(&self, plugin: Plugin, config: &Value) -> Call<'h> {
        Call::new(self.host, plugin, config)
            .id(&format!("id-{}", self.name))
            .ifname("eth0")
            .netns(&self.path)
    }
}

/// What a call gave back.
pub struct Outcome {
    what: String,
    /// The exit code; absent when a signal ended the plugin.
    pub status: Option<i32>,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
}

impl Outcome {
    /// What `said` tells of the call `what`.
    pub fn new(what: String, said: &Output) -> Self {
        Self {
            what,
            status: said.status.code(),
            stdout: String::from_utf8_lossy(&said.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&said.stderr).into_owned(),
        }
    }

    /// The result on stdout; the call must have succeeded and printed that JSON and nothing else.
    pub fn success(&self) -> Value {
        assert_eq!(self.status, Some(0), "{self}");
        self.only_json()
    }

    /// The call must have succeeded and printed nothing on stdout.
    pub fn silence(&self) {
        assert_eq!(self.status, Some(0), "{self}");
        assert_eq!(self.stdout, "", "{self}");
    }

    /// The error on stdout; the call must have failed and printed that JSON and nothing else.
    pub fn error(&self) -> CniError {
        assert!(self.status.is_some_and(|code| code != 0), "a failure was expected: {self}");
        let body = self.only_json();
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let code = body["code"].as_u64().unwrap_or_else(|| panic!("no error code: {self}"));
        let error = CniError {
            code,
            msg: text("msg"),
            details: text("details"),
            version: text("cniVersion"),
        };
        assert!(!error.msg.is_empty(), "an error without a message: {self}");
        error
    }

    /// An error of `code` whose message or details hold every word of `words`.
    pub fn fails(&self, code: u64, words: &[&str]) -> CniError {
        self.fails_with(&[code], words)
    }

    /// An error of one of `codes` whose message or details hold every word of `words`.
    ///
    /// The reference plugins have other codes and words; of them only a failure is expected.
    pub fn fails_with(&self, codes: &[u64], words: &[&str]) -> CniError {
        let error = self.error();
        if super::testing_reference() {
            return error;
        }
        assert!(codes.contains(&error.code), "the code is not of {codes:?}: {self}");
        let text = format!("{}\n{}", error.msg, error.details);
        for word in words {
            assert!(text.contains(word), "the error does not name {word:?}: {self}");
        }
        error
    }

    /// stdout as one JSON object.
    fn only_json(&self) -> Value {
        let body: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("stdout is not one JSON text ({e}): {self}"));
        assert!(body.is_object(), "stdout is not a JSON object: {self}");
        body
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}: exit {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.what, self.status, self.stdout, self.stderr
        )
    }
}

/// The error object that a plugin prints.
#[derive(Debug)]
pub struct CniError {
    /// The specification's code, or from 100 on the plugin's own.
    pub code: u64,
    /// What went wrong.
    pub msg: String,
    /// The cause.
    pub details: String,
    /// The protocol version of the answer.
    pub version: String,
}
