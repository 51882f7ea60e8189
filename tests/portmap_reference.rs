//! portmap beside the reference plugin: the same rules by iptables, and either removes what the other
//! has made. Debian's reference plugin is of release 1.1.1, which has no nftables backend and no
//! `masqAll`; what later ones make is written out here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Call;
use harness::chained::{List, Side, dual_entry};
use harness::snapshot::nothing_stays;
use harness::{Host, Pod, require_reference};
use serde_json::{Value, json};

const PROGRAMS: [&str; 4] = ["iptables", "ip6tables", "iptables-legacy", "ip6tables-legacy"];

/// The nat tables of both families and variants, without what counts.
fn rules(host: &Host) -> Vec<String> {
    let mut lines = Vec::new();
    for program in PROGRAMS {
        for line in host.run(&format!("{program}-save -t nat")).lines() {
            if line.starts_with('-') {
                lines.push(format!("{program} {line}"));
            } else if line.starts_with(':') {
                lines.push(format!("{program} {}", line.split(" [").next().unwrap_or(line)));
            }
        }
    }
    // Chains are declared in an order that says nothing.
    let (mut chains, rules): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| line.contains("tables :") || line.contains("legacy :"));
    chains.sort();
    chains.into_iter().chain(rules).collect()
}

fn usual() -> Value {
    json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
           {"hostPort": 53, "containerPort": 53, "protocol": "udp"},
           {"hostPort": 7000, "containerPort": 7, "protocol": "sctp", "hostIP": "10.88.0.1"},
           {"hostPort": 7001, "containerPort": 7, "protocol": "tcp", "hostIP": "::1"},
           {"hostPort": 7002, "containerPort": 7, "protocol": "tcp", "hostIP": "0.0.0.0"}])
}

fn many() -> Value {
    (0..17).map(|n| json!({"hostPort": 9000 + n, "containerPort": 80, "protocol": "tcp"})).collect()
}

/// Has iptables of one variant.
fn with_variant<'h>(host: &Host, list: List<'h>, by_legacy: bool) -> List<'h> {
    if by_legacy { list.map(|call| legacy(host, call)) } else { list }
}

/// Has iptables-legacy as iptables.
fn legacy<'h>(host: &Host, call: Call<'h>) -> Call<'h> {
    host.run("mkdir -p /run/cni-test/legacy");
    for program in ["iptables", "ip6tables"] {
        for work in ["", "-restore", "-save"] {
            let to = format!("/usr/sbin/{program}-legacy{work}");
            host.run(&format!("ln -sfn {to} /run/cni-test/legacy/{program}{work}"));
        }
    }
    call.env("PATH", "/run/cni-test/legacy:/usr/sbin:/usr/bin:/sbin:/bin")
}

fn list<'h>(pod: &Pod<'h>, side: Side, mappings: &Value, more: &Value) -> List<'h> {
    let mut entry = json!({"type": "portmap", "capabilities": {"portMappings": true}});
    harness::config::merge(&mut entry, more.clone());
    let runtime = json!({"portMappings": mappings});
    List::of_version(pod, side, &[dual_entry("br0", 88), entry], "1.0.0")
        .map(|call| call.key("runtimeConfig", &runtime))
}

/// What a side leaves after each of: ADD, another ADD, the first's DEL, the second's DEL.
fn play(side: Side, by_legacy: bool, mappings: &Value, more: &Value) -> Vec<Vec<String>> {
    let host = Host::new();
    let prepare = if by_legacy { "iptables-legacy" } else { "iptables" };
    host.run(&format!("{prepare} -t nat -A POSTROUTING -o lo -j ACCEPT"));
    for program in PROGRAMS {
        if program.contains("legacy") == by_legacy {
            host.run(&format!("{program} -t nat -N OPERATOR"));
        }
    }
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let of = |pod, mappings| with_variant(&host, list(pod, side, mappings, more), by_legacy);
    let first = of(&blue, mappings);
    let other = json!([{"hostPort": 1, "containerPort": 1, "protocol": "tcp"}]);
    let second = of(&green, &other);
    let mut seen = Vec::new();
    let one = first.add();
    seen.push(rules(&host));
    let two = second.add();
    seen.push(rules(&host));
    // Debian's CHECK looks for every rule in both families.
    if side != Side::Reference {
        first.check(&one);
        second.check(&two);
    }
    first.del(&one);
    first.del(&one);
    seen.push(rules(&host));
    if side != Side::Reference {
        second.check(&two);
    }
    second.del(&two);
    seen.push(rules(&host));
    seen
}

#[track_caller]
fn compare(by_legacy: bool, mappings: &Value, more: Value) {
    require_reference();
    let reference = play(Side::Reference, by_legacy, mappings, &more);
    assert!(reference[0].iter().any(|line| line.contains("CNI-DN-")), "{reference:#?}");
    let mut more = more;
    more["backend"] = json!("iptables");
    for side in [Side::Causeway, Side::Fused] {
        let ours = play(side, by_legacy, mappings, &more);
        for (step, (is, should)) in ours.iter().zip(&reference).enumerate() {
            assert_eq!(is.join("\n"), should.join("\n"), "{side:?}, step {step}");
        }
    }
}

