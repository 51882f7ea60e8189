//! The daemon as a program: its socket, flags, process ID, and start by systemd.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::process::Command;
use std::time::Duration;

use causeway::dhcp::message::Kind;
use harness::Host;
use harness::call::Plugin;
use harness::dhcp::{Daemon, HASTY, SOCKET, World, addresses, by_dhcp, network};
use harness::dhcp_server::{DhcpServer, Manner};
use nix::sys::signal::Signal;
use serde_json::json;

const BRIDGE: Plugin = Plugin::Causeway("bridge");
const DHCP: Plugin = Plugin::Causeway("dhcp");

fn program(name: &'static str) -> String {
    format!("{}/{name}", Plugin::Causeway(name).dir())
}

fn exists(host: &Host, path: &str) -> bool {
    host.inside(|| std::path::Path::new(path).exists())
}

#[test]
fn socket_and_process_id_are_there_while_it_runs() {
    let host = network();
    let mut daemon = Daemon::start(&host, DHCP, "-pidfile /run/dhcp.pid");
    assert_eq!(host.read("/run/dhcp.pid"), daemon.pid().to_string());
    assert_eq!(host.run(&format!("stat -c %a {SOCKET}")).trim(), "660");
    let said = daemon.end(Signal::SIGTERM);
    assert!(said.contains("ending; leases stay as they are"), "{said}");
    assert!(!exists(&host, SOCKET) && !exists(&host, "/run/dhcp.pid"));
    let mut daemon = Daemon::start(&host, DHCP, "");
    daemon.end(Signal::SIGINT);
    assert!(!exists(&host, SOCKET));
}

#[test]
fn a_socket_that_a_killed_daemon_left_is_in_nobodys_way() {
    let host = network();
    let mut daemon = Daemon::start(&host, DHCP, "");
    daemon.end(Signal::SIGKILL);
    assert!(exists(&host, SOCKET));
    let _daemon = Daemon::start(&host, DHCP, "");
}

#[test]
fn a_second_daemon_does_not_start() {
    let host = network();
    let _daemon = Daemon::start(&host, DHCP, "");
    let output = host.inside(|| Command::new(program("dhcp")).arg("daemon").output().unwrap());
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("another daemon listens there already"), "{said}");
    // The first one is not harmed.
    assert!(host.inside(|| std::os::unix::net::UnixStream::connect(SOCKET).is_ok()));
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let host = network();
    host.write(SOCKET, "something");
    let output = host.inside(|| Command::new(program("dhcp")).arg("daemon").output().unwrap());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(host.read(SOCKET), "something");
}

#[test]
fn wrong_flags_are_told() {
    let host = Host::new();
    for (flags, said) in [
        (["-timeout", "soon"], "\"soon\" is no time"),
        (["-color", "red"], "unknown flag -color"),
        (["-pidfile", "here"], "must be an absolute path"),
    ] {
        for (name, before) in [("dhcp", vec!["daemon"]), ("causeway", vec!["dhcp", "daemon"])] {
            let output = host
                .inside(|| Command::new(program(name)).args(&before).args(flags).output().unwrap());
            assert_eq!(output.status.code(), Some(1));
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(text.contains(said), "{flags:?}: {text}");
        }
    }
    assert!(!exists(&host, SOCKET));
}

#[test]
fn the_socket_may_be_elsewhere() {
    let host = network();
    let server = DhcpServer::start(&host, "cni0", Manner::default());
    let mut command = Command::new(program("causeway"));
    command.args(["dhcp", "daemon", "--socketpath=/run/deep/er/d.sock", "-statedir", "/run/state"]);
    let _daemon = Daemon::run(&host, command, "/run/deep/er/d.sock");
    let pod = host.pod("blue");
    let ipam = json!({"ipam": {"type": "dhcp", "daemonSocketPath": "/run/deep/er/d.sock"}});
    let call = pod.call(BRIDGE, &by_dhcp(ipam));
    let result = call.add();
    call.check(&result).silence();
    assert_eq!(host.run("ls /run/state").lines().count(), 1);
    call.del();
    server.has_all_back();
}

