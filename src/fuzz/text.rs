//! What comes from runtimes and people: configurations, prevResult, CNI_ARGS; and what programs print.

use std::ffi::OsString;
use std::path::Path;

use serde_json::Value;

use super::{Form, folder, fuzz, testdata};
use crate::cli::fuse::{ordered::Ordered, rewriting};
use crate::delegate;
use crate::kernel::filter_table::FilterTable;
use crate::kernel::iptables::Family;
use crate::kernel::legacy::xtables;
use crate::kernel::nat_table::NatTable;
use crate::kernel::verdict::{FORWARD, Packet, Ruleset};
use crate::kernel::{listening, neighbour_discovery, verdict};
use crate::libcni::{Cached, NetworkList};
use crate::plugins::call;
use crate::protocol::request::Request;
use crate::protocol::result::AddResult;
use crate::protocol::version::Version;

/// Configurations of every plugin, alone and in one list, each with a prevResult.
fn configurations() -> Vec<Vec<u8>> {
    let all: Vec<Value> = serde_json::from_slice(&testdata("fuzz/configurations.json")).unwrap();
    all.iter().map(|one| one.to_string().into_bytes()).collect()
}

/// Mangling must begin with what is understood, or nothing but the first check is ever tried.
#[test]
fn the_configurations_are_good_ones() {
    let mut plans = 0;
    for config in configurations() {
        let text = String::from_utf8_lossy(&config).into_owned();
        let asked = request("CHECK", "", &config).unwrap_or_else(|| panic!("not read: {text}"));
        call::configure("causeway", &asked).unwrap_or_else(|error| panic!("{error}: {text}"));
        match call::expected_of("causeway", &asked) {
            Ok(resources) => plans += usize::from(!resources.is_empty()),
            Err(error) => println!("{error}: {text}"),
        }
    }
    assert!(plans >= 15, "only {plans} have a plan");
}

fn request(verb: &str, args: &str, stdin: &[u8]) -> Option<Request> {
    let env = |name: &str| -> Option<OsString> {
        Some(match name {
            "CNI_COMMAND" => verb.into(),
            "CNI_CONTAINERID" => "0f3c".into(),
            "CNI_IFNAME" => "eth0".into(),
            "CNI_NETNS" => "/run/netns/none".into(),
            "CNI_PATH" => "/run/none".into(),
            "CNI_ARGS" => args.into(),
            _ => return None,
        })
    };
    match Request::read(&env, &mut &*stdin) {
        Ok(request) => Some(request),
        Err(error) => {
            serde_json::from_str::<Value>(&error.to_cni().to_json()).expect("an error in JSON");
            None
        }
    }
}

#[test]
fn configurations_are_read_or_refused() {
    fuzz("configuration", Form::Json, configurations(), |input| {
        for verb in ["ADD", "DEL", "GC"] {
            let Some(request) = request(verb, "", input) else { continue };
            if let Err(error) = call::configure("causeway", &request) {
                let text = error.to_cni().to_json();
                serde_json::from_str::<Value>(&text).expect("an error in JSON");
            }
        }
    });
}

#[test]
fn prev_results_give_a_plan_or_an_error() {
    fuzz("prevResult", Form::Json, configurations(), |input| {
        let Some(request) = request("CHECK", "", input) else { return };
        for resource in call::expected_of("causeway", &request).into_iter().flatten() {
            assert!(!resource.kind().describe().is_empty());
            serde_json::to_vec(&resource).expect("a resource in JSON");
        }
    });
}

#[test]
fn results_are_rendered_in_every_version_or_refused() {
    fuzz("result", Form::Json, folder("protocol/results"), |input| {
        let Ok(value) = serde_json::from_slice(input) else { return };
        let Ok(result) = AddResult::read(&value) else { return };
        for version in ["0.1.0", "0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
            let version = Version::of_configuration(Some(version)).expect("a version");
            // What was read can be read back, in the forms that hold all of it.
            if let Ok(value) = result.render(version) {
                AddResult::read(&value).expect("what we wrote ourselves");
            }
        }
    });
}

