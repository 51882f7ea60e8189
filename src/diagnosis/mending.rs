//! Doing what is safe about findings.

mod leftovers;

use std::collections::HashSet;
use std::path::Path;

use super::{Finding, Fix, Places};
use crate::engine::journal::{self, Record};
use crate::engine::repair;
use crate::kernel::sysctl;

/// One thing that was done, or could not be.
#[derive(Debug)]
pub struct Deed {
    /// What, as an infinitive.
    pub what: String,
    /// Why it could not be done.
    pub failure: Option<String>,
}

/// Does what is safe about `findings`, each thing once: first what is left over goes, then settings
/// are set, then what is missing is put back, for which the first may have made room.
pub fn mend(places: &Places, findings: &[Finding]) -> Vec<Deed> {
    let fixes = || findings.iter().filter_map(|finding| finding.fix.as_ref());
    let mut deeds: Vec<Deed> = Vec::new();
    let leftovers = fixes().filter_map(|fix| match fix {
        Fix::Remove(leftover) => Some(leftover),
        _ => None,
    });
    deeds.extend(leftovers::remove(places, &leftovers.collect::<Vec<_>>()));
    for fix in fixes() {
        if let Fix::Sysctl { name, value } = fix {
            let done = sysctl::ensure(name, value);
            deeds.push(Deed {
                what: format!("set {} to {value}", name.replace('/', ".")),
                failure: done.err().map(|error| error.to_string()),
            });
        }
    }
    if fixes().any(|fix| matches!(fix, Fix::Repair)) {
        deeds.extend(put_back(places, &|_| true));
    }
    deeds
}

/// Puts back what the recorded attachments lack that `wanted` is true of.
pub fn put_back(places: &Places, wanted: &dyn Fn(&Record) -> bool) -> Vec<Deed> {
    let failed = |what: String, error: String| Deed { what, failure: Some(error) };
    let mut deeds: Vec<Deed> = Vec::new();
    let mut records: Vec<(&Path, Record)> = Vec::new();
    for state in &places.inventory.state {
        match journal::all(state) {
            Ok((found, _)) => records.extend(found.into_iter().map(|one| (state.as_path(), one))),
            Err(error) => deeds.push(failed("read the records".into(), error.to_string())),
        }
    }
    let mut told = HashSet::new();
    for (state, record) in records.iter().filter(|(_, record)| wanted(record)) {
        let owner = record.owner.text();
        match repair::put_back(Some(state), record) {
            Ok(outcomes) => {
                for outcome in outcomes.into_iter().flatten() {
                    let what = format!("{} ({owner})", outcome.resource);
                    let left = outcome
                        .failure
                        .or_else(|| (!outcome.left.is_empty()).then(|| outcome.left.join("; ")));
                    if told.insert(what.clone()) {
                        deeds.push(Deed { what, failure: left });
                    }
                }
            }
            Err(error) => deeds.push(failed(format!("repair {owner}"), error.to_string())),
        }
    }
    deeds
}
