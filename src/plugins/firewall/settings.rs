//! The keys of a `firewall` configuration, all those of the reference plugin's release 1.9.1.

use serde::Deserialize;

use crate::engine::reference::forward;
use crate::plugins::Error;
use crate::protocol::config::section;
use crate::protocol::request::Request;

/// The zone of firewalld in which everything is accepted.
const TRUSTED: &str = "trusted";
/// The longest name of a chain (`XT_EXTENSION_MAXNAMELEN` less the NUL).
const LONGEST_CHAIN: usize = 28;
/// Names that mean something else to iptables where a chain is expected, or that are ours.
const TAKEN: [&str; 11] = [
    "INPUT",
    "FORWARD",
    "OUTPUT",
    "ACCEPT",
    "DROP",
    "RETURN",
    "QUEUE",
    "REJECT",
    forward::PODS,
    forward::STAGE_1,
    forward::STAGE_2,
];

/// The keys as they stand in the JSON.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Keys {
    /// Who lets packets through; see below for what is chosen without it.
    #[cfg_attr(test, schemars(extend("enum" = Backend::ALL.map(|(name, _)| name))))]
    backend: String,
    /// The operator's chain, for backend iptables; `CNI-ADMIN` without it.
    iptables_admin_chain_name: String,
    /// The zone, for backend firewalld; `trusted` without it.
    firewalld_zone: String,
    /// From where pods can be reached. `open` (the default): from everywhere. `same-bridge`: not
    /// from other bridges under a policy. `isolated`: neither from those nor from other pods on the
    /// same bridge.
    #[cfg_attr(test, schemars(extend("enum" = Ingress::ALL.map(|(name, _)| name))))]
    ingress_policy: String,
}

/// Who lets packets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Elements of nftables sets, over netlink.
    Nftables,
    /// Chains of iptables as the reference plugin makes them, by running iptables-restore.
    Iptables,
    /// A zone of firewalld.
    Firewalld,
}

impl Backend {
    const ALL: [(&'static str, Self); 3] = [
        ("nftables", Self::Nftables),
        ("iptables", Self::Iptables),
        ("firewalld", Self::Firewalld),
    ];
}

/// From where pods can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ingress {
    /// From everywhere.
    #[default]
    Open,
    /// Not from other bridges under a policy.
    SameBridge,
    /// Neither from other bridges under a policy nor from other pods on the same bridge.
    Isolated,
}

impl Ingress {
    const ALL: [(&'static str, Self); 3] =
        [("open", Self::Open), ("same-bridge", Self::SameBridge), ("isolated", Self::Isolated)];
}

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The backend; without one it depends on what the host uses.
    pub backend: Option<Backend>,
    /// The operator's chain in iptables.
    pub admin_chain: String,
    /// The zone of firewalld.
    pub zone: String,
    /// The policy for the pod's bridge.
    pub ingress: Ingress,
}

impl Settings {
    /// Reads and checks the configuration of a request.
    ///
    /// # Errors
    /// [`Error::Config`] or a decoding error that names the key.
    pub fn read(request: &Request) -> Result<Self, Error> {
        let keys: Keys = section(&request.config.value, &[])?;
        let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
        let admin_chain = or(keys.iptables_admin_chain_name, forward::ADMIN);
        check_chain(&admin_chain)?;
        let zone = or(keys.firewalld_zone, TRUSTED);
        if zone.chars().any(|character| character.is_control() || character.is_whitespace()) {
            return Err(Error::config(
                "firewalldZone",
                format!("{zone:?} is no zone's name: it has white space or control characters"),
            ));
        }
        Ok(Self {
            backend: one_of("backend", &keys.backend, &Backend::ALL)?,
            admin_chain,
            zone,
            ingress: one_of("ingressPolicy", &keys.ingress_policy, &Ingress::ALL)?
                .unwrap_or_default(),
        })
    }
}

/// The value that a word stands for; `None` for no word.
fn one_of<T: Copy>(field: &str, word: &str, all: &[(&str, T)]) -> Result<Option<T>, Error> {
    if word.is_empty() {
        return Ok(None);
    }
    if let Some((_, value)) = all.iter().find(|(name, _)| *name == word) {
        return Ok(Some(*value));
    }
    let known: Vec<_> = all.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let (field, known) = (field.to_owned(), known.join(", "));
    Err(Error::config(field, format!("{word:?} is not known; write one of {known}")))
}

fn check_chain(name: &str) -> Result<(), Error> {
    let refuse = |problem: &str| {
        let field = "iptablesAdminChainName";
        Err(Error::config(field, format!("{name:?} cannot be a chain's name: {problem}")))
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if name.len() > LONGEST_CHAIN {
        return refuse("it may have 28 characters at most");
    }
    if name.starts_with('-') || !name.bytes().all(allowed) {
        return refuse("use letters, digits, '_', '.' and '-', and not '-' first");
    }
    if TAKEN.contains(&name) {
        return refuse("that name has another meaning");
    }
    Ok(())
}
