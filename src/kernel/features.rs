//! What of the kernel an attachment may need, and whether it is here.
//!
//! The kernel is asked, since its version says little: in a namespace that is gone afterwards. What
//! would have to be loaded as a module is not asked for, or asking would load it.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use ipnetwork::IpNetwork;
use netlink_packet_core::DefaultNla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoBridge, InfoData, InfoKind};
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcHeader, TcMessage};
use nix::errno::Errno;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use super::error::Error;
use super::netlink::{RouteSocket, flags};
use super::netns::Namespace;
use super::port::{Mapping, Transport};
use super::portmap::{self, Masquerading, Target};
use super::{masquerade, nft, tc};

/// The index of the loopback device, the same in every namespace.
const LOOPBACK: i32 = 1;
/// The attribute with a discipline's name (linux/rtnetlink.h).
const TCA_KIND: u16 = 1;

/// What the kernel may have or lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Feature {
    Veth,
    Netkit,
    Bridge,
    VlanFiltering,
    Macvlan,
    Ipvlan,
    Vlan,
    Dummy,
    Vrf,
    Tun,
    Ifb,
    Tbf,
    Htb,
    Ingress,
    Redirection,
    NfTables,
    Nat,
}

/// Whether it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The kernel has it.
    Here,
    /// It is a module that the kernel loads when it is first used.
    Loadable,
    /// The kernel has it not.
    Lacking,
    /// It could not be found out.
    Unknown(String),
}

impl Feature {
    /// Every one.
    pub const ALL: [Self; 17] = [
        Self::Veth,
        Self::Netkit,
        Self::Bridge,
        Self::VlanFiltering,
        Self::Macvlan,
        Self::Ipvlan,
        Self::Vlan,
        Self::Dummy,
        Self::Vrf,
        Self::Tun,
        Self::Ifb,
        Self::Tbf,
        Self::Htb,
        Self::Ingress,
        Self::Redirection,
        Self::NfTables,
        Self::Nat,
    ];

    /// Its name, as the kernel's tools have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Veth => "veth",
            Self::Netkit => "netkit",
            Self::Bridge => "bridge",
            Self::VlanFiltering => "VLAN filtering of bridges",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
            Self::Vlan => "vlan",
            Self::Dummy => "dummy",
            Self::Vrf => "vrf",
            Self::Tun => "tun",
            Self::Ifb => "ifb",
            Self::Tbf => "tbf",
            Self::Htb => "htb",
            Self::Ingress => "ingress",
            Self::Redirection => "u32 and mirred",
            Self::NfTables => "nf_tables",
            Self::Nat => "NAT of nf_tables",
        }
    }

    /// The option of the kernel's configuration that brings it.
    pub const fn option(self) -> &'static str {
        match self {
            Self::Veth => "CONFIG_VETH",
            Self::Netkit => "CONFIG_NETKIT, Linux 6.7",
            Self::Bridge => "CONFIG_BRIDGE",
            Self::VlanFiltering => "CONFIG_BRIDGE_VLAN_FILTERING",
            Self::Macvlan => "CONFIG_MACVLAN",
            Self::Ipvlan => "CONFIG_IPVLAN",
            Self::Vlan => "CONFIG_VLAN_8021Q",
            Self::Dummy => "CONFIG_DUMMY",
            Self::Vrf => "CONFIG_NET_VRF",
            Self::Tun => "CONFIG_TUN",
            Self::Ifb => "CONFIG_IFB",
            Self::Tbf => "CONFIG_NET_SCH_TBF",
            Self::Htb => "CONFIG_NET_SCH_HTB",
            Self::Ingress => "CONFIG_NET_SCH_INGRESS",
            Self::Redirection => "CONFIG_NET_CLS_U32, CONFIG_NET_ACT_MIRRED",
            Self::NfTables => "CONFIG_NF_TABLES",
            Self::Nat => "CONFIG_NFT_NAT, CONFIG_NFT_MASQ",
        }
    }

    /// Its modules, where it can be built as such.
    pub const fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Netkit => &[],
            Self::Veth => &["veth"],
            Self::Bridge | Self::VlanFiltering => &["bridge"],
            Self::Macvlan => &["macvlan"],
            Self::Ipvlan => &["ipvlan"],
            Self::Vlan => &["8021q"],
            Self::Dummy => &["dummy"],
            Self::Vrf => &["vrf"],
            Self::Tun => &["tun"],
            Self::Ifb => &["ifb"],
            Self::Tbf => &["sch_tbf"],
            Self::Htb => &["sch_htb"],
            Self::Ingress => &["sch_ingress"],
            Self::Redirection => &["cls_u32", "act_mirred"],
            Self::NfTables => &["nf_tables"],
            Self::Nat => &["nft_chain_nat", "nft_nat", "nft_masq"],
        }
    }

    /// The kind of link that it is.
    fn link(self) -> Option<InfoKind> {
        Some(match self {
            Self::Veth => InfoKind::Veth,
            Self::Netkit => InfoKind::Netkit,
            Self::Bridge => InfoKind::Bridge,
            Self::Macvlan => InfoKind::MacVlan,
            Self::Ipvlan => InfoKind::IpVlan,
            Self::Vlan => InfoKind::Vlan,
            Self::Dummy => InfoKind::Dummy,
            Self::Vrf => InfoKind::Vrf,
            Self::Ifb => InfoKind::Ifb,
            _ => return None,
        })
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Finds out about features, with the right to make namespaces.
pub fn look_for(features: &[Feature]) -> Vec<(Feature, State)> {
    let folder = modules();
    let scratch = Namespace::unnamed();
    let state = |feature: Feature| {
        if feature.modules().iter().any(|module| is_loadable(&folder, module)) {
            return State::Loadable;
        }
        match &scratch {
            Ok(scratch) => scratch
                .enter(|| probe(feature))
                .unwrap_or_else(|error| State::Unknown(error.to_string())),
            Err(error) => State::Unknown(error.to_string()),
        }
    };
    features.iter().map(|feature| (*feature, state(*feature))).collect()
}

/// Where the modules of the running kernel are.
fn modules() -> String {
    let release = nix::sys::utsname::uname().ok();
    let release = release.map(|uts| uts.release().to_string_lossy().into_owned());
    format!("/lib/modules/{}", release.unwrap_or_default())
}

/// Whether a module is on disk, but not loaded.
fn is_loadable(folder: &str, module: &str) -> bool {
    if Path::new("/sys/module").join(module).exists() {
        return false;
    }
    let Ok(known) = fs::read_to_string(format!("{folder}/modules.dep")) else { return false };
    known.lines().any(|line| {
        let path = line.split(':').next().unwrap_or_default();
        let file = path.rsplit('/').next().unwrap_or_default();
        file.split('.').next().is_some_and(|name| name.replace('-', "_") == module)
    })
}

/// Asks the kernel, in a namespace where nothing is lost.
fn probe(feature: Feature) -> State {
    let asked = match feature {
        Feature::NfTables => {
            return answer(nft::Socket::open().and_then(|mut one| one.tables(nft::Family::Inet)));
        }
        Feature::Nat => return answer(nat()),
        Feature::Tun => {
            // A misc device: where the driver is, its entry is.
            let here = Path::new("/sys/class/misc/tun").exists();
            return if here { State::Here } else { State::Lacking };
        }
        Feature::Tbf | Feature::Htb | Feature::Ingress => discipline(feature),
        // Without the discipline there is nothing to give a filter to, which is told of that one.
        Feature::Redirection => discipline(Feature::Ingress).and_then(|()| redirection()),
        Feature::VlanFiltering => {
            let filtering = InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]);
            link(feature, InfoKind::Bridge, Some(filtering))
        }
        other => match other.link() {
            Some(kind) => link(feature, kind, None),
            None => return State::Unknown("nobody knows how to ask for it".to_owned()),
        },
    };
    match asked {
        Ok(()) => State::Here,
        Err(error) if error.is(Errno::EOPNOTSUPP) || error.is(Errno::ENOENT) => State::Lacking,
        // What is wrong with the request the kernel says only of kinds that it knows.
        Err(Error::Refused { errno, .. }) if errno != Errno::EPERM => State::Here,
        Err(error) => State::Unknown(error.to_string()),
    }
}

