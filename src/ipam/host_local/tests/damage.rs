//! What kills, people and other programs leave behind.

use std::time::{Duration, SystemTime};

use super::*;

const SUBNET: &str = "10.1.0.0/24";

/// Makes the directory look as if a call of ours had left it so.
fn mark(folder: &Folder) {
    let directory = Directory::find(&folder.net()).unwrap().unwrap();
    directory.note(directory::Hints { bitmaps: true, container_claims: false });
    directory.mark();
}

/// Makes the directory look as if a killed call had left it so.
fn unmark(folder: &Folder) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5);
    fs::File::open(folder.net()).unwrap().set_modified(time).unwrap();
    assert!(!folder.is_marked());
}

#[test]
fn the_mark_comes_and_goes() {
    let folder = Folder::new();
    let source = folder.source(json!({"subnet": SUBNET}));
    lease_one(&source, "a");
    assert!(folder.is_marked());
    folder.write("something", "");
    assert!(!folder.is_marked(), "a name has come");
    lease_one(&source, "b");
    assert!(folder.is_marked());
    fs::remove_file(folder.file("something")).unwrap();
    assert!(!folder.is_marked(), "a name has gone");
    release(&source, "nobody");
    assert!(folder.is_marked());
}

/// A copy that was put back with its modification time, but without our files.
#[test]
fn the_mark_of_another_time_does_not_count() {
    let folder = Folder::new();
    let source = folder.source(json!({"subnet": SUBNET}));
    lease_one(&source, "a");
    let marked = fs::metadata(folder.net()).unwrap().modified().unwrap();
    fs::remove_file(folder.file(".causeway:a:eth0:0")).unwrap();
    let put_back = marked - Duration::from_secs(3600);
    fs::File::open(folder.net()).unwrap().set_modified(put_back).unwrap();
    assert!(folder.is_marked());
    assert!(matches!(lease(&source, "a"), Err(Error::AlreadyLeased { .. })));
    folder.assert_sound();
    assert_eq!(release(&source, "a"), ["10.1.0.2"]);
}

/// Every state in which a kill during a lease can leave the directory: what was begun can be
/// released, and everybody else goes on.
#[test]
fn killed_while_leasing() {
    for step in 0..6 {
        let folder = Folder::new();
        let source = folder.source(json!({"subnet": SUBNET}));
        lease_one(&source, "a");
        let text = "killed\r\neth0";
        match step {
            0 => folder.write(".causeway-new", ""),
            1 => folder.write(".causeway-new", text),
            2 => folder.write("10.1.0.3", text),
            // By link and unlink, where there is no rename that replaces nothing.
            3 => {
                folder.write("10.1.0.3", text);
                fs::hard_link(folder.file("10.1.0.3"), folder.file(".causeway-new")).unwrap();
            }
            4 | 5 => {
                folder.write("10.1.0.3", text);
                std::os::unix::fs::symlink("10.1.0.3", folder.file(".causeway:killed:eth0:0"))
                    .unwrap();
                if step == 5 {
                    folder.write("last_reserved_ip.0", "10.1.0.3");
                }
            }
            _ => unreachable!(),
        }
        let is_leased = step >= 2;
        let held = texts(&source.held(holder("killed")).unwrap());
        assert_eq!(held.len(), usize::from(is_leased), "step {step}");
        let next = lease_one(&source, "b");
        assert_eq!(next, if is_leased { "10.1.0.4" } else { "10.1.0.3" }, "step {step}");
        folder.assert_sound();
        assert_eq!(lease(&source, "killed").is_err(), is_leased, "step {step}");
        assert_eq!(release(&source, "killed").len(), 1, "step {step}");
        folder.assert_sound();
        assert_eq!(folder.leases().len(), 2, "step {step}");
    }
}

/// As above, but the next call is the release.
#[test]
fn killed_while_leasing_then_released() {
    for staged in [true, false] {
        let folder = Folder::new();
        let source = folder.source(json!({"subnet": SUBNET}));
        lease_one(&source, "a");
        let name = if staged { ".causeway-new" } else { "10.1.0.3" };
        folder.write(name, "killed\r\neth0");
        assert_eq!(release(&source, "killed").len(), usize::from(!staged));
        folder.assert_sound();
        assert_eq!(folder.leases().len(), 1);
    }
}

