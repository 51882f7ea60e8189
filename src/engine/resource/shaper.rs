//! A limit to what is sent to the container, or to what it sends.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::{Kind, Made};
use crate::engine::host_end::HostEnd;
use crate::engine::node::Side;
use crate::engine::{Error, Node};
use crate::kernel::link::{self, Link};
use crate::kernel::tc::found::{self, Filter, Limits};
use crate::kernel::tc::shape::Shape;
use crate::kernel::tc::subnets::{Match, Subnets};
use crate::kernel::tc::{self, INCOMING, LIMITING, REDIRECTING, SHAPED, UNSHAPED};

/// The length of an Ethernet header, in bytes; an MTU does not count it.
const ETHERNET_HEADER: u32 = 14;

/// What is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Bits per second.
    pub rate: u64,
    /// Bits that may go at once after a time of silence.
    pub burst: u64,
}

impl Limit {
    /// The same in bytes, as the kernel has it.
    pub fn shape(self) -> Shape {
        Shape { rate: self.rate / 8, burst: u32::try_from(self.burst / 8).unwrap_or(u32::MAX) }
    }
}

/// A limit to what the host's end of the container's interface sends or, through an ifb device, to
/// what it receives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shaper {
    /// The host's end.
    #[serde(flatten)]
    pub end: HostEnd,
    /// The limit.
    #[serde(flatten)]
    pub limit: Limit,
    /// To what it applies.
    #[serde(default, skip_serializing_if = "Subnets::is_empty")]
    pub subnets: Subnets,
    /// The ifb device, for what the container sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ifb: Option<String>,
    /// Written on the ifb device as its alias.
    pub owner: String,
}

impl Shaper {
    fn side(&self) -> Match {
        if self.ifb.is_some() { Match::Destination } else { Match::Source }
    }

    /// The key that asks for it.
    fn key(&self) -> &'static str {
        if self.ifb.is_some() { "egressRate" } else { "ingressRate" }
    }

    fn queue_limit(&self, node: &mut Node<'_>, link: &Link) -> Result<(), Error> {
        let subnets = Some((&self.subnets, self.side()));
        let has_queue = link.tx_queue_len > 0;
        let shape = self.limit.shape();
        Ok(tc::queue_limit(&mut node.host, link.index, &link.name, shape, subnets, has_queue)?)
    }

    fn redirect(&self, node: &mut Node<'_>, host: &Link, ifb: &str) -> Result<(), Error> {
        let ifb = node.link(Side::Host, ifb)?;
        tc::queue_incoming(&mut node.host, host.index, &host.name)?;
        node.host.flush().map_err(|error| occupied(error, host, "ingress", self.key()))?;
        self.queue_limit(node, &ifb)?;
        tc::queue_redirect(&mut node.host, host.index, &host.name, ifb.index)?;
        link::queue_alias(&mut node.host, ifb.index, &ifb.name, &self.owner)?;
        Ok(node.host.flush().map_err(|error| tc::missing(error, tc::REDIRECTION, self.key()))?)
    }

    fn check_redirect(
        &self,
        node: &mut Node<'_>,
        host: &Link,
        ifb: &str,
        wrong: &mut Vec<String>,
    ) -> Result<(), Error> {
        let name = &host.name;
        let incoming = found::incoming(&mut node.host, host.index)?;
        if incoming.is_none_or(|one| one.kind != "ingress" || one.handle != INCOMING) {
            wrong.push(format!(
                "{name} has no queueing discipline ingress, so what the container sends is not limited"
            ));
            return Ok(());
        }
        let to = node.host_link(ifb)?.map(|link| link.index);
        let filters = found::redirecting(&mut node.host, host.index)?;
        let is_redirect = |filter: &Filter| {
            let first = filter.redirects.first().copied();
            filter.priority == REDIRECTING && first.is_some() && first == to
        };
        if to.is_some() && !filters.iter().any(is_redirect) {
            wrong.push(format!("what {name} receives is not redirected to ifb device {ifb}"));
        }
        Ok(())
    }

    fn check_limit(
        &self,
        node: &mut Node<'_>,
        link: &Link,
        wrong: &mut Vec<String>,
    ) -> Result<(), Error> {
        let (name, kind) = (&link.name, self.subnets.kind());
        let root = found::root(&mut node.host, link.index)?;
        let Some(root) = root.filter(|root| root.kind == kind && root.handle == LIMITING) else {
            let direction = if self.ifb.is_some() { "from" } else { "to" };
            wrong.push(format!(
                "{name} has no queueing discipline {kind} at its root, so traffic {direction} the \
                 container is not limited"
            ));
            return Ok(());
        };
        match root.limits {
            Some(limits) => self.check_limits(&format!("{kind} of {name}"), limits, wrong),
            None => self.check_classes(node, link, root.default_class, wrong)?,
        }
        Ok(())
    }

    fn check_limits(&self, what: &str, is: Limits, wrong: &mut Vec<String>) {
        let shape = self.limit.shape();
        if is.rate != shape.rate {
            let (is, should) = (is.rate.saturating_mul(8), shape.rate.saturating_mul(8));
            wrong.push(format!("{what} lets {is} bit/s through, not {should}"));
        }
        let depths = [shape.depths(), shape.wrapped_depths()];
        let [should, _] = depths;
        if !depths.iter().any(|depths| depths.buffer == is.buffer) {
            wrong.push(format!(
                "{what} has a burst of {} ticks, not {}, which are {} bits",
                is.buffer, should.buffer, self.limit.burst
            ));
        }
        if let Some(limit) = is.limit
            && !depths.iter().any(|depths| depths.limit == limit)
        {
            wrong.push(format!("{what} has a queue of {limit} bytes, not {}", should.limit));
        }
    }

    fn check_classes(
        &self,
        node: &mut Node<'_>,
        link: &Link,
        default_class: Option<u32>,
        wrong: &mut Vec<String>,
    ) -> Result<(), Error> {
        let name = &link.name;
        let should = u32::from(self.subnets.default_class().minor);
        if default_class != Some(should) {
            let is = default_class.unwrap_or_default();
            wrong.push(format!("htb of {name} has default class 1:{is:x}, not 1:{should:x}"));
        }
        let classes = found::classes(&mut node.host, link.index)?;
        let class = |minor: u16| classes.iter().find(|(one, _)| *one == u32::from(minor));
        match class(SHAPED.minor) {
            Some((_, limits)) => {
                self.check_limits(&format!("class 1:30 of {name}"), *limits, wrong);
            }
            None => wrong.push(format!("{name} has no class 1:30 that limits")),
        }
        if class(UNSHAPED.minor).is_none() {
            wrong.push(format!("{name} has no class 1:1 for what is not limited"));
        }
        let filters = found::sorting(&mut node.host, link.index)?;
        for wanted in self.subnets.filters(self.side()) {
            let class = u32::from(wanted.class.major) << 16 | u32::from(wanted.class.minor);
            let is_it = |filter: &Filter| {
                filter.protocol == wanted.protocol
                    && filter.keys == wanted.keys
                    && filter.class == Some(class)
            };
            if !filters.iter().any(is_it) {
                wrong.push(format!("{name} has no filter for {}", wanted.network));
            }
        }
        Ok(())
    }
}

