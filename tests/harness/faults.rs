//! Calls of which the kernel refuses one system call, by strace: every one in turn.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use super::call::{Call, Outcome};
use super::snapshot::nothing_stays;
use super::{PLUGINS, Pod};

/// What a call asks of the kernel, apart from memory and the end, by the names that glibc and musl use.
const CALLS: [&str; 39] = [
    "open",
    "openat",
    "read",
    "write",
    "pread64",
    "pwrite64",
    "socket",
    "setsockopt",
    "getsockopt",
    "bind",
    "connect",
    "setns",
    "ioctl",
    "flock",
    "sendto",
    "sendmsg",
    "recvfrom",
    "rename",
    "renameat2",
    "symlinkat",
    "readlinkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "utimensat",
    "fstatfs",
    "stat",
    "fstat",
    "statx",
    "fcntl",
    "getdents64",
    "poll",
    "fsopen",
    "fsconfig",
    "fsmount",
    "pipe2",
    "socketpair",
    "getrandom",
    "capset",
];
/// With what they are refused, in turn. An answer that is refused is lost, after the deed.
const ERRORS: [&str; 5] = ["EPERM", "ENOMEM", "EBUSY", "ENOSPC", "EEXIST"];

/// `call`, whose `nth` system call of a name fails; nothing when it does not come so far.
fn faulty(pod: &Pod<'_>, call: &Call<'_>, verb: &str, name: &str, nth: usize) -> Option<Outcome> {
    let error = ERRORS[nth % ERRORS.len()];
    let trace = format!("{PLUGINS}/trace");
    let strace =
        format!("strace -qq -o {trace} -e trace={name} -e inject={name}:error={error}:when={nth}");
    let outcome = call.clone().by(&strace).run(verb);
    pod.host.read(&trace).contains("(INJECTED)").then_some(outcome)
}

/// Whether the dynamic loader was refused something, before the program began.
fn not_begun(outcome: &Outcome) -> bool {
    outcome.status == Some(127) && outcome.stderr.contains("shared librar")
}

/// An error as the specification wants it. What cannot be written to stdout cannot be there; and a
/// thread that cannot go back to its own namespace must do nothing more at all.
fn well_formed(outcome: &Outcome, name: &str) {
    if name == "setns" && outcome.status.is_none() {
        return;
    }
    assert!(outcome.status.is_some(), "ended by a signal: {outcome}");
    if name != "write" || !outcome.stdout.is_empty() {
        outcome.error();
    }
}

/// Has each system call of each verb fail and says what was not as it should be.
#[track_caller]
pub fn refuse_each(pod: &Pod<'_>, call: &Call<'_>) {
    let result = call.add();
    call.del();
    let before = (pod.host.snapshot(), pod.snapshot());
    let mut wrong = String::new();
    let mut refused = 0;
    for name in CALLS {
        for verb in ["ADD", "CHECK", "DEL"] {
            for nth in 1.. {
                let mut came_so_far = false;
                let tried = catch_unwind(AssertUnwindSafe(|| {
                    came_so_far = one(pod, call, verb, (name, nth), &result, &before);
                }));
                refused += usize::from(came_so_far);
                if let Err(cause) = tried {
                    came_so_far = true;
                    let text = cause.downcast_ref::<String>().cloned().unwrap_or_default();
                    let _ = writeln!(wrong, "\n{verb}, {name} number {nth}: {text}");
                    // The next attempt begins with nothing, too.
                    call.run("DEL");
                    nothing_stays(&before, pod, &format!("{verb}, {name} number {nth}, then DEL"));
                }
                if !came_so_far {
                    break;
                }
            }
        }
    }
    assert!(refused > 50, "only {refused} system calls were refused");
    assert!(wrong.is_empty(), "of {refused}:\n{wrong}");
}

/// One refusal; says whether the call came so far.
fn one(
    pod: &Pod<'_>,
    call: &Call<'_>,
    verb: &str,
    (name, nth): (&str, usize),
    result: &Value,
    before: &(super::snapshot::Snapshot, super::snapshot::Snapshot),
) -> bool {
    let when = format!("after {verb} with {name} number {nth} refused");
    if verb != "ADD" {
        call.add();
    }
    let about = call.clone().key("prevResult", result);
    let about = if verb == "CHECK" { &about } else { call };
    let Some(outcome) = faulty(pod, about, verb, name, nth) else {
        call.del();
        return false;
    };
    if outcome.status != Some(0) && !not_begun(&outcome) {
        well_formed(&outcome, name);
    }
    // A failed ADD has undone itself; anything else is for DEL to remove.
    if verb != "ADD" || outcome.status.is_none_or(|status| status == 0) {
        call.del();
    }
    nothing_stays(before, pod, &format!("{when}: {outcome}"));
    true
}