fn link(feature: Feature, kind: InfoKind, data: Option<InfoData>) -> Result<(), Error> {
    let doing = format!("make a link of kind {kind:?}");
    let mut message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind)
        .name(format!("probe{}", feature as u8));
    if let Some(data) = data {
        message = message.set_info_data(data);
    }
    let request = RouteNetlinkMessage::NewLink(message.build());
    RouteSocket::open()?.order(request, flags::CREATE | flags::EXCL, doing)
}

fn discipline(feature: Feature) -> Result<(), Error> {
    let incoming = feature == Feature::Ingress;
    let header = TcHeader {
        index: LOOPBACK,
        handle: if incoming { super::tc::INCOMING } else { super::tc::LIMITING },
        parent: if incoming { TcHandle::INGRESS } else { TcHandle::ROOT },
        ..TcHeader::default()
    };
    let mut kind = feature.name().as_bytes().to_vec();
    kind.push(0);
    let kind = TcAttribute::Other(DefaultNla::new(TCA_KIND, kind));
    let message = TcMessage::from_parts(header, vec![kind]);
    let request = RouteNetlinkMessage::NewQueueDiscipline(message);
    let doing = format!("give lo the discipline {feature}");
    RouteSocket::open()?.order(request, flags::CREATE | flags::EXCL, doing)
}

fn redirection() -> Result<(), Error> {
    let mut socket = RouteSocket::open()?;
    tc::queue_redirect(&mut socket, LOOPBACK.unsigned_abs(), "lo", LOOPBACK.unsigned_abs())?;
    socket.flush()
}

/// Makes rules that masquerade and that map a port.
fn nat() -> Result<(), nft::Error> {
    let pod = IpNetwork::from(IpAddr::from(Ipv4Addr::LOCALHOST));
    let mapping =
        Mapping { protocol: Transport::Tcp, host_ip: None, host_port: 1, container_port: 1 };
    let target = Target {
        pod,
        mappings: vec![mapping],
        masquerading: Masquerading::None,
        conditions: Vec::new(),
    };
    let mut change = nft::Change::new();
    masquerade::add(&mut change, &[pod], "probe");
    portmap::add(&mut change, &target, "probe");
    nft::Socket::open()?.commit(&change).map(drop)
}

fn answer<T>(asked: Result<T, nft::Error>) -> State {
    match asked {
        Ok(_) => State::Here,
        Err(nft::Error::Unsupported { .. }) => State::Lacking,
        Err(error) => State::Unknown(error.to_string()),
    }
}
