//! `causeway list`, `show` and `leases` on a host with attachments, whole and broken, of causeway's and
//! the reference's plugins.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use serde_json::{Value, json};

use harness::call::Plugin;
use harness::person::Person;
use harness::{Host, Pod, REFERENCE_DIR, require_reference};

const LEASES: &str = "/var/lib/cni/networks/pods";

fn pods() -> Value {
    json!({
        "cniVersion": "1.1.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{
                        "subnet": "10.88.0.0/24",
                        "rangeStart": "10.88.0.2",
                        "rangeEnd": "10.88.0.20",
                        "exclude": ["10.88.0.12"],
                    }]],
                },
            },
            { "type": "firewall" },
        ],
    })
}

/// A host with the network, and a person who attaches pods of Kubernetes.
fn person_on(host: &Host) -> Person<'_> {
    let person = Person::on(host);
    person.configure("10-pods.conflist", &pods());
    person
}

/// Attaches a new pod under its Kubernetes name.
fn attach<'a>(host: &'a Host, person: &Person<'_>, name: &str) -> Pod<'a> {
    let pod = host.pod(name);
    let args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={name}");
    person.with("CNI_ARGS", &args).succeeds(&format!("attach pods {name}"));
    pod
}

/// The one attachment of a pod.
fn listed(person: &Person<'_>, pod: &str) -> Value {
    let all = person.json("list");
    let of_pod = |one: &&Value| one["pod"] == format!("default/{pod}");
    let found: Vec<_> = all.as_array().unwrap().iter().filter(of_pod).collect();
    assert_eq!(found.len(), 1, "{all:#}");
    found[0].clone()
}

#[test]
fn a_list_tells_pods_addresses_links_and_states() {
    let host = Host::new();
    let person = person_on(&host);
    assert_eq!(person.json("list"), json!([]));
    attach(&host, &person, "whole");
    attach(&host, &person, "linkless");
    attach(&host, &person, "dead");
    attach(&host, &person, "half");

    host.run(&format!(
        "ip link del {}",
        listed(&person, "linkless")["hostLink"]["name"].as_str().unwrap()
    ));
    host.run("umount /run/netns/dead");
    // As a kill leaves it: a record, and nothing of what it says.
    let half = listed(&person, "half");
    host.run(&format!("ip link del {}", half["hostLink"]["name"].as_str().unwrap()));
    host.run(&format!("rm {}", half["result"].as_str().unwrap()));
    host.write(&format!("{LEASES}/10.88.0.20"), "0123456789abcdef\r\neth0");

    for (pod, state) in [
        ("whole", "attached"),
        ("linkless", "link-gone"),
        ("dead", "namespace-gone"),
        ("half", "half-made"),
    ] {
        assert_eq!(listed(&person, pod)["state"], state, "{pod}");
    }
    let whole = listed(&person, "whole");
    assert_eq!(whole["addresses"], json!(["10.88.0.2/24"]));
    assert_eq!(whole["leased"], json!(["10.88.0.2"]));
    assert_eq!(whole["plugins"], json!(["bridge", "firewall"]));
    assert_eq!(whole["netns"], "/run/netns/whole");
    let index = host.json("ip -j link show master cni0")[0]["ifindex"].clone();
    assert_eq!(whole["hostLink"]["index"], index);

    let table = person.succeeds("list");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 6, "{table}");
    assert!(lines[0].starts_with("CONTAINER") && lines[0].ends_with("STATE"), "{table}");
    let only = lines.iter().find(|line| line.starts_with("0123456789abcdef ")).unwrap();
    assert!(only.contains("10.88.0.20/32") && only.ends_with("lease only"), "{table}");
    let whole = lines.iter().find(|line| line.contains("default/whole")).unwrap();
    assert!(whole.ends_with("attached") && whole.contains("10.88.0.2/24"), "{table}");
    assert!(!table.contains('\u{1b}'), "colour where no terminal is: {table}");
    assert_eq!(person.json("list --network other"), json!([]));

    // Reading has changed nothing, not even what cannot be understood.
    host.write("/var/lib/cni/causeway/pods/x:eth0:bridge", "{");
    let said = person.causeway("list");
    assert!(said.stderr.contains("/pods/x:eth0:bridge"), "{said}");
    assert_eq!(host.read("/var/lib/cni/causeway/pods/x:eth0:bridge"), "{");
}

