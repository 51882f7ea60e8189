//! A picture in Mermaid's language, which code hosts and wikis draw where it stands in Markdown.

use std::fmt::Write as _;

use super::picture::{Line, Picture};

/// The picture as a flowchart.
pub fn mermaid(picture: &Picture) -> String {
    let mut text = String::from("flowchart TB\n");
    let heading = format!("{}: {}", picture.title, picture.summary);
    let _ = writeln!(text, "  subgraph host[{}]", quoted(&[&heading], &[]));
    let mut wrong = Vec::new();
    for (place, column) in picture.columns.iter().enumerate() {
        let label = quoted(&[&column.title, &column.subtitle], &column.lines);
        let _ = writeln!(text, "    h{place}[{label}]");
        if column.wrong {
            wrong.push(format!("h{place}"));
        }
    }
    text.push_str("  end\n");
    for (place, column) in picture.columns.iter().enumerate() {
        if !column.outside.is_empty() {
            let outside: Vec<&str> = column.outside.iter().map(String::as_str).collect();
            let _ = writeln!(text, "  o{place}([{}]) --- h{place}", quoted(&outside, &[]));
        }
        for (number, member) in column.members.iter().enumerate() {
            let node = format!("n{place}_{number}");
            let label = quoted(&[&member.title], &member.lines);
            let (open, close) = if member.count > 1 { ("[[", "]]") } else { ("(", ")") };
            let _ = writeln!(text, "  {node}{open}{label}{close}");
            if column.colour.is_some() {
                let wire = match member.wire.as_str() {
                    "" => String::new(),
                    wire => format!("|{}|", quoted(&[wire], &[])),
                };
                let _ = writeln!(text, "  h{place} ---{wire} {node}");
            }
            if member.wrong {
                wrong.push(node);
            }
        }
    }
    for tie in &picture.ties {
        let wire = if tie.is_port { "---|port|" } else { "-.-|on|" };
        let _ = writeln!(text, "  h{} {wire} h{}", tie.from, tie.to);
    }
    if !wrong.is_empty() {
        text.push_str("  classDef wrong stroke:#cf222e,stroke-width:2px\n");
        let _ = writeln!(text, "  class {} wrong", wrong.join(","));
    }
    text
}

/// Lines as a quoted label. What could mean something to Mermaid, Markdown or HTML is written as the
/// number of its character.
fn quoted(heading: &[&str], lines: &[Line]) -> String {
    let lines = lines.iter().map(|line| line.text.as_str());
    let lines: Vec<String> = heading.iter().copied().chain(lines).map(plain).collect();
    format!("\"{}\"", lines.join("<br/>"))
}

fn plain(text: &str) -> String {
    let mut plain = String::new();
    for one in text.chars() {
        match one {
            // A list in Markdown begins so, when it is the first.
            '-' | '.' if plain.is_empty() => {
                let _ = write!(plain, "#{};", u32::from(one));
            }
            one if one.is_alphanumeric() || " -./:,→…()".contains(one) => plain.push(one),
            one if one.is_control() => plain.push('\u{fffd}'),
            one => {
                let _ = write!(plain, "#{};", u32::from(one));
            }
        }
    }
    plain
}