/// What it means that a discipline cannot be made.
fn occupied(error: crate::kernel::Error, host: &Link, kind: &str, key: &str) -> Error {
    if error.is(Errno::EEXIST) {
        let place = if kind == "ingress" { "ingress" } else { "root" };
        return Error::Conflict(already_there(&host.name, place));
    }
    tc::missing(error, kind, key).into()
}

/// That a link has a discipline already where ours would be.
pub fn already_there(link: &str, place: &str) -> String {
    format!(
        "{link} already has a queueing discipline at {place}: the attachment is limited already, or \
         somebody else limits it; detach it first (DEL), or remove that"
    )
}

impl Kind for Shaper {
    fn describe(&self) -> String {
        let direction = if self.ifb.is_some() { "from" } else { "to" };
        let Limit { rate, burst } = self.limit;
        let through = self.ifb.as_ref().map(|ifb| format!(", through {ifb}")).unwrap_or_default();
        let (which, networks) = match &self.subnets {
            Subnets::All => ("", [].as_slice()),
            Subnets::Only(networks) => (", only of ", networks.as_slice()),
            Subnets::AllBut(networks) => (", but not of ", networks.as_slice()),
        };
        let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
        format!(
            "limit traffic {direction} the container to {rate} bit/s with bursts of {burst} bits\
             {through}{which}{} ({})",
            networks.join(", "),
            self.subnets.kind()
        )
    }

    fn create(&self, node: &mut Node<'_>) -> Result<Made, Error> {
        let host = self.end.require(node)?;
        node.host.flush()?;
        let frame = host.mtu.saturating_add(ETHERNET_HEADER);
        if self.subnets.is_empty() && self.limit.shape().burst < frame {
            log::warn!(
                "a burst of {} bits is less than a frame of {frame} bytes: large packets are dropped",
                self.limit.burst
            );
        }
        match &self.ifb {
            Some(ifb) => self.redirect(node, &host, ifb)?,
            None => {
                self.queue_limit(node, &host)?;
                let kind = self.subnets.kind();
                node.host.flush().map_err(|error| occupied(error, &host, kind, self.key()))?;
            }
        }
        Ok(Made::Now)
    }

    fn verify(&self, node: &mut Node<'_>) -> Result<Vec<String>, Error> {
        let mut wrong = Vec::new();
        let Some(host) = self.end.find(node)? else {
            wrong.push(format!("the host end of {} is not on the host", self.end.pod));
            return Ok(wrong);
        };
        let limiting = match &self.ifb {
            None => Some(host),
            Some(ifb) => {
                self.check_redirect(node, &host, ifb, &mut wrong)?;
                node.host_link(ifb)?
            }
        };
        if let Some(limiting) = limiting {
            self.check_limit(node, &limiting, &mut wrong)?;
        }
        Ok(wrong)
    }

    fn remove(&self, node: &mut Node<'_>) -> Result<(), Error> {
        let Some(host) = self.end.find(node)? else { return Ok(()) };
        match &self.ifb {
            None => node.remove_limit(&host, self.subnets.kind()),
            Some(ifb) => {
                let ifb = node.host_link(ifb)?.map(|link| link.index);
                node.remove_redirect(&host, ifb);
            }
        }
        Ok(())
    }
}
