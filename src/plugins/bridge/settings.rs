//! The keys of a `bridge` configuration, all those of the reference plugin's release 1.9.1.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::kernel::mac::Mac;
use crate::plugins::pair::{self, Backend, MTU};
use crate::plugins::{Error, requested_mac};
use crate::protocol::config::section;
use crate::protocol::names;
use crate::protocol::request::Request;

/// The keys, as they are written.
pub const KEYS: &[&str] = &[
    "bridge",
    "isGateway",
    "isDefaultGateway",
    "forceAddress",
    "ipMasq",
    "ipMasqBackend",
    "mtu",
    "hairpinMode",
    "promiscMode",
    "vlan",
    "vlanTrunk",
    "preserveDefaultVlan",
    "macspoofchk",
    "addrspoofchk",
    "enabledad",
    "disableContainerInterface",
    "portIsolation",
];

/// The keys as they stand in the JSON.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Keys {
    /// The bridge's name, `cni0` without it. It is made if it is not there.
    bridge: Option<String>,
    /// The bridge gets the gateway's address, and the host forwards.
    is_gateway: bool,
    /// As `isGateway`, and the container gets a default route through the bridge.
    is_default_gateway: bool,
    /// An address of another subnet that the bridge has is replaced; without it that is an error.
    force_address: bool,
    /// What the container sends to outside its subnet leaves with the host's address.
    ip_masq: bool,
    /// Who masquerades; `nftables` without it.
    #[cfg_attr(test, schemars(extend("enum" = Backend::NAMES)))]
    ip_masq_backend: Option<String>,
    /// Bytes, of both ends of the pair, 68 to 65535; 0 leaves the kernel's choice. At least 1280
    /// with IPv6 addresses.
    #[cfg_attr(test, schemars(range(min = 0, max = *MTU.end())))]
    mtu: u32,
    /// The bridge sends frames back through the port that they came by, so that a container reaches
    /// itself through the host.
    hairpin_mode: bool,
    /// The bridge takes every frame. Not together with `hairpinMode`.
    promisc_mode: bool,
    /// The container's VLAN, 1 to 4094, without tags; 0 for none. The bridge then filters VLANs.
    #[cfg_attr(test, schemars(range(min = 0, max = 4094)))]
    vlan: i64,
    /// VLANs that the container's interface carries with tags.
    vlan_trunk: Option<Vec<Trunk>>,
    /// With `vlan` or `vlanTrunk`: the port keeps the bridge's default VLAN, too.
    preserve_default_vlan: bool,
    /// Frames from the container with another source address than its own are dropped.
    macspoofchk: bool,
    /// Our own: packets from the container with another IP source address than its own are dropped,
    /// and so is what tells neighbours of such an address. Not without `ipam`, nor with `vlanTrunk` or
    /// `slaac`.
    addrspoofchk: bool,
    /// The container tries IPv6 addresses out on the network (duplicate address detection), and ADD
    /// waits for it.
    enabledad: bool,
    /// The container's interface stays down. Not together with `ipam`.
    disable_container_interface: bool,
    /// The container reaches the bridge itself and ports that are not isolated, but no other
    /// isolated port.
    port_isolation: bool,
}

/// VLANs of a trunk: a single one, or a span.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Trunk {
    /// The first VLAN of a span.
    #[serde(rename = "minID")]
    #[cfg_attr(test, schemars(range(min = 1, max = 4094)))]
    min: Option<i64>,
    /// The last VLAN of a span.
    #[serde(rename = "maxID")]
    #[cfg_attr(test, schemars(range(min = 1, max = 4094)))]
    max: Option<i64>,
    /// A single VLAN.
    #[cfg_attr(test, schemars(range(min = 1, max = 4094)))]
    id: Option<i64>,
}

/// A checked configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The bridge's name.
    pub bridge: String,
    /// The bridge gets the gateway's address.
    pub gateway: bool,
    /// The container gets a default route through it.
    pub default_gateway: bool,
    /// Another address on the bridge is replaced.
    pub force_address: bool,
    /// Masquerade what leaves the subnet.
    pub ip_masq: bool,
    /// How.
    pub ip_masq_backend: Backend,
    /// Bytes; the kernel's default without.
    pub mtu: Option<u32>,
    /// Hairpin mode of the port.
    pub hairpin: bool,
    /// Promiscuous mode of the bridge.
    pub promiscuous: bool,
    /// The container's VLAN.
    pub vlan: Option<u16>,
    /// VLANs carried with tags.
    pub trunk: Vec<u16>,
    /// The port keeps the bridge's default VLAN.
    pub preserve_default_vlan: bool,
    /// Drop frames with another source address.
    pub macspoofchk: bool,
    /// Drop packets with another source address.
    pub addrspoofchk: bool,
    /// IPv6 duplicate address detection in the container.
    pub enable_dad: bool,
    /// The container's interface stays down.
    pub disable_container_interface: bool,
    /// The port reaches only the bridge itself.
    pub port_isolation: bool,
    /// The hardware address asked for, by capability, `args.cni` or CNI_ARGS.
    pub mac: Option<Mac>,
}

