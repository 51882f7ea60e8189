//! What is leased, in which order, and what is then on disk.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

#[test]
fn addresses_go_round() {
    let folder = Folder::new();
    let source = folder.source(json!({"subnet": "10.1.0.0/29"}));
    for (id, address) in [("a", "10.1.0.2"), ("b", "10.1.0.3"), ("c", "10.1.0.4")] {
        assert_eq!(lease_one(&source, id), address);
    }
    // What is released is not handed out again before the way round is done.
    assert_eq!(release(&source, "a"), ["10.1.0.2"]);
    assert_eq!(release(&source, "c"), ["10.1.0.4"]);
    for (id, address) in
        [("d", "10.1.0.5"), ("e", "10.1.0.6"), ("f", "10.1.0.2"), ("g", "10.1.0.4")]
    {
        assert_eq!(lease_one(&source, id), address);
        folder.assert_sound();
    }
    let error = lease(&source, "h").unwrap_err();
    assert!(matches!(error, Error::Exhausted { leases: 5, .. }), "{error}");
    let text = error.to_string();
    let place = folder.net().display().to_string();
    for part in ["10.1.0.0/29", "10.1.0.1-10.1.0.6", " 5 leases", &place, "widen", "release"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    folder.assert_sound();
    release(&source, "b");
    assert_eq!(lease_one(&source, "h"), "10.1.0.3");
}

#[test]
fn the_files_are_the_reference_plugins() {
    let folder = Folder::new();
    let source = folder.source(json!({"subnet": "10.1.0.0/24"}));
    lease_one(&source, "0f3c");
    let mut files = folder.files();
    assert_eq!(files.remove(".causeway:0f3c:eth0:0").as_deref(), Some("-> 10.1.0.2"));
    let expected = [("10.1.0.2", "0f3c\r\neth0"), ("last_reserved_ip.0", "10.1.0.2"), ("lock", "")];
    assert_eq!(files, expected.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.net()), 0o755);
    assert_eq!(mode(&folder.file("10.1.0.2")), 0o600);
    assert_eq!(mode(&folder.file("last_reserved_ip.0")), 0o600);
    release(&source, "0f3c");
    let left: Vec<String> = folder.files().into_keys().collect();
    assert_eq!(left, ["last_reserved_ip.0", "lock"]);
}

#[test]
fn a_result_has_gateway_prefix_routes_and_dns() {
    let folder = Folder::new();
    fs::write(folder.0.join("resolv.conf"), "nameserver 192.0.2.1\nsearch example\n").unwrap();
    let source = folder.source(json!({
        "ranges": [[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00::/64", "gateway": "fe80::1"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "resolvConf": folder.0.join("resolv.conf"),
    }));
    let preview = source.preview(holder("a")).unwrap();
    assert!(!folder.net().exists(), "a preview writes nothing");
    let leased = source.lease(holder("a"), &mut |_| false).unwrap();
    assert_eq!(leased, preview);
    let shown: Vec<String> =
        leased.ips.iter().map(|ip| format!("{} {:?}", ip.address, ip.gateway)).collect();
    assert_eq!(shown, ["10.1.0.2/16 Some(10.1.0.1)", "fd00::1/64 Some(fe80::1)"]);
    assert_eq!(leased.routes.len(), 1);
    assert_eq!(leased.dns.nameservers, ["192.0.2.1"]);
    assert_eq!(leased.dns.search, ["example"]);
    assert_eq!(texts(&source.held(holder("a")).unwrap()), ["10.1.0.2", "fd00::1"]);
    assert_eq!(release(&source, "a"), ["10.1.0.2", "fd00::1"]);
    assert_eq!(release(&source, "a"), [""; 0], "once more is fine");
}

#[test]
fn a_resolv_conf_that_is_missing() {
    let folder = Folder::new();
    let missing = folder.0.join("missing");
    let source = folder.source(json!({"subnet": "10.1.0.0/24", "resolvConf": missing}));
    let error = lease(&source, "a").unwrap_err();
    assert!(matches!(&error, Error::ResolvConf { path, .. } if *path == missing), "{error}");
    assert!(!folder.net().exists());
    // What does not need it works without.
    assert_eq!(release(&source, "a"), [""; 0]);
}

#[test]
fn a_second_lease_of_one_attachment_is_refused() {
    let folder = Folder::new();
    let source =
        folder.source(json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]}));
    lease(&source, "a").unwrap();
    let before = folder.files();
    for refused in [
        lease(&source, "a"),
        lease(&folder.source(json!({"subnet": "fd00::/64"})), "a"),
        source.preview(holder("a")).map(|_| Vec::new()),
        lease(&folder.requesting(json!({"subnet": "10.1.0.0/24"}), &["10.1.0.9"]), "a"),
    ] {
        let error = refused.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::AlreadyLeased { .. }), "{text}");
        assert!(text.contains("container a ") && text.contains("DEL"), "{text}");
        assert_eq!(folder.files(), before);
    }
    folder.assert_sound();
    // Another interface of the same container is another attachment.
    let net1 = Holder { container_id: "a", ifname: "net1" };
    assert_eq!(source.lease(net1, &mut |_| false).unwrap().ips.len(), 2);
    assert_eq!(release(&source, "a"), ["10.1.0.2", "fd00::2"]);
    assert_eq!(texts(&source.held(net1).unwrap()), ["10.1.0.3", "fd00::3"]);
}

