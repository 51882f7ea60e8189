//! A host with a network card, and what must hold of every interface that is made on it or, like a
//! dummy, inside the container alone.

use serde_json::{Value, json};

use super::call::{Call, Plugin};
use super::chained::{List, Side};
use super::config::{merge, newest};
use super::killed::killed_add;
use super::refusal::{ALREADY_ATTACHED, CHECK_FAILED};
use super::snapshot::{Snapshot, nothing_stays};
use super::{Host, Pod, require_reference, testing_reference};

/// The host's network card.
pub const CARD: &str = "up0";

/// Gives the host a network card `up0`, up, and gives the other machine on the same wire, which has
/// `wire0` with 10.88.0.254 and fd00:88::fe.
pub fn uplink(host: &Host) -> Pod<'_> {
    let other = host.pod("other");
    host.run("ip link add up0 type veth peer name wire0 netns other");
    host.run("ip link set up0 up");
    other.run("ip link set wire0 up");
    for address in ["10.88.0.254/24", "fd00:88::fe/64"] {
        other.run(&format!("ip addr add {address} dev wire0 nodad"));
    }
    other
}

/// A network `testnet` of `plugin` with leases of 10.88.0.0/24, and what `more` adds or replaces.
pub fn network(plugin: Plugin, more: Value) -> Value {
    let mut config = json!({
        "cniVersion": newest(), "name": "testnet", "type": plugin.name(),
        "ipam": {"type": "host-local", "subnet": "10.88.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}
    });
    if plugin.name() != "dummy" {
        merge(&mut config, json!({"master": CARD}));
    }
    merge(&mut config, more);
    config
}

/// Addresses of both families that stay the same from one ADD to the next, and default routes.
pub fn fixed() -> Value {
    json!({
        "type": "static", "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        "addresses": [{"address": "10.88.0.5/24", "gateway": "10.88.0.254"},
                      {"address": "fd00:88::5/64", "gateway": "fd00:88::fe"}]
    })
}

/// ADD, CHECK and DEL, with a record and without, by GC, and with the namespace gone; nothing stays.
pub fn comes_and_goes(plugin: Plugin, config: &Value) {
    let host = Host::new();
    let _other = uplink(&host);
    let (pod, green) = (host.pod("blue"), host.pod("green"));
    let call = pod.call(plugin, config);
    let before = (host.snapshot(), pod.snapshot());
    let rounds: &[&str] = if testing_reference() {
        &["with a record"]
    } else {
        &["with a record", "without a record", "by GC"]
    };
    for round in rounds {
        let result = call.add();
        assert_eq!(result["interfaces"][0]["name"], "eth0", "{result}");
        assert_eq!(result["interfaces"].as_array().map(Vec::len), Some(1), "{result}");
        assert_eq!(result["interfaces"][0]["sandbox"], "/run/netns/blue", "{result}");
        assert_eq!(result["interfaces"][0]["mac"], json!(pod.mac("eth0")));
        if !testing_reference() {
            let link = pod.json("ip -j link show eth0");
            assert_eq!(result["interfaces"][0]["mtu"], link[0]["mtu"]);
        }
        call.check(&result).silence();
        call.run("ADD").fails(ALREADY_ATTACHED, &["eth0"]);
        call.check(&result).silence();
        match *round {
            "without a record" => {
                host.run("rm -r /var/lib/cni/causeway/testnet");
                call.del();
            }
            "by GC" => host.call(plugin, config).gc(&[]),
            _ => call.del(),
        }
        nothing_stays(&before, &pod, round);
        call.del();
    }
    let call = green.call(plugin, config);
    call.add();
    green.destroy();
    call.del();
    the_kernel_clears(&before.0, &host);
}

/// Waits until a host is as it was `before`: the kernel takes a dead namespace's links away in its own
/// time, and only then is their master rid of them.
fn the_kernel_clears(before: &Snapshot, host: &Host) {
    let before = before.without_shared_files();
    host.wait("all traces of a dead namespace go", |host| {
        before.diff(&host.snapshot().without_shared_files()).is_empty()
    });
}

/// Everything that CHECK looks at, spoilt one after the other; `more` are commands in the pod that
/// only this kind of interface knows. The configuration must give the same addresses each time.
pub fn check_finds_losses(plugin: Plugin, config: &Value, more: &[(&str, &[&str])]) {
    let host = Host::new();
    let _other = uplink(&host);
    let pod = host.pod("blue");
    let call = pod.call(plugin, config);
    let common: &[(&str, &[&str])] = &[
        ("ip addr del 10.88.0.5/24 dev eth0", &["10.88.0.5/24"]),
        ("ip addr del fd00:88::5/64 dev eth0", &["fd00:88::5/64"]),
        ("ip route del default", &["0.0.0.0/0"]),
        ("ip -6 route del default", &["::/0"]),
        ("ip link set eth0 down", &["eth0", "down"]),
        ("ip link set eth0 mtu 1300", &["eth0", "1300"]),
        ("ip link del eth0", &["eth0"]),
    ];
    for (command, words) in common.iter().chain(more) {
        let result = call.add();
        call.check(&result).silence();
        pod.run(command);
        call.check(&result).fails(CHECK_FAILED, words);
        call.del();
    }
    // Another kind of link under the name.
    let result = call.add();
    pod.run("ip link del eth0");
    pod.run("ip link add eth0 type veth peer name eth9");
    call.check(&result).fails(CHECK_FAILED, &["eth0"]);
    call.del();
    assert_eq!(pod.link_names(), ["lo"]);
}

