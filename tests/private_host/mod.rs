//! A host of one's own for a test that calls the library itself: a thread with its own network and
//! mount namespace.
//!
//! Child processes and threads started from it inherit both; nothing outlives it.

// Every test program takes what it needs from here; what one leaves unused another uses.
#![allow(dead_code)]

use std::fs::File;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

/// Runs `test` where it cannot touch the machine: in a thread with its own network and mounts.
pub fn private(test: impl FnOnce() + Send + 'static) {
    assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces: run it as root");
    let outcome = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).unwrap();
        run("ip link set lo up");
        test();
    })
    .join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a line of shell in this thread's namespaces and gives what it prints.
pub fn run(line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes something in the named namespace: a socket stays there.
pub fn inside<T: Send>(name: &str, make: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(format!("/run/netns/{name}")).unwrap();
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                make()
            })
            .join()
            .unwrap()
    })
}
