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
    /// Pods of the same contender that are attached before.
    pub attached: usize,
}

const BRIDGE: Shape =
    Shape { kind: Kind::Bridge, masquerade: false, dual_stack: false, prefix: 16 };
const MASQUERADE: Shape = Shape { masquerade: true, ..BRIDGE };
const DUAL_STACK: Shape = Shape { dual_stack: true, ..BRIDGE };
const CHAIN: Shape = Shape { kind: Kind::Chain, ..MASQUERADE };
const PTP: Shape = Shape { kind: Kind::Ptp, ..BRIDGE };
const PTP_MASQUERADE: Shape = Shape { masquerade: true, ..PTP };
const PTP_DUAL_STACK: Shape = Shape { dual_stack: true, ..PTP };
const MACVLAN: Shape = Shape { kind: Kind::Macvlan, ..BRIDGE };
const IPAM: Shape = Shape { kind: Kind::HostLocal, ..BRIDGE };

const LIFE: &[Verb] = &[Verb::Add, Verb::Check, Verb::Del];
const ENDS: &[Verb] = &[Verb::Add, Verb::Del];

fn case(name: &'static str, about: &'static str, shape: Shape, verbs: &'static [Verb]) -> Case {
    Case { name, about, shape, verbs, leases: 0, is_nearly_full: false, attached: 0 }
}

/// All cases, in order; those with many pods, which take minutes, only if wanted.
pub fn all(with_density: bool) -> Vec<Case> {
    let ipam = |name, about, leases| Case { leases, ..case(name, about, IPAM, ENDS) };
    let mut cases = vec![
        case("version", "what a call costs that does nothing", BRIDGE, &[Verb::Version]),
        case("bridge", "default gateway, host-local with an IPv4 /16", BRIDGE, LIFE),
        case("bridge-masq", "the same with ipMasq", MASQUERADE, LIFE),
        case("bridge-dual", "the same without ipMasq, with an IPv6 /64", DUAL_STACK, LIFE),
        case("ptp", "default route, host-local with an IPv4 /16", PTP, LIFE),
        case("ptp-masq", "the same with ipMasq", PTP_MASQUERADE, LIFE),
        case("ptp-dual", "the same without ipMasq, with an IPv6 /64", PTP_DUAL_STACK, LIFE),
        case("macvlan", "mode bridge, default route, host-local with an IPv4 /16", MACVLAN, LIFE),
        case(
            "chain",
            "bridge with ipMasq, portmap (2 ports), firewall, bandwidth both ways, tuning",
            CHAIN,
            LIFE,
        ),
        ipam("ipam", "host-local alone, IPv4 /16, no leases", 0),
        ipam("ipam-1k", "with 1,000 leases of others", 1_000),
        ipam("ipam-10k", "with 10,000 leases of others", 10_000),
        ipam("ipam-60k", "with 60,000 leases of others", 60_000),
        Case {
            is_nearly_full: true,
            ..case(
                "ipam-full-24",
                "IPv4 /24, every address but the last leased",
                Shape { prefix: 24, ..IPAM },
                ENDS,
            )
        },
    ];
    if with_density {
        let dense =
            |name, about, shape, attached| Case { attached, ..case(name, about, shape, ENDS) };
        cases.extend([
            dense("density-100", "bridge, with 100 pods attached", BRIDGE, 100),
            dense("density-500", "bridge, with 500 pods attached", BRIDGE, 500),
            dense("density-masq-100", "ipMasq, with 100 pods attached", MASQUERADE, 100),
            dense("density-masq-500", "ipMasq, with 500 pods attached", MASQUERADE, 500),
            dense("density-chain-500", "the chain, with 500 pods attached", CHAIN, 500),
        ]);
    }
    cases
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
