use super::*;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/libcni").join(name)
}

fn owner(network: &str, container_id: &str) -> Owner {
    Owner {
        network: network.to_owned(),
        container_id: container_id.to_owned(),
        ifname: "eth0".to_owned(),
    }
}

/// What cnitool of libcni 1.2.3 wrote.
const BY_CNITOOL: [&str; 2] =
    ["net-cnitool-df26705e2e4ffd095eb1-eth0", "one-cnitool-df26705e2e4ffd095eb1-eth0"];

#[test]
fn what_libcni_wrote_is_written_again_byte_for_byte() {
    for name in BY_CNITOOL {
        let bytes = fs::read(folder("results").join(name)).unwrap();
        let cached = Cached::read_bytes(Path::new(name), &bytes).unwrap();
        assert_eq!(go_json(&cached).unwrap(), String::from_utf8(bytes).unwrap());
        assert_eq!(path_of(Path::new(""), &cached.owner()), Path::new(name));
    }
}

#[test]
fn everything_that_is_kept_reads_back() {
    let owner = owner("net", "cnitool-df26705e2e4ffd095eb1");
    let cached = read(&folder("results"), &owner).unwrap().unwrap();
    assert_eq!(cached.owner(), owner);
    assert_eq!(cached.netns.as_deref(), Some(Path::new("/run/netns/blue")));
    assert_eq!(cached.pod().unwrap(), "default/web<0>");
    let list = crate::libcni::NetworkList::parse(Path::new("x"), &cached.config).unwrap();
    assert_eq!(list.plugins[0].config["note"], "a<b");
    assert_eq!(cached.attachment().args_text(), "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web<0>");
    assert_eq!(cached.capability_args["x"]["z"], 1.5);
    assert_eq!(cached.add_result().unwrap().ips[0].address.to_string(), "10.1.0.2/24");
    let old_form = cached.result_as(Version::V0_4_0).unwrap();
    assert_eq!(old_form["ips"][0]["version"], "4");
    assert!(cached.written.is_some());
    assert_eq!(read(&folder("results"), &super::tests::owner("net", "none")).unwrap(), None);
}

#[test]
fn a_bare_result_gets_its_names_from_who_asks() {
    let cached = read(&folder("results"), &owner("old", "0f3c")).unwrap().unwrap();
    assert_eq!(cached.owner(), owner("old", "0f3c"));
    assert_eq!(cached.add_result().unwrap().ips[0].address.to_string(), "10.1.0.9/24");
}

#[test]
fn a_listing_tells_what_it_leaves_out() {
    let (found, broken) = list(&folder("results")).unwrap();
    let names: Vec<_> = found.iter().map(|one| one.network.as_str()).collect();
    assert_eq!(names, ["net", "one"]);
    let broken: Vec<_> = broken.iter().map(ToString::to_string).collect();
    assert_eq!(broken.len(), 3, "{broken:?}");
    for (text, name) in broken.iter().zip(["net-cut-eth0", "net-later-eth0", "old-0f3c-eth0"]) {
        assert!(text.contains(name), "{text}");
    }
    assert!(list(&folder("nowhere")).unwrap().0.is_empty());
}
