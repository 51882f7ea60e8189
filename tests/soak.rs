//! ADD and DEL again and again: memory, files and the kernel's slab stay flat, and so does the time of a
//! call. Some rounds of a few are part of the usual tests; scripts/soak runs 20,000.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use harness::Host;
use harness::call::{Call, Plugin};
use harness::chained::fused;
use harness::config::{merge, newest};
use serde_json::json;

/// How many pairs of ADD and DEL there are in all, and between two looks.
fn cycles() -> (usize, usize) {
    std::env::var("CAUSEWAY_SOAK").map_or((120, 40), |all| (all.parse().unwrap(), 1000))
}

/// What is looked at after each round.
struct Look {
    cycles: usize,
    add: Duration,
    del: Duration,
    /// The most memory that an ADD has had, in KiB.
    peak: u64,
    /// Of the whole machine, in KiB.
    slab: u64,
    files: usize,
    links: usize,
    elements: usize,
}

#[test]
fn thousands_come_and_go() {
    let (cycles, between) = cycles();
    let host = Host::new();
    let mut list = fused(&[
        json!({"type": "bridge", "bridge": "br0", "isDefaultGateway": true, "ipMasq": true,
               "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}],
                                                         [{"subnet": "fd00:88::/64"}]]}}),
        json!({"type": "portmap", "capabilities": {"portMappings": true}, "runtimeConfig": {
               "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}}),
        json!({"type": "firewall", "backend": "nftables"}),
    ]);
    merge(&mut list, json!({"cniVersion": newest(), "name": "testnet"}));
    let pod = host.pod("blue");
    let call = pod.call(Plugin::Causeway("causeway"), &list);
    println!("  cycles   ADD ms   DEL ms  peak KiB  slab MiB  files  links  elements");
    let mut looks: Vec<Look> = Vec::new();
    while looks.last().is_none_or(|look| look.cycles < cycles) {
        let done = looks.last().map_or(0, |look| look.cycles);
        let look = round(&host, &call, done, between.min(cycles - done));
        println!(
            "{:8} {:8.2} {:8.2} {:9} {:9.1} {:6} {:6} {:9}",
            look.cycles,
            look.add.as_secs_f64() * 1000.0,
            look.del.as_secs_f64() * 1000.0,
            look.peak,
            look.slab as f64 / 1024.0,
            look.files,
            look.links,
            look.elements
        );
        looks.push(look);
    }
    judge(&looks);
}

fn round(host: &Host, call: &Call<'_>, done: usize, count: usize) -> Look {
    let mut times = [Vec::with_capacity(count), Vec::with_capacity(count)];
    for number in 0..count {
        // Of a new container each time: nothing may be kept for one that is gone.
        let call = call.clone().id(&format!("soak-{}", done + number));
        for (verb, times) in ["ADD", "DEL"].into_iter().zip(&mut times) {
            let start = Instant::now();
            let said = call.spawn(verb, Stdio::piped()).wait_with_output().unwrap();
            times.push(start.elapsed());
            assert!(said.status.success(), "{verb}: {}", String::from_utf8_lossy(&said.stdout));
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let count = |command: &str| host.run(command).lines().count();
    Look {
        cycles: done + times[0].len(),
        add: median(&mut times[0]),
        del: median(&mut times[1]),
        peak: peak(call),
        slab: slab(),
        files: count("find /var/lib /run"),
        links: count("ip -o link"),
        elements: host.run("nft list ruleset").matches("comment \"testnet/").count(),
    }
}

/// The most memory that an ADD has had by the time it answers, in KiB (VmHWM, proc_pid_status(5)): it is
/// held there by a pipe that is full.
fn peak(call: &Call<'_>) -> u64 {
    const PIPE: usize = 1 << 16;
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b' '; PIPE]).unwrap();
    let call = call.clone().id("soak-peak");
    let mut child = call.spawn("ADD", Stdio::from(writer));
    let place = format!("/proc/{}", child.id());
    let writes = format!("{} 0x1 ", nix::libc::SYS_write);
    while !fs::read_to_string(format!("{place}/syscall")).unwrap_or_default().starts_with(&writes) {
        assert!(child.try_wait().unwrap().is_none(), "ADD ended before it answered");
        thread::sleep(Duration::from_millis(1));
    }
    let status = fs::read_to_string(format!("{place}/status")).unwrap();
    let mut said = Vec::new();
    reader.read_to_end(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{}", String::from_utf8_lossy(&said));
    call.del();
    number(&status, "VmHWM:")
}

/// The number after a name, in a file of /proc.
fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What the kernel has in its slab caches and cannot give back at will.
fn slab() -> u64 {
    number(&fs::read_to_string("/proc/meminfo").unwrap(), "SUnreclaim:")
}

/// Compares the first rounds with the last. Files, links and rules are counted exactly; of memory and
/// time, which others on the machine use, too, only a growth that goes on counts.
fn judge(looks: &[Look]) {
    let (first, last) = (&looks[0], looks.last().unwrap());
    assert_eq!(last.files, first.files, "files have grown");
    assert_eq!(
        (last.links, last.elements),
        (first.links, first.elements),
        "links or rules have grown"
    );
    assert!(last.peak <= first.peak + 512, "calls take more memory: {} KiB", last.peak);
    if looks.len() < 6 {
        println!("too few rounds to tell a trend of slab and time");
        return;
    }
    let third = looks.len() / 3;
    let least = |part: &[Look], of: &dyn Fn(&Look) -> f64| {
        part.iter().map(of).fold(f64::INFINITY, f64::min)
    };
    let trend = |of: &dyn Fn(&Look) -> f64| {
        least(&looks[looks.len() - third..], of) / least(&looks[..third], of)
    };
    for (what, growth) in [
        ("ADD", trend(&|look| look.add.as_secs_f64())),
        ("DEL", trend(&|look| look.del.as_secs_f64())),
        ("slab", trend(&|look| look.slab as f64)),
    ] {
        println!("{what}: the last third's least is {growth:.2} times that of the first third");
        assert!(growth < 1.5, "{what} has grown to {growth:.2} times");
    }
}
