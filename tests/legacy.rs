//! Rules that the reference plugins left: what Debian's bridge plugin, iptables-legacy and nft make
//! is found and removed, and nothing else is.
//!
//! Each test runs in a thread of its own with a private network and mount namespace; see
//! [`private_host`]. They need root, nft, both variants of iptables, and the reference plugins in
//! /usr/lib/cni.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod private_host;

use causeway::kernel::legacy::{
    self, macspoof_present, masquerade_present, remove_macspoof, remove_masquerade,
};
use causeway::kernel::nft::Socket;
use private_host::{private, run};

/// Attaches a pod in namespace `id` with the reference bridge plugin of Debian.
fn attach(id: &str) {
    run(&format!(
        r#"ip netns add {id}
        CNI_COMMAND=ADD CNI_CONTAINERID={id} CNI_IFNAME=eth0 CNI_NETNS=/run/netns/{id} \
        CNI_PATH=/usr/lib/cni /usr/lib/cni/bridge <<'.'
        {{"cniVersion": "1.0.0", "name": "net", "type": "bridge", "bridge": "br0",
          "isGateway": true, "ipMasq": true, "macspoofchk": true,
          "ipam": {{"type": "host-local", "dataDir": "/run/cni/networks",
                   "ranges": [[{{"subnet": "10.88.0.0/24"}}], [{{"subnet": "fd00:88::/64"}}]]}}}}
.
        "#
    ));
}

#[test]
fn what_the_bridge_plugin_made_is_removed() {
    private(|| {
        attach("one");
        let alone = run("nft list ruleset");
        attach("two");
        let both = run("nft list ruleset");
        for (id, part) in [("one", "ip nat"), ("two", "ip6 nat")] {
            let chain = legacy::chain_name("net", id);
            assert!(both.contains(&chain), "{chain} in {part}: {both}");
        }
        let mut socket = Socket::open().unwrap();
        let socket = &mut socket;
        for id in ["one", "two"] {
            assert!(masquerade_present(socket, "net", id, "eth0").unwrap());
            assert!(macspoof_present(socket, id, "eth0").unwrap());
            assert!(!masquerade_present(socket, "other", id, "eth0").unwrap());
            assert!(!macspoof_present(socket, id, "eth1").unwrap());
        }

        remove_masquerade(socket, "other", "two", "eth0").unwrap();
        remove_macspoof(socket, "two", "eth1").unwrap();
        assert_eq!(run("nft list ruleset"), both);

        remove_masquerade(socket, "net", "two", "eth0").unwrap();
        remove_macspoof(socket, "two", "eth0").unwrap();
        assert!(!masquerade_present(socket, "net", "two", "eth0").unwrap());
        assert!(!macspoof_present(socket, "two", "eth0").unwrap());
        assert!(masquerade_present(socket, "net", "one", "eth0").unwrap());
        assert!(macspoof_present(socket, "one", "eth0").unwrap());
        assert_eq!(run("nft list ruleset"), alone);
        // iptables still understands its table.
        assert!(run("iptables-nft-save -t nat").contains(&legacy::chain_name("net", "one")));

        for _ in 0..2 {
            remove_masquerade(socket, "net", "one", "eth0").unwrap();
            remove_macspoof(socket, "one", "eth0").unwrap();
        }
        let left = run("nft list ruleset");
        assert!(!left.contains("CNI-") && !left.contains("cni-br-iface"), "{left}");
        assert!(!left.contains("counter"), "{left}");
        run("nft flush ruleset");
        remove_masquerade(socket, "net", "one", "eth0").unwrap();
    });
}

#[test]
fn a_half_removed_pod_is_removed_whole() {
    private(|| {
        attach("one");
        let chain = legacy::chain_name("net", "one");
        run(&format!(
            "iptables-nft -t nat -F {chain}
             ip6tables-nft -t nat -D POSTROUTING 1
             nft flush chain bridge nat PREROUTING
             nft flush chain bridge nat cni-br-iface-one-eth0
             nft delete chain bridge nat cni-br-iface-one-eth0"
        ));
        let mut socket = Socket::open().unwrap();
        assert!(masquerade_present(&mut socket, "net", "one", "eth0").unwrap());
        assert!(!macspoof_present(&mut socket, "one", "eth0").unwrap());
        remove_masquerade(&mut socket, "net", "one", "eth0").unwrap();
        remove_macspoof(&mut socket, "one", "eth0").unwrap();
        let left = run("nft list ruleset");
        assert!(!left.contains("CNI-") && !left.contains("cni-br-iface"), "{left}");
    });
}

