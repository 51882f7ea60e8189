//! The keys of a `portmap` configuration, all those of the reference plugin's release 1.9.1.

use std::collections::HashMap;
use std::net::IpAddr;

use serde::Deserialize;

use crate::kernel::port::{Mapping, Transport};
use crate::kernel::portmap::Masquerading;
use crate::kernel::portmap::conditions::{self, Condition};
use crate::plugins::Error;
use crate::protocol::config::{PortMapping, section};
use crate::protocol::request::Request;

/// The keys, as they are written.
const KEYS: &[&str] = &[
    "backend",
    "snat",
    "masqAll",
    "markMasqBit",
    "externalSetMarkChain",
    "conditionsV4",
    "conditionsV6",
];
/// The longest name of a chain (`XT_EXTENSION_MAXNAMELEN` less the NUL).
const LONGEST_CHAIN: usize = 28;
/// The bit of the packet mark by which the reference plugin tells what to masquerade.
const MARK_BIT: u8 = 13;

/// The keys as they stand in the JSON.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Keys {
    /// Who forwards; `nftables` without it, unless another key is for iptables alone.
    #[cfg_attr(test, schemars(extend("enum" = ["nftables", "iptables"])))]
    backend: Option<String>,
    /// Whether connections are masqueraded that the container would answer past the host; `true`
    /// without it.
    snat: Option<bool>,
    /// With `snat`: whether all connections are masqueraded; the container sees the host's address
    /// only.
    masq_all: bool,
    /// iptables: the bit of the packet mark that says what to masquerade; 13 without it.
    #[cfg_attr(test, schemars(range(min = 0, max = 31)))]
    mark_masq_bit: Option<i64>,
    /// iptables: the operator's own chain that sets the mark, such as `KUBE-MARK-MASQ`; it must be
    /// there. `CNI-HOSTPORT-SETMARK` without it.
    external_set_mark_chain: Option<String>,
    /// What else an IPv4 packet must be like, in the backend's language.
    conditions_v4: Option<Vec<String>>,
    /// What else an IPv6 packet must be like, in the backend's language.
    conditions_v6: Option<Vec<String>>,
}

/// Who forwards.
#[derive(Debug, Clone, PartialEq)]
pub enum Backend {
    /// Elements of nftables maps, over netlink.
    Nftables {
        /// What else an IPv4 packet must be like.
        conditions_v4: Vec<Condition>,
        /// What else an IPv6 packet must be like.
        conditions_v6: Vec<Condition>,
    },
    /// Chains of iptables as the reference plugin makes them, by running iptables-restore.
    Iptables {
        /// The bit of the mark that says what to masquerade.
        mark_bit: u8,
        /// The operator's own chain that sets the mark.
        set_mark_chain: Option<String>,
        /// What else an IPv4 packet must be like, in iptables' words.
        conditions_v4: Vec<String>,
        /// What else an IPv6 packet must be like, in iptables' words.
        conditions_v6: Vec<String>,
    },
}

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What the runtime asks for; without any the plugin does nothing.
    pub mappings: Vec<Mapping>,
    /// Which connections are masqueraded.
    pub masquerading: Masquerading,
    /// How.
    pub backend: Backend,
}

impl Settings {
    /// Reads and checks the configuration of a request.
    ///
    /// # Errors
    /// [`Error::Config`] or a decoding error that names the key.
    pub fn read(request: &Request) -> Result<Self, Error> {
        let keys: Keys = section(&request.config.value, KEYS)?;
        let masquerading = match (keys.snat.unwrap_or(true), keys.masq_all) {
            (false, _) => Masquerading::None,
            (true, true) => Masquerading::All,
            (true, false) => Masquerading::Near,
        };
        Ok(Self {
            mappings: mappings(&request.config.runtime.port_mappings)?,
            masquerading,
            backend: backend(keys)?,
        })
    }
}

