use super::*;
use serde_json::json;
use std::fs;

fn testdata(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/protocol/configurations");
    fs::read(folder.join(name)).unwrap()
}

fn read(value: Value) -> NetworkConfig {
    NetworkConfig::read(value.to_string().into_bytes()).unwrap()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn every_key_is_read() {
    let bytes = testdata("full.json");
    let config = NetworkConfig::read(bytes.clone()).unwrap();
    assert_eq!(config.version, Version::V1_1_0);
    assert_eq!(config.name, "dbnet");
    assert_eq!(config.plugin_type, "bridge");
    assert_eq!(config.ipam, Some(json!({"type": "host-local", "subnet": "10.1.0.0/16"})));
    assert_eq!(
        config.dns,
        Dns {
            nameservers: texts(&["10.1.0.1"]),
            domain: "yoyodyne.net".to_owned(),
            search: texts(&["corp"]),
            options: texts(&["ndots:5"]),
        }
    );
    let previous = config.prev_result.as_ref().unwrap();
    assert_eq!(previous.interfaces[0].sandbox, "/run/netns/blue");
    assert_eq!(previous.ips[0].interface, Some(0));
    assert_eq!(
        config.valid_attachments,
        Some(vec![ValidAttachment { container_id: "blue".to_owned(), ifname: "eth0".to_owned() }])
    );
    assert_eq!(config.log_file.as_deref(), Some(Path::new("/var/log/causeway.log")));
    assert_eq!(config.log_level.as_deref(), Some("debug"));
    assert_eq!(config.state_dir.as_deref(), Some(Path::new("/run/causeway")));
    assert_eq!(config.given_version(), Some("1.1.0"));
    assert_eq!(config.value, serde_json::from_slice::<Value>(&bytes).unwrap());
    assert_eq!(config.bytes, bytes);
}

#[test]
fn every_argument_of_the_runtime_is_read() {
    let config = NetworkConfig::read(testdata("full.json")).unwrap();
    let mapping = |host_port, container_port, protocol: &str| PortMapping {
        host_port,
        container_port,
        protocol: protocol.to_owned(),
        host_ip: None,
    };
    assert_eq!(
        config.runtime,
        RuntimeConfig {
            ips: vec!["10.1.0.5/16".parse().unwrap(), "fd00::5".parse().unwrap()],
            ip_ranges: Some(json!([[{"subnet": "10.1.0.0/16"}]])),
            mac: Some("c2:11:22:33:44:55".to_owned()),
            dns: RuntimeDns {
                servers: texts(&["10.0.0.10"]),
                searches: texts(&["svc.cluster.local"]),
                options: texts(&["ndots:5"]),
            },
            aliases: texts(&["primary-db"]),
            port_mappings: vec![
                mapping(8080, 80, "tcp"),
                PortMapping {
                    host_ip: Some("127.0.0.1".parse().unwrap()),
                    ..mapping(53, 5353, "UDP")
                },
                mapping(0, 1, ""),
            ],
            bandwidth: Some(Bandwidth {
                ingress_rate: 2048,
                ingress_burst: 1600,
                egress_rate: 4096,
                egress_burst: i64::MAX as u64,
                ..Bandwidth::default()
            }),
            device_id: Some("0000:04:00.5".to_owned()),
            cgroup_path: Some("/kubelet.slice/pod28ce".to_owned()),
        }
    );
    let label = |key: &str, value: &str| Label { key: key.to_owned(), value: value.to_owned() };
    assert_eq!(
        config.cni_args,
        CniArgs {
            ips: vec!["10.1.0.7".parse().unwrap(), "fd00::7/64".parse().unwrap()],
            mac: Some("c2:11:22:33:44:77".to_owned()),
            labels: vec![label("app", "web"), label("bare", "")],
        }
    );
    assert_eq!(config.cni_args_value().unwrap()["sysctl"], json!({"net.core.somaxconn": "500"}));
}

#[test]
fn what_is_absent_null_or_empty_is_not_there() {
    for config in [
        json!({"name": "a", "type": "b"}),
        json!({
            "cniVersion": "", "NAME": "a", "Type": "b", "ipam": {}, "dns": {},
            "prevResult": null, "runtimeConfig": {}, "args": {}, "logFile": "", "logLevel": "",
            "stateDir": "", "cni.dev/valid-attachments": null,
        }),
        json!({
            "cniVersion": null, "name": "a", "type": "b", "ipam": {"type": "", "subnet": "x"},
            "dns": null, "runtimeConfig": null, "args": null, "logFile": null,
            "logLevel": null, "stateDir": null,
        }),
        json!({
            "name": "a", "type": "b", "ipam": null, "args": {"cni": null},
            "runtimeConfig": {
                "ips": null, "ipRanges": null, "mac": "", "dns": null, "aliases": [],
                "portMappings": null, "bandwidth": null, "deviceID": "", "cgroupPath": "",
            },
        }),
        json!({"name": "a", "type": "b", "args": "free"}),
    ] {
        let config = read(config);
        assert_eq!(config.version, Version::V0_1_0);
        assert_eq!((config.name.as_str(), config.plugin_type.as_str()), ("a", "b"));
        assert_eq!(config.ipam, None);
        assert!(config.dns.is_empty());
        assert_eq!(config.prev_result, None);
        assert_eq!(config.runtime, RuntimeConfig::default());
        assert_eq!(config.cni_args, CniArgs::default());
        assert_eq!(config.valid_attachments, None);
        assert_eq!((config.log_file, config.log_level, config.state_dir), (None, None, None));
    }
}

#[test]
fn the_list_of_attachments_may_be_empty_and_has_two_names() {
    let list = |keys: Value| {
        let mut config = json!({"cniVersion": "1.1.0", "name": "a", "type": "b"});
        let keys = keys.as_object().unwrap().clone();
        config.as_object_mut().unwrap().extend(keys);
        read(config).valid_attachments.map(|list| list.len())
    };
    let one = json!([{"containerID": "x", "ifname": "eth0"}]);
    assert_eq!(list(json!({})), None);
    assert_eq!(list(json!({"cni.dev/valid-attachments": []})), Some(0));
    assert_eq!(list(json!({"cni.dev/attachments": one})), Some(1));
    assert_eq!(list(json!({"cni.dev/valid-attachments": [], "cni.dev/attachments": one})), Some(0));
}

#[test]
fn prev_result_reads_in_every_form_whatever_the_configuration_speaks() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/protocol/results");
    for form in Version::ALL {
        let text = fs::read(folder.join(format!("{form}.json"))).unwrap();
        let form: Value = serde_json::from_slice(&text).unwrap();
        let config = read(json!({
            "cniVersion": "1.0.0", "name": "a", "type": "b", "prevResult": form,
        }));
        assert_eq!(config.prev_result, Some(AddResult::read(&form).unwrap()));
    }
    let empty = read(json!({"name": "a", "type": "b", "prevResult": {}}));
    assert_eq!(empty.prev_result, Some(AddResult::default()));
}

