//! What the container sends, and the answers to it, are let through by iptables, for hosts whose
//! FORWARD chain drops or operators who ask for it: the reference plugins' chains and rules.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::firewall::in_words;
use super::{Kind, Made};
use crate::engine::reference::forward::{self, Policy};
use crate::engine::{Error, Node};
use crate::kernel::{iptables, sysctl};

/// The container's addresses in iptables' filter table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IptablesFirewall {
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// The operator's chain.
    pub admin_chain: String,
    /// The policy of the container's bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<IptablesPolicy>,
}

/// The policy of a bridge, which is shared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IptablesPolicy {
    /// The bridge.
    pub bridge: String,
    /// Whether nothing passes from port to port either.
    pub isolated: bool,
}

/// Whether iptables sees what a bridge carries, by family.
const SEES_BRIDGES: [(bool, &str); 2] =
    [(true, "net/bridge/bridge-nf-call-iptables"), (false, "net/bridge/bridge-nf-call-ip6tables")];

impl IptablesFirewall {
    fn policy(&self) -> Option<Policy<'_>> {
        let policy = self.policy.as_ref()?;
        Some(Policy { bridge: &policy.bridge, isolated: policy.isolated })
    }

    fn warn_of_blindness(&self) {
        for (ipv4, setting) in SEES_BRIDGES {
            if self.addresses.iter().any(|address| address.is_ipv4() == ipv4)
                && !sysctl::read(setting).is_ok_and(|value| value == "1")
            {
                log::warn!(
                    "ingressPolicy \"isolated\" by iptables needs the module br_netfilter and sysctl \
                     {setting}=1; without them pods on one bridge reach each other"
                );
            }
        }
    }
}

impl Kind for IptablesFirewall {
    fn describe(&self) -> String {
        let mut text = format!(
            "let through what {} sends and the answers (iptables)",
            in_words(&self.addresses)
        );
        if let Some(policy) = &self.policy {
            let within = if policy.isolated { ", and between its ports" } else { "" };
            text.push_str(&format!(
                "; drop what is forwarded between {} and other bridges{within}",
                policy.bridge
            ));
        }
        text
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        forward::add(&self.addresses, &self.admin_chain, self.policy(), node)?;
        if self.policy.as_ref().is_some_and(|policy| policy.isolated) {
            self.warn_of_blindness();
        }
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        forward::missing(&self.addresses, Some(&self.admin_chain), self.policy(), node)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        // A program that an ADD has run which was killed since may still be at work.
        let _lock = iptables::lock()?;
        forward::remove(&self.addresses, node)
    }
}
