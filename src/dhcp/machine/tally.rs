//! What was sent and heard, for the message of a search that came to nothing.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::dhcp::message::{Kind, Message, option};
use crate::kernel::mac::Mac;

/// Counts of one search.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Tally {
    discovers: u32,
    requests: u32,
    offers: u32,
    acks: u32,
    naks: u32,
    /// The last offer: address and server.
    offer: Option<(Ipv4Addr, Ipv4Addr)>,
    /// The last NAK: server, and what it says.
    nak: Option<(Ipv4Addr, String)>,
    /// Addresses that others have, and who.
    taken: Vec<(Ipv4Addr, Mac)>,
}

impl Tally {
    pub(super) fn send(&mut self, kind: Kind) {
        match kind {
            Kind::Discover => self.discovers += 1,
            Kind::Request => self.requests += 1,
            _ => {}
        }
    }

    pub(super) fn hear(&mut self, message: &Message, server: Ipv4Addr) {
        match message.kind {
            Kind::Offer => {
                self.offers += 1;
                self.offer = Some((message.yours, server));
            }
            Kind::Ack => self.acks += 1,
            Kind::Nak => {
                self.naks += 1;
                let said = message.option(option::MESSAGE).unwrap_or_default();
                self.nak = Some((server, String::from_utf8_lossy(said).into_owned()));
            }
            _ => {}
        }
    }

    pub(super) fn taken(&mut self, address: Ipv4Addr, mac: Mac) {
        self.taken.push((address, mac));
    }

    /// Why there is no lease after so long.
    pub fn in_words(&self, after: Duration) -> String {
        let mut text = match self.taken.last() {
            Some((address, mac)) if self.taken.len() > 1 => format!(
                "the DHCP server hands out addresses that others have, the last {address}, which {mac} has"
            ),
            Some((address, mac)) => {
                format!("the DHCP server hands out {address}, which {mac} has")
            }
            None if self.naks > 0 => "the DHCP server refuses".to_owned(),
            None if self.offers > 0 => {
                "the DHCP server offers an address but does not lend it".into()
            }
            None => "no DHCP server answers".to_owned(),
        };
        let _ = write!(text, ": in {} s sent {} DISCOVER", seconds(after), self.discovers);
        if self.requests > 0 {
            let _ = write!(text, " and {} REQUEST", self.requests);
        }
        text.push_str(", heard ");
        let mut heard = Vec::new();
        if let Some((address, server)) = self.offer {
            heard.push(format!("{} OFFER, the last of {address} from {server}", self.offers));
        }
        if self.acks > 0 {
            heard.push(format!("{} ACK", self.acks));
        }
        if let Some((server, said)) = &self.nak {
            let said = if said.is_empty() { String::new() } else { format!(" ({said:?})") };
            heard.push(format!("{} NAK, the last from {server}{said}", self.naks));
        }
        text.push_str(&if heard.is_empty() { "nothing".to_owned() } else { heard.join(", ") });
        text
    }
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}
