//! Configurations and the plugins they name.

use std::collections::BTreeMap;

use super::{and_more, quoted};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::{Finding, Severity};
use crate::plugins;

pub(in crate::diagnosis) fn check(facts: &Facts, findings: &mut Vec<Finding>) {
    for (path, problem) in &facts.broken_configurations {
        let why = format!(
            "libcni stops at it: no network after it is found, by the order of their names, and the \
             node may be not ready. See: causeway lint {}",
            quoted(&path.display().to_string())
        );
        let what = format!("a configuration cannot be loaded: {problem}");
        findings.push(Finding::new("configuration", Severity::Error, what, why));
    }
    for (path, problems) in &facts.faulty_configurations {
        let first = problems.first().map(String::as_str).unwrap_or_default();
        let path = path.display().to_string();
        let what = format!("{path}: {}", and_more(first, problems.len()));
        let why =
            format!("Attachments to it fail, or harm others. See: causeway lint {}", quoted(&path));
        findings.push(Finding::new("configuration", Severity::Error, what, why));
    }
    programs(facts, findings);
}

fn programs(facts: &Facts, findings: &mut Vec<Finding>) {
    let mut missing: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for configuration in &facts.configurations {
        for name in &configuration.types {
            if !facts.programs.found.iter().any(|one| one.name == *name && one.executable) {
                missing.entry(name).or_default().push(configuration.path.display().to_string());
            }
        }
    }
    let directories = facts.programs.directories.iter().map(|path| path.display().to_string());
    let directories: Vec<String> = directories.collect();
    let own = facts.programs.found.iter().find(|one| one.name == plugins::SELF && one.executable);
    for (name, paths) in missing {
        let whose = and_more(paths.first().map(String::as_str).unwrap_or_default(), paths.len());
        let there = facts.programs.found.iter().find(|one| one.name == name);
        let problem = match there {
            Some(one) if one.dead_link.is_some() => "leads nowhere",
            Some(_) => "cannot be executed",
            None => "is missing",
        };
        let what =
            format!("plugin {name} {problem} in {}; {whose} needs it", directories.join(", "));
        let why = "Every ADD and DEL of that network fails.";
        let finding = Finding::new("program", Severity::Error, what, why);
        let is_ours = plugins::find(name).is_some();
        findings.push(match (there, own) {
            (Some(one), _) if one.dead_link.is_none() => {
                let path = quoted(&one.path.display().to_string());
                finding.mended_by(format!("chmod 755 {path}"))
            }
            (_, Some(own)) if is_ours => {
                let place = own.path.with_file_name(name);
                let place = quoted(&place.display().to_string());
                finding.mended_by(format!("ln -sfn {} {place}", plugins::SELF))
            }
            _ => finding,
        });
    }
    for program in &facts.programs.found {
        let is_needed = facts
            .configurations
            .iter()
            .any(|configuration| configuration.types.contains(&program.name));
        if let (Some(to), false) = (&program.dead_link, is_needed) {
            let what =
                format!("{} leads to {}, which is gone", program.path.display(), to.display());
            let why = "No configuration names it now; a new one would fail.";
            let command = format!("rm {}", quoted(&program.path.display().to_string()));
            let finding = Finding::new("program", Severity::Note, what, why);
            findings.push(finding.mended_by(command));
        }
    }
}
