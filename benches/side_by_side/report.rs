//! The table on the terminal, case by case.

use std::fs;
use std::process::Command;
use std::thread;

use causeway::cli::output;
use comfy_table::CellAlignment;

use crate::contender::Contender;
use crate::figures::{
    self, Figure, Figures, Machine, Named, counts, mebibytes, milliseconds, times,
};
use crate::round::Row;

const HEADINGS: [&str; 15] = [
    "VERB",
    "WHO",
    "N",
    "MEDIAN",
    "QUARTILES",
    "MIN",
    "/REF",
    "/FLOOR",
    "CPU",
    "MIB",
    "PROCS",
    "THREADS",
    "CALLS",
    "READ",
    "WRITTEN",
];

/// Prints rows as they come, and keeps them.
pub struct Report {
    figures: Figures,
}

impl Report {
    /// Says what is compared, where.
    pub fn begin(contenders: &[Contender]) -> Self {
        let machine = machine();
        let Machine { date, kernel, cpus, cpu, memory_mib, load_before } = &machine;
        println!(
            "{date}: {kernel}, {cpus} CPUs, {cpu}, {memory_mib} MiB, load average {load_before}"
        );
        if *load_before > 0.5 {
            println!(
                "The machine was busy just now. If it still is, trust the minima more than the medians."
            );
        }
        let mut named = Vec::new();
        for Contender { name, path, version, .. } in contenders {
            println!("  {name:10} {} ({version})", path.display());
            named.push(Named {
                name: (*name).to_owned(),
                path: path.to_string_lossy().into_owned(),
                version: version.clone(),
            });
        }
        println!(
            "Times are in milliseconds, from making the process to reaping it, of a whole list or burst; \
             CPU (user and\nsystem, median) is of the processes and their children; MIB is the peak of \
             the largest process. /REF and\n/FLOOR: how many times as long as the reference and the \
             floor (medians). READ and WRITTEN: bytes of files\nand pipes. The floor makes (or moves) \
             only the link, with address and route; under other calls it is a\nprocess that does nothing."
        );
        Self { figures: Figures { machine, contenders: named, rows: Vec::new() } }
    }

    /// Prints the rows of a case.
    pub fn add(&mut self, case: &str, about: &str, rows: &[Row]) {
        let figures = figures::of(case, about, rows);
        println!("\n{case}: {about}");
        print!("{}", table(&figures));
        self.figures.rows.extend(figures);
    }

    /// Everything that was added.
    pub fn end(self) -> Figures {
        self.figures
    }
}

fn table(figures: &[Figure]) -> String {
    let mut table = output::table(&HEADINGS);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for figure in figures {
        let Figure { wall_us: wall, .. } = figure;
        let mut cells = vec![
            figure.verb.clone(),
            figure.who.clone(),
            figure.all_us.len().to_string(),
            milliseconds(wall.median),
            format!("{}..{}", milliseconds(wall.lower), milliseconds(wall.upper)),
            milliseconds(wall.min),
            times(figure.to_reference),
            times(figure.to_floor),
            milliseconds(figure.cpu_us.median),
            mebibytes(figure.peak_rss_kib),
        ];
        cells.extend(counts(figure.counted));
        table.add_row(cells);
    }
    output::lines(&table)
}

fn machine() -> Machine {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().and_then(|number| number.parse().ok());
    let memory = line_of("/proc/meminfo", "MemTotal").unwrap_or_default();
    let memory_kib = memory.split(' ').next().and_then(|number| number.parse::<u64>().ok());
    let date = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output();
    let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    Machine {
        date: date.unwrap_or_default(),
        kernel: format!("Linux {}", kernel.trim()),
        cpus: thread::available_parallelism().map_or(0, usize::from),
        cpu: line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown CPU".to_owned()),
        memory_mib: memory_kib.unwrap_or_default() / 1024,
        load_before: load.unwrap_or_default(),
    }
}

/// What stands behind the colon of the first line that begins so.
fn line_of(file: &str, begin: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(begin))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
