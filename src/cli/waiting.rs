//! A line on a person's terminal while a command takes longer than a second. It goes away before anything
//! else is printed.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// What the terminal shows.
static SHOWN: Mutex<Shown> = Mutex::new(Shown { ended: false, visible: false });

struct Shown {
    ended: bool,
    visible: bool,
}

/// A command that is at work, until it is dropped.
pub struct Waiting(());

impl Waiting {
    /// Begins to wait for what is said in a few words. Nothing is ever shown where stderr is no terminal.
    pub fn on(what: &'static str) -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb");
        if io::stderr().is_terminal() && !is_dumb {
            let begin = Instant::now();
            // Without the thread there is no line; the command works all the same.
            let _ = thread::Builder::new().stack_size(64 * 1024).spawn(move || {
                loop {
                    thread::sleep(SECOND);
                    let mut shown = lock();
                    if shown.ended {
                        return;
                    }
                    shown.visible = true;
                    let _ = write!(
                        io::stderr(),
                        "\r\x1b[Kcauseway: {what}, {} s",
                        begin.elapsed().as_secs()
                    );
                }
            });
        }
        Self(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        make_room();
    }
}

/// Takes the line away, if it is there, for good: who reads something waits no more.
pub fn make_room() {
    let mut shown = lock();
    shown.ended = true;
    if shown.visible {
        shown.visible = false;
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}

fn lock() -> MutexGuard<'static, Shown> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}
