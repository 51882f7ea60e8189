//! `causeway graph`: a node with every kind of link that this kernel has, drawn.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use serde_json::{Value, json};

use harness::Host;
use harness::person::Person;
use harness::uplink::{CARD, uplink};

/// A node with a card `up0` and the networks `pods` (bridge), `lan` (macvlan) and `edge` (ptp).
fn node(host: &Host) -> Person<'_> {
    let person = Person::on(host);
    uplink(host);
    host.run("ip addr add 192.0.2.10/24 dev up0");
    host.run("ip route add default via 192.0.2.1");
    for (file, name, plugin) in [
        (
            "10.conflist",
            "pods",
            json!({
                "type": "bridge", "bridge": "cni0", "isDefaultGateway": true,
                "ipam": {"type": "host-local", "subnet": "10.88.0.0/24"},
            }),
        ),
        (
            "20.conflist",
            "lan",
            json!({
                "type": "macvlan", "master": CARD,
                "ipam": {"type": "host-local", "subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100"},
            }),
        ),
        (
            "30.conflist",
            "edge",
            json!({
                "type": "ptp", "ipam": {"type": "host-local", "subnet": "10.77.0.0/24"},
            }),
        ),
    ] {
        let ports = json!({"type": "portmap", "capabilities": {"portMappings": true}});
        let plugins = if name == "pods" { json!([plugin, ports]) } else { json!([plugin]) };
        person.configure(file, &json!({"cniVersion": "1.0.0", "name": name, "plugins": plugins}));
    }
    person
}

fn attach(person: &Person<'_>, network: &str, pod: &str, more: &str) {
    let args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME={pod}");
    person.with("CNI_ARGS", &args).succeeds(&format!("attach {network} {pod} {more}"));
}

#[test]
fn links_addresses_and_ports_are_in_the_picture() {
    let host = Host::new();
    let person = node(&host);
    for pod in ["web-0", "db-0", "cam-0", "gate", "idle"] {
        host.pod(pod);
    }
    let ports = r#"{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}"#;
    attach(&person.with("CAP_ARGS", ports), "pods", "web-0", "");
    attach(&person, "pods", "db-0", "");
    attach(&person, "lan", "db-0", "--ifname net1");
    attach(&person, "lan", "cam-0", "");
    attach(&person, "edge", "gate", "");

    let facts: Value = serde_json::from_str(&person.succeeds("graph --format json")).unwrap();
    let of = |name: &str| {
        let all = facts["namespaces"].as_array().unwrap();
        let path = format!("/run/netns/{name}");
        let found = all.iter().find(|one| one["path"] == path.as_str());
        found.unwrap_or_else(|| panic!("no {name}: {facts:#}")).clone()
    };
    let link = |namespace: &Value, name: &str| {
        let all = namespace["links"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap().clone()
    };
    // Both ends of a pair name each other, whatever numbers they have.
    let web = of("web-0");
    let inside = link(&web, "eth0");
    let host_ends = facts["host"]["links"].as_array().unwrap();
    let end = host_ends.iter().find(|one| one["index"] == inside["far"]["index"]).unwrap();
    assert_eq!(end["far"], json!({"netns": web["inode"], "index": inside["index"]}));
    assert_eq!(inside["far"]["netns"], facts["host"]["inode"]);
    assert_eq!(end["master"], link(&facts["host"], "cni0")["index"]);
    // A macvlan names its master.
    let card = link(&facts["host"], CARD);
    let macvlan = link(&of("db-0"), "net1");
    let master = json!({"netns": facts["host"]["inode"], "index": card["index"]});
    assert_eq!(macvlan["far"], master, "{macvlan}");

    let picture = person.succeeds("graph");
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"), "{picture}");
    for text in [
        "shop/web-0",
        "shop/db-0",
        "shop/cam-0",
        "shop/gate",
        "cni0",
        "10.88.0.1/24",
        "eth0 10.88.0.2/24",
        "8080/tcp → 80",
        "8080/tcp → shop/web-0:80",
        "default via 192.0.2.1",
        "macvlan bridge on up0",
        "other",
        end["name"].as_str().unwrap(),
    ] {
        assert!(picture.contains(text), "{text} is not in {picture}");
    }
    assert!(!picture.contains("idle"), "there is nothing to see of it: {picture}");

    let graph = person.succeeds("graph --format dot");
    assert!(graph.starts_with("graph causeway {"), "{graph}");
    let chart = person.succeeds("graph --format mermaid");
    assert!(chart.starts_with("flowchart TB"), "{chart}");
    let edge = person.succeeds("graph --format dot --network edge");
    assert!(edge.contains("shop/gate") && !edge.contains("shop/web-0"), "{edge}");

    // To a file, and not to one that cannot be.
    assert_eq!(person.succeeds("graph --output /run/node.svg"), "");
    assert_eq!(host.read("/run/node.svg"), picture);
    person.fails("graph -o /run/nowhere/node.svg", &["/run/nowhere/node.svg"]);
}

#[test]
fn what_is_wrong_is_seen() {
    let host = Host::new();
    let person = node(&host);
    for pod in ["good", "down", "dead", "bare"] {
        host.pod(pod);
        attach(&person, "pods", pod, "");
    }
    host.run("ip -n down link set eth0 down");
    host.run("ip -n bare link del eth0");
    host.run("umount /run/netns/dead");
    let graph = person.succeeds("graph --format dot");
    let of = |pod: &str| {
        let line = graph.lines().find(|line| line.contains(pod));
        line.unwrap_or_else(|| panic!("no {pod} in {graph}")).to_owned()
    };
    assert!(!of("shop/good").contains("red"), "{graph}");
    for (pod, what) in
        [("shop/down", "eth0 is down"), ("shop/dead", "namespace gone"), ("shop/bare", "link gone")]
    {
        assert!(of(pod).contains("red") && of(pod).contains(what), "{graph}");
    }
    assert!(graph.contains("3 not as it should be"), "{graph}");
}

#[test]
fn an_empty_node_has_a_picture_too() {
    let host = Host::new();
    let person = Person::on(&host);
    let picture = person.succeeds("graph");
    assert!(picture.contains("0 namespaces, 0 attachments"), "{picture}");
}