#[test]
fn the_usual_mappings_make_the_same_rules() {
    compare(false, &usual(), json!({}));
    compare(true, &usual(), json!({}));
}

#[test]
fn more_ports_than_one_match_takes_make_the_same_rules() {
    compare(false, &many(), json!({}));
}

#[test]
fn other_marks_make_the_same_rules() {
    compare(false, &usual(), json!({"markMasqBit": 0}));
    compare(false, &usual(), json!({"snat": false}));
    compare(false, &usual(), json!({"externalSetMarkChain": "OPERATOR"}));
}

#[test]
fn conditions_make_the_same_rules() {
    let more = json!({
        "conditionsV4": ["!", "-d", "192.0.2.0/24", "-m", "comment", "--comment", "a \"b\" c\\d"],
        "conditionsV6": ["-s", "fd00::1", "-m", "mark", "--mark", "0x1/0x1"]
    });
    compare(false, &usual(), more.clone());
    compare(true, &usual(), more);
}

/// What the newest reference plugin's source makes; Debian's does not know the key.
#[test]
fn masquerading_all_makes_the_rules_of_the_newest_reference() {
    let more = json!({"backend": "iptables", "masqAll": true});
    let seen = play(Side::Causeway, false, &usual(), &more);
    let own = "CNI-DN-a56c00c833e06d039d2d2";
    let of = |program: &str| -> Vec<String> {
        let start = format!("{program} -A {own} ");
        let found = seen[0].iter().filter_map(|line| line.strip_prefix(&start));
        found.filter(|line| line.contains("-p tcp")).map(str::to_owned).collect()
    };
    let (mark, to) = ("-j CNI-HOSTPORT-SETMARK", "-j DNAT --to-destination");
    assert_eq!(
        of("iptables"),
        [
            format!("-p tcp -m tcp --dport 8080 {mark}"),
            format!("-p tcp -m tcp --dport 8080 {to} 10.88.0.2:80"),
            format!("-p tcp -m tcp --dport 7002 {mark}"),
            format!("-p tcp -m tcp --dport 7002 {to} 10.88.0.2:7"),
        ]
    );
    assert_eq!(
        of("ip6tables"),
        [
            format!("-p tcp -m tcp --dport 8080 {mark}"),
            format!("-p tcp -m tcp --dport 8080 {to} [fd00:88::2]:80"),
            format!("-d ::1/128 -p tcp -m tcp --dport 7001 {mark}"),
            format!("-d ::1/128 -p tcp -m tcp --dport 7001 {to} [fd00:88::2]:7"),
        ]
    );
}

/// Attaching by one and detaching by the other leaves what a DEL by the first would.
#[track_caller]
fn cross(from: Side, to: Side, by_legacy: bool, more: &Value, by: &Value) {
    require_reference();
    let host = Host::new();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let of =
        |pod, side, mappings, more| with_variant(&host, list(pod, side, mappings, more), by_legacy);
    let (usual, other) = (usual(), json!([{"hostPort": 1, "containerPort": 1, "protocol": "tcp"}]));
    let made_by = of(&blue, from, &usual, more);
    let removed_by = of(&blue, to, &usual, by);
    of(&green, from, &other, more).add();
    let before = made_by.add();
    made_by.del(&before);
    // causeway's host-local makes its index anew after others; that is not what this is about.
    removed_by.del(&before);
    let clean = (host.snapshot(), blue.snapshot(), rules(&host));
    let result = made_by.add();
    assert_ne!(rules(&host), clean.2);
    if to != Side::Reference {
        removed_by.check(&result);
    }
    removed_by.del(&result);
    removed_by.del(&result);
    // Moving out leaves causeway's records: the reference plugins know nothing of them.
    if to == Side::Reference {
        for plugin in ["portmap", "bridge"] {
            host.run(&format!("rm -f /var/lib/cni/causeway/testnet/id-blue:eth0:{plugin}"));
        }
    }
    let when = format!("added by {from:?}, removed by {to:?}");
    assert_eq!(rules(&host), clean.2, "{when}");
    nothing_stays(&(clean.0, clean.1), &blue, &when);
}

#[test]
fn what_the_reference_made_is_checked_and_removed() {
    for to in [Side::Causeway, Side::Fused] {
        for by_legacy in [false, true] {
            let none = json!({});
            cross(Side::Reference, to, by_legacy, &none, &json!({"backend": "iptables"}));
            // With nftables, which is what causeway does unless told otherwise.
            cross(Side::Reference, to, by_legacy, &none, &none);
        }
    }
}

