//! Where a packet would go, and what would stop it: from a container to another one, to an address, or
//! from outside to a mapped port. Nothing is sent; the state of links, routes, rules and settings on
//! the way is read, one after the other, as the packet would meet them.

mod arriving;
mod end;
mod host;
mod mapped;
mod neighbours;
mod sending;
mod trail;

use std::net::IpAddr;

use serde::Serialize;

use crate::engine::Error;
use crate::inventory::{Attachment, Inventory};
use crate::kernel::port::Transport;

use trail::{Halt, Trail};
pub use trail::{Hop, State};

/// Where the packet is to go, or come from.
#[derive(Debug, Clone)]
pub enum Target<'i> {
    /// To another attachment.
    Attachment(&'i Attachment),
    /// To an address.
    Address(IpAddr),
    /// From outside to a port of the host that leads to the container.
    HostPort(u16),
}

/// A question.
#[derive(Debug, Clone)]
pub struct Question<'i> {
    /// Whose packet it is, or whose port.
    pub from: &'i Attachment,
    /// Where it goes.
    pub to: Target<'i>,
    /// The protocol.
    pub transport: Transport,
    /// The port it goes to.
    pub port: Option<u16>,
    /// Of IPv6, where both would do.
    pub v6: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The question, in words.
    pub question: String,
    /// [`State::Passed`] when nothing stops it.
    pub verdict: State,
    /// Every place on the way, up to what stops it.
    pub hops: Vec<Hop>,
}

/// What all of the following works with.
struct Case<'i> {
    inventory: &'i Inventory,
    question: Question<'i>,
    trail: Trail,
}

/// Follows a packet.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn follow(inventory: &Inventory, question: Question<'_>) -> Result<Report, Error> {
    let text = question.in_words();
    let mut case = Case { inventory, question, trail: Trail::default() };
    let done = match case.question.to.clone() {
        Target::HostPort(port) => mapped::from_outside(&mut case, port),
        Target::Address(address) => sending::send(&mut case, address, None),
        Target::Attachment(other) => {
            let v6 = case.question.v6;
            let both = |v6: bool| {
                let address = other.addresses.iter().find(|one| one.is_ipv6() == v6)?;
                let has = case.question.from.addresses.iter().any(|one| one.is_ipv6() == v6);
                has.then_some(address.ip())
            };
            match both(v6).or_else(|| both(!v6)) {
                Some(address) => sending::send(&mut case, address, Some(other)),
                None => Err(case.trail.stop(
                    "inventory",
                    "the two have no addresses of the same family",
                    "give both networks ranges of one family",
                )),
            }
        }
    };
    match done {
        Ok(()) | Err(Halt::Stopped) => {}
        Err(Halt::Failed(error)) => return Err(error),
    }
    Ok(Report { question: text, verdict: case.trail.verdict(), hops: case.trail.hops })
}

/// How people are told of an attachment.
fn name(attachment: &Attachment) -> String {
    let id: String = attachment.owner.container_id.chars().take(16).collect();
    attachment.pod.clone().unwrap_or(id)
}

impl Question<'_> {
    fn in_words(&self) -> String {
        let from = name(self.from);
        let transport = self.transport.name();
        let port = self.port.map(|port| format!(", {transport} port {port}")).unwrap_or_default();
        match &self.to {
            Target::Attachment(other) => format!("can {from} reach {}{port}?", name(other)),
            Target::Address(address) => format!("can {from} reach {address}{port}?"),
            Target::HostPort(port) => {
                format!("can somebody outside reach {from} by {transport} port {port} of the host?")
            }
        }
    }
}
