//! `causeway metrics`: what the node's attachments, leases and calls are, for Prometheus.

use crate::exit_code::ExitCode;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::inventory::{self, Inventory, Places, RangeUse};
use crate::tally::{self, BOUNDS, Tally};

/// Print counters in Prometheus' text format: attachments, leases, calls and how long they took
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  causeway metrics
  causeway metrics --textfile /var/lib/node_exporter/textfile/causeway.prom")]
pub struct Metrics {
    /// Write to a file, replaced in one step, as node_exporter's textfile collector wants it
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
    /// The folder of configuration files, which say what ranges there are
    #[arg(long, value_name = "FOLDER")]
    conf_dir: Option<PathBuf>,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node's attachments could not be read.
    #[error(transparent)]
    Inventory(#[from] inventory::Error),
    /// The counts of calls could not be read.
    #[error("cannot read the counts of calls in {}: {source}", place.display())]
    Tally {
        /// The folder.
        place: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The metrics could not be written.
    #[error("cannot write {}: {source}; its folder must be there and writable", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Metrics {
    /// Reads and prints.
    ///
    /// # Errors
    /// [`Error`].
    pub fn run(self) -> Result<ExitCode, Error> {
        let inventory = Inventory::of_node(&Places::of_node(self.conf_dir.as_deref())?)?;
        let place = Path::new(tally::PLACE);
        let calls = tally::read(place)
            .map_err(|source| Error::Tally { place: place.to_owned(), source })?;
        let text = exposition(&inventory, &calls);
        match self.textfile {
            None => {
                let written = io::stdout().write_all(text.as_bytes());
                written
                    .map_err(|source| Error::Write { path: "standard output".into(), source })?;
            }
            Some(path) => replace(&path, &text).map_err(|source| Error::Write { path, source })?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A reader of the file sees the old text or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    // node_exporter reads what ends in .prom.
    new.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(new);
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

/// What is told of a range.
type Measure = fn(&RangeUse) -> u128;

/// A text in the format of the exposition: families of samples, each with help and type.
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if place == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

/// Whole microseconds as seconds, exactly.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The text for an inventory and the counts of calls.
fn exposition(inventory: &Inventory, calls: &[(String, String, Tally)]) -> String {
    let mut out = Exposition(String::new());
    out.family("causeway_build_info", "gauge", "The version of causeway that wrote this.");
    out.sample("causeway_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    attachments(&mut out, inventory);
    leases(&mut out, inventory);
    let problems = "What could not be read or understood on the node; causeway doctor tells.";
    out.family("causeway_problems", "gauge", problems);
    out.sample("causeway_problems", &[], inventory.problems.len());
    durations(&mut out, calls);
    out.0
}

fn attachments(out: &mut Exposition, inventory: &Inventory) {
    let mut counted: BTreeMap<(&str, String), u64> = BTreeMap::new();
    for one in &inventory.attachments {
        *counted.entry((&one.owner.network, one.state.to_string())).or_default() += 1;
    }
    let name = "causeway_attachments";
    out.family(name, "gauge", "Attachments on the node, by network and state.");
    for ((network, state), count) in counted {
        out.sample(name, &[("network", network), ("state", &state)], count);
    }
}

fn leases(out: &mut Exposition, inventory: &Inventory) {
    let total = "causeway_leases";
    out.family(total, "gauge", "Addresses that are held, in and outside of ranges.");
    for network in &inventory.leases {
        out.sample(total, &[("network", &network.network)], network.leases.len());
    }
    let ranges: Vec<_> = inventory
        .leases
        .iter()
        .flat_map(|network| network.ranges().into_iter().map(|range| (&network.network, range)))
        .collect();
    let families: [(&str, &str, Measure); 4] = [
        ("causeway_range_addresses", "Addresses that a range can hand out at all.", |one| one.size),
        ("causeway_range_used", "Addresses of a range that are held.", |one| one.used),
        ("causeway_range_free", "Addresses of a range that can be handed out now.", |one| {
            one.free()
        }),
        ("causeway_range_leaked", "Addresses of a range that nobody has.", |one| one.leaked),
    ];
    for (name, help, value) in families {
        out.family(name, "gauge", help);
        for (network, range) in &ranges {
            out.sample(name, &[("network", network), ("range", &range.range)], value(range));
        }
    }
}

fn durations(out: &mut Exposition, calls: &[(String, String, Tally)]) {
    let name = "causeway_call_failures_total";
    out.family(name, "counter", "Calls that failed since the node started, by the error's code.");
    for (plugin, verb, tally) in calls {
        for (code, count) in &tally.failures {
            let labels = [("plugin", &**plugin), ("verb", verb), ("code", &code.to_string())];
            out.sample(name, &labels, count);
        }
    }
    let name = "causeway_call_duration_seconds";
    out.family(name, "histogram", "How long calls took, since the node started.");
    for (plugin, verb, tally) in calls {
        let mut below = 0u64;
        let bounds = BOUNDS.iter().map(|bound| seconds(*bound)).chain(["+Inf".to_owned()]);
        for (bound, class) in bounds.zip(tally.classes) {
            below = below.saturating_add(class);
            let labels = [("plugin", &**plugin), ("verb", verb), ("le", &bound)];
            out.sample(&format!("{name}_bucket"), &labels, below);
        }
        let labels = [("plugin", &**plugin), ("verb", &**verb)];
        out.sample(&format!("{name}_sum"), &labels, seconds(tally.microseconds));
        out.sample(&format!("{name}_count"), &labels, tally.calls());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact() {
        let cases = [(0, "0"), (500, "0.0005"), (1_000_000, "1"), (5_000_001, "5.000001")];
        for (micros, text) in cases {
            assert_eq!(seconds(micros), text);
        }
    }

    #[test]
    fn labels_are_escaped() {
        let mut out = Exposition(String::new());
        out.sample("name", &[("one", "a\"b\\c\nd"), ("two", "")], 3);
        out.sample("name", &[], 4);
        assert_eq!(out.0, "name{one=\"a\\\"b\\\\c\\nd\",two=\"\"} 3\nname 4\n");
    }

    #[test]
    fn buckets_add_up() {
        let mut tally = Tally { microseconds: 1_500_000, ..Tally::default() };
        (tally.classes[0], tally.classes[14]) = (2, 1);
        tally.failures = vec![(104, 1)];
        let calls = [("bridge".to_owned(), "ADD".to_owned(), tally)];
        let text = exposition(&Inventory::default(), &calls);
        let of = "plugin=\"bridge\",verb=\"ADD\"";
        for line in [
            format!("causeway_call_failures_total{{{of},code=\"104\"}} 1"),
            format!("causeway_call_duration_seconds_bucket{{{of},le=\"0.0005\"}} 2"),
            format!("causeway_call_duration_seconds_bucket{{{of},le=\"5\"}} 2"),
            format!("causeway_call_duration_seconds_bucket{{{of},le=\"+Inf\"}} 3"),
            format!("causeway_call_duration_seconds_sum{{{of}}} 1.5"),
            format!("causeway_call_duration_seconds_count{{{of}}} 3"),
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
    }
}
