//! `causeway watch`: on a pipe, line by line, and on a terminal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use harness::Host;
use harness::patience::patience;
use harness::person::Person;
use harness::uplink::{CARD, uplink};

fn node(host: &Host) -> Person<'_> {
    let person = Person::on(host);
    uplink(host);
    for (name, plugin) in [
        (
            "pods",
            json!({
                "type": "bridge", "bridge": "cni0", "isGateway": true,
                "ipam": {"type": "host-local", "subnet": "10.88.0.0/24"},
            }),
        ),
        (
            "lan",
            json!({
                "type": "macvlan", "master": CARD,
                "ipam": {"type": "host-local", "subnet": "192.0.2.0/24"},
            }),
        ),
    ] {
        let list = json!({"cniVersion": "1.0.0", "name": name, "plugins": [plugin]});
        person.configure(&format!("{name}.conflist"), &list);
    }
    person
}

/// Somebody who watches, with the lines that he sees.
struct Watcher {
    child: Child,
    lines: Receiver<String>,
}

impl Watcher {
    fn new(person: &Person<'_>, words: &str) -> Self {
        let words: Vec<&str> = ["watch"].into_iter().chain(words.split_whitespace()).collect();
        let mut child = person.start(env!("CARGO_BIN_EXE_causeway"), &words, Stdio::null());
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(patience()).expect("a line of watch")
    }

    fn event(&self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("no JSON ({e}): {line}"))
    }

    /// Waits for one that is as wanted.
    fn event_where(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.event();
            if wanted(&event) {
                return event;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Ends it as somebody does who has seen enough.
    fn end(mut self, signal: Signal) {
        self.signal(signal);
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "after {signal}");
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "");
    }
}

#[test]
fn attachments_come_and_go_line_by_line() {
    let host = Host::new();
    let person = node(&host);
    for pod in ["first", "second", "third"] {
        host.pod(pod);
    }
    person.succeeds("attach pods first");
    let watcher = Watcher::new(&person, "--output json");
    let there = watcher.event();
    assert_eq!(there["event"], "present", "{there}");
    assert_eq!(there["addresses"], json!(["10.88.0.2/24"]));

    person.succeeds("attach pods second");
    let come = watcher.event();
    assert_eq!(come["event"], "attached", "{come}");
    assert_eq!(come["netns"], "/run/netns/second");
    assert_eq!(come["addresses"], json!(["10.88.0.3/24"]));
    assert_eq!(come["state"], "attached");
    assert!(come["time"].as_u64().unwrap() > 1_600_000_000);

    person.succeeds("detach pods first");
    let gone = watcher.event();
    assert_eq!(gone["event"], "detached", "{gone}");
    assert_eq!(gone["netns"], "/run/netns/first");

    // Nothing of this happens to a link of the host.
    person.succeeds("attach lan third");
    let come = watcher.event();
    assert_eq!((&come["event"], &come["network"]), (&json!("attached"), &json!("lan")));

    // Somebody breaks it.
    let link = host.json("ip -j link show master cni0")[0]["ifname"].as_str().unwrap().to_owned();
    host.run(&format!("ip link del {link}"));
    let broken = watcher.event();
    assert_eq!(broken["event"], "link-gone", "{broken}");
    person.succeeds("detach pods second");
    assert_eq!(watcher.event()["event"], "detached");
    watcher.end(Signal::SIGTERM);
}

#[test]
fn lines_for_people_name_the_pod() {
    let host = Host::new();
    let person = node(&host);
    host.pod("web");
    host.pod("cam");
    let watcher = Watcher::new(&person, "--network pods");
    person.succeeds("attach lan cam");
    let args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0";
    person.with("CNI_ARGS", args).succeeds("attach pods web");
    let line = watcher.line();
    let words: Vec<&str> = line.split_whitespace().collect();
    let link = host.json("ip -j link show master cni0")[0]["ifname"].as_str().unwrap().to_owned();
    let expected = ["attached", "shop/web-0", "pods", "eth0", "10.88.0.2/24", &link];
    assert_eq!(words[1..], expected, "{line}");
    assert!(!line.contains('\u{1b}'), "colour where no terminal is: {line}");
    watcher.end(Signal::SIGINT);
}

