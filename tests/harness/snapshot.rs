//! What a network namespace and the state directories hold at one moment.
//!
//! Everything is read through `ip`, `bridge`, `tc`, `nft` and files, so that no code is shared with
//! the program under test. What changes by itself (timers, counters, handles, indexes, how far
//! duplicate address detection is) is left out; two snapshots of an untouched host are equal.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::patience::stretched;
use super::{Host, Pod, output_of, run_here};

/// A namespace, and for a host its state directories too, at one moment.
#[derive(Clone, PartialEq)]
pub struct Snapshot(pub Value);

impl Host {
    /// This host as it is once the kernel has come to rest.
    pub fn snapshot(&self) -> Snapshot {
        self.inside(|| {
            let mut all = read_network();
            let mut files = Map::new();
            for top in ["/run", "/var/lib"] {
                read_files(Path::new(top), &mut files);
            }
            all["files"] = Value::Object(files);
            Snapshot(all)
        })
    }
}

impl Pod<'_> {
    /// This pod as it is once the kernel has come to rest.
    pub fn snapshot(&self) -> Snapshot {
        self.inside(|| Snapshot(read_network()))
    }
}

/// Panics unless host and pod are as they were `before`; locks, and where a range goes on, may be new.
#[track_caller]
pub fn nothing_stays(before: &(Snapshot, Snapshot), pod: &Pod<'_>, when: &str) {
    let plain = |s: &Snapshot| s.without_shared_files();
    plain(&before.0).assert_same(&plain(&pod.host.snapshot()), &format!("{when}, on the host"));
    before.1.assert_same(&pod.snapshot(), &format!("{when}, in the pod"));
}

impl Snapshot {
    /// The differences between this snapshot and a later `other`, as path and both values.
    pub fn diff(&self, other: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        compare("", Some(&self.0), Some(&other.0), &mut found);
        found
    }

    /// Panics with every difference to a later snapshot.
    #[track_caller]
    pub fn assert_same(&self, later: &Self, when: &str) {
        let found = self.diff(later);
        assert!(found.is_empty(), "{when}, things differ:\n{}", readable(&found));
    }

    /// Leaves out what `path` names, such as "/files/var".
    pub fn without(&self, path: &str) -> Self {
        let mut all = self.0.clone();
        if let Some((parent, last)) = path.rsplit_once('/')
            && let Some(Value::Object(map)) = all.pointer_mut(parent)
        {
            map.remove(last);
        }
        Self(all)
    }

    /// Leaves out the files that belong to no attachment: locks, and where a range goes on.
    pub fn without_shared_files(&self) -> Self {
        self.without_files(|path| path.contains("lock") || path.contains("/last_reserved_ip."))
    }

    /// Leaves out the file that says where a range goes on.
    pub fn without_last_reserved(&self) -> Self {
        self.without_files(|path| path.contains("/last_reserved_ip."))
    }

    /// Leaves out the files for whose path `unwanted` holds, and all empty directories.
    fn without_files(&self, unwanted: impl Fn(&str) -> bool) -> Self {
        let mut all = self.0.clone();
        if let Some(Value::Object(files)) = all.get_mut("files") {
            files.retain(|path, text| {
                !unwanted(path) && !text.as_str().is_some_and(|t| t.ends_with(" directory"))
            });
        }
        Self(all)
    }

    /// The part that `path` names, or null.
    pub fn get(&self, path: &str) -> &Value {
        self.0.pointer(path).unwrap_or(&Value::Null)
    }

    /// The names of the links.
    pub fn links(&self) -> Vec<&str> {
        self.get("/links")
            .as_object()
            .map(|m| m.keys().map(String::as_str).collect())
            .unwrap_or_default()
    }

    /// The files below `/var/lib/cni` or `/run` whose path contains `part`.
    pub fn files(&self, part: &str) -> Vec<&str> {
        let files = self.get("/files").as_object();
        files
            .into_iter()
            .flatten()
            .map(|(path, _)| path.as_str())
            .filter(|p| p.contains(part))
            .collect()
    }
}

/// One point at which two snapshots differ.
pub struct Difference {
    /// Where, such as `/links/eth0/mtu`; a slash inside a name stands as itself.
    pub path: String,
    /// The first snapshot's value, if it has one.
    pub left: Option<Value>,
    /// The second snapshot's value, if it has one.
    pub right: Option<Value>,
}

/// Differences, one a line.
pub fn readable(found: &[Difference]) -> String {
    let show = |v: &Option<Value>| v.as_ref().map_or("(nothing)".to_owned(), Value::to_string);
    let mut text = String::new();
    for Difference { path, left, right } in found {
        let _ = writeln!(text, "  {path}\n      was {}\n      is  {}", show(left), show(right));
    }
    text
}

