//! The manifests in deploy/: that Kubernetes would take them, and that what their containers run does on a
//! node what they promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::path::Path;

use harness::Host;
use serde_json::Value;

const CAUSEWAY: &str = env!("CARGO_BIN_EXE_causeway");
const MANIFESTS: [&str; 2] = ["daemonset.yaml", "daemonset-remove.yaml"];
/// The root of the container's file system.
const ROOT: &str = "/run/container";
/// The node's files, below which host paths are.
const NODE: &str = "/run/node";
const FOREIGN: &str = "#!/bin/sh\necho foreign\n";

fn of_project(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn manifest(name: &str) -> Value {
    serde_saphyr::from_str(&of_project(&format!("deploy/{name}"))).unwrap()
}

/// What of a value its schema does not allow. Keys that the schema does not know are wrong, as they are for
/// `kubectl apply --validate=strict`.
fn wrong(value: &Value, schema: &Value, root: &Value, path: &str, all: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = root.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        return wrong(value, schema, root, path, all);
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some(other) => panic!("{path}: a schema of type {other}"),
        None => {
            let either = schema["x-kubernetes-int-or-string"] == true;
            assert!(either, "{path}: a schema without a type: {schema}");
            value.is_i64() || value.is_string()
        }
    };
    if !fits {
        all.push(format!("{path}: {value} is no {schema}"));
        return;
    }
    for (number, element) in value.as_array().into_iter().flatten().enumerate() {
        wrong(element, &schema["items"], root, &format!("{path}[{number}]"), all);
    }
    for (key, member) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        match (schema["properties"].get(key), schema.get("additionalProperties")) {
            (Some(schema), _) => wrong(member, schema, root, &path, all),
            (None, Some(schema)) => wrong(member, schema, root, &path, all),
            (None, None) => all.push(format!("{path}: there is no such key")),
        }
    }
    for key in schema["required"].as_array().into_iter().flatten() {
        if value.get(key.as_str().unwrap()).is_none() {
            all.push(format!("{path}: {key} is missing"));
        }
    }
}

fn faults(value: &Value) -> Vec<String> {
    let schema = serde_json::from_str(&of_project("testdata/kubernetes/daemonset.schema.json"));
    let schema = schema.unwrap();
    let mut all = Vec::new();
    wrong(value, &schema, &schema, "", &mut all);
    all
}

#[test]
fn kubernetes_takes_the_manifests() {
    for name in MANIFESTS {
        let manifest = manifest(name);
        assert_eq!(faults(&manifest), Vec::<String>::new(), "{name}");
        assert_eq!(
            (&manifest["kind"], &manifest["apiVersion"]),
            (&"DaemonSet".into(), &"apps/v1".into())
        );
        // What the schema does not say.
        let (spec, pod) = (&manifest["spec"], &manifest["spec"]["template"]["spec"]);
        assert_eq!(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]);
        assert_eq!(
            manifest["metadata"]["name"], "causeway",
            "the removal replaces the installation"
        );
        let volumes = pod["volumes"].as_array().unwrap();
        for container in containers(&manifest) {
            let image = container["image"].as_str().unwrap();
            let version = concat!(":", env!("CARGO_PKG_VERSION"));
            assert!(image.ends_with(version), "{name}: {image}");
            for mount in container["volumeMounts"].as_array().unwrap() {
                assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount}");
            }
        }
        // It must run where no pod has a network yet.
        assert_eq!(pod["hostNetwork"], true);
    }
}

/// The check above finds what is wrong.
#[test]
fn wrong_manifests_are_found() {
    for (path, value, word) in [
        ("/spec/template/spec/hostNetwork", "yes".into(), "hostNetwork"),
        ("/spec/template/spec/containers/0/args", "install".into(), "args"),
        ("/spec/template", serde_json::json!({"spek": {}}), "spek"),
        ("/spec/selector", Value::Null, "selector"),
        ("/spec/template/spec/containers/0", serde_json::json!({"image": "x"}), "name"),
    ] {
        let mut manifest = manifest("daemonset.yaml");
        *manifest.pointer_mut(path).unwrap() = value;
        let faults = faults(&manifest);
        assert!(faults.iter().any(|fault| fault.contains(word)), "{path}: {faults:?}");
    }
}

