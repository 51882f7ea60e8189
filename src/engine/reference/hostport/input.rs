//! What iptables-restore is to read so that an attachment's ports lead to it.

use super::{ALL, HostPorts, MASQUERADE, Mark, Masquerading, SET_MARK, found};
use crate::kernel::nat_table::NatTable;

/// Whether anything in a chain of this name is looked at.
pub(super) fn is_ours(chain: &str) -> bool {
    chain.starts_with("CNI-") || matches!(chain, "PREROUTING" | "OUTPUT" | "POSTROUTING")
}

/// The lines between the table's name and COMMIT. Shared chains are made by `-N`, which fails on one
/// that is there; `:CHAIN` makes the attachment's own, or empties what is left of it.
pub(super) fn of(ports: &HostPorts<'_>, table: &NatTable) -> String {
    let own = ports.chain();
    let mut lines = vec![format!(":{own} - [0:0]")];
    let marks = matches!(ports.masquerading, Masquerading::By { mark: Mark::Bit(_), .. });
    let marking: &[&str] = if marks { &[SET_MARK, MASQUERADE] } else { &[] };
    for chain in marking.iter().chain(&[ALL]) {
        if !table.has_chain(chain) {
            lines.push(format!("-N {chain}"));
        }
    }
    for jump in table.rules(ALL).filter(|rule| rule.value("-j") == Some(&own)) {
        lines.push(format!("-D {}", jump.text));
    }
    let (first, last) = ports.shared();
    for (rules, put, place) in [(first, "-I", " 1"), (last, "-A", "")] {
        for rule in rules.iter().filter(|rule| !found::is_there(rule, table)) {
            lines.push(format!("{put} {}{place} {}", rule.chain, rule.text()));
        }
    }
    for rule in ports.own().iter().chain(&ports.jumps()) {
        lines.push(format!("-A {} {}", rule.chain, rule.text()));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::engine::Owner;
    use crate::kernel::port::{Mapping, Transport};

    fn owner() -> Owner {
        Owner { network: "testnet".into(), container_id: "id-blue".into(), ifname: "eth0".into() }
    }

    fn mapping(protocol: Transport, host_ip: Option<&str>, host_port: u16, to: u16) -> Mapping {
        let host_ip = host_ip.map(|ip| ip.parse().unwrap());
        Mapping { protocol, host_ip, host_port, container_port: to }
    }

    fn usual() -> Vec<Mapping> {
        vec![
            mapping(Transport::Tcp, None, 8080, 80),
            mapping(Transport::Udp, None, 53, 53),
            mapping(Transport::Sctp, Some("10.88.0.1"), 7000, 7),
            mapping(Transport::Tcp, Some("::1"), 7001, 7),
            mapping(Transport::Tcp, Some("0.0.0.0"), 7002, 7),
        ]
    }

    const BY_BIT: Masquerading<'_> = Masquerading::By { all: false, mark: Mark::Bit(13) };

    fn ports<'a>(owner: &'a Owner, pod: &str, mappings: &'a [Mapping]) -> HostPorts<'a> {
        let pod = pod.parse().unwrap();
        HostPorts { owner, pod, mappings, masquerading: BY_BIT, conditions: &[] }
    }

    macro_rules! file {
        ($name:literal) => {
            include_str!(concat!("../../../../testdata/portmap/", $name))
        };
    }

    #[test]
    fn all_is_made_where_nothing_is() {
        let (owner, mappings, empty) = (owner(), usual(), NatTable::default());
        let v4 = ports(&owner, "10.88.0.2/24", &mappings);
        assert_eq!(of(&v4, &empty), file!("empty-ipv4.iptables-restore"));
        let v6 = ports(&owner, "fd00:88::2/64", &mappings);
        assert_eq!(of(&v6, &empty), file!("empty-ipv6.iptables-restore"));
    }

    /// The saved table is what Debian's reference plugin makes of the same.
    #[test]
    fn the_reference_plugins_rules_are_replaced_and_its_shared_ones_kept() {
        let (owner, mappings) = (owner(), usual());
        let table = NatTable::of_text(file!("reference-ipv4.iptables-save"), &is_ours);
        let v4 = ports(&owner, "10.88.0.2/24", &mappings);
        assert_eq!(of(&v4, &table), file!("again-ipv4.iptables-restore"));
        assert_eq!(found::missing(&v4, &table), Vec::<String>::new());
    }

    #[test]
    fn masquerading_is_as_asked_for() {
        let (owner, empty) = (owner(), NatTable::default());
        let mappings = [mapping(Transport::Tcp, None, 8080, 80)];
        let mut one = ports(&owner, "10.88.0.2/24", &mappings);
        let marks = |ports: &HostPorts<'_>| -> Vec<String> {
            let text = of(ports, &empty);
            let lines = text.lines().filter(|line| {
                line.contains("MARK") || line.contains("MASQ") || line.contains("mark")
            });
            lines.map(str::to_owned).collect()
        };
        one.masquerading = Masquerading::None;
        assert_eq!(marks(&one), [""; 0]);
        one.masquerading = Masquerading::By { all: false, mark: Mark::Chain("KUBE-MARK-MASQ") };
        let lines = marks(&one);
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].ends_with("--dport 8080 -j KUBE-MARK-MASQ"), "{lines:#?}");
        one.masquerading = Masquerading::By { all: true, mark: Mark::Bit(31) };
        let lines = marks(&one).join("\n");
        assert!(lines.contains("--set-xmark 0x80000000/0x80000000"), "{lines}");
        assert!(!lines.contains("-s "), "{lines}");
    }

    #[test]
    fn ports_are_named_fifteen_at_a_time() {
        let (owner, empty) = (owner(), NatTable::default());
        let mappings: Vec<_> =
            (0..31).map(|n| mapping(Transport::Tcp, None, 9000 + n, 80)).collect();
        let text = of(&ports(&owner, "10.88.0.2/24", &mappings), &empty);
        let counts: Vec<_> = text
            .lines()
            .filter_map(|line| line.split("--dports ").nth(1))
            .map(|rest| rest.split(' ').next().unwrap().split(',').count())
            .collect();
        assert_eq!(counts, [15, 15, 1]);
    }

    #[test]
    fn words_of_the_operator_stay_words() {
        let (owner, empty) = (owner(), NatTable::default());
        let mappings = [mapping(Transport::Tcp, None, 8080, 80)];
        let conditions =
            ["!", "-s", "10.0.0.0/8", "-m", "comment", "--comment", "a \"b\" \\ -j ACCEPT"]
                .map(str::to_owned);
        let mut one = ports(&owner, "10.88.0.2/24", &mappings);
        one.conditions = &conditions;
        let text = of(&one, &empty);
        let expected = r#" --dports 8080 ! -s 10.0.0.0/8 -m comment --comment "a \"b\" \\ -j ACCEPT" -j CNI-DN-a56c00c833e06d039d2d2"#;
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn a_long_comment_is_cut() {
        let mut owner = owner();
        owner.container_id = "x".repeat(300);
        let mappings = [mapping(Transport::Tcp, None, 8080, 80)];
        let one = ports(&owner, "10.88.0.2/24", &mappings);
        assert_eq!(one.comment().len(), 255);
        assert!(one.comment().ends_with("xxx..."));
    }
}