/// As in the reference plugin: what is held of other ranges, after a change of the configuration,
/// is no obstacle, and goes with the rest.
#[test]
fn ranges_may_change_under_a_lease() {
    let folder = Folder::new();
    let old = folder.source(json!({"subnet": "10.1.0.0/24"}));
    let new = folder.source(json!({"subnet": "10.2.0.0/24"}));
    lease(&old, "a").unwrap();
    assert_eq!(lease_one(&new, "a"), "10.2.0.2");
    folder.assert_sound();
    assert_eq!(release(&new, "a"), ["10.1.0.2", "10.2.0.2"]);
    folder.assert_sound();
}

#[test]
fn several_ranges_in_a_set() {
    let folder = Folder::new();
    let ranges = json!({"ranges": [[
        {"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.253", "rangeEnd": "10.1.0.254"},
        {"subnet": "10.2.0.0/30"},
        {"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.10"},
    ]]});
    let source = folder.source(ranges);
    let all = ["10.1.0.253", "10.1.0.254", "10.2.0.2", "10.1.0.9", "10.1.0.10"];
    let leased: Vec<String> = (0..5).map(|n| lease_one(&source, &format!("c{n}"))).collect();
    assert_eq!(leased, all);
    assert!(matches!(lease(&source, "more"), Err(Error::Exhausted { leases: 5, .. })));
    for n in [2, 0] {
        release(&source, &format!("c{n}"));
    }
    assert_eq!(lease_one(&source, "d"), "10.1.0.253");
    let leased = source.lease(holder("e"), &mut |_| false).unwrap();
    assert_eq!(leased.ips[0].address.to_string(), "10.2.0.2/30");
    assert_eq!(leased.ips[0].gateway, Some("10.2.0.1".parse().unwrap()));
}

#[test]
fn when_one_set_is_full_nothing_is_taken_of_the_others() {
    let folder = Folder::new();
    let source = folder.source(json!({"ranges": [
        [{"subnet": "10.1.0.0/24"}], [{"subnet": "10.2.0.0/30"}], [{"subnet": "fd00::/64"}],
    ]}));
    lease(&source, "a").unwrap();
    let error = lease(&source, "b").unwrap_err();
    assert!(matches!(&error, Error::Exhausted { ranges, .. } if ranges.contains("10.2.0.0/30")));
    assert_eq!(
        texts(&folder.leases().into_keys().collect::<Vec<_>>()),
        ["10.1.0.2", "10.2.0.2", "fd00::2"]
    );
    folder.assert_sound();
}

#[test]
fn excluded_addresses_are_never_leased() {
    let folder = Folder::new();
    let source = folder.source(json!({
        "subnet": "10.1.0.0/27", "gateway": "10.1.0.9",
        "exclude": ["10.1.0.1-10.1.0.7", "10.1.0.16/28", "10.1.0.12"],
    }));
    let leased: Vec<String> = (0..5).map(|n| lease_one(&source, &format!("c{n}"))).collect();
    assert_eq!(leased, ["10.1.0.8", "10.1.0.10", "10.1.0.11", "10.1.0.13", "10.1.0.14"]);
    assert_eq!(lease_one(&source, "c5"), "10.1.0.15");
    assert!(matches!(lease(&source, "c6"), Err(Error::Exhausted { leases: 6, .. })));
}

/// What was leased before it was excluded stays leased, and is not leased again.
#[test]
fn an_address_that_is_leased_may_be_excluded() {
    let folder = Folder::new();
    lease(&folder.source(json!({"subnet": "10.1.0.0/29"})), "a").unwrap();
    let source = folder.source(json!({"subnet": "10.1.0.0/29", "exclude": ["10.1.0.2"]}));
    assert_eq!(texts(&source.held(holder("a")).unwrap()), ["10.1.0.2"]);
    assert_eq!(release(&source, "a"), ["10.1.0.2"]);
    let leased: Vec<String> = (0..4).map(|n| lease_one(&source, &format!("c{n}"))).collect();
    assert!(!leased.contains(&"10.1.0.2".to_owned()), "{leased:?}");
}