#[test]
fn killed_while_releasing() {
    let folder = Folder::new();
    let source =
        folder.source(json!({"ranges": [[{"subnet": SUBNET}], [{"subnet": "fd00::/64"}]]}));
    for (gone, left) in [
        (vec!["fd00::2"], vec!["10.1.0.2"]),
        (vec!["fd00::3", ".causeway:a:eth0:1"], vec!["10.1.0.3"]),
        (vec!["fd00::4", ".causeway:a:eth0:1", "10.1.0.4"], vec![]),
        (vec!["10.1.0.5", ".causeway:a:eth0:0"], vec!["fd00::5"]),
    ] {
        lease(&source, "a").unwrap();
        for name in &gone {
            fs::remove_file(folder.file(name)).unwrap();
        }
        assert_eq!(texts(&source.held(holder("a")).unwrap()), left, "without {gone:?}");
        assert_eq!(release(&source, "a"), left, "without {gone:?}");
        folder.assert_sound();
        assert!(folder.leases().is_empty());
    }
}

/// Entries that lie although the mark stands: lease files were written over in place.
#[test]
fn stale_entries_under_a_mark() {
    let folder = Folder::new();
    let source = folder.source(json!({"subnet": SUBNET}));
    for id in ["a", "b", "c"] {
        lease_one(&source, id);
    }
    folder.write("10.1.0.2", "thief\r\neth0");
    assert!(folder.is_marked());
    assert_eq!(texts(&source.held(holder("a")).unwrap()), [""; 0]);
    assert_eq!(lease_one(&source, "a"), "10.1.0.5", "a holds nothing, and may lease");
    folder.assert_sound();
    assert_eq!(release(&source, "thief"), ["10.1.0.2"]);

    for (name, target) in [("x", "10.1.0.99"), ("y", "/etc/passwd"), ("z", "../net/10.1.0.3")] {
        let name = folder.file(&format!(".causeway:{name}:eth0:0"));
        std::os::unix::fs::symlink(target, name).unwrap();
    }
    folder.write(".causeway:w:eth0:0", "no link");
    for id in ["w", "x", "y", "z"] {
        mark(&folder);
        assert_eq!(texts(&source.held(holder(id)).unwrap()), [""; 0], "{id}");
        assert_eq!(release(&source, id), [""; 0], "{id}");
        folder.assert_sound();
    }
    assert_eq!(folder.leases().len(), 3);
}

/// The index is lost, or was never there.
#[test]
fn an_index_is_made_for_leases_without_one() {
    let folder = Folder::new();
    for n in 2..100 {
        folder.write(&format!("10.1.0.{n}"), &format!("c{n}\r\neth0"));
    }
    folder.write("fd00::5", "c5\r\neth0");
    let source = folder.source(json!({"subnet": SUBNET}));
    assert!(matches!(lease(&source, "c50"), Err(Error::AlreadyLeased { .. })));
    folder.assert_sound();
    assert_eq!(release(&source, "c5"), ["10.1.0.5", "fd00::5"]);
    for name in folder.files().into_keys().filter(|name| name.starts_with(".causeway")) {
        fs::remove_file(folder.file(&name)).unwrap();
    }
    assert_eq!(release(&source, "c60"), ["10.1.0.60"]);
    folder.assert_sound();
    // There was no last address, so the way round begins at the start.
    assert_eq!(lease_one(&source, "new"), "10.1.0.5");
}