#[test]
fn what_is_called_without_a_runtime_is_listed_too() {
    let host = Host::new();
    let person = person_on(&host);
    let pod = host.pod("blue");
    let mut single = pods()["plugins"][0].clone();
    single["name"] = "pods".into();
    single["cniVersion"] = "1.1.0".into();
    pod.call(Plugin::Causeway("bridge"), &single).id("direct").add();
    let all = person.json("list");
    assert_eq!(all[0]["containerID"], "direct");
    assert_eq!(all[0]["state"], "attached");
    assert_eq!(all[0]["addresses"], json!(["10.88.0.2/24"]));
    assert_eq!(all[0]["result"], Value::Null);
    person.succeeds("show direct");
    person.succeeds("show dir");
}

/// What `show` finds wrong with the one attachment of a pod, by way of its exit code and JSON.
fn wrong_with(person: &Person<'_>, pod: &str) -> Vec<String> {
    let said = person.causeway(&format!("show default/{pod} --output json"));
    let shown: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    let parts = shown[0]["parts"].as_array().expect("parts");
    assert!(parts.len() > 5, "{said}");
    let wrong = parts.iter().filter(|part| part["verdict"] == "wrong");
    let findings = wrong.flat_map(|part| part["findings"].as_array().unwrap());
    let findings: Vec<_> = findings.map(|text| text.as_str().unwrap().to_owned()).collect();
    assert_eq!(said.status, Some(i32::from(!findings.is_empty())), "{said}");
    findings
}

#[test]
fn show_looks_at_every_part() {
    let host = Host::new();
    let person = person_on(&host);
    attach(&host, &person, "blue");
    assert_eq!(wrong_with(&person, "blue"), [""; 0]);
    let text = person.succeeds("show default/blue");
    assert!(text.contains("✓ lease 10.88.0.2/24 from host-local"), "{text}");
    assert!(!text.contains('✗') && !text.contains('?'), "{text}");

    let link = listed(&person, "blue")["hostLink"]["name"].as_str().unwrap().to_owned();
    for (break_it, mend_it, word) in [
        (
            "ip -n blue addr del 10.88.0.2/24 dev eth0".to_owned(),
            "ip -n blue addr add 10.88.0.2/24 dev eth0".to_owned(),
            "10.88.0.2/24",
        ),
        (format!("ip link set {link} nomaster"), format!("ip link set {link} master cni0"), "cni0"),
        (
            format!("mv {LEASES}/10.88.0.2 /run/lease"),
            format!("mv /run/lease {LEASES}/10.88.0.2"),
            "not leased",
        ),
    ] {
        host.run(&break_it);
        let findings = wrong_with(&person, "blue");
        assert!(findings.iter().any(|one| one.contains(word)), "{break_it}: {findings:?}");
        let said = person.causeway("show default/blue");
        assert!(said.status == Some(1) && said.stdout.contains('✗'), "{said}");
        host.run(&mend_it);
        assert_eq!(wrong_with(&person, "blue"), [""; 0], "{mend_it}");
    }
    host.run("nft delete table inet causeway_firewall");
    let findings = wrong_with(&person, "blue");
    assert!(findings.iter().any(|one| one.contains("10.88.0.2")), "{findings:?}");

    host.run("umount /run/netns/blue");
    let said = person.causeway("show default/blue");
    assert!(said.stdout.contains("namespace gone"), "{said}");
    assert!(said.stdout.contains("? add 10.88.0.2/24"), "{said}");
}

#[test]
fn an_attachment_is_known_without_its_configuration() {
    let host = Host::new();
    let person = person_on(&host);
    let mut list = pods();
    list["plugins"][0]["ipam"]["dataDir"] = "/var/lib/elsewhere".into();
    for plugin in list["plugins"].as_array_mut().unwrap() {
        plugin["stateDir"] = "/var/lib/records".into();
    }
    person.configure("10-pods.conflist", &list);
    attach(&host, &person, "blue");
    for _ in 0..2 {
        assert_eq!(listed(&person, "blue")["plugins"], json!(["bridge", "firewall"]));
        assert_eq!(wrong_with(&person, "blue"), [""; 0]);
        let leases = person.json("leases");
        assert_eq!(leases[0]["directory"], "/var/lib/elsewhere/pods");
        host.run("rm -f /run/net.d/10-pods.conflist");
    }
}

#[test]
fn an_id_may_be_cut_short_but_not_too_short() {
    let host = Host::new();
    let person = person_on(&host);
    attach(&host, &person, "blue");
    attach(&host, &person, "green");
    person.fails("show cnitool-", &["\"cnitool-\"", "write more"]);
    person.fails("show nobody", &["\"nobody\"", "causeway list"]);
    person.fails("show default/nobody", &["default/nobody"]);
    let id = listed(&person, "blue")["containerID"].as_str().unwrap().to_owned();
    let text = person.succeeds(&format!("show {}", &id[..16]));
    assert!(text.contains(&id) && text.contains("default/blue"), "{text}");
}

