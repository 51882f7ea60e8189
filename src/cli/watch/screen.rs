//! A terminal that shows it all the time, and is given back as it was.

use std::fs;
use std::io::{self, Write};
use std::sync::Once;
use std::time::Duration;

use anstyle::Style;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::Print;
use crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{execute, queue};

use super::keys::{Key, keys};
use super::lines::in_words;
use super::view::{Line, RECENT, Sort, View, style_of};
use super::{Front, Next};
use crate::graph::lettering::fitting;
use crate::watch::{Event, Happening, Watch};

/// What a terminal has that does not say its size.
const SIZE: (u16, u16) = (80, 24);

/// The terminal, for as long as this lives.
pub(super) struct Screen {
    view: View,
    title: String,
    /// Given by --network, so no key chooses another.
    is_fixed: bool,
    recent: Vec<Line>,
    is_coloured: bool,
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn open(network: Option<String>, interval: Duration) -> io::Result<Self> {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let title = format!("{}  every {}s", fitting(name.trim(), 32), interval.as_secs_f64());
        let choice = anstream::AutoStream::choice(&io::stdout());
        let screen = Self {
            view: View {
                sort: Sort::Name,
                inverted: false,
                network: network.clone(),
                top: 0,
                width: 0,
                height: 0,
            },
            title,
            is_fixed: network.is_some(),
            recent: Vec::new(),
            is_coloured: choice != anstream::ColorChoice::Never,
        };
        // Before a panic says what it has to say, the terminal is one again that shows it.
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let said = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                said(panic);
            }));
        });
        terminal::enable_raw_mode()?;
        // From here on `screen` gives it back, whatever comes.
        execute!(io::stdout(), EnterAlternateScreen, Hide, DisableLineWrap)?;
        Ok(screen)
    }

    fn draw(&mut self, watch: &Watch) -> io::Result<Next> {
        let (width, height) = match terminal::size() {
            Ok((width, height)) if width > 0 && height > 0 => (width, height),
            _ => SIZE,
        };
        (self.view.width, self.view.height) = (usize::from(width), usize::from(height));
        let rows: Vec<_> = watch.attachments().collect();
        let lines = self.view.lines(&self.title, &rows, &self.recent);
        let mut stdout = io::stdout().lock();
        queue!(stdout, BeginSynchronizedUpdate)?;
        for (row, (style, text)) in (0u16..).zip(&lines) {
            let plain = Style::new();
            let style = if self.is_coloured { style } else { &plain };
            let text = format!("{style}{text}{style:#}");
            queue!(stdout, MoveTo(0, row), Print(text), Clear(ClearType::UntilNewLine))?;
        }
        queue!(stdout, EndSynchronizedUpdate)?;
        stdout.flush()?;
        Ok(Next::GoOn)
    }

    /// The next network after the one that is shown, or all after the last.
    fn next_network(&self, watch: &Watch) -> Option<String> {
        let mut networks: Vec<&str> =
            watch.attachments().map(|(one, _)| one.owner.network.as_str()).collect();
        networks.sort_unstable();
        networks.dedup();
        let next = match self.view.network.as_deref() {
            None => networks.first(),
            Some(shown) => networks.iter().find(|name| **name > shown),
        };
        next.map(|name| (*name).to_owned())
    }
}

impl Front for Screen {
    fn happened(
        &mut self,
        events: &[Event],
        problems: &[String],
        watch: &Watch,
    ) -> io::Result<Next> {
        let events = events.iter().filter(|event| event.what != Happening::Present);
        self.recent.extend(events.map(|event| (style_of(event.what), in_words(event))));
        for problem in problems {
            let line = (super::super::output::WARNING, fitting(problem, 200));
            if !self.recent.contains(&line) {
                self.recent.push(line);
            }
        }
        let old = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..old);
        self.draw(watch)
    }

    fn measured(&mut self, watch: &Watch) -> io::Result<Next> {
        self.draw(watch)
    }

    fn pressed(&mut self, bytes: &[u8], watch: &Watch) -> io::Result<Next> {
        let page = self.view.room(self.recent.len());
        for key in keys(bytes) {
            let top = self.view.top;
            match key {
                Key::Quit => return Ok(Next::Quit),
                Key::Sort(sort) => (self.view.sort, self.view.top) = (sort, 0),
                Key::Invert => self.view.inverted = !self.view.inverted,
                Key::Network if !self.is_fixed => self.view.network = self.next_network(watch),
                Key::Network => {}
                Key::Up => self.view.top = top.saturating_sub(1),
                Key::Down => self.view.top = top.saturating_add(1),
                Key::PageUp => self.view.top = top.saturating_sub(page),
                Key::PageDown => self.view.top = top.saturating_add(page),
                Key::Top => self.view.top = 0,
                Key::Bottom => self.view.top = usize::MAX,
            }
        }
        self.draw(watch)
    }

    fn resized(&mut self, watch: &Watch) -> io::Result<Next> {
        execute!(io::stdout(), Clear(ClearType::All))?;
        self.draw(watch)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back as it was; may be done twice.
fn give_back() {
    let _ = execute!(io::stdout(), EnableLineWrap, Show, LeaveAlternateScreen);
    let _ = terminal::disable_raw_mode();
}
