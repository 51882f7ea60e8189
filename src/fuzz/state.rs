//! What is kept on disk: records, leases, backups.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Form, folder, fuzz};
use crate::dhcp::store::Kept;
use crate::engine::journal::Record;
use crate::engine::{Owner, journal};
use crate::ipam::host_local::{self, Error, Holder, HostLocal, Settings};
use crate::kernel::link::Attributes;
use crate::protocol::keys::section;
use crate::protocol::version::Version;

/// A folder of its own, gone with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("causeway-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A record of every kind of resource that a usual list makes.
fn records() -> Vec<Vec<u8>> {
    folder("inventory/state/pods")
}

#[test]
fn records_are_read_or_refused() {
    fuzz("record", Form::Json, records(), |input| {
        let Ok(record) = serde_json::from_slice::<Record>(input) else { return };
        let _ = record.is_abandoned("boot");
        let _ = Owner::parse(&record.owner.text());
        for resource in &record.resources {
            resource.kind().describe();
        }
    });
}

/// In a journal, a mangled record is either read as its own attachment's or passed over.
#[test]
fn a_journal_of_mangled_records_is_listed() {
    let folder = Folder::new("fuzz-journal");
    fuzz("journal", Form::Json, records(), move |input| {
        fs::create_dir_all(folder.0.join("pods")).unwrap();
        fs::write(folder.0.join("pods/whole:eth0:bridge"), input).unwrap();
        let (looked_at, strays) = journal::all(&folder.0).unwrap();
        let listed = journal::Journal::of(Some(&folder.0), "pods").list().unwrap();
        assert_eq!(looked_at, listed);
        assert!(listed.iter().all(|record| record.owner.text() == "pods/whole/eth0"));
        assert!(!strays.is_empty() || listed.len() == 1);
        fs::remove_dir_all(&folder.0).unwrap();
    });
}

/// One file of a folder of leases is anything: leases are made and given back all the same.
#[test]
fn leases_go_on_beside_mangled_files() {
    const NAMES: [&str; 8] = [
        "10.1.0.2",
        "10.1.0.3",
        "last_reserved_ip.0",
        "lock",
        ".causeway-new",
        ".causeway:b:eth0:0",
        ".causeway-used:10.1.0.1-10.1.0.254",
        "10.1.0.02",
    ];
    let corpus = ["a\r\neth0", "0f3c", "10.1.0.2", "\r\n", "b\r\neth0"];
    let corpus = corpus.iter().enumerate().map(|(n, text)| [&[n as u8], text.as_bytes()].concat());
    let folder = Folder::new("fuzz-leases");
    fuzz("lease", Form::Bytes, corpus.collect(), move |input| {
        let (first, contents) = input.split_first().unwrap_or((&0, &[]));
        let ipam = json!({"subnet": "10.1.0.0/24", "dataDir": folder.0});
        let source = HostLocal::configure(Settings {
            network: "net",
            version: Version::CURRENT,
            ipam: &ipam,
            ip_ranges: None,
            requested: Vec::<IpAddr>::new(),
        })
        .unwrap();
        let net = folder.0.join("net");
        fs::create_dir_all(&net).unwrap();
        let holder = Holder { container_id: "z", ifname: "eth0" };
        if first & 0x80 != 0 {
            // With the mark of a folder that nobody else has changed.
            source.lease(Holder { container_id: "y", ifname: "eth0" }, &mut |_| false).unwrap();
        }
        fs::write(net.join(NAMES[usize::from(first & 7)]), contents).unwrap();
        match source.lease(holder, &mut |_| false) {
            // The file may say that the address is this holder's.
            Ok(_) | Err(Error::AlreadyLeased { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        host_local::stored(&net).unwrap();
        source.room().unwrap();
        assert!(!source.release(holder).unwrap().is_empty());
        source.retain(&|_| false).unwrap();
        fs::remove_dir_all(&net).unwrap();
    });
}

#[test]
fn leases_of_the_dhcp_daemon_are_read_or_refused() {
    let ack: String = super::wire::ack().iter().map(|byte| format!("{byte:02x}")).collect();
    let kept = json!({
        "version": 1, "boot": "b", "containerID": "0f3c", "network": "net", "ifname": "eth0",
        "netns": "/run/netns/a", "options": [[12, "61"]], "priority": 5,
        "site": {"index": 2, "mac": "02:00:00:00:00:01"}, "ack": ack, "since": 5, "address": "10.1.0.5"
    });
    fuzz("dhcp lease", Form::Json, vec![kept.to_string().into_bytes()], |input| {
        let Ok(kept) = serde_json::from_slice::<Kept>(input) else { return };
        kept.subject.id();
        if let Some(terms) = kept.terms() {
            super::wire::look_at(&terms);
        }
    });
}

#[test]
fn backups_of_tuning_are_read_or_refused() {
    let kept = json!({"mac": "02:00:00:00:00:01", "promisc": true, "mtu": 1500, "allmulti": false,
                      "txQLen": 1000});
    fuzz("backup", Form::Json, vec![kept.to_string().into_bytes()], |input| {
        if let Ok(value) = serde_json::from_slice::<Value>(input) {
            let _ = section::<Attributes>(&value, &[]);
        }
    });
}
