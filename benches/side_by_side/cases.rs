//! What is measured.

use crate::contender::Verb;
use crate::network::{Kind, Shape};

/// A situation, and the calls made in it in every round.
pub struct Case {
    pub name: &'static str,
    pub about: &'static str,
    pub shape: Shape,
    pub verbs: &'static [Verb],
    /// Leases of other pods that are there before.
    pub leases: u32,
    /// Whether the range has one free address, and the turn has come round to its beginning.
    pub is_nearly_full: bool,
    pub plan: Plan,
    /// Whether it takes minutes, and is measured only if it is asked for.
    pub is_long: bool,
}

/// How a case is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// One pod comes and goes after the other.
    OneByOne,
    /// One comes and goes among so many others, in rising order.
    Among(&'static [usize]),
    /// A hundred come, then go, with so many calls at once.
    Burst(usize),
    /// GC removes so many of a thousand.
    Collection(usize),
}

const fn of(kind: Kind) -> Shape {
    Shape { kind, masquerade: false, dual_stack: false, prefix: 16 }
}

const fn masqueraded(kind: Kind) -> Shape {
    Shape { masquerade: true, ..of(kind) }
}

const fn dual_stack(kind: Kind) -> Shape {
    Shape { dual_stack: true, ..of(kind) }
}

const LIFE: &[Verb] = &[Verb::Add, Verb::Check, Verb::Del];
const ENDS: &[Verb] = &[Verb::Add, Verb::Del];

fn case(name: &'static str, about: &'static str, shape: Shape, verbs: &'static [Verb]) -> Case {
    Case {
        name,
        about,
        shape,
        verbs,
        leases: 0,
        is_nearly_full: false,
        plan: Plan::OneByOne,
        is_long: false,
    }
}

/// All cases, in order.
pub fn all() -> Vec<Case> {
    let ipam =
        |name, about, leases| Case { leases, ..case(name, about, of(Kind::HostLocal), ENDS) };
    let mut cases = vec![
        case("version", "what a call costs that does nothing", of(Kind::Bridge), &[Verb::Version]),
        case("bridge", "default gateway, host-local with an IPv4 /16", of(Kind::Bridge), LIFE),
        case("bridge-masq", "the same with ipMasq", masqueraded(Kind::Bridge), LIFE),
        case(
            "bridge-dual",
            "the same without ipMasq, with an IPv6 /64",
            dual_stack(Kind::Bridge),
            LIFE,
        ),
        case(
            "bridge-static",
            "the same, with an address that is told",
            of(Kind::BridgeStatic),
            LIFE,
        ),
        Case {
            // The reference's first question gets lost at times, and it asks again after ten seconds.
            is_long: true,
            ..case(
                "bridge-dhcp",
                "the same, with an address from a DHCP server that answers at once",
                of(Kind::BridgeDhcp),
                LIFE,
            )
        },
        case("ptp", "default route, host-local with an IPv4 /16", of(Kind::Ptp), LIFE),
        case("ptp-masq", "the same with ipMasq", masqueraded(Kind::Ptp), LIFE),
        case("ptp-dual", "the same without ipMasq, with an IPv6 /64", dual_stack(Kind::Ptp), LIFE),
        case(
            "macvlan",
            "mode bridge, default route, host-local with an IPv4 /16",
            of(Kind::Macvlan),
            LIFE,
        ),
        case(
            "chain",
            "bridge with ipMasq, portmap (2 ports), firewall, bandwidth both ways, tuning",
            masqueraded(Kind::Chain),
            LIFE,
        ),
        case("host-device", "a veth end; host-local with an IPv4 /16", of(Kind::HostDevice), LIFE),
        case("tap", "host-local with an IPv4 /16", of(Kind::Tap), LIFE),
        case("loopback", "no keys", of(Kind::Loopback), LIFE),
        case("static", "alone, one IPv4 address and a route", of(Kind::Static), ENDS),
        // The reference does not find its own rules of a pod with IPv4 alone: no CHECK.
        case("portmap", "2 ports of an interface that is there", of(Kind::Portmap), ENDS),
        case("firewall", "for an interface that is there", of(Kind::Firewall), LIFE),
        case("bandwidth", "both ways, of an interface that is there", of(Kind::Bandwidth), LIFE),
        case(
            "tuning",
            "a sysctl and the MTU of an interface that is there",
            of(Kind::Tuning),
            LIFE,
        ),
        case("sbr", "of an interface that is there", of(Kind::Sbr), LIFE),
        ipam("ipam", "host-local alone, IPv4 /16, no leases", 0),
        ipam("ipam-1k", "with 1,000 leases of others", 1_000),
        ipam("ipam-10k", "with 10,000 leases of others", 10_000),
        ipam("ipam-60k", "with 60,000 leases of others", 60_000),
        Case {
            is_nearly_full: true,
            ..case(
                "ipam-full-24",
                "IPv4 /24, every address but the last leased",
                Shape { prefix: 24, ..of(Kind::HostLocal) },
                ENDS,
            )
        },
    ];
    cases.extend(with_many_pods());
    cases
}

