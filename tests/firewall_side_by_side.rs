//! firewall with backend iptables beside the reference plugin: the same rules, in the same order,
//! and either removes what the other has made.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::chained::{List, Side, dual_entry};
use harness::snapshot::nothing_stays;
use harness::{Host, require_reference};
use serde_json::{Value, json};

/// The filter tables of both families, without what counts.
fn rules(host: &Host) -> Vec<String> {
    let mut lines = Vec::new();
    for program in ["iptables", "ip6tables"] {
        for line in host.run(&format!("{program}-save -t filter")).lines() {
            if line.starts_with(':') || line.starts_with('-') {
                let line = line.split(" [").next().unwrap_or(line);
                // Debian's reference plugin knows one policy only; later ones have this comment.
                let line = line.replace("same-bridge|isolated", "same-bridge");
                lines.push(format!("{program} {line}"));
            }
        }
    }
    // Chains are declared in an order that says nothing.
    let (mut chains, rules): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| line.contains(" :"));
    chains.sort();
    chains.into_iter().chain(rules).collect()
}

fn entries(firewall: Value) -> [Value; 2] {
    let mut entry = json!({"type": "firewall", "backend": "iptables"});
    harness::config::merge(&mut entry, firewall);
    [dual_entry("br0", 88), entry]
}

/// What a side leaves after each of: ADD, another ADD, the first's DEL, the second's DEL.
fn play(side: Side, entries: &[Value]) -> (Vec<Vec<String>>, Value) {
    let host = Host::new();
    host.run("iptables -A FORWARD -i lo -j ACCEPT");
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let mut seen = Vec::new();
    let first = List::new(&blue, side, entries);
    let second = List::new(&green, side, entries);
    let one = first.add();
    seen.push(rules(&host));
    let two = second.add();
    seen.push(rules(&host));
    first.check(&one);
    second.check(&two);
    first.del(&one);
    first.del(&one);
    seen.push(rules(&host));
    second.check(&two);
    second.del(&two);
    seen.push(rules(&host));
    (seen, one["ips"].clone())
}

#[track_caller]
fn compare(firewall: Value) {
    require_reference();
    let entries = entries(firewall);
    let (reference, ips) = play(Side::Reference, &entries);
    assert!(reference[0].iter().any(|line| line.contains("CNI-FORWARD")), "{reference:#?}");
    for side in [Side::Causeway, Side::Fused] {
        let (ours, our_ips) = play(side, &entries);
        for (step, (is, should)) in ours.iter().zip(&reference).enumerate() {
            assert_eq!(is.join("\n"), should.join("\n"), "{side:?}, step {step}");
        }
        assert_eq!(our_ips, ips, "{side:?}");
    }
}

#[test]
fn open_makes_the_same_rules() {
    compare(json!({}));
}

#[test]
fn the_admin_chain_has_the_name_asked_for() {
    compare(json!({"iptablesAdminChainName": "OPERATOR"}));
}

#[test]
fn same_bridge_makes_the_same_rules() {
    compare(json!({"ingressPolicy": "same-bridge"}));
}

/// What the newest reference plugin's source makes; Debian's does not know the policy.
#[test]
fn isolated_makes_the_rules_of_the_newest_reference() {
    let (seen, _) = play(Side::Causeway, &entries(json!({"ingressPolicy": "isolated"})));
    let both = r#""CNI firewall plugin rules (ingressPolicy: same-bridge)""#;
    let own = r#""CNI firewall plugin rules (ingressPolicy: isolated)""#;
    for program in ["iptables", "ip6tables"] {
        let of = |chain: &str| -> Vec<String> {
            let start = format!("{program} -A {chain} ");
            seen[0].iter().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
        };
        let comment = |text: &str| format!("-m comment --comment {text}");
        assert_eq!(of("FORWARD")[0], format!("{} -j CNI-ISOLATION-STAGE-1", comment(both)));
        assert_eq!(
            of("CNI-ISOLATION-STAGE-1"),
            [
                format!("-i br0 -o br0 {} -j DROP", comment(own)),
                format!("-i br0 ! -o br0 {} -j CNI-ISOLATION-STAGE-2", comment(own)),
                format!("{} -j RETURN", comment(both)),
            ]
        );
        assert_eq!(
            of("CNI-ISOLATION-STAGE-2"),
            [format!("-o br0 {} -j DROP", comment(both)), format!("{} -j RETURN", comment(both)),]
        );
    }
}

/// Attaching by one and detaching by the other leaves what a DEL by the first would.
#[track_caller]
fn cross(from: Side, to: Side, firewall: Value, by: Value) {
    require_reference();
    let host = Host::new();
    let pod = host.pod("blue");
    let made_by = List::of_version(&pod, from, &entries(firewall), "1.0.0");
    let removed_by = List::of_version(&pod, to, &entries(by), "1.0.0");
    let other = host.pod("green");
    List::of_version(&other, from, &entries(json!({})), "1.0.0").add();
    let before = made_by.add();
    made_by.del(&before);
    // causeway's host-local makes its index anew after others; that is not what this is about.
    removed_by.del(&before);
    let clean = (host.snapshot(), pod.snapshot());
    let result = made_by.add();
    if from == Side::Reference {
        removed_by.check(&result);
    }
    removed_by.del(&result);
    // Moving out leaves causeway's records: the reference plugins know nothing of them.
    if to == Side::Reference {
        host.run("rm -rf /var/lib/cni/causeway/testnet/id-blue:eth0:firewall");
        host.run("rm -rf /var/lib/cni/causeway/testnet/id-blue:eth0:bridge");
    }
    nothing_stays(&clean, &pod, &format!("added by {from:?}, removed by {to:?}"));
}

#[test]
fn what_the_reference_made_is_checked_and_removed() {
    for to in [Side::Causeway, Side::Fused] {
        cross(Side::Reference, to, json!({}), json!({}));
        cross(
            Side::Reference,
            to,
            json!({"ingressPolicy": "same-bridge"}),
            json!({"backend": null, "ingressPolicy": "same-bridge"}),
        );
        // The backend was changed with the plugins.
        cross(Side::Reference, to, json!({}), json!({"backend": "nftables"}));
        cross(
            Side::Reference,
            to,
            json!({"ingressPolicy": "same-bridge"}),
            json!({"backend": "nftables", "ingressPolicy": "same-bridge"}),
        );
    }
}

#[test]
fn what_causeway_made_by_iptables_is_removed_by_the_reference() {
    cross(Side::Causeway, Side::Reference, json!({"ingressPolicy": "same-bridge"}), json!({}));
}
