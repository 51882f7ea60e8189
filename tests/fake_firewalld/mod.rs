//! A bus of a host's own with a firewalld on it that remembers which address is in which zone, and
//! refuses in firewalld's words.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use causeway::kernel::dbus::message::{Kind, Message, Value};
use causeway::kernel::dbus::{BUS, Bus};
use causeway::kernel::firewalld::NAME;

use crate::harness::Host;

/// Where the bus is, in the host's file system.
pub const ADDRESS: &str = "unix:path=/run/cni-test/bus";

const CONFIG: &str = r#"<busconfig>
  <type>custom</type>
  <listen>unix:path=/run/cni-test/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

/// What it knows.
#[derive(Default)]
pub struct State {
    /// The zone of each source.
    pub sources: BTreeMap<String, String>,
    /// Every call: method, zone, source.
    pub calls: Vec<[String; 3]>,
}

/// A running bus.
pub struct FakeBus {
    daemon: Child,
    service: Option<JoinHandle<()>>,
    state: Arc<Mutex<State>>,
}

impl FakeBus {
    /// Starts a bus; with `firewalld` on it or without.
    pub fn start(host: &Host, firewalld: bool) -> Self {
        host.write("/run/cni-test/bus.conf", CONFIG);
        let state = Arc::new(Mutex::new(State::default()));
        let mut daemon = host.inside(|| {
            Command::new("dbus-daemon")
                .args(["--config-file=/run/cni-test/bus.conf", "--nofork", "--nopidfile"])
                .arg("--print-address")
                .stdout(Stdio::piped())
                .spawn()
                .expect("dbus-daemon: install the Debian package dbus-daemon (scripts/test does)")
        });
        let mut ready = String::new();
        let stdout = daemon.stdout.take().expect("its stdout");
        BufReader::new(stdout).read_line(&mut ready).expect("the bus's address");
        assert!(ready.starts_with(ADDRESS), "{ready}");
        let service = firewalld.then(|| {
            let bus = host.inside(|| {
                let mut bus = Bus::connect(ADDRESS).expect("connect to the bus");
                let name = [Value::Text(NAME.into()), Value::Number(4)];
                let owner = bus.call(BUS, "RequestName", &name).expect("own the name");
                assert_eq!(owner, [Value::Number(1)]);
                bus
            });
            let state = Arc::clone(&state);
            std::thread::spawn(move || serve(bus, &state))
        });
        Self { daemon, service, state }
    }

    /// What is in zones now.
    pub fn sources(&self) -> Vec<(String, String)> {
        let state = self.state.lock().unwrap();
        state.sources.iter().map(|(source, zone)| (source.clone(), zone.clone())).collect()
    }

    /// The calls since the last time.
    pub fn calls(&self) -> Vec<[String; 3]> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    /// Puts a source into a zone, as an operator does, or out of all.
    pub fn set(&self, source: &str, zone: Option<&str>) {
        let mut state = self.state.lock().unwrap();
        match zone {
            Some(zone) => state.sources.insert(source.to_owned(), zone.to_owned()),
            None => state.sources.remove(source),
        };
    }
}

impl Drop for FakeBus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        if let Some(service) = self.service.take() {
            let _ = service.join();
        }
    }
}

/// Answers until the bus is gone.
fn serve(mut bus: Bus, state: &Mutex<State>) {
    while let Ok(call) = bus.receive() {
        if call.kind != Kind::Call {
            continue;
        }
        let answer = match (&call.body[..], call.member.as_deref()) {
            ([Value::Text(zone), Value::Text(source)], Some(method)) => {
                answer(&mut state.lock().unwrap(), method, zone, source)
            }
            _ => Err("INVALID_ARGUMENT".to_owned()),
        };
        let mut message = match answer {
            Ok(value) => Message { body: vec![value], ..Message::new(Kind::Return) },
            Err(text) => Message {
                error: Some("org.fedoraproject.FirewallD1.Exception".into()),
                body: vec![Value::Text(text)],
                ..Message::new(Kind::Error)
            },
        };
        message.reply_to = Some(call.serial);
        message.destination = call.sender;
        if bus.send(&message).is_err() {
            return;
        }
    }
}

fn answer(state: &mut State, method: &str, zone: &str, source: &str) -> Result<Value, String> {
    state.calls.push([method, zone, source].map(str::to_owned));
    if !["trusted", "public"].contains(&zone) {
        return Err(format!("INVALID_ZONE: {zone}"));
    }
    let is = state.sources.get(source).cloned();
    match (method, is) {
        ("querySource", is) => Ok(Value::Flag(is.as_deref() == Some(zone))),
        ("addSource", Some(is)) if is == zone => {
            Err(format!("ZONE_ALREADY_SET: '{source}' already bound to '{zone}'"))
        }
        ("addSource", Some(is)) => {
            Err(format!("ZONE_CONFLICT: '{source}' already bound to '{is}'"))
        }
        ("addSource", None) => {
            state.sources.insert(source.to_owned(), zone.to_owned());
            Ok(Value::Text(zone.to_owned()))
        }
        ("removeSource", None) => Err(format!("UNKNOWN_SOURCE: '{source}'")),
        ("removeSource", Some(is)) if is != zone => Err(format!("ZONE_CONFLICT: '{is}'")),
        ("removeSource", Some(_)) => {
            state.sources.remove(source);
            Ok(Value::Text(zone.to_owned()))
        }
        _ => Err(format!("INVALID_ACTION: {method}")),
    }
}
