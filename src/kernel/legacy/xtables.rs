//! iptables-legacy: rules that live outside nf_tables and that only its own programs can change.
//!
//! The kernel says whether a table is in use at all; where none is, no program is run.

use std::io::{ErrorKind, Write};
use std::process::{Output, Stdio};

use super::Error;
use crate::kernel::program;

/// The table for rewriting addresses.
const NAT: &str = "nat";
/// How often a removal is tried when others change the table at the same time.
const ATTEMPTS: usize = 3;
/// Where the programs are when PATH leaves the administrators' directories out.
const ELSEWHERE: &str = "/usr/sbin";

/// iptables-legacy of one address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Xtables {
    /// The file of procfs that lists the tables in use in the reading thread's namespace.
    names: &'static str,
    /// "iptables" or "ip6tables".
    program: &'static str,
}

/// IPv4 and IPv6.
pub const FAMILIES: [Xtables; 2] = [
    Xtables { names: "/proc/thread-self/net/ip_tables_names", program: "iptables" },
    Xtables { names: "/proc/thread-self/net/ip6_tables_names", program: "ip6tables" },
];

impl Xtables {
    /// Whether the nat table is in use in the calling thread's network namespace.
    pub fn has_nat(self) -> bool {
        self.has(NAT)
    }

    /// Whether a table is in use in the calling thread's network namespace.
    pub fn has(self, table: &str) -> bool {
        std::fs::read_to_string(self.names)
            .is_ok_and(|names| names.lines().any(|name| name == table))
    }

    /// Whether a rule of the chain `from` of the nat table jumps to `chain`.
    ///
    /// # Errors
    /// [`Error::Program`].
    pub fn jumps_to(self, from: &str, chain: &str) -> Result<bool, Error> {
        let saved = self.save(NAT)?;
        Ok(jumps(&saved, from, chain).next().is_some())
    }

    /// Removes chains of the nat table, each with the rules of another that jump to it: pairs of
    /// that one and the chain. Says whether any was there; none is fine.
    ///
    /// # Errors
    /// [`Error::Program`].
    pub fn remove_chains(self, chains: &[(&str, &str)]) -> Result<bool, Error> {
        let mut refused = None;
        for _ in 0..ATTEMPTS {
            let saved = self.save(NAT)?;
            let Some(input) = removal(&saved, chains) else { return Ok(false) };
            match self.run("-restore", &["--noflush", "--wait"], &input)? {
                None => return Ok(true),
                Some(output) if output.status.success() => return Ok(true),
                // Another may have removed a rule since it was listed: look again.
                Some(output) => refused = Some(said(&output)),
            }
        }
        let problem = refused.unwrap_or_default();
        Err(Error::Program { program: format!("{}-restore", self.program), problem })
    }

    /// Carries out `input`, keeping everything that it does not name; nothing when the programs are
    /// not installed.
    ///
    /// # Errors
    /// [`Error::Program`], in which case nothing is changed.
    pub fn restore(self, input: &str) -> Result<(), Error> {
        match self.run("-restore", &["--noflush", "--wait"], input)? {
            Some(output) if !output.status.success() => Err(Error::Program {
                program: format!("{}-restore", self.program),
                problem: said(&output),
            }),
            _ => Ok(()),
        }
    }

    /// A table as text; empty when the programs are not installed.
    ///
    /// # Errors
    /// [`Error::Program`].
    pub fn save(self, table: &str) -> Result<String, Error> {
        match self.run("-save", &["-t", table], "")? {
            None => Ok(String::new()),
            Some(output) if output.status.success() => {
                Ok(String::from_utf8_lossy(&output.stdout).into_owned())
            }
            Some(output) => Err(Error::Program {
                program: format!("{}-save", self.program),
                problem: said(&output),
            }),
        }
    }

    /// Runs one of the programs; `None` when it is not installed. Where iptables-legacy has no name
    /// of its own, plain iptables is it.
    fn run(self, action: &str, args: &[&str], input: &str) -> Result<Option<Output>, Error> {
        for variant in ["-legacy", ""] {
            let name = format!("{}{variant}{action}", self.program);
            for path in [name.clone(), format!("{ELSEWHERE}/{name}")] {
                let child = program::run(&path)
                    .args(args)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn();
                let failed = |error: std::io::Error| Error::Program {
                    program: path.clone(),
                    problem: error.to_string(),
                };
                let mut child = match child {
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    child => child.map_err(failed)?,
                };
                if let Some(mut stdin) = child.stdin.take() {
                    // The program says itself what is wrong if it stops reading.
                    let _ = stdin.write_all(input.as_bytes());
                }
                return program::output(child).map(Some).map_err(failed);
            }
        }
        log::warn!(
            "iptables-legacy's tables are in use, but {}-legacy{action} is not installed; \
             rules that the reference plugins may have left there stay",
            self.program
        );
        Ok(None)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// The rules of `from` that jump to `chain`, as iptables-save prints them, without `-A`.
fn jumps<'a>(saved: &'a str, from: &'a str, chain: &'a str) -> impl Iterator<Item = &'a str> {
    saved.lines().filter_map(|line| line.strip_prefix("-A ")).filter(move |rule| {
        rule.strip_prefix(from).is_some_and(|rest| rest.starts_with(' '))
            && rule.strip_suffix(chain).is_some_and(|rule| rule.ends_with(" -j "))
    })
}

/// What iptables-restore is to read so that those of `chains` that are there go; `None` when none
/// is.
pub(crate) fn removal(saved: &str, chains: &[(&str, &str)]) -> Option<String> {
    let declared = |name: &str| {
        let names = saved.lines().filter_map(|line| line.strip_prefix(':')?.split(' ').next());
        names.into_iter().any(|it| it == name)
    };
    let there: Vec<_> = chains.iter().filter(|(_, chain)| declared(chain)).collect();
    if there.is_empty() {
        return None;
    }
    let mut input = String::from("*nat\n");
    for (from, chain) in &there {
        for rule in jumps(saved, from, chain) {
            input.push_str(&format!("-D {rule}\n"));
        }
    }
    for (_, chain) in there {
        input.push_str(&format!("-F {chain}\n-X {chain}\n"));
    }
    input.push_str("COMMIT\n");
    Some(input)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const SAVED: &str = include_str!("../../../testdata/legacy/nat.iptables-save");

    #[test]
    fn removal_names_the_chain_and_its_jumps_only() {
        assert_eq!(
            removal(SAVED, &[("POSTROUTING", "CNI-aaaaaaaaaaaaaaaaaaaaaaaa")]).unwrap(),
            include_str!("../../../testdata/legacy/removal.iptables-restore")
        );
    }

    #[test]
    fn nothing_is_removed_of_what_is_not_there() {
        let none = |saved, chain| assert_eq!(removal(saved, &[("POSTROUTING", chain)]), None);
        none(SAVED, "CNI-cccccccccccccccccccccccc");
        none(SAVED, "CNI-aaaa");
        none("", "CNI-aaaaaaaaaaaaaaaaaaaaaaaa");
        assert_eq!(jumps(SAVED, "POSTROUTING", "CNI-bbbbbbbbbbbbbbbbbbbbbbbb").count(), 1);
        assert_eq!(jumps(SAVED, "POST", "CNI-bbbbbbbbbbbbbbbbbbbbbbbb").count(), 0);
    }
}
