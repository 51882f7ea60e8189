//! firewall: what each verb does, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::chained::{List, Side, address, dual_entry};
use harness::refusal::{BAD_CONFIG, CHECK_FAILED, refuse, refuse_late};
use harness::snapshot::nothing_stays;
use harness::{Host, Pod};
use serde_json::{Value, json};

const FIREWALL: Plugin = Plugin::Causeway("firewall");

fn firewall(more: Value) -> Value {
    let mut entry = json!({"type": "firewall"});
    harness::config::merge(&mut entry, more);
    entry
}

fn list<'h>(pod: &Pod<'h>, side: Side, more: Value) -> List<'h> {
    List::new(pod, side, &[dual_entry("br0", 88), firewall(more)])
}

/// The elements of the firewall's sets, as `set key`.
fn elements(host: &Host) -> Vec<String> {
    let found = host.nft_elements().into_iter();
    let ours = found.filter(|(set, _)| set.contains("causeway_firewall"));
    let mut texts: Vec<_> =
        ours.map(|(set, key)| format!("{set} {key}").replace("causeway_firewall ", "")).collect();
    texts.sort();
    texts
}

/// A configuration of one plugin with a prevResult as a bridge leaves it.
fn alone(more: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.1.0", "name": "testnet", "type": "firewall",
        "prevResult": {
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "br0"}, {"name": "veth1"},
                           {"name": "eth0", "sandbox": "/run/netns/blue"}],
            "ips": [{"address": "10.88.0.2/24", "interface": 2}]
        }
    });
    harness::config::merge(&mut config, more);
    config
}

#[test]
fn elements_come_and_go_with_the_pod() {
    for side in [Side::Causeway, Side::Fused] {
        let host = Host::new();
        let (blue, green) = (host.pod("blue"), host.pod("green"));
        let shared = ["inet bridges br0", "inet isolated br0 . br0", "inet same br0 . br0"];
        let policy = json!({"ingressPolicy": "isolated"});
        let first = list(&blue, side, policy.clone());
        let result = first.add();
        first.check(&result);
        let port = host.host_veth();
        let mut expected = vec![
            format!("bridge isolated {port}"),
            format!("inet pods-ipv4 {}", address(&result, false)),
            format!("inet pods-ipv6 {}", address(&result, true)),
        ];
        expected.extend(shared.map(str::to_owned));
        expected.sort();
        assert_eq!(elements(&host), expected, "{side:?}");
        let comments = host.run("nft list set inet causeway_firewall pods-ipv4");
        assert!(comments.contains("comment \"testnet/id-blue/eth0\""), "{comments}");

        let second = list(&green, side, policy);
        let other = second.add();
        assert_eq!(elements(&host).len(), expected.len() + 3);
        first.check(&result);
        first.del(&result);
        first.del(&result);
        second.check(&other);
        assert_eq!(elements(&host).len(), expected.len());
        // With the namespace gone.
        green.destroy();
        second.del(&other);
        assert_eq!(elements(&host), shared, "bridges stay");
        assert!(host.run("find /var/lib/cni/causeway -type f -name id-*").is_empty());
    }
}

#[test]
fn the_result_before_is_passed_on() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(FIREWALL, &alone(json!({})));
    let mut result = call.add();
    let mut given = alone(json!({}))["prevResult"].clone();
    for text in [&mut result, &mut given] {
        text.as_object_mut().unwrap().remove("dns");
    }
    assert_eq!(result, given);
    call.del();
}

#[test]
fn with_nothing_to_do_nothing_is_kept() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call =
        pod.call(FIREWALL, &alone(json!({"prevResult": {"cniVersion": "1.1.0", "ips": []}})));
    call.add();
    assert_eq!(host.run("nft list ruleset"), "");
    assert!(!host.succeeds("test -e /var/lib/cni/causeway/testnet"));
    call.del();
}

