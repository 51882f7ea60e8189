use super::*;
use crate::protocol::address::cidr;
use ipnetwork::IpNetwork;
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Bridge {
    bridge: String,
    is_gateway: bool,
    mtu: Option<u32>,
    vlan_trunk: Vec<Trunk>,
    sysctl: BTreeMap<String, String>,
    mode: Mode,
    rest: Option<Value>,
    pair: Option<(u8, u8)>,
    label: Label,
    #[serde(deserialize_with = "filled")]
    mac: Option<String>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Trunk {
    #[serde(rename = "minID")]
    min_id: u16,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Bridge,
    Private,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
struct Label(String);

fn read(value: Value) -> Result<Bridge, Error> {
    section(&value, &[])
}

#[test]
fn keys_match_in_any_case_at_every_level() {
    let bridge = read(json!({
        "BRIDGE": "cni0", "isgateway": true, "VlanTrunk": [{"minid": 7}],
        "sysctl": {"net.A": "1", "NET.a": "2"}, "Mode": "private",
        "rest": {"Kept": 1}, "pair": [1, 2], "label": "x",
    }))
    .unwrap();
    assert_eq!(
        bridge,
        Bridge {
            bridge: "cni0".to_owned(),
            is_gateway: true,
            vlan_trunk: vec![Trunk { min_id: 7 }],
            // The keys of a map are data, not names.
            sysctl: [("net.A", "1"), ("NET.a", "2")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            mode: Mode::Private,
            rest: Some(json!({"Kept": 1})),
            pair: Some((1, 2)),
            label: Label("x".to_owned()),
            ..Bridge::default()
        }
    );
}

#[test]
fn the_exact_name_wins() {
    let both = json!({"Bridge": "wrong", "bridge": "right"});
    assert_eq!(read(both).unwrap().bridge, "right");
    let null = json!({"Bridge": "right", "bridge": null});
    assert_eq!(read(null).unwrap().bridge, "right");
}

#[test]
fn null_is_absent() {
    let bridge = read(json!({
        "bridge": null, "isGateway": null, "mtu": null, "vlanTrunk": null, "sysctl": {"a": null},
        "mode": null, "rest": {"a": null, "b": [null]}, "label": null, "mac": null,
    }))
    .unwrap();
    assert_eq!(bridge, Bridge { rest: Some(json!({"b": [null]})), ..Bridge::default() });
}

#[test]
fn the_empty_string_may_be_absent_too() {
    assert_eq!(read(json!({"mac": ""})).unwrap().mac, None);
    assert_eq!(read(json!({"mac": "a"})).unwrap().mac.as_deref(), Some("a"));
}

/// serde tells the names of a flattened struct to no one.
#[test]
fn flattened_structs_need_their_keys_named() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Range {
        subnet: String,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Ipam {
        r#type: String,
        #[serde(flatten)]
        range: Range,
    }
    let value = json!({"Type": "host-local", "SUBNET": "10.1.0.0/16"});
    let ipam: Ipam = section(&value, &["type", "subnet"]).unwrap();
    assert_eq!(ipam.range.subnet, "10.1.0.0/16");
    assert!(section::<Ipam>(&value, &[]).is_err());
}

#[test]
fn errors_name_the_whole_path() {
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Range {
        #[serde(deserialize_with = "cidr")]
        subnet: IpNetwork,
    }
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Ipam {
        ranges: Vec<Vec<Range>>,
    }
    let path = |at: &str, value: Value| match section_at::<Ipam>(at, &value, &[]) {
        Err(Error::Key { path, .. }) => path,
        other => panic!("{other:?}"),
    };
    let bad = json!({"ranges": [[{"subnet": "10.1.0.0"}]]});
    assert_eq!(path("", bad.clone()), "ranges[0][0].subnet");
    assert_eq!(path("ipam", bad), "ipam.ranges[0][0].subnet");
    assert_eq!(path("ipam", json!({"Ranges": 1})), "ipam.ranges");
    assert_eq!(path("ipam", json!({})), "ipam");
    assert_eq!(path("", json!({})), "");
    assert_eq!(path("", json!([])), "");
    let list = section_at::<Vec<u8>>("ports", &json!([1, 300]), &[]);
    assert!(matches!(list, Err(Error::Key { path, .. }) if path == "ports[1]"));
}

#[test]
fn types_are_not_bent() {
    for (value, says) in [
        (json!({"isGateway": "true"}), "expected a boolean"),
        (json!({"mtu": 1500.5}), "expected u32"),
        (json!({"mtu": -1}), "`-1`"),
        (json!({"mode": "router"}), "unknown variant `router`"),
        (json!({"vlanTrunk": [[7]]}), "expected an object"),
        (json!({"vlanTrunk": [null]}), "null"),
        (json!({"Bridge": "a", "BRIDGE": "b"}), "duplicate field `bridge`"),
    ] {
        let message = read(value.clone()).unwrap_err().to_string();
        assert!(message.contains(says), "{value}: {message}");
    }
}

#[test]
fn members() {
    let value = json!({"Args": {"cni": null, "CNI": 1}, "name": null});
    assert_eq!(member(member(&value, "args").unwrap(), "cni"), Some(&json!(1)));
    assert_eq!(member(&value, "name"), None);
    assert_eq!(member(&value, "other"), None);
    assert_eq!(member(&json!([]), "name"), None);
}