/// Leases that name a container ID alone, as early reference plugins wrote them.
#[test]
fn leases_that_name_the_container_alone() {
    let folder = Folder::new();
    folder.write("10.1.0.2", "old");
    folder.write("10.1.0.3", "old\r\nnet1");
    folder.write("10.1.0.4", "other\n");
    let source = folder.source(json!({"subnet": SUBNET}));
    for marked in [false, true] {
        assert_eq!(folder.is_marked(), marked);
        assert_eq!(texts(&source.held(holder("old")).unwrap()), ["10.1.0.2"]);
        source.check(holder("old")).unwrap();
        assert!(matches!(lease(&source, "old"), Err(Error::AlreadyLeased { .. })));
        let net1 = Holder { container_id: "old", ifname: "net1" };
        assert_eq!(texts(&source.held(net1).unwrap()), ["10.1.0.3"], "what is named counts first");
        folder.assert_sound();
    }
    let elsewhere = folder.source(json!({"subnet": "10.2.0.0/24"}));
    assert_eq!(lease_one(&elsewhere, "old"), "10.2.0.2");
    assert_eq!(release(&source, "old"), ["10.2.0.2"], "what is named goes first");
    assert_eq!(release(&source, "old"), ["10.1.0.2"]);
    assert_eq!(release(&source, "other"), ["10.1.0.4"]);
    folder.assert_sound();
    assert_eq!(folder.leases().len(), 1);
}

/// Garbage where the last address should be costs the order, no more.
#[test]
fn a_last_address_that_says_nothing() {
    for text in ["", "banana", "10.1.0.990", "10.9.0.1", "fd00::1", &"1".repeat(100)] {
        let folder = Folder::new();
        let source = folder.source(json!({"subnet": SUBNET}));
        lease_one(&source, "a");
        folder.write("last_reserved_ip.0", text);
        assert_eq!(lease_one(&source, "b"), "10.1.0.3", "after {text:?}");
        assert_eq!(folder.files()["last_reserved_ip.0"], "10.1.0.3", "after {text:?}");
    }
}

/// A longer address in the file is overwritten whole.
#[test]
fn a_shorter_last_address() {
    let folder = Folder::new();
    let source = folder.source(json!({"subnet": SUBNET}));
    folder.write("last_reserved_ip.0", "10.1.0.254");
    assert_eq!(lease_one(&source, "a"), "10.1.0.2");
    assert_eq!(folder.files()["last_reserved_ip.0"], "10.1.0.2");
}

fn bitmap_name(folder: &Folder) -> String {
    let mut names = folder.files().into_keys().filter(|name| name.starts_with(".causeway-used:"));
    names.next().expect("a bitmap")
}

/// A range that has got a bitmap, with the addresses ending in 50, 100, 150 and 200 free.
fn with_bitmap(folder: &Folder) -> HostLocal {
    let source = folder.source(json!({"subnet": SUBNET}));
    for n in 2..255 {
        assert_eq!(lease_one(&source, &format!("c{n}")), format!("10.1.0.{n}"));
    }
    release(&source, "c10");
    assert_eq!(lease_one(&source, "c10"), "10.1.0.10");
    for n in [50, 100, 150, 200] {
        release(&source, &format!("c{n}"));
    }
    folder.assert_sound();
    source
}

