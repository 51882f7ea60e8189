//! bandwidth in one process with the plugins before it, and calls that are killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::config::{dual_stack, merge};
use harness::killed::killed_add;
use harness::limited::{BANDWIDTH, BRIDGE, IFB, assert_both, attached, both, tbf};
use harness::list::List;
use harness::refusal::CHECK_FAILED;
use harness::snapshot::nothing_stays;
use harness::{Host, Pod};
use serde_json::{Value, json};

const CAUSEWAY: Plugin = Plugin::Causeway("causeway");

fn fused(entries: &[Value]) -> Value {
    json!({"cniVersion": "1.1.0", "name": "testnet", "type": "causeway", "plugins": entries})
}

/// An entry as a configuration of its own.
fn alone(entry: &Value) -> Value {
    let mut config = entry.clone();
    merge(&mut config, json!({"cniVersion": "1.1.0", "name": "testnet"}));
    config
}

fn entry_of_bridge() -> Value {
    dual_stack(json!({"cniVersion": null, "name": null, "ipMasq": true}))
}

fn entry() -> Value {
    let mut entry = both();
    merge(&mut entry, json!({"cniVersion": null, "name": null}));
    entry
}

/// The plugins of a usual list, one by one or at once.
fn lists<'h>(pod: &Pod<'h>) -> (List<'h>, List<'h>) {
    let (bridge, bandwidth) = (entry_of_bridge(), entry());
    let at_once = List::of(pod, &[(CAUSEWAY, fused(&[bridge.clone(), bandwidth.clone()]))]);
    let one_by_one = List::of(pod, &[(BRIDGE, alone(&bridge)), (BANDWIDTH, alone(&bandwidth))]);
    (at_once, one_by_one)
}

#[test]
fn a_list_does_what_its_plugins_do_one_by_one() {
    let play = |is_fused: bool| {
        let host = Host::new();
        let pod = host.pod("blue");
        let (at_once, one_by_one) = lists(&pod);
        let list = if is_fused { at_once } else { one_by_one };
        let result = list.add();
        assert_both(&host, &host.host_veth());
        list.check(&result);
        (result, host.snapshot().without("/files"))
    };
    let (one_by_one, at_once) = (play(false), play(true));
    assert_eq!(at_once.0["interfaces"][3], one_by_one.0["interfaces"][3]);
    assert_eq!(at_once.0["interfaces"][3]["name"], IFB);
    assert_eq!(at_once.0["ips"], one_by_one.0["ips"]);
    // The bridge has a hardware address of its own each time.
    let plain = |snapshot: &harness::snapshot::Snapshot| {
        let all = snapshot.without("/links/br0").without("/links/vetha5196d8f");
        all.without("/neighbours").without("/routes")
    };
    plain(&one_by_one.1).assert_same(&plain(&at_once.1), "at once instead of one by one");
}

#[test]
fn one_record_is_enough() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (list, _) = lists(&pod);
    let call = &list.calls[0];
    call.add();
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    let result = call.add();
    assert_eq!(host.run("ls /var/lib/cni/causeway/testnet").matches("id-blue").count(), 1);
    call.check(&result).silence();
    host.run(&format!("tc qdisc del dev {IFB} root"));
    call.check(&result).fails(CHECK_FAILED, &[IFB, "tbf"]);
    call.del();
    nothing_stays(&before, &pod, "after DEL");
    call.del();

    call.add();
    host.call(CAUSEWAY, &fused(&[entry_of_bridge(), entry()])).gc(&[]);
    nothing_stays(&before, &pod, "after GC");
}

#[test]
fn links_of_others_stay_when_several_go_together() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (list, _) = lists(&pod);
    host.run("ip link add other type ifb");
    host.run("ip link set other group 1073741824");
    host.run("ip link add another type ifb");
    let result = list.add();
    list.del(&result);
    let names = host.link_names();
    for name in ["other", "another", "br0"] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
    assert_eq!(names.len(), 4, "{names:?}");
}

#[test]
fn del_removes_both_links_in_one_request() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (list, _) = lists(&pod);
    let call = &list.calls[0];
    call.add();
    let script = format!(
        "#!/bin/sh\nexec strace -v -s 4096 -o /run/cni-test/trace -e trace=sendto {}/causeway\n",
        CAUSEWAY.dir()
    );
    host.script_plugin("traced", &script);
    call.clone().program("/run/cni-test/causeway/traced").del();
    let trace = host.read("/run/cni-test/trace");
    assert_eq!(trace.matches("RTM_DELLINK").count(), 1, "{trace}");
    // What goes with the link is not removed before it.
    assert_eq!(trace.matches("RTM_DELQDISC").count(), 0, "{trace}");
    assert_eq!(host.link_names(), ["lo", "br0"]);
}

