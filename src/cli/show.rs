//! `causeway show`: everything one attachment owns, each part looked at.

mod verifying;

use crate::exit_code::ExitCode;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::attach::conf_dir;
use super::error::Error;
use super::list::{self, or_dash};
use super::output::{self, BAD, Format, GOOD, STRONG, WARNING, styled, tell};
use crate::inventory::{Attachment, Inventory, Life, Places};

use verifying::{Part, Verdict, parts_of};

/// Show what an attachment owns, and whether it is as it should be
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  causeway show 0f3c                a container, by the beginning of its ID
  causeway show default/web-0       a pod
  causeway show 0f3c --output json

Every part is looked at as CHECK would. The exit code is 1 if anything is wrong.")]
pub struct Show {
    /// The container ID or how it begins, the pod's namespace/name or name, or the name of its network
    /// namespace
    #[arg(value_name = "ID")]
    id: String,
    /// Only the attachment to one network
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl Show {
    /// Prints it.
    ///
    /// # Errors
    /// [`Error`]: the node cannot be read, or the ID means nothing or several containers.
    pub fn run(self) -> Result<ExitCode, Error> {
        let inventory = Inventory::of_node(&Places::of_node(Some(&conf_dir()?))?)?;
        let attachments = self.find(&inventory)?;
        let mut is_good = true;
        let mut in_json = Vec::new();
        for (place, one) in attachments.iter().enumerate() {
            let parts = parts_of(one)?;
            is_good &= !parts.iter().any(|part| matches!(part.verdict, Verdict::Wrong(_)));
            match self.output {
                Format::Json => in_json.push(json_of(one, &parts)),
                Format::Text => {
                    let space = if place == 0 { "" } else { "\n" };
                    output::print(&format!("{space}{}", text_of(one, &parts)))?;
                }
            }
        }
        if self.output == Format::Json {
            output::print_json(&Value::from(in_json))?;
        }
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn find<'i>(&self, inventory: &'i Inventory) -> Result<Vec<&'i Attachment>, Error> {
        let mut found = inventory.called(&self.id);
        found.retain(|one| self.network.as_ref().is_none_or(|name| one.owner.network == *name));
        let ids: BTreeSet<&str> = found.iter().map(|one| one.owner.container_id.as_str()).collect();
        match ids.len() {
            1 => Ok(found),
            0 => {
                for problem in &inventory.problems {
                    tell(problem);
                }
                Err(Error::Unknown(self.id.clone()))
            }
            _ if self.id.contains('/') => Ok(found),
            _ => {
                let ids = ids.into_iter().map(str::to_owned).collect();
                Err(Error::Ambiguous { id: self.id.clone(), ids })
            }
        }
    }
}

fn text_of(one: &Attachment, parts: &[Part]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}  {}", styled(STRONG, &one.owner.text()), list::state(one.state));
    let netns = one.netns.as_ref().map(|path| {
        let path = path.display();
        match one.life {
            Life::Alive(inode) => format!("{path} (net:[{inode}])"),
            Life::Gone => format!("{path} (gone)"),
            Life::Unknown => format!("{path} (cannot be looked at)"),
        }
    });
    let link = one.host_link.as_ref().map(|link| match link.index {
        Some(index) => format!("{} (index {index})", link.name),
        None => format!("{} (gone)", link.name),
    });
    let plugins = one.plugins().join(", ");
    let result = one.cached.as_ref().map(|cached| cached.path.display().to_string());
    for (name, value) in [
        ("container", Some(one.owner.container_id.clone())),
        ("pod", one.pod.clone()),
        ("namespace", netns),
        ("addresses", Some(list::addresses(one))),
        ("host link", link),
        ("attached", one.since.map(|since| format!("{} ago", output::age(since)))),
        ("recorded by", Some(plugins)),
        ("result", result),
    ] {
        let _ = writeln!(text, "  {name:12} {}", or_dash(value.as_deref()));
    }
    for part in parts {
        let mark = match &part.verdict {
            Verdict::Good => styled(GOOD, "✓"),
            Verdict::Wrong(_) => styled(BAD, "✗"),
            Verdict::NotSeen(_) => styled(WARNING, "?"),
        };
        let _ = writeln!(text, "  {mark} {}", part.what);
        match &part.verdict {
            Verdict::Good => {}
            Verdict::Wrong(findings) => {
                for finding in findings {
                    let _ = writeln!(text, "      {}", styled(BAD, finding));
                }
            }
            Verdict::NotSeen(why) => {
                let _ = writeln!(text, "      {}", styled(WARNING, why));
            }
        }
    }
    text
}

fn json_of(one: &Attachment, parts: &[Part]) -> Value {
    let parts: Vec<_> = parts
        .iter()
        .map(|part| {
            let (verdict, findings) = match &part.verdict {
                Verdict::Good => ("good", Vec::new()),
                Verdict::Wrong(findings) => ("wrong", findings.clone()),
                Verdict::NotSeen(why) => ("notSeen", vec![why.clone()]),
            };
            json!({
                "what": part.what,
                "plugin": part.plugin,
                "verdict": verdict,
                "findings": findings,
                "resource": part.resource,
            })
        })
        .collect();
    let mut value = list::in_json(one);
    if let Some(map) = value.as_object_mut() {
        map.insert("parts".to_owned(), Value::from(parts));
    }
    value
}
