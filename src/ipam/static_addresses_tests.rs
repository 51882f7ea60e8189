//! What static makes of configurations, and of what the runtime gives with a call.

use std::ffi::OsString;

use serde_json::{Value, json};

use super::*;

fn request(verb: &str, config: &Value, args: &str) -> Request {
    let variables = |name: &str| -> Option<OsString> {
        let value = match name {
            "CNI_COMMAND" => verb,
            "CNI_CONTAINERID" => "c0ffee",
            "CNI_NETNS" => "/run/netns/blue",
            "CNI_IFNAME" => "eth0",
            "CNI_ARGS" => args,
            _ => return None,
        };
        Some(value.into())
    };
    Request::read(&variables, &mut config.to_string().as_bytes()).unwrap()
}

fn config(addresses: Value, more: Value) -> Value {
    let mut config = json!({"cniVersion": "1.0.0", "name": "net", "type": "ptp",
                            "ipam": {"type": "static", "addresses": addresses}});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// Addresses with gateways, in words.
fn read(config: &Value, args: &str) -> Result<Vec<String>, Error> {
    let found = StaticAddresses::of(&request("ADD", config, args))?;
    let words = |ip: &IpConfig| match ip.gateway {
        Some(gateway) => format!("{} via {gateway}", ip.address),
        None => ip.address.to_string(),
    };
    Ok(found.ips.iter().map(words).collect())
}

#[test]
fn each_source_in_its_place() {
    let own = json!([{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}, {"address": "fd00::5/64"}]);
    let args = json!({"args": {"cni": {"ips": ["10.3.0.5/24"]}}});
    let runtime = json!({"args": {"cni": {"ips": ["10.3.0.5/24"]}},
                         "runtimeConfig": {"ips": ["10.4.0.5/24", "fd04::5/64"]}});
    let variable = "IP=10.2.0.5/24,fd02::5/64;GATEWAY=10.2.0.1,fd02::1,10.1.0.99";
    let both = ["10.1.0.5/24 via 10.1.0.1", "fd00::5/64"];
    let added = ["10.2.0.5/24 via 10.2.0.1", "fd02::5/64 via fd02::1"];
    assert_eq!(read(&config(own.clone(), json!({})), "").unwrap(), both);
    assert_eq!(read(&config(own.clone(), json!({})), variable).unwrap(), [both, added].concat());
    assert_eq!(read(&config(json!([]), json!({})), variable).unwrap(), added);
    assert_eq!(read(&config(own.clone(), args), variable).unwrap(), ["10.3.0.5/24"]);
    assert_eq!(read(&config(own, runtime), variable).unwrap(), ["10.4.0.5/24", "fd04::5/64"]);
    assert!(read(&config(json!(null), json!({})), "").unwrap().is_empty());
}

#[test]
fn every_error_names_the_field() {
    let own = |address: &str| {
        config(json!([{"address": "10.1.0.5/24"}, {"address": address}]), json!({}))
    };
    let args = |ip: &str| config(json!([]), json!({"args": {"cni": {"ips": ["10.3.0.5/24", ip]}}}));
    let runtime = |ip: &str| config(json!([]), json!({"runtimeConfig": {"ips": [ip]}}));
    let gateway = |address: &str, gateway: &str| {
        config(json!([{"address": address, "gateway": gateway}]), json!({}))
    };
    for (config, args, field) in [
        (own("10.1.0.6"), "", "ipam.addresses[1].address"),
        (own(""), "", "ipam.addresses[1].address"),
        (own("10.1.0.6/33"), "", "ipam.addresses[1].address"),
        (own("::ffff:10.1.0.6/120"), "", "ipam.addresses[1].address"),
        (own("224.0.0.5/24"), "", "ipam.addresses[1].address"),
        (own("10.1.0.5/16"), "", "ipam.addresses[1].address"),
        (own("10.1.0.6/24"), "IP=10.1.0.7", "IP in CNI_ARGS"),
        (own("10.1.0.6/24"), "IP=10.1.0.6/24", "IP in CNI_ARGS"),
        (args("10.3.0.6"), "", "args.cni.ips[1]"),
        (runtime("10.3.0.6"), "", "runtimeConfig.ips[0]"),
        (gateway("10.1.0.5/24", "fd00::1"), "", "ipam.addresses[0].gateway"),
        (gateway("10.1.0.5/24", "10.1.0.1/24"), "", "ipam.addresses[0].gateway"),
        (config(json!("10.1.0.5/24"), json!({})), "", "ipam.addresses"),
    ] {
        let error = read(&config, args).unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}`")), "{config} {args}: {error}");
    }
}

#[test]
fn old_versions_know_one_address_of_a_family() {
    let mut old = config(
        json!([{"address": "10.1.0.5/24"}, {"address": "fd00::5/64"}]),
        json!({"cniVersion": "0.2.0"}),
    );
    assert_eq!(read(&old, "").unwrap().len(), 2);
    old["ipam"]["addresses"][1]["address"] = "10.1.0.6/24".into();
    let error = read(&old, "").unwrap_err().to_string();
    assert!(error.contains("0.2.0") && error.contains("IPv4"), "{error}");
}

#[test]
fn removing_asks_for_nothing() {
    let wrong = config(json!([{"address": "nonsense"}]), json!({}));
    assert!(StaticAddresses::of(&request("ADD", &wrong, "")).is_err());
    assert!(StaticAddresses::of(&request("DEL", &wrong, "")).is_ok());
}

#[test]
fn check_compares_gateways() {
    let own = json!([{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}]);
    let with = |ips: Value| {
        let previous = json!({"prevResult": {"cniVersion": "1.0.0", "ips": ips}});
        StaticAddresses::of(&request("CHECK", &config(own.clone(), previous), "")).unwrap().check()
    };
    with(json!([{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}])).unwrap();
    with(json!([{"address": "10.9.0.5/24"}])).unwrap();
    for wrong in [
        json!([{"address": "10.1.0.5/24"}]),
        json!([{"address": "10.1.0.5/24", "gateway": "10.1.0.2"}]),
    ] {
        assert!(matches!(with(wrong).unwrap_err(), Error::Gateway { .. }));
    }
    let bare = StaticAddresses::of(&request("CHECK", &config(own, json!({})), "")).unwrap();
    assert!(matches!(bare.check().unwrap_err(), Error::NoResult));
}
