//! `causeway dhcp daemon`, with the flags of the reference's `dhcp daemon`.

use crate::exit_code::ExitCode;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::output;
use crate::dhcp::daemon::{self, Options};
use crate::dhcp::machine::Timing;
use crate::dhcp::settings::SOCKET;
use crate::dhcp::store;
use crate::logging;

/// The command.
#[derive(Debug, Args)]
pub struct Dhcp {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Get leases for the plugin dhcp and keep them up, until SIGTERM
    #[command(after_help = FLAGS, disable_help_flag = true)]
    Daemon {
        /// Flags, with one hyphen or two
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAG")]
        flags: Vec<String>,
    },
}

const FLAGS: &str = "\
Flags; times as in 500ms, 10s, 1m30s:
  -socketpath PATH      where plugins ask; /run/cni/dhcp.sock
  -pidfile PATH         where to write the process ID
  -hostprefix PATH      what to put before every path, for a daemon in a container
  -timeout TIME         how long the answer to one question is waited for; 10s
  -resendmax TIME       the longest time between two messages; 1m2s
  -resendtimeout TIME   how long an address is sought before it is an error; 3m28s
  -broadcast            have servers answer to everybody
  -statedir PATH        where leases are kept while the daemon does not run; /run/cni/dhcp-leases
  -loglevel LEVEL       error, warn, info, debug; info

Example:
  causeway dhcp daemon -timeout 5s";

/// A flag that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// No such flag.
    #[error("unknown flag {0}\n{FLAGS}")]
    Unknown(String),
    /// Its value is missing.
    #[error("flag -{0} needs a value\n{FLAGS}")]
    NoValue(String),
    /// Its value is of another kind.
    #[error("flag -{flag}: {value:?} is no {kind}")]
    Value {
        /// The flag.
        flag: String,
        /// What was given.
        value: String,
        /// What is wanted.
        kind: &'static str,
    },
}

impl Dhcp {
    /// Runs the command.
    ///
    /// # Errors
    /// A wrong flag, or what kept the daemon from starting.
    pub fn run(self) -> Result<ExitCode, Box<dyn std::error::Error>> {
        let Command::Daemon { flags } = self.command;
        if flags.iter().any(|flag| matches!(flag.as_str(), "-h" | "-help" | "--help")) {
            output::print(&format!("{FLAGS}\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let (options, level) = options(&flags)?;
        logging::start();
        logging::configure(Some(&level), None, None);
        std::panic::set_hook(Box::new(|panic| log::error!("{panic}")));
        daemon::run(&options)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads flags as Go's package flag does: one hyphen or two, the value behind `=` or as the next
/// word, a truth value only behind `=`.
fn options(flags: &[String]) -> Result<(Options, String), FlagError> {
    let mut options = Options {
        pidfile: None,
        host_prefix: String::new(),
        socket: SOCKET.into(),
        leases: store::DIRECTORY.into(),
        timing: Timing {
            timeout: Duration::from_secs(10),
            resend_max: Duration::from_secs(62),
            limit: Duration::from_secs(208),
        },
        broadcast: false,
    };
    let mut level = "info".to_owned();
    let mut words = flags.iter();
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
            return Err(FlagError::Unknown(word.clone()));
        };
        let (name, given) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        if name == "broadcast" {
            options.broadcast = match given.as_deref() {
                None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
                Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
                Some(other) => return Err(wrong(name, other, "truth value")),
            };
            continue;
        }
        let mut value = || {
            given
                .clone()
                .or_else(|| words.next().cloned())
                .ok_or_else(|| FlagError::NoValue(name.to_owned()))
        };
        match name {
            "pidfile" => options.pidfile = some_path(value()?),
            "hostprefix" => options.host_prefix = value()?,
            "socketpath" => options.socket = some_path(value()?).unwrap_or(SOCKET.into()),
            "statedir" => options.leases = value()?.into(),
            "timeout" => options.timing.timeout = time(name, &value()?)?,
            "resendmax" => options.timing.resend_max = time(name, &value()?)?,
            "resendtimeout" => options.timing.limit = time(name, &value()?)?,
            "loglevel" => level = value()?,
            _ => return Err(FlagError::Unknown(word.clone())),
        }
    }
    Ok((options, level))
}

fn some_path(text: String) -> Option<PathBuf> {
    (!text.is_empty()).then(|| text.into())
}

fn wrong(flag: &str, value: &str, kind: &'static str) -> FlagError {
    FlagError::Value { flag: flag.to_owned(), value: value.to_owned(), kind }
}

/// A duration in Go's form: numbers with units, one after the other.
fn time(flag: &str, text: &str) -> Result<Duration, FlagError> {
    let bad = || wrong(flag, text, "time; write it as in 500ms, 10s or 1m30s");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(bad()),
        };
        total += number.parse::<f64>().map_err(|_| bad())? * unit;
        rest = after;
    }
    Duration::try_from_secs_f64(total).map_err(|_| bad())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Options, FlagError> {
        let words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
        options(&words).map(|(options, _)| options)
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        let options = read(
            "-pidfile /run/p --hostprefix=/host -socketpath=/s -timeout 2s --resendmax 1m30s \
             -resendtimeout=500ms -broadcast",
        )
        .unwrap();
        assert_eq!(options.pidfile, Some("/run/p".into()));
        assert_eq!(options.host_prefix, "/host");
        assert_eq!(options.socket, PathBuf::from("/s"));
        assert_eq!(options.timing.timeout, Duration::from_secs(2));
        assert_eq!(options.timing.resend_max, Duration::from_secs(90));
        assert_eq!(options.timing.limit, Duration::from_millis(500));
        assert!(options.broadcast);
        assert!(!read("-broadcast=false").unwrap().broadcast);
    }

    #[test]
    fn defaults_are_the_references() {
        let options = read("").unwrap();
        assert_eq!(options.socket, PathBuf::from("/run/cni/dhcp.sock"));
        assert_eq!(options.timing.timeout, Duration::from_secs(10));
        assert_eq!(options.timing.resend_max, Duration::from_secs(62));
        assert_eq!(options.timing.limit, Duration::from_secs(208));
        assert_eq!(read("-socketpath= -pidfile=").unwrap(), options);
    }

    #[test]
    fn wrong_flags_are_named() {
        for (words, said) in [
            ("-colour red", "unknown flag -colour"),
            ("now", "unknown flag now"),
            ("-timeout", "flag -timeout needs a value"),
            ("-timeout 5", "\"5\" is no time"),
            ("-timeout 5x", "\"5x\" is no time"),
            ("-timeout -5s", "\"-5s\" is no time"),
            ("-broadcast=maybe", "\"maybe\" is no truth value"),
        ] {
            let error = read(words).unwrap_err().to_string();
            assert!(error.contains(said), "{words}: {error}");
        }
    }
}
