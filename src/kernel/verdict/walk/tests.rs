//! Packets led through chains.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::super::{FORWARD, Family, Hook, Keeper};
use super::*;

fn packet(source: &str, destination: &str) -> Packet {
    Packet {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        input: ("br0".into(), 3),
        output: ("eth0".into(), 2),
        protocol: Some(6),
        source_port: None,
        port: Some(443),
        answers: false,
        redirected: false,
        bridged: false,
    }
}

fn chain(name: &str, drops: bool, rules: Vec<Rule>) -> Chain {
    let hook = Hook { kind: "filter".into(), point: FORWARD, priority: 0 };
    Chain {
        keeper: Keeper::Nftables,
        family: Family::Inet,
        table: "t".into(),
        name: name.into(),
        hook: (name == "forward").then_some(hook),
        drops,
        rules,
    }
}

fn rule(conditions: Vec<Condition>, action: Action) -> Rule {
    Rule { conditions, action, text: "a rule".into() }
}

fn from(bytes: &[u8]) -> Condition {
    let of = vec![Load::of(Field::Network { offset: 12, length: bytes.len() })];
    Condition::Compare { of, test: Test::Is(bytes.to_vec()) }
}

fn judged(chains: Vec<Chain>) -> Judgement {
    Ruleset { chains }.judge(FORWARD, &packet("10.88.0.2", "1.1.1.1"))
}

#[test]
fn a_policy_decides_what_no_rule_does() {
    assert_eq!(judged(vec![]), Judgement::Accepted);
    assert_eq!(judged(vec![chain("forward", false, vec![])]), Judgement::Accepted);
    let Judgement::Dropped(culprit) = judged(vec![chain("forward", true, vec![])]) else {
        panic!("not dropped")
    };
    assert_eq!(culprit.rule, None);
    let accept = rule(vec![from(&[10, 88, 0])], Action::Accept);
    assert_eq!(judged(vec![chain("forward", true, vec![accept])]), Judgement::Accepted);
    let other = rule(vec![from(&[10, 89])], Action::Accept);
    assert!(matches!(judged(vec![chain("forward", true, vec![other])]), Judgement::Dropped(_)));
}

#[test]
fn an_accept_in_one_base_chain_does_not_outdo_a_drop_in_the_next() {
    let accept = chain("forward", false, vec![rule(vec![], Action::Accept)]);
    let drop = Chain { table: "u".into(), ..chain("forward", true, vec![]) };
    assert!(matches!(judged(vec![accept, drop]), Judgement::Dropped(_)));
}

#[test]
fn what_cannot_be_told_is_said_only_if_it_matters() {
    let limit = || vec![Condition::Unknown("limit".into())];
    let may_drop = vec![rule(limit(), Action::Drop)];
    assert!(matches!(
        judged(vec![chain("forward", false, may_drop.clone())]),
        Judgement::Unknown(_)
    ));
    assert!(matches!(judged(vec![chain("forward", true, may_drop)]), Judgement::Dropped(_)));
    let may_accept = vec![rule(limit(), Action::Accept)];
    assert_eq!(judged(vec![chain("forward", false, may_accept)]), Judgement::Accepted);
}

#[test]
fn calls_come_back_and_gotos_do_not() {
    let called = chain("called", false, vec![rule(vec![from(&[11])], Action::Drop)]);
    let drop = || rule(vec![], Action::Drop);
    let jump = vec![rule(vec![], Action::Jump("called".into())), drop()];
    assert!(matches!(
        judged(vec![chain("forward", false, jump), called.clone()]),
        Judgement::Dropped(_)
    ));
    let goto = vec![rule(vec![], Action::Goto("called".into())), drop()];
    assert_eq!(judged(vec![chain("forward", false, goto), called]), Judgement::Accepted);
}

#[test]
fn spans_and_maps_of_verdicts() {
    let span = |from: &[u8], below: &[u8], action| Span {
        from: from.to_vec(),
        below: Some(below.to_vec()),
        by_parts: false,
        action,
    };
    let of = vec![Load::of(Field::Transport { offset: 2, length: 2 })];
    let to = vec![span(&[1, 0], &[2, 0], Some(Action::Drop))];
    let map = vec![rule(vec![], Action::Map { of: of.clone(), to })];
    assert!(matches!(judged(vec![chain("forward", false, map)]), Judgement::Dropped(_)));
    let test = Test::NotIn(vec![span(&[1, 0], &[2, 0], None)]);
    let not = vec![rule(vec![Condition::Compare { of, test }], Action::Drop)];
    assert_eq!(judged(vec![chain("forward", false, not)]), Judgement::Accepted);
}