/// The nftables backend of the reference plugins 1.6: rules told apart by the hashes with which
/// their comments begin.
#[test]
fn commented_rules_of_the_nftables_backend_are_removed() {
    private(|| {
        let hash = |text: &str| run(&format!("printf %s '{text}' | sha512sum | cut -c1-16"));
        let comment = |ifname: &str| {
            let (network, instance) = (hash("net"), hash(&format!("{ifname}:one")));
            format!("{}-{}, net: net, if: {ifname}, id: one", network.trim(), instance.trim())
        };
        run(&format!(
            "nft -f - <<'.'
table inet cni_plugins_masquerade {{
    chain masq_checks {{
        ip saddr 10.88.0.5 ip daddr != 10.88.0.0/24 masquerade comment \"{eth0}\"
        ip saddr 10.88.0.6 ip daddr != 10.88.0.0/24 masquerade comment \"{eth1}\"
        ip6 saddr fd00:88::5 ip6 daddr != fd00:88::/64 masquerade comment \"{eth0}\"
        ip saddr 10.88.0.7 masquerade
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip daddr 224.0.0.0/4 return
        ip6 daddr ff00::/8 return
        goto masq_checks
    }}
}}
.",
            eth0 = comment("eth0"),
            eth1 = comment("eth1"),
        ));
        let mut socket = Socket::open().unwrap();
        assert!(masquerade_present(&mut socket, "net", "one", "eth0").unwrap());
        assert!(!masquerade_present(&mut socket, "net", "two", "eth0").unwrap());
        let before = run("nft list ruleset");
        remove_masquerade(&mut socket, "net", "one", "eth0").unwrap();
        let wanted: String = before
            .lines()
            .filter(|line| !line.contains("if: eth0"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(run("nft list ruleset"), wanted);
        assert!(!masquerade_present(&mut socket, "net", "one", "eth0").unwrap());
        assert!(masquerade_present(&mut socket, "net", "one", "eth1").unwrap());
    });
}

#[test]
fn chains_of_iptables_legacy_are_removed() {
    private(|| {
        let rules = || {
            run("iptables-legacy-save -t nat; ip6tables-legacy-save -t nat")
                .lines()
                .filter(|line| !line.starts_with('#'))
                .map(|line| format!("{line}\n"))
                .collect::<String>()
        };
        let make = |id: &str| {
            let chain = legacy::chain_name("net", id);
            let comment = format!(r#"-m comment --comment 'name: "net" id: "{id}"'"#);
            for (program, subnet, multicast) in [
                ("iptables-legacy", "10.88.0.5/24", "224.0.0.0/4"),
                ("ip6tables-legacy", "fd00:88::5/64", "ff00::/8"),
            ] {
                let address = subnet.split('/').next().unwrap();
                run(&format!(
                    "{program} -t nat -N {chain}
                     {program} -t nat -A {chain} -d {subnet} -j ACCEPT {comment}
                     {program} -t nat -A {chain} ! -d {multicast} -j MASQUERADE {comment}
                     {program} -t nat -A POSTROUTING -s {address} -j {chain} {comment}"
                ));
            }
        };
        let mut socket = Socket::open().unwrap();
        make("one");
        let alone = rules();
        make("two");
        assert!(masquerade_present(&mut socket, "net", "one", "eth0").unwrap());
        assert!(masquerade_present(&mut socket, "net", "two", "eth0").unwrap());
        assert!(!masquerade_present(&mut socket, "net", "three", "eth0").unwrap());
        for _ in 0..2 {
            remove_masquerade(&mut socket, "net", "two", "eth0").unwrap();
            assert_eq!(rules(), alone);
        }
        assert!(!masquerade_present(&mut socket, "net", "two", "eth0").unwrap());
        remove_masquerade(&mut socket, "net", "one", "eth0").unwrap();
        assert!(!rules().contains("CNI-"));
        assert!(!run("nft list ruleset").contains("CNI-"));
    });
}

#[test]
fn where_nothing_is_nothing_is_made() {
    private(|| {
        let mut socket = Socket::open().unwrap();
        assert!(!masquerade_present(&mut socket, "net", "one", "eth0").unwrap());
        assert!(!macspoof_present(&mut socket, "one", "eth0").unwrap());
        remove_masquerade(&mut socket, "net", "one", "eth0").unwrap();
        remove_macspoof(&mut socket, "one", "eth0").unwrap();
        assert_eq!(run("nft list ruleset"), "");
        assert_eq!(run("cat /proc/thread-self/net/ip_tables_names"), "");
    });
}