impl Settings {
    /// Reads and checks the configuration of a request.
    ///
    /// # Errors
    /// [`Error::Config`] or a decoding error that names the key.
    pub fn read(request: &Request) -> Result<Self, Error> {
        let keys: Keys = section(&request.config.value, KEYS)?;
        let layer3 = request.config.ipam.is_some();
        let bridge = keys.bridge.filter(|name| !name.is_empty()).unwrap_or_else(|| "cni0".into());
        names::interface_name(&bridge)
            .map_err(|error| Error::config("bridge", error.to_string()))?;
        if keys.hairpin_mode && keys.promisc_mode {
            return Err(Error::config(
                "hairpinMode",
                "cannot be set together with promiscMode; a promiscuous bridge needs no hairpin: keep one",
            ));
        }
        if keys.disable_container_interface && layer3 {
            return Err(Error::config(
                "disableContainerInterface",
                "an interface that stays down can have no addresses: take ipam out, or this key",
            ));
        }
        let mtu = (keys.mtu != 0).then_some(keys.mtu);
        if mtu.is_some_and(|mtu| !MTU.contains(&mtu)) {
            return Err(Error::config(
                "mtu",
                format!("{} is not between 68 and 65535 bytes", keys.mtu),
            ));
        }
        let vlan = match u16::try_from(keys.vlan) {
            Ok(0) => None,
            Ok(vid) if vid <= 4094 => Some(vid),
            _ => {
                return Err(Error::config(
                    "vlan",
                    format!("{} is not a VLAN ID: give 1 to 4094, or 0 for none", keys.vlan),
                ));
            }
        };
        if keys.addrspoofchk {
            pair::require_known_addresses(request)?;
            if keys.vlan_trunk.as_ref().is_some_and(|trunk| !trunk.is_empty()) {
                return Err(Error::config(
                    "addrspoofchk",
                    "cannot be set together with vlanTrunk, on whose VLANs the container has addresses \
                     that nobody has told: keep one",
                ));
            }
        }
        let ip_masq_backend = Backend::read(keys.ip_masq_backend.as_deref())?;
        Ok(Self {
            bridge,
            gateway: keys.is_gateway || keys.is_default_gateway,
            default_gateway: keys.is_default_gateway,
            force_address: keys.force_address,
            ip_masq: keys.ip_masq && layer3,
            ip_masq_backend,
            mtu,
            hairpin: keys.hairpin_mode,
            promiscuous: keys.promisc_mode,
            vlan,
            trunk: trunk(keys.vlan_trunk.as_deref().unwrap_or_default())?,
            preserve_default_vlan: keys.preserve_default_vlan,
            macspoofchk: keys.macspoofchk,
            addrspoofchk: keys.addrspoofchk,
            enable_dad: keys.enabledad,
            disable_container_interface: keys.disable_container_interface,
            port_isolation: keys.port_isolation,
            mac: requested_mac(request)?,
        })
    }

    /// Whether the bridge must filter VLANs.
    pub fn filters_vlans(&self) -> bool {
        self.vlan.is_some() || !self.trunk.is_empty()
    }
}

fn trunk(items: &[Trunk]) -> Result<Vec<u16>, Error> {
    let mut vlans = BTreeSet::new();
    for (position, item) in items.iter().enumerate() {
        let id = |key: &str, value: i64| {
            u16::try_from(value).ok().filter(|vid| (1..=4094).contains(vid)).ok_or_else(|| {
                Error::config(
                    format!("vlanTrunk[{position}].{key}"),
                    format!("{value} is not a VLAN ID: give 1 to 4094"),
                )
            })
        };
        let absent = |key: &str, other: &str| {
            Error::config(
                format!("vlanTrunk[{position}].{key}"),
                format!("is missing; {other} needs it, for a single VLAN use id"),
            )
        };
        match (item.min, item.max) {
            (Some(min), Some(max)) => {
                let (first, last) = (id("minID", min)?, id("maxID", max)?);
                if last < first {
                    return Err(Error::config(
                        format!("vlanTrunk[{position}].minID"),
                        format!("{min} is greater than maxID {max}"),
                    ));
                }
                vlans.extend(first..=last);
            }
            (None, Some(_)) => return Err(absent("minID", "maxID")),
            (Some(_), None) => return Err(absent("maxID", "minID")),
            (None, None) => {}
        }
        if let Some(single) = item.id {
            vlans.insert(id("id", single)?);
        }
    }
    Ok(vlans.into_iter().collect())
}

fn requested_mac(request: &Request) -> Result<Option<Mac>, Error> {
    requested_mac::first([
        ("runtimeConfig.mac", request.config.runtime.mac.as_deref()),
        ("args.cni.mac", request.config.cni_args.mac.as_deref()),
        ("MAC in CNI_ARGS", request.args.mac.as_deref()),
    ])
}