/// Bitmaps that are wrong although the mark stands.
#[test]
fn wrong_bitmaps_are_healed() {
    for damage in [
        |bytes: &mut Vec<u8>| bytes.fill(0),
        |bytes: &mut Vec<u8>| bytes.fill(0xff),
        |bytes: &mut Vec<u8>| bytes.fill(0x55),
        |bytes: &mut Vec<u8>| bytes.truncate(7),
        |bytes: &mut Vec<u8>| bytes.push(0),
        |bytes: &mut Vec<u8>| bytes.clear(),
    ] {
        let folder = Folder::new();
        let source = with_bitmap(&folder);
        let path = folder.file(&bitmap_name(&folder));
        let mut bytes = fs::read(&path).unwrap();
        let right = bytes.clone();
        damage(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        assert!(folder.is_marked());
        source.room().unwrap();
        let leased: Vec<String> = (0..4).map(|n| lease_one(&source, &format!("d{n}"))).collect();
        let mut sorted = leased.clone();
        sorted.sort();
        assert_eq!(sorted, ["10.1.0.100", "10.1.0.150", "10.1.0.200", "10.1.0.50"], "{leased:?}");
        assert!(matches!(lease(&source, "more"), Err(Error::Exhausted { .. })));
        release(&source, "d0");
        assert_eq!(lease_one(&source, "d0"), leased[0]);
        folder.assert_sound();
        let healed = fs::read(folder.file(&bitmap_name(&folder))).unwrap();
        assert_eq!(healed.len(), right.len());
    }
}

/// A bitmap that says "free" of everything is not believed for long.
#[test]
fn a_bitmap_that_is_wrong_throughout_costs_few_tries() {
    let folder = Folder::new();
    let source = with_bitmap(&folder);
    let path = folder.file(&bitmap_name(&folder));
    let length = fs::read(&path).unwrap().len();
    fs::write(&path, vec![0; length]).unwrap();
    let directory = Directory::look(&folder.net()).unwrap().unwrap();
    for (last, expected) in [("10.1.0.50", "10.1.0.100"), ("10.1.0.254", "10.1.0.50")] {
        let mut tries = 0;
        let mut attempt = |address: IpAddr| {
            tries += 1;
            Ok(!directory.exists(&address.to_string())?)
        };
        let mut search = Search::new(&directory, &source.sets[0], false);
        let found = search.run(Some(last.parse().unwrap()), &mut attempt).unwrap();
        assert_eq!(texts(found.as_slice()), [expected]);
        assert!(tries < 25, "{tries} tries");
    }
}

/// A bitmap of another range is not this one's, and an old one of this range is put right.
#[test]
fn bitmaps_of_ranges_that_come_and_go() {
    let folder = Folder::new();
    let source = with_bitmap(&folder);
    let part = folder.source(json!({"subnet": SUBNET, "rangeStart": "10.1.0.90"}));
    let leased: Vec<String> = (0..3).map(|n| lease_one(&part, &format!("d{n}"))).collect();
    assert_eq!(leased, ["10.1.0.100", "10.1.0.150", "10.1.0.200"]);
    assert!(matches!(lease(&part, "more"), Err(Error::Exhausted { .. })));
    // Released by a configuration that knows neither range.
    let other = folder.source(json!({"subnet": "10.9.0.0/24"}));
    release(&other, "c60");
    assert_eq!(lease_one(&source, "e0"), "10.1.0.50");
    assert_eq!(lease_one(&source, "e1"), "10.1.0.60");
    assert!(matches!(lease(&source, "more"), Err(Error::Exhausted { .. })));
    folder.assert_sound();
}

/// Without the mark a bitmap is not believed.
#[test]
fn bitmaps_go_with_the_mark() {
    let folder = Folder::new();
    let source = with_bitmap(&folder);
    fs::remove_file(folder.file("10.1.0.77")).unwrap();
    assert_eq!(lease_one(&source, "x"), "10.1.0.50");
    assert_eq!(lease_one(&source, "y"), "10.1.0.77");
    folder.assert_sound();
    unmark(&folder);
    assert_eq!(release(&source, "x"), ["10.1.0.50"]);
    folder.assert_sound();
}

/// DEL with a configuration that is wrong by now.
#[test]
fn releasing_under_a_configuration_that_is_wrong() {
    let folder = Folder::new();
    lease_one(&folder.source(json!({"subnet": SUBNET})), "a");
    for ipam in [json!({"subnet": "10.1.0.0/32"}), json!({"subnet": "banana"}), json!({})] {
        let ipam = folder.ipam(ipam);
        let source = HostLocal::for_release("net", &ipam).unwrap();
        assert_eq!(texts(&source.held(holder("a")).unwrap()), ["10.1.0.2"]);
    }
    let source = HostLocal::for_release("net", &folder.ipam(json!({}))).unwrap();
    assert_eq!(release(&source, "a"), ["10.1.0.2"]);
    folder.assert_sound();
    assert!(HostLocal::for_release("net", &json!({"dataDir": "relative"})).is_none());
    assert!(HostLocal::for_release("net", &json!({"dataDir": 5})).is_none());
}
