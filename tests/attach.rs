//! Attachments by hand: `causeway attach`, `check`, `detach`, `gc` and `status`, with causeway's own
//! plugins, the reference's, and scripts, and together with what cnitool keeps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use harness::call::Plugin;
use harness::person::{CONF_DIR, Person};
use harness::{Host, REFERENCE_DIR, require_reference};

const RESULTS: &str = "/var/lib/cni/results";

fn pods() -> Value {
    json!({
        "cniVersion": "1.1.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
            { "type": "firewall" },
        ],
    })
}

/// The one file of a folder of the host.
fn only_file(host: &Host, folder: &str) -> String {
    let mut names = files(host, folder);
    assert_eq!(names.len(), 1, "{folder}: {names:?}");
    names.remove(0)
}

fn files(host: &Host, folder: &str) -> Vec<String> {
    host.inside(|| {
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    })
}

/// The part after `cnitool-` of the container ID that cnitool makes of a path.
fn id_of(path: &str) -> String {
    let id = causeway::libcni::attachment::cnitool_id(Path::new(path));
    id.trim_start_matches("cnitool-").to_owned()
}

/// The addresses that are leased on a network.
fn leased(host: &Host, network: &str) -> Vec<String> {
    let names = files(host, &format!("/var/lib/cni/networks/{network}"));
    names.into_iter().filter(|name| name.starts_with("10.")).collect()
}

#[test]
fn an_attachment_comes_is_checked_and_goes_without_a_trace() {
    let host = Host::new();
    let person = Person::on(&host);
    person.configure("10-pods.conflist", &pods());
    let pod = host.pod("blue");

    let result: Value = serde_json::from_str(&person.succeeds("attach pods blue")).unwrap();
    assert_eq!(result["cniVersion"], "1.1.0");
    assert_eq!(result["ips"][0]["address"], "10.88.0.2/24");
    assert!(pod.run("ip -br addr show eth0").contains("10.88.0.2/24"));
    assert!(person.succeeds("check pods blue").contains("as it should be"));
    person.fails("attach pods blue", &["attached already"]);

    pod.run("ip addr del 10.88.0.2/24 dev eth0");
    person.fails("check pods blue", &["plugin 1, bridge", "10.88.0.2/24"]);
    pod.run("ip addr add 10.88.0.2/24 dev eth0");

    assert_eq!(person.succeeds("detach pods blue"), "");
    assert_eq!(pod.link_names(), ["lo"]);
    assert_eq!(files(&host, RESULTS), [""; 0]);
    assert_eq!(files(&host, "/var/lib/cni/causeway/pods"), [""; 0]);
    assert_eq!(leased(&host, "pods"), [""; 0]);
    person.fails("check pods blue", &["nothing is known"]);
    // DEL may come twice.
    person.succeeds("detach pods blue");
}

#[test]
fn plugins_need_not_be_on_cni_path_if_they_are_our_own() {
    let host = Host::new();
    let person = Person::on(&host).with("CNI_PATH", "/nowhere");
    person.configure("10-pods.conflist", &pods());
    host.pod("blue");
    person.succeeds("attach pods blue");
    person.succeeds("check pods blue");
    person.succeeds("detach pods blue");

    person.configure("20-odd.conflist", &json!({"name": "odd", "plugins": [{"type": "odd"}]}));
    person.fails("attach odd blue", &["plugin 1, odd", "/nowhere/odd"]);
}

#[test]
fn what_is_kept_is_what_cnitool_keeps() {
    let host = Host::new();
    let person = Person::on(&host).with("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=web");
    person.configure("10-pods.conflist", &pods());
    host.pod("blue");
    let result: Value = serde_json::from_str(&person.succeeds("attach pods blue")).unwrap();

    // `echo -n /run/netns/blue | sha512sum`
    let name = only_file(&host, RESULTS);
    assert_eq!(name, "pods-cnitool-df26705e2e4ffd095eb1-eth0");
    let text = host.read(&format!("{RESULTS}/{name}"));
    let keys = [
        r#""kind":"cniCacheV1","containerId":"cnitool-"#,
        r#""config":""#,
        r#""ifName":"eth0","networkName":"pods","netns":"/run/netns/blue","#,
        r#""cniArgs":[["IgnoreUnknown","1"],["K8S_POD_NAME","web"]],"#,
        r#""result":{"cniVersion":"1.1.0","#,
    ];
    let mut from = 0;
    for key in keys {
        from += text[from..].find(key).unwrap_or_else(|| panic!("{key} in its place: {text}"));
    }
    let kept: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(kept["result"], result);
    // The very bytes of the file.
    let config = kept["config"].as_str().unwrap();
    let file = host.run(&format!("base64 -w0 {CONF_DIR}/10-pods.conflist"));
    assert_eq!(config, file);
}

