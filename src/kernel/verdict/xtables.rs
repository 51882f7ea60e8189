//! Chains of iptables-legacy, from what iptables-save prints.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{Action, Chain, Condition, Family, Field, Hook, Keeper, Load, Rule, Test};

/// The chains of one table. `v6` tells whose output it is.
pub fn chains(saved: &str, table: &str, v6: bool) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    for line in saved.lines() {
        if let Some(declared) = line.strip_prefix(':') {
            let mut words = declared.split(' ');
            let (name, policy) = (words.next().unwrap_or_default(), words.next());
            chains.push(Chain {
                keeper: Keeper::IptablesLegacy,
                family: if v6 { Family::Ip6 } else { Family::Ip },
                table: table.to_owned(),
                name: name.to_owned(),
                hook: hook(name),
                drops: policy == Some("DROP"),
                rules: Vec::new(),
            });
        } else if let Some(text) = line.strip_prefix("-A ")
            && let Some((name, specification)) = text.split_once(' ')
            && let Some(chain) = chains.iter_mut().find(|chain| chain.name == name)
        {
            chain.rules.push(rule(specification));
        }
    }
    chains
}

fn hook(chain: &str) -> Option<Hook> {
    let point = match chain {
        "INPUT" => super::INPUT,
        "FORWARD" => super::FORWARD,
        _ => return None,
    };
    Some(Hook { kind: "filter".into(), point, priority: 0 })
}

fn rule(specification: &str) -> Rule {
    let mut conditions = Vec::new();
    let mut action = Action::Pass;
    let words = words(specification);
    let mut words = words.iter().map(String::as_str).peekable();
    let mut not = false;
    while let Some(option) = words.next() {
        if option == "!" {
            not = true;
            continue;
        }
        // Options without a value are told by what follows.
        let value = words.next_if(|next| !next.starts_with('-') && *next != "!");
        match (option, value) {
            ("-m", _) | ("--comment", _) => {}
            ("-j", Some(target)) => action = target_action(target, false),
            ("-g", Some(target)) => action = target_action(target, true),
            // What belongs to a target that does not decide.
            (_, _) if action != Action::Pass => {}
            (option, Some(value)) => conditions.push(condition(option, value, not)),
            (option, None) => conditions.push(Condition::Unknown(option.to_owned())),
        }
        not = false;
    }
    Rule { conditions, action, text: specification.to_owned() }
}

fn target_action(target: &str, goto: bool) -> Action {
    match target {
        "ACCEPT" => Action::Accept,
        "DROP" | "REJECT" => Action::Drop,
        "RETURN" => Action::Return,
        _ if super::nftables::is_idle_target(target) => Action::Pass,
        "NFQUEUE" | "QUEUE" => Action::Unknown(target.to_owned()),
        chain if goto => Action::Goto(chain.to_owned()),
        chain => Action::Jump(chain.to_owned()),
    }
}

fn condition(option: &str, value: &str, not: bool) -> Condition {
    let known = match option {
        "-s" => network(value, Field::Source, not),
        "-d" => network(value, Field::Destination, not),
        "-i" => Some(name(value, Field::IncomingName, not)),
        "-o" => Some(name(value, Field::OutgoingName, not)),
        "-p" => protocol(value).map(|number| {
            let of = vec![Load::of(Field::TransportProtocol)];
            Condition::Compare { of, test: is(vec![number], not) }
        }),
        "--sport" => ports(value, 0, not),
        "--dport" => ports(value, 2, not),
        "--ctstate" | "--state" => states(value, not),
        _ => None,
    };
    known.unwrap_or_else(|| Condition::Unknown(format!("{option} {value}")))
}