/// How many others there are; without `--all` or `--only` no more than the second.
const OTHERS: [usize; 4] = [0, 100, 500, 1_000];

/// The cases with many pods. Where the number of the others is part of the name of what is reported, the
/// case's own name has none.
fn with_many_pods() -> Vec<Case> {
    let with = |name, about, shape, plan| Case { plan, ..case(name, about, shape, ENDS) };
    let long = |name, about, shape, plan| Case { is_long: true, ..with(name, about, shape, plan) };
    let (bridge, masqueraded, chain) =
        (of(Kind::Bridge), masqueraded(Kind::Bridge), masqueraded(Kind::Chain));
    vec![
        with("density", "bridge, among others attached", bridge, Plan::Among(&OTHERS)),
        with("burst-50", "bridge, 100 pods at once, 50 calls at a time", bridge, Plan::Burst(50)),
        long("burst-1", "bridge, 100 pods, one after the other", bridge, Plan::Burst(1)),
        long("burst-10", "bridge, 100 pods at once, 10 calls at a time", bridge, Plan::Burst(10)),
        long(
            "burst-chain-50",
            "the chain, 100 pods at once, 50 calls at a time",
            chain,
            Plan::Burst(50),
        ),
        long("density-chain", "the chain, among others attached", chain, Plan::Among(&OTHERS)),
        long("gc-0", "1,000 attachments with ipMasq, all valid", masqueraded, Plan::Collection(0)),
        long(
            "gc-100",
            "1,000 attachments with ipMasq, 100 of them stale",
            masqueraded,
            Plan::Collection(100),
        ),
        long(
            "gc-1000",
            "1,000 attachments with ipMasq, all stale",
            masqueraded,
            Plan::Collection(1_000),
        ),
        long(
            "gc-chain-100",
            "1,000 attachments with the chain, 100 of them stale",
            chain,
            Plan::Collection(100),
        ),
    ]
}

/// The cases that need a kernel with more in it than many a machine has; `scripts/bench --guest` has
/// one. The first of each pair that it is compared with is among them.
pub fn in_guest() -> Vec<Case> {
    let with_pool = "host-local with an IPv4 /16";
    vec![
        case("bridge", with_pool, of(Kind::Bridge), LIFE),
        case("bridge-vlan", "the same in VLAN 100", of(Kind::BridgeVlan), LIFE),
        case("ptp", with_pool, of(Kind::Ptp), LIFE),
        case(
            "netkit",
            "the same over netkit; the reference's ptp beside it",
            of(Kind::Netkit),
            LIFE,
        ),
        case("ipvlan", "mode l2, host-local with an IPv4 /16", of(Kind::Ipvlan), LIFE),
        case("vlan", "VLAN 100, host-local with an IPv4 /16", of(Kind::Vlan), LIFE),
        case("dummy", with_pool, of(Kind::Dummy), LIFE),
        case("vrf", "a VRF of its own for an interface that is there", of(Kind::Vrf), LIFE),
    ]
}

impl Case {
    /// How many leases of others there are.
    pub fn leases_before(&self) -> u32 {
        if !self.is_nearly_full {
            return self.leases;
        }
        // All but the network, the gateway, one address and the broadcast.
        let size = 1_u32.checked_shl(32_u32.saturating_sub(self.shape.prefix.into())).unwrap_or(0);
        size.saturating_sub(4)
    }
}
