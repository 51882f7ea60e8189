//! The log: to stderr, and to a file as well when the configuration names one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;

use log::LevelFilter;
use nix::fcntl::OFlag;

static LOG_FILE: OnceLock<File> = OnceLock::new();

/// Writes to stderr and to the log file.
struct Both;

impl Write for Both {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(mut file) = LOG_FILE.get() {
            // A full disk must not fail the call.
            let _ = file.write_all(line);
        }
        let _ = io::stderr().write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the log with warnings and errors; `CAUSEWAY_LOG` or the configuration's `logLevel` ask
/// for more.
pub fn start() {
    let _ = env_logger::Builder::new()
        .filter_level(LevelFilter::Trace)
        .target(env_logger::Target::Pipe(Box::new(Both)))
        .write_style(env_logger::WriteStyle::Never)
        .format(|out, record| {
            let level = record.level().as_str().to_ascii_lowercase();
            writeln!(
                out,
                "{} causeway[{}] {level}: {}",
                out.timestamp_millis(),
                std::process::id(),
                record.args()
            )
        })
        .try_init();
    let asked = std::env::var("CAUSEWAY_LOG").ok().and_then(|level| level.parse().ok());
    log::set_max_level(asked.unwrap_or(LevelFilter::Warn));
}

/// Follows the configuration's `logLevel` (off, error, warn, info, debug or trace) and `logFile`.
pub fn configure(level: Option<&str>, file: Option<&Path>) {
    match level.map(str::parse::<LevelFilter>) {
        Some(Ok(level)) => log::set_max_level(level),
        Some(Err(_)) => log::warn!(
            "logLevel: \"{}\" is none of off, error, warn, info, debug, trace",
            level.unwrap_or_default()
        ),
        None if file.is_some() && std::env::var_os("CAUSEWAY_LOG").is_none() => {
            log::set_max_level(LevelFilter::Info);
        }
        None => {}
    }
    let Some(path) = file else { return };
    // What stands there may be anybody's: no pipe may keep us waiting, no link lead us elsewhere.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(flags.bits());
    match options.open(path) {
        Ok(file) => {
            let _ = LOG_FILE.set(file);
        }
        Err(error) => log::warn!("logFile {}: {error}", path.display()),
    }
}
