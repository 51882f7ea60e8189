//! Forgetting UDP flows, black-box: flows are made and looked at with `conntrack`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod private_host;

use causeway::kernel::conntrack::forget_udp;
use private_host::{private, run};

const V4: &str = "-s 192.0.2.2 -d 192.0.2.1";
const V6: &str = "-s fd00::1 -d fd00::2";

/// Makes flows; each line is a protocol, a source port, a destination port and further options.
fn flows(lines: impl Iterator<Item = (&'static str, u16, u16, &'static str)>) {
    // The kernel tracks nothing in a namespace that has no use for it.
    run("iptables -t nat -A OUTPUT -j ACCEPT");
    run("ip6tables -t nat -A OUTPUT -j ACCEPT");
    let mut text = String::new();
    for (protocol, from, to, more) in lines {
        let state = if protocol == "tcp" { "--state ESTABLISHED" } else { "" };
        text.push_str(&format!(
            "-A -p {protocol} --sport {from} --dport {to} -t 600 {state} {more}\n"
        ));
    }
    std::fs::write("/run/flows", text).unwrap();
    run("conntrack -R /run/flows 2>/run/said || { cat /run/said >&2; false; }");
}

fn count(options: &str) -> usize {
    let listed = run(&format!("conntrack -L {options} 2>/dev/null"));
    listed.lines().count()
}

#[test]
fn only_udp_flows_to_the_ports_go() {
    private(|| {
        flows(
            [
                ("udp", 1000, 53, V4),
                ("udp", 1001, 53, "-s 192.0.2.2 -d 192.0.2.1 -w 7"),
                ("udp", 1002, 5353, V4),
                ("udp", 53, 9999, V4),
                ("tcp", 1000, 53, V4),
                ("udp", 1000, 53, V6),
            ]
            .into_iter(),
        );
        assert_eq!(count("-f ipv4"), 5);
        assert_eq!(forget_udp(&[], false).unwrap(), 0);
        assert_eq!(forget_udp(&[54, 1000], false).unwrap(), 0);
        assert_eq!(forget_udp(&[53], false).unwrap(), 2);
        assert_eq!(count("-f ipv4 -p udp"), 2);
        assert_eq!(count("-f ipv4 -p tcp"), 1);
        assert_eq!(count("-f ipv6"), 1);
        assert_eq!(forget_udp(&[53], false).unwrap(), 0);
        assert_eq!(forget_udp(&[4, 53, 5353], true).unwrap(), 1);
        assert_eq!(count("-f ipv6"), 0);
        assert_eq!(forget_udp(&[53, 5353], false).unwrap(), 1);
        assert_eq!(count("-f ipv4"), 2);
    });
}

/// More flows than answers fit into one datagram, in the list as in the deletions.
#[test]
fn many_flows_go() {
    private(|| {
        let port = |number: u16| if number.is_multiple_of(3) { 8080 } else { 8081 };
        flows((0..6000).map(|number| ("udp", 10_000 + number, port(number), V4)));
        assert_eq!(count("-f ipv4 -p udp"), 6000);
        assert_eq!(forget_udp(&[8080], false).unwrap(), 2000);
        assert_eq!(count("-f ipv4 -p udp"), 4000);
        assert_eq!(forget_udp(&[8080, 8081], false).unwrap(), 4000);
        assert_eq!(count("-f ipv4 -p udp"), 0);
    });
}

#[test]
fn nothing_is_tracked_and_nothing_goes() {
    private(|| assert_eq!(forget_udp(&[53], true).unwrap(), 0));
}
