//! GC, reclaiming, and STATUS.

use super::*;

fn full(folder: &Folder) -> HostLocal {
    let source =
        folder.source(json!({"ranges": [[{"subnet": "10.1.0.0/29"}], [{"subnet": "fd00::/64"}]]}));
    for id in ["a", "b", "c", "d", "e"] {
        lease(&source, id).unwrap();
    }
    source
}

#[test]
fn gc_releases_what_is_not_valid() {
    let folder = Folder::new();
    let source = full(&folder);
    let net1 = Holder { container_id: "b", ifname: "net1" };
    let other = folder.source(json!({"subnet": "10.2.0.0/24"}));
    other.lease(net1, &mut |_| false).unwrap();
    let valid =
        |holder: Holder<'_>| ["b", "d"].contains(&holder.container_id) && holder.ifname == "eth0";
    let mut released = source.retain(&valid).unwrap();
    released.sort();
    let shown: Vec<String> =
        released.iter().map(|(ip, id, ifname)| format!("{ip} {id} {ifname}")).collect();
    assert_eq!(
        shown,
        [
            "10.1.0.2 a eth0",
            "10.1.0.4 c eth0",
            "10.1.0.6 e eth0",
            "10.2.0.2 b net1",
            "fd00::2 a eth0",
            "fd00::4 c eth0",
            "fd00::6 e eth0",
        ]
    );
    folder.assert_sound();
    assert_eq!(
        texts(&folder.leases().into_keys().collect::<Vec<_>>()),
        ["10.1.0.3", "10.1.0.5", "fd00::3", "fd00::5"]
    );
    assert_eq!(source.retain(&valid).unwrap(), []);
    folder.assert_sound();
}

#[test]
fn gc_of_nothing_makes_nothing() {
    let folder = Folder::new();
    let source = folder.source(json!({"subnet": "10.1.0.0/29"}));
    assert_eq!(source.retain(&|_| false).unwrap(), []);
    assert!(!folder.net().exists());
}

/// Files that name no holder fully: empty ones go, since under the lock nobody can be about to
/// write into them; the others stay, since nobody can be asked about them.
#[test]
fn gc_and_what_names_no_holder() {
    let folder = Folder::new();
    folder.write("10.1.0.2", "");
    folder.write("10.1.0.3", "old");
    fs::write(folder.file("10.1.0.4"), b"\xff").unwrap();
    folder.write("10.1.0.5", "gone\r\neth0");
    let source = folder.source(json!({"subnet": "10.1.0.0/29"}));
    let mut released = source.retain(&|_| false).unwrap();
    released.sort();
    let gone =
        |ip: &str, id: &str, ifname: &str| (ip.parse().unwrap(), id.to_owned(), ifname.to_owned());
    assert_eq!(released, [gone("10.1.0.2", "", ""), gone("10.1.0.5", "gone", "eth0")]);
    assert_eq!(texts(&folder.leases().into_keys().collect::<Vec<_>>()), ["10.1.0.3", "10.1.0.4"]);
}

#[test]
fn a_full_set_reclaims_what_is_abandoned() {
    let folder = Folder::new();
    let source = full(&folder);
    let mut asked = Vec::new();
    let refused = source.lease(holder("f"), &mut |holder| {
        asked.push(format!("{} {}", holder.container_id, holder.ifname));
        false
    });
    assert!(matches!(refused, Err(Error::Exhausted { leases: 5, .. })));
    asked.sort();
    assert_eq!(asked, ["a eth0", "b eth0", "c eth0", "d eth0", "e eth0"]);
    folder.assert_sound();

    let mut abandoned = |holder: Holder<'_>| ["b", "d"].contains(&holder.container_id);
    let leased = source.lease(holder("f"), &mut abandoned).unwrap();
    assert_eq!(leased.ips[0].address.ip().to_string(), "10.1.0.3");
    assert_eq!(leased.ips[1].address.ip().to_string(), "fd00::7");
    folder.assert_sound();
    for id in ["b", "d"] {
        assert_eq!(source.held(holder(id)).unwrap(), [] as [IpAddr; 0], "of every set");
    }
    assert_eq!(lease(&source, "g").unwrap(), ["10.1.0.5", "fd00::8"]);
}

/// While a set has room, nobody is asked.
#[test]
fn a_set_with_room_reclaims_nothing() {
    let folder = Folder::new();
    let source = full(&folder);
    release(&source, "c");
    let leased = source.lease(holder("f"), &mut |_| panic!("asked")).unwrap();
    assert_eq!(leased.ips[0].address.ip().to_string(), "10.1.0.4");
}

/// Reclaiming in the second set does not take what the same call has taken of the first.
#[test]
fn reclaiming_in_the_second_set() {
    let folder = Folder::new();
    let source =
        folder.source(json!({"ranges": [[{"subnet": "fd00::/64"}], [{"subnet": "10.1.0.0/29"}]]}));
    for id in ["a", "b", "c", "d", "e"] {
        lease(&source, id).unwrap();
    }
    let leased = source.lease(holder("f"), &mut |_| true).unwrap();
    assert_eq!(leased.ips[1].address.ip().to_string(), "10.1.0.2");
    assert_eq!(texts(&folder.leases().into_keys().collect::<Vec<_>>()), ["10.1.0.2", "fd00::7"]);
    folder.assert_sound();
    assert_eq!(release(&source, "f").len(), 2);
}

#[test]
fn room_is_told_without_writing() {
    let folder = Folder::new();
    let source = folder.source(json!({"subnet": "10.1.0.0/29"}));
    source.room().unwrap();
    assert!(!folder.net().exists());
    let source = full(&folder);
    let (before, nanoseconds) = (folder.files(), folder.nanoseconds());
    let error = source.room().unwrap_err();
    assert!(matches!(&error, Error::Exhausted { leases: 5, .. }), "{error}");
    assert!(error.to_string().contains("10.1.0.0/29"), "{error}");
    source.room_after_reclaim(&mut |holder| holder.container_id == "d").unwrap();
    assert!(source.room_after_reclaim(&mut |holder| holder.container_id == "x").is_err());
    assert_eq!((folder.files(), folder.nanoseconds()), (before, nanoseconds));
    release(&source, "c");
    source.room().unwrap();
}

#[test]
fn check_finds_a_lease_lost() {
    let folder = Folder::new();
    let source = full(&folder);
    source.check(holder("a")).unwrap();
    let error = source.check(holder("x")).unwrap_err();
    assert!(matches!(error, Error::NotHeld { .. }), "{error}");

    fs::remove_file(folder.file("fd00::2")).unwrap();
    folder.write("10.1.0.3", "thief\r\neth0");
    let before = folder.files();
    for (id, lost) in [("a", "fd00::2"), ("b", "10.1.0.3")] {
        let error = source.check(holder(id)).unwrap_err();
        assert!(
            matches!(&error, Error::Lost { address, .. } if address.to_string() == lost),
            "{error}"
        );
    }
    assert_eq!(texts(&source.held(holder("a")).unwrap()), ["10.1.0.2"]);
    assert_eq!(texts(&source.held(holder("b")).unwrap()), ["fd00::3"]);
    assert_eq!(texts(&source.held(holder("thief")).unwrap()), ["10.1.0.3"]);
    assert_eq!(folder.files(), before, "to look changes nothing");
    assert_eq!(release(&source, "b"), ["fd00::3"]);
    assert_eq!(folder.leases()[&"10.1.0.3".parse().unwrap()], "thief\r\neth0");
    folder.assert_sound();
}
