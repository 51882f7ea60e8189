//! `causeway doctor`: what is wrong with this node's network, why it matters, and what mends it.

use crate::exit_code::ExitCode;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::{self, BAD, Format, GOOD, WARNING, styled};
use crate::diagnosis::mending::{self, Deed};
use crate::diagnosis::{self, Finding, Places, Severity};

/// Say what is wrong with this node's network, why, and which command mends it
///
/// Looks at forwarding, rules, links, addresses, leases, namespaces, records, plugins and
/// configurations, and at everything that each attachment owns. Changes nothing without --fix.
/// The exit code is 0 when nothing is wrong (notes do not count), else 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  causeway doctor
  causeway doctor --fix
  causeway doctor --output json | jq '.[].check'")]
pub struct Doctor {
    /// Do what is safe: set back what was changed, put back what is missing, remove what nobody owns.
    /// Firewalls of others are not touched.
    #[arg(long)]
    fix: bool,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    where_: Where,
}

/// Where configurations and plugins are.
#[derive(Debug, Args)]
pub struct Where {
    /// Where the network configurations are [default: $NETCONFPATH, or /etc/cni/net.d]
    #[arg(long, value_name = "DIR")]
    conf_dir: Option<PathBuf>,
    /// Where the plugins are; may be given several times [default: $CNI_PATH, or /opt/cni/bin]
    #[arg(long, value_name = "DIR")]
    bin_dir: Vec<PathBuf>,
}

impl Where {
    /// The places of this node.
    ///
    /// # Errors
    /// When the folder of configurations cannot be read.
    pub fn places(self) -> Result<Places, crate::inventory::Error> {
        let of_variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let conf_dir = self.conf_dir.or_else(|| of_variable("NETCONFPATH").map(PathBuf::from));
        let mut bin_dirs = self.bin_dir;
        if bin_dirs.is_empty() {
            let path = of_variable("CNI_PATH").unwrap_or_default();
            bin_dirs.extend(std::env::split_paths(&path).filter(|folder| folder.is_absolute()));
        }
        Places::of_node(conf_dir.as_deref(), bin_dirs)
    }
}

/// Why the node could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Configurations, records or leases cannot be read.
    #[error(transparent)]
    Inventory(#[from] crate::inventory::Error),
    /// The kernel cannot be spoken to.
    #[error(transparent)]
    Engine(#[from] crate::engine::Error),
    /// Nothing is known of a container.
    #[error("no attachment is of a container {0:?}; `causeway list` shows all")]
    Unknown(String),
    /// The output could not be written.
    #[error("cannot write to stdout: {0}")]
    Stdout(#[source] io::Error),
}

impl Doctor {
    /// Looks, and mends if that is asked for.
    ///
    /// # Errors
    /// When the node cannot be looked at.
    pub fn run(self) -> Result<ExitCode, Error> {
        let places = self.where_.places()?;
        let found = diagnosis::diagnose(&diagnosis::read(&places)?);
        let mut text = String::new();
        if !self.fix {
            match self.output {
                Format::Text => text = for_people(&found),
                Format::Json => text = as_json(&found, &[]),
            }
            output::print(&text).map_err(Error::Stdout)?;
            return Ok(exit_code(&found));
        }
        if self.output == Format::Text {
            output::print(&for_people(&found)).map_err(Error::Stdout)?;
        }
        let deeds = mending::mend(&places, &found);
        let left = diagnosis::diagnose(&diagnosis::read(&places)?);
        match self.output {
            Format::Text if deeds.is_empty() && is_healthy(&found) => {}
            Format::Text if deeds.is_empty() => {
                text.push_str("\nNothing of this is safe to do unasked.\n");
            }
            Format::Text => {
                text.push_str("\nDone:\n");
                text.push_str(&done(&deeds));
                if is_healthy(&left) {
                    text.push_str("\nNow nothing is wrong.\n");
                } else {
                    text.push_str("\nStill wrong:\n\n");
                    text.push_str(&for_people(&left));
                }
            }
            Format::Json => text = as_json(&left, &deeds),
        }
        output::print(&text).map_err(Error::Stdout)?;
        Ok(exit_code(&left))
    }
}

fn is_healthy(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.severity == Severity::Note)
}

fn exit_code(findings: &[Finding]) -> ExitCode {
    if is_healthy(findings) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn for_people(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.severity {
            Severity::Error => styled(BAD, "✗"),
            Severity::Warning => styled(WARNING, "!"),
            Severity::Note => "·".to_owned(),
        };
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{mark} {} [{}]", finding.what, finding.check);
        let _ = writeln!(text, "    why: {}", finding.why);
        if let Some(command) = &finding.mend {
            let _ = writeln!(text, "    do:  {command}");
        }
    }
    let count = |severity| findings.iter().filter(|one| one.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if errors + warnings == 0 {
        text.push_str(&format!("{} Nothing is wrong.\n", styled(GOOD, "✓")));
        return text;
    }
    let number =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let fixable = findings.iter().filter(|finding| finding.fix.is_some()).count();
    let _ = write!(text, "{}, {}.", number(errors, "error"), number(warnings, "warning"));
    if fixable > 0 {
        let _ = write!(text, " `causeway doctor --fix` mends {fixable} of them.");
    }
    text.push('\n');
    text
}

fn as_json(findings: &[Finding], deeds: &[Deed]) -> String {
    let is_healthy = is_healthy(findings);
    let findings: Vec<_> = findings
        .iter()
        .map(|finding| {
            let mut value = json!(finding);
            if let Some(object) = value.as_object_mut() {
                object.insert("fixable".to_owned(), finding.fix.is_some().into());
            }
            value
        })
        .collect();
    let value = json!({"healthy": is_healthy, "findings": findings, "done": deeds_json(deeds)});
    format!("{value:#}\n")
}

/// Deeds as a list for people.
pub fn done(deeds: &[Deed]) -> String {
    let lines = deeds.iter().map(|deed| match &deed.failure {
        None => format!("{} {}\n", styled(GOOD, "✓"), deed.what),
        Some(failure) => format!("{} {}: {failure}\n", styled(BAD, "✗"), deed.what),
    });
    lines.collect()
}

/// Deeds as a list of objects.
pub fn deeds_json(deeds: &[Deed]) -> serde_json::Value {
    let deeds = deeds.iter().map(|deed| json!({"what": deed.what, "failure": deed.failure}));
    deeds.collect()
}
