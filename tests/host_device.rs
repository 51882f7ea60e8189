//! host-device: what ADD, CHECK and DEL do with a device.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::call::Plugin;
use harness::devices::{
    MAC, assert_home, dual_ipam, host_device, in_pod, is_up, on_host, v4_ipam, wired,
};
use harness::refusal::CHECK_FAILED;
use serde_json::{Value, json};

const DEVICE: Plugin = Plugin::Causeway("host-device");

#[test]
fn the_device_moves_in_and_comes_back() {
    let host = wired();
    let pod = host.pod("blue");
    let call = pod.call(DEVICE, &host_device(json!({"device": "dev0"})));
    for _ in 0..2 {
        let result = call.add();
        assert_eq!(
            result["interfaces"],
            json!([{"name": "eth0", "mac": MAC, "sandbox": "/run/netns/blue"}])
        );
        assert!(result.get("ips").is_none() && result.get("dns").is_none(), "{result}");
        assert!(!host.succeeds("ip link show dev0"));
        let link = in_pod(&pod, "eth0");
        assert_eq!((&link["address"], &link["ifalias"]), (&json!(MAC), &json!("dev0")));
        assert!(is_up(&link));
        call.check(&result).silence();
        for _ in 0..2 {
            call.del();
            assert_home(&host, "after DEL");
            assert!(!is_up(&on_host(&host, "dev0")));
            assert_eq!(pod.link_names(), ["lo"]);
        }
        assert!(host.snapshot().files("id-blue").is_empty());
    }
}

#[test]
fn it_gets_addresses_and_routes() {
    let host = wired();
    let pod = host.pod("blue");
    let dns = json!({"nameservers": ["10.88.0.53"], "domain": "example"});
    let config = host_device(json!({"device": "dev0", "ipam": dual_ipam(), "dns": dns}));
    let call = pod.call(DEVICE, &config);
    let result = call.add();
    assert_eq!(result["ips"][0]["address"], "10.88.0.2/24");
    assert_eq!(result["ips"][1]["address"], "fd00:88::2/64");
    assert_eq!(result["ips"][1]["interface"], 0);
    assert_eq!(result["routes"].as_array().unwrap().len(), 2);
    assert_eq!(result["dns"], dns);
    assert!(pod.reaches("10.88.0.1") && pod.reaches("fd00:88::1"));
    host.run("ip addr add 192.0.2.1/32 dev wire0");
    assert!(pod.reaches("192.0.2.1"));
    call.check(&result).silence();
    for (spoil, mend, word) in [
        ("ip link set eth0 down", "ip link set eth0 up", "down"),
        ("ip addr del 10.88.0.2/24 dev eth0", "ip addr add 10.88.0.2/24 dev eth0", "10.88.0.2/24"),
        ("ip -6 route del default", "ip -6 route add default via fd00:88::1", "::/0"),
        ("ip link set eth0 name eth9", "ip link set eth9 name eth0", "eth0"),
    ] {
        pod.run(spoil);
        call.check(&result).fails(CHECK_FAILED, &[word]);
        pod.run(mend);
        for route in ["default via 10.88.0.1", "-6 default via fd00:88::1"] {
            let (family, route) = route.split_once("default").unwrap();
            pod.inside(|| {
                std::process::Command::new("sh")
                    .arg("-c")
                    .arg(format!("ip link set eth0 up; ip {family} route replace default{route}"))
                    .status()
                    .unwrap()
            });
        }
        call.check(&result).silence();
    }
    pod.run("ip link set eth0 address 0a:58:0a:01:00:06");
    call.check(&result).fails(CHECK_FAILED, &["0a:58:0a:01:00:06", MAC]);
    pod.run(&format!("ip link set eth0 address {MAC}"));
    call.del();
    assert_home(&host, "after DEL");
    assert!(host.snapshot().files("/networks/testnet/10.").is_empty());
}

