//! A node with two pods is broken in many ways, one at a time. Before, doctor and trace find nothing
//! wrong; after, one of them names what was done; and where a command is given, it mends the node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::call::Plugin;
use harness::{Host, Pod};
use serde_json::{Value, json};

const CONFIGURATIONS: &str = "/run/net.d";
const PROGRAMS: &str = "/run/cni-test/causeway";
/// An address of the world that the uplink leads to.
const WORLD: &str = "192.0.2.1";

/// What makes the node whole again.
#[derive(Clone, Copy, PartialEq)]
enum Mended {
    /// Each command that doctor gives, and `doctor --fix` as well.
    Fixed,
    /// Each command that doctor gives; `doctor --fix` leaves it alone.
    Advised,
    /// No command: it takes a decision.
    Left,
}

/// One way to break a node.
struct Break {
    /// What it is.
    name: &'static str,
    /// Commands for a shell on the host; `{VETH}` is pod a's host end. In pod a: `ip -n a`.
    how: &'static str,
    /// The check of doctor that finds it, and a word of what it says; none when only trace can.
    check: Option<(&'static str, &'static str)>,
    /// The arguments of trace, and a word that the hop has which stops the packet.
    trace: Option<(&'static str, &'static str)>,
    /// What mends it.
    mended: Mended,
}

const OUT: &str = "id-a --to 192.0.2.1:443";
const OVER: &str = "id-a --to pod:id-b";
const PORT: &str = "id-a --host-port 8080";

use Mended::{Advised, Fixed, Left};

