//! Runs causeway, the reference plugins and a bare C program that sends only the netlink messages
//! needed, interleaved in one run, each call as a runtime would make it, and reports what each
//! took. `scripts/bench` builds what it needs and calls it.
//!
//! Every case happens in a network and mount namespace of its own, made first, with an empty /run
//! and /var/lib/cni: nothing of the machine is touched. Needs root.

mod burst;
mod call;
mod cases;
mod collection;
mod contender;
mod density;
mod dhcp;
mod figures;
mod host;
mod network;
mod page;
mod plot;
mod report;
mod round;
mod startup;
mod statistics;
mod trace;
mod turns;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::json;

use call::Measured;
use cases::{Case, Plan};
use contender::Contender;
use figures::Figures;
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
    /// Few rounds: about a minute
    #[arg(long, conflicts_with = "all")]
    quick: bool,
    /// Everything, also what takes long: bursts, up to 1,000 attached pods, and GC (half an hour)
    #[arg(long)]
    all: bool,
    /// No case goes on for longer than this, once it has three rounds
    #[arg(long, value_name = "N", default_value_t = 5)]
    seconds_per_case: u64,
    /// The cases that need features of the kernel that many a machine lacks, in a guest; there ratios
    /// count, not milliseconds
    #[arg(long)]
    guest: bool,
    /// Measure instead how soon each type sends its first netlink message
    #[arg(long, conflicts_with_all = ["guest", "all", "only", "list", "plot", "docs"])]
    startup: bool,
    /// Only the cases whose name contains one of these, separated by commas, also long ones; =NAME is
    /// the whole name
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    only: Vec<String>,
    /// Name the cases and end
    #[arg(long)]
    list: bool,
    /// Write everything as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the figures as SVG, too
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Put the figures into BENCH.md and bench.svg of this directory, too
    #[arg(long, value_name = "DIR", conflicts_with = "guest")]
    docs: Option<PathBuf>,
    /// Measure nothing: take the figures that earlier runs have written as JSON, separated by commas
    #[arg(long, value_name = "FILES", value_delimiter = ',', conflicts_with_all = ["guest", "startup", "list"])]
    from: Vec<PathBuf>,
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
    #[error("some cases could not be measured; what stopped them is said above")]
    Failed,
    #[error("the figures of {file} cannot be read or written: {source}")]
    NoFigures { file: PathBuf, source: serde_json::Error },
    #[error("{0} has no place for figures: the lines `{begin}` and `{end}`", begin = page::BEGIN, end = page::END)]
    NoPlace(PathBuf),
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
    /// The most attached pods that are measured among.
    most_others: usize,
    /// How long a contender may take to attach some more of them; then it is out.
    limit_of_others: Duration,
    /// Rounds of bursts, of which one more is thrown away.
    bursts: usize,
    /// Rounds of GC.
    collections: usize,
    /// When bursts end early, once they have three rounds, and collections, once they have one.
    limit_of_many: Duration,
    /// Whether to make one more round, under strace.
    counts: bool,
}

