//! The figures as a drawing: grouped bars on a logarithmic scale, as SVG for light and for dark.

use std::fmt::Write as _;

use crate::figures::{Figure, Figures, milliseconds, times};

/// In the order of the bars of a group, and of the colours.
const WHO: [(&str, &str); 4] = [
    ("floor", "floor: only the netlink messages"),
    ("fused", "causeway, the list as one"),
    ("causeway", "causeway"),
    ("reference", "reference"),
];

const STYLE: &str = "\
text { font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace; \
font-size: 11px; fill: #1f2328; }
.title { font-size: 16px; font-weight: bold; } .name { font-size: 13px; font-weight: bold; }
.faint { font-size: 10px; fill: #59636e; } .end { text-anchor: end; } .middle { text-anchor: middle; }
.paper { fill: #ffffff; } .grid { stroke: #d1d9e0; stroke-width: 1; }
.spread { stroke: #1f2328; stroke-width: 1.5; }
.floor { fill: #818b98; } .fused { fill: #1a7f37; } .causeway { fill: #0969da; } .reference { fill: #e16f24; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } .faint { fill: #9198a1; }
.paper { fill: #0d1117; } .grid { stroke: #2a313c; } .spread { stroke: #e6edf3; }
.floor { fill: #7d8590; } .fused { fill: #2ea043; } .causeway { fill: #388bfd; } .reference { fill: #db6d28; }
}
";

/// Sizes in pixels.
const MARGIN: f64 = 24.0;
const COLUMN: f64 = 590.0;
const LABELS: f64 = 118.0;
/// Behind the longest bar, for its time.
const VALUES: f64 = 62.0;
const BAR: f64 = 10.0;
const BETWEEN_GROUPS: f64 = 9.0;
/// A panel's heading, and its scale.
const HEADING: f64 = 26.0;
const SCALE: f64 = 34.0;
const TOP: f64 = 92.0;

/// Bars that have one scale.
struct Panel<'a> {
    title: &'static str,
    groups: Vec<(String, Vec<&'a Figure>)>,
}

/// Draws what there is figures for.
pub fn draw(figures: &Figures) -> String {
    let panels = panels(figures);
    let mut body = String::new();
    let mut bottom = TOP;
    for pair in panels.chunks(2) {
        let mut highest: f64 = 0.0;
        for (panel, x) in pair.iter().zip([MARGIN, MARGIN + COLUMN]) {
            highest = highest.max(panel.draw(&mut body, x, bottom));
        }
        bottom += highest;
    }
    let (width, height) = (MARGIN * 2.0 + COLUMN * 2.0, bottom + 8.0);
    let machine = &figures.machine;
    let title = "causeway, the reference plugins and the floor, side by side";
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    text(&mut svg, "title", MARGIN, 32.0, title);
    let place = format!(
        "medians in milliseconds on a logarithmic scale, lines from quartile to quartile; shorter is \
         better · {} · {} · {} CPUs",
        machine.date, machine.kernel, machine.cpus
    );
    text(&mut svg, "faint", MARGIN, 50.0, &place);
    let mut x = MARGIN;
    for (who, what) in WHO {
        bar(&mut svg, who, x, 62.0, 14.0, "");
        text(&mut svg, "", x + 20.0, 71.5, what);
        x += 50.0 + 6.7 * letters(what);
    }
    svg.push_str(&body);
    svg.push_str("</svg>\n");
    svg
}

/// What is drawn: those of it that were measured, in pairs that stand side by side.
fn panels(figures: &Figures) -> Vec<Panel<'_>> {
    const ONE_BY_ONE: [&str; 8] =
        ["bridge", "bridge-masq", "bridge-dual", "ptp", "macvlan", "host-device", "chain", "ipam"];
    const IN_GUEST: [&str; 6] = ["bridge-vlan", "netkit", "ipvlan", "vlan", "dummy", "vrf"];
    let one_by_one = || ONE_BY_ONE.iter().chain(&IN_GUEST).map(|case| (*case, (*case).to_owned()));
    let among = |cases: [&'static str; 4]| {
        cases.into_iter().zip(["alone", "among 100", "among 500", "among 1,000"].map(String::from))
    };
    let bridge = || among(["density-0", "density-100", "density-500", "density-1000"]);
    let chain = || {
        among(["density-chain-0", "density-chain-100", "density-chain-500", "density-chain-1000"])
    };
    let bursts = || {
        [
            ("burst-1", "1 at a time"),
            ("burst-10", "10 at a time"),
            ("burst-50", "50 at a time"),
            ("burst-chain-50", "chain, 50"),
        ]
        .map(|(case, label)| (case, label.to_owned()))
        .into_iter()
    };
    let leases = || {
        [
            ("ipam", "no leases"),
            ("ipam-1k", "1,000 leases"),
            ("ipam-10k", "10,000 leases"),
            ("ipam-60k", "60,000 leases"),
            ("ipam-full-24", "/24, 1 free"),
        ]
        .map(|(case, label)| (case, label.to_owned()))
        .into_iter()
    };
    let panel = |title, verb: &str, wanted: &mut dyn Iterator<Item = (&str, String)>| Panel {
        title,
        groups: wanted
            .map(|(case, label)| {
                let is_it = |who: &str, one: &&Figure| {
                    one.case == case && one.verb == verb && one.who == who
                };
                let bars = WHO
                    .iter()
                    .filter_map(|(who, _)| figures.rows.iter().find(|one| is_it(who, one)));
                (label, bars.collect::<Vec<_>>())
            })
            .filter(|(_, bars)| !bars.is_empty())
            .collect(),
    };
    let mut panels = vec![
        panel("ADD, one pod after the other", "ADD", &mut one_by_one()),
        panel("DEL, one pod after the other", "DEL", &mut one_by_one()),
        panel("ADD of a bridge among attached pods", "ADD", &mut bridge()),
        panel("DEL of a bridge among attached pods", "DEL", &mut bridge()),
        panel("ADD of the chain among attached pods", "ADD", &mut chain()),
        panel("DEL of the chain among attached pods", "DEL", &mut chain()),
        panel("100 pods come at once: until the last is attached", "ADD", &mut bursts()),
        panel("100 pods go at once: until the last is gone", "DEL", &mut bursts()),
        panel("ADD of host-local alone, by leases of others", "ADD", &mut leases()),
        panel("DEL of host-local alone, by leases of others", "DEL", &mut leases()),
    ];
    panels.retain(|panel| !panel.groups.is_empty());
    panels
}

impl Panel<'_> {
    /// Draws it with its upper left corner there; gives its height.
    fn draw(&self, svg: &mut String, x: f64, y: f64) -> f64 {
        let bars = || self.groups.iter().flat_map(|(_, bars)| bars);
        let least = bars().map(|bar| bar.wall_us.lower).fold(f64::INFINITY, f64::min);
        let most = bars().map(|bar| bar.wall_us.upper).fold(0.0, f64::max);
        // A bar needs some length to be seen.
        let (from, to) = (round_down((least * 0.6).max(1.0)), most);
        let left = x + LABELS;
        let length = COLUMN - LABELS - VALUES - MARGIN;
        let place = |us: f64| left + length * (us / from).ln().max(0.0) / (to / from).ln().max(0.1);
        let rows: usize = self.groups.iter().map(|(_, bars)| bars.len()).sum();
        let height = f64_of(rows) * BAR + f64_of(self.groups.len()) * BETWEEN_GROUPS;
        let (first, last) = (y + HEADING, y + HEADING + height);

        text(svg, "name", x, y + 14.0, self.title);
        let mut tick = from;
        while tick <= to {
            let at = place(tick);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{last:.1}\"/>",
                first - 4.0
            );
            text(svg, "faint middle", at, last + 12.0, &plain(tick));
            tick = next_tick(tick);
        }
        let mut y = first;
        for (label, bars) in &self.groups {
            let middle = y + f64_of(bars.len()) * BAR / 2.0;
            text(svg, "end", left - 8.0, middle + 4.0, label);
            for figure in bars {
                let wall = figure.wall_us;
                let end = place(wall.median);
                let about = format!(
                    "{} {} {}: {} ms; / reference {}, / floor {}",
                    figure.case,
                    figure.verb,
                    figure.who,
                    milliseconds(wall.median),
                    times(figure.to_reference),
                    times(figure.to_floor)
                );
                bar(svg, &figure.who, left, y, end - left, &about);
                let line = y + BAR / 2.0 - 0.5;
                let (lower, upper) = (place(wall.lower), place(wall.upper));
                let _ = writeln!(
                    svg,
                    "<line class=\"spread\" x1=\"{lower:.1}\" y1=\"{line:.1}\" x2=\"{upper:.1}\" y2=\"{line:.1}\"/>"
                );
                text(svg, "faint", upper.max(end) + 5.0, y + 8.2, &milliseconds(wall.median));
                y += BAR;
            }
            y += BETWEEN_GROUPS;
        }
        HEADING + height + SCALE
    }
}

/// One, two or five times a power of ten, no more than a number.
fn round_down(number: f64) -> f64 {
    let power = 10_f64.powf(number.log10().floor());
    [5.0, 2.0, 1.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|one| *one <= number)
        .unwrap_or(power)
}

/// The next of 1, 2, 5, 10, 20, 50...
fn next_tick(tick: f64) -> f64 {
    let digit = tick / 10_f64.powf(tick.log10().floor());
    if (1.5..3.0).contains(&digit) { tick * 2.5 } else { tick * 2.0 }
}

/// Microseconds as milliseconds with the digits that there are, from a second on as seconds.
fn plain(us: f64) -> String {
    let ms = (us / 1e3 * 1e4).round() / 1e4;
    if ms < 1e3 { format!("{ms}") } else { format!("{} s", ms / 1e3) }
}

#[allow(clippy::cast_precision_loss, reason = "counts of bars and letters")]
fn f64_of(count: usize) -> f64 {
    count as f64
}

fn letters(text: &str) -> f64 {
    f64_of(text.chars().count())
}

fn bar(svg: &mut String, who: &str, x: f64, y: f64, width: f64, about: &str) {
    let _ = write!(
        svg,
        "<rect class=\"{who}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\"",
        width.max(1.0),
        BAR - 1.0
    );
    let _ = if about.is_empty() {
        writeln!(svg, "/>")
    } else {
        writeln!(svg, "><title>{}</title></rect>", escaped(about))
    };
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let text = escaped(text);
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
