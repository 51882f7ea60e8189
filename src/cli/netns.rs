//! `causeway netns`: network namespaces for people, in the same directory as `ip netns`.

mod run_inside;

use crate::exit_code::ExitCode;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::kernel::netns::{self, Entry};

use run_inside::run_inside;

/// Make, list, enter and delete network namespaces.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  causeway netns add blue green
  causeway netns list
  causeway netns exec blue ping -c 1 10.88.0.1
  causeway netns exec pid:1234 ip address
  causeway netns del blue green")]
pub struct Netns {
    /// Where the namespaces are kept
    #[arg(long, global = true, value_name = "DIR", default_value = netns::DIRECTORY)]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make namespaces, with nothing in them but a `lo` that is down
    Add {
        /// How to call them
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// List namespaces, and what is left of broken ones
    List {
        /// How to print
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        output: Output,
    },
    /// Run a command inside a namespace
    ///
    /// The command sees the namespace's own /sys, and the files of /etc/netns/NAME in place of
    /// those of /etc. Its exit code is passed on.
    Exec {
        /// The namespace: its name, a path to it (with a '/'), or pid:N for that of process N
        #[arg(value_name = "NAME")]
        target: String,
        /// The command and its arguments
        #[arg(
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "COMMAND"
        )]
        command: Vec<OsString>,
    },
    /// Delete namespaces; they end when nothing is in them any more
    Del {
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// A table
    Text,
    /// A list of objects with name, path, inode and namespace
    Json,
}

/// `pid:` that is not followed by a number.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no process; write pid: and the process's number, such as pid:1234")]
pub struct NoProcess(String);