#[test]
fn bad_configurations_are_refused_before_anything_is_changed() {
    let host = Host::new();
    let pod = host.pod("blue");
    let rows: &[(Value, &[&str])] = &[
        (json!({"backend": "ipfw"}), &["backend", "ipfw", "nftables", "iptables", "firewalld"]),
        (json!({"backend": 7}), &["backend"]),
        (
            json!({"ingressPolicy": "closed"}),
            &["ingressPolicy", "closed", "open", "same-bridge", "isolated"],
        ),
        (json!({"iptablesAdminChainName": "a b"}), &["iptablesAdminChainName"]),
        (json!({"iptablesAdminChainName": "-j"}), &["iptablesAdminChainName"]),
        (json!({"iptablesAdminChainName": "FORWARD"}), &["iptablesAdminChainName"]),
        (json!({"iptablesAdminChainName": "CNI-FORWARD"}), &["iptablesAdminChainName"]),
        (json!({"iptablesAdminChainName": "a\nCOMMIT"}), &["iptablesAdminChainName"]),
        (json!({"iptablesAdminChainName": "x".repeat(29)}), &["iptablesAdminChainName", "28"]),
        (json!({"firewalldZone": "a\u{0}b"}), &["firewalldZone"]),
    ];
    for (more, words) in rows {
        let call = pod.call(FIREWALL, &alone(more.clone()));
        refuse(&pod, &call, "ADD", &[BAD_CONFIG], words);
    }
    let call = pod.call(FIREWALL, &alone(json!({"prevResult": null})));
    refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], &["prevResult"]);
    let bridge = |name: &str| {
        json!({"cniVersion": "1.1.0", "interfaces": [{"name": name}],
               "ips": [{"address": "10.88.0.2/24"}]})
    };
    for (backend, name) in [("nftables", "a/b"), ("nftables", ""), ("iptables", "br+")] {
        let more = json!({"backend": backend, "ingressPolicy": "same-bridge",
                          "prevResult": bridge(name)});
        let call = pod.call(FIREWALL, &alone(more));
        refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], &["interfaces[0].name"]);
    }
    let more = json!({"ingressPolicy": "isolated",
                      "prevResult": {"cniVersion": "1.1.0", "ips": [{"address": "10.88.0.2/24"}]}});
    let call = pod.call(FIREWALL, &alone(more));
    refuse_late(&pod, &call, "ADD", &[BAD_CONFIG], &["ingressPolicy", "bridge"]);
}

/// Damages what an ADD made and expects CHECK to name it.
#[track_caller]
fn damaged(more: Value, damage: &str, words: &[&str]) {
    let host = Host::new();
    let pod = host.pod("blue");
    let list = list(&pod, Side::Causeway, more);
    let result = list.add();
    list.check(&result);
    let damage = damage
        .replace("IPV4", &address(&result, false))
        .replace("IPV6", &address(&result, true))
        .replace("PORT", &host.host_veth());
    host.run(&damage);
    list.check_last(&result).fails(CHECK_FAILED, words);
    // Damage is no reason for DEL to fail.
    list.del(&result);
}

#[test]
fn check_finds_what_nftables_lacks() {
    let open = || json!({"backend": "nftables"});
    let isolated = || json!({"backend": "nftables", "ingressPolicy": "isolated"});
    let table = "inet causeway_firewall";
    damaged(open(), &format!("nft delete element {table} pods-ipv4 {{ IPV4 }}"), &["pods-ipv4"]);
    damaged(open(), &format!("nft delete element {table} pods-ipv6 {{ IPV6 }}"), &["pods-ipv6"]);
    damaged(open(), &format!("nft flush chain {table} forward"), &["forward"]);
    damaged(open(), &format!("nft delete table {table}"), &["missing"]);
    damaged(isolated(), &format!("nft delete element {table} bridges {{ br0 }}"), &["bridges"]);
    damaged(isolated(), &format!("nft flush set {table} isolated"), &["isolated"]);
    damaged(
        isolated(),
        "nft delete element bridge causeway_firewall isolated { PORT }",
        &["isolated", "veth"],
    );
}

#[test]
fn check_finds_what_iptables_lacks() {
    let open = || json!({"backend": "iptables"});
    let isolated = || json!({"backend": "iptables", "ingressPolicy": "isolated"});
    damaged(open(), "iptables -D CNI-FORWARD -s IPV4 -j ACCEPT", &["CNI-FORWARD", "10.88.0"]);
    damaged(open(), "ip6tables -D CNI-FORWARD -s IPV6 -j ACCEPT", &["ip6tables", "fd00:88::"]);
    damaged(open(), "iptables -D CNI-FORWARD 2", &["RELATED,ESTABLISHED"]);
    damaged(open(), "iptables -F FORWARD", &["FORWARD", "CNI-FORWARD"]);
    damaged(open(), "iptables -D CNI-FORWARD 1", &["CNI-ADMIN"]);
    damaged(isolated(), "iptables -F CNI-ISOLATION-STAGE-1", &["STAGE-1", "br0"]);
    damaged(isolated(), "ip6tables -F CNI-ISOLATION-STAGE-2", &["STAGE-2", "br0"]);
}

/// An operator's rules are no damage.
#[test]
fn check_leaves_the_admin_chain_to_the_operator() {
    let host = Host::new();
    let pod = host.pod("blue");
    let list = list(&pod, Side::Causeway, json!({"backend": "nftables"}));
    let result = list.add();
    host.nft("add rule inet causeway_firewall admin ip saddr 192.0.2.1 drop");
    list.check(&result);
    list.del(&result);
    // Neither when all that is constant is made anew.
    host.run("nft flush chain inet causeway_firewall forward");
    host.run("nft delete set inet causeway_firewall pods-ipv4");
    let result = list.add();
    list.check(&result);
    assert!(host.run("nft list chain inet causeway_firewall admin").contains("192.0.2.1"));
}

