//! Facts from testdata/doctor, and the findings that follow from them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::*;

fn found(text: &str) -> Vec<&'static str> {
    let facts: Facts = serde_json::from_str(text).unwrap();
    diagnose(&facts).iter().map(|finding| finding.check).collect()
}

fn healthy() -> serde_json::Value {
    serde_json::from_str(include_str!("../../testdata/doctor/healthy.json")).unwrap()
}

/// The findings of the healthy node with `change` made to it.
fn with(change: impl FnOnce(&mut serde_json::Value)) -> Vec<&'static str> {
    let mut facts = healthy();
    change(&mut facts);
    found(&facts.to_string())
}

#[test]
fn a_healthy_node_has_no_findings() {
    assert_eq!(with(|_| {}), Vec::<&str>::new());
    // And nothing at all is as good as healthy, but for the rights.
    assert_eq!(found("{}"), ["rights", "rights"]);
}

#[test]
fn each_fact_leads_to_its_finding() {
    use serde_json::json;
    assert_eq!(with(|it| it["sysctls"]["net/ipv4/ip_forward"] = json!("0")), ["forwarding"]);
    assert_eq!(
        with(|it| it["sysctls"]["net/ipv4/conf/cni0/forwarding"] = json!("0")),
        ["forwarding"]
    );
    assert_eq!(
        with(|it| {
            it["attachments"][0]["elsewhere"] = json!([["10.88.0.2", "eth1"]]);
            it["sysctls"]["net/ipv4/conf/all/rp_filter"] = json!("1");
        }),
        ["way-back", "rp-filter"]
    );
    assert_eq!(with(|it| it["attachments"][0]["mtu"] = json!(9000)), ["mtu"]);
    assert_eq!(with(|it| it["links"][0]["mtu"] = json!(1400)), ["mtu"]);
    assert_eq!(with(|it| it["attachments"][0]["alive"] = json!(false)), ["namespace-gone"]);
    assert_eq!(
        with(|it| it["faultyConfigurations"] = json!([["/etc/cni/net.d/1.conf", ["no", "no"]]])),
        ["configuration"]
    );
    assert_eq!(
        with(|it| it["leases"] = json!([{"network": "pods", "folder": "/l/pods",
        "address": "10.88.0.9", "containerId": "dead", "ifname": "eth0"},
        {"network": "pods", "folder": "/l/pods", "address": "10.88.0.2", "containerId": "abc",
         "ifname": "eth0"}])),
        ["lease-leaked"]
    );
    assert_eq!(
        with(|it| it["leases"][0]["containerId"] = json!("other")),
        ["lease-missing", "lease-leaked"]
    );
    assert_eq!(with(|it| it["links"][2]["alias"] = json!("pods/dead/eth0")), ["link-leaked"]);
    let removed = |it: &mut serde_json::Value| {
        let facts: Facts = serde_json::from_value(it.clone()).unwrap();
        diagnose(&facts).into_iter().filter(|finding| finding.fix.is_some()).count()
    };
    let mut leaked = healthy();
    leaked["links"][2]["alias"] = json!("pods/dead/eth0");
    leaked["elements"][0]["owner"] = json!("pods/dead/eth0");
    assert_eq!(removed(&mut leaked), 0, "a pod may be behind it");
    leaked["links"][2]["bothEndsHere"] = json!(true);
    assert_eq!(removed(&mut leaked), 2);
    leaked["livingAddresses"] = json!(["10.88.0.2"]);
    assert_eq!(removed(&mut leaked), 1, "somebody has the address");
    assert_eq!(with(|it| it["elements"][0]["owner"] = json!("pods/dead/eth0")), ["rule-leaked"]);
    assert_eq!(
        with(|it| it["ownChains"] = json!([["iptables", "CNI-aaaaaaaaaaaaaaaaaaaaaaaa"]])),
        ["chain-leaked"]
    );
    assert_eq!(with(|it| it["staleNamespaces"] = json!(["/run/netns/x"])), ["namespace-stale"]);
    assert_eq!(
        with(|it| it["damaged"] = json!([["/s/pods/x:eth0:bridge", "cut"]])),
        ["record-damaged"]
    );
    assert_eq!(with(|it| it["programs"]["found"][0]["executable"] = json!(false)), ["program"]);
    assert_eq!(
        with(|it| it["brokenConfigurations"] = json!([["/etc/cni/net.d/9.conf", "no JSON"]])),
        ["configuration"]
    );
    assert_eq!(
        with(|it| {
            it["legacyTables"] = json!(["iptables filter"]);
            it["nftTables"] = json!(["iptables nat"]);
        }),
        ["iptables-variants"]
    );
    assert_eq!(with(|it| it["kernel"]["nfTables"] = json!(false)), ["kernel"]);
    assert_eq!(with(|it| it["directories"][0]["mode"] = json!(0o777)), ["directory"]);
    assert_eq!(with(|it| it["unread"] = json!(["something"])), ["unread"]);
}

#[test]
fn a_pod_that_may_be_alive_is_not_removed() {
    use serde_json::json;
    let fixable = |facts: &serde_json::Value| {
        let facts: Facts = serde_json::from_value(facts.clone()).unwrap();
        diagnose(&facts).into_iter().filter(|finding| finding.fix.is_some()).count()
    };
    let mut facts = healthy();
    facts["attachments"][0]["alive"] = json!(false);
    assert_eq!(fixable(&facts), 0, "its link is there");
    facts["links"].as_array_mut().unwrap().remove(2);
    assert_eq!(fixable(&facts), 1);
    facts["livingAddresses"] = json!(["10.88.0.2"]);
    assert_eq!(fixable(&facts), 0, "its address is in some namespace");
    facts["attachments"][0]["paired"] = json!(true);
    assert_eq!(fixable(&facts), 1, "a pair goes with its namespace");
}

#[test]
fn a_policy_that_drops_is_told_with_exceptions_for_the_pods() {
    let mut facts = healthy();
    facts["ruleset"]["chains"] = serde_json::json!([{"keeper": "iptables-legacy", "family": "ip",
        "table": "filter", "name": "FORWARD", "drops": true,
        "hook": {"kind": "filter", "point": 2, "priority": 0}}]);
    let facts: Facts = serde_json::from_value(facts).unwrap();
    let findings = diagnose(&facts);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(
        findings[0].mend.as_deref(),
        Some(
            "iptables-legacy -I FORWARD -s 10.88.0.0/16 -j ACCEPT && \
             iptables-legacy -I FORWARD -d 10.88.0.0/16 -j ACCEPT"
        )
    );
    assert!(findings[0].fix.is_none(), "a firewall of others is not changed unasked");
}

#[test]
fn names_become_words_of_a_shell() {
    assert_eq!(checks::quoted("/run/netns/a-b"), "/run/netns/a-b");
    assert_eq!(checks::quoted("a b;'c'"), "'a b;'\\''c'\\'''");
}