#[test]
fn cni_args_are_read_or_refused() {
    let corpus = [
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_INFRA_CONTAINER_ID=0f3c",
        "IP=10.1.0.5/16,fd00::5;GATEWAY=10.1.0.1;MAC=02:00:00:00:00:01;SUBNET=10.1.0.0/16",
    ];
    let config = configurations().remove(0);
    fuzz("CNI_ARGS", Form::Words, corpus.map(|text| text.into()).to_vec(), move |input| {
        let text = String::from_utf8_lossy(input);
        if let Some(request) = request("ADD", &text, &config) {
            let _ = call::configure("bridge", &request);
        }
    });
}

#[test]
fn lists_are_loaded_fused_and_parted_or_refused() {
    let mut corpus = folder("fuse");
    corpus.extend(folder("inventory/conf"));
    corpus.extend(folder("libcni/net.d"));
    fuzz("list", Form::Json, corpus, |input| {
        let path = Path::new("/etc/cni/net.d/10-net.conflist");
        if let Ok(list) = NetworkList::parse(path, input) {
            let _ = (list.version(), list.all_plugins());
        }
        let _ = NetworkList::of_single(path, input);
        if let Ok(list) = serde_json::from_slice::<Ordered>(input) {
            let _ = (rewriting::fuse(&list), rewriting::unfuse(&list));
        }
    });
}

#[test]
fn kept_results_are_read_or_refused() {
    let mut corpus = folder("inventory/results");
    corpus.extend(folder("libcni/results"));
    fuzz("kept result", Form::Json, corpus, |input| {
        if let Ok(cached) = Cached::read_bytes(Path::new("/results/x"), input) {
            let _ = (cached.add_result(), cached.pod(), cached.attachment().args_text());
            let _ = cached.result_as(Version::CURRENT);
        }
    });
}

#[test]
fn answers_of_other_programs_are_read_or_refused() {
    fuzz("foreign answer", Form::Json, folder("protocol/results"), |input| {
        if let Ok(answer) = delegate::parse_result(Path::new("/run/none/foreign"), input) {
            let _ = AddResult::read(&answer);
        }
    });
}

#[test]
fn rules_as_iptables_prints_them_are_read() {
    let corpus = vec![
        testdata("firewall/filter.iptables-save"),
        testdata("legacy/nat.iptables-save"),
        testdata("portmap/reference-ipv4.iptables-save"),
        b"*filter\n:FORWARD DROP [0:0]\n:A - [0:0]\n-A FORWARD -j A\n-A A -g A\nCOMMIT\n".to_vec(),
    ];
    fuzz("iptables-save", Form::Words, corpus, |input| {
        let text = String::from_utf8_lossy(input);
        for family in [Family::Ipv4, Family::Ipv6] {
            FilterTable::of_text(family, &text).has_chain("FORWARD");
        }
        NatTable::of_text(&text, &|_| true).rules("POSTROUTING").for_each(|rule| {
            let _ = (rule.value("--to-destination"), rule.comments().count());
        });
        let _ = xtables::removal(&text, &[("CNI-a", "POSTROUTING")]);
        let packet = Packet {
            source: "10.88.0.2".parse().unwrap(),
            destination: "1.1.1.1".parse().unwrap(),
            input: ("br0".into(), 3),
            output: ("eth0".into(), 2),
            protocol: Some(6),
            source_port: Some(7),
            port: Some(443),
            answers: false,
            redirected: false,
            bridged: false,
        };
        // Rules may send packets round in a circle here, where the kernel would have refused them.
        let chains = verdict::xtables::chains(&text, "filter", false);
        Ruleset { chains }.judge(FORWARD, &packet);
    });
}

#[test]
fn tables_of_proc_are_read() {
    let corpus = [
        "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 0 0 0\n",
        "ifIndex                         \t2\nIcmp6OutRouterSolicits          \t3\nIcmp6InRouterAdvertisements\t4\n",
    ];
    fuzz("/proc", Form::Words, corpus.map(|text| text.into()).to_vec(), |input| {
        let text = String::from_utf8_lossy(input);
        listening::addresses(&text, "0A", 8080).count();
        neighbour_discovery::read(&text);
    });
}