#[test]
fn what_is_wrong_is_named() {
    let cases: Value = serde_json::from_slice(&testdata("bad.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let stdin = match case["text"].as_str() {
            Some(text) => text.to_owned(),
            None => case["config"].to_string(),
        };
        let error = match NetworkConfig::read(stdin.into_bytes()) {
            Ok(config) => panic!("{case} reads as {config:?}"),
            Err(error) => error.to_cni(),
        };
        assert_eq!(error.code, case["code"], "{case}: {}", error.msg);
        let says = case["says"].as_str().unwrap();
        assert!(error.msg.contains(says), "{case}: {}", error.msg);
        if let Some(version) = case["speaks"].as_str() {
            assert_eq!(error.cni_version, version, "{case}");
        }
    }
}

#[test]
fn the_cause_of_a_syntax_error_is_in_the_details() {
    let error = NetworkConfig::read(b"{\"a\": }".to_vec()).unwrap_err().to_cni();
    assert!(error.details.contains("expected value"), "{error:?}");
}

#[test]
fn version_takes_any_stdin() {
    for (stdin, version, given) in [
        ("", Version::CURRENT, None),
        ("not JSON", Version::CURRENT, None),
        ("[1]", Version::CURRENT, None),
        ("{\"cniVersion\": 1}", Version::CURRENT, None),
        ("{\"cniVersion\": \"0.4.0\"}", Version::V0_4_0, Some("0.4.0")),
        ("{\"CNIVersion\": \"7.0.0\"}", Version::CURRENT, Some("7.0.0")),
    ] {
        let config = NetworkConfig::of_version_request(stdin.as_bytes().to_vec());
        assert_eq!(config.version, version, "{stdin}");
        assert_eq!(config.given_version(), given, "{stdin}");
    }
}
