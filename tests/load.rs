//! Many containers on one node, and many calls at once: none fails, no address is given twice, nothing
//! leaks. `CAUSEWAY_LOAD=full` makes it a thousand containers, and bursts of a hundred at every
//! concurrency; without it there are fewer, for every day.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::call::Plugin;
use harness::chained::fused;
use harness::config::{merge, newest};
use harness::{Host, Pod};
use serde_json::{Value, json};

/// The whole load, or that of every day.
fn sized<T>(full: T, daily: T) -> T {
    match std::env::var("CAUSEWAY_LOAD").as_deref() {
        Ok("full") => full,
        Ok(other) => panic!("CAUSEWAY_LOAD can be \"full\", not {other:?}"),
        Err(_) => daily,
    }
}

/// The usual list as one, with leases of 10.88.0.0/20.
fn config() -> Value {
    let mut list = fused(&[
        json!({"type": "bridge", "bridge": "br0", "isDefaultGateway": true, "ipMasq": true,
               "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/20"}]]}}),
        json!({"type": "portmap", "capabilities": {"portMappings": true}}),
        json!({"type": "firewall", "backend": "nftables"}),
    ]);
    merge(&mut list, json!({"cniVersion": newest(), "name": "testnet"}));
    list
}

/// A container of the load: its calls, and what it was given.
struct Container<'h> {
    pod: Pod<'h>,
    number: usize,
    result: Mutex<Value>,
}

impl<'h> Container<'h> {
    fn new(host: &'h Host, number: usize) -> Self {
        Self { pod: host.pod(&format!("p{number}")), number, result: Mutex::new(Value::Null) }
    }

    /// Every third has a port of the host.
    fn call(&self) -> harness::call::Call<'h> {
        let call = self.pod.call(Plugin::Causeway("causeway"), &config());
        if !self.number.is_multiple_of(3) {
            return call;
        }
        let port = 10_000 + self.number;
        let mapping = json!([{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]);
        call.key("runtimeConfig", &json!({"portMappings": mapping}))
    }

    fn add(&self) {
        *self.result.lock().unwrap() = self.call().add();
    }

    fn check(&self) {
        let result = self.result.lock().unwrap().clone();
        self.call().check(&result).silence();
    }

    fn address(&self) -> String {
        self.result.lock().unwrap()["ips"][0]["address"].as_str().unwrap().to_owned()
    }
}

/// Does `work` for each container, so many at a time; gives how long each took.
fn at_once<'h>(
    concurrency: usize,
    containers: &[Container<'h>],
    work: impl Fn(&Container<'h>) + Sync,
) -> Vec<Duration> {
    let next = AtomicUsize::new(0);
    let times = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..concurrency {
            scope.spawn(|| {
                while let Some(container) = containers.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    work(container);
                    times.lock().unwrap().push(start.elapsed());
                }
            });
        }
    });
    let mut times = times.into_inner().unwrap();
    times.sort();
    times
}

fn told(what: &str, start: Instant, times: &[Duration]) {
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!(
        "{what}: {} calls in {:.2} s; median {:.1} ms, 95th percentile {:.1} ms, longest {:.1} ms",
        times.len(),
        start.elapsed().as_secs_f64(),
        at(50),
        at(95),
        at(100)
    );
}