#[test]
fn either_tool_finishes_what_the_other_began() {
    let host = Host::new();
    let person = Person::on(&host);
    let config = json!({
        "cniVersion": "1.0.0",
        "name": "one",
        "plugins": [{ "type": "ptp", "ipam": { "type": "host-local", "subnet": "10.89.0.0/24" } }],
    });
    person.configure("10-one.conflist", &config);
    let blue = host.pod("blue");
    let mut single = config["plugins"][0].clone();
    single["name"] = "one".into();
    single["cniVersion"] = "1.0.0".into();
    let call = blue.call(Plugin::Causeway("ptp"), &single).id("cnitool-df26705e2e4ffd095eb1");

    // Begun here, ended as another runtime would, from what is kept.
    person.succeeds("attach one blue");
    let file = format!("{RESULTS}/{}", only_file(&host, RESULTS));
    let kept: Value = serde_json::from_str(&host.read(&file)).unwrap();
    call.check(&kept["result"]).silence();
    call.clone().key("prevResult", &kept["result"]).del();
    host.inside(|| fs::remove_file(&file)).unwrap();
    assert_eq!(leased(&host, "one"), [""; 0]);

    // Begun by cnitool, which was given the other path to the same namespace; its file, written by
    // libcni 1.2.3, with the names of this attachment.
    let id = "cnitool-296747069b8a02dc4e2a";
    let call = call.id(id).netns("/var/run/netns/blue");
    let result = call.add();
    let theirs = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata/libcni/results/one-cnitool-df26705e2e4ffd095eb1-eth0"),
    );
    let mut theirs: Value = serde_json::from_str(&theirs.unwrap()).unwrap();
    theirs["containerId"] = id.into();
    theirs["netns"] = "/var/run/netns/blue".into();
    theirs["result"] = result;
    host.write(&format!("{RESULTS}/one-{id}-eth0"), &theirs.to_string());
    person.succeeds("check one blue");
    person.succeeds("detach one blue");
    assert_eq!(blue.link_names(), ["lo"]);
    assert_eq!(leased(&host, "one"), [""; 0]);
    assert_eq!(files(&host, RESULTS), [""; 0]);
}

#[test]
fn the_reference_plugins_are_run_as_well() {
    require_reference();
    let host = Host::new();
    let person = Person::on(&host).with("CNI_PATH", REFERENCE_DIR);
    let mut list = pods();
    list["cniVersion"] = "1.0.0".into();
    list["plugins"].as_array_mut().unwrap().truncate(1);
    person.configure("10-pods.conflist", &list);
    let pod = host.pod("blue");
    person.succeeds("attach pods blue");
    assert!(files(&host, "/var/lib/cni/causeway").is_empty(), "causeway's own plugin was run");
    person.succeeds("check pods blue");
    person.succeeds("detach pods blue");
    assert_eq!(pod.link_names(), ["lo"]);
    assert_eq!(leased(&host, "pods"), [""; 0]);
}

