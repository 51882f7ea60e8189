//! What was measured, as it is written to JSON and read back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::round::Row;
use crate::statistics::{Spread, microseconds, ratio};
use crate::trace::Counted;

/// Everything of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    pub machine: Machine,
    pub contenders: Vec<Named>,
    pub rows: Vec<Figure>,
}

/// Where and when it was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// When the run began, as people write it, in UTC.
    pub date: String,
    pub kernel: String,
    pub cpus: usize,
    pub cpu: String,
    pub memory_mib: u64,
    /// The average number of processes that ran or wanted to, in the minute before.
    pub load_before: f64,
}

/// Who was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Named {
    pub name: String,
    pub path: String,
    pub version: String,
}

/// One contender's calls for one verb of a case.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    pub case: String,
    pub about: String,
    pub verb: String,
    pub who: String,
    pub wall_us: Spread,
    /// User and system time of the processes.
    pub cpu_us: Spread,
    /// The largest of all rounds.
    pub peak_rss_kib: Option<u64>,
    /// Absent where they are not counted.
    pub counted: Option<Counted>,
    /// How many times as long as the reference, by the medians.
    pub to_reference: Option<f64>,
    /// How many times as long as the floor, by the medians.
    pub to_floor: Option<f64>,
    /// Wall time of each round.
    pub all_us: Vec<f64>,
}

/// The figures of a case.
pub fn of(case: &str, about: &str, rows: &[Row]) -> Vec<Figure> {
    let mut figures: Vec<_> = rows.iter().filter_map(|row| figure(case, about, row)).collect();
    let medians: BTreeMap<_, _> = figures
        .iter()
        .map(|one| ((one.verb.clone(), one.who.clone()), one.wall_us.median))
        .collect();
    for figure in &mut figures {
        let to = |who: &str| {
            let other = medians.get(&(figure.verb.clone(), who.to_owned()));
            other.filter(|_| figure.who != who).and_then(|that| ratio(figure.wall_us.median, *that))
        };
        (figure.to_reference, figure.to_floor) = (to("reference"), to("floor"));
    }
    figures
}

/// Without the ratios; nothing if nothing was measured.
fn figure(case: &str, about: &str, row: &Row) -> Option<Figure> {
    Some(Figure {
        case: case.to_owned(),
        about: about.to_owned(),
        verb: row.verb.name().to_owned(),
        who: row.who.to_owned(),
        wall_us: Spread::of(row.measured.iter().map(|measured| measured.wall))?,
        cpu_us: Spread::of(row.measured.iter().map(|measured| measured.cpu))?,
        peak_rss_kib: row.measured.iter().filter_map(|measured| measured.peak_rss_kib).max(),
        counted: row.counted,
        to_reference: None,
        to_floor: None,
        all_us: row.measured.iter().map(|measured| microseconds(measured.wall)).collect(),
    })
}

/// Microseconds as milliseconds, with as many digits as count.
pub fn milliseconds(microseconds: f64) -> String {
    let ms = microseconds / 1e3;
    if ms < 99.95 { format!("{ms:.2}") } else { format!("{ms:.0}") }
}

/// A ratio as people read it.
pub fn times(ratio: Option<f64>) -> String {
    match ratio {
        Some(ratio) if ratio < 0.095 => format!("{ratio:.3}"),
        Some(ratio) if ratio < 9.95 => format!("{ratio:.2}"),
        Some(ratio) => format!("{ratio:.0}"),
        None => "-".to_owned(),
    }
}

/// KiB as MiB, if known.
#[allow(clippy::cast_precision_loss, reason = "peaks are far below 2^52 KiB")]
pub fn mebibytes(kib: Option<u64>) -> String {
    kib.map_or_else(|| "-".to_owned(), |kib| format!("{:.1}", kib as f64 / 1024.0))
}

/// Processes, threads, system calls, bytes read and written.
pub fn counts(counted: Option<Counted>) -> [String; 5] {
    let Some(counted) = counted else { return std::array::from_fn(|_| "-".to_owned()) };
    [
        counted.processes.to_string(),
        counted.threads.to_string(),
        counted.system_calls.to_string(),
        counted.bytes_read.to_string(),
        counted.bytes_written.to_string(),
    ]
}
