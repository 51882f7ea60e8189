//! The ways to break a node, in one table.

/// What makes the node whole again.
#[derive(Clone, Copy, PartialEq)]
pub enum Mended {
    /// Each command that doctor gives, and `doctor --fix` as well.
    Fixed,
    /// Each command that doctor gives; `doctor --fix` leaves it alone.
    Advised,
    /// No command: it takes a decision.
    Left,
}

/// One way to break a node.
pub struct Break {
    /// What it is.
    pub name: &'static str,
    /// Commands for a shell on the host; `{VETH}` is pod a's host end. In pod a: `ip -n a`.
    pub how: &'static str,
    /// The check of doctor that finds it, and a word of what it says; none when only trace can.
    pub check: Option<(&'static str, &'static str)>,
    /// The arguments of trace, and a word that the hop has which stops the packet.
    pub trace: Option<(&'static str, &'static str)>,
    /// What mends it.
    pub mended: Mended,
}

/// A question to trace: can pod a reach the world?
pub const OUT: &str = "id-a --to 192.0.2.1:443";
const OVER: &str = "id-a --to pod:id-b";
const PORT: &str = "id-a --host-port 8080";

use Mended::{Advised, Fixed, Left};

/// All of them.
pub const BREAKS: &[Break] = &[
    Break {
        name: "forwarding of IPv4 is off",
        how: "sysctl -qw net.ipv4.ip_forward=0",
        check: Some(("forwarding", "IPv4")),
        trace: Some((OUT, "net.ipv4.ip_forward=0")),
        mended: Fixed,
    },
    Break {
        name: "forwarding of IPv6 is off",
        how: "sysctl -qw net.ipv6.conf.all.forwarding=0",
        check: Some(("forwarding", "IPv6")),
        trace: Some(("id-a --to 2001:db8::1", "net.ipv6.conf.all.forwarding=0")),
        mended: Fixed,
    },
    Break {
        name: "the bridge alone does not forward",
        how: "sysctl -qw net.ipv4.conf.br0.forwarding=0",
        check: Some(("forwarding", "br0")),
        trace: Some((OUT, "net.ipv4.conf.br0.forwarding=0")),
        mended: Fixed,
    },
    Break {
        name: "a veth pair is leaked",
        how: "ip link add leak0 type veth peer name leak1; ip link set leak0 alias testnet/dead/eth0",
        check: Some(("link-leaked", "leak0")),
        trace: None,
        mended: Fixed,
    },
    Break {
        name: "the host's end is a disabled port",
        how: "/sbin/bridge link set dev {VETH} state 0",
        check: None,
        trace: Some((OVER, "carries nothing (state 0)")),
        mended: Left,
    },
    Break {
        name: "the pod's interface does without ARP",
        how: "ip -n a link set eth0 arp off",
        check: None,
        trace: Some((OUT, "ARP is turned off")),
        mended: Left,
    },
    Break {
        name: "the pod has written down where another one is, and it is not there",
        how: "ip -n a neigh replace 10.88.0.3 lladdr 02:00:00:00:00:99 dev eth0 nud permanent",
        check: None,
        trace: Some((OVER, "sent to 02:00:00:00:00:99")),
        mended: Left,
    },
    Break {
        name: "the host has written down where the pod is, and it is not there",
        how: "ip neigh replace 10.88.0.2 lladdr 02:00:00:00:00:99 dev br0 nud permanent",
        check: None,
        trace: Some((OUT, "sent to 02:00:00:00:00:99")),
        mended: Left,
    },
    Break {
        name: "the bridge has it written down that the pod is at another port",
        how: "mac=$(ip -n b -br link show dev eth0 | grep -o '..:..:..:..:..:..'); \
              /sbin/bridge fdb replace $mac dev {VETH} master static",
        check: None,
        trace: Some((OVER, "somebody has written that down")),
        mended: Left,
    },
    Break {
        name: "a rule drops what the bridge carries between the pods",
        how: "nft add table bridge guard; nft add chain bridge guard forward \
              '{ type filter hook forward priority 0; }'; \
              nft add rule bridge guard forward ip daddr 10.88.0.3 drop",
        check: None,
        trace: Some((OVER, "chain forward of nftables table bridge guard")),
        mended: Left,
    },
    Break {
        name: "the pod's MTU is too large for its other end",
        how: "ip -n a link set eth0 mtu 9000",
        check: Some(("mtu", "9000")),
        trace: None,
        mended: Advised,
    },
    Break {
        name: "the uplink's MTU is smaller than the pods'",
        how: "ip link set up0 mtu 1400",
        check: Some(("mtu", "1400")),
        trace: None,
        mended: Advised,
    },
    Break {
        name: "the ruleset is flushed",
        how: "nft flush ruleset",
        check: Some(("masquerade", "10.88.0.2")),
        trace: Some((OUT, "nobody outside answers")),
        mended: Fixed,
    },
    Break {
        name: "the rules of masquerading are flushed, not the sets",
        how: "nft flush table inet causeway_masquerade",
        check: Some(("masquerade", "rules")),
        trace: Some((OUT, "rules it should have")),
        mended: Fixed,
    },
    Break {
        name: "a mapped port's element is deleted",
        how: "nft delete element inet causeway_portmap ports-ipv4 '{ tcp . 8080 }'",
        check: Some(("portmap", "10.88.0.2")),
        trace: Some((PORT, "not as they should be")),
        mended: Fixed,
    },
    Break {
        name: "an element is left of a pod that is gone",
        how: "nft add element inet causeway_firewall pods-ipv4 \
              '{ 10.88.0.77 comment \"testnet/dead/eth0\" }'",
        check: Some(("rule-leaked", "10.88.0.77")),
        trace: None,
        mended: Fixed,
    },
    Break {
        name: "a lease is left of a pod that is gone",
        how: "printf 'dead\\r\\neth0' >/var/lib/cni/networks/testnet/10.88.0.99",
        check: Some(("lease-leaked", "10.88.0.99")),
        trace: None,
        mended: Fixed,
    },
    Break {
        name: "a lease is gone under a pod",
        how: "rm /var/lib/cni/networks/testnet/10.88.0.2",
        check: Some(("lease-missing", "10.88.0.2")),
        trace: None,
        mended: Left,
    },
    Break {
        name: "iptables drops what is forwarded",
        how: "iptables -P FORWARD DROP",
        check: Some(("forward-drop", "chain FORWARD of table filter (iptables)")),
        trace: Some((OUT, "chain FORWARD")),
        mended: Advised,
    },
    Break {
        name: "iptables-legacy drops what is forwarded",
        how: "iptables-legacy -P FORWARD DROP",
        check: Some(("forward-drop", "(iptables-legacy)")),
        trace: Some((OUT, "(iptables-legacy)")),
        mended: Advised,
    },
    Break {
        name: "a rule of iptables drops what the pods send",
        how: "iptables -A FORWARD -i br0 -m conntrack --ctstate NEW -j REJECT",
        check: Some(("forward-drop", "rule handle")),
        trace: Some((OUT, "rule handle")),
        mended: Advised,
    },
    Break {
        name: "a table of nftables drops what is forwarded",
        how: "nft add table inet filter; nft add chain inet filter forward \
              '{ type filter hook forward priority 10; policy drop; }'; \
              nft add rule inet filter forward ct state established,related accept",
        check: Some(("forward-drop", "table inet filter")),
        trace: Some((OUT, "table inet filter")),
        mended: Advised,
    },
    Break {
        name: "a set of nftables drops the pods' subnet",
        how: "nft add table ip guard; nft add set ip guard bad '{ type ipv4_addr; flags interval; }'; \
              nft add element ip guard bad '{ 10.88.0.0/24 }'; nft add chain ip guard forward \
              '{ type filter hook forward priority 10; }'; \
              nft add rule ip guard forward ip saddr @bad drop",
        check: Some(("forward-drop", "table ip guard")),
        trace: Some((OUT, "table ip guard")),
        mended: Advised,
    },
    Break {
        name: "both variants of iptables have rules",
        how: "iptables -A FORWARD -j ACCEPT; iptables-legacy -A FORWARD -j ACCEPT",
        check: Some(("iptables-variants", "both")),
        trace: None,
        mended: Left,
    },
    Break {
        name: "the pod's default route is gone",
        how: "ip -n a route del default",
        check: Some(("route", "0.0.0.0/0")),
        trace: Some((OUT, "no route to 192.0.2.1")),
        mended: Fixed,
    },
    Break {
        name: "the bridge is down",
        how: "ip link set br0 down",
        check: Some(("bridge", "br0 is down")),
        trace: Some((OVER, "bridge br0 is down")),
        mended: Fixed,
    },
    Break {
        name: "the bridge is deleted",
        how: "ip link del br0",
        check: Some(("bridge", "br0 is not there")),
        trace: Some((OVER, "not a port of bridge br0")),
        mended: Fixed,
    },
    Break {
        name: "the host's end is down",
        how: "ip link set {VETH} down",
        check: Some(("link", "is down")),
        trace: Some((OVER, "is down")),
        mended: Fixed,
    },
    Break {
        name: "the host's end is no port of the bridge",
        how: "ip link set {VETH} nomaster",
        check: Some(("link", "not a port of bridge br0")),
        trace: Some((OVER, "not a port of bridge br0")),
        mended: Fixed,
    },
    Break {
        name: "the gateway's address is gone",
        how: "ip addr del 10.88.0.1/24 dev br0",
        check: Some(("gateway", "10.88.0.1/24")),
        trace: Some((OUT, "on no link of the host")),
        mended: Fixed,
    },
    Break {
        name: "the pod's address is gone",
        how: "ip -n a addr del 10.88.0.2/24 dev eth0",
        check: Some(("address", "10.88.0.2/24")),
        trace: Some((OVER, "10.88.0.2 is not on eth0")),
        mended: Fixed,
    },
    Break {
        name: "the pod's interface is down",
        how: "ip -n a link set eth0 down",
        check: Some(("link", "eth0 in the container is down")),
        trace: Some((OVER, "eth0 is down")),
        mended: Fixed,
    },
    Break {
        name: "the pod's interface is deleted",
        how: "ip -n a link del eth0",
        check: Some(("link", "eth0 is not in the container")),
        trace: Some((OVER, "no interface eth0")),
        mended: Left,
    },
    Break {
        name: "the pod has another hardware address",
        how: "ip -n a link set eth0 address 02:00:00:00:00:99",
        check: Some(("link", "02:00:00:00:00:99")),
        trace: Some((OVER, "macspoofchk")),
        mended: Fixed,
    },
    Break {
        name: "the pod may not send from its address any more",
        how: "nft flush set bridge causeway_addrspoof ipv4",
        check: Some(("guard", "10.88.0.2")),
        trace: Some((OVER, "addrspoofchk")),
        mended: Fixed,
    },
    Break {
        name: "the check of addresses is gone",
        how: "nft delete table bridge causeway_addrspoof",
        check: Some(("guard", "causeway_addrspoof")),
        trace: None,
        mended: Fixed,
    },
    Break {
        name: "the limit of the pod's rate is removed",
        how: "tc qdisc del dev {VETH} root",
        check: Some(("bandwidth", "")),
        trace: None,
        mended: Left,
    },
    Break {
        name: "another route leads to the pod, and the reverse path filter is strict",
        how: "ip route add 10.88.0.2/32 dev up0; sysctl -qw net.ipv4.conf.br0.rp_filter=1",
        check: Some(("rp-filter", "10.88.0.2")),
        trace: Some((OUT, "reverse path filter")),
        mended: Left,
    },
    Break {
        name: "another route leads to the pod",
        how: "ip route add 10.88.0.2/32 dev up0; sysctl -qw net.ipv4.conf.br0.rp_filter=0 \
              net.ipv4.conf.all.rp_filter=0",
        check: Some(("way-back", "by up0")),
        trace: Some((OUT, "no answer comes back")),
        mended: Left,
    },
    Break {
        name: "a route of the host throws it away",
        how: "ip route add prohibit 192.0.2.0/24",
        check: None,
        trace: Some((OUT, "throws away")),
        mended: Left,
    },
    Break {
        name: "a rule of the host's routing throws it away",
        how: "ip rule add from 10.88.0.0/24 to 192.0.2.0/24 blackhole",
        check: None,
        trace: Some((OUT, "throws away")),
        mended: Left,
    },
    Break {
        name: "the uplink has no route",
        how: "ip route del default",
        check: None,
        trace: Some((OUT, "no route to 192.0.2.1")),
        mended: Left,
    },
    Break {
        name: "a record is damaged",
        how: "echo '{\"version\":' >/var/lib/cni/causeway/testnet/id-a:eth0:causeway",
        check: Some(("record-damaged", "id-a:eth0:causeway")),
        trace: None,
        mended: Left,
    },
    Break {
        name: "a record is of an earlier boot",
        how: "sed 's/\"boot\":\"[^\"]*\"/\"boot\":\"old\"/; s/id-a/id-old/g; s/netns.a\"/netns\\/old\"/; \
              s/10.88.0.2/10.88.0.222/g; s/fd00:88::2/fd00:88::222/g; s/8080/8089/g; \
              s/bwp/bwq/g; s/veth\\([0-9]\\)/vetx\\1/g; s/veth\\([a-f]\\)/vetx\\1/g' \
              </var/lib/cni/causeway/testnet/id-a:eth0:causeway \
              >/var/lib/cni/causeway/testnet/id-old:eth0:causeway",
        check: Some(("record-abandoned", "id-old")),
        trace: None,
        mended: Fixed,
    },
    Break {
        name: "the pod's namespace is gone, and nobody has called DEL",
        how: "umount -l /run/netns/a; rm /run/netns/a; \
              while ip link show {VETH} >/dev/null 2>&1; do sleep 0.01; done",
        check: Some(("namespace-gone", "/run/netns/a")),
        trace: Some((OVER, "is gone")),
        mended: Fixed,
    },
    Break {
        name: "the name of a namespace has no namespace",
        how: "touch /run/netns/stale",
        check: Some(("namespace-stale", "/run/netns/stale")),
        trace: None,
        mended: Fixed,
    },
    Break {
        name: "a plugin is missing",
        how: "rm /run/cni-test/causeway/portmap",
        check: Some(("program", "portmap is missing")),
        trace: None,
        mended: Advised,
    },
    Break {
        name: "a link to a plugin leads nowhere",
        how: "ln -sfn gone /run/cni-test/causeway/firewall",
        check: Some(("program", "firewall leads nowhere")),
        trace: None,
        mended: Advised,
    },
    Break {
        name: "a configuration cannot be read",
        how: "echo '{\"name\": \"x\", \"plugins\": [' >/run/net.d/20-x.conflist",
        check: Some(("configuration", "20-x.conflist")),
        trace: None,
        mended: Left,
    },
    Break {
        name: "a configuration has a value that a plugin refuses",
        how: "sed -i 's/\"bridge\":\"br0\"/\"bridge\":\"br0\",\"mtu\":\"large\"/' \
              /run/net.d/10-testnet.conflist",
        check: Some(("configuration", "mtu")),
        trace: None,
        mended: Left,
    },
    Break {
        name: "two configurations have one name",
        how: "cp /run/net.d/10-testnet.conflist /run/net.d/20-again.conflist",
        check: Some(("configuration", "is that of 10-testnet.conflist already")),
        trace: None,
        mended: Left,
    },
    Break {
        name: "everybody may write into the records",
        how: "chmod 777 /var/lib/cni/causeway",
        check: Some(("directory", "0777")),
        trace: None,
        mended: Advised,
    },
];
