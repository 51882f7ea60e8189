//! What the kernel answers. It is trusted, but other versions of it say other things.

use super::{Form, fuzz, testdata};
use crate::kernel::answer::{Object, Said, split};
use crate::kernel::conntrack::message::Flow;
use crate::kernel::nft::found::{FoundChain, FoundElement, FoundRule, FoundSpan};
use crate::kernel::nft::message::attributes;
use crate::kernel::nft::{self, userdata};
use crate::kernel::route::Cloned;
use crate::kernel::verdict::nftables;
use crate::kernel::{addr, link, route, rule, tc, vlan};

/// Lists as the kernel gave them, of which each name stands for a file.
fn corpus(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| testdata(&format!("fuzz/{name}"))).collect()
}

/// Reads one datagram to its end.
fn each(mut data: &[u8], mut read: impl FnMut(&Object<'_>)) {
    while let Some((answer, rest)) = split(data) {
        assert!(rest.len() < data.len(), "reading goes on without end");
        data = rest;
        match answer.said {
            Said::Object(object) => read(&object),
            Said::Refused(_, said) => drop(said.map(str::to_owned)),
            Said::Done => {}
        }
    }
}

/// The lists hold something that each reader wants.
#[test]
fn the_lists_are_understood() {
    let (mut links, mut addresses, mut routes, mut rules) = (0, 0, 0, 0);
    let (mut disciplines, mut classes, mut filters) = (0, 0, 0);
    let all = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/fuzz")).unwrap();
    for entry in all {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "netlink") {
            continue;
        }
        each(&std::fs::read(path).unwrap(), |object| {
            let (kind, message) = (object.kind, object.message);
            links += link::read_link(kind, message).unwrap().iter().count();
            addresses += addr::read(kind, message).iter().count();
            routes += route::read(kind, message, false, Cloned::Kept).iter().count();
            rules += rule::read(kind, message, false).iter().count();
            disciplines += tc::found::read_discipline(kind, message).iter().count();
            classes += tc::found::read_class(kind, message).iter().count();
            filters += tc::found::read_filter(kind, message).iter().count();
        });
    }
    let counts = [links, addresses, routes, rules, disciplines, classes, filters];
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    let (mut chains, mut judged) = (0, 0);
    for name in ["chains.nft", "rules.nft"] {
        each(&testdata(&format!("fuzz/{name}")), |object| {
            chains += usize::from(FoundChain::read(attributes(object)).hook.is_some());
            let rule = FoundRule::read(attributes(object));
            let read = nftables::read(&rule, &mut |_| Ok(Vec::new())).unwrap();
            judged += usize::from(!read.conditions.is_empty());
        });
    }
    assert!(chains > 0 && judged > 3, "{chains} chains, {judged} rules");
}

#[test]
fn links_addresses_routes_and_rules() {
    let corpus = corpus(&["links.netlink", "addresses.netlink", "routes.netlink", "rules.netlink"]);
    fuzz("rtnetlink", Form::Bytes, corpus, |input| {
        each(input, |object| {
            // By its own type, and as if it had the one that the reader wants.
            for kind in [object.kind, 16, 20, 24, 32] {
                let _ = link::read_link(kind, object.message);
                let _ = addr::read(kind, object.message);
                for v6 in [false, true] {
                    route::read(kind, object.message, v6, Cloned::Kept);
                    rule::read(kind, object.message, v6);
                }
                vlan::read(kind, object.message, 2);
            }
        });
        let _ = addr::given_up(input, 2);
    });
}

#[test]
fn queueing_disciplines_classes_and_filters() {
    let corpus = corpus(&["disciplines.netlink", "classes.netlink", "filters.netlink"]);
    fuzz("tc", Form::Bytes, corpus, |input| {
        each(input, |object| {
            for kind in [object.kind, 36, 40, 44] {
                tc::found::read_discipline(kind, object.message);
                tc::found::read_class(kind, object.message);
                tc::found::read_filter(kind, object.message);
            }
        });
    });
}

#[test]
fn tables_chains_rules_sets_and_elements() {
    let corpus = corpus(&["tables.nft", "chains.nft", "rules.nft", "sets.nft", "elements.nft"]);
    fuzz("nf_tables", Form::Bytes, corpus, |input| {
        each(input, |object| {
            let attributes = attributes(object);
            FoundChain::read(attributes);
            for element in FoundElement::read_list(attributes) {
                let _ = element.comment;
            }
            nftables::spans(FoundSpan::read_list(attributes).collect());
            let rule = FoundRule::read(attributes);
            let _ = (rule.jump_target(), rule.parts().count());
            let mut lookup = |_: &str| -> Result<Vec<_>, nft::Error> {
                Ok(nftables::spans(FoundSpan::read_list(attributes).collect()))
            };
            let _ = nftables::read(&rule, &mut lookup);
            userdata::read_comment(attributes);
        });
        userdata::read_comment(input);
    });
}

#[test]
fn connections() {
    let mut corpus = corpus(&["rules.nft"]);
    corpus.push(vec![2, 0, 0, 0, 52, 0, 1, 0x80, 20, 0, 1, 0x80, 8, 0, 1, 0, 10, 1, 0, 1]);
    fuzz("conntrack", Form::Bytes, corpus, |input| {
        each(input, |object| {
            let _ = Flow::read(object.body).map(|flow| flow.is_udp_to(&[53]));
        });
        let _ = Flow::read(input).map(|flow| flow.is_udp_to(&[53]));
    });
}
