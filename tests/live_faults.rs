//! Other programs and broken disks do their worst to a node with pods on it: CHECK says what is
//! missing, DEL and GC clean up all the same, and the next ADD puts back what pods share.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::process::Stdio;
use std::time::{Duration, Instant};

use harness::call::{Call, Outcome, Plugin, await_end};
use harness::chained::{List, Side};
use harness::config::{bridge, everything};
use harness::person::Person;
use harness::snapshot::nothing_stays;
use harness::{Host, Pod};
use serde_json::{Value, json};

const BRIDGE: Plugin = Plugin::Causeway("bridge");

/// The usual list, with iptables or with nf_tables.
fn entries(iptables: bool) -> [Value; 3] {
    let backend = if iptables { "iptables" } else { "nftables" };
    [
        json!({"type": "bridge", "bridge": "br0", "isDefaultGateway": true, "ipMasq": true,
               "ipMasqBackend": backend,
               "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]]}}),
        json!({"type": "portmap", "backend": backend, "runtimeConfig": {"portMappings":
               [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}}),
        json!({"type": "firewall", "backend": backend}),
    ]
}

/// As [`entries`], without a port of the host, for a second pod.
fn without_port(iptables: bool) -> [Value; 2] {
    let [bridge, _, firewall] = entries(iptables);
    [bridge, firewall]
}

/// What other programs do to a node, and words that CHECK must say of it.
const FAULTS: [(bool, &str, &[&str]); 7] = [
    (false, "nft flush ruleset", &["causeway_masquerade"]),
    (false, "ip link del br0", &["br0"]),
    (false, "ip link set br0 down", &["br0"]),
    (false, "ip addr flush dev br0", &["10.88.0.1"]),
    (true, "iptables -F; iptables -t nat -F", &["iptables"]),
    (true, "iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X", &["iptables"]),
    (true, "nft flush ruleset", &["iptables"]),
];

/// Masquerading of a pod, however it is done.
fn is_masqueraded(host: &Host, address: &str) -> bool {
    let rules = host.run("nft list ruleset");
    rules.lines().any(|line| line.contains(address)) && rules.contains("masquerade")
}

#[test]
fn faults_are_named_cleaned_up_and_mended_by_the_next_add() {
    for (iptables, fault, words) in FAULTS {
        for by_gc in [false, true] {
            let host = Host::new();
            let (blue, red) = (host.pod("blue"), host.pod("red"));
            let list = List::new(&blue, Side::Fused, &entries(iptables));
            let result = list.add();
            for command in fault.split("; ") {
                host.run(command);
            }
            list.check_last(&result).fails(104, words);

            let next = List::new(&red, Side::Fused, &without_port(iptables));
            let new = next.add();
            next.check(&new);
            assert!(red.reaches("10.88.0.1"), "{fault}: the new pod does not reach its gateway");
            assert!(is_masqueraded(&host, "10.88.0.3"), "{fault}: the new pod is not masqueraded");

            if by_gc {
                next.last().gc(&[("id-red", "eth0")]);
            } else {
                list.del(&result);
            }
            next.check(&new);
            next.del(&new);
            assert_eq!(host.snapshot().links(), ["br0", "lo"], "{fault}");
            assert!(host.snapshot().files("id-").is_empty(), "{fault}");
            let rules = host.run("nft list ruleset");
            for left in ["10.88.0.2", "10.88.0.3", "8080", "id-blue"] {
                assert!(!rules.contains(left), "{fault}: {left} is left: {rules}");
            }
        }
    }
}

/// `causeway repair` makes whole what is recorded.
#[test]
fn faults_are_mended_by_repair() {
    for (iptables, fault, _) in FAULTS {
        let host = Host::new();
        let blue = host.pod("blue");
        let list = List::new(&blue, Side::Fused, &entries(iptables));
        let result = list.add();
        for command in fault.split("; ") {
            host.run(command);
        }
        let repaired = Person::on(&host).causeway("repair");
        assert_eq!(repaired.status, Some(0), "{fault}: {repaired}");
        list.check(&result);
        assert!(blue.reaches("10.88.0.1"), "{fault}");
        list.del(&result);
        assert_eq!(host.snapshot().links(), ["br0", "lo"], "{fault}");
    }
}

/// DEL, GC and CHECK on a disk that takes nothing: what cannot be written is said, and nothing is lost.
#[test]
fn a_read_only_disk() {
    let host = Host::new();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let (call, other) = (blue.call(BRIDGE, &everything()), green.call(BRIDGE, &everything()));
    let (result, others) = (call.add(), other.add());
    host.run("mount -o remount,ro /var/lib");
    call.check(&result).silence();
    other.run("STATUS");
    call.run("DEL").error();
    other.run_gc(&[("id-green", "eth0")]).error();
    other.check(&others).silence();
    let red = host.pod("red");
    let before = (host.snapshot(), red.snapshot());
    let refused = red.call(BRIDGE, &everything()).run("ADD").fails(5, &["Read-only"]);
    nothing_stays(&before, &red, &format!("after an ADD on a read-only disk: {refused:?}"));
    let person = Person::on(&host);
    person.succeeds("list");
    person.succeeds("leases");
    host.run("mount -o remount,rw /var/lib");
    call.del();
    other.check(&others).silence();
    other.gc(&[("id-green", "eth0")]);
    other.del();
    is_clean(&host);
}

/// What is full can still be emptied.
#[test]
fn a_full_disk() {
    for full in ["size=64k", "nr_inodes=60"] {
        let host = Host::new();
        let (blue, green, red) = (host.pod("blue"), host.pod("green"), host.pod("red"));
        let (call, other) = (blue.call(BRIDGE, &everything()), green.call(BRIDGE, &everything()));
        let (result, others) = (call.add(), other.add());
        host.run(&format!("mount -o remount,{full} /var/lib"));
        fill(&host);
        let refused = red.call(BRIDGE, &everything()).run("ADD").fails(5, &["No space"]);
        assert_eq!(red.link_names(), ["lo"], "{refused:?}");
        call.check(&result).silence();
        call.del();
        other.check(&others).silence();
        red.call(BRIDGE, &everything()).del();
        fill(&host);
        other.gc(&[]);
        is_clean(&host);
    }
}

/// Uses up what is left of /var/lib.
fn fill(host: &Host) {
    host.inside(|| {
        for number in 0..10_000 {
            if std::fs::write(format!("/var/lib/filler{number}"), [1; 4096]).is_err() {
                return;
            }
        }
        panic!("/var/lib is never full");
    });
}

#[track_caller]
fn is_clean(host: &Host) {
    let left = host.snapshot();
    assert_eq!(left.links(), ["br0", "lo"]);
    assert!(left.files("id-").is_empty(), "{:?}", left.files("id-"));
    let rules = host.run("nft list ruleset");
    assert!(!rules.contains("10.88.0.2"), "{rules}");
}

/// The clock jumps: what was made seems to come from the future, or from long ago.
#[test]
fn a_clock_that_jumps() {
    for when in ["@1", "@4102444800", "@2147483648"] {
        let host = Host::new();
        let (blue, green, red) = (host.pod("blue"), host.pod("green"), host.pod("red"));
        let (call, other) = (blue.call(BRIDGE, &everything()), green.call(BRIDGE, &everything()));
        let (result, others) = (call.add(), other.add());
        let seconds = when.trim_start_matches('@');
        host.run(&format!(
            "find /var/lib/cni/causeway -name id-* -exec sed -i s/\"created\":[0-9]*/\"created\":{seconds}/ {{}} +"
        ));
        host.run(&format!("find /var/lib/cni -exec touch -h -d {when} {{}} +"));
        let person = Person::on(&host);
        for command in ["list", "leases", "show id-blue"] {
            person.succeeds(command);
        }
        let doctor = person.causeway("doctor --output json");
        let told: Value =
            serde_json::from_str(&doctor.stdout).unwrap_or_else(|e| panic!("{e}: {doctor}"));
        assert_eq!(told["findings"], json!([]), "{when}: {told:#}");
        call.check(&result).silence();
        let third = red.call(BRIDGE, &everything());
        assert_eq!(third.add()["ips"][0]["address"], "10.88.0.4/24");
        third.del();
        call.del();
        other.check(&others).silence();
        other.gc(&[("id-green", "eth0")]);
        other.check(&others).silence();
        other.del();
        is_clean(&host);
    }
}

/// The container dies while it is being attached, at ever later moments: whatever the ADD says, DEL
/// or GC leaves nothing.
#[test]
fn namespaces_that_go_under_a_running_add() {
    const ROUNDS: u32 = 16;
    let host = Host::new();
    let first = host.pod("first");
    let call = first.call(BRIDGE, &everything());
    let start = Instant::now();
    call.add();
    let whole = start.elapsed();
    call.del();
    let before = host.snapshot().without_shared_files().without_last_reserved();
    for round in 0..ROUNDS {
        let pod = host.pod("blue");
        let call = pod.call(BRIDGE, &everything());
        let child = call.spawn("ADD", Stdio::piped());
        std::thread::sleep(whole * round / ROUNDS);
        pod.destroy();
        let outcome = Outcome::new("ADD".to_owned(), &await_end(child));
        match outcome.status {
            Some(0) => drop(outcome.success()),
            _ => drop(outcome.error()),
        }
        if round % 2 == 0 {
            call.without("CNI_NETNS").del()
        } else {
            call.gc(&[])
        }
        // The kernel takes a namespace apart in its own time.
        host.wait("no link of a dead pod is left", |host| host.snapshot().links() == ["br0", "lo"]);
        let after = host.snapshot().without_shared_files().without_last_reserved();
        before.assert_same(&after, &format!("round {round}"));
    }
}

/// The bridge goes while pods are attached to it, again and again.
#[test]
fn a_bridge_that_is_deleted_under_running_adds() {
    let host = Host::new();
    let pods: Vec<Pod<'_>> = (0..6).map(|n| host.pod(&format!("p{n}"))).collect();
    let config = bridge(json!({"isGateway": true, "ipMasq": true}));
    let calls: Vec<Call<'_>> = pods.iter().map(|pod| pod.call(BRIDGE, &config)).collect();
    let running: Vec<_> = calls.iter().map(|call| call.spawn("ADD", Stdio::piped())).collect();
    let end = Instant::now() + Duration::from_millis(300);
    while Instant::now() < end {
        host.succeeds("ip link del br0");
    }
    for child in running {
        let outcome = Outcome::new("ADD".to_owned(), &await_end(child));
        match outcome.status {
            Some(0) => drop(outcome.success()),
            _ => drop(outcome.error()),
        }
    }
    for call in &calls {
        call.del();
    }
    let result = calls[0].add();
    calls[0].check(&result).silence();
    assert!(pods[0].reaches("10.88.0.1"));
    calls[0].del();
    assert_eq!(host.snapshot().links(), ["br0", "lo"]);
    assert!(host.snapshot().files("id-").is_empty());
}

/// Another program flushes all rules while pods are attached, again and again: what was attached is put right
/// by repair.
#[test]
fn rules_that_are_flushed_under_running_adds() {
    for (iptables, flush) in [(false, "nft flush ruleset"), (true, "iptables -t nat -F")] {
        let host = Host::new();
        let pods: Vec<Pod<'_>> = (0..6).map(|n| host.pod(&format!("p{n}"))).collect();
        let entries = without_port(iptables);
        let lists: Vec<_> = pods.iter().map(|pod| List::new(pod, Side::Fused, &entries)).collect();
        let running: Vec<_> =
            lists.iter().map(|list| list.last().spawn("ADD", Stdio::piped())).collect();
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            host.succeeds(flush);
        }
        let ended = running.into_iter().map(|child| Outcome::new("ADD".into(), &await_end(child)));
        let ended: Vec<_> = ended.collect();
        let person = Person::on(&host);
        let repaired = person.causeway("repair");
        assert_eq!(repaired.status, Some(0), "{flush}: {repaired}");
        for (list, outcome) in lists.iter().zip(&ended) {
            match outcome.status {
                Some(0) => list.check(&outcome.success()),
                _ => drop(outcome.error()),
            }
            list.last().del();
        }
        assert_eq!(host.snapshot().links(), ["br0", "lo"], "{flush}");
        assert!(host.snapshot().files("id-").is_empty(), "{flush}");
        let rules = host.run("nft list ruleset");
        assert!(!rules.contains("10.88.0.") && !rules.contains("id-p"), "{flush}: {rules}");
    }
}
