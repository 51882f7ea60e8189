//! A namespace that has lost its path but not its processes.

use std::fs;
use std::path::Path;

use super::Namespace;

/// The network namespace with this inode number, if a process is in it. Asks every process that
/// /proc shows, so only for when nothing else leads there.
///
/// After a namespace has ended another one may get its number; the caller must look whether it is the
/// one that was meant.
pub fn find(inode: u64) -> Option<Namespace> {
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let name = entry.file_name();
        let is_process = name.to_str().is_some_and(|name| name.parse::<u32>().is_ok());
        if !is_process {
            continue;
        }
        // A link such as net:[4026531840], which can be read without opening the namespace.
        let path = Path::new("/proc").join(&name).join("ns/net");
        let is_it = fs::read_link(&path)
            .is_ok_and(|to| to.to_str() == Some(format!("net:[{inode}]").as_str()));
        if is_it && let Ok(namespace) = Namespace::open(&path) {
            return Some(namespace);
        }
    }
    None
}