/// More leases than are tried one by one lie between the last one and the next free one.
#[test]
fn a_free_address_behind_a_long_run() {
    let folder = Folder::new();
    let source = folder.source(json!({"ranges": [[
        {"subnet": "10.1.0.0/24"}, {"subnet": "10.2.0.0/24"}, {"subnet": "10.3.0.0/24"},
    ]]}));
    let count = 253 * 3;
    let leased: Vec<String> = (0..count).map(|n| lease_one(&source, &format!("c{n}"))).collect();
    assert_eq!(leased[252], "10.1.0.254");
    assert_eq!(leased[count - 1], "10.3.0.254");
    assert!(matches!(lease(&source, "more"), Err(Error::Exhausted { leases: 759, .. })));
    // The last one was of the third range.
    for free in [300, 700, 600, 100, 0, 758] {
        release(&source, &format!("c{free}"));
        let preview = source.preview(holder("more")).unwrap();
        assert_eq!(preview.ips[0].address.ip().to_string(), leased[free]);
        assert_eq!(lease_one(&source, &format!("c{free}")), leased[free]);
        folder.assert_sound();
    }
    // Two are free; the one that comes next after the last is taken.
    release(&source, "c5");
    release(&source, "c400");
    assert_eq!(lease_one(&source, "x"), leased[5], "after c758 comes c0");
    assert_eq!(lease_one(&source, "y"), leased[400]);
    assert!(folder.files().keys().any(|name| name.starts_with(".causeway-used:")));
}

/// Ranges too large for a bitmap.
#[test]
fn a_free_address_behind_a_long_run_of_a_large_range() {
    let folder = Folder::new();
    let source = folder.source(json!({"subnet": "fd00::/64", "exclude": ["fd00::30/124"]}));
    for n in 0..100 {
        lease_one(&source, &format!("c{n}"));
    }
    folder.write("last_reserved_ip.0", "fd00::1");
    assert_eq!(lease_one(&source, "next"), "fd00::76");
    folder.write("last_reserved_ip.0", "fd00::1");
    release(&source, "c50");
    assert_eq!(lease_one(&source, "freed"), "fd00::44");
    assert!(!folder.files().keys().any(|name| name.starts_with(".causeway-used:")));
    folder.assert_sound();
}

#[test]
fn container_ids_that_are_too_long_for_a_file_name() {
    let folder = Folder::new();
    let source =
        folder.source(json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]}));
    let (one, other) = ("f".repeat(1000), "f".repeat(999));
    lease(&source, &one).unwrap();
    lease(&source, &other).unwrap();
    folder.assert_sound();
    assert!(matches!(lease(&source, &one), Err(Error::AlreadyLeased { .. })));
    assert_eq!(release(&source, &one), ["10.1.0.2", "fd00::2"]);
    assert_eq!(texts(&source.held(holder(&other)).unwrap()), ["10.1.0.3", "fd00::3"]);
    folder.assert_sound();
}

#[test]
fn a_directory_that_is_none() {
    for make in [
        |path: &Path| fs::write(path, "a file").unwrap(),
        |path: &Path| symlink("/tmp", path).unwrap(),
        |path: &Path| symlink("/nonexistent/nowhere", path).unwrap(),
    ] {
        let folder = Folder::new();
        make(&folder.net());
        let source = folder.source(json!({"subnet": "10.1.0.0/24"}));
        let errors = [
            lease(&source, "a").unwrap_err(),
            source.preview(holder("a")).unwrap_err(),
            source.release(holder("a")).unwrap_err(),
            source.held(holder("a")).unwrap_err(),
            source.check(holder("a")).unwrap_err(),
            source.retain(&|_| true).unwrap_err(),
            source.room().unwrap_err(),
        ];
        for error in errors {
            assert!(
                matches!(&error, Error::NotADirectory { path } if *path == folder.net()),
                "{error}"
            );
        }
    }
}

#[test]
fn a_data_directory_that_is_a_file() {
    let folder = Folder::new();
    fs::write(folder.0.join("file"), "").unwrap();
    let source = HostLocal::configure(Settings {
        network: "net",
        version: Version::CURRENT,
        ipam: &json!({"subnet": "10.1.0.0/24", "dataDir": folder.0.join("file")}),
        ip_ranges: None,
        requested: Vec::new(),
    })
    .unwrap();
    let error = lease(&source, "a").unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(error.to_string().contains(folder.0.join("file/net").to_str().unwrap()), "{error}");
    assert_eq!(release(&source, "a"), [""; 0]);
}

/// Whatever is under a lease's name, the address is taken, and nothing waits or breaks.
#[test]
fn things_that_are_no_lease_files() {
    let folder = Folder::new();
    fs::create_dir_all(folder.file("10.1.0.2")).unwrap();
    symlink("/nonexistent", folder.file("10.1.0.3")).unwrap();
    nix::unistd::mkfifo(&folder.file("10.1.0.4"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    folder.write("10.1.0.5", "");
    fs::write(folder.file("10.1.0.6"), b"\xff\xfe\0").unwrap();
    folder.write("10.1.0.7", &"long\n".repeat(10_000));
    let source = folder.source(json!({"subnet": "10.1.0.0/28"}));
    assert_eq!(source.preview(holder("a")).unwrap().ips[0].address.ip().to_string(), "10.1.0.8");
    assert_eq!(lease_one(&source, "a"), "10.1.0.8");
    for id in ["", "long", "\u{fffd}"] {
        assert_eq!(release(&source, id), [""; 0], "{id}");
    }
    assert_eq!(texts(&source.held(holder("a")).unwrap()), ["10.1.0.8"]);
    source.check(holder("a")).unwrap();
    source.room().unwrap();
}
