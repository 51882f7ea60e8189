//! What a terminal shows: rows in the order that was asked for, as lines of text. Pure.

use std::cmp::Ordering;

use anstyle::{AnsiColor, Style};
use comfy_table::CellAlignment;
use unicode_width::UnicodeWidthChar;

use super::super::list;
use super::super::output::{self, BAD, GOOD, STRONG, WARNING};
use crate::graph::lettering::{columns, fitting};
use crate::inventory::{Attachment, State};
use crate::watch::Rates;

/// What stands at the bottom.
const HELP: &str = "q quit  n r t p d a sort  i invert  f network  ↑↓ scroll";
/// How many columns a name gets.
const NAME: usize = 32;
/// How many lines of what has happened are shown at most.
pub(super) const RECENT: usize = 6;
/// How many lines the table has at least before any of these are shown.
const LEAST: usize = 5;
const HEADING: Style = AnsiColor::Cyan.on_default().bold();

/// By what rows are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    Received,
    Sent,
    Packets,
    Drops,
    Age,
}

impl Sort {
    fn column(self) -> &'static str {
        match self {
            Self::Name => "POD",
            Self::Received => "RX B/s",
            Self::Sent => "TX B/s",
            Self::Packets => "RX P/s",
            Self::Drops => "DROP/s",
            Self::Age => "AGE",
        }
    }
}

/// How the table is looked at.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub sort: Sort,
    pub inverted: bool,
    /// The one network that is shown.
    pub network: Option<String>,
    /// The first row that is shown.
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

/// A line, and how it is lettered.
pub(super) type Line = (Style, String);

impl View {
    /// How many rows there is room for.
    pub(super) fn room(&self, recent: usize) -> usize {
        // A line above, the table's heading, and a line below.
        self.height.saturating_sub(3 + self.recent(recent)).max(1)
    }

    fn recent(&self, recent: usize) -> usize {
        recent.min(RECENT).min(self.height.saturating_sub(3 + LEAST))
    }

    /// All lines of the screen; `recent` is what has happened, the last at the end.
    pub(super) fn lines(
        &mut self,
        title: &str,
        rows: &[(&Attachment, Option<&Rates>)],
        recent: &[Line],
    ) -> Vec<Line> {
        let network = self.network.as_deref();
        let mut rows: Vec<_> = rows
            .iter()
            .copied()
            .filter(|(one, _)| network.is_none_or(|name| one.owner.network == name))
            .collect();
        let sum = |rate: fn(&Rates) -> f64| {
            // Not `sum`, which makes -0 of nothing.
            let rates = rows.iter().filter_map(|(_, rates)| rates.map(rate));
            short(rates.fold(0.0, |sum, rate| sum + rate))
        };
        let heading = format!(
            "{title}  {} of {}  rx {} B/s  tx {} B/s",
            rows.len(),
            network.map_or_else(|| "all networks".to_owned(), |name| fitting(name, NAME)),
            sum(|rates| rates.rx_bytes),
            sum(|rates| rates.tx_bytes),
        );
        rows.sort_by(|one, other| self.order(one, other));
        let room = self.room(recent.len());
        self.top = self.top.min(rows.len().saturating_sub(room));
        let mut lines = vec![(STRONG, heading)];
        // The whole table, so that columns keep their width when it is scrolled.
        let table = table(&rows, self.sort);
        let mut table = table.lines();
        lines.extend(table.next().map(|heading| (HEADING, heading.to_owned())));
        let states = rows.iter().map(|(one, _)| one.state);
        for (text, state) in table.zip(states).skip(self.top).take(room) {
            let style = match state {
                State::Attached => Style::new(),
                State::LinkGone | State::NamespaceGone => BAD,
                State::HalfMade | State::LeaseOnly => WARNING,
            };
            lines.push((style, text.to_owned()));
        }
        let happened = self.recent(recent.len());
        let blank = self.height.saturating_sub(lines.len() + happened + 1);
        lines.extend(std::iter::repeat_n((Style::new(), String::new()), blank));
        lines.extend(recent.iter().skip(recent.len() - happened).cloned());
        let below = rows.len().saturating_sub(self.top + room);
        let more = if below > 0 { format!("  {below} more below") } else { String::new() };
        lines.push((HEADING, format!("{HELP}{more}")));
        lines.truncate(self.height);
        for (_, text) in &mut lines {
            *text = cut(text, self.width);
        }
        lines
    }

    fn order(
        &self,
        (one, rates): &(&Attachment, Option<&Rates>),
        (other, others): &(&Attachment, Option<&Rates>),
    ) -> Ordering {
        // The largest first, as the youngest.
        let most = |rate: fn(&Rates) -> f64| {
            let of = |rates: &Option<&Rates>| rates.map_or(-1.0, rate);
            of(others).total_cmp(&of(rates))
        };
        let by = match self.sort {
            Sort::Name => Ordering::Equal,
            Sort::Received => most(|rates| rates.rx_bytes),
            Sort::Sent => most(|rates| rates.tx_bytes),
            Sort::Packets => most(|rates| rates.rx_packets + rates.tx_packets),
            Sort::Drops => most(|rates| rates.drops),
            Sort::Age => other.since.cmp(&one.since),
        };
        let name =
            |one: &Attachment| (name(one), one.owner.network.clone(), one.owner.ifname.clone());
        let order = by.then_with(|| name(one).cmp(&name(other)));
        if self.inverted { order.reverse() } else { order }
    }
}

/// How people call it.
pub(super) fn name(one: &Attachment) -> String {
    let id = || one.owner.container_id.chars().take(20).collect();
    fitting(&one.pod.clone().unwrap_or_else(id), NAME)
}