/// Panics if two containers have the same address, or leases, links or rules are too few or too many.
#[track_caller]
fn is_exact(host: &Host, containers: &[Container<'_>], when: &str) {
    let addresses: HashSet<String> = containers.iter().map(Container::address).collect();
    assert_eq!(addresses.len(), containers.len(), "{when}: an address was given twice");
    let count = |command: &str| host.run(command).lines().count();
    let leases = count("find /var/lib/cni/networks/testnet -name 10.*");
    assert_eq!(leases, containers.len(), "{when}: leases");
    let records = count("find /var/lib/cni/causeway/testnet -type f");
    assert_eq!(records, containers.len(), "{when}: records");
    assert_eq!(count("ip -o link show type veth"), containers.len(), "{when}: links");
    // The masquerading table has each address twice: whose packets, and what is inside.
    let rules = host.run("nft list table inet causeway_masquerade");
    let elements = rules.matches("testnet/id-").count();
    assert_eq!(elements, 2 * containers.len(), "{when}: elements");
}

#[track_caller]
fn is_empty(host: &Host, when: &str) {
    let left = host.snapshot();
    assert_eq!(left.links(), ["br0", "lo"], "{when}");
    assert!(left.files("id-").is_empty(), "{when}: {:?}", left.files("id-"));
    assert!(left.files("/networks/testnet/10.").is_empty(), "{when}");
    let rules = host.run("nft list ruleset");
    assert!(!rules.contains("id-p"), "{when}: {rules}");
}

#[test]
fn many_containers_on_one_node() {
    let count = sized(1000, 150);
    let host = Host::new();
    let containers: Vec<_> = (0..count).map(|number| Container::new(&host, number)).collect();
    let (start, mut times) = (Instant::now(), Vec::new());
    for container in &containers {
        let start = Instant::now();
        container.add();
        times.push(start.elapsed());
    }
    // A cost that grows with what is there would show here; of time nothing is demanded.
    let tenth = count / 10;
    for (what, part) in
        [("first", &mut times[..tenth].to_vec()), ("last", &mut times[count - tenth..].to_vec())]
    {
        part.sort();
        told(&format!("ADD, {what} tenth"), start, part);
    }
    is_exact(&host, &containers, "all are attached");
    let start = Instant::now();
    told("CHECK", start, &at_once(4, &containers, Container::check));
    // Nobody reaches a gateway through a table that is wrong for one of many.
    for container in containers.iter().step_by(count / 10) {
        assert!(container.pod.reaches("10.88.0.1"), "{}", container.pod.name);
    }
    let kept: Vec<_> = containers.iter().step_by(2).collect();
    let valid: Vec<String> = kept.iter().map(|one| format!("id-{}", one.pod.name)).collect();
    let valid: Vec<_> = valid.iter().map(|id| (id.as_str(), "eth0")).collect();
    let start = Instant::now();
    host.call(Plugin::Causeway("causeway"), &config()).gc(&valid);
    told("GC of every second", start, &[start.elapsed()]);
    for container in &kept {
        container.check();
    }
    let start = Instant::now();
    // DEL of what GC has taken is as good.
    told("DEL", start, &at_once(4, &containers, |container| container.call().del()));
    is_empty(&host, "all are gone");
}

#[test]
fn bursts() {
    let count = sized(100, 50);
    let host = Host::new();
    let containers: Vec<_> = (0..count).map(|number| Container::new(&host, number)).collect();
    for concurrency in sized(vec![1, 10, 50, 100], vec![10, 50]) {
        let when = format!("concurrency {concurrency}");
        let start = Instant::now();
        told(&format!("ADD, {when}"), start, &at_once(concurrency, &containers, Container::add));
        is_exact(&host, &containers, &when);
        let start = Instant::now();
        told(
            &format!("CHECK, {when}"),
            start,
            &at_once(concurrency, &containers, Container::check),
        );
        let start = Instant::now();
        let times = at_once(concurrency, &containers, |container| container.call().del());
        told(&format!("DEL, {when}"), start, &times);
        is_empty(&host, &when);
    }
}

/// ADD, CHECK and DEL of all at once, while GC runs again and again with all of them valid.
#[test]
fn a_mixed_burst_beside_gc() {
    let (count, rounds) = (sized(100, 40), sized(5, 2));
    let host = Host::new();
    let containers: Vec<_> = (0..count).map(|number| Container::new(&host, number)).collect();
    let ids: Vec<String> = containers.iter().map(|one| format!("id-{}", one.pod.name)).collect();
    let valid: Vec<_> = ids.iter().map(|id| (id.as_str(), "eth0")).collect();
    let (left, failed) = (AtomicUsize::new(count * rounds), AtomicBool::new(false));
    thread::scope(|scope| {
        let collecting = scope.spawn(|| {
            let mut collections = 0;
            while left.load(Ordering::Relaxed) > 0 && !failed.load(Ordering::Relaxed) {
                host.call(Plugin::Causeway("causeway"), &config()).gc(&valid);
                collections += 1;
            }
            collections
        });
        let start = Instant::now();
        let times = at_once(sized(50, 20), &containers, |container| {
            for round in 0..rounds {
                let tried = catch_unwind(AssertUnwindSafe(|| {
                    container.add();
                    container.check();
                    if round + 1 < rounds {
                        container.call().del();
                    }
                }));
                left.fetch_sub(1, Ordering::Relaxed);
                if let Err(cause) = tried {
                    // GC would go on for ever.
                    failed.store(true, Ordering::Relaxed);
                    resume_unwind(cause);
                }
            }
        });
        told("ADD, CHECK and DEL beside GC", start, &times);
        println!("GC beside them: {} calls", collecting.join().unwrap());
    });
    is_exact(&host, &containers, "after the burst");
    at_once(20, &containers, |container| container.call().del());
    is_empty(&host, "all are gone");
}