#[test]
fn elements_without_a_record_are_removed_by_their_owner() {
    let host = Host::new();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let policy = || json!({"ingressPolicy": "isolated"});
    let other = list(&green, Side::Causeway, policy());
    let kept = other.add();
    let before = elements(&host);
    for (by, with_result) in [(Side::Causeway, true), (Side::Causeway, false), (Side::Fused, false)]
    {
        let first = list(&blue, Side::Causeway, policy());
        let result = first.add();
        assert_eq!(elements(&host).len(), before.len() + 3);
        host.run("rm /var/lib/cni/causeway/testnet/id-blue:eth0:firewall");
        list(&blue, by, policy()).del(if with_result { &result } else { &Value::Null });
        assert_eq!(elements(&host), before);
        first.del(&result);
    }
    other.check(&kept);
}

#[test]
fn iptables_rules_without_a_record_are_removed_by_address_but_not_another_pods() {
    let host = Host::new();
    let (blue, green) = (host.pod("blue"), host.pod("green"));
    let rules = || host.run("iptables-save -t filter").matches("10.88.0.2/32").count();
    let call = |pod: &Pod<'_>| {
        let config = alone(json!({"backend": "iptables"}));
        harness::call::Call::new(&host, FIREWALL, &config)
            .id(&format!("id-{}", pod.name))
            .ifname("eth0")
            .netns(&pod.path)
    };
    call(&blue).add();
    assert_eq!(rules(), 2);
    host.run("rm /var/lib/cni/causeway/testnet/id-blue:eth0:firewall");
    call(&blue).del();
    assert_eq!(rules(), 0);
    // Blue's address is green's by now; a late DEL for blue must not take its rules.
    call(&green).add();
    call(&blue).del();
    assert_eq!(rules(), 2);
    call(&green).del();
    assert_eq!(rules(), 0);
}

#[test]
fn gc_removes_what_no_valid_attachment_owns() {
    for backend in ["nftables", "iptables"] {
        let host = Host::new();
        let (blue, green) = (host.pod("blue"), host.pod("green"));
        let more = || json!({"backend": backend, "ingressPolicy": "isolated"});
        let (stale, valid) =
            (list(&blue, Side::Causeway, more()), list(&green, Side::Causeway, more()));
        let kept = valid.add();
        let before = (elements(&host), host.run("iptables-save -t filter"));
        let lines = |text: &str| {
            text.lines().filter(|line| line.starts_with('-')).map(str::to_owned).collect::<Vec<_>>()
        };
        for with_record in [true, false] {
            // Without a record iptables' rules tell no owner.
            if backend == "iptables" && !with_record {
                continue;
            }
            stale.add();
            if !with_record {
                host.run("rm /var/lib/cni/causeway/testnet/id-blue:eth0:firewall");
            }
            valid.last().gc(&[("id-green", "eth0")]);
            assert_eq!(elements(&host), before.0, "{backend}, record: {with_record}");
            assert_eq!(lines(&host.run("iptables-save -t filter")), lines(&before.1));
            List::new(&blue, Side::Causeway, &[dual_entry("br0", 88)]).del(&Value::Null);
        }
        valid.check(&kept);
    }
}

#[test]
fn a_failed_list_takes_the_firewall_back() {
    for backend in ["nftables", "iptables"] {
        let host = Host::new();
        let pod = host.pod("blue");
        host.script_plugin("fails", "#!/bin/sh\n[ $CNI_COMMAND != ADD ]\n");
        let more = json!({"backend": backend, "ingressPolicy": "isolated"});
        let good = [dual_entry("br0", 88), firewall(more.clone())];
        let once = List::new(&pod, Side::Fused, &good);
        let result = once.add();
        once.del(&result);
        let bad = [dual_entry("br0", 88), firewall(more), json!({"type": "fails"})];
        let before = (host.snapshot(), pod.snapshot());
        List::new(&pod, Side::Fused, &bad).last().run("ADD").error();
        nothing_stays(&before, &pod, backend);
    }
}

/// A bridge that a failed ADD put under its policy is not under it any more.
#[test]
fn a_failed_list_takes_a_new_bridge_policy_back() {
    let host = Host::new();
    let pod = host.pod("blue");
    host.script_plugin("fails", "#!/bin/sh\n[ $CNI_COMMAND != ADD ]\n");
    let entries = [
        dual_entry("br0", 88),
        firewall(json!({"backend": "nftables", "ingressPolicy": "isolated"})),
        json!({"type": "fails"}),
    ];
    List::new(&pod, Side::Fused, &entries).last().run("ADD").error();
    assert_eq!(elements(&host), Vec::<String>::new());
}

#[test]
fn an_add_that_was_killed_is_cleared_by_the_next() {
    let host = Host::new();
    let pod = host.pod("blue");
    let call = pod.call(FIREWALL, &alone(json!({"backend": "iptables"})));
    call.add();
    // The record says that an ADD was made; no DEL came.
    call.add();
    let saved = host.run("iptables-save -t filter");
    assert_eq!(saved.matches("10.88.0.2/32").count(), 2, "{saved}");
    call.del();
    assert!(!host.run("iptables-save -t filter").contains("10.88.0.2/32"));
}