fn table(rows: &[(&Attachment, Option<&Rates>)], sort: Sort) -> String {
    let heading = [
        "POD", "NETWORK", "IF", "ADDRESS", "RX B/s", "TX B/s", "RX P/s", "TX P/s", "DROP/s", "AGE",
        "STATE",
    ];
    let marked = heading
        .map(|name| if name == sort.column() { format!("{name}*") } else { name.to_owned() });
    let marked = marked.each_ref().map(String::as_str);
    let mut table = output::table(&marked);
    for column in 4..=9 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for (one, rates) in rows {
        let rate =
            |of: fn(&Rates) -> f64| rates.map_or_else(|| "-".to_owned(), |one| short(of(one)));
        let address = one.addresses.first().map(|address| address.ip().to_string());
        table.add_row([
            name(one),
            fitting(&one.owner.network, NAME),
            fitting(&one.owner.ifname, NAME),
            list::or_dash(address.as_deref()),
            rate(|rates| rates.rx_bytes),
            rate(|rates| rates.tx_bytes),
            rate(|rates| rates.rx_packets),
            rate(|rates| rates.tx_packets),
            rate(|rates| rates.drops),
            list::or_dash(one.since.map(output::age).as_deref()),
            one.state.to_string(),
        ]);
    }
    output::lines(&table)
}

/// A number in four digits or less, with a thousand's k, M, G or T.
pub(super) fn short(number: f64) -> String {
    let mut number = number;
    for unit in ["", "k", "M", "G", "T"] {
        if number < 999.5 || unit == "T" {
            let digits =
                if number < 9.95 && (!unit.is_empty() || number.fract() > 0.05) { 1 } else { 0 };
            return format!("{number:.digits$}{unit}");
        }
        number /= 1000.0;
    }
    String::new()
}

/// The text, without what is beyond `width` columns.
fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut left = width;
    let mut short = String::new();
    for one in text.chars() {
        let Some(rest) = left.checked_sub(one.width().unwrap_or(1)) else { break };
        left = rest;
        short.push(one);
    }
    short
}

/// The style of what has happened.
pub(super) fn style_of(what: crate::watch::Happening) -> Style {
    use crate::watch::Happening;
    match what {
        Happening::Present => Style::new(),
        Happening::Attached | Happening::Changed(State::Attached) => GOOD,
        Happening::Detached => WARNING,
        Happening::Changed(_) => BAD,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::engine::Owner;
    use crate::inventory::Life;

    fn one(id: &str, network: &str) -> Attachment {
        Attachment {
            owner: Owner {
                network: network.into(),
                container_id: id.into(),
                ifname: "eth0".into(),
            },
            pod: Some(format!("shop/{id}")),
            addresses: vec!["10.88.0.2/16".parse().unwrap()],
            host_link: None,
            netns: None,
            life: Life::Unknown,
            since: None,
            state: State::Attached,
            records: Vec::new(),
            cached: None,
            leased: Vec::new(),
        }
    }

    fn view(sort: Sort) -> View {
        View { sort, inverted: false, network: None, top: 0, width: 80, height: 12 }
    }

    fn names(lines: &[Line]) -> Vec<String> {
        let rows = lines.iter().filter(|(_, text)| text.starts_with("shop/"));
        rows.map(|(_, text)| text.split_whitespace().next().unwrap().to_owned()).collect()
    }

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (7.0, "7"),
            (999.4, "999"),
            (999.6, "1.0k"),
            (12_345.0, "12k"),
            (1_500_000.0, "1.5M"),
            (2e13, "20T"),
            (5e15, "5000T"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn rows_are_sorted_filtered_and_scrolled() {
        let all = [one("b", "pods"), one("a", "pods"), one("c", "lan")];
        let busy = Rates { rx_bytes: 5000.0, ..Rates::default() };
        let idle = Rates::default();
        let rows = [(&all[0], Some(&busy)), (&all[1], Some(&idle)), (&all[2], None)];
        let mut by_name = view(Sort::Name);
        assert_eq!(names(&by_name.lines("node", &rows, &[])), ["shop/a", "shop/b", "shop/c"]);
        by_name.inverted = true;
        assert_eq!(names(&by_name.lines("node", &rows, &[])), ["shop/c", "shop/b", "shop/a"]);
        let mut received = view(Sort::Received);
        let lines = received.lines("node", &rows, &[]);
        assert_eq!(names(&lines), ["shop/b", "shop/a", "shop/c"]);
        assert_eq!(lines.len(), 12);
        assert!(lines[0].1.contains("rx 5.0k B/s"), "{lines:?}");
        assert!(lines[1].1.contains("RX B/s*"), "{lines:?}");
        let nothing = received.lines("node", &[], &[]);
        assert!(nothing[0].1.contains("rx 0 B/s"), "{nothing:?}");
        received.network = Some("lan".into());
        assert_eq!(names(&received.lines("node", &rows, &[])), ["shop/c"]);

        let many: Vec<Attachment> = (0..50).map(|n| one(&format!("p{n:02}"), "pods")).collect();
        let rows: Vec<_> = many.iter().map(|one| (one, None)).collect();
        let mut view = view(Sort::Name);
        view.top = 1000;
        let recent = vec![(GOOD, "something happened".to_owned()); 9];
        let lines = view.lines("node", &rows, &recent);
        assert_eq!(names(&lines).last().unwrap(), "shop/p49");
        assert_eq!(lines.len(), 12);
        assert_eq!(lines.iter().filter(|(_, text)| text == "something happened").count(), 4);
        view.height = 2;
        assert_eq!(view.lines("node", &rows, &recent).len(), 2);
        view.width = 5;
        assert!(view.lines("node", &rows, &recent).iter().all(|(_, text)| columns(text) <= 5));
    }
}
