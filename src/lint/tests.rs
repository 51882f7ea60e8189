//! Each folder of testdata/lint holds configurations and what is to be said of them, in `report`, and
//! maybe a node to see them against, in `node`. With CAUSEWAY_WRITE_EXPECTED set, reports are written.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::cli::lint::{in_json, in_words};

fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<_> =
        fs::read_dir("testdata/lint").unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn report(folder: &Path) -> Report {
    let node = fs::read(folder.join("node")).ok();
    let node = node.map(|text| serde_json::from_slice(&text).unwrap());
    check(&[folder.to_owned()], &Surroundings { programs: None, node }).unwrap()
}

#[test]
fn every_folder_gets_its_report() {
    let mut wrong = Vec::new();
    for folder in folders() {
        let text = in_words(&report(&folder), false);
        let path = folder.join("report");
        if std::env::var_os("CAUSEWAY_WRITE_EXPECTED").is_some() {
            fs::write(&path, &text).unwrap();
        }
        if fs::read_to_string(&path).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", folder.display()));
        }
    }
    assert!(wrong.is_empty(), "not as the files `report` say:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_clean_one_is_clean() {
    for folder in folders() {
        let is_clean = report(&folder).findings.is_empty();
        assert_eq!(is_clean, folder.ends_with("clean"), "{}", folder.display());
    }
}

#[test]
fn a_program_gets_lines_and_columns() {
    let report = report(Path::new("testdata/lint/keys_misspelt"));
    let value = in_json(&report);
    let found = value["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["message"].as_str().unwrap().contains("isGatway"))
        .unwrap();
    assert_eq!(found["severity"], "warning");
    assert_eq!(found["rule"], "unknown-key");
    assert_eq!(
        (found["line"].as_u64(), found["column"].as_u64(), found["endColumn"].as_u64()),
        (Some(9), Some(7), Some(17))
    );
    assert_eq!(found["advice"], "did you mean `isGateway`?");
    assert_eq!(value["files"][0]["network"], "pods");
    assert_eq!(value["warnings"], report.count(Severity::Warning));
}

#[test]
fn programs_are_looked_for() {
    let folder = PathBuf::from("testdata/lint/unknown_program");
    let nowhere = Surroundings { programs: Some(vec!["/nonexistent".into()]), node: None };
    let report = check(&[folder], &nowhere).unwrap();
    let said: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.rule, finding.severity, finding.advice.as_deref()))
        .collect();
    assert_eq!(
        said,
        [
            ("program", Severity::Error, Some("did you mean \"bridge\"?")),
            ("program", Severity::Error, None),
            ("program", Severity::Error, Some("install it, or correct the type")),
        ]
    );
}

#[test]
fn places_are_found_by_path() {
    let text = r#"{"a": {"B": [[{"c.d": 1}], 2]}, "sysctl": {"net.x": "1"}}"#;
    let (document, error) = Document::read(Path::new("x"), text.as_bytes());
    assert_eq!(error, None);
    let at = |path: &str| {
        let (span, exact) = document.find(path);
        (&text[span], exact)
    };
    assert_eq!(at(r#"a.b[0][0]["c.d"]"#), ("1", true));
    assert_eq!(at("a.b[1]"), ("2", true));
    assert_eq!(at(r#"sysctl["net.x"]"#), ("\"1\"", true));
    assert_eq!(at("a.b[1].nothing"), ("2", false));
    assert!(!at("nothing").1);
}

#[test]
fn garbage_is_never_more_than_an_error() {
    for text in [
        "",
        "null",
        "[]",
        "3",
        "{",
        "\"\u{fffd}",
        "{\"plugins\": 3}",
        "{\"plugins\": [3, null, {}]}",
        "{\"type\": {}}",
        "\u{feff}{}",
    ] {
        let folder = std::env::temp_dir().join(format!("causeway-lint-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for name in ["x.conf", "x.conflist"] {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            let report = check(&[path], &Surroundings::default()).unwrap();
            assert!(report.count(Severity::Error) > 0, "{text:?}: {:?}", report.findings);
            in_words(&report, false);
            in_json(&report);
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}

/// An entry that the plugin takes.
fn accepted(kind: &str) -> serde_json::Value {
    let addresses = serde_json::json!({ "type": "static", "addresses": [] });
    match kind {
        "vlan" => serde_json::json!({ "master": "eth0", "vlanId": 5 }),
        "vrf" => serde_json::json!({ "vrfname": "blue" }),
        "host-device" => serde_json::json!({ "device": "eth1" }),
        "ptp" => serde_json::json!({ "ipam": addresses, "linkType": "netkit" }),
        "netkit" | "host-local" | "static" => serde_json::json!({ "ipam": addresses }),
        "dhcp" => serde_json::json!({ "ipam": { "type": "dhcp" } }),
        _ => serde_json::json!({}),
    }
}

fn takes(kind: &str, key: &str, value: serde_json::Value) -> bool {
    let mut entry = accepted(kind);
    entry["type"] = kind.into();
    if !key.is_empty() {
        entry[key] = value;
    }
    let version = crate::protocol::version::Version::CURRENT;
    let request = entries::request("pods", version, &entry, vec![]);
    request.and_then(|request| crate::plugins::call::configure(kind, &request)).is_ok()
}

#[test]
fn words_and_bounds_of_the_schema_are_those_of_the_plugins() {
    let known = crate::schema::Known::read();
    let mut looked_at = 0;
    for one in &crate::plugins::TYPES {
        let kind = one.name;
        assert!(takes(kind, "", serde_json::Value::Null), "{kind}");
        for (key, schema) in &known.plugin(kind).unwrap().schemas {
            if let Some(words) = schema.get("enum") {
                looked_at += 1;
                assert!(!takes(kind, key, "nonsense".into()), "{kind}: {key} may be anything");
                for word in words.as_array().unwrap() {
                    // A pair of netkit can have no other link.
                    let not_here = kind == "netkit" && word == "veth";
                    assert!(takes(kind, key, word.clone()) != not_here, "{kind}: {key}: {word}");
                }
            }
            // A rate needs a burst that goes with it.
            let alone = kind != "bandwidth";
            if let Some(most) = schema.get("maximum").and_then(serde_json::Value::as_i64) {
                looked_at += 1;
                assert!(!takes(kind, key, (most + 1).into()), "{kind}: {key}: {most} + 1");
                assert!(!alone || takes(kind, key, most.into()), "{kind}: {key}: {most}");
            }
            if let Some(least) = schema.get("minimum").and_then(serde_json::Value::as_i64) {
                assert!(!takes(kind, key, (least - 1).into()), "{kind}: {key}: {least} - 1");
                assert!(!alone || takes(kind, key, least.into()), "{kind}: {key}: {least}");
            }
        }
    }
    assert!(looked_at > 20, "{looked_at}");
}
