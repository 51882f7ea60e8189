//! Addresses that the runtime asks for.

use super::*;

fn dual() -> Value {
    json!({"ranges": [
        [{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.10", "exclude": ["10.1.0.50"]},
         {"subnet": "10.2.0.0/24"}],
        [{"subnet": "fd00::/64"}],
    ]})
}

#[test]
fn a_requested_address_is_given() {
    let folder = Folder::new();
    let source = folder.requesting(dual(), &["fd00::77", "10.2.0.9"]);
    assert_eq!(source.preview(holder("a")).unwrap().ips.len(), 2);
    let leased = source.lease(holder("a"), &mut |_| false).unwrap();
    let shown: Vec<String> = leased.ips.iter().map(|ip| ip.address.to_string()).collect();
    assert_eq!(shown, ["10.2.0.9/24", "fd00::77/64"]);
    assert_eq!(leased.ips[0].gateway, Some("10.2.0.1".parse().unwrap()));
    folder.assert_sound();
    // As in the reference plugin, the way round goes on from there.
    assert_eq!(lease(&folder.source(dual()), "b").unwrap(), ["10.2.0.10", "fd00::78"]);
}

#[test]
fn sets_without_a_requested_address_give_the_next() {
    let folder = Folder::new();
    assert_eq!(
        lease(&folder.requesting(dual(), &["fd00::9"]), "a").unwrap(),
        ["10.1.0.10", "fd00::9"]
    );
}

#[test]
fn one_address_asked_for_twice_is_one() {
    let folder = Folder::new();
    let source = folder.requesting(dual(), &["10.1.0.20", "::ffff:10.1.0.20", "10.1.0.20"]);
    assert_eq!(lease(&source, "a").unwrap(), ["10.1.0.20", "fd00::2"]);
}

#[test]
fn requests_that_cannot_be_met_leave_nothing() {
    let folder = Folder::new();
    lease(&folder.requesting(dual(), &["10.1.0.77"]), "other").unwrap();
    let before = folder.leases();
    for (requested, says) in [
        (vec!["10.1.0.77"], "10.1.0.77 is leased to container other"),
        (vec!["fd00::5", "10.1.0.77"], "10.1.0.77 is leased to container other"),
        (vec!["10.1.0.20", "fd00::2"], "fd00::2 is leased to container other"),
        (vec!["10.2.0.1"], "10.2.0.1 is a gateway"),
        (vec!["fd00::1"], "fd00::1 is a gateway"),
        (vec!["10.1.0.50"], "10.1.0.50 is excluded by `exclude`"),
    ] {
        let source = folder.requesting(dual(), &requested);
        for failed in [lease(&source, "a"), source.preview(holder("a")).map(|_| Vec::new())] {
            let error = failed.unwrap_err();
            assert!(matches!(error, Error::Taken { .. }), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
        assert_eq!(folder.leases(), before, "{requested:?}");
        folder.assert_sound();
    }
    for (requested, outside) in [
        (vec!["10.1.0.9"], "10.1.0.9"),
        (vec!["10.1.0.255"], "10.1.0.255"),
        (vec!["10.1.0.20", "10.9.0.1"], "10.9.0.1"),
        (vec!["fd00::5", "fd01::5"], "fd01::5"),
        (vec!["fe80::1"], "fe80::1"),
    ] {
        let error = lease(&folder.requesting(dual(), &requested), "a").unwrap_err();
        assert!(matches!(&error, Error::Outside { address, .. } if address.to_string() == outside));
        assert!(error.to_string().contains("10.2.0.0/24 (10.2.0.1-10.2.0.254)"), "{error}");
        assert_eq!(folder.leases(), before, "{requested:?}");
    }
    let error = lease(&folder.requesting(dual(), &["10.1.0.20", "10.2.0.20"]), "a").unwrap_err();
    assert!(matches!(error, Error::TwoOfOneSet { .. }), "{error}");
    assert_eq!(folder.leases(), before);
    folder.assert_sound();
}

/// Whoever asks for what it holds already is told so, not that somebody has it.
#[test]
fn a_request_for_what_is_held() {
    let folder = Folder::new();
    let source = folder.requesting(dual(), &["10.1.0.20"]);
    lease(&source, "a").unwrap();
    assert!(matches!(lease(&source, "a"), Err(Error::AlreadyLeased { .. })));
}

/// Requested addresses are noted in bitmaps, too.
#[test]
fn requests_within_a_range_that_is_nearly_full() {
    let folder = Folder::new();
    let ipam = || json!({"subnet": "10.1.0.0/24"});
    let source = folder.source(ipam());
    for n in 0..253 {
        lease_one(&source, &format!("c{n}"));
    }
    for n in [20, 30, 40] {
        release(&source, &format!("c{n}"));
    }
    // This makes the bitmap.
    assert_eq!(lease_one(&source, "x"), "10.1.0.22");
    assert_eq!(lease(&folder.requesting(ipam(), &["10.1.0.32"]), "y").unwrap(), ["10.1.0.32"]);
    folder.assert_bitmaps_true();
    assert_eq!(lease_one(&source, "z"), "10.1.0.42");
    assert!(matches!(lease(&source, "more"), Err(Error::Exhausted { .. })));
    folder.assert_sound();
}
