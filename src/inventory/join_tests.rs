use super::super::Places;
use super::*;
use crate::libcni::ConfDir;

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/inventory").join(name)
}

fn link(index: u32, name: &str, kind: &str, alias: &str) -> Link {
    Link {
        index,
        name: name.to_owned(),
        kind: kind.to_owned(),
        alias: alias.to_owned(),
        ..Link::default()
    }
}

/// The node of testdata/inventory, with links and namespaces as they would be.
fn inventory() -> Inventory {
    let mut places = Places {
        state: vec![folder("state"), folder("nowhere")],
        results: vec![folder("results"), folder("cache/results")],
        leases: vec![folder("leases")],
        ..Places::default()
    };
    places.networks = ConfDir::load(&folder("conf")).unwrap().lists;
    // The configuration's leases are in the usual place; here they are in testdata.
    let pods = places.networks.iter_mut().find(|list| list.name == "pods").unwrap();
    let ipam = pods.plugins[0].config.get_mut("ipam").unwrap().as_object_mut().unwrap();
    ipam.insert("dataDir".to_owned(), folder("leases").to_str().unwrap().into());
    let mut sources = Sources::read(&places);
    sources.links = vec![
        link(1, "cni0", "bridge", ""),
        link(2, "renamed", "veth", "pods/whole/eth0"),
        link(3, "c2", "veth", "pods/direct/eth0"),
        link(4, "c3", "veth", "pods/somebody-else/eth0"),
        link(5, "br1", "bridge", ""),
        link(6, "veth12ab", "veth", ""),
    ];
    let there = ["whole", "direct", "half", "refpod", "nolink", "macpod"];
    for (inode, name) in (100..).zip(there) {
        sources.namespaces.insert(format!("/run/netns/{name}").into(), Life::Alive(inode));
    }
    sources.namespaces.insert("/run/netns/gone".into(), Life::Gone);
    Inventory::join(sources)
}

fn of<'i>(inventory: &'i Inventory, id: &str) -> &'i Attachment {
    let found = inventory.of_container(id);
    assert_eq!(found.len(), 1, "{id}: {found:?}");
    found[0]
}

#[test]
fn all_sources_of_an_attachment_become_one() {
    let inventory = inventory();
    let whole = of(&inventory, "whole");
    assert_eq!(whole.state, State::Attached);
    assert_eq!(whole.plugins(), ["bridge", "portmap"]);
    assert_eq!(whole.pod.as_deref(), Some("default/web-0"));
    assert_eq!(whole.addresses, ["10.1.0.2/24".parse::<IpNetwork>().unwrap()]);
    // Its own by the alias, whatever it is called by now.
    let renamed = HostLink { name: "renamed".to_owned(), index: Some(2) };
    assert_eq!(whole.host_link, Some(renamed));
    assert_eq!((whole.life, whole.since), (Life::Alive(100), Some(1_700_000_000)));
    assert_eq!(whole.leased.len(), 3, "{:?}", whole.leased);
}

#[test]
fn states_are_told_apart() {
    let inventory = inventory();
    for (id, state) in [
        ("direct", State::Attached),
        ("half", State::HalfMade),
        ("gone", State::NamespaceGone),
        ("nobody-knows", State::LeaseOnly),
        ("refpod", State::Attached),
        ("nolink", State::LinkGone),
        ("macpod", State::Attached),
    ] {
        assert_eq!(of(&inventory, id).state, state, "{id}");
    }
    assert_eq!(inventory.attachments.len(), 8);
    assert_eq!(of(&inventory, "direct").pod.as_deref(), Some("kube-system/dns"));
    let link = of(&inventory, "refpod").host_link.clone().unwrap();
    assert_eq!((link.name.as_str(), link.index), ("veth12ab", Some(6)));
    // c3 is there, but with another's alias.
    assert_eq!(of(&inventory, "half").host_link.clone().unwrap().index, None);
    assert_eq!(of(&inventory, "macpod").host_link, None);
    let only = of(&inventory, "nobody-knows");
    assert_eq!(only.addresses, ["10.1.0.9/32".parse::<IpNetwork>().unwrap()]);
}

