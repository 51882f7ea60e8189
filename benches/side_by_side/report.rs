//! The table for people and the JSON for programs.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cases::Case;
use crate::contender::Contender;
use crate::round::Row;
use crate::statistics::{Spread, ratio};

/// Prints rows as they come, and keeps them for [`Report::json`].
pub struct Report {
    machine: Value,
    contenders: Value,
    rows: Vec<Value>,
}

const HEADINGS: &str = "  verb     who         n    median       min       max       CPU  peak RSS   \
                        /reference   /floor   processes  threads  system calls";

impl Report {
    /// Says what is compared, where.
    pub fn begin(contenders: &[Contender]) -> Self {
        let cpus = thread::available_parallelism().map_or(0, usize::from);
        let (model, kernel) = (cpu_model(), kernel());
        let load = load();
        println!("{kernel}, {cpus} CPUs, {model}, load average {load}");
        if load > 0.5 {
            println!(
                "The machine was busy just now. If it still is, trust the minima more than the medians."
            );
        }
        let mut list = Vec::new();
        for Contender { name, path, version, .. } in contenders {
            println!("  {name:10} {} ({version})", path.display());
            list.push(json!({ "name": name, "path": path.to_string_lossy(), "version": version }));
        }
        println!(
            "Times are in milliseconds, from making the process to reaping it; CPU (user and \
             system, median) is\nof the process and its children; peak RSS is that of the largest \
             process. /reference and /floor: how many\ntimes as long as theirs (medians). The \
             floor makes (or moves) only the link, with address and route;\nunder other calls it is a \
             process that does nothing."
        );
        Self {
            machine: json!({ "kernel": kernel, "cpus": cpus, "cpu": model, "loadBefore": load }),
            contenders: list.into(),
            rows: Vec::new(),
        }
    }

    /// Prints the rows of a case.
    pub fn add(&mut self, case: &Case, rows: &[Row]) {
        let has_counts = rows.iter().any(|row| row.counted.is_some());
        let (always, counts) = HEADINGS.split_at(HEADINGS.find("   processes").unwrap_or_default());
        println!("\n{}: {}", case.name, case.about);
        println!("{always}{}", if has_counts { counts } else { "" });
        for row in rows {
            let median_of = |who| {
                let row = rows.iter().find(|other| other.verb == row.verb && other.who == who)?;
                Some(Spread::of(row.measured.iter().map(|measured| measured.wall))?.median)
            };
            let Some(wall) = Spread::of(row.measured.iter().map(|measured| measured.wall)) else {
                continue;
            };
            let cpu = Spread::of(row.measured.iter().map(|measured| measured.cpu));
            let cpu = cpu.map_or(Duration::ZERO, |cpu| cpu.median);
            let peak = row.measured.iter().map(|measured| measured.peak_rss_kib).max();
            let peak = peak.unwrap_or_default();
            let to = |who| (row.who != who).then(|| ratio(wall.median, median_of(who)?)).flatten();
            let (to_reference, to_floor) = (to("reference"), to("floor"));
            let mut line = format!(
                "  {:8} {:10} {:2}  {} {} {} {} {:7.1} M   {:>10} {:>8}",
                row.verb.name(),
                row.who,
                row.measured.len(),
                milliseconds(wall.median),
                milliseconds(wall.min),
                milliseconds(wall.max),
                milliseconds(cpu),
                mebibytes(peak),
                times(to_reference),
                times(to_floor),
            );
            if let Some(counted) = row.counted {
                line.push_str(&format!(
                    "   {:9}  {:7}  {:12}",
                    counted.processes, counted.threads, counted.system_calls
                ));
            }
            println!("{line}");
            self.rows.push(json!({
                "case": case.name,
                "about": case.about,
                "verb": row.verb.name(),
                "who": row.who,
                "rounds": row.measured.len(),
                "wallUs": {
                    "median": microseconds(wall.median),
                    "min": microseconds(wall.min),
                    "max": microseconds(wall.max),
                    "all": row.measured.iter().map(|m| microseconds(m.wall)).collect::<Vec<_>>(),
                },
                "cpuUs": microseconds(cpu),
                "peakRssKib": peak,
                "toReference": to_reference,
                "toFloor": to_floor,
                "processes": row.counted.map(|counted| counted.processes),
                "threads": row.counted.map(|counted| counted.threads),
                "systemCalls": row.counted.map(|counted| counted.system_calls),
            }));
        }
    }

    /// Everything, for programs. Times are in microseconds.
    pub fn json(&self) -> String {
        let all = json!({
            "machine": self.machine, "contenders": self.contenders, "rows": self.rows,
        });
        format!("{all:#}\n")
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:9.2}", time.as_secs_f64() * 1e3)
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "peaks are far below 2^52 KiB")]
fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn times(ratio: Option<f64>) -> String {
    match ratio {
        Some(ratio) if ratio < 0.095 => format!("{ratio:.3}"),
        Some(ratio) if ratio < 10.0 => format!("{ratio:.2}"),
        Some(ratio) => format!("{ratio:.0}"),
        None => "-".to_owned(),
    }
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim())
}

/// Of the last minute: how many processes ran or wanted to.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(':')).map(|(_, model)| model.trim());
    model.unwrap_or("unknown CPU").to_owned()
}
