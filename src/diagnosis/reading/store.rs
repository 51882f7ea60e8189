//! Files: directories and their modes, configurations, plugins, leases, kept namespaces.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::Places;
use crate::diagnosis::facts::{Configuration, Directory, Facts, Lease, Program};
use crate::engine::journal;
use crate::inventory::Inventory;
use crate::ipam::host_local::HeldBy;
use crate::kernel::netns;
use crate::libcni::ConfDir;
use crate::lint::{self, Severity, Surroundings};

/// The directories that are written into, and the plugins.
pub(super) fn directories(places: &Places, facts: &mut Facts) {
    let run = Path::new("/run");
    let kept = places.inventory.leases.iter().chain(&places.inventory.state);
    let kept = kept.map(PathBuf::as_path);
    for path in [run, places.namespaces.as_path()].into_iter().chain(kept) {
        let about = fs::metadata(path).ok();
        facts.directories.push(Directory {
            path: path.to_owned(),
            mode: about.as_ref().map(|about| about.permissions().mode() & 0o7777),
            uid: about.as_ref().map_or(0, MetadataExt::uid),
            is_directory: about.as_ref().is_some_and(fs::Metadata::is_dir),
            read_only: statvfs(path).is_ok_and(|about| about.flags().contains(FsFlags::ST_RDONLY)),
        });
    }
    facts.programs.directories.clone_from(&places.programs);
    for directory in &places.programs {
        let mut entries: Vec<_> = fs::read_dir(directory).into_iter().flatten().flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let about = fs::metadata(&path);
            let dead_link = about.is_err().then(|| fs::read_link(&path).ok()).flatten();
            let executable =
                about.is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0);
            let name = entry.file_name().to_string_lossy().into_owned();
            facts.programs.found.push(Program { path, name, executable, dead_link });
        }
    }
}

/// The configurations, as a runtime loads them.
pub(super) fn configurations(places: &Places, facts: &mut Facts) {
    let loaded = match ConfDir::load(&places.configurations) {
        Ok(loaded) => loaded,
        Err(error) => return facts.unread.push(error.to_string()),
    };
    for list in loaded.lists {
        let mut types = Vec::new();
        for plugin in list.all_plugins() {
            let kind = plugin.get("type").and_then(|kind| kind.as_str());
            let source = plugin.get("ipam").and_then(|ipam| ipam.get("type")?.as_str());
            types.extend(kind.into_iter().chain(source).map(str::to_owned));
        }
        facts.configurations.push(Configuration { path: list.path, network: list.name, types });
    }
    let broken = loaded.broken.iter();
    facts
        .broken_configurations
        .extend(broken.map(|error| (error.path().to_owned(), error.to_string())));
    faults(places, facts);
}

/// What is wrong with configurations that can be loaded, seen against each other and the node.
fn faults(places: &Places, facts: &mut Facts) {
    let surroundings = Surroundings { programs: None, node: lint::Node::read().ok() };
    // A folder that is not there, or cannot be read, is told by who loads it.
    let Ok(report) = lint::check(std::slice::from_ref(&places.configurations), &surroundings)
    else {
        return;
    };
    for finding in report.findings.iter().filter(|one| one.severity == Severity::Error) {
        let Some(document) = report.documents.get(finding.place.document) else { continue };
        let path = &document.path;
        if facts.broken_configurations.iter().any(|(broken, _)| broken == path) {
            continue;
        }
        match facts.faulty_configurations.iter_mut().find(|(known, _)| known == path) {
            Some((_, problems)) => problems.push(finding.message.clone()),
            None => {
                facts.faulty_configurations.push((path.clone(), vec![finding.message.clone()]));
            }
        }
    }
}

/// Names of namespaces that no namespace is behind.
pub(super) fn namespaces(places: &Places, facts: &mut Facts) {
    match netns::list(&places.namespaces) {
        Ok(entries) => facts.stale_namespaces.extend(
            entries.into_iter().filter(|entry| !entry.is_namespace()).map(|entry| entry.path),
        ),
        Err(error) => facts.unread.push(error.to_string()),
    }
}

/// Files among the records that are none.
pub(super) fn damaged(places: &Places, facts: &mut Facts) {
    for state in &places.inventory.state {
        match journal::all(state) {
            Ok((_, strays)) => facts.damaged.extend(strays),
            Err(error) => facts.unread.push(error.to_string()),
        }
    }
}

/// What the inventory could not read, less what is told elsewhere.
pub(super) fn problems(problems: &[String], facts: &mut Facts) {
    for problem in problems {
        let is_told = facts.broken_configurations.iter().any(|(_, told)| told == problem)
            || facts.unread.contains(problem)
            || facts.damaged.iter().any(|(path, _)| problem.starts_with(&*path.to_string_lossy()));
        if !is_told {
            facts.unread.push(problem.clone());
        }
    }
}

/// The leases of host-local, of the reference plugin's, too.
pub(super) fn leases(inventory: &Inventory, facts: &mut Facts) {
    for folder in &inventory.leases {
        for lease in &folder.leases {
            let (container_id, ifname) = match &lease.stored.held_by {
                HeldBy::Holder { container_id, ifname } => (container_id.clone(), ifname.clone()),
                HeldBy::Container(container_id) => (container_id.clone(), String::new()),
                HeldBy::Nobody | HeldBy::Garbage => Default::default(),
            };
            facts.leases.push(Lease {
                network: folder.network.clone(),
                folder: folder.path.clone(),
                address: lease.stored.address,
                container_id,
                ifname,
            });
        }
    }
}
