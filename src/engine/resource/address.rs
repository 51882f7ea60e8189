//! The container's addresses, on an interface that is then brought up.

use std::time::Duration;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::netlink::RouteSocket;
use crate::kernel::{addr, link};

/// How long duplicate address detection may take; the reference plugins' limit.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// Addresses of one interface of the container; none just brings it up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Addresses {
    /// The interface.
    pub link: String,
    /// The addresses with their prefix lengths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpNetwork>,
    /// Whether the sysctl `arp_notify` is left as it is. Otherwise it is set, for an announcement
    /// that follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quiet: bool,
}

impl Kind for Addresses {
    fn describe(&self) -> String {
        let list: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        if list.is_empty() {
            return format!("bring {} up in the container", self.link);
        }
        let how = if self.quiet { "" } else { ", with arp_notify" };
        format!("add {} to {} in the container and bring it up{how}", list.join(" and "), self.link)
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        node.host.flush()?;
        let index = node.pod_index(&self.link)?;
        let pod = node.pod()?;
        for address in &self.addresses {
            addr::queue_add(&mut pod.route, index, &self.link, *address)?;
        }
        if self.quiet || self.addresses.is_empty() {
            link::queue_up(&mut pod.route, &self.link)?;
        } else {
            link::queue_up_announcing(&mut pod.route, &self.link)?;
        }
        // Routes that follow go in the same batch: the link is up with it, which has the kernel's own work
        // on links begin, and a later request would wait for that.
        if !self.addresses.iter().any(IpNetwork::is_ipv6) {
            return Ok(Made::Now);
        }
        pod.route.flush()?;
        if addr::list(&mut pod.route, index)?.iter().any(|address| address.tentative) {
            let groups = libc::RTMGRP_IPV6_IFADDR as u32;
            let mut listener = node.within(Side::Pod, || RouteSocket::listen(groups))??;
            let route = &mut node.pod()?.route;
            let settled = addr::settle(route, &mut listener, index, &self.link, SETTLE_LIMIT);
            // Without a carrier nobody could be asked; the kernel does it when there is one.
            let has_carrier = link::find(route, &self.link)?.is_none_or(|link| link.running);
            match settled {
                Err(error) if !has_carrier => log::warn!("{error}; {} has no carrier", self.link),
                other => other?,
            }
        }
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let pod = node.pod()?;
        let Some(link) = link::find(&mut pod.route, &self.link)? else {
            return Ok(vec![format!("interface {} is not in the container", self.link)]);
        };
        let present = addr::list(&mut pod.route, link.index)?;
        let mut wrong = Vec::new();
        for wanted in &self.addresses {
            match present.iter().find(|address| address.network == *wanted) {
                None => wrong.push(format!("address {wanted} is not on {}", self.link)),
                Some(address) if address.duplicate => {
                    wrong.push(format!(
                        "address {wanted} of {} is in use by another host",
                        self.link
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(wrong)
    }

    fn remove(&self, _node: &mut Node<'_>) -> Result<(), Error> {
        // They go with the interface.
        Ok(())
    }
}
