//! `causeway watch`: attachments as they come and go, and what they carry.

mod keys;
mod lines;
mod screen;
mod view;

use crate::exit_code::ExitCode;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use clap::Args;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::attach::conf_dir;
use super::error::Error;
use super::output::{self, Format};
use crate::inventory::Places;
use crate::watch::{Event, Watch};

use lines::Lines;
use screen::Screen;

/// How often a terminal shows other rates, without --interval.
const INTERVAL: Duration = Duration::from_secs(1);
/// The shortest and longest interval, in seconds.
const INTERVALS: std::ops::RangeInclusive<f64> = 0.1..=3600.0;
/// After links have come or gone, more of it usually follows.
const SETTLING: Duration = Duration::from_millis(100);
/// How soon to look again while something is under way.
const AGAIN: Duration = Duration::from_millis(200);
/// How long what is under way is looked at so often.
const UNDER_WAY: Duration = Duration::from_secs(5);

/// Watch attachments come and go, and what they carry
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  causeway watch
  causeway watch --network pods --interval 5
  causeway watch --output json | jq -r 'select(.event == \"attached\").addresses[]'

On a terminal a table; keys: q or Esc quits, n r t p d a sort by name, bytes received and sent, packets,
drops and age, i turns the order round, f shows the next network alone, arrows and Page Up and Down scroll.
Otherwise a line for each attachment that is there (present), comes (attached), goes (detached) or is
damaged (link-gone, namespace-gone, restored); with --interval also one (rates) for each that has carried
anything since the last time. What is received and sent is as the container sees it.")]
pub struct Watching {
    /// Seconds between two counts; a terminal does with 1
    #[arg(long, value_name = "SECONDS", value_parser = interval)]
    interval: Option<Duration>,
    /// Only attachments to one network
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is no number of seconds".to_owned())?;
    if !INTERVALS.contains(&seconds) {
        let (least, most) = (INTERVALS.start(), INTERVALS.end());
        return Err(format!("it must be from {least} to {most} seconds"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// What to do after something was shown or a key pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    Quit,
}

/// Who shows it.
trait Front {
    /// Shows what has happened.
    fn happened(
        &mut self,
        events: &[Event],
        problems: &[String],
        watch: &Watch,
    ) -> io::Result<Next>;
    /// Shows what is carried.
    fn measured(&mut self, watch: &Watch) -> io::Result<Next>;
    /// Keys were pressed.
    fn pressed(&mut self, bytes: &[u8], watch: &Watch) -> io::Result<Next>;
    /// The terminal has another size.
    fn resized(&mut self, watch: &Watch) -> io::Result<Next>;
}

impl Watching {
    /// Watches until somebody says that it is enough.
    ///
    /// # Errors
    /// [`Error`] when the node cannot be read or stdout not written to.
    pub fn run(self) -> Result<ExitCode, Error> {
        let places = Places::of_node(Some(&conf_dir()?))?;
        let mut watch = Watch::begin(places, self.network.clone())?;
        let shown = output::is_for_a_person() && self.output == Format::Text;
        if shown {
            let interval = self.interval.unwrap_or(INTERVAL);
            let mut screen = Screen::open(self.network, interval)?;
            follow(&mut watch, Some(interval), &mut screen, io::stdin().is_terminal())
        } else {
            let mut lines = Lines::new(self.output);
            follow(&mut watch, self.interval, &mut lines, false)
        }
    }
}

/// When to do what next.
struct Clock {
    interval: Option<Duration>,
    tick: Instant,
    look: Option<Instant>,
    /// When links last came or went.
    heard: Option<Instant>,
}

impl Clock {
    fn wait(&self, now: Instant) -> PollTimeout {
        let next = self.look.map_or(self.tick, |look| look.min(self.tick));
        let wait = next.saturating_duration_since(now).as_millis().saturating_add(1);
        PollTimeout::from(u16::try_from(wait).unwrap_or(u16::MAX))
    }

    fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
        self.look.get_or_insert(now + SETTLING);
    }

    /// After a look.
    fn looked(&mut self, now: Instant, is_unsettled: bool) {
        let is_recent = self.heard.is_some_and(|heard| now.duration_since(heard) < UNDER_WAY);
        self.look = (is_unsettled && is_recent).then(|| now + AGAIN);
    }
}

fn follow(
    watch: &mut Watch,
    interval: Option<Duration>,
    front: &mut dyn Front,
    has_keys: bool,
) -> Result<ExitCode, Error> {
    let signals = signals()?;
    let stdin = io::stdin();
    let stdout = io::stdout();
    let start = Instant::now();
    let mut clock = Clock { interval, tick: start, look: Some(start), heard: None };
    loop {
        let now = Instant::now();
        if clock.look.is_some_and(|look| look <= now) || (clock.tick <= now && watch.is_outdated())
        {
            if clock.look.is_none() {
                clock.heard = Some(now);
            }
            let (events, problems) = watch.look(now)?;
            clock.looked(now, watch.is_unsettled());
            if front.happened(&events, &problems, watch)? == Next::Quit {
                return Ok(ExitCode::SUCCESS);
            }
        }
        if clock.tick <= now {
            clock.tick = now + clock.interval.unwrap_or(INTERVAL);
            if clock.interval.is_some() {
                watch.measure(now)?;
                if front.measured(watch)? == Next::Quit {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            // What is said only after a while must not wait for the next change.
            if watch.is_unsettled() {
                clock.look.get_or_insert(now + AGAIN);
            }
        }

        let mut waited = [
            PollFd::new(watch.listener(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            // Only whether somebody still reads.
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
        ];
        let count = if has_keys { waited.len() } else { waited.len() - 1 };
        let waited = waited.get_mut(..count).unwrap_or_default();
        match poll(waited, clock.wait(Instant::now())) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
        let is_ready = |place: usize| {
            let ready = waited.get(place).and_then(PollFd::revents);
            ready.is_some_and(|events| !events.is_empty())
        };
        let (links, signal, closed, keys) = (is_ready(0), is_ready(1), is_ready(2), is_ready(3));
        if closed {
            return Ok(ExitCode::SUCCESS);
        }
        if links {
            watch.hear()?;
            clock.heard(Instant::now());
        }
        let mut next = Next::GoOn;
        if signal {
            next = match signals.read_signal().map_err(io::Error::from)? {
                Some(signal) if signal.ssi_signo == Signal::SIGWINCH as u32 => {
                    front.resized(watch)?
                }
                Some(_) => Next::Quit,
                None => Next::GoOn,
            };
        }
        if keys && next == Next::GoOn {
            let mut bytes = [0; 64];
            next = match nix::unistd::read(stdin.as_fd(), &mut bytes) {
                Ok(0) => Next::Quit,
                Ok(count) => front.pressed(bytes.get(..count).unwrap_or_default(), watch)?,
                Err(Errno::EINTR | Errno::EAGAIN) => Next::GoOn,
                Err(errno) => return Err(io::Error::from(errno).into()),
            };
        }
        if next == Next::Quit {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// The signals that end it, and the one that tells of another size, as something to wait for.
fn signals() -> Result<SignalFd, io::Error> {
    let set: SigSet =
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGWINCH].into_iter().collect();
    set.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}