#[test]
fn a_prefix_may_mean_several_and_a_whole_id_only_itself() {
    let inventory = inventory();
    assert_eq!(inventory.of_container("no").len(), 2);
    assert_eq!(inventory.of_container("who").len(), 1);
    assert_eq!(inventory.of_container("x").len(), 0);
}

#[test]
fn leases_are_held_leaked_or_damaged() {
    let inventory = inventory();
    let pods = inventory.leases.iter().find(|one| one.network == "pods").unwrap();
    let standing = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        let lease = pods.leases.iter().find(|lease| lease.stored.address == address).unwrap();
        lease.standing
    };
    for (address, wanted) in [
        ("10.1.0.2", Standing::Held),
        ("10.1.0.3", Standing::Held),
        ("10.1.0.5", Standing::Held),
        ("10.1.0.6", Standing::Leaked(Leak::NamespaceGone)),
        ("10.1.0.9", Standing::Leaked(Leak::NoAttachment)),
        ("10.1.0.10", Standing::Leaked(Leak::Empty)),
        ("10.1.0.11", Standing::Damaged),
        ("10.1.0.12", Standing::Held),
    ] {
        assert_eq!(standing(address), wanted, "{address}");
    }
    assert_eq!(pods.leases[0].pod.as_deref(), Some("default/web-0"));
}

#[test]
fn ranges_tell_how_full_they_are() {
    let inventory = inventory();
    let pods = inventory.leases.iter().find(|one| one.network == "pods").unwrap();
    let ranges = pods.ranges();
    assert_eq!(ranges.len(), 1);
    let range = &ranges[0];
    // 10.1.0.2 to .20 without .7
    assert_eq!((range.size, range.used, range.leaked, range.free()), (18, 8, 3, 10));
    let holes: Vec<_> = range.holes.iter().map(|(first, last)| format!("{first}-{last}")).collect();
    assert_eq!(holes, ["10.1.0.4-10.1.0.4", "10.1.0.8-10.1.0.8"]);
    let outside: Vec<_> = pods.outside().iter().map(|one| one.stored.address.to_string()).collect();
    assert_eq!(outside, ["10.1.0.200"]);
}

#[test]
fn what_is_not_understood_is_told_with_its_path() {
    let inventory = inventory();
    assert_eq!(inventory.problems.len(), 1, "{:?}", inventory.problems);
    assert!(inventory.problems[0].contains("state/pods/broken:eth0:bridge"));
}

#[test]
fn a_nodes_configurations_name_further_places() {
    let places = Places::of_node(Some(&folder("conf"))).unwrap();
    assert!(places.state.contains(&"/nowhere/state".into()));
    assert!(places.leases.contains(&"/nowhere/leases".into()));
    assert_eq!(places.state.len(), 2);
    let fused = Sources::read(&Places { networks: places.networks, ..Places::default() });
    let names: Vec<_> = fused.leases.iter().map(|one| one.network.as_str()).collect();
    assert_eq!(names, ["fused", "pods"]);
}

#[test]
fn people_may_say_pods_and_namespaces() {
    let inventory = inventory();
    let called = |text: &str| -> Vec<&str> {
        inventory.called(text).iter().map(|one| one.owner.container_id.as_str()).collect()
    };
    assert_eq!(called("kube-system/dns"), ["direct"]);
    assert_eq!(called("dns"), ["direct"]);
    assert_eq!(called("who"), called("whole"));
    let with_namespace = inventory.attachments.iter().find(|one| one.netns.is_some()).unwrap();
    let path = with_namespace.netns.clone().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(called(name).contains(&with_namespace.owner.container_id.as_str()), "{name}");
    assert_eq!(called("system/dns"), [""; 0]);
    assert_eq!(called(""), [""; 0]);
}
