//! A node with two pods is broken in many ways, one at a time. Before, doctor and trace find nothing
//! wrong; after, one of them names what was done; and where a command is given, it mends the node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "broken_node/breaks.rs"]
mod breaks;
mod harness;

use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use breaks::{BREAKS, Break, Mended, OUT};
use harness::call::Plugin;
use harness::{Host, Pod};
use serde_json::{Value, json};

const CONFIGURATIONS: &str = "/run/net.d";
const PROGRAMS: &str = "/run/cni-test/causeway";
/// An address of the world that the uplink leads to.
const WORLD: &str = "192.0.2.1";

/// A host with an uplink and two pods.
struct Node {
    host: Host,
}

impl Node {
    fn new() -> Self {
        let host = Host::new();
        let world = host.pod("world");
        host.run("ip link add up0 type veth peer name up1 netns world");
        for command in [
            "ip addr add 198.18.0.2/24 dev up0",
            "ip addr add 2001:db8:1::2/64 dev up0 nodad",
            "ip link set up0 up",
        ] {
            host.run(command);
        }
        for command in [
            "ip addr add 198.18.0.1/24 dev up1",
            "ip addr add 192.0.2.1/32 dev up1",
            "ip addr add 2001:db8:1::1/64 dev up1 nodad",
            "ip link set up1 up",
        ] {
            world.run(command);
        }
        host.run("ip route add default via 198.18.0.1");
        host.run("ip -6 route add default via 2001:db8:1::1");
        let plugins = json!([
            {"type": "bridge", "bridge": "br0", "isDefaultGateway": true, "ipMasq": true,
             "macspoofchk": true, "addrspoofchk": true,
             "ipam": {"type": "host-local",
                      "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd00:88::/64"}]]}},
            {"type": "portmap", "capabilities": {"portMappings": true}},
            {"type": "firewall", "backend": "nftables"},
            {"type": "bandwidth", "ingressRate": 1_000_000_000, "ingressBurst": 1_000_000_000,
             "egressRate": 1_000_000_000, "egressBurst": 1_000_000_000}
        ]);
        let list = json!({"cniVersion": "1.0.0", "name": "testnet", "plugins": plugins});
        host.write(&format!("{CONFIGURATIONS}/10-testnet.conflist"), &list.to_string());
        for (name, port) in [("a", 8080), ("b", 8081)] {
            let fused = json!({
                "cniVersion": "1.0.0", "name": "testnet", "type": "causeway", "plugins": plugins,
                "capabilities": {"portMappings": true},
                "runtimeConfig": {"portMappings":
                    [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]}
            });
            host.pod(name).call(Plugin::Causeway("causeway"), &fused).add();
        }
        Self { host }
    }

    fn shell(&self, command: &str) -> Output {
        self.host.inside(|| {
            Command::new("sh")
                .args(["-ec", command])
                .env("PATH", format!("{PROGRAMS}:/usr/sbin:/usr/bin:/sbin:/bin"))
                .env("NETCONFPATH", CONFIGURATIONS)
                .env("CNI_PATH", PROGRAMS)
                .output()
                .expect("run a shell")
        })
    }

    fn must(&self, command: &str) {
        let out = self.shell(command);
        let said = String::from_utf8_lossy(&out.stderr);
        let told = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "`{command}`: {said}{told}");
    }

    /// What doctor finds, and whether its exit code says that all is well.
    fn doctor(&self, more: &str) -> (Vec<Value>, bool) {
        let out = self.shell(&format!("causeway doctor --output json {more}"));
        let said = String::from_utf8_lossy(&out.stderr);
        let told: Value =
            serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
        let findings = told["findings"].as_array().expect("findings").clone();
        assert_eq!(told["healthy"], out.status.success(), "{told:#}");
        (findings, out.status.success())
    }

    fn trace(&self, arguments: &str) -> (Value, bool) {
        let out = self.shell(&format!("causeway trace {arguments} --output json"));
        let said = String::from_utf8_lossy(&out.stderr);
        let told = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
        (told, out.status.success())
    }

    /// Nothing is found, and what trace says works does work.
    fn is_whole(&self, when: &str) {
        let (findings, healthy) = self.doctor("");
        assert!(healthy && findings.is_empty(), "{when}: {findings:#?}");
    }

    /// The pods' packets reach the world.
    fn carries(&self, when: &str) {
        for name in ["a", "b"] {
            if self.host.succeeds(&format!("ip -n {name} link show eth0")) {
                let path = format!("/run/netns/{name}").into();
                let pod = Pod { host: &self.host, name: name.to_owned(), path };
                assert!(pod.reaches(WORLD), "{when}: {name} does not reach the world");
            }
        }
    }
}

