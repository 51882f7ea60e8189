//! A picture in Graphviz' language, for those who want another layout.

use std::fmt::Write as _;

use super::picture::{Line, Picture};

/// The picture as a graph: `dot -Tsvg` draws it.
pub fn dot(picture: &Picture) -> String {
    let mut text = String::from("graph causeway {\n");
    text.push_str("  node [shape=box, fontname=\"monospace\", fontsize=10];\n");
    text.push_str("  edge [fontname=\"monospace\", fontsize=9];\n");
    let heading = format!("{}\n{}", picture.title, picture.summary);
    let _ = writeln!(text, "  subgraph cluster_host {{\n    label={};", quoted(&heading));
    for (place, column) in picture.columns.iter().enumerate() {
        let style = match (column.wrong, column.list) {
            (true, _) => ", color=red",
            (false, true) => ", style=dashed",
            (false, false) => ", style=bold",
        };
        let label = label(&[&column.title, &column.subtitle], &column.lines);
        let _ = writeln!(text, "    h{place} [label={label}{style}];");
    }
    text.push_str("  }\n");
    for (place, column) in picture.columns.iter().enumerate() {
        if !column.outside.is_empty() {
            let label = quoted(&column.outside.join("\n"));
            let _ = writeln!(text, "  o{place} [label={label}, style=dashed];");
            let _ = writeln!(text, "  o{place} -- h{place};");
        }
        for (number, member) in column.members.iter().enumerate() {
            let node = format!("n{place}_{number}");
            let style = match (member.wrong, member.count) {
                (true, _) => ", style=rounded, color=red",
                (false, 1) => ", style=rounded",
                (false, _) => ", style=rounded, peripheries=2",
            };
            let label = label(&[&member.title], &member.lines);
            let _ = writeln!(text, "  {node} [label={label}{style}];");
            if column.colour.is_some() {
                let wire = quoted(&member.wire);
                let _ = writeln!(text, "  h{place} -- {node} [label={wire}];");
            }
        }
    }
    for tie in &picture.ties {
        let style = if tie.is_port { "label=port" } else { "label=on, style=dashed" };
        let _ = writeln!(text, "  h{} -- h{} [{style}, constraint=false];", tie.from, tie.to);
    }
    text.push_str("}\n");
    text
}

/// Lines that begin at the left, each of which `\l` ends.
fn label(heading: &[&str], lines: &[Line]) -> String {
    let lines = lines.iter().map(|line| line.text.as_str());
    let all = heading.iter().copied().chain(lines);
    let all: String = all.map(|line| format!("{}\\l", escaped(line))).collect();
    format!("\"{all}\"")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// Text as it stands in a quoted string, in which a backslash would begin an escape.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for one in text.chars() {
        match one {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            // Labels know HTML's names of characters.
            '&' => escaped.push_str("&amp;"),
            one if one.is_control() => escaped.push('\u{fffd}'),
            one => escaped.push(one),
        }
    }
    escaped
}