#[test]
fn either_form_detaches_what_the_other_attached() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (at_once, one_by_one) = lists(&pod);
    at_once.del(&at_once.add());
    let before = (host.snapshot(), pod.snapshot());
    let result = at_once.add();
    one_by_one.check(&result);
    one_by_one.del(&result);
    nothing_stays(&before, &pod, "fused ADD, unfused DEL");
    let result = one_by_one.add();
    at_once.check(&result);
    at_once.del(&result);
    nothing_stays(&before, &pod, "unfused ADD, fused DEL");
}

#[test]
fn an_interface_that_a_foreign_plugin_makes_is_limited() {
    const MAKER: &str = r#"#!/bin/sh
cat >/dev/null
in="nsenter --net=$CNI_NETNS ip link"
case $CNI_COMMAND in
ADD)
  ip link add far mtu 1450 type veth peer name $CNI_IFNAME netns $CNI_NETNS
  ip link set far up
  echo '{"cniVersion": "1.1.0", "interfaces": [{"name": "far"}, {"name": "'$CNI_IFNAME'", "sandbox": "'$CNI_NETNS'"}]}' ;;
DEL)
  $in del $CNI_IFNAME 2>/dev/null ;;
esac
exit 0
"#;
    let host = Host::new();
    let pod = host.pod("blue");
    host.script_plugin("maker", MAKER);
    let before = (host.snapshot(), pod.snapshot());
    let call = pod.call(CAUSEWAY, &fused(&[json!({"type": "maker"}), entry()]));
    let result = call.add();
    assert_both(&host, "far");
    assert_eq!(host.json(&format!("ip -j link show {IFB}"))[0]["mtu"], 1450);
    assert_eq!(result["interfaces"][2]["name"], IFB);
    call.check(&result).silence();
    call.del();
    nothing_stays(&before, &pod, "after DEL");
}

#[test]
fn another_mtu_before_it_is_the_ifb_devices_too() {
    let host = Host::new();
    let pod = host.pod("blue");
    let mut bridge = entry_of_bridge();
    merge(&mut bridge, json!({"mtu": 1400}));
    pod.call(CAUSEWAY, &fused(&[bridge, entry()])).add();
    assert_eq!(host.json(&format!("ip -j link show {IFB}"))[0]["mtu"], 1400);
}

#[test]
fn a_killed_add_of_the_plugin_alone_leaves_nothing_after_del() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (call, _) = attached(&pod, &both());
    call.add();
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    let mut half_made = 0;
    for name in ["sendto", "recvfrom", "/^rename", "close"] {
        let mut nth = 1;
        while killed_add(&host, &call, BANDWIDTH, name, nth) {
            let is_half = !host.run("tc qdisc show").contains("noqueue 0: dev vetha")
                || host.link_names().contains(&IFB.to_owned());
            half_made += u32::from(is_half);
            if nth % 2 == 0 {
                call.check(&call.add()).silence();
                assert_both(&host, &host.host_veth());
            }
            call.del();
            // A record that was not whole yet is for GC.
            if is_half {
                nothing_stays(&before, &pod, &format!("after a kill at {name} number {nth}"));
            }
            nth += 1;
        }
        assert!(nth > 1, "ADD makes no {name}");
        call.del();
    }
    nothing_stays(&before, &pod, "at the end");
    assert!(half_made > 8, "only {half_made} kills found something half made");
}

#[test]
fn a_killed_add_of_a_list_leaves_nothing_after_del() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (list, _) = lists(&pod);
    let call = &list.calls[0];
    call.add();
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    let mut nth = 1;
    while killed_add(&host, call, CAUSEWAY, "sendto", nth) {
        if nth % 3 == 0 && !pod.link_names().contains(&"eth0".to_owned()) {
            call.add();
            assert_eq!(tbf(&host, IFB)["options"]["rate"], 2_000_000);
        }
        call.del();
        nothing_stays(&before, &pod, &format!("after a kill at sendto number {nth}"));
        nth += 1;
    }
    assert!(nth > 8, "{nth}");
    call.del();
    nothing_stays(&before, &pod, "at the end");
}

#[test]
fn an_add_that_fails_at_the_end_leaves_nothing() {
    let host = Host::new();
    let pod = host.pod("blue");
    let (list, _) = lists(&pod);
    list.del(&list.add());
    let before = (host.snapshot(), pod.snapshot());
    // An ifb device under that name, somebody else's, is found late.
    host.run(&format!("ip link add {IFB} type ifb"));
    let error = list.calls[0].run("ADD").fails(harness::refusal::BAD_CONFIG, &[IFB]);
    assert!(host.link_names().contains(&IFB.to_owned()), "{error:?}");
    host.run(&format!("ip link del {IFB}"));
    nothing_stays(&before, &pod, "after an ADD that failed");
}
