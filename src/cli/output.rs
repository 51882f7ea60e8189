//! How commands print: tables that look alike, JSON for programs, colour only for people.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::waiting::make_room;

/// For whom to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Something is as it should be.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Something needs to be looked at.
pub const WARNING: Style = AnsiColor::Yellow.on_default();
/// Something is wrong.
pub const BAD: Style = AnsiColor::Red.on_default();
/// A heading.
pub const STRONG: Style = Style::new().bold();

/// Text in a style; [`print()`] takes the style away where it is of no use.
pub fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// A table with a heading and without lines, as wide as its contents: on a terminal and in a pipe it
/// is the same, so that `grep` and `awk` find whole rows.
pub fn table(heading: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heading.to_vec());
    table
}

/// The lines of a table, without the white space that is only there to fill columns.
pub fn lines(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        // The preset has a column of one space at the left.
        let line = line.strip_prefix(' ').unwrap_or(&line);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Prints to stdout. Colour is left out where stdout is no terminal and with NO_COLOR; a reader that
/// has seen enough, as `head` does, is no failure.
///
/// # Errors
/// What stdout answers.
pub fn print(text: &str) -> io::Result<()> {
    make_room();
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Prints JSON to stdout, for people to read as well.
///
/// # Errors
/// What stdout answers.
pub fn print_json(value: &Value) -> io::Result<()> {
    print(&format!("{value:#}\n"))
}

/// Says something on stderr, if anybody listens.
pub fn tell(text: &str) {
    make_room();
    let _ = writeln!(anstream::stderr(), "causeway: {text}");
}

/// Whether a person reads stdout.
pub fn is_for_a_person() -> bool {
    io::stdout().is_terminal()
}

/// How long ago a time was, in seconds since 1970, in one or two units: `5s`, `3m20s`, `4h`, `12d`.
pub fn age(since: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    in_units(now.saturating_sub(since))
}

fn in_units(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let two = |large: u64, small: u64, names: (&str, &str)| {
        let (whole, rest) = (seconds / large, seconds % large / small);
        if rest == 0 || whole >= 10 {
            format!("{whole}{}", names.0)
        } else {
            format!("{whole}{}{rest}{}", names.0, names.1)
        }
    };
    match seconds {
        0..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => two(MINUTE, 1, ("m", "s")),
        HOUR..DAY => two(HOUR, MINUTE, ("h", "m")),
        _ => two(DAY, HOUR, ("d", "h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_or_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (200, "3m20s"),
            (1000, "16m"),
            (3600, "1h"),
            (5400, "1h30m"),
            (90_000, "1d1h"),
            (1_000_000, "11d"),
        ] {
            assert_eq!(in_units(seconds), text);
        }
    }

    #[test]
    fn a_table_has_no_white_space_at_its_edges() {
        let mut table = table(&["NAME", "AGE"]);
        table.add_row(["a", "5s"]).add_row(["longer", ""]);
        assert_eq!(lines(&table), "NAME    AGE\na       5s\nlonger\n");
    }
}
