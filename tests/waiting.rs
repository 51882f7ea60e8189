//! Whoever waits at a terminal is told for what, and nobody else is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::Host;
use harness::person::{CONF_DIR, Person};
use serde_json::json;

const CAUSEWAY: &str = env!("CARGO_BIN_EXE_causeway");

/// A network whose plugin takes two and a half seconds for a STATUS.
fn slow(host: &Host) -> Person<'_> {
    host.script_plugin("slow", "#!/bin/sh\nsleep 2.5\n");
    let person = Person::on(host);
    person.configure(
        "10-slow.conflist",
        &json!({"cniVersion": "1.1.0", "name": "slow", "plugins": [{"type": "slow"}]}),
    );
    person
}

#[test]
fn a_person_at_a_terminal_sees_that_it_goes_on() {
    let host = Host::new();
    slow(&host);
    host.executable(
        "/run/at-terminal",
        &format!(
            "#!/bin/sh\nexport TERM=xterm NETCONFPATH={CONF_DIR} CNI_PATH=/run/cni-test/causeway\n\
             exec script -qec '{CAUSEWAY} status slow' /dev/null\n"
        ),
    );
    let said = host.run("/run/at-terminal");
    assert!(said.contains("asking the plugins, 1 s") && said.contains(", 2 s"), "{said:?}");
    // The line is gone before the next one comes.
    let end = said.rfind("asking").unwrap();
    assert!(said[end..].contains("\r\u{1b}[K"), "{said:?}");
}

#[test]
fn a_program_sees_nothing_of_it() {
    let host = Host::new();
    let said = slow(&host).causeway("status slow");
    assert_eq!(said.status, Some(0), "{said}");
    assert!(!said.stderr.contains("asking"), "{said}");
}