/// A host link of the same name is in nobody's way and stays as it is.
pub fn the_host_has_a_link_of_that_name(plugin: Plugin, config: &Value) {
    let host = Host::new();
    let _other = uplink(&host);
    host.run("ip link add eth0 type veth peer name eth9");
    let pod = host.pod("blue");
    let before = (host.snapshot(), pod.snapshot());
    let call = pod.call(plugin, config);
    let result = call.add();
    call.check(&result).silence();
    let mut names = pod.link_names();
    names.sort();
    assert_eq!(names, ["eth0", "lo"]);
    call.del();
    nothing_stays(&before, &pod, "after DEL");
}

/// A kill before any of the netlink messages leaves nothing that DEL, GC or another ADD does not clear.
pub fn kills_at_every_message(plugin: Plugin, config: &Value) {
    let host = Host::new();
    let _other = uplink(&host);
    // A name that older kernels make a detour for.
    host.run("ip link add eth0 type veth peer name eth9");
    let pod = host.pod("blue");
    let call = pod.call(plugin, config);
    call.add();
    call.del();
    let before = (host.snapshot(), pod.snapshot());
    let mut kills = 0;
    for nth in 1..60 {
        let came_so_far = killed_add(&host, &call, plugin, "sendto", nth);
        match nth % 3 {
            0 => call.del(),
            1 => host.call(plugin, config).gc(&[]),
            _ => {
                let outcome = call.run("ADD");
                if outcome.status != Some(0) {
                    outcome.fails(ALREADY_ATTACHED, &["eth0"]);
                }
                call.del();
            }
        }
        nothing_stays(&before, &pod, &format!("after a kill at message {nth}"));
        if !came_so_far {
            break;
        }
        kills += 1;
    }
    assert!(kills > 3, "only {kills} messages");
}

/// A pod that one side's plugins attached is checked and detached by the other side's.
pub fn moves_both_ways(name: &'static str, config: &Value) {
    require_reference();
    let mut config = config.clone();
    merge(&mut config, json!({"cniVersion": "1.0.0"}));
    let host = Host::new();
    let _other = uplink(&host);
    let pod = host.pod("blue");
    let before = (host.snapshot(), pod.snapshot());
    let own = pod.call(Plugin::Causeway(name), &config);
    let reference = pod.call(Plugin::Reference(name), &config);
    for (first, second) in [(&reference, &own), (&own, &reference)] {
        let result = first.add();
        second.check(&result).silence();
        second.del();
        // By the reference's DEL causeway's record stays; causeway's own takes it away.
        own.del();
        nothing_stays(&before, &pod, "after the other side's DEL");
    }
    // With the namespace gone the address is given back.
    reference.add();
    pod.destroy();
    own.del();
    the_kernel_clears(&before.0, &host);
}

/// With tuning after it, in one process and one after the other: the same interface and result. The
/// configuration must give the same addresses each time.
pub fn works_in_a_list(config: &Value) {
    let host = Host::new();
    let _other = uplink(&host);
    let tuning = json!({"type": "tuning", "allmulti": true,
                        "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}});
    let entries = [config.clone(), tuning];
    let mut results = Vec::new();
    for side in [Side::Causeway, Side::Fused] {
        let pod = host.pod(if side == Side::Fused { "fused" } else { "single" });
        let before = (host.snapshot(), pod.snapshot());
        let list = List::new(&pod, side, &entries);
        let mut result = list.add();
        assert_eq!(pod.run("cat /proc/sys/net/ipv4/conf/eth0/arp_filter").trim(), "1");
        list.check(&result);
        list.del(&result);
        nothing_stays(&before, &pod, &format!("after DEL, {side:?}"));
        for key in ["mac", "sandbox"] {
            result["interfaces"][0][key] = Value::Null;
        }
        results.push(result);
    }
    assert_eq!(results[0], results[1]);
}

/// A call of `plugin` for the pod "blue" of a fresh host with a network card.
pub fn on_a_fresh_host(
    plugin: Plugin,
    config: &Value,
    work: impl FnOnce(&Host, &Pod<'_>, &Call<'_>),
) {
    let host = Host::new();
    let _other = uplink(&host);
    let pod = host.pod("blue");
    let call = pod.call(plugin, config);
    work(&host, &pod, &call);
}
