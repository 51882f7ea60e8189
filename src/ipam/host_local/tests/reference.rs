//! The reference plugin on the same directory: before, after, and at the same time.

use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use super::*;

const PROGRAM: &str = "/usr/lib/cni/host-local";

/// Whether the reference plugin is there. Who has none must say so, lest nobody notices.
fn is_there() -> bool {
    if Path::new(PROGRAM).exists() {
        return true;
    }
    assert!(
        std::env::var_os("CAUSEWAY_NO_REFERENCE").is_some(),
        "{PROGRAM} is not there; install the reference plugins, or set CAUSEWAY_NO_REFERENCE to go without this test"
    );
    false
}

fn call(verb: &str, id: &str, config: &Value) -> Result<Value, String> {
    let mut child = Command::new(PROGRAM)
        .env_clear()
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", id)
        .env("CNI_NETNS", "/nonexistent")
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", "/usr/lib/cni")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    if output.status.success() { Ok(value) } else { Err(value["msg"].to_string()) }
}

/// The reference plugin under one configuration.
struct Reference {
    config: Value,
}

impl Reference {
    fn new(folder: &Folder, ipam: Value) -> Self {
        let ipam = folder.ipam(ipam);
        Self { config: json!({"cniVersion": "1.0.0", "name": "net", "type": "x", "ipam": ipam}) }
    }

    fn lease(&self, id: &str) -> Result<Vec<String>, String> {
        let result = call("ADD", id, &self.config)?;
        let address =
            |ip: &Value| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned();
        Ok(result["ips"].as_array().unwrap().iter().map(address).collect())
    }

    fn release(&self, id: &str) {
        call("DEL", id, &self.config).unwrap();
    }

    fn holds(&self, id: &str) -> bool {
        call("CHECK", id, &self.config).is_ok()
    }
}

fn dual() -> Value {
    json!({"ranges": [
        [{"subnet": "10.1.0.0/28"}, {"subnet": "10.2.0.0/29"}], [{"subnet": "fd00::/64"}],
    ]})
}

#[test]
fn what_it_leased_is_ours_to_go_on_with() {
    if !is_there() {
        return;
    }
    let folder = Folder::new();
    let (ours, theirs) = (folder.source(dual()), Reference::new(&folder, dual()));
    let of_a = theirs.lease("a").unwrap();
    let of_b = theirs.lease("b").unwrap();
    assert!(matches!(lease(&ours, "a"), Err(Error::AlreadyLeased { .. })));
    ours.check(holder("a")).unwrap();
    assert_eq!(texts(&ours.held(holder("a")).unwrap()), of_a);
    assert_eq!(lease(&ours, "c").unwrap(), ["10.1.0.4", "fd00::4"]);
    folder.assert_sound();
    // Behind our back, though the index is there.
    assert_eq!(theirs.lease("d").unwrap(), ["10.1.0.5", "fd00::5"]);
    assert!(!folder.is_marked());
    assert_eq!(texts(&ours.held(holder("d")).unwrap()), ["10.1.0.5", "fd00::5"]);
    assert_eq!(release(&ours, "d"), ["10.1.0.5", "fd00::5"]);
    assert!(!theirs.holds("d"));
    assert_eq!(release(&ours, "b"), of_b);
    folder.assert_sound();
}

#[test]
fn what_we_leased_is_its_to_go_on_with() {
    if !is_there() {
        return;
    }
    let folder = Folder::new();
    let (ours, theirs) = (folder.source(dual()), Reference::new(&folder, dual()));
    lease(&ours, "a").unwrap();
    lease(&ours, "b").unwrap();
    assert!(theirs.holds("a") && theirs.holds("b") && !theirs.holds("c"));
    let refusal = theirs.lease("a").unwrap_err();
    assert!(refusal.contains("duplicate"), "{refusal}");
    assert_eq!(theirs.lease("c").unwrap(), ["10.1.0.4", "fd00::4"]);
    theirs.release("a");
    theirs.release("c");
    let left: Vec<String> = folder.files().into_keys().collect();
    assert_eq!(
        left,
        [
            ".causeway:b:eth0:0",
            ".causeway:b:eth0:1",
            "10.1.0.3",
            "fd00::3",
            "last_reserved_ip.0",
            "last_reserved_ip.1",
            "lock"
        ]
    );
    assert!(matches!(ours.check(holder("a")), Err(Error::NotHeld { .. })));
    assert_eq!(release(&ours, "a"), [""; 0]);
    folder.assert_sound();
    theirs.release("b");
    assert!(folder.leases().is_empty());
    assert!(!folder.files().keys().any(|name| name.starts_with(".causeway:")));
}

