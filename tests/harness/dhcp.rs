//! A host with a DHCP server and a daemon that plugins ask.

use std::cell::RefCell;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::call::{Outcome, Plugin};
use super::config::{merge, newest};
use super::dhcp_server::{DhcpServer, Manner};
use super::{Host, Pod};

/// Where the daemon listens.
pub const SOCKET: &str = "/run/cni/dhcp.sock";

/// A daemon that gives up soon.
pub const HASTY: &str = "-timeout 500ms -resendmax 200ms -resendtimeout 2s";

/// A host with a bridge of the server's network and no server.
pub fn network() -> Host {
    let host = Host::new();
    host.run("ip link add cni0 address 02:00:00:00:09:01 type bridge");
    // What changes with the first port has changed already.
    host.run("ip link add port0 type veth peer name port1");
    host.run("ip link set port0 master cni0 up");
    host.run("ip link set port1 up");
    host.run("sysctl -qw net.ipv6.conf.cni0.accept_ra=0");
    host.run("ip addr add 10.9.0.1/24 dev cni0");
    host.run("ip link set cni0 up");
    host
}

/// A host with a server on the bridge `cni0` and a daemon under test.
pub struct World {
    daemon: RefCell<Daemon>,
    pub server: DhcpServer,
    pub host: Host,
}

impl World {
    pub fn new(manner: Manner) -> Self {
        Self::with(manner, HASTY)
    }

    pub fn with(manner: Manner, flags: &str) -> Self {
        let host = network();
        let server = DhcpServer::start(&host, "cni0", manner);
        let daemon = Daemon::start(&host, Plugin::Causeway("dhcp"), flags);
        Self { daemon: RefCell::new(daemon), server, host }
    }

    /// Ends the daemon, by SIGKILL or kindly.
    pub fn end(&self, signal: Signal) -> String {
        self.daemon.borrow_mut().end(signal)
    }

    /// Starts another daemon in its place.
    pub fn start(&self, flags: &str) {
        let daemon = Daemon::start(&self.host, Plugin::Causeway("dhcp"), flags);
        *self.daemon.borrow_mut() = daemon;
    }

    /// What the daemon has said so far.
    pub fn log(&self) -> String {
        self.daemon.borrow().log()
    }
}

/// The configuration of a bridge whose addresses come from the server.
pub fn by_dhcp(more: Value) -> Value {
    let mut config = json!({
        "cniVersion": newest(), "name": "testnet", "type": "bridge", "bridge": "cni0",
        "ipam": {"type": "dhcp"},
    });
    merge(&mut config, more);
    config
}

/// A daemon; it is killed when dropped.
pub struct Daemon {
    child: Child,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Starts the `dhcp daemon` of one side and waits until it listens.
    pub fn start(host: &Host, plugin: Plugin, flags: &str) -> Self {
        let program = format!("{}/{}", plugin.dir(), plugin.name());
        let flags: Vec<&str> = flags.split_whitespace().collect();
        let mut command = Command::new(program);
        command.arg("daemon").args(&flags);
        Self::run(host, command, SOCKET)
    }

    /// Starts a daemon by any command and waits until it listens at `socket`.
    pub fn run(host: &Host, command: Command, socket: &str) -> Self {
        Self::try_run(host, command, socket)
            .unwrap_or_else(|ended| panic!("the daemon ended: {ended}"))
    }

    /// As [`Daemon::run`], for a daemon that may not come so far; gives what the one that ended said.
    pub fn try_run(host: &Host, mut command: Command, socket: &str) -> Result<Self, Outcome> {
        let before = host.inside(|| UnixStream::connect(socket).is_ok());
        assert!(!before, "a daemon is there already");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = host.inside(|| command.spawn().expect("start the daemon"));
        let said = Arc::new(Mutex::new(String::new()));
        let mut pipe = child.stderr.take().expect("the daemon's stderr");
        let log = Arc::clone(&said);
        let reader = thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut piece) {
                log.lock().expect("the log").push_str(&String::from_utf8_lossy(&piece[..count]));
            }
        });
        let mut daemon = Self { child, said, reader: Some(reader) };
        let mut ended = None;
        host.wait("the daemon listens", |host| {
            ended = daemon.child.try_wait().expect("look whether the daemon has ended");
            ended.is_some() || host.inside(|| UnixStream::connect(socket).is_ok())
        });
        let Some(status) = ended else { return Ok(daemon) };
        let stderr = daemon.end(Signal::SIGKILL).into_bytes();
        let said = Output { status, stdout: Vec::new(), stderr };
        Err(Outcome::new("dhcp daemon".to_owned(), &said))
    }

    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it and gives all that it said.
    pub fn end(&mut self, signal: Signal) -> String {
        self.ended(signal);
        self.log()
    }

    /// Ends it and says how it has ended.
    pub fn ended(&mut self, signal: Signal) -> ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process ID"));
        if matches!(self.child.try_wait(), Ok(None)) {
            kill(pid, signal).expect("end the daemon");
        }
        let status = self.child.wait().expect("wait for the daemon");
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        status
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.said.lock().expect("the log").clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the daemon said\n{}", self.log());
        }
    }
}

/// The IPv4 addresses of the pod's interface, with prefix lengths.
pub fn addresses(pod: &Pod<'_>) -> Vec<String> {
    let links = pod.json("ip -j -4 addr show dev eth0");
    let list = links[0]["addr_info"].as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|one| format!("{}/{}", one["local"].as_str().unwrap_or("?"), one["prefixlen"]))
        .collect()
}

/// Whether the pod's interface is up.
pub fn is_up(pod: &Pod<'_>) -> bool {
    let link = &pod.json("ip -j link show dev eth0")[0];
    link["flags"].as_array().is_some_and(|flags| flags.iter().any(|flag| flag == "UP"))
}