/// A plugin that writes down how it was called, and answers with prevResult or nothing.
const SCRIBE: &str = "#!/bin/sh
stdin=$(cat)
echo \"$stdin\" >/run/stdin.$CNI_COMMAND
env | grep ^CNI_ | sort >/run/env.$CNI_COMMAND
[ \"$CNI_COMMAND\" = ADD ] && echo '{\"cniVersion\": \"1.1.0\"}'
exit 0
";

/// A plugin of which ADD fails.
const FAILING: &str = "#!/bin/sh
cat >/dev/null
[ \"$CNI_COMMAND\" = ADD ] || exit 0
echo '{\"cniVersion\": \"1.1.0\", \"code\": 111, \"msg\": \"no luck today\"}'
exit 1
";

#[test]
fn a_plugin_gets_what_a_runtime_would_give_it() {
    let host = Host::new();
    host.script_plugin("scribe", SCRIBE);
    let person = Person::on(&host);
    let caps = json!({ "portMappings": true, "mac": false });
    person.configure(
        "10-net.conflist",
        &json!({
            "cniVersions": ["0.4.0", "1.1.0", "7.0.0"],
            "name": "net",
            "plugins": [{ "type": "scribe", "capabilities": caps, "own": [1] }],
        }),
    );
    host.pod("blue");
    let given = json!({"portMappings": [{"hostPort": 80}], "mac": "x", "other": 1}).to_string();
    let generous = person
        .with("CAP_ARGS", &given)
        .with("CNI_ARGS", "IgnoreUnknown=1;A=b")
        .with("CNI_IFNAME", "net1");
    generous.succeeds("attach net blue");
    let stdin: Value = serde_json::from_str(&host.read("/run/stdin.ADD")).unwrap();
    assert_eq!(
        stdin,
        json!({
            "cniVersion": "1.1.0",
            "name": "net",
            "type": "scribe",
            "own": [1],
            "capabilities": caps,
            "runtimeConfig": { "portMappings": [{ "hostPort": 80 }] },
        })
    );
    let env = host.read("/run/env.ADD");
    for line in [
        "CNI_ARGS=IgnoreUnknown=1;A=b",
        "CNI_COMMAND=ADD",
        "CNI_CONTAINERID=cnitool-df26705e2e4ffd095eb1",
        "CNI_IFNAME=net1",
        "CNI_NETNS=/run/netns/blue",
        "CNI_PATH=/run/cni-test/causeway",
    ] {
        assert!(env.lines().any(|known| known == line), "{line}: {env}");
    }

    // What was given to ADD was kept, and DEL gets it again.
    person.succeeds("detach net blue --ifname net1");
    let stdin: Value = serde_json::from_str(&host.read("/run/stdin.DEL")).unwrap();
    assert_eq!(stdin["runtimeConfig"], json!({ "portMappings": [{ "hostPort": 80 }] }));
    assert_eq!(stdin["prevResult"], json!({ "cniVersion": "1.1.0" }));
    assert!(host.read("/run/env.DEL").contains("CNI_ARGS=IgnoreUnknown=1;A=b"));

    person.fails("attach net nosuch", &["/run/netns/nosuch"]);
    person.fails("attach nosuch blue", &["\"nosuch\"", CONF_DIR, "net"]);
    person.with("CAP_ARGS", "[]").fails("attach net blue", &["CAP_ARGS"]);
    person.with("CNI_ARGS", "a").fails("attach net blue", &["CNI_ARGS", "\"a\""]);
    person.with("CNI_IFNAME", "a/b").fails("attach net blue", &["interface", "a/b"]);
    person.fails("attach net pid:none", &["pid:none"]);
    person.fails("attach ../net blue", &["../net"]);
}

#[test]
fn a_failed_attach_leaves_nothing_unless_told_to() {
    let host = Host::new();
    host.script_plugin("failing", FAILING);
    let person = Person::on(&host);
    let mut list = pods();
    list["plugins"].as_array_mut().unwrap().push(json!({ "type": "failing" }));
    person.configure("10-pods.conflist", &list);
    let pod = host.pod("blue");

    person.fails("attach pods blue", &["plugin 4, failing", "no luck today", "111"]);
    assert_eq!(pod.link_names(), ["lo"]);
    assert_eq!(leased(&host, "pods"), [""; 0]);
    assert_eq!(files(&host, RESULTS), [""; 0]);
    assert_eq!(files(&host, "/var/lib/cni/causeway/pods"), [""; 0]);

    // A namespace that was made for it goes, too.
    person.fails("attach pods new", &["no luck today"]);
    assert_eq!(files(&host, "/run/netns"), ["blue"]);

    person.fails("attach pods blue --keep", &["no luck today"]);
    assert_eq!(pod.link_names(), ["lo", "eth0"]);
    person.succeeds("detach pods blue");
    assert_eq!(pod.link_names(), ["lo"]);
}

/// What a plugin refuses to read it refuses for DEL as for ADD; that is told once.
#[test]
fn a_configuration_that_is_refused_is_told_of_once() {
    let host = Host::new();
    let person = Person::on(&host);
    let mut list = pods();
    list["plugins"][0]["isGateway"] = json!("yes");
    person.configure("10-pods.conflist", &list);
    host.pod("blue");
    let said = person.causeway("attach pods blue");
    assert_eq!(said.status, Some(1), "{said}");
    assert!(said.stderr.contains("isGateway"), "{said}");
    assert!(!said.stderr.contains("could be removed again"), "{said}");
}

#[test]
fn a_result_that_nobody_gets_is_taken_back() {
    let host = Host::new();
    let person = Person::on(&host);
    person.configure("10-pods.conflist", &pods());
    let causeway = env!("CARGO_BIN_EXE_causeway");
    let script =
        format!("#!/bin/sh\nNETCONFPATH={CONF_DIR} exec {causeway} attach pods new >/dev/full\n");
    host.executable("/run/to-nobody", &script);
    assert!(!host.succeeds("/run/to-nobody"));
    assert_eq!(files(&host, "/run/netns"), [""; 0]);
    assert_eq!(files(&host, RESULTS), [""; 0]);
    assert_eq!(leased(&host, "pods"), [""; 0]);
    assert_eq!(person.json("list"), json!([]));
}

#[test]
fn another_attachments_interface_is_left_alone() {
    require_reference();
    let host = Host::new();
    // The reference's bridge removes at DEL whatever is called eth0.
    let person = Person::on(&host).with("CNI_PATH", REFERENCE_DIR);
    let mut list = pods();
    list["cniVersion"] = "1.0.0".into();
    list["plugins"].as_array_mut().unwrap().truncate(1);
    person.configure("10-pods.conflist", &list);
    let pod = host.pod("blue");
    let mut single = list["plugins"][0].clone();
    single["name"] = "pods".into();
    single["cniVersion"] = "1.0.0".into();
    pod.call(Plugin::Reference("bridge"), &single).add();

    person.fails("attach pods blue", &["has an interface eth0"]);
    person.fails("detach pods blue", &["nothing is known", "--force"]);
    assert_eq!(pod.link_names(), ["lo", "eth0"]);
    person.succeeds("attach pods blue --ifname eth1");
    assert_eq!(pod.link_names(), ["lo", "eth0", "eth1"]);
    person.succeeds("detach pods blue -i eth1");
    assert_eq!(pod.link_names(), ["lo", "eth0"]);
    person.succeeds("detach pods blue --force");
    assert_eq!(pod.link_names(), ["lo"]);
}

#[test]
fn a_new_namespace_is_made_named_and_deleted() {
    let host = Host::new();
    let person = Person::on(&host);
    person.configure("10-pods.conflist", &pods());
    let said = person.causeway("attach pods new");
    assert_eq!(said.status, Some(0), "{said}");
    let name = only_file(&host, "/run/netns");
    assert!(said.stderr.contains(&format!("detach pods {name} --delete-netns")), "{said}");
    let result: Value = serde_json::from_str(&said.stdout).unwrap();
    let inside = result["interfaces"].as_array().unwrap().last().unwrap();
    assert_eq!(inside["sandbox"], format!("/run/netns/{name}"));
    person.fails("detach pods new", &["give its name"]);
    person.succeeds(&format!("detach pods {name} --delete-netns"));
    assert_eq!(files(&host, "/run/netns"), [""; 0]);
    assert_eq!(leased(&host, "pods"), [""; 0]);
}

#[test]
fn keys_of_the_list_are_kept_to() {
    let host = Host::new();
    host.script_plugin("scribe", SCRIBE);
    let person = Person::on(&host);
    let mut list = json!({
        "cniVersion": "1.1.0",
        "name": "net",
        "disableCheck": true,
        "disableGC": "true",
        "plugins": [{ "type": "scribe" }],
    });
    person.configure("10-net.conflist", &list);
    host.write(&format!("{CONF_DIR}/net/10-lo.conf"), r#"{"type": "loopback"}"#);
    let pod = host.pod("blue");
    person.succeeds("attach net blue");
    assert!(pod.run("ip -br link show lo").contains("UP"), "the folder's plugin was not run");
    assert!(person.succeeds("check net blue").contains("disableCheck"));
    let said = person.causeway("gc net --all");
    assert!(said.stderr.contains("disableGC"), "{said}");
    assert_eq!(files(&host, RESULTS).len(), 1);
    for verb in ["CHECK", "GC"] {
        assert!(!files(&host, "/run").contains(&format!("stdin.{verb}")), "{verb}");
    }
    person.succeeds("detach net blue");

    list["loadOnlyInlinedPlugins"] = true.into();
    list["cniVersion"] = "0.3.1".into();
    person.configure("10-net.conflist", &list);
    let green = host.pod("green");
    person.succeeds("attach net green");
    assert!(green.run("ip -br link show lo").contains("DOWN"), "the folder's plugin was run");
    assert!(person.succeeds("check net green").contains("0.3.1 has no CHECK"));
    assert!(person.succeeds("status net").contains("0.3.1 has no STATUS"));
}

#[test]
fn without_its_configuration_an_attachment_can_be_detached_all_the_same() {
    let host = Host::new();
    let person = Person::on(&host);
    person.configure("10-pods.conflist", &pods());
    let pod = host.pod("blue");
    person.succeeds("attach pods blue");
    host.run(&format!("rm {CONF_DIR}/10-pods.conflist"));
    let id = "cnitool-df26705e2e4ffd095eb1";
    let said = person.causeway(&format!("detach pods --container-id {id}"));
    assert_eq!(said.status, Some(0), "{said}");
    assert!(said.stderr.contains("kept with the result"), "{said}");
    assert_eq!(pod.link_names(), ["lo"]);
    assert_eq!(leased(&host, "pods"), [""; 0]);
}

#[test]
fn gc_removes_what_is_dead_and_nothing_else() {
    let host = Host::new();
    let person = Person::on(&host);
    person.configure("10-pods.conflist", &pods());
    let (dead, alive) = (host.pod("dead"), host.pod("alive"));
    person.succeeds("attach pods dead");
    person.succeeds("attach pods alive");
    host.write("/var/lib/cni/networks/pods/10.88.0.99", "nobody\r\neth0");
    dead.destroy();

    let planned = person.succeeds("gc pods --dry-run");
    assert_eq!(planned.matches("would remove").count(), 2, "{planned}");
    assert_eq!(leased(&host, "pods").len(), 3);

    let done = person.succeeds("gc pods");
    assert!(done.contains("(namespace gone)") && done.contains("(lease only)"), "{done}");
    assert!(done.contains("1 attachment stays"), "{done}");
    assert_eq!(leased(&host, "pods"), ["10.88.0.3"]);
    assert_eq!(files(&host, RESULTS).len(), 1);
    assert_eq!(alive.link_names(), ["lo", "eth0"]);
    person.succeeds("check pods alive");

    let other = host.pod("other");
    person.succeeds("attach pods other");
    person.succeeds(
        "gc pods --drop cnitool-ID/eth0".replace("ID", &id_of("/run/netns/other")).as_str(),
    );
    assert_eq!(other.link_names(), ["lo"]);
    assert_eq!(alive.link_names(), ["lo", "eth0"]);

    person.succeeds("gc pods --all");
    assert_eq!(leased(&host, "pods"), [""; 0]);
    assert_eq!(alive.link_names(), ["lo"]);
    assert_eq!(files(&host, RESULTS), [""; 0]);
}

/// A runtime that is killed while it attaches has kept no result, and calls DEL for nothing it does not know.
#[test]
fn gc_removes_what_has_no_kept_result_in_versions_without_gc_too() {
    let host = Host::new();
    let person = Person::on(&host);
    let mut list = pods();
    list["cniVersion"] = "1.0.0".into();
    person.configure("10-pods.conflist", &list);
    let (dead, alive) = (host.pod("dead"), host.pod("alive"));
    let mapping = r#"{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}"#;
    person.with("CAP_ARGS", mapping).succeeds("attach pods dead");
    person.succeeds("attach pods alive");
    let id = format!("cnitool-{}", id_of("/run/netns/dead"));
    host.run(&format!("rm {RESULTS}/pods-{id}-eth0"));
    dead.destroy();

    let planned = person.succeeds("gc pods --dry-run");
    assert!(planned.contains(&format!("would remove pods/{id}/eth0")), "{planned}");
    assert_eq!(leased(&host, "pods").len(), 2);

    let done = person.causeway("gc pods");
    assert_eq!(done.status, Some(0), "{done}");
    assert!(done.stderr.contains("has no GC"), "{done}");
    assert!(done.stdout.contains("1 attachment stays"), "{done}");
    assert_eq!(leased(&host, "pods"), ["10.88.0.3"]);
    let records = files(&host, "/var/lib/cni/causeway/pods");
    assert!(!records.iter().any(|name| name.contains(&id)), "{records:?}");
    assert!(!host.run("nft list ruleset").contains(&id));
    assert_eq!(alive.link_names(), ["lo", "eth0"]);
    person.succeeds("check pods alive");
}

#[test]
fn status_says_what_is_missing() {
    let host = Host::new();
    let person = Person::on(&host);
    let mut list = pods();
    list["plugins"][0]["ipam"]["subnet"] = "10.88.0.0/30".into();
    person.configure("10-pods.conflist", &list);
    assert_eq!(person.succeeds("status pods"), "pods is ready\n");
    host.pod("blue");
    person.succeeds("attach pods blue");
    person.fails("status pods", &["plugin 1, bridge", "no address is free", "50"]);
}

/// A plugin's error is told once; a log file has it all the same.
#[test]
fn an_error_is_told_once() {
    let host = Host::new();
    let person = Person::on(&host);
    let mut list = pods();
    list["plugins"][0]["mtu"] = 66_000_000.into();
    list["plugins"][0]["logFile"] = "/run/causeway.log".into();
    person.configure("10.conflist", &list);
    host.run("ip netns add blue");
    let said = person.causeway("attach pods blue");
    assert_eq!(said.status, Some(1), "{said}");
    assert_eq!(said.stderr.matches("66000000").count(), 1, "{said}");
    assert!(host.read("/run/causeway.log").contains("66000000"));
}