#[test]
fn what_causeway_made_by_iptables_is_removed_by_the_reference() {
    for by_legacy in [false, true] {
        let by_iptables = json!({"backend": "iptables", "conditionsV4": ["!", "-i", "x"]});
        let same = json!({"conditionsV4": ["!", "-i", "x"]});
        cross(Side::Causeway, Side::Reference, by_legacy, &by_iptables, &same);
    }
}

/// The host's iptables was of one variant when the pod came, and is of the other when it goes.
#[test]
fn rules_of_the_other_variant_are_checked_and_removed() {
    require_reference();
    for was_legacy in [false, true] {
        let host = Host::new();
        let pod = host.pod("blue");
        let reference = list(&pod, Side::Reference, &usual(), &json!({}));
        let result = with_variant(&host, reference, was_legacy).add();
        let own = list(&pod, Side::Causeway, &usual(), &json!({"backend": "iptables"}));
        let own = with_variant(&host, own, !was_legacy);
        own.check(&result);
        own.del(&result);
        assert!(!rules(&host).iter().any(|line| line.contains("CNI-DN-")), "{was_legacy}");
    }
}

/// Releases before 0.8 had a second chain.
#[test]
fn chains_of_old_releases_go() {
    for program in PROGRAMS {
        let host = Host::new();
        let pod = host.pod("blue");
        let (own, old) = ("CNI-DN-a56c00c833e06d039d2d2", "CNI-SN-a56c00c833e06d039d2d2");
        let other = "CNI-SN-000000000000000000000";
        let to = if program.contains('6') { "[fd00::2]" } else { "10.0.0.2" };
        for command in [
            "-N CNI-HOSTPORT-DNAT".to_owned(),
            "-N CNI-HOSTPORT-SNAT".to_owned(),
            format!("-N {own}"),
            format!("-N {old}"),
            format!("-N {other}"),
            format!("-A {own} -p tcp --dport 1 -j DNAT --to-destination {to}:1"),
            format!("-A {old} -p tcp --dport 1 -j MASQUERADE"),
            format!("-A CNI-HOSTPORT-DNAT -m comment --comment old -j {own}"),
            format!("-A CNI-HOSTPORT-SNAT -m comment --comment old -j {old}"),
            format!("-A CNI-HOSTPORT-SNAT -p tcp -j {other}"),
        ] {
            host.run(&format!("{program} -t nat {command}"));
        }
        let call = list(&pod, Side::Causeway, &usual(), &json!({}));
        call.last().del();
        let left = host.run(&format!("{program}-save -t nat"));
        assert!(!left.contains("a56c00c833e06d039d2d2"), "{left}");
        assert!(left.contains(&format!("-A CNI-HOSTPORT-SNAT -p tcp -j {other}")), "{left}");
    }
}

/// What the newest reference plugin makes with its nftables backend, as its source tells.
fn newest_nftables(id: &str, last: u8, port: u16) -> String {
    let mut script = String::new();
    for (family, pod, to) in [
        ("ip", format!("10.88.0.{last}"), format!("10.88.0.{last}:80")),
        ("ip6", format!("fd00:88::{last}"), format!("[fd00:88::{last}]:80")),
    ] {
        script.push_str(&format!(
            "add table {family} cni_hostport {{ comment \"CNI portmap plugin\" ; }}\n\
             add chain {family} cni_hostport hostports\n\
             add chain {family} cni_hostport hostip_hostports\n\
             add chain {family} cni_hostport masquerading {{ type nat hook postrouting priority 100 ; }}\n\
             add rule {family} cni_hostport hostports tcp dport {port} dnat to {to} comment \"{id}\"\n\
             add rule {family} cni_hostport hostip_hostports tcp dport {port} dnat to {to} comment \"{id}\"\n\
             add rule {family} cni_hostport masquerading {family} saddr {pod} {family} daddr {pod} \
             masquerade comment \"{id}\"\n"
        ));
    }
    script
}

#[test]
fn rules_of_the_newest_references_nftables_are_checked_and_removed() {
    for backend in ["nftables", "iptables"] {
        let host = Host::new();
        let pod = host.pod("blue");
        let own = list(&pod, Side::Causeway, &usual(), &json!({"backend": backend}));
        let (outcome, _) = own.try_add();
        let result = outcome.success();
        own.last().clone().key("prevResult", &result).del();
        let before = host.run("nft -s list ruleset");
        host.nft(&newest_nftables("id-other", 9, 9));
        let other = host.run("nft list table ip cni_hostport");
        own.check_last(&result).error();
        host.nft(&newest_nftables("id-blue", 2, 8080));
        assert_ne!(host.run("nft list table ip cni_hostport"), other);
        own.check(&result);
        own.del(&result);
        assert_eq!(host.run("nft list table ip cni_hostport"), other, "{backend}");
        host.run("nft delete table ip cni_hostport");
        host.run("nft delete table ip6 cni_hostport");
        assert_eq!(host.run("nft -s list ruleset"), before, "{backend}");
    }
}
