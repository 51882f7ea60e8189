//! The keys of a `ptp` or `netkit` configuration: all those of the reference plugin ptp's release
//! 1.9.1, and our own for netkit.

use serde::Deserialize;

use crate::kernel::link::netkit::{Manner, Mode, Policy};
use crate::plugins::Error;
use crate::plugins::pair::{self, Backend, MTU};
use crate::protocol::config::{filled, section};
use crate::protocol::request::{Request, Verb};

/// The keys as they stand in the JSON.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Keys {
    /// What the container sends to outside its subnet leaves with the host's address.
    ip_masq: bool,
    /// Who masquerades; `nftables` without it.
    #[cfg_attr(test, schemars(extend("enum" = Backend::NAMES)))]
    ip_masq_backend: Option<String>,
    /// Our own: packets from the container with another IP source address than its own are dropped.
    addrspoofchk: bool,
    /// Bytes, of both ends, 68 to 65535; 0 leaves the kernel's choice. At least 1280 with IPv6
    /// addresses.
    #[cfg_attr(test, schemars(range(min = 0, max = *MTU.end())))]
    mtu: u32,
    /// Our own: what the pair is made of. For `ptp` `veth` is the default, for `netkit` there is no
    /// other.
    #[serde(deserialize_with = "filled")]
    #[cfg_attr(test, schemars(extend("enum" = ["veth", "netkit"])))]
    link_type: Option<String>,
}

/// The keys that count for netkit alone. To the reference plugin's configurations they mean nothing,
/// so that they are not even read for a veth pair.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct NetkitKeys {
    /// `l3` (the default): IP packets alone, no hardware addresses, no ARP. `l2`: whole Ethernet
    /// frames.
    #[serde(deserialize_with = "filled")]
    #[cfg_attr(test, schemars(extend("enum" = ["l2", "l3"])))]
    mode: Option<String>,
    /// What becomes of packets to the container that no BPF program decides about; `forward`
    /// without it.
    #[serde(deserialize_with = "filled")]
    #[cfg_attr(test, schemars(extend("enum" = ["forward", "blackhole"])))]
    policy: Option<String>,
    /// The same for packets from the container.
    #[serde(deserialize_with = "filled")]
    #[cfg_attr(test, schemars(extend("enum" = ["forward", "blackhole"])))]
    peer_policy: Option<String>,
    /// A key of bridge, which must not pass unseen where it looks as if it guarded something.
    #[cfg_attr(test, schemars(skip))]
    macspoofchk: bool,
}

/// What the pair is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkType {
    /// veth.
    #[default]
    Veth,
    /// netkit.
    Netkit(Manner),
}

/// A checked configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Masquerade what leaves the subnet.
    pub ip_masq: bool,
    /// How.
    pub ip_masq_backend: Backend,
    /// Drop packets with another source address.
    pub addrspoofchk: bool,
    /// Bytes; the kernel's default without.
    pub mtu: Option<u32>,
    /// What the pair is made of.
    pub link_type: LinkType,
}

impl Settings {
    /// Reads and checks the configuration of a request, for type `own_type`, "ptp" or "netkit".
    ///
    /// # Errors
    /// [`Error::Config`] or a decoding error that names the key.
    pub fn read(request: &Request, own_type: &str) -> Result<Self, Error> {
        let keys: Keys = section(&request.config.value, &[])?;
        let is_removed = matches!(request.verb, Verb::Del | Verb::Gc);
        if request.config.ipam.is_none() && !is_removed {
            return Err(Error::config(
                "ipam",
                format!(
                    "is missing, or has no type; {own_type} makes routes to the container's \
                     addresses, so it needs a source of them"
                ),
            ));
        }
        let mtu = (keys.mtu != 0).then_some(keys.mtu);
        if mtu.is_some_and(|mtu| !MTU.contains(&mtu)) {
            return Err(Error::config(
                "mtu",
                format!("{} is not between 68 and 65535 bytes", keys.mtu),
            ));
        }
        if keys.addrspoofchk && !is_removed {
            pair::require_known_addresses(request)?;
        }
        let link_type = match (keys.link_type.as_deref(), own_type) {
            (None, "netkit") | (Some("netkit"), _) => LinkType::Netkit(manner(request)?),
            (None | Some("veth"), "ptp") => LinkType::Veth,
            (Some(other), own_type) => {
                let choice =
                    if own_type == "ptp" { "\"veth\" or \"netkit\"" } else { "\"netkit\"" };
                return Err(Error::config(
                    "linkType",
                    format!("\"{other}\" is nothing that {own_type} makes: give {choice}"),
                ));
            }
            (None, _) => LinkType::Veth,
        };
        Ok(Self {
            ip_masq: keys.ip_masq,
            ip_masq_backend: Backend::read(keys.ip_masq_backend.as_deref())?,
            addrspoofchk: keys.addrspoofchk,
            mtu,
            link_type,
        })
    }
}

fn manner(request: &Request) -> Result<Manner, Error> {
    let keys: NetkitKeys = section(&request.config.value, &[])?;
    if keys.macspoofchk && !matches!(request.verb, Verb::Del | Verb::Gc) {
        let problem = "guards ports of a bridge, and netkit has none: give addrspoofchk, which guards the addresses \
                       that packets come from";
        return Err(Error::config("macspoofchk", problem.to_owned()));
    }
    let mode = match keys.mode.as_deref() {
        None => Mode::default(),
        Some("l2") => Mode::L2,
        Some("l3") => Mode::L3,
        Some(other) => {
            let problem = format!("\"{other}\" is unknown: give \"l2\" or \"l3\"");
            return Err(Error::config("mode", problem));
        }
    };
    Ok(Manner {
        mode,
        policy: policy("policy", keys.policy.as_deref())?,
        peer_policy: policy("peerPolicy", keys.peer_policy.as_deref())?,
    })
}

fn policy(field: &str, name: Option<&str>) -> Result<Policy, Error> {
    match name {
        None | Some("forward") => Ok(Policy::Forward),
        Some("blackhole") => Ok(Policy::Blackhole),
        Some(other) => Err(Error::config(
            field,
            format!("\"{other}\" is unknown: give \"forward\" or \"blackhole\""),
        )),
    }
}