fn backend(keys: Keys) -> Result<Backend, Error> {
    let mark_bit = match keys.mark_masq_bit {
        Some(_) if keys.external_set_mark_chain.is_some() => {
            return Err(Error::config(
                "markMasqBit",
                "cannot be set together with externalSetMarkChain, whose owner chooses the mark: keep one",
            ));
        }
        None => MARK_BIT,
        Some(bit) => u8::try_from(bit).ok().filter(|bit| *bit < 32).ok_or_else(|| {
            Error::config("markMasqBit", format!("{bit} is no bit of a mark: give 0 to 31"))
        })?,
    };
    if let Some(chain) = &keys.external_set_mark_chain {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if chain.is_empty()
            || chain.len() > LONGEST_CHAIN
            || chain.starts_with('-')
            || !chain.bytes().all(plain)
        {
            return Err(Error::config(
                "externalSetMarkChain",
                format!(
                    "{chain:?} is no name of a chain: give 1 to {LONGEST_CHAIN} letters, digits, '-', '_', '.' or ':'"
                ),
            ));
        }
    }
    let conditions = [
        ("conditionsV4", keys.conditions_v4.unwrap_or_default()),
        ("conditionsV6", keys.conditions_v6.unwrap_or_default()),
    ];
    let mut iptables_only: Vec<&str> = Vec::new();
    let mut nftables_only: Vec<&str> = Vec::new();
    if keys.external_set_mark_chain.is_some() {
        iptables_only.push("externalSetMarkChain");
    }
    for (key, words) in &conditions {
        match words.first() {
            Some(word) if word.starts_with(['-', '!']) => iptables_only.push(key),
            Some(word) if !word.is_empty() => nftables_only.push(key),
            _ => {}
        }
    }
    let refuse = |backend: &str, keys: &[&str], other: &str| {
        Err(Error::config(
            "backend",
            format!(
                "is \"{backend}\", but {} is for \"{other}\": change the one or the other",
                keys.join(" and ")
            ),
        ))
    };
    let iptables = match keys.backend.as_deref() {
        Some("nftables") if !iptables_only.is_empty() => {
            return refuse("nftables", &iptables_only, "iptables");
        }
        Some("iptables") if !nftables_only.is_empty() => {
            return refuse("iptables", &nftables_only, "nftables");
        }
        None if !iptables_only.is_empty() && !nftables_only.is_empty() => {
            return Err(Error::config(
                nftables_only.join(" and "),
                format!(
                    "is in nftables' language, but {} is for iptables: use one of the two",
                    iptables_only.join(" and ")
                ),
            ));
        }
        None => !iptables_only.is_empty(),
        Some("nftables") => false,
        Some("iptables") => true,
        Some(other) => {
            return Err(Error::config(
                "backend",
                format!("\"{other}\" is unknown: give \"nftables\" or \"iptables\""),
            ));
        }
    };
    let [(_, v4), (_, v6)] = &conditions;
    if iptables {
        for (key, words) in &conditions {
            if words.iter().any(|word| word.bytes().any(|byte| byte.is_ascii_control())) {
                return Err(Error::config(*key, "holds a line break or another control character"));
            }
        }
        return Ok(Backend::Iptables {
            mark_bit,
            set_mark_chain: keys.external_set_mark_chain,
            conditions_v4: v4.clone(),
            conditions_v6: v6.clone(),
        });
    }
    let parse = |key: &'static str, words: &[String], is_v6: bool| {
        conditions::parse(words, is_v6).map_err(|problem| Error::config(key, problem))
    };
    Ok(Backend::Nftables {
        conditions_v4: parse("conditionsV4", v4, false)?,
        conditions_v6: parse("conditionsV6", v6, true)?,
    })
}

fn mappings(asked: &[PortMapping]) -> Result<Vec<Mapping>, Error> {
    let mut mappings = Vec::with_capacity(asked.len());
    let mut places: HashMap<(Transport, u16, bool, Option<IpAddr>), usize> = HashMap::new();
    for (number, one) in asked.iter().enumerate() {
        let key = |name: &str| format!("runtimeConfig.portMappings[{number}].{name}");
        for (name, port) in [("hostPort", one.host_port), ("containerPort", one.container_port)] {
            if port == 0 {
                return Err(Error::config(
                    key(name),
                    "is missing or 0: give a port from 1 to 65535",
                ));
            }
        }
        let protocol = Transport::named(&one.protocol).ok_or_else(|| {
            let known = Transport::ALL.map(Transport::name).join(", ");
            let problem = format!("\"{}\" is no protocol with ports: give {known}", one.protocol);
            Error::config(key("protocol"), problem)
        })?;
        let mapping = Mapping {
            protocol,
            host_ip: one.host_ip,
            host_port: one.host_port,
            container_port: one.container_port,
        };
        for v6 in [false, true] {
            if mapping.host_ip.is_some_and(|host| host.is_ipv6() != v6) {
                continue;
            }
            let place = (protocol, mapping.host_port, v6, mapping.only_at());
            if let Some(first) = places.insert(place, number)
                && first != number
            {
                return Err(Error::config(
                    key("hostPort"),
                    format!(
                        "{}/{protocol} is mapped twice, also by portMappings[{first}]: keep one",
                        mapping.host_port
                    ),
                ));
            }
        }
        mappings.push(mapping);
    }
    Ok(mappings)
}
