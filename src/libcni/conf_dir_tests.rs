use super::*;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/libcni").join(name)
}

fn error_of(text: &str) -> String {
    NetworkList::parse(Path::new("/x/10-a.conflist"), text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn lists_come_before_single_plugins_and_both_by_name() {
    let loaded = ConfDir::load(&folder("net.d")).unwrap();
    let names: Vec<_> = loaded
        .lists
        .iter()
        .map(|list| {
            let file = list.path.file_name().unwrap().to_str().unwrap();
            (file, list.name.as_str(), list.plugins.len())
        })
        .collect();
    assert_eq!(
        names,
        [
            ("20-pods.conflist", "pods", 3),
            ("30-inlined.conflist", "inlined", 1),
            ("10-lo.conf", "lo", 1),
            ("15-old.json", "old", 1),
        ]
    );
    let by_name: Vec<_> = loaded.by_file_name().iter().map(|list| list.name.as_str()).collect();
    assert_eq!(by_name, ["lo", "old", "pods", "inlined"]);
    assert_eq!(loaded.broken.len(), 3, "{:?}", loaded.broken);
    for broken in &loaded.broken {
        assert!(broken.to_string().contains(broken.path().to_str().unwrap()), "{broken}");
    }
}

#[test]
fn plugins_of_the_folder_follow_those_of_the_list() {
    let loaded = ConfDir::load(&folder("net.d")).unwrap();
    let pods = loaded.network("pods").unwrap();
    let types: Vec<_> = pods.plugins.iter().map(|one| one.plugin_type.as_str()).collect();
    assert_eq!(types, ["bridge", "tuning", "portmap"]);
    assert_eq!(pods.plugins[1].path.as_deref(), Some(&*folder("net.d/pods/10-tuning.conf")));
    let inlined = loaded.network("inlined").unwrap();
    assert!(inlined.load_only_inlined_plugins && inlined.disable_check && inlined.disable_gc);
}

#[test]
fn the_newest_version_that_is_spoken_counts() {
    let loaded = ConfDir::load(&folder("net.d")).unwrap();
    assert_eq!(loaded.network("pods").unwrap().cni_version, "1.1.0");
    assert_eq!(loaded.network("inlined").unwrap().cni_version, "1.0.0");
    assert_eq!(loaded.network("lo").unwrap().cni_version, "0.3.1");
    assert_eq!(loaded.network("old").unwrap().version().unwrap().as_str(), "0.1.0");
    assert!(
        error_of(r#"{"name": "a", "cniVersions": ["1.x"], "plugins": [{"type": "b"}]}"#)
            .contains("`cniVersions[0]`")
    );
}

#[test]
fn a_single_plugin_becomes_a_list_as_libcni_writes_it() {
    let loaded = ConfDir::load(&folder("net.d")).unwrap();
    let text = String::from_utf8(loaded.network("lo").unwrap().bytes.clone()).unwrap();
    assert_eq!(
        text,
        r#"{"cniVersion":"0.3.1","name":"lo","plugins":[{"cniVersion":"0.3.1","name":"lo","note":"a \u003c b \u0026 c","type":"loopback"}]}"#
    );
}

#[test]
fn a_name_that_is_not_there_is_told_with_those_that_are() {
    let loaded = ConfDir::load(&folder("net.d")).unwrap();
    let text = loaded.network("pod").unwrap_err().to_string();
    for word in ["\"pod\"", "pods", "inlined", "lo", "old", "40-broken.conflist"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let empty = ConfDir::load(&folder("nowhere")).unwrap();
    assert!(empty.network("a").unwrap_err().to_string().contains("NETCONFPATH"));
}

#[test]
fn every_error_names_file_and_key() {
    for (text, words) in [
        ("[]", &["10-a.conflist", "JSON"][..]),
        ("{}", &["`name`"]),
        (r#"{"name": 5}"#, &["`name`", "a string", "a number"]),
        (r#"{"name": "a", "plugins": []}"#, &["`plugins`", "empty"]),
        (r#"{"name": "a", "plugins": {}}"#, &["`plugins`", "an object"]),
        (r#"{"name": "a", "plugins": [{}]}"#, &["`plugins[0].type`"]),
        (r#"{"name": "a", "plugins": [5]}"#, &["`plugins[0]`", "a number"]),
        (r#"{"name": "a", "type": "bridge"}"#, &["`plugins`", ".conf"]),
        (r#"{"name": "a", "loadOnlyInlinedPlugins": "TRUE"}"#, &["`plugins`", "Inlined"]),
        (r#"{"name": "a", "disableGC": "no", "plugins": [{"type": "b"}]}"#, &["`disableGC`"]),
        (r#"{"name": "a", "cniVersion": 1, "plugins": [{"type": "b"}]}"#, &["`cniVersion`"]),
        (
            r#"{"name": "a", "plugins": [{"type": "b", "capabilities": {"mac": 1}}]}"#,
            &["`plugins[0].capabilities.mac`"],
        ),
    ] {
        let error = error_of(text);
        for word in words {
            assert!(error.contains(word), "{text}: {word}: {error}");
        }
    }
}

#[test]
fn capabilities_choose_what_a_plugin_gets() {
    let loaded = ConfDir::load(&folder("net.d")).unwrap();
    let given = serde_json::json!({"portMappings": [{"hostPort": 1}], "mac": "x", "ips": []});
    let given = given.as_object().unwrap();
    let pods = loaded.network("pods").unwrap();
    let keys = |place: usize| -> Vec<String> {
        pods.plugins[place].asked_for(given).keys().cloned().collect()
    };
    assert_eq!(keys(0), ["ips"]);
    assert_eq!(keys(1), Vec::<String>::new());
    assert_eq!(keys(2), ["portMappings"]);
}
