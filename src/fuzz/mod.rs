//! Everything that reads what others have written is given mangled input, in great numbers: it must
//! neither panic nor go on for ever. docs/TESTING.md says how to run it for longer.
//!
//! What is tried follows from the seed, the target's name and a number, so a failure can be had again.

// A test may panic; that is how it fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod kernel_answers;
mod mutation;
mod state;
mod text;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mutation::Mutator;

/// Seconds for all targets together.
const SECONDS: &str = "CAUSEWAY_FUZZ_SECONDS";
/// Another seed, to try something else.
const SEED: &str = "CAUSEWAY_FUZZ_SEED";
/// Longer than any input may take, on a machine that does much else.
const ENDLESS: Duration = Duration::from_secs(20);
/// At least so many inputs, however slow the machine.
const LEAST: u64 = 200;
/// Among how many targets the seconds are divided.
const TARGETS: u32 = 30;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect(variable))
}

/// How inputs are mangled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As bytes.
    Bytes,
    /// As lines of words.
    Words,
    /// As JSON, most of the time such that it stays JSON.
    Json,
}

/// What was being tried, and since when.
type Trying = Arc<Mutex<(Instant, Vec<u8>)>>;

/// Feeds `target` with what comes of `corpus`, the things themselves first.
#[track_caller]
fn fuzz(
    name: &'static str,
    form: Form,
    corpus: Vec<Vec<u8>>,
    target: impl Fn(&[u8]) + Send + 'static,
) {
    assert!(!corpus.is_empty(), "{name}: nothing to begin with");
    let budget = Duration::from_secs(number(SECONDS, 10)) / TARGETS;
    let seed = number(SEED, 0xca5e_3a1d);
    let trying: Trying = Arc::new(Mutex::new((Instant::now(), Vec::new())));
    let ended = Arc::new(AtomicBool::new(false));
    let worker = {
        let (trying, ended) = (Arc::clone(&trying), Arc::clone(&ended));
        thread::spawn(move || {
            let failed = run(name, form, &corpus, seed, budget, &trying, target);
            ended.store(true, Ordering::Release);
            failed
        })
    };
    while !ended.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(20));
        let (since, input) = &*trying.lock().unwrap();
        assert!(
            since.elapsed() < ENDLESS || ended.load(Ordering::Acquire),
            "{name} does not come to an end with {}",
            input.escape_ascii()
        );
        if worker.is_finished() {
            break;
        }
    }
    if let Some(failed) = worker.join().expect("the worker") {
        panic!("{failed}");
    }
}

fn run(
    name: &str,
    form: Form,
    corpus: &[Vec<u8>],
    seed: u64,
    budget: Duration,
    trying: &Trying,
    target: impl Fn(&[u8]),
) -> Option<String> {
    let start = Instant::now();
    let mut number = 0;
    while number < LEAST.max(corpus.len() as u64) || start.elapsed() < budget {
        let input = match corpus.get(usize::try_from(number).unwrap_or(usize::MAX)) {
            Some(whole) => whole.clone(),
            None => Mutator::new(seed, name, number).mangle(form, corpus),
        };
        *trying.lock().unwrap() = (Instant::now(), input.clone());
        if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            return Some(format!(
                "{name} panics, with {SEED}={seed} at input {number}: {}",
                input.escape_ascii()
            ));
        }
        number += 1;
    }
    println!("{name}: {number} inputs");
    None
}

/// A file of testdata.
fn testdata(path: &str) -> Vec<u8> {
    let path = format!("{}/testdata/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file of a folder of testdata, by name.
fn folder(path: &str) -> Vec<Vec<u8>> {
    let whole = format!("{}/testdata/{path}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&whole).unwrap_or_else(|error| panic!("{whole}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files.iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

/// The fuzzer's own alarms ring.
#[test]
#[should_panic(expected = "panics, with CAUSEWAY_FUZZ_SEED=")]
fn a_panic_is_found() {
    fuzz("panicking", Form::Bytes, vec![vec![0; 8]], |input| {
        assert!(input.first().is_none_or(|byte| *byte != 0xff), "on purpose");
    });
}

/// The same number gives the same input.
#[test]
fn inputs_can_be_had_again() {
    let corpus = folder("fuzz");
    for form in [Form::Bytes, Form::Words, Form::Json] {
        for number in 0..50 {
            let input = || Mutator::new(7, "again", number).mangle(form, &corpus);
            assert_eq!(input(), input());
        }
    }
}
