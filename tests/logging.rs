//! The log: one line for each call, where and in the form that configuration or environment ask for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::call::Plugin;
use harness::config::bridge;
use harness::refusal::ALREADY_ATTACHED;
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");
const LOG: &str = "/run/causeway.log";

/// The lines of a JSON log.
fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("no JSON ({e}): {line}")))
        .collect()
}

#[test]
fn the_environment_asks_for_a_file_of_json_lines() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod
        .call(BRIDGE, &bridge(json!({})))
        .env("CAUSEWAY_LOG_FILE", LOG)
        .env("CAUSEWAY_LOG_FORMAT", "json");
    let result = call.add();
    call.check(&result).silence();
    call.clone().id("another").run("ADD").fails(ALREADY_ATTACHED, &["eth0"]);
    call.del();
    call.clone().stdin(b"{").run("ADD").error();

    let log = lines(&host.read(LOG));
    let ends: Vec<_> = log.iter().filter(|line| line["outcome"].is_string()).collect();
    let told: Vec<_> = ends.iter().map(|line| (&line["verb"], &line["outcome"])).collect();
    let expected = [
        (json!("ADD"), json!("ok")),
        (json!("CHECK"), json!("ok")),
        (json!("ADD"), json!("failed")),
        (json!("DEL"), json!("ok")),
        (Value::Null, json!("failed")),
    ];
    assert_eq!(told, expected.iter().map(|(verb, outcome)| (verb, outcome)).collect::<Vec<_>>());
    let first = ends[0];
    assert_eq!(first["container"], "id-blue");
    assert_eq!(first["network"], "testnet");
    assert_eq!(first["interface"], "eth0");
    assert_eq!(first["level"], "info");
    assert!(first["took_us"].as_u64().is_some_and(|took| took > 0), "{first}");
    assert!(first["pid"].is_u64() && first["message"].as_str().unwrap().contains("ADD"), "{first}");
    let now = host.run("date -u +%FT%H");
    let hour = |line: &Value| line["time"].as_str().unwrap()[..13].to_owned();
    // Unless an hour has ended meanwhile.
    assert!(hour(first) == now.trim() || hour(first) < now, "{first}, {now}");
    assert_eq!(ends[2]["code"], ALREADY_ATTACHED);
    assert!(ends[2]["error"].as_str().unwrap().contains("eth0"), "{}", ends[2]);
    assert_eq!(ends[2]["level"], "error");
}

#[test]
fn the_configuration_has_the_last_word() {
    let host = Host::new();
    let config = bridge(json!({"logFormat": "text", "logFile": LOG}));
    let pod = host.pod("blue");
    let call = pod
        .call(BRIDGE, &config)
        .env("CAUSEWAY_LOG_FILE", "/run/other.log")
        .env("CAUSEWAY_LOG_FORMAT", "json");
    call.add();
    call.del();
    let log = host.read(LOG);
    assert_eq!(log.lines().count(), 2, "one line for each call: {log}");
    for (line, verb) in log.lines().zip(["ADD", "DEL"]) {
        let mut words = line.split(' ');
        let time = words.next().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{line}");
        assert!(words.next().unwrap().starts_with("causeway["), "{line}");
        let rest: Vec<_> = words.collect();
        assert_eq!(
            rest[..5],
            ["info:", verb, "network=testnet", "container=id-blue", "interface=eth0"]
        );
        assert!(rest[5].starts_with("took=") && rest[6] == "ok", "{line}");
    }
    assert!(!host.succeeds("test -e /run/other.log"));
}

/// What is wrong with the log is said there, and keeps no pod from its network.
#[test]
fn a_format_that_is_none() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(BRIDGE, &bridge(json!({"logFormat": "xml"})));
    let said = call.run("ADD");
    said.success();
    assert!(said.stderr.contains("logFormat") && said.stderr.contains("xml"), "{said}");
    call.del();
}

/// A list as one is one call.
#[test]
fn a_list_as_one_has_one_line() {
    let host = Host::new();
    let pod = host.pod("blue");
    let list = json!({
        "cniVersion": "1.0.0", "name": "testnet", "type": "causeway",
        "logFile": LOG, "logFormat": "json", "plugins": [
            {"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.1.2.0/24"}},
            {"type": "firewall"}, {"type": "tuning"},
        ],
    });
    pod.call(Plugin::Causeway("causeway"), &list).add();
    let log = lines(&host.read(LOG));
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!(log[0]["plugin"], "causeway");
}
