//! The same configuration through the reference plugins and through causeway, compared.
//!
//! What both made is compared point by point after ADD and after DEL, and so are the results they
//! printed. Where causeway differs on purpose, the case says where and why in words; a difference
//! that is listed but not there any more fails too.

use std::panic::resume_unwind;
use std::thread;

use serde_json::{Value, json};

use super::call::{Call, Plugin};
use super::snapshot::{Difference, Snapshot, readable};
use super::symbols::Symbols;
use super::{Host, Pod, require_reference, testing_reference};

/// Differences in every case, with the reason.
const EVERYWHERE: &[(&str, &str)] = &[
    ("add/host/links/VETH*/ifalias", "causeway marks the links that it makes with their owner"),
    (
        "*/host/files//var/lib/cni/causeway*",
        "causeway's journal; DEL and GC finish by it what a kill cut short",
    ),
    (
        "add/host/files/*/.causeway:*",
        "finds an attachment's lease without reading all of them; the reference plugins pass over it",
    ),
    (
        "result/dns",
        "from 1.0.0 on, Debian's reference plugins print an empty one; later ones do not",
    ),
    (
        "*/links/*/num_*_queues",
        "one queue is in use either way; asking for it spares the kernel a wait, and memory",
    ),
    (
        "*/links/*/txqlen",
        "Debian's reference plugins set it to nothing; later ones leave the kernel's choice",
    ),
    (
        "add/pod/sysctls/*/ipv6.keep_addr_on_down",
        "later reference plugins set it too, so that IPv6 addresses survive a link going down",
    ),
    (
        "add/pod/sysctls/*/ipv6.ndisc_notify",
        "later reference plugins set it wherever they set arp_notify",
    ),
];

/// A configuration and what is particular about comparing what comes of it.
pub struct Case {
    /// The type's name, which both sides are called by.
    plugin: &'static str,
    config: Value,
    env: Vec<(&'static str, &'static str)>,
    prepare: fn(&Host),
    /// Hardware addresses that are asked for and so must appear as they are.
    macs: Vec<&'static str>,
    /// Paths where causeway differs on purpose (`*` stands for anything), and why.
    differs: Vec<(&'static str, &'static str)>,
}

impl Case {
    /// A case of the plugin that the configuration's `type` names.
    pub fn of(config: Value) -> Self {
        let plugin = config["type"].as_str().expect("a type").to_owned().leak();
        Self {
            plugin,
            config,
            env: Vec::new(),
            prepare: |_| (),
            macs: Vec::new(),
            differs: Vec::new(),
        }
    }

    pub fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    pub fn prepare(mut self, prepare: fn(&Host)) -> Self {
        self.prepare = prepare;
        self
    }

    pub fn mac(mut self, mac: &'static str) -> Self {
        self.macs.push(mac);
        self
    }

    pub fn differs(mut self, path: &'static str, why: &'static str) -> Self {
        self.differs.push((path, why));
        self
    }
}

/// What one side made of a case.
struct Side {
    result: Value,
    added: (Snapshot, Snapshot),
    removed: (Snapshot, Snapshot),
}

fn play(case: &Case, plugin: Plugin) -> Side {
    let host = Host::new();
    (case.prepare)(&host);
    let pod = host.pod("blue");
    let before = pod.snapshot();
    let call = prepared(case, &pod, plugin);
    let result = call.add();
    let added = (host.snapshot(), pod.snapshot());
    call.del();
    let removed = (host.snapshot(), pod.snapshot());
    before.assert_same(&removed.1, &format!("after DEL by {plugin:?}, in the pod"));
    Side { result, added, removed }
}

fn prepared<'h>(case: &Case, pod: &Pod<'h>, plugin: Plugin) -> Call<'h> {
    let call = pod.call(plugin, &case.config);
    case.env.iter().fold(call, |call, (name, value)| call.env(name, value))
}

/// Plays a case on both sides and panics with every difference that is not listed.
pub fn compare(case: &Case) {
    require_reference();
    let (reference, causeway) = thread::scope(|scope| {
        let other = scope.spawn(|| play(case, Plugin::Reference(case.plugin)));
        let own = play(case, Plugin::Causeway(case.plugin));
        (other.join().unwrap_or_else(|cause| resume_unwind(cause)), own)
    });
    let plain = |side: &Side| {
        let masked = |(host, pod): &(Snapshot, Snapshot)| {
            let symbols = Symbols::of(host, pod, &case.macs);
            json!({"host": symbols.apply(&host.0), "pod": symbols.apply(&pod.0)})
        };
        let symbols = Symbols::of(&side.added.0, &side.added.1, &case.macs);
        Snapshot(json!({
            "result": symbols.apply(&side.result),
            "add": masked(&side.added),
            "del": masked(&side.removed),
        }))
    };
    judge(plain(&reference).diff(&plain(&causeway)), &case.differs);
}

/// Panics if a difference is not listed, or a listed one is not there.
fn judge(found: Vec<Difference>, listed: &[(&str, &str)]) {
    let mut seen = vec![false; listed.len()];
    let mut unexpected = Vec::new();
    for difference in found {
        let path = difference.path.trim_start_matches('/');
        let mut excused = EVERYWHERE.iter().any(|(pattern, _)| matches(pattern, path));
        for ((pattern, _), seen) in listed.iter().zip(&mut seen) {
            if matches(pattern, path) {
                *seen = true;
                excused = true;
            }
        }
        if !excused && !is_closed_to_others(&difference) {
            unexpected.push(difference);
        }
    }
    assert!(
        unexpected.is_empty(),
        "causeway (is) differs from the reference (was) without a reason given:\n{}",
        readable(&unexpected)
    );
    if testing_reference() {
        return;
    }
    for ((pattern, why), seen) in listed.iter().zip(seen) {
        assert!(seen, "listed but not there any more: {pattern} ({why})");
    }
}

/// Whether a file differs only in that others may not read it. Debian's reference plugins let
/// everybody read leases; later ones do not.
fn is_closed_to_others(difference: &Difference) -> bool {
    let text = |value: &Option<Value>| value.as_ref()?.as_str().map(str::to_owned);
    match (text(&difference.left), text(&difference.right)) {
        (Some(was), Some(is)) => {
            was.strip_prefix("0644 ").is_some_and(|rest| is.strip_prefix("0600 ") == Some(rest))
        }
        _ => false,
    }
}

/// Whether `text` follows `pattern`, in which `*` stands for anything.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}