/// A reference that is killed within DEL removes our entry and not the lease.
#[test]
fn a_release_of_its_that_was_cut_short() {
    let folder = Folder::new();
    let ours = folder.source(dual());
    lease(&ours, "a").unwrap();
    for place in 0..2 {
        fs::remove_file(folder.file(&format!(".causeway:a:eth0:{place}"))).unwrap();
    }
    assert_eq!(release(&ours, "a"), ["10.1.0.2", "fd00::2"]);
}

/// The same calls to both, each on a directory of its own, give the same answers and leases.
#[test]
fn both_choose_the_same_addresses() {
    if !is_there() {
        return;
    }
    let (folder, mirror) = (Folder::new(), Folder::new());
    let (ours, theirs) = (folder.source(dual()), Reference::new(&mirror, dual()));
    let mut numbers = Numbers(11);
    for step in 0..120 {
        let id = format!("c{}", numbers.below(30));
        if numbers.below(3) > 0 {
            let expected = theirs.lease(&id).ok();
            let leased = lease(&ours, &id).ok();
            assert_eq!(leased, expected, "step {step}, lease of {id}");
        } else {
            theirs.release(&id);
            release(&ours, &id);
        }
        assert_eq!(folder.leases(), mirror.leases(), "step {step}");
    }
    for file in ["last_reserved_ip.0", "last_reserved_ip.1"] {
        assert_eq!(folder.files()[file], mirror.files()[file]);
    }
    folder.assert_sound();
}

/// Either program at each step, on one directory.
#[test]
fn by_turns_on_one_directory() {
    if !is_there() {
        return;
    }
    let folder = Folder::new();
    let (ours, theirs) = (folder.source(dual()), Reference::new(&folder, dual()));
    let mut held: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut numbers = Numbers(12);
    for step in 0..150 {
        let id = format!("c{}", numbers.below(25));
        let at = format!("step {step}, {id}");
        let by_reference = numbers.below(2) == 0;
        if numbers.below(5) < 3 {
            let leased = if by_reference { theirs.lease(&id).ok() } else { lease(&ours, &id).ok() };
            match leased {
                Some(leased) => {
                    let is_new = !held.contains_key(&id)
                        && !held.values().flatten().any(|one| leased.contains(one));
                    assert!(is_new, "{at}: {leased:?} beside {held:?}");
                    held.insert(id, leased);
                }
                None => assert!(held.contains_key(&id) || held.len() == 18, "{at}"),
            }
        } else if by_reference {
            theirs.release(&id);
            held.remove(&id);
        } else {
            assert_eq!(release(&ours, &id), held.remove(&id).unwrap_or_default(), "{at}");
        }
        let mut all: Vec<&String> = held.values().flatten().collect();
        all.sort();
        let mut leases = texts(&folder.leases().into_keys().collect::<Vec<_>>());
        leases.sort();
        assert_eq!(leases.iter().collect::<Vec<_>>(), all, "{at}");
    }
    for id in held.keys() {
        assert_eq!(release(&ours, id), held[id]);
    }
    folder.assert_sound();
}

#[test]
fn both_at_once() {
    if !is_there() {
        return;
    }
    let folder = Folder::new();
    let ipam = || json!({"subnet": "10.1.0.0/22"});
    let all: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let (ours, theirs) = (folder.source(ipam()), Reference::new(&folder, ipam()));
                scope.spawn(move || {
                    let ids = (0..30).map(|n| format!("t{number}-{n}"));
                    ids.flat_map(|id| {
                        if number < 2 {
                            theirs.lease(&id).unwrap()
                        } else {
                            lease(&ours, &id).unwrap()
                        }
                    })
                    .collect::<Vec<String>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 120);
    assert_eq!(folder.leases().len(), 120);
    let ours = folder.source(ipam());
    for number in 0..4 {
        for n in 0..30 {
            assert_eq!(release(&ours, &format!("t{number}-{n}")).len(), 1);
        }
    }
    folder.assert_sound();
}