fn broken(one: &Break) {
    let (name, node) = (one.name, Node::new());
    node.is_whole(&format!("before: {name}"));
    if let Some((arguments, _)) = one.trace {
        // A listening program is another matter, see below.
        let (report, _) = node.trace(arguments);
        let stops = stops(&report);
        assert!(stops.iter().all(|stop| stop.contains("no program listens")), "{name}: {report:#}");
    }
    let veth = host_end(&node);
    node.must(&one.how.replace("{VETH}", &veth));

    if let Some((arguments, word)) = one.trace {
        let (report, passes) = node.trace(arguments);
        assert!(!passes, "{name}: trace finds nothing: {report:#}");
        assert!(stops(&report).iter().any(|stop| stop.contains(word)), "{name}: {report:#}");
    }
    let (findings, healthy) = node.doctor("");
    let Some((check, word)) = one.check else { return };
    assert!(!healthy, "{name}: doctor finds nothing");
    let named = findings.iter().any(|finding| {
        finding["check"] == check
            && finding["what"].as_str().is_some_and(|what| what.contains(word))
    });
    assert!(named, "{name}: {check} is not found, or does not say {word}: {findings:#?}");
    match one.mended {
        Mended::Left => {
            let given = findings.iter().filter(|finding| finding["check"] == check);
            let given: Vec<_> = given.filter(|finding| finding["fixable"] == true).collect();
            assert!(given.is_empty(), "{name}: --fix promises what it cannot do: {given:#?}");
            return;
        }
        Mended::Fixed => {
            let (left, _) = node.doctor("--fix");
            assert!(left.is_empty(), "{name}: --fix leaves {left:#?}");
        }
        Mended::Advised => {
            let (left, _) = node.doctor("--fix");
            assert!(!left.is_empty(), "{name}: --fix was expected to leave it alone");
            follow_advice(&node, &findings);
        }
    }
    node.is_whole(&format!("mended: {name}"));
    node.carries(name);
    if one.mended == Mended::Fixed {
        // And by hand.
        let node = Node::new();
        node.must(&one.how.replace("{VETH}", &host_end(&node)));
        follow_advice(&node, &node.doctor("").0);
        node.is_whole(&format!("mended by hand: {name}"));
        node.carries(name);
    }
}

/// Runs each command that is given, once.
fn follow_advice(node: &Node, findings: &[Value]) {
    let mut commands: Vec<&str> =
        findings.iter().filter_map(|finding| finding["mend"].as_str()).collect();
    commands.sort_unstable();
    commands.dedup();
    for command in commands {
        node.must(command);
    }
}

fn host_end(node: &Node) -> String {
    let links = node.host.json("ip -j -d link show master br0");
    let of_a =
        links.as_array().expect("links").iter().find(|link| link["ifalias"] == "testnet/id-a/eth0");
    of_a.expect("pod a's host end")["ifname"].as_str().expect("a name").to_owned()
}

fn stops(report: &Value) -> Vec<&str> {
    let hops = report["hops"].as_array().expect("hops").iter();
    hops.filter(|hop| hop["state"] == "stopped").filter_map(|hop| hop["what"].as_str()).collect()
}

#[test]
fn every_way_to_break_a_node_is_named_and_mended_where_it_says_so() {
    let next = AtomicUsize::new(0);
    let only = std::env::var("CAUSEWAY_BREAK").unwrap_or_default();
    let failures: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let mut failures = Vec::new();
            while let Some(one) = BREAKS.get(next.fetch_add(1, Ordering::Relaxed)) {
                if !one.name.contains(&only) {
                    continue;
                }
                let result = std::panic::catch_unwind(|| broken(one));
                if let Err(panic) = result {
                    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                    failures.push(format!("{}: {text}", one.name));
                }
            }
            failures
        };
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    });
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        BREAKS.len(),
        failures.join("\n\n")
    );
}

#[test]
fn fixing_does_not_cut_off_a_pod_whose_record_is_lost() {
    let node = Node::new();
    node.must("rm /var/lib/cni/causeway/testnet/id-a:eth0:causeway");
    let (left, _) = node.doctor("--fix");
    let checks: Vec<_> = left.iter().filter_map(|finding| finding["check"].as_str()).collect();
    assert!(checks.contains(&"link-leaked") && checks.contains(&"rule-leaked"), "{left:#?}");
    node.carries("after --fix without a record");
    assert!(node.host.succeeds("test -e /var/lib/cni/networks/testnet/10.88.0.2"));
}

#[test]
fn fixing_does_not_touch_a_pod_whose_namespace_a_process_keeps() {
    let node = Node::new();
    let kept = node.host.inside(|| std::fs::File::open("/run/netns/a").expect("a's namespace"));
    node.must("umount -l /run/netns/a; rm /run/netns/a");
    let (left, _) = node.doctor("--fix");
    let gone = left.iter().find(|finding| finding["check"] == "namespace-gone");
    assert!(gone.is_some_and(|finding| finding["fixable"] == false), "{left:#?}");
    node.must("nft get element inet causeway_masquerade pods-ipv4-24 '{ 10.88.0.2 }'");
    drop(kept);
}

