//! Lines for a pipe or a file: one for each thing that has happened.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::super::list;
use super::super::output::{Format, styled, tell};
use super::view::{name, short, style_of};
use super::{Front, Next};
use crate::inventory::Attachment;
use crate::watch::{Event, Rates, Watch};

/// Writes lines to stdout.
pub(super) struct Lines {
    format: Format,
    /// What could not be read, as last said.
    problems: Vec<String>,
}

impl Lines {
    pub(super) fn new(format: Format) -> Self {
        Self { format, problems: Vec::new() }
    }

    fn event(&self, event: &Event) -> String {
        let one = &event.attachment;
        if self.format == Format::Json {
            let mut value = list::in_json(one);
            if let Some(map) = value.as_object_mut() {
                map.insert("event".to_owned(), event.what.name().into());
                map.insert("time".to_owned(), seconds().into());
            }
            return value.to_string();
        }
        in_words(event)
    }

    fn rates(&self, one: &Attachment, rates: &Rates) -> String {
        let Rates { rx_bytes, tx_bytes, rx_packets, tx_packets, drops, counters } = rates;
        if self.format == Format::Json {
            let rate = |number: &f64| Value::from((number * 10.0).round() / 10.0);
            return json!({
                "event": "rates",
                "time": seconds(),
                "containerID": one.owner.container_id,
                "network": one.owner.network,
                "ifname": one.owner.ifname,
                "pod": one.pod,
                "rxBytesPerSecond": rate(rx_bytes),
                "txBytesPerSecond": rate(tx_bytes),
                "rxPacketsPerSecond": rate(rx_packets),
                "txPacketsPerSecond": rate(tx_packets),
                "dropsPerSecond": rate(drops),
                "rxBytes": counters.rx_bytes,
                "txBytes": counters.tx_bytes,
            })
            .to_string();
        }
        format!(
            "{} {:14} {} {} {} rx {} B/s {} p/s, tx {} B/s {} p/s, {} drops/s",
            clock(),
            "rates",
            name(one),
            one.owner.network,
            one.owner.ifname,
            short(*rx_bytes),
            short(*rx_packets),
            short(*tx_bytes),
            short(*tx_packets),
            short(*drops),
        )
    }
}

impl Front for Lines {
    fn happened(
        &mut self,
        events: &[Event],
        problems: &[String],
        _watch: &Watch,
    ) -> io::Result<Next> {
        if self.problems != problems {
            problems.iter().for_each(|problem| tell(problem));
            self.problems = problems.to_vec();
        }
        let lines: Vec<String> = events
            .iter()
            .map(|event| match self.format {
                Format::Json => self.event(event),
                Format::Text => styled(style_of(event.what), &self.event(event)),
            })
            .collect();
        write(&lines)
    }

    fn measured(&mut self, watch: &Watch) -> io::Result<Next> {
        let all = watch.attachments().filter_map(|(one, rates)| Some((one, rates?)));
        let busy = all.filter(|(_, rates)| !rates.is_idle());
        let lines: Vec<String> = busy.map(|(one, rates)| self.rates(one, rates)).collect();
        write(&lines)
    }

    fn pressed(&mut self, _bytes: &[u8], _watch: &Watch) -> io::Result<Next> {
        Ok(Next::GoOn)
    }

    fn resized(&mut self, _watch: &Watch) -> io::Result<Next> {
        Ok(Next::GoOn)
    }
}

/// What has happened, in a line.
pub(super) fn in_words(event: &Event) -> String {
    let one = &event.attachment;
    let link = one.host_link.as_ref().map(|link| link.name.as_str());
    format!(
        "{} {:14} {} {} {} {} {}",
        clock(),
        event.what.name(),
        name(one),
        one.owner.network,
        list::or_dash(Some(&one.owner.ifname)),
        list::or_dash(Some(&list::addresses(one))),
        list::or_dash(link),
    )
}

/// Who has seen enough closes the pipe, which is no failure but the end.
fn write(lines: &[String]) -> io::Result<Next> {
    let mut stdout = anstream::stdout().lock();
    let written =
        lines.iter().try_for_each(|line| writeln!(stdout, "{line}")).and_then(|()| stdout.flush());
    match written {
        Ok(()) => Ok(Next::GoOn),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Next::Quit),
        Err(error) => Err(error),
    }
}

/// Seconds since 1970.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// The time of day, UTC.
fn clock() -> String {
    let of_day = seconds() % 86_400;
    format!("{:02}:{:02}:{:02}Z", of_day / 3600, of_day / 60 % 60, of_day % 60)
}
