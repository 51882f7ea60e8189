//! The netkit pair between the host and the container; its head, which decides for both ends, is the
//! host's.

use std::os::fd::AsFd;

use serde::{Deserialize, Serialize};

use super::pair::Pair;
use super::{Kind, Made};
use crate::engine::{Error, Node};
use crate::kernel::link::netkit::{self, Manner, Mode, Policy};
use crate::kernel::link::{self, Link, VethEnd};
use crate::kernel::mac::Mac;
use crate::kernel::sysctl;

/// A netkit pair with its host end up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Netkit {
    /// The host end's name.
    pub host: String,
    /// The container end's name.
    pub pod: String,
    /// The container end's hardware address in colon form; empty in mode L3, which has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Bytes, of both ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Mode and policies.
    #[serde(flatten)]
    pub manner: Manner,
    /// Written on the host end as its alias.
    pub owner: String,
}

impl Netkit {
    fn pair(&self) -> Pair<'_> {
        Pair {
            kind: "netkit",
            host: &self.host,
            pod: &self.pod,
            mac: &self.mac,
            mtu: self.mtu,
            leave_down: false,
            owner: &self.owner,
        }
    }
}

impl Kind for Netkit {
    fn describe(&self) -> String {
        let mode = if self.manner.mode == Mode::L2 { "L2" } else { "L3" };
        let mut text = format!(
            "make netkit pair {} on the host, {} in the container ({mode}",
            self.host, self.pod
        );
        if !self.mac.is_empty() {
            text.push_str(&format!(", {}", self.mac));
        }
        if let Some(mtu) = self.mtu {
            text.push_str(&format!(", MTU {mtu}"));
        }
        for (policy, whose) in
            [(self.manner.policy, "host"), (self.manner.peer_policy, "container")]
        {
            if policy == Policy::Blackhole {
                text.push_str(&format!(", the {whose}'s end a blackhole without a BPF program"));
            }
        }
        text.push(')');
        text
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        let Some(pod) = node.pod.as_mut() else {
            node.pod()?;
            return Ok(Made::Before);
        };
        let near = VethEnd { name: &self.host, mac: None, namespace: None, up: true };
        let far = VethEnd {
            name: &self.pod,
            mac: Mac::parse(&self.mac),
            namespace: Some(pod.namespace.as_fd()),
            up: false,
        };
        netkit::add(&mut node.host, &near, &far, self.mtu, &self.manner)?;
        // In a batch of its own: with a name that is somebody else's, the first request fails and
        // this one must not reach their link.
        link::queue_owner(&mut node.host, &self.host, &self.owner)?;
        // Without IPv6 there is no such setting.
        let _ = sysctl::write(&format!("net/ipv6/conf/{}/accept_ra", self.host), "0");
        node.forget(&self.host);
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let mut wrong = Vec::new();
        let head = self.pair().check(node, &mut wrong)?;
        if let Some(Link { name, netkit: Some(found), .. }) = head {
            let wanted = &self.manner;
            for (key, is, should_be) in [
                ("mode", found.mode.as_str(), wanted.mode.as_str()),
                ("policy", found.policy.as_str(), wanted.policy.as_str()),
                ("peerPolicy", found.peer_policy.as_str(), wanted.peer_policy.as_str()),
            ] {
                if is != should_be {
                    wrong.push(format!("{name} on the host has {key} {is}, not {should_be}"));
                }
            }
        }
        Ok(wrong)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        self.pair().remove(node)
    }
}
