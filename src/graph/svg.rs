//! A drawing as SVG 1.1, for browsers and viewers, in light and in dark.

use std::fmt::Write as _;

use super::drawing::{Drawing, Face, Look, Rect, Shape};

/// Colours of wires; a seventh column has the first one's again.
const COLOURS: usize = 6;

const STYLE: &str = "\
text { font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace; \
font-size: 11px; fill: #1f2328; }
.name { font-size: 13px; font-weight: bold; }
.faint { font-size: 10px; fill: #59636e; }
.bad { fill: #cf222e; }
.paper { fill: #ffffff; }
rect { stroke-width: 1; }
.host { fill: #f6f8fa; stroke: #818b98; }
.label { fill: #f6f8fa; stroke: none; }
.link, .namespace, .sheet { fill: #ffffff; stroke: #818b98; }
.list { fill: #f6f8fa; stroke: #d1d9e0; }
.outside { fill: #ffffff; stroke: #818b98; stroke-dasharray: 4 3; }
.wire { fill: none; stroke: #818b98; stroke-width: 1.5; }
.dashed { stroke-dasharray: 4 3; }
rect.wrong { stroke: #cf222e; stroke-width: 2; }
.s0 { stroke: #0969da; } .s1 { stroke: #1a7f37; } .s2 { stroke: #bc4c00; }
.s3 { stroke: #8250df; } .s4 { stroke: #0b7285; } .s5 { stroke: #9a6700; }
.f0 { fill: #0969da; } .f1 { fill: #1a7f37; } .f2 { fill: #bc4c00; }
.f3 { fill: #8250df; } .f4 { fill: #0b7285; } .f5 { fill: #9a6700; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } .faint { fill: #9198a1; } .bad { fill: #ff7b72; } .paper { fill: #0d1117; }
.host, .list, .label { fill: #151b23; } .link, .namespace, .sheet, .outside { fill: #0d1117; }
.list { stroke: #3d444d; } rect.wrong { stroke: #ff7b72; }
.s0 { stroke: #58a6ff; } .s1 { stroke: #3fb950; } .s2 { stroke: #f0883e; }
.s3 { stroke: #bc8cff; } .s4 { stroke: #39c5cf; } .s5 { stroke: #d29922; }
.f0 { fill: #58a6ff; } .f1 { fill: #3fb950; } .f2 { fill: #f0883e; }
.f3 { fill: #bc8cff; } .f4 { fill: #39c5cf; } .f5 { fill: #d29922; }
}
";

/// The drawing as a document.
pub fn svg(drawing: &Drawing) -> String {
    let Drawing { width, height, title, shapes } = drawing;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">"
    );
    let _ = writeln!(text, "<title>{}</title>\n<style>\n{STYLE}</style>", escaped(title));
    let _ = writeln!(text, "<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>");
    for shape in shapes {
        put(shape, &mut text);
    }
    text.push_str("</svg>\n");
    text
}

fn put(shape: &Shape, text: &mut String) {
    let stroke = |colour: &Option<usize>| match colour {
        Some(colour) => format!(" s{}", colour % COLOURS),
        None => String::new(),
    };
    let _ = match shape {
        Shape::Box { at: Rect { x, y, width, height }, look, wrong, colour, whole } => {
            let class = match look {
                Look::Host => "host",
                Look::Link => "link",
                Look::List => "list",
                Look::Outside => "outside",
                Look::Namespace => "namespace",
                Look::Sheet => "sheet",
                Look::Label => "label",
            };
            let round =
                if matches!(look, Look::Host | Look::Namespace | Look::Sheet) { 6 } else { 2 };
            let colour = if *wrong { " wrong".to_owned() } else { stroke(colour) };
            let place = format!("x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"");
            let title = match whole.as_str() {
                "" => "/>".to_owned(),
                whole => format!("><title>{}</title></rect>", escaped(whole)),
            };
            writeln!(text, "<rect class=\"{class}{colour}\" {place} rx=\"{round}\"{title}")
        }
        Shape::Wire { points, colour, dashed } => {
            let points: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
            let dashed = if *dashed { " dashed" } else { "" };
            let points = points.join(" ");
            writeln!(
                text,
                "<polyline class=\"wire{dashed}{}\" points=\"{points}\"/>",
                stroke(colour)
            )
        }
        Shape::Dot { at: (x, y), colour } => {
            let colour = colour % COLOURS;
            writeln!(text, "<circle class=\"f{colour}\" cx=\"{x}\" cy=\"{y}\" r=\"3.5\"/>")
        }
        Shape::Text { at: (x, y), face, text: said } => {
            let class = match face {
                Face::Name => " class=\"name\"",
                Face::Plain => "",
                Face::Wrong => " class=\"bad\"",
                Face::Faint => " class=\"faint\"",
            };
            let said = escaped(said);
            writeln!(text, "<text{class} x=\"{x}\" y=\"{y}\" xml:space=\"preserve\">{said}</text>")
        }
    };
}

/// Text as XML has it, without what XML cannot have at all.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push('\n'),
            one if one.is_control() || matches!(one, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}');
            }
            one => escaped.push(one),
        }
    }
    escaped
}