/// A daemon in a container sees the host's root below a directory.
#[test]
fn the_hosts_root_may_be_elsewhere() {
    let host = network();
    let server = DhcpServer::start(&host, "cni0", Manner::default());
    host.run("ln -s / /run/root");
    let flags = "-hostprefix /run/root -resendtimeout 2s";
    let daemon = Daemon::start(&host, DHCP, flags);
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &by_dhcp(json!({})));
    call.add();
    assert!(daemon.log().contains("listening at /run/root/run/cni/dhcp.sock"));
    let name = host.run("ls /run/cni/dhcp-leases");
    let kept = host.read(&format!("/run/cni/dhcp-leases/{}", name.trim()));
    assert!(kept.contains("\"netns\":\"/run/root/run/netns/blue\""), "{kept}");
    call.del();
    server.has_all_back();
}

/// Opens the socket and becomes the daemon, as systemd does (sd_listen_fds(3)).
const ACTIVATE: &str = "
import os, socket, sys
path, count, program = sys.argv[1:4]
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS=count, LISTEN_PID=str(os.getpid()))
os.execv(program, [program, 'daemon', '-resendtimeout', '2s'])
";

fn activated(count: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", ACTIVATE, "/run/active.sock", count, &program("dhcp")]);
    command
}

#[test]
fn systemd_may_open_the_socket() {
    let host = network();
    let server = DhcpServer::start(&host, "cni0", Manner::default());
    let mut daemon = Daemon::run(&host, activated("1"), "/run/active.sock");
    assert!(!exists(&host, SOCKET));
    let pod = host.pod("blue");
    let ipam = json!({"ipam": {"type": "dhcp", "daemonSocketPath": "/run/active.sock"}});
    let call = pod.call(BRIDGE, &by_dhcp(ipam));
    call.add();
    assert_eq!(addresses(&pod), ["10.9.0.5/24"]);
    call.del();
    server.has_all_back();
    daemon.end(Signal::SIGTERM);
    assert!(exists(&host, "/run/active.sock"), "the socket is systemd's to remove");
    let two = host.inside(|| {
        std::fs::remove_file("/run/active.sock").unwrap();
        activated("2").output().unwrap()
    });
    assert!(String::from_utf8_lossy(&two.stderr).contains("2 sockets were passed"));
}

/// Whatever is written to the socket, the daemon goes on.
#[test]
fn nonsense_at_the_socket_harms_nobody() {
    use std::io::{Read, Write};
    let world = World::new(Manner::default());
    let connect = "CONNECT /_goRPC_ HTTP/1.0\n\n";
    for text in ["", "\n\n", "GET / HTTP/1.0\r\n\r\n", connect, &format!("{connect}\u{7f}garbage")]
    {
        world.host.inside(|| {
            let mut stream = std::os::unix::net::UnixStream::connect(SOCKET).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            let _ = stream.read(&mut [0; 200]);
        });
    }
    let pod = world.host.pod("blue");
    pod.call(BRIDGE, &by_dhcp(json!({}))).add();
    assert_eq!(world.server.heard(Kind::Discover).len(), 1);
}

#[test]
fn many_pods_at_once() {
    let world = World::with(Manner::default(), HASTY);
    let names: Vec<String> = (0..8).map(|number| format!("pod{number}")).collect();
    let pods: Vec<_> = names.iter().map(|name| world.host.pod(name)).collect();
    let config = by_dhcp(json!({}));
    std::thread::scope(|scope| {
        for pod in &pods {
            let config = &config;
            scope.spawn(move || pod.call(BRIDGE, config).add());
        }
    });
    let mut all: Vec<_> = pods.iter().flat_map(addresses).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), pods.len(), "{all:?}");
    std::thread::scope(|scope| {
        for pod in &pods {
            let config = &config;
            scope.spawn(move || pod.call(BRIDGE, config).del());
        }
    });
    world.server.has_all_back();
}