fn compare(path: &str, left: Option<&Value>, right: Option<&Value>, found: &mut Vec<Difference>) {
    match (left, right) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for (key, value) in a {
                compare(&format!("{path}/{key}"), Some(value), b.get(key), found);
            }
            for (key, value) in b.iter().filter(|(key, _)| !a.contains_key(*key)) {
                compare(&format!("{path}/{key}"), None, Some(value), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            for (index, (x, y)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}/{index}"), Some(x), Some(y), found);
            }
        }
        _ if left == right => {}
        _ => found.push(Difference {
            path: path.to_owned(),
            left: left.cloned(),
            right: right.cloned(),
        }),
    }
}

/// Everything about the calling thread's network namespace.
fn read_network() -> Value {
    let links = settled_links();
    let tables = ip_batch("-d ", "route show table all\nrule show\nneigh show nud permanent\n");
    let has_v6 = Path::new("/proc/sys/net/ipv6").exists();
    let rules6 = if has_v6 { ip_batch("-d -6 ", "rule show\n") } else { vec![Value::Null] };
    let mut all = Map::new();
    let mut by_name = Map::new();
    let mut sysctls = Map::new();
    for link in &links {
        let name = link["ifname"].as_str().expect("a link's name").to_owned();
        sysctls.insert(name.clone(), interface_sysctls(&name));
        by_name.insert(name, link_facts(link));
    }
    for name in ["all", "default"] {
        sysctls.insert(name.to_owned(), interface_sysctls(name));
    }
    all.insert("links".to_owned(), Value::Object(by_name));
    all.insert("routes".to_owned(), routes(&tables[0]));
    all.insert("rules".to_owned(), Value::Array([list(&tables[1]), list(&rules6[0])].concat()));
    all.insert("neighbours".to_owned(), tables[2].clone());
    all.insert("sysctls".to_owned(), Value::Object(sysctls));
    all.insert("ip_forward".to_owned(), sysctl("ipv4/ip_forward").unwrap_or_default());
    all.insert("vlans".to_owned(), by_key("ifname", &json_or_nothing("bridge -j vlan show")));
    let qdiscs = without_volatile(&json_or_nothing("tc -j qdisc show"));
    all.insert("qdiscs".to_owned(), by_key("dev", &qdiscs));
    all.insert("nft".to_owned(), nft_ruleset());
    Value::Object(all)
}

/// The links, once each one that has a carrier has its operational state and link-local address.
///
/// The kernel brings both about in a work queue some milliseconds after the call that caused them.
/// For a link that lost its carrier it takes up to a second; that is not waited for but left out.
fn settled_links() -> Vec<Value> {
    let mut links = Vec::new();
    let (start, limit) = (Instant::now(), stretched(Duration::from_secs(3)));
    while start.elapsed() < limit {
        links = list(&ip_batch("-d ", "addr show\n")[0]);
        if links.iter().all(has_settled) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    links
}

fn has_settled(link: &Value) -> bool {
    let flag = |name: &str| list(&link["flags"]).iter().any(|f| f == name);
    if link["link_type"] == "loopback" || !flag("LOWER_UP") {
        return true;
    }
    let name = link["ifname"].as_str().unwrap_or_default();
    let wants_address = link["inet6_addr_gen_mode"] != "none"
        && sysctl(&format!("ipv6/conf/{name}/disable_ipv6")) == Some("0".into());
    let has_address = list(&link["addr_info"]).iter().any(|a| a["scope"] == "link");
    // A bridge that never had a port stays UNKNOWN and gets its address like any other link. An
    // end of a veth pair is so for up to a second if the other end, in its own namespace, has the same
    // index (`linkwatch_urgent_event`, net/core/link_watch.c).
    let is_under_way = match link["operstate"].as_str() {
        Some("DOWN" | "LOWERLAYERDOWN") => true,
        Some("UNKNOWN") => link["linkinfo"]["info_kind"] == "veth",
        _ => false,
    };
    !is_under_way && (!wants_address || has_address)
}

fn link_facts(link: &Value) -> Value {
    let mut facts = without_volatile(link);
    let has_carrier = list(&facts["flags"]).iter().any(|flag| flag == "LOWER_UP");
    let is_bridge = facts["linkinfo"]["info_kind"] == "bridge";
    let map = facts.as_object_mut().expect("a link is an object");
    if !has_carrier {
        map.remove("operstate");
    } else if is_bridge {
        // UNKNOWN until its first change of carrier; both mean that it works.
        map.insert("operstate".to_owned(), "UP".into());
    }
    let addresses = map.remove("addr_info").unwrap_or_default();
    let mut by_address = Map::new();
    for address in list(&addresses) {
        let mut rest = address.as_object().cloned().unwrap_or_default();
        // Detection of duplicates runs on in its own time; that it is done is for other tests.
        rest.remove("tentative");
        let local = rest.remove("local").unwrap_or_default();
        let length = rest.remove("prefixlen").unwrap_or_default();
        by_address.insert(format!("{}/{length}", local.as_str().unwrap_or("?")), rest.into());
    }
    map.insert("addresses".to_owned(), Value::Object(by_address));
    facts
}

/// The objects of a list by what they say under `key`, since their order follows from indexes.
fn by_key(key: &str, found: &Value) -> Value {
    let mut by_key = Map::new();
    for one in list(found) {
        let name = one[key].as_str().unwrap_or("-").to_owned();
        let with_it = by_key.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        with_it.as_array_mut().expect("a list").push(one);
    }
    Value::Object(by_key)
}

/// Routes by a key that tells them apart.
fn routes(found: &Value) -> Value {
    let mut by_key = Map::new();
    for route in list(found) {
        let text = |key: &str| route[key].as_str().unwrap_or("-").to_owned();
        // The kernel adds these once it has finished detection of an address.
        let late = matches!(text("type").as_str(), "local" | "anycast");
        if text("table") == "local" && late && text("dst").contains(':') {
            continue;
        }
        let family =
            if text("dst").contains(':') || text("gateway").contains(':') { "6" } else { "4" };
        let key = format!(
            "{family} table {} {} {} via {} dev {} metric {}",
            text("table"),
            text("type"),
            text("dst"),
            text("gateway"),
            text("dev"),
            route["metric"]
        );
        by_key.insert(key, without_volatile(&route));
    }
    Value::Object(by_key)
}

fn interface_sysctls(name: &str) -> Value {
    let mut found = Map::new();
    for family in ["ipv4", "ipv6"] {
        let dir = format!("{family}/conf/{name}");
        let Ok(entries) = fs::read_dir(format!("/proc/sys/net/{dir}")) else { continue };
        for entry in entries.flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            if let Some(value) = sysctl(&format!("{dir}/{file}")) {
                found.insert(format!("{family}.{file}"), value);
            }
        }
    }
    Value::Object(found)
}