#[test]
fn attachments_and_leases_of_the_reference_are_seen() {
    require_reference();
    let host = Host::new();
    let person = person_on(&host).with("CNI_PATH", REFERENCE_DIR);
    let mut list = pods();
    list["cniVersion"] = "1.0.0".into();
    list["plugins"].as_array_mut().unwrap().truncate(1);
    // A key of causeway's own.
    list["plugins"][0]["ipam"]["ranges"][0][0].as_object_mut().unwrap().remove("exclude");
    person.configure("10-pods.conflist", &list);
    attach(&host, &person, "blue");
    let blue = listed(&person, "blue");
    assert_eq!(blue["state"], "attached");
    assert_eq!(blue["plugins"], json!([]));
    assert_eq!(blue["hostLink"]["name"], host.host_veth().as_str());
    let text = person.succeeds("show default/blue");
    assert!(
        text.contains("✓ 10.88.0.2/24 on eth0") && text.contains("✓ lease 10.88.0.2"),
        "{text}"
    );
    let leases = person.json("leases");
    assert_eq!(leases[0]["leases"][0]["state"], "held");
    assert_eq!(leases[0]["leases"][0]["pod"], "default/blue");

    host.run(&format!("ip link del {}", host.host_veth()));
    assert_eq!(listed(&person, "blue")["state"], "link-gone");
    let said = person.causeway("show default/blue");
    assert!(said.status == Some(1) && said.stdout.contains('✗'), "{said}");
}

/// A lease of the network by address.
fn lease(person: &Person<'_>, address: &str) -> Option<Value> {
    let leases = person.json("leases pods");
    let all = leases[0]["leases"].as_array().unwrap().clone();
    all.into_iter().find(|one| one["address"] == address)
}

#[test]
fn leases_tell_use_holes_and_leaks() {
    let host = Host::new();
    let person = person_on(&host);
    assert_eq!(person.json("leases pods --ranges")[0]["ranges"][0]["free"], "18");
    let [_, _, dead] = ["one", "two", "dead"].map(|pod| attach(&host, &person, pod));
    person.succeeds("detach pods two");
    dead.end();
    host.write(&format!("{LEASES}/10.88.0.14"), "nobody\r\neth0");
    host.write(&format!("{LEASES}/10.88.0.15"), "");
    host.write(&format!("{LEASES}/10.88.0.16"), "\u{1}\u{2}");
    host.write(&format!("{LEASES}/10.88.0.77"), "nobody\r\neth0");

    let range = person.json("leases pods --ranges")[0]["ranges"][0].clone();
    assert_eq!((&range["addresses"], &range["free"]), (&json!("18"), &json!("13")));
    assert_eq!((&range["used"], &range["leaked"]), (&json!(5), &json!(3)));
    assert_eq!(
        range["holes"],
        json!([
            ["10.88.0.3", "10.88.0.3"],
            ["10.88.0.5", "10.88.0.11"],
            ["10.88.0.13", "10.88.0.13"],
        ])
    );
    for (address, state, why) in [
        ("10.88.0.2", "held", Value::Null),
        ("10.88.0.4", "leaked", json!("namespace gone")),
        ("10.88.0.14", "leaked", json!("no attachment")),
        ("10.88.0.15", "leaked", json!("empty lease file")),
        ("10.88.0.16", "damaged", Value::Null),
    ] {
        let lease = lease(&person, address).unwrap();
        assert_eq!((&lease["state"], &lease["why"]), (&json!(state), &why), "{address}");
    }
    let text = person.succeeds("leases");
    assert!(text.contains("10.88.0.3 10.88.0.5-10.88.0.11 10.88.0.13"), "{text}");
    assert!(
        text.contains("pods: 1 lease is of no range of the configuration: 10.88.0.77"),
        "{text}"
    );
    let leaked = person.succeeds("leases --leaked");
    assert!(!leaked.contains("held") && leaked.lines().count() == 6, "{leaked}");
    person.fails("leases nosuch", &["nosuch"]);
}