/// A node whose pods the reference plugins have attached is whole, and its packets can be followed.
#[test]
fn a_pod_of_the_reference_plugins_is_no_finding() {
    harness::require_reference();
    let node = Node::new();
    node.host.pod("r");
    // Its firewall knows no nftables.
    node.must("sed -i 's/\"nftables\"/\"iptables\"/' /run/net.d/10-testnet.conflist");
    node.must("CNI_PATH=/run/cni-test/reference causeway attach testnet r");
    node.is_whole("with a pod of the reference plugins");
    let id = "cnitool-";
    let (report, passes) = node.trace(&format!("{id} --to 192.0.2.1:443"));
    assert!(passes && report["verdict"] == "passed", "{report:#}");
    let masqueraded = report["hops"]
        .as_array()
        .expect("hops")
        .iter()
        .any(|hop| hop["what"].as_str().is_some_and(|what| what.contains("masquerading")));
    assert!(masqueraded, "{report:#}");
    node.must("ip netns exec r ip link set eth0 mtu 9000");
    let (findings, _) = node.doctor("");
    assert_eq!(findings[0]["check"], "mtu", "{findings:#?}");
}

#[test]
fn an_address_held_twice_is_named() {
    let node = Node::new();
    let config = json!({"cniVersion": "1.0.0", "name": "othernet", "type": "bridge", "bridge": "br0",
        "ipam": {"type": "static", "addresses": [{"address": "10.88.0.2/24"}]}});
    node.host.pod("c").call(Plugin::Causeway("bridge"), &config).add();
    let (findings, _) = node.doctor("");
    let what = findings.iter().find(|finding| finding["check"] == "address-twice");
    let what = what.unwrap_or_else(|| panic!("{findings:#?}"))["what"].as_str().expect("text");
    assert!(what.contains("10.88.0.2") && what.contains("id-a") && what.contains("id-c"), "{what}");
}

#[test]
fn trace_looks_for_a_program_that_listens() {
    let node = Node::new();
    let b = Pod { host: &node.host, name: "b".into(), path: "/run/netns/b".into() };
    node.must("ip -n b link set lo up");
    let (report, passes) = node.trace("id-a --to pod:id-b:80");
    assert!(!passes && stops(&report)[0].contains("no program listens"), "{report:#}");
    let _near = b.inside(|| std::net::TcpListener::bind("127.0.0.1:81").expect("listen"));
    let (report, _) = node.trace("id-a --to pod:id-b:81");
    assert!(stops(&report)[0].contains("only at 127.0.0.1"), "{report:#}");
    let _listener = b.inside(|| std::net::TcpListener::bind("0.0.0.0:80").expect("listen"));
    for arguments in ["id-a --to pod:id-b:80", "id-b --host-port 8081", "id-a --to 198.18.0.2:8081"]
    {
        let (report, passes) = node.trace(arguments);
        assert!(passes && report["verdict"] == "passed", "{arguments}: {report:#}");
    }
    let (report, _) = node.trace("id-a --host-port 8081");
    assert!(stops(&report)[0].contains("leads to id-b"), "{report:#}");
    let (report, _) = node.trace("id-a --host-port 9999");
    assert!(stops(&report)[0].contains("no mapping"), "{report:#}");
}

#[test]
fn a_rule_that_cannot_be_judged_is_said_to_be_so() {
    let node = Node::new();
    node.must(
        "nft add table inet odd; nft add chain inet odd forward \
         '{ type filter hook forward priority 10; }'; \
         nft add rule inet odd forward limit rate over 1/second drop",
    );
    let (report, passes) = node.trace(OUT);
    assert!(passes && report["verdict"] == "unknown", "{report:#}");
    let (findings, healthy) = node.doctor("");
    assert!(healthy, "a note is no failure: {findings:#?}");
    assert_eq!(findings[0]["check"], "forward-unknown");
}

/// What another attachment has is not taken from it to mend the first.
#[test]
fn repair_takes_nothing_from_another() {
    let node = Node::new();
    let elements = "nft list set inet causeway_firewall pods-ipv4";
    node.must(
        "nft delete element inet causeway_firewall pods-ipv4 '{ 10.88.0.2 }'; \
         nft add element inet causeway_firewall pods-ipv4 \
         '{ 10.88.0.2 comment \"testnet/id-c/eth0\" }'",
    );
    let before = node.host.run(elements);
    let out = node.shell("causeway repair id-a");
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(!out.status.success() && told.contains("taken by testnet/id-c/eth0"), "{told}");
    assert_eq!(node.host.run(elements), before);
}

#[test]
fn repair_mends_one_pod_if_asked_and_says_when_there_is_nothing_to_do() {
    let node = Node::new();
    node.must("ip -n a route del default; ip -n b route del default");
    node.must("causeway repair id-a");
    let (findings, _) = node.doctor("");
    assert_eq!(findings.len(), 1, "{findings:#?}");
    node.must("causeway repair");
    node.is_whole("both repaired");
    let out = node.shell("causeway repair; causeway repair --leftovers");
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(told.matches("Nothing is to be done.").count(), 2, "{told}");
    let listed: Value =
        serde_json::from_slice(&node.shell("causeway list --output json").stdout).expect("a list");
    assert!(
        listed.as_array().expect("a list").iter().all(|one| one["state"] == "attached"),
        "{listed:#}"
    );
    let text = String::from_utf8_lossy(&node.shell("causeway doctor").stdout).into_owned();
    assert_eq!(text, "✓ Nothing is wrong.\n");
}