#[test]
fn every_key_finds_it() {
    let host = wired();
    let pod = host.pod("blue");
    host.run("ip link property add dev dev0 altname the-device-that-is-called-by-a-long-name");
    host.run("ip link property add dev dev0 altname short");
    let rows = [
        json!({"device": "dev0"}),
        json!({"device": "short"}),
        json!({"device": "the-device-that-is-called-by-a-long-name"}),
        json!({"hwaddr": MAC}),
        json!({"hwaddr": MAC.to_uppercase().replace(':', "-")}),
        json!({"kernelpath": "/sys/devices/virtual"}),
        json!({"device": "dev0", "hwaddr": MAC, "kernelpath": "/sys/devices/virtual"}),
        // The first key is enough.
        json!({"device": "dev0", "hwaddr": "0a:58:0a:01:00:06", "pciBusID": ""}),
    ];
    for row in rows {
        let call = pod.call(DEVICE, &host_device(row.clone()));
        let result = call.add();
        assert_eq!(in_pod(&pod, "eth0")["ifalias"], "dev0", "{row}");
        call.check(&result).silence();
        call.del();
        assert_home(&host, &row.to_string());
    }
}

#[test]
fn every_version_is_spoken() {
    let host = wired();
    let pod = host.pod("blue");
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let config =
            host_device(json!({"device": "dev0", "cniVersion": version, "ipam": v4_ipam()}));
        let call = pod.call(DEVICE, &config);
        let result = call.add();
        assert_eq!(result["cniVersion"], version);
        let old = matches!(version, "0.1.0" | "0.2.0");
        let address = if old { &result["ip4"]["ip"] } else { &result["ips"][0]["address"] };
        assert!(address.as_str().unwrap().starts_with("10.88.0."), "{result}");
        if !old && version != "0.3.0" && version != "0.3.1" {
            call.check(&result).silence();
        }
        call.del();
        assert_home(&host, version);
    }
    host.call(DEVICE, &host_device(json!({"device": "dev0"}))).run("STATUS").silence();
}

#[test]
fn its_alias_comes_back_too_and_names_in_the_pod_are_no_obstacle() {
    let host = wired();
    let pod = host.pod("blue");
    host.run("ip link set dev0 alias uplink");
    pod.run("ip link add dev0 type veth peer name other");
    let call = pod.call(DEVICE, &host_device(json!({"device": "dev0"})));
    let result = call.add();
    call.check(&result).silence();
    assert_eq!(in_pod(&pod, "eth0")["ifalias"], "dev0");
    call.del();
    assert_eq!(on_host(&host, "dev0")["ifalias"], "uplink");
    assert_eq!(on_host(&host, "dev0")["address"], MAC);
    assert_eq!(pod.link_names().len(), 3);
    // The host's device may be called like the interface.
    host.run("ip link set dev0 name eth0");
    let call = pod.call(DEVICE, &host_device(json!({"device": "eth0"})));
    call.add();
    call.del();
    assert_eq!(on_host(&host, "eth0")["address"], MAC);
}

#[test]
fn a_name_that_is_taken_on_the_host_keeps_it_in_the_pod() {
    let host = wired();
    let pod = host.pod("blue");
    let call = pod.call(DEVICE, &host_device(json!({"device": "dev0", "ipam": v4_ipam()})));
    let result = call.add();
    host.run("ip link add dev0 type bridge");
    call.run("DEL").fails(107, &["dev0", "rename or remove"]);
    assert!(pod.reaches("10.88.0.1"));
    assert_eq!(in_pod(&pod, "eth0")["address"], MAC);
    let _: Value = result;
    host.run("ip link del dev0");
    call.del();
    assert_home(&host, "after the second DEL");
}

#[test]
fn a_fused_list_has_it_as_a_member() {
    let host = wired();
    let pod = host.pod("blue");
    let list = json!({
        "cniVersion": "1.1.0", "name": "testnet", "type": "causeway",
        "plugins": [
            {"type": "host-device", "device": "dev0", "ipam": v4_ipam()},
            {"type": "tuning", "mac": "0a:58:0a:01:00:07", "mtu": 1400, "sysctl": {"net.core.somaxconn": "99"}},
            {"type": "sbr"}
        ]
    });
    let call = pod.call(Plugin::Causeway("causeway"), &list);
    let result = call.add();
    assert_eq!(result["interfaces"][0]["mac"], "0a:58:0a:01:00:07");
    assert_eq!(in_pod(&pod, "eth0")["mtu"], 1400);
    // Only packets from the address have a route left.
    pod.run("ping -c 1 -W 5 -I 10.88.0.2 10.88.0.1");
    call.check(&result).silence();
    call.del();
    // The host has its device back as it was.
    assert_home(&host, "after DEL");
    assert_eq!(on_host(&host, "dev0")["mtu"], 1500);
    assert!(host.snapshot().files("id-blue").is_empty());
}