impl Effort {
    fn of(arguments: &Arguments) -> Self {
        let Arguments { rounds, quick, all, seconds_per_case, .. } = *arguments;
        let has_chosen = !arguments.only.is_empty();
        Self {
            warm_up: if quick { 1 } else { 3 },
            rounds: if quick { rounds.min(5) } else { rounds },
            limit: Duration::from_secs(if quick { 1 } else { seconds_per_case }),
            most_others: if all || (has_chosen && !quick) { 1_000 } else { 100 },
            limit_of_others: Duration::from_secs(if quick { 10 } else { 180 }),
            bursts: if quick {
                1
            } else if all || has_chosen {
                5
            } else {
                2
            },
            collections: if quick { 1 } else { 5 },
            limit_of_many: Duration::from_secs(if quick { 5 } else { 60 }),
            counts: true,
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    if !arguments.from.is_empty() {
        return keep(arguments, &read(&arguments.from)?);
    }
    let cases = chosen(arguments)?;
    if arguments.list {
        for case in &cases {
            let name = case.name;
            println!("{name:15} {}{}", case.about, if case.is_long { " (long)" } else { "" });
        }
        return Ok(());
    }
    let effort = Effort::of(arguments);
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
    let mut failure = None;
    for case in &cases {
        let contenders: Vec<_> =
            contenders.iter().filter(|one| one.takes_part(case.shape.kind)).collect();
        // The others may well succeed, and what was measured is kept.
        if let Err(error) = measure(case, &contenders, &stopwatch, &effort, &mut report) {
            eprintln!("scripts/bench: {}: {error}", case.name);
            failure = Some(Error::Failed);
        }
    }
    keep(arguments, &report.end())?;
    failure.map_or(Ok(()), Err)
}

/// Measures a case, and reports it.
fn measure(
    case: &Case,
    contenders: &[&Contender],
    stopwatch: &Path,
    effort: &Effort,
    report: &mut Report,
) -> Result<(), Error> {
    let (shape, name, about) = (case.shape, case.name, case.about);
    match case.plan {
        Plan::OneByOne => {
            report.add(name, about, &round::run(case, contenders, stopwatch, effort)?);
        }
        Plan::Among(others) => {
            density::run(shape, others, contenders, stopwatch, effort, &mut |others, rows| {
                report.add(&format!("{name}-{others}"), about, rows);
            })?;
        }
        Plan::Burst(concurrency) => {
            report.add(name, about, &burst::run(shape, concurrency, contenders, effort)?);
        }
        Plan::Collection(stale) => {
            let rows = collection::run(shape, stale, contenders, stopwatch, effort)?;
            report.add(name, about, &rows);
        }
    }
    Ok(())
}

/// The figures of earlier runs on the same machine, as if they were of one. The last one that has a case
/// counts.
fn read(files: &[PathBuf]) -> Result<Figures, Error> {
    let mut all: Option<Figures> = None;
    for file in files {
        let doing = format!("read {}", file.display());
        let text = fs::read_to_string(file).map_err(Error::io(doing))?;
        let figures: Figures = serde_json::from_str(&text)
            .map_err(|source| Error::NoFigures { file: file.clone(), source })?;
        match &mut all {
            Some(all) => {
                let order: Vec<_> = all.rows.iter().map(|row| row.case.clone()).collect();
                let is_anew = |case: &str| figures.rows.iter().any(|new| new.case == case);
                all.rows.retain(|row| !is_anew(&row.case));
                all.rows.extend(figures.rows);
                let place = |case: &str| order.iter().position(|one| one == case);
                all.rows.sort_by_key(|row| place(&row.case).unwrap_or(order.len()));
            }
            None => all = Some(figures),
        }
    }
    all.ok_or_else(|| Error::NoCase(String::new()))
}

/// The cases that the arguments choose.
fn chosen(arguments: &Arguments) -> Result<Vec<Case>, Error> {
    let Arguments { only, all, list, guest, .. } = arguments;
    let mut cases = if *guest { cases::in_guest() } else { cases::all() };
    if only.is_empty() {
        cases.retain(|case| !case.is_long || *all || *list);
        return Ok(cases);
    }
    cases.retain(|case| {
        only.iter().any(|word| match word.strip_prefix('=') {
            Some(name) => case.name == name,
            None => case.name.contains(word.as_str()),
        })
    });
    if cases.is_empty() {
        return Err(Error::NoCase(only.join(",")));
    }
    Ok(cases)
}

/// Draws and writes what the figures are wanted for.
fn keep(arguments: &Arguments, figures: &Figures) -> Result<(), Error> {
    let picture = || plot::draw(figures);
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(figures)
            .map_err(|source| Error::NoFigures { file: file.clone(), source })?;
        write(Some(file), &format!("{text}\n"))?;
    }
    if let Some(file) = &arguments.plot {
        write(Some(file), &picture())?;
    }
    if let Some(directory) = &arguments.docs {
        page::renew(&directory.join("BENCH.md"), figures)?;
        write(Some(&directory.join("bench.svg")), &picture())?;
    }
    Ok(())
}

fn write(file: Option<&Path>, text: &str) -> Result<(), Error> {
    let Some(path) = file else { return Ok(()) };
    fs::write(path, text).map_err(Error::io(format!("write {}", path.display())))
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
