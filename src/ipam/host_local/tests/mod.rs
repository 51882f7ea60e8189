//! Leases on a real file system, in a folder of their own for each test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod collecting;
mod concurrent;
mod damage;
mod leasing;
mod model;
mod reference;
mod requests;
mod steps;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;

/// A folder that goes when the test ends; `net` below it is the network's directory.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("causeway-host-local-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn net(&self) -> PathBuf {
        self.0.join("net")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.net().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.net()).unwrap();
        fs::write(self.file(name), text).unwrap();
    }

    /// `ipam` with this folder as `dataDir`.
    fn ipam(&self, mut ipam: Value) -> Value {
        ipam["type"] = "host-local".into();
        ipam["dataDir"] = self.0.to_str().unwrap().into();
        ipam
    }

    fn source(&self, ipam: Value) -> HostLocal {
        self.requesting(ipam, &[])
    }

    fn requesting(&self, ipam: Value, requested: &[&str]) -> HostLocal {
        HostLocal::configure(Settings {
            network: "net",
            version: Version::CURRENT,
            ipam: &self.ipam(ipam),
            ip_ranges: None,
            requested: requested.iter().map(|ip| ip.parse().unwrap()).collect(),
        })
        .unwrap()
    }

    /// Every file and what is in it; for a symbolic link, its target after an arrow.
    fn files(&self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.net()).into_iter().flatten();
        entries
            .map(|entry| {
                let entry = entry.unwrap();
                let text = match fs::read_link(entry.path()) {
                    Ok(target) => format!("-> {}", target.display()),
                    Err(_) => {
                        String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned()
                    }
                };
                (entry.file_name().into_string().unwrap(), text)
            })
            .collect()
    }

    /// The leases: address and text.
    fn leases(&self) -> BTreeMap<IpAddr, String> {
        let files = self.files().into_iter();
        files.filter_map(|(name, text)| Some((name.parse().ok()?, text))).collect()
    }

    fn nanoseconds(&self) -> i64 {
        fs::metadata(self.net()).unwrap().mtime_nsec()
    }

    fn is_marked(&self) -> bool {
        (314_159_260..314_159_264).contains(&self.nanoseconds())
    }

    /// Panics unless the directory is marked and the index names every lease and nothing else.
    #[track_caller]
    fn assert_sound(&self) {
        if !self.net().exists() {
            return;
        }
        assert!(self.is_marked(), "the mark is missing: {:#?}", self.files());
        let files = self.files();
        let entries: BTreeMap<IpAddr, &String> = files
            .iter()
            .filter(|(name, _)| name.starts_with(".causeway:"))
            .map(|(name, text)| (text.strip_prefix("-> ").unwrap().parse().unwrap(), name))
            .collect();
        let count = files.keys().filter(|name| name.starts_with(".causeway:")).count();
        assert_eq!(count, entries.len(), "two entries for one lease: {files:#?}");
        let leases = self.leases();
        for (address, text) in &leases {
            let parts: Vec<&str> = text.trim().split("\r\n").collect();
            let (id, ifname) = (parts[0], parts.get(1).unwrap_or(&""));
            let entry = entries.get(address);
            let entry = entry.unwrap_or_else(|| panic!("{address} is in no index: {files:#?}"));
            if id.len() < 200 {
                let base = format!(".causeway:{id}:{ifname}:");
                assert!(entry.starts_with(&base), "{address} of {text:?} is at {entry}");
            }
        }
        assert_eq!(entries.len(), leases.len(), "stale entries: {files:#?}");
        assert!(!files.contains_key(".causeway-new"), "a staged file stays: {files:#?}");
    }
}

impl Folder {
    /// Panics unless there are bitmaps and each of them is true.
    #[track_caller]
    fn assert_bitmaps_true(&self) {
        let leases = self.leases();
        let mut bitmaps = 0;
        for name in self.files().into_keys() {
            let Some(ends) = name.strip_prefix(".causeway-used:") else { continue };
            let (first, last) = ends.split_once('-').unwrap();
            let ends = [first, last].map(|end| range::number(end.parse().unwrap()));
            let bytes = fs::read(self.file(&name)).unwrap();
            for number in ends[0]..=ends[1] {
                let bit = usize::try_from(number - ends[0]).unwrap();
                let address = IpAddr::from(std::net::Ipv4Addr::from(number as u32));
                let is_set = bytes[bit / 8] & (1 << (bit % 8)) != 0;
                assert_eq!(is_set, leases.contains_key(&address), "{address} in {name}");
            }
            bitmaps += 1;
        }
        assert!(bitmaps > 0, "there is no bitmap");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn holder(container_id: &str) -> Holder<'_> {
    Holder { container_id, ifname: "eth0" }
}

fn lease(source: &HostLocal, container_id: &str) -> Result<Vec<String>, Error> {
    let leased = source.lease(holder(container_id), &mut |_| false)?;
    Ok(leased.ips.iter().map(|ip| ip.address.ip().to_string()).collect())
}

/// The one address of a lease from one set.
#[track_caller]
fn lease_one(source: &HostLocal, container_id: &str) -> String {
    let mut leased = lease(source, container_id).unwrap();
    assert_eq!(leased.len(), 1);
    leased.remove(0)
}

fn release(source: &HostLocal, container_id: &str) -> Vec<String> {
    texts(&source.release(holder(container_id)).unwrap())
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

/// Numbers that look random and are the same every time (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize % bound
    }
}