#[test]
fn rates_are_those_of_the_container() {
    let host = Host::new();
    let person = node(&host);
    let (pod, lan) = (host.pod("web"), host.pod("cam"));
    person.succeeds("attach pods web");
    person.succeeds("attach lan cam");
    let watcher = Watcher::new(&person, "--output json --interval 0.2");
    for (pod, to) in [(&pod, "10.88.0.1"), (&lan, "192.0.2.1")] {
        // Nobody answers the second one, but it asks who it is.
        pod.inside(|| harness::output_of(&format!("ping -q -c 20 -i 0.01 -W 1 {to}"), None));
    }
    let rates = |network: &str| {
        watcher.event_where(|event| {
            event["event"] == "rates"
                && event["network"] == network
                && event["txPacketsPerSecond"].as_f64().unwrap() > 0.0
        })
    };
    let pods = rates("pods");
    assert!(pods["txBytes"].as_u64().unwrap() > 0, "{pods}");
    let of_lan = rates("lan");
    assert_eq!(of_lan["ifname"], "eth0", "{of_lan}");
    watcher.end(Signal::SIGTERM);
    for refused in ["0", "0.01", "x", "-1", "nan", "1e9"] {
        let said = person.causeway(&format!("watch --interval={refused}"));
        assert_eq!(said.status, Some(2), "{said}");
    }
}

#[test]
fn a_reader_who_goes_ends_it() {
    let host = Host::new();
    let person = node(&host);
    let mut child = person.start(env!("CARGO_BIN_EXE_causeway"), &["watch"], Stdio::null());
    drop(child.stdout.take());
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(0));
            break;
        }
        assert!(start.elapsed() < patience(), "it goes on although nobody reads");
        thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// `watch` on a terminal that script(1) makes: what keys do, and what the terminal gets.
fn on_a_terminal(person: &Person<'_>, act: impl FnOnce(&mut dyn Write, &dyn Fn(&str))) -> String {
    let command =
        format!("stty rows 20 cols 100; {} watch; stty -a", env!("CARGO_BIN_EXE_causeway"));
    let words = ["-q", "-e", "-c", &command, "/dev/null"];
    let person = person.with("TERM", "xterm");
    let mut child = person.start("script", &words, Stdio::piped());
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (sender, parts) = channel();
    let reader = thread::spawn(move || {
        let (mut all, mut part) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = stdout.read(&mut part) {
            all.extend_from_slice(&part[..count]);
            let _ = sender.send(String::from_utf8_lossy(&all).into_owned());
        }
        String::from_utf8_lossy(&all).into_owned()
    });
    let shown = |text: &str| {
        let start = Instant::now();
        let mut last = String::new();
        while !last.contains(text) {
            let left = patience().saturating_sub(start.elapsed());
            match parts.recv_timeout(left) {
                Ok(all) => last = all,
                Err(_) => panic!("{text:?} is not shown: {last:?}"),
            }
        }
    };
    act(&mut stdin, &shown);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(stdin);
    reader.join().unwrap()
}

#[test]
fn a_terminal_shows_a_table_and_is_given_back() {
    let host = Host::new();
    let person = node(&host);
    host.pod("web");
    host.pod("more");
    person.succeeds("attach pods web");
    for keys in ["q", "\u{1b}", "\u{3}"] {
        let all = on_a_terminal(&person, |terminal, shown| {
            shown("10.88.0.2");
            terminal.write_all(b"r").unwrap();
            shown("RX B/s*");
            terminal.write_all(keys.as_bytes()).unwrap();
        });
        let enter = all.find("\u{1b}[?1049h").expect("the other screen");
        let leave = all.find("\u{1b}[?1049l").expect("the first screen again");
        assert!(enter < leave, "{all:?}");
        assert!(all[leave..].contains(" icanon") && all[leave..].contains(" echo "), "{all:?}");
        assert!(all.contains("\u{1b}[?25h"), "the cursor is hidden: {all:?}");
    }
    let all = on_a_terminal(&person, |terminal, shown| {
        shown("10.88.0.2");
        person.succeeds("attach lan more");
        shown("attached       cnitool");
        terminal.write_all(b"f").unwrap();
        shown("1 of lan");
        terminal.write_all(b"q").unwrap();
    });
    assert!(all.contains("2 of all networks"), "{all:?}");
}

#[test]
fn a_terminal_is_given_back_to_who_kills_it() {
    let host = Host::new();
    let person = node(&host);
    let all = on_a_terminal(&person, |_, shown| {
        shown("0 of all networks");
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let Ok(pid) = name.parse() else { continue };
            if is_ours(&host, &entry.path()) {
                kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
            }
        }
    });
    let leave = all.find("\u{1b}[?1049l").expect("the first screen again");
    assert!(all[leave..].contains(" icanon"), "{all:?}");
}

/// Whether what /proc tells of is a `causeway watch` of this host.
fn is_ours(host: &Host, process: &Path) -> bool {
    let command = std::fs::read(process.join("cmdline")).unwrap_or_default();
    let is_watch = command.starts_with(env!("CARGO_BIN_EXE_causeway").as_bytes())
        && command.ends_with(b"\0watch\0");
    let own = host.inside(|| std::fs::read_link("/proc/thread-self/ns/net").unwrap());
    is_watch && std::fs::read_link(process.join("ns/net")).is_ok_and(|one| one == own)
}
