//! The file in which an operator says which sysctls networks may set.

use std::fs;
use std::io;
use std::path::Path;

use regex_lite::Regex;

use super::settings::Wanted;
use crate::engine;
use crate::plugins::Error;

/// The file, that of the reference plugin. Without it every sysctl below `net` may be set.
const FILE: &str = "/etc/cni/tuning/allowlist.conf";

/// Checks that every sysctl, as its name is written, has in it what a line of the file describes: a
/// regular expression, which may match any part of the name.
///
/// # Errors
/// [`Error::Config`] for one that is not allowed and for a line that is no regular expression;
/// [`engine::Error::State`] when the file is there and cannot be read.
pub fn check(sysctls: &[Wanted]) -> Result<(), Error> {
    if sysctls.is_empty() {
        return Ok(());
    }
    match fs::read_to_string(FILE) {
        Ok(text) => allows(&text, sysctls),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::Engine(engine::Error::State {
            path: Path::new(FILE).to_owned(),
            doing: "read the list of allowed sysctls",
            source,
        })),
    }
}

fn allows(text: &str, sysctls: &[Wanted]) -> Result<(), Error> {
    let lines = || {
        let lines = text.lines().map(str::trim).enumerate();
        lines.filter(|(_, line)| !line.is_empty())
    };
    // A line is looked at only if none before it allows the name, as the reference plugin does it.
    let mut expressions: Vec<Regex> = Vec::new();
    for wanted in sysctls {
        let name = wanted.key.text();
        let mut is_allowed = expressions.iter().any(|one| one.is_match(name));
        for (number, line) in lines().skip(expressions.len()) {
            if is_allowed {
                break;
            }
            let expression = Regex::new(line).map_err(|error| {
                Error::config(
                    wanted.section,
                    format!("line {} of {FILE} is no regular expression: {error}", number + 1),
                )
            })?;
            is_allowed = expression.is_match(name);
            expressions.push(expression);
        }
        if !is_allowed {
            return Err(Error::config(
                format!("{}[\"{name}\"]", wanted.section),
                format!("is not allowed: no line of {FILE} matches; add one, or remove the sysctl"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::super::key::SysctlKey;
    use super::*;

    fn verdict(list: &str, names: &[&str]) -> Result<(), String> {
        let wanted: Vec<_> = names
            .iter()
            .map(|name| Wanted {
                section: "sysctl",
                key: SysctlKey::parse(name).unwrap(),
                value: "1".into(),
            })
            .collect();
        allows(list, &wanted).map_err(|error| error.to_string())
    }

    #[test]
    fn every_name_needs_a_line() {
        let list = "\n  ^net\\.core\\.  \r\n^net.ipv4.conf.IFNAME.[a-z_]*$\n";
        verdict(list, &["net.core.somaxconn", "net.ipv4.conf.IFNAME.arp_filter"]).unwrap();
        // The name is compared as it is written.
        let error = verdict(list, &["net.core.somaxconn", "net/core/somaxconn"]).unwrap_err();
        assert!(error.contains("sysctl[\"net/core/somaxconn\"]"), "{error}");
        let error = verdict(list, &["net.ipv4.conf.IFNAME.arp_filter2"]).unwrap_err();
        assert!(error.contains("not allowed"), "{error}");
        // Not anchored.
        verdict("somax", &["net.core.somaxconn"]).unwrap();
        // An empty file allows nothing.
        assert!(verdict("\n \n", &["net.core.somaxconn"]).is_err());
    }

    #[test]
    fn a_bad_line_is_named_once_it_is_needed() {
        let list = "somaxconn\n\n*bad\n";
        verdict(list, &["net.core.somaxconn"]).unwrap();
        let error = verdict(list, &["net.core.somaxconn", "net.ipv4.ip_forward"]).unwrap_err();
        assert!(error.contains("line 3"), "{error}");
    }
}