#[test]
fn only_what_nobody_has_is_released() {
    let host = Host::new();
    let person = person_on(&host);
    attach(&host, &person, "one");
    attach(&host, &person, "dead").end();
    host.write(&format!("{LEASES}/10.88.0.14"), "nobody\r\neth0");
    host.write(&format!("{LEASES}/10.88.0.15"), "nobody\r\neth0");
    host.write(&format!("{LEASES}/10.88.0.16"), "\u{1}");
    // Somebody has it, whom nothing tells of.
    let stray = host.pod("stray");
    stray.run("ip link add one type veth peer name two");
    stray.run("ip addr add 10.88.0.15/24 dev one");

    let held = ["10.88.0.2 of pods", "attached", "nothing was released"];
    person.fails("leases release 10.88.0.2", &held);
    person.fails("leases release 10.88.0.14 10.88.0.2", &held);
    person.fails("leases release 10.88.0.15", &["10.88.0.15", "in use", "/run/netns/stray"]);
    person.fails("leases release 10.88.0.99", &["10.88.0.99 is not leased"]);
    for address in ["10.88.0.2", "10.88.0.14", "10.88.0.15"] {
        assert!(lease(&person, address).is_some(), "{address}");
    }

    let planned = person.succeeds("leases release 10.88.0.14 --dry-run");
    assert!(planned.contains("would release 10.88.0.14 of pods, held by nobody/eth0"), "{planned}");
    assert!(lease(&person, "10.88.0.14").is_some());

    let said = person.causeway("leases release --leaked");
    assert_eq!(said.status, Some(1), "one was refused: {said}");
    assert!(said.stderr.contains("10.88.0.15"), "{said}");
    for (address, is_left) in [
        ("10.88.0.2", true),
        ("10.88.0.3", false),
        ("10.88.0.14", false),
        ("10.88.0.15", true),
        ("10.88.0.16", true),
    ] {
        assert_eq!(lease(&person, address).is_some(), is_left, "{address}");
    }
    person.succeeds("leases release 10.88.0.16");
    person.succeeds("leases release --force 10.88.0.15");
    stray.run("ip link del one");

    // What was released is handed out again, and host-local has not lost count.
    attach(&host, &person, "two");
    attach(&host, &person, "three");
    for pod in ["one", "two", "three"] {
        assert_eq!(wrong_with(&person, pod), [""; 0], "{pod}");
        person.succeeds(&format!("detach pods {pod}"));
    }
    assert_eq!(person.json("leases pods --ranges")[0]["ranges"][0]["used"], 0);
}

#[test]
fn an_address_of_two_networks_needs_the_network() {
    let host = Host::new();
    let person = person_on(&host);
    for network in ["pods", "other"] {
        host.write(&format!("/var/lib/cni/networks/{network}/10.88.0.9"), "nobody\r\neth0");
    }
    person.fails("leases release 10.88.0.9", &["other and pods", "--network"]);
    person.succeeds("leases release 10.88.0.9 --network other");
    assert!(lease(&person, "10.88.0.9").is_some());
    let text = person.succeeds("leases other");
    assert!(text.contains("no configuration has it"), "{text}");
}

/// What was misspelt is not what nobody is attached to.
#[test]
fn what_is_not_there_is_said_to_be_so() {
    let host = Host::new();
    let person = person_on(&host);
    person.succeeds("list --network pods");
    person.succeeds("graph --network pods --format dot");
    for command in ["list --network prods", "graph --network prods --format dot"] {
        person.fails(command, &["\"prods\"", "pods"]);
    }
    person.fails("repair nobody", &["\"nobody\"", "causeway list"]);
}

/// What doctor says of the kernel is what the kernel says itself.
#[test]
fn doctor_tells_what_the_kernel_lacks() {
    use causeway::kernel::features::{Feature, State, look_for};
    let host = Host::new();
    let person = Person::on(&host);
    for (file, kind) in [("10", "vlan"), ("20", "dummy"), ("30", "bridge")] {
        let plugin = json!({"type": kind, "master": "lo", "vlanId": 7,
            "ipam": {"type": "host-local", "subnet": format!("10.{file}.0.0/24")}});
        person.configure(
            &format!("{file}.conflist"),
            &json!({"cniVersion": "1.0.0", "name": kind, "plugins": [plugin]}),
        );
    }
    let said = person.causeway("doctor").stdout;
    for feature in [Feature::Vlan, Feature::Dummy, Feature::Bridge, Feature::Veth] {
        let [(_, state)] = &host.inside(|| look_for(&[feature]))[..] else { panic!("no answer") };
        let is_told = said.contains(&format!("the kernel has no {feature} ("));
        assert_eq!(is_told, *state == State::Lacking, "{feature}: {state:?}: {said}");
    }
}
