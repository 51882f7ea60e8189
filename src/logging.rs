//! The log: to stderr, and to a file as well when configuration or environment name one; as lines for
//! people, or as JSON lines for programs.
//!
//! Every line is one write, so that processes that append to the same file do not mix theirs. What is not
//! asked for costs a comparison.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::fcntl::OFlag;
use serde_json::{Map, Value};

use crate::protocol::error::CniError;
use crate::protocol::request::Request;

/// How much is logged: off, error, warn, info, debug or trace.
pub const LEVEL_VARIABLE: &str = "CAUSEWAY_LOG";
/// A file to which the log is appended.
pub const FILE_VARIABLE: &str = "CAUSEWAY_LOG_FILE";
/// `text` or `json`.
pub const FORMAT_VARIABLE: &str = "CAUSEWAY_LOG_FORMAT";

/// Set by whoever tells people of the error that this process answers with: it is not on stderr as well
/// then.
pub const TOLD_VARIABLE: &str = "CAUSEWAY_ERROR_TOLD";

static FILE: OnceLock<File> = OnceLock::new();
static IS_JSON: AtomicBool = AtomicBool::new(false);

struct Lines;

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        // `log` itself compares with the level that is set.
        true
    }

    fn log(&self, record: &Record<'_>) {
        write(record.level(), *record.args(), Map::new(), true);
    }

    fn flush(&self) {}
}

/// Starts the log with warnings and errors; `CAUSEWAY_LOG` or the configuration's `logLevel` ask
/// for more.
pub fn start() {
    let _ = log::set_logger(&Lines);
    let asked = std::env::var(LEVEL_VARIABLE).ok().and_then(|level| level.parse().ok());
    log::set_max_level(asked.unwrap_or(LevelFilter::Warn));
    if let Some(format) = std::env::var_os(FORMAT_VARIABLE) {
        follow_format(FORMAT_VARIABLE, &format.to_string_lossy());
    }
}

/// Follows the configuration's `logLevel` (off, error, warn, info, debug or trace), `logFile` and
/// `logFormat` (text or json). What the configuration does not say, the environment does.
pub fn configure(level: Option<&str>, file: Option<&Path>, format: Option<&str>) {
    if let Some(format) = format {
        follow_format("logFormat", format);
    }
    let named = || std::env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty());
    let file = file.map(Path::to_owned).or_else(|| named().map(PathBuf::from));
    match level.map(str::parse::<LevelFilter>) {
        Some(Ok(level)) => log::set_max_level(level),
        Some(Err(_)) => log::warn!(
            "logLevel: \"{}\" is none of off, error, warn, info, debug, trace",
            level.unwrap_or_default()
        ),
        None if file.is_some() && std::env::var_os(LEVEL_VARIABLE).is_none() => {
            log::set_max_level(LevelFilter::Info);
        }
        None => {}
    }
    let Some(path) = file else { return };
    // What stands there may be anybody's: no pipe may keep us waiting, no link lead us elsewhere.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(flags.bits());
    match options.open(&path) {
        Ok(file) => {
            let _ = FILE.set(file);
        }
        Err(error) => log::warn!("logFile {}: {error}", path.display()),
    }
}

fn follow_format(source: &str, format: &str) {
    match format {
        "json" => IS_JSON.store(true, Ordering::Relaxed),
        "text" | "" => IS_JSON.store(false, Ordering::Relaxed),
        other => log::warn!("{source}: \"{other}\" is neither text nor json"),
    }
}

/// The one line of every call: what was asked, how long it took, and what came of it.
pub fn call_ended(request: Option<&Request>, took: Duration, done: &Result<(), CniError>) {
    if request.is_none() {
        // No configuration that could have been followed; the environment still is.
        configure(None, None, None);
    }
    let level = if done.is_ok() { Level::Info } else { Level::Error };
    if level > log::max_level() {
        return;
    }
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let mut text = String::new();
    let mut fields = Map::new();
    let mut field = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    match request {
        Some(request) => {
            let (verb, network) = (request.verb, &request.config.name);
            let (container, interface) = (&request.container_id, &request.ifname);
            let _ = write!(
                text,
                "{verb} network={network} container={container} interface={interface}"
            );
            field("verb", verb.to_string().into());
            field("network", network.as_str().into());
            field("container", container.to_string().into());
            field("interface", interface.to_string().into());
            field("plugin", request.config.plugin_type.as_str().into());
        }
        None => text.push_str("unreadable request"),
    }
    let _ = write!(text, " took={micros}us ");
    field("took_us", micros.into());
    field("outcome", if done.is_ok() { "ok" } else { "failed" }.into());
    match done {
        Ok(()) => text.push_str("ok"),
        Err(error) => {
            let _ = write!(text, "failed code={}: {} {}", error.code, error.msg, error.details);
            field("code", error.code.into());
            field("error", error.msg.as_str().into());
            field("details", error.details.as_str().into());
        }
    }
    let is_told = done.is_err() && std::env::var_os(TOLD_VARIABLE).is_some();
    write(level, format_args!("{text}"), fields, !is_told);
}

/// Writes one line, to stderr only if `aloud`. A log that cannot be written must not fail the call.
fn write(level: Level, message: fmt::Arguments<'_>, fields: Map<String, Value>, aloud: bool) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let level = level.as_str().to_ascii_lowercase();
    let line = if IS_JSON.load(Ordering::Relaxed) {
        let mut all = Map::new();
        all.insert("time".to_owned(), timestamp(now).into());
        all.insert("level".to_owned(), level.into());
        all.insert("pid".to_owned(), std::process::id().into());
        all.insert("message".to_owned(), message.to_string().into());
        all.extend(fields);
        format!("{}\n", Value::Object(all))
    } else {
        // What others have said may have lines of its own, and could have a terminal do things.
        let message = message.to_string().replace('\n', " ").replace(char::is_control, "\u{fffd}");
        format!("{} causeway[{}] {level}: {message}\n", timestamp(now), std::process::id())
    };
    if let Some(mut file) = FILE.get() {
        let _ = file.write_all(line.as_bytes());
    }
    if aloud {
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// A time since 1970 as RFC 3339 has it, in UTC, to the millisecond.
fn timestamp(since: Duration) -> String {
    const DAY: u64 = 86_400;
    let (days, second) = (since.as_secs() / DAY, since.as_secs() % DAY);
    // Years that begin in March, so that a leap day is the last of its year; 400 of them have as many
    // days as any other 400.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, turn) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!(
        "{:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        era * 400 + year + turn,
        second / 3_600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_date() {
        // date -u -d @N +%FT%T
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (68_169_599, "1972-02-28T23:59:59"),
            (68_169_600, "1972-02-29T00:00:00"),
            (68_256_000, "1972-03-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_735_689_599, "2024-12-31T23:59:59"),
            (1_735_689_600, "2025-01-01T00:00:00"),
            (4_107_542_400, "2100-03-01T00:00:00"),
            (253_402_300_799, "9999-12-31T23:59:59"),
        ] {
            let time = Duration::from_millis(seconds * 1_000 + 7);
            assert_eq!(timestamp(time), format!("{text}.007Z"));
        }
    }
}