/// A value below /proc/sys/net, or nothing where the kernel gives none.
fn sysctl(path: &str) -> Option<Value> {
    let text = fs::read_to_string(format!("/proc/sys/net/{path}")).ok()?;
    Some(text.trim().into())
}

/// The nftables ruleset without handles and counts.
fn nft_ruleset() -> Value {
    let all = json_or_nothing("nft -j list ruleset");
    let items = list(&all["nftables"]);
    items.iter().filter(|item| item.get("metainfo").is_none()).map(without_volatile).collect()
}

/// Several `ip` commands in one process; one JSON text for each.
fn ip_batch(options: &str, commands: &str) -> Vec<Value> {
    let out = output_of(&format!("ip {options}-j -batch -"), Some(commands));
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "ip -batch failed: {said}");
    let texts: Result<Vec<Value>, _> =
        serde_json::Deserializer::from_slice(&out.stdout).into_iter().collect();
    let texts = texts.expect("JSON from ip");
    assert_eq!(texts.len(), commands.lines().count(), "one JSON text for each ip command");
    texts
}

fn json_or_nothing(command: &str) -> Value {
    let text = run_here(command);
    if text.trim().is_empty() {
        Value::Array(Vec::new())
    } else {
        serde_json::from_str(&text).expect("JSON")
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Keys whose values change by themselves, or say nothing of what a plugin made.
const VOLATILE: [&str; 29] = [
    "ifindex",
    "link_index",
    "link_netnsid",
    "handle",
    "refcnt",
    "packets",
    "bytes",
    "expires",
    "hello_timer",
    "tcn_timer",
    "topology_change_timer",
    "gc_timer",
    "topology_change",
    "topology_change_detected",
    "bridge_id",
    "root_id",
    "root_port",
    "root_path_cost",
    "designated_port",
    "designated_cost",
    "designated_bridge",
    "designated_root",
    "hold_timer",
    "message_age_timer",
    "forward_delay_timer",
    "id",
    "no",
    "config_pending",
    "topology_change_ack",
];

/// `value` without what [`VOLATILE`] names, at every depth; flags in a steady order and without
/// those that follow a lost carrier late.
fn without_volatile(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| !VOLATILE.contains(&key.as_str()))
            .map(|(key, inner)| {
                let mut inner = without_volatile(inner);
                if key == "flags"
                    && let Value::Array(flags) = &mut inner
                {
                    flags.retain(|flag| flag != "NO-CARRIER" && flag != "linkdown");
                    flags.sort_by_key(Value::to_string);
                }
                (key.clone(), inner)
            })
            .collect(),
        Value::Array(items) => items.iter().map(without_volatile).collect(),
        other => other.clone(),
    }
}

/// Files below `dir`, with mode and text; the pods' mount points, the plugins and the counts of calls
/// are no attachment's state.
fn read_files(dir: &Path, found: &mut Map<String, Value>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.to_string_lossy().into_owned();
        let stateless = [super::PLUGINS, "/run/netns", "/run/xtables.lock", "/run/causeway"];
        if stateless.contains(&name.as_str()) {
            continue;
        }
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        let mode = about.permissions().mode() & 0o7777;
        let text = if about.is_dir() {
            format!("{mode:04o} directory")
        } else if about.is_file() {
            format!("{mode:04o} {}", String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()))
        } else {
            format!("{mode:04o} other")
        };
        found.insert(name, text.into());
        if about.is_dir() {
            read_files(&path, found);
        }
    }
}