fn is(bytes: Vec<u8>, not: bool) -> Test {
    if not { Test::IsNot(bytes) } else { Test::Is(bytes) }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn network(text: &str, field: Field, not: bool) -> Option<Condition> {
    let network: IpNetwork = text.parse().ok()?;
    let load = Load { field, mask: octets(network.mask()), xor: Vec::new() };
    Some(Condition::Compare { of: vec![load], test: is(octets(network.network()), not) })
}

/// With a `+` at its end, all names that begin so.
fn name(text: &str, field: Field, not: bool) -> Condition {
    let mut bytes = text.as_bytes().to_vec();
    match bytes.last() {
        Some(b'+') => drop(bytes.pop()),
        _ => bytes.push(0),
    }
    Condition::Compare { of: vec![Load::of(field)], test: is(bytes, not) }
}

fn protocol(name: &str) -> Option<u8> {
    Some(match name {
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        "sctp" => 132,
        "ipv6-icmp" | "icmpv6" => 58,
        number => number.parse().ok()?,
    })
}

fn ports(text: &str, offset: usize, not: bool) -> Option<Condition> {
    let (from, to) = text.split_once(':').unwrap_or((text, text));
    let from: u16 = if from.is_empty() { 0 } else { from.parse().ok()? };
    let to: u16 = if to.is_empty() { u16::MAX } else { to.parse().ok()? };
    let (from, to) = (from.to_be_bytes().to_vec(), to.to_be_bytes().to_vec());
    let of = vec![Load::of(Field::Transport { offset, length: 2 })];
    let test = if not { Test::Outside(from, to) } else { Test::Between(from, Some(to)) };
    Some(Condition::Compare { of, test })
}

fn states(text: &str, not: bool) -> Option<Condition> {
    let mut bits = 0u32;
    for state in text.split(',') {
        bits |= match state {
            "INVALID" => 1,
            "ESTABLISHED" => 1 << 1,
            "RELATED" => 1 << 2,
            "NEW" => 1 << 3,
            "UNTRACKED" => 1 << 6,
            // Of the connection's status, which is another thing.
            _ => return None,
        };
    }
    Some(state_in(bits, not))
}

/// That the connection's state is, or is not, among these bits.
pub(super) fn state_in(bits: u32, not: bool) -> Condition {
    let mask = bits.to_ne_bytes().to_vec();
    let load = Load { field: Field::ConnectionState, mask, xor: Vec::new() };
    Condition::Compare { of: vec![load], test: is(vec![0; 4], !not) }
}

/// Words as a shell would part them, with quotes taken off.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut any) = (false, false);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => (quoted, any) = (!quoted, true),
            '\\' => word.extend(letters.next()),
            ' ' if !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            letter => word.push(letter),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::super::{FORWARD, Judgement, Packet, Ruleset};
    use super::*;

    fn packet() -> Packet {
        Packet {
            source: "10.88.0.2".parse().unwrap(),
            destination: "1.1.1.1".parse().unwrap(),
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

    fn judged(forward: &str, packet: &Packet) -> Judgement {
        let saved = format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [1:60]\n:SUB - [0:0]\n{forward}COMMIT\n"
        );
        Ruleset { chains: chains(&saved, "filter", false) }.judge(FORWARD, packet)
    }

    #[test]
    fn what_a_rule_says_is_understood() {
        for accepts in [
            "-s 10.88.0.0/16",
            "! -s 10.89.0.0/16",
            "-i br0",
            "-i br+ ! -o br0",
            "-p tcp -m tcp --dport 443",
            "-p tcp -m tcp --dport 400:500",
            "-m conntrack --ctstate NEW,ESTABLISHED -m comment --comment \"a -j DROP b\"",
        ] {
            let rule = format!("-A FORWARD {accepts} -j ACCEPT\n");
            assert_eq!(judged(&rule, &packet()), Judgement::Accepted, "{accepts}");
        }
        for passes in ["-s 10.89.0.0/16", "-o br0", "-p udp", "-p tcp -m tcp --dport 80"] {
            let rule = format!("-A FORWARD {passes} -j ACCEPT\n");
            assert!(matches!(judged(&rule, &packet()), Judgement::Dropped(_)), "{passes}");
        }
        let rule = "-A FORWARD -m limit --limit 3/min -j ACCEPT\n";
        assert!(matches!(judged(rule, &packet()), Judgement::Unknown(_)));
    }

    #[test]
    fn answers_are_not_new() {
        let rule = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n";
        assert!(matches!(judged(rule, &packet()), Judgement::Dropped(_)));
        let answer = Packet { answers: true, ..packet() };
        assert_eq!(judged(rule, &answer), Judgement::Accepted);
    }

    #[test]
    fn chains_are_called_and_targets_that_do_not_decide_passed_over() {
        let rules = "-A FORWARD -j LOG --log-prefix \"x \"\n-A FORWARD -j SUB\n-A SUB -j ACCEPT\n";
        assert_eq!(judged(rules, &packet()), Judgement::Accepted);
    }
}
