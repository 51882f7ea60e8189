//! The figures as tables of a page of the documentation, between two marks.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Error;
use crate::figures::{Figure, Figures, counts, mebibytes, milliseconds, times};

/// Before the figures.
pub const BEGIN: &str = "<!-- figures: written by `scripts/bench --docs docs`; begin -->";
/// Behind them.
pub const END: &str = "<!-- figures: end -->";

/// In the order of the columns.
const WHO: [&str; 4] = ["reference", "causeway", "fused", "floor"];

/// Replaces what stands between the marks of a page.
pub fn renew(path: &Path, figures: &Figures) -> Result<(), Error> {
    let text = fs::read_to_string(path).map_err(Error::io(format!("read {}", path.display())))?;
    let no_place = || Error::NoPlace(path.to_owned());
    let (before, rest) = text.split_once(BEGIN).ok_or_else(no_place)?;
    let (_, after) = rest.split_once(END).ok_or_else(no_place)?;
    let text = format!("{before}{BEGIN}\n\n{}\n{END}{after}", tables(figures));
    fs::write(path, text).map_err(Error::io(format!("write {}", path.display())))
}

fn tables(figures: &Figures) -> String {
    let mut text = place(figures);
    text.push_str(
        "\n### Times\n\n\
         Milliseconds: the median, and in parentheses the quartiles. The last columns say how many times \
         as long as the reference and the floor the medians of causeway are; behind a semicolon those of \
         the list as one.\n\n\
         | case | verb | reference | causeway | fused | floor | / reference | / floor |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let mut rest: &[Figure] = &figures.rows;
    while let Some(first) = rest.first() {
        let is_same = |one: &&Figure| one.case == first.case && one.verb == first.verb;
        let (same, others) = rest.split_at(rest.iter().take_while(is_same).count());
        rest = others;
        let _ = write!(text, "| {} | {} |", first.case, first.verb);
        for who in WHO {
            let _ = write!(text, " {} |", of(same, who).map_or_else(String::new, time));
        }
        for pick in [|one: &Figure| one.to_reference, |one: &Figure| one.to_floor] {
            let ratios = ["causeway", "fused"].into_iter().filter_map(|who| pick(of(same, who)?));
            let ratios: Vec<_> = ratios.map(|ratio| times(Some(ratio))).collect();
            let _ = write!(text, " {} |", ratios.join("; "));
        }
        text.push('\n');
    }
    text.push_str(
        "\n### What a call costs\n\n\
         CPU time in milliseconds (user and system, median) and the peak memory of the largest process in \
         MiB; of one call under strace the processes, the further threads, the system calls, and the bytes \
         read from and written to files and pipes.\n\n\
         | case | verb | who | CPU | MiB | processes | threads | system calls | read | written |\n\
         | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for figure in &figures.rows {
        let Figure { case, verb, who, .. } = figure;
        if verb == "DEL" || verb == "CHECK" {
            continue;
        }
        let (cpu, peak) = (milliseconds(figure.cpu_us.median), mebibytes(figure.peak_rss_kib));
        let counts = counts(figure.counted).join(" | ");
        let _ = writeln!(text, "| {case} | {verb} | {who} | {cpu} | {peak} | {counts} |");
    }
    text.push_str("\n### The cases\n\n| case | what it is |\n| --- | --- |\n");
    let mut last = "";
    for Figure { case, about, .. } in &figures.rows {
        if case != last {
            let _ = writeln!(text, "| {case} | {about} |");
        }
        last = case;
    }
    text
}

fn of<'a>(figures: &'a [Figure], who: &str) -> Option<&'a Figure> {
    figures.iter().find(|figure| figure.who == who)
}

fn time(figure: &Figure) -> String {
    let wall = figure.wall_us;
    let [median, lower, upper] = [wall.median, wall.lower, wall.upper].map(milliseconds);
    format!("{median} ({lower}–{upper})")
}

/// Where, when and what.
fn place(figures: &Figures) -> String {
    let machine = &figures.machine;
    let mut text = format!(
        "Measured on {}, on {} with {} processors ({}) and {} MiB of memory; load average before: {}.\n\n",
        machine.date,
        machine.kernel,
        machine.cpus,
        machine.cpu,
        machine.memory_mib,
        machine.load_before
    );
    if machine.load_before > 0.5 {
        text.push_str(
            "The machine was busy with other things, too: the times are longer and wider spread than on a \
             quiet one. The ratios say more, and CPU time more than wall time.\n\n",
        );
    }
    for contender in figures.contenders.iter().filter(|contender| contender.name != "fused") {
        let _ = writeln!(text, "- {}: {}", contender.name, contender.version);
    }
    text
}