const BREAKS: &[Break] = &[
    Break {
        name: "forwarding of IPv4 is off",
        how: "sysctl -qw net.ipv4.ip_forward=0",
        check: Some(("forwarding", "IPv4")),
        trace: Some((OUT, "net.ipv4.ip_forward=0")),
        mended: Fixed,
    },
    Break {
        name: "forwarding of IPv6 is off",
        how: "sysctl -qw net.ipv6.conf.all.forwarding=0",
        check: Some(("forwarding", "IPv6")),
        trace: Some(("id-a --to 2001:db8::1", "net.ipv6.conf.all.forwarding=0")),
        mended: Fixed,
    },
    Break {
        name: "the bridge alone does not forward",
        how: "sysctl -qw net.ipv4.conf.br0.forwarding=0",
        check: Some(("forwarding", "br0")),
        trace: Some((OUT, "net.ipv4.conf.br0.forwarding=0")),
        mended: Fixed,
    },
    Break {
        name: "a veth pair is leaked",
        how: "ip link add leak0 type veth peer name leak1; ip link set leak0 alias testnet/dead/eth0",
        check: Some(("link-leaked", "leak0")),
        trace: None,
        mended: Fixed,
    },
    Break {
        name: "the pod's MTU is too large for its other end",
        how: "ip -n a link set eth0 mtu 9000",
        check: Some(("mtu", "9000")),
        trace: None,
        mended: Advised,
    },
    Break {
        name: "the uplink's MTU is smaller than the pods'",
        how: "ip link set up0 mtu 1400",
        check: Some(("mtu", "1400")),
        trace: None,
        mended: Advised,
    },
    Break {
        name: "the ruleset is flushed",
        how: "nft flush ruleset",
        check: Some(("masquerade", "10.88.0.2")),
        trace: Some((OUT, "nobody outside answers")),
        mended: Fixed,
    },
    Break {
        name: "the rules of masquerading are flushed, not the sets",
        how: "nft flush table inet causeway_masquerade",
        check: Some(("masquerade", "rules")),
        trace: Some((OUT, "rules it should have")),
        mended: Fixed,
    },
    Break {
        name: "a mapped port's element is deleted",
        how: "nft delete element inet causeway_portmap ports-ipv4 '{ tcp . 8080 }'",
        check: Some(("portmap", "10.88.0.2")),
        trace: Some((PORT, "not as they should be")),
        mended: Fixed,
    },
    Break {
        name: "an element is left of a pod that is gone",
        how: "nft add element inet causeway_firewall pods-ipv4 \
              '{ 10.88.0.77 comment \"testnet/dead/eth0\" }'",
        check: Some(("rule-leaked", "10.88.0.77")),
        trace: None,
        mended: Fixed,
    },
    Break {
        name: "a lease is left of a pod that is gone",
        how: "printf 'dead\\r\\neth0' >/var/lib/cni/networks/testnet/10.88.0.99",
        check: Some(("lease-leaked", "10.88.0.99")),
        trace: None,
        mended: Fixed,
    },
    Break {
        name: "a lease is gone under a pod",
        how: "rm /var/lib/cni/networks/testnet/10.88.0.2",
        check: Some(("lease-missing", "10.88.0.2")),
        trace: None,
        mended: Left,
    },
    Break {
        name: "iptables drops what is forwarded",
        how: "iptables -P FORWARD DROP",
        check: Some(("forward-drop", "chain FORWARD of table filter (iptables)")),
        trace: Some((OUT, "chain FORWARD")),
        mended: Advised,
    },
    Break {
        name: "iptables-legacy drops what is forwarded",
        how: "iptables-legacy -P FORWARD DROP",
        check: Some(("forward-drop", "(iptables-legacy)")),
        trace: Some((OUT, "(iptables-legacy)")),
        mended: Advised,
    },
    Break {
        name: "a rule of iptables drops what the pods send",
        how: "iptables -A FORWARD -i br0 -m conntrack --ctstate NEW -j REJECT",
        check: Some(("forward-drop", "rule handle")),
        trace: Some((OUT, "rule handle")),
        mended: Advised,
    },
    Break {
        name: "a table of nftables drops what is forwarded",
        how: "nft add table inet filter; nft add chain inet filter forward \
              '{ type filter hook forward priority 10; policy drop; }'; \
              nft add rule inet filter forward ct state established,related accept",
        check: Some(("forward-drop", "table inet filter")),
        trace: Some((OUT, "table inet filter")),
        mended: Advised,
    },
    Break {
        name: "a set of nftables drops the pods' subnet",
        how: "nft add table ip guard; nft add set ip guard bad '{ type ipv4_addr; flags interval; }'; \
              nft add element ip guard bad '{ 10.88.0.0/24 }'; nft add chain ip guard forward \
              '{ type filter hook forward priority 10; }'; \
              nft add rule ip guard forward ip saddr @bad drop",
        check: Some(("forward-drop", "table ip guard")),
        trace: Some((OUT, "table ip guard")),
        mended: Advised,
    },
    Break {
        name: "both variants of iptables have rules",
        how: "iptables -A FORWARD -j ACCEPT; iptables-legacy -A FORWARD -j ACCEPT",
        check: Some(("iptables-variants", "both")),
        trace: None,
        mended: Left,
    },
    Break {
        name: "the pod's default route is gone",
        how: "ip -n a route del default",
        check: Some(("route", "0.0.0.0/0")),
        trace: Some((OUT, "no route to 192.0.2.1")),
        mended: Fixed,
    },
    Break {
        name: "the bridge is down",
        how: "ip link set br0 down",
        check: Some(("bridge", "br0 is down")),
        trace: Some((OVER, "bridge br0 is down")),
        mended: Fixed,
    },
    Break {
        name: "the bridge is deleted",
        how: "ip link del br0",
        check: Some(("bridge", "br0 is not there")),
        trace: Some((OVER, "not a port of bridge br0")),
        mended: Fixed,
    },
    Break {
        name: "the host's end is down",
        how: "ip link set {VETH} down",
        check: Some(("link", "is down")),
        trace: Some((OVER, "is down")),
        mended: Fixed,
    },
    Break {
        name: "the host's end is no port of the bridge",
        how: "ip link set {VETH} nomaster",
        check: Some(("link", "not a port of bridge br0")),
        trace: Some((OVER, "not a port of bridge br0")),
        mended: Fixed,
    },
    Break {
        name: "the gateway's address is gone",
        how: "ip addr del 10.88.0.1/24 dev br0",
        check: Some(("gateway", "10.88.0.1/24")),
        trace: Some((OUT, "on no link of the host")),
        mended: Fixed,
    },
    Break {
        name: "the pod's address is gone",
        how: "ip -n a addr del 10.88.0.2/24 dev eth0",
        check: Some(("address", "10.88.0.2/24")),
        trace: Some((OVER, "10.88.0.2 is not on eth0")),
        mended: Fixed,
    },
    Break {
        name: "the pod's interface is down",
        how: "ip -n a link set eth0 down",
        check: Some(("link", "eth0 in the container is down")),
        trace: Some((OVER, "eth0 is down")),
        mended: Fixed,
    },
    Break {
        name: "the pod's interface is deleted",
        how: "ip -n a link del eth0",
        check: Some(("link", "eth0 is not in the container")),
        trace: Some((OVER, "no interface eth0")),
        mended: Left,
    },
    Break {
        name: "the pod has another hardware address",
        how: "ip -n a link set eth0 address 02:00:00:00:00:99",
        check: Some(("link", "02:00:00:00:00:99")),
        trace: Some((OVER, "macspoofchk")),
        mended: Fixed,
    },
    Break {
        name: "the limit of the pod's rate is removed",
        how: "tc qdisc del dev {VETH} root",
        check: Some(("bandwidth", "")),
        trace: None,
        mended: Left,
    },
    Break {
        name: "another route leads to the pod, and the reverse path filter is strict",
        how: "ip route add 10.88.0.2/32 dev up0; sysctl -qw net.ipv4.conf.br0.rp_filter=1",
        check: Some(("rp-filter", "10.88.0.2")),
        trace: Some((OUT, "reverse path filter")),
        mended: Left,
    },
    Break {
        name: "another route leads to the pod",
        how: "ip route add 10.88.0.2/32 dev up0; sysctl -qw net.ipv4.conf.br0.rp_filter=0 \
              net.ipv4.conf.all.rp_filter=0",
        check: Some(("way-back", "by up0")),
        trace: Some((OUT, "no answer comes back")),
        mended: Left,
    },
    Break {
        name: "a route of the host throws it away",
        how: "ip route add prohibit 192.0.2.0/24",
        check: None,
        trace: Some((OUT, "throws away")),
        mended: Left,
    },
    Break {
        name: "a rule of the host's routing throws it away",
        how: "ip rule add from 10.88.0.0/24 to 192.0.2.0/24 blackhole",
        check: None,
        trace: Some((OUT, "throws away")),
        mended: Left,
    },
    Break {
        name: "the uplink has no route",
        how: "ip route del default",
        check: None,
        trace: Some((OUT, "no route to 192.0.2.1")),
        mended: Left,
    },
    Break {
        name: "a record is damaged",
        how: "echo '{\"version\":' >/var/lib/cni/causeway/testnet/id-a:eth0:causeway",
        check: Some(("record-damaged", "id-a:eth0:causeway")),
        trace: None,
        mended: Left,
    },
    Break {
        name: "a record is of an earlier boot",
        how: "sed 's/\"boot\":\"[^\"]*\"/\"boot\":\"old\"/; s/id-a/id-old/g; s/netns.a\"/netns\\/old\"/; \
              s/10.88.0.2/10.88.0.222/g; s/fd00:88::2/fd00:88::222/g; s/8080/8089/g; \
              s/bwp/bwq/g; s/veth\\([0-9]\\)/vetx\\1/g; s/veth\\([a-f]\\)/vetx\\1/g' \
              </var/lib/cni/causeway/testnet/id-a:eth0:causeway \
              >/var/lib/cni/causeway/testnet/id-old:eth0:causeway",
        check: Some(("record-abandoned", "id-old")),
        trace: None,
        mended: Fixed,
    },
    Break {
        name: "the pod's namespace is gone, and nobody has called DEL",
        how: "umount -l /run/netns/a; rm /run/netns/a; \
              while ip link show {VETH} >/dev/null 2>&1; do sleep 0.01; done",
        check: Some(("namespace-gone", "/run/netns/a")),
        trace: Some((OVER, "is gone")),
        mended: Fixed,
    },
    Break {
        name: "the name of a namespace has no namespace",
        how: "touch /run/netns/stale",
        check: Some(("namespace-stale", "/run/netns/stale")),
        trace: None,
        mended: Fixed,
    },
    Break {
        name: "a plugin is missing",
        how: "rm /run/cni-test/causeway/portmap",
        check: Some(("program", "portmap is missing")),
        trace: None,
        mended: Advised,
    },
    Break {
        name: "a link to a plugin leads nowhere",
        how: "ln -sfn gone /run/cni-test/causeway/firewall",
        check: Some(("program", "firewall leads nowhere")),
        trace: None,
        mended: Advised,
    },
    Break {
        name: "a configuration cannot be read",
        how: "echo '{\"name\": \"x\", \"plugins\": [' >/run/net.d/20-x.conflist",
        check: Some(("configuration", "20-x.conflist")),
        trace: None,
        mended: Left,
    },
    Break {
        name: "a configuration has a value that a plugin refuses",
        how: "sed -i 's/\"bridge\":\"br0\"/\"bridge\":\"br0\",\"mtu\":\"large\"/' \
              /run/net.d/10-testnet.conflist",
        check: Some(("configuration", "mtu")),
        trace: None,
        mended: Left,
    },
    Break {
        name: "two configurations have one name",
        how: "cp /run/net.d/10-testnet.conflist /run/net.d/20-again.conflist",
        check: Some(("configuration", "both make a network")),
        trace: None,
        mended: Left,
    },
    Break {
        name: "everybody may write into the records",
        how: "chmod 777 /var/lib/cni/causeway",
        check: Some(("directory", "0777")),
        trace: None,
        mended: Advised,
    },
];

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
             "macspoofchk": true,
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
