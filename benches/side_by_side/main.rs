//! Runs causeway, the reference plugins and a bare C program that sends only the netlink messages
//! needed, interleaved in one run, each call as a runtime would make it, and reports what each
//! took. `scripts/bench` builds what it needs and calls it.
//!
//! Every case happens in a network and mount namespace of its own, made first, with an empty /run
//! and /var/lib/cni: nothing of the machine is touched. Needs root.

mod call;
mod cases;
mod contender;
mod host;
mod network;
mod report;
mod round;
mod startup;
mod statistics;
mod trace;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::json;

use call::Measured;
use contender::Contender;
use report::Report;

/// Measures CNI plugins side by side.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench")]
struct Arguments {
    /// The directory of causeway's binary and its links
    #[arg(long, value_name = "DIR", default_value = "dist")]
    causeway: PathBuf,
    /// The directory of the plugins to compare with
    #[arg(long, value_name = "DIR", default_value = "/usr/lib/cni")]
    reference: PathBuf,
    /// The directory of the compiled floor and stopwatch
    #[arg(long, value_name = "DIR", default_value = "target/bench", hide = true)]
    programs: PathBuf,
    /// Rounds for each case, after warm-up
    #[arg(long, value_name = "N", default_value_t = 40)]
    rounds: usize,
    /// Few rounds: about half a minute
    #[arg(long)]
    quick: bool,
    /// No case goes on for longer than this, once it has three rounds
    #[arg(long, value_name = "N", default_value_t = 10)]
    seconds_per_case: u64,
    /// ADD and DEL with 100 and 500 pods attached, too, plain and masqueraded (some minutes more)
    #[arg(long)]
    density: bool,
    /// Count processes, threads and system calls, too, in one more round under strace
    #[arg(long)]
    syscalls: bool,
    /// The cases that need features of the kernel that many a machine lacks, in a guest; there ratios
    /// count, not milliseconds
    #[arg(long)]
    guest: bool,
    /// Measure instead how soon each type sends its first netlink message
    #[arg(long, conflicts_with_all = ["guest", "density", "syscalls", "only", "list"])]
    startup: bool,
    /// Only the cases whose name contains one of these, separated by commas
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    only: Vec<String>,
    /// Name the cases and end
    #[arg(long)]
    list: bool,
    /// Write everything as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What `cargo bench` passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot {doing}: {source}")]
    Io { doing: String, source: io::Error },
    #[error("{who}: {verb} failed with exit code {code}: {answer}")]
    Refused { who: String, verb: String, code: i32, answer: String },
    #[error("{tool} failed: {stderr}")]
    Tool { tool: String, stderr: String },
    #[error("what stopwatch reported cannot be read: {0:?}")]
    Unreadable(String),
    #[error("{who}: the pod cannot reach its gateway {gateway}; there is nothing to measure")]
    Unreachable { who: String, gateway: String },
    #[error("no case is called {0}; --list names them")]
    NoCase(String),
}

impl Error {
    fn io<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source: source.into() }
    }
}

/// How much to measure.
struct Effort {
    /// Rounds that are thrown away: they make bridges and tables and fill the page cache.
    warm_up: usize,
    rounds: usize,
    /// When a case ends early, once it has three rounds.
    limit: Duration,
    /// Whether to make one more round under strace.
    trace: bool,
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let cases = if arguments.guest { cases::in_guest() } else { cases::all(arguments.density) };
    let cases: Vec<_> = cases
        .into_iter()
        .filter(|case| {
            let only = &arguments.only;
            only.is_empty() || only.iter().any(|word| case.name.contains(word.as_str()))
        })
        .collect();
    if arguments.list {
        for case in &cases {
            println!("{:18} {}", case.name, case.about);
        }
        return Ok(());
    }
    if cases.is_empty() {
        return Err(Error::NoCase(arguments.only.join(",")));
    }
    let effort = Effort {
        warm_up: if arguments.quick { 1 } else { 3 },
        rounds: if arguments.quick { arguments.rounds.min(5) } else { arguments.rounds },
        limit: Duration::from_secs(if arguments.quick { 3 } else { arguments.seconds_per_case }),
        trace: arguments.syscalls,
    };
    let causeway = Contender::plugins("causeway", &arguments.causeway)?;
    let reference = Contender::plugins("reference", &arguments.reference)?;
    if arguments.startup {
        let rows = startup::run(&[causeway, reference], if arguments.quick { 5 } else { 15 })?;
        return write(arguments.json.as_deref(), &format!("{:#}\n", json!({ "rows": rows })));
    }
    let contenders =
        [causeway.fused(), causeway, reference, Contender::floor(&arguments.programs)?];
    let stopwatch = arguments.programs.join("stopwatch");
    let mut report = Report::begin(&contenders);
    for case in &cases {
        let rows = round::run(case, &contenders, &stopwatch, &effort)?;
        report.add(case, &rows);
    }
    write(arguments.json.as_deref(), &report.json())
}

fn write(file: Option<&Path>, text: &str) -> Result<(), Error> {
    let Some(path) = file else { return Ok(()) };
    std::fs::write(path, text).map_err(Error::io(format!("write {}", path.display())))
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripts/bench: {error}");
            ExitCode::FAILURE
        }
    }
}