/// The path to a process's namespace, for a target of the form `pid:N`; `None` for another.
///
/// # Errors
/// [`NoProcess`].
pub(super) fn of_process(target: &str) -> Result<Option<PathBuf>, NoProcess> {
    let Some(number) = target.strip_prefix("pid:") else { return Ok(None) };
    let number: u32 = number.parse().map_err(|_| NoProcess(target.to_owned()))?;
    Ok(Some(format!("/proc/{number}/ns/net").into()))
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One or more namespaces could not be opened, made or removed.
    #[error("{}", lines(.0))]
    Namespaces(Vec<netns::Error>),
    /// `pid:` is not followed by a number.
    #[error(transparent)]
    Process(#[from] NoProcess),
    /// The mounts of the command to run could not be set up.
    #[error("cannot {doing} for the command: {source}{}", hint(source.kind() == io::ErrorKind::PermissionDenied))]
    Mounts {
        /// What was being done.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The output could not be written.
    #[error("cannot write to stdout: {0}")]
    Stdout(#[source] io::Error),
}

impl From<netns::Error> for Error {
    fn from(error: netns::Error) -> Self {
        Self::Namespaces(vec![error])
    }
}

impl Netns {
    /// Does what was asked for. With several names, a failure keeps none of the others back.
    ///
    /// # Errors
    /// Every name that could not be served, in one error.
    pub fn run(self) -> Result<ExitCode, Error> {
        match self.command {
            Command::Add { names } => each(&names, |name| netns::create(&self.dir, name).map(drop)),
            Command::List { output } => print(&netns::list(&self.dir)?, output),
            Command::Exec { target, command } => run_inside(&self.dir, &target, &command),
            Command::Del { names } => each(&names, |name| delete(&self.dir, name)),
        }
    }
}

fn each(
    names: &[String],
    serve: impl FnMut(&String) -> Result<(), netns::Error>,
) -> Result<ExitCode, Error> {
    let failures: Vec<_> = names.iter().map(serve).filter_map(Result::err).collect();
    if failures.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(Error::Namespaces(failures)) }
}

fn delete(dir: &Path, name: &str) -> Result<(), netns::Error> {
    if !netns::delete(dir, name)? {
        tell(&format!(
            "network namespace {} does not exist; nothing to delete",
            dir.join(name).display()
        ));
    }
    Ok(())
}

fn print(entries: &[Entry], output: Output) -> Result<ExitCode, Error> {
    let text = match output {
        Output::Text => table(entries),
        Output::Json => {
            let entries: Vec<_> = entries.iter().map(as_json).collect();
            format!("{:#}\n", serde_json::Value::from(entries))
        }
    };
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // The reader has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other.map_err(Error::Stdout)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(entry: &Entry) -> serde_json::Value {
    json!({
        "name": entry.name.to_string_lossy(),
        "path": entry.path.to_string_lossy(),
        "inode": entry.inode,
        "namespace": entry.is_namespace(),
    })
}

/// Nothing at all for no entries, as `ip netns list` does.
fn table(entries: &[Entry]) -> String {
    let names = entries.iter().map(|entry| entry.name.to_string_lossy().escape_debug().to_string());
    let names: Vec<_> = names.collect();
    let Some(longest) = names.iter().map(|name| name.chars().count()).max() else {
        return String::new();
    };
    let width = longest.max("NAME".len());
    let mut text = format!("{:width$}  {:10}  NAMESPACE\n", "NAME", "INODE");
    for (name, entry) in names.iter().zip(entries) {
        let (inode, verdict) = match entry.inode {
            Some(inode) => (inode.to_string(), "yes"),
            None => ("-".to_owned(), "no"),
        };
        text.push_str(&format!("{name:width$}  {inode:10}  {verdict}\n"));
    }
    text
}

/// Says something on stderr, if anybody listens.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "causeway: {text}");
}

fn lines(errors: &[netns::Error]) -> String {
    let lines: Vec<_> =
        errors.iter().map(|error| format!("{error}{}", hint(error.is_denied()))).collect();
    lines.join("\ncauseway: ")
}

/// What to do about a refusal.
fn hint(is_denied: bool) -> &'static str {
    if is_denied { "; this needs root, with CAP_SYS_ADMIN" } else { "" }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        netns: Netns,
    }

    fn parse(line: &str) -> Netns {
        Line::try_parse_from(line.split(' ')).unwrap().netns
    }

    #[test]
    fn what_follows_the_command_belongs_to_the_command() {
        let netns = parse("netns exec --dir /a blue ip -j --dir /b link --help");
        assert_eq!(netns.dir, Path::new("/a"));
        let Command::Exec { target, command } = netns.command else { panic!("{netns:?}") };
        assert_eq!(target, "blue");
        assert_eq!(command, ["ip", "-j", "--dir", "/b", "link", "--help"]);
    }

    #[test]
    fn the_directory_may_stand_on_either_side_of_the_verb() {
        assert_eq!(parse("netns --dir /a list").dir, Path::new("/a"));
        assert_eq!(parse("netns list --dir /a").dir, Path::new("/a"));
        assert_eq!(parse("netns list").dir, Path::new("/run/netns"));
    }

    #[test]
    fn names_and_commands_are_required() {
        for line in ["netns", "netns add", "netns del", "netns exec", "netns exec blue"] {
            assert!(Line::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn a_table_lines_up_and_says_what_is_broken() {
        let entry = |name: &str, inode| Entry {
            name: name.into(),
            path: Path::new("/d").join(name),
            inode,
        };
        assert_eq!(table(&[]), "");
        let text = table(&[entry("a", Some(4026532001)), entry("broken one", None)]);
        assert_eq!(
            text,
            "NAME        INODE       NAMESPACE\n\
             a           4026532001  yes\n\
             broken one  -           no\n"
        );
        assert_eq!(
            as_json(&entry("a", Some(7))),
            json!({"name": "a", "path": "/d/a", "inode": 7, "namespace": true})
        );
        assert_eq!(as_json(&entry("b", None))["inode"], json!(null));
    }

    #[test]
    fn every_failure_is_told_and_want_of_privilege_named() {
        let denied = netns::Error::Io {
            path: "/run/netns".into(),
            doing: "lock",
            source: io::ErrorKind::PermissionDenied.into(),
        };
        let text =
            Error::Namespaces(vec![denied, netns::Error::Exists { path: "/x".into() }]).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].contains("needs root"), "{text}");
        assert!(lines[1].starts_with("causeway: ") && !lines[1].contains("root"), "{text}");
    }
}