/// All containers, in the order in which they are started.
fn containers(manifest: &Value) -> Vec<Value> {
    let pod = &manifest["spec"]["template"]["spec"];
    let of = |key: &str| pod[key].as_array().unwrap().clone();
    [of("initContainers"), of("containers")].concat()
}

/// Runs a container to its end, as the kubelet has it run: its own read-only root, the volumes at their
/// places, and the capabilities that it asks for.
fn run(host: &Host, manifest: &Value, container: &Value) -> bool {
    let pod = &manifest["spec"]["template"]["spec"];
    host.run(&format!("mkdir -p {ROOT}"));
    host.run(&format!("mount -t tmpfs tmpfs {ROOT}"));
    for system in ["usr", "lib", "lib64", "proc", "bin"] {
        if host.succeeds(&format!("test -d /{system}")) {
            host.run(&format!("mkdir -p {ROOT}/{system}"));
            host.run(&format!("mount --rbind /{system} {ROOT}/{system}"));
        }
    }
    host.run(&format!("cp {CAUSEWAY} {ROOT}/causeway"));
    for mount in container["volumeMounts"].as_array().unwrap() {
        let volumes = pod["volumes"].as_array().unwrap();
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
        assert_eq!(volume["hostPath"]["type"], "DirectoryOrCreate");
        let from = format!("{NODE}{}", volume["hostPath"]["path"].as_str().unwrap());
        let to = format!("{ROOT}{}", mount["mountPath"].as_str().unwrap());
        host.run(&format!("mkdir -p {from} {to}"));
        host.run(&format!("mount --bind {from} {to}"));
    }
    let rights = &container["securityContext"];
    assert_eq!(
        (&rights["readOnlyRootFilesystem"], &rights["runAsUser"]),
        (&true.into(), &0.into())
    );
    host.run(&format!("mount -o remount,ro {ROOT}"));
    assert_eq!(rights["capabilities"]["drop"], serde_json::json!(["ALL"]));
    let added = rights["capabilities"]["add"].as_array().unwrap();
    let added = added.iter().map(|name| format!(",+{}", name.as_str().unwrap().to_lowercase()));
    let words: Vec<_> =
        container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let done = host.succeeds(&format!(
        "chroot {ROOT} /usr/bin/setpriv --inh-caps=-all --no-new-privs --bounding-set=-all{} /causeway {}",
        added.collect::<String>(),
        words.join(" ")
    ));
    host.run(&format!("umount -R {ROOT}"));
    done
}

#[test]
fn its_steps_install_and_remove() {
    let host = Host::new();
    let bin = format!("{NODE}/opt/cni/bin");
    host.run(&format!("mkdir -p {bin}"));
    host.executable(&format!("{bin}/bridge"), FOREIGN);
    // Another owner than root, and for nobody else to read.
    host.run(&format!("chown 1001 {bin}/bridge"));
    host.run(&format!("chmod 0700 {bin}/bridge"));
    let files = || host.run(&format!("find {NODE} -type f -printf %P:%m:%U:%i:%s\\n"));
    let before = files();

    for manifest in MANIFESTS.map(manifest) {
        let containers = containers(&manifest);
        let [first, second] = &containers[..] else { panic!("{containers:?}") };
        assert!(run(&host, &manifest, first), "{first}");
        let is_installed = host.succeeds(&format!("cmp -s {CAUSEWAY} {bin}/causeway"));
        let arguments = first["args"].as_array().unwrap();
        assert_eq!(is_installed, !arguments.contains(&"--undo".into()));
        if is_installed {
            assert_eq!(host.run(&format!("readlink {bin}/bridge")), "causeway\n");
            assert_eq!(host.run(&format!("ls {NODE}/etc/cni/net.d")), "");
        }
        // The second does the same and stays.
        let mut stays = arguments.clone();
        stays.push("--stay".into());
        assert_eq!(second["args"].as_array(), Some(&stays));
    }
    assert_eq!(files(), before);
    assert!(!host.succeeds(&format!("test -e {bin}/.causeway-before")));
}
