//! What a client sends and when (RFC 2131, section 4.4): a function of time and of what was heard,
//! without a clock or a socket of its own.

mod delay;
mod tally;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::time::Duration;

pub use delay::Delay;
pub use tally::Tally;

use super::message::{Kind, Message, option};
use super::terms::Terms;
use crate::kernel::mac::Mac;

/// How long somebody who has the offered address is given to say so, counted in the time that the server took
/// for its offer: ARP is answered by a kernel, which on the same network is faster than a server.
const PROBE_FACTOR: u32 = 4;
/// The shortest and the longest that is waited so. The question goes out together with the request.
const PROBE_TIME: (Duration, Duration) = (Duration::from_millis(3), Duration::from_millis(10));
/// How many addresses that others have are refused before it is an error.
const MOST_DECLINES: u32 = 3;
/// The longest message that is taken, in bytes: what fits into one Ethernet frame.
const LONGEST_MESSAGE: u16 = 1500;

/// How patient a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long the answer to one question is waited for before it is asked anew.
    pub timeout: Duration,
    /// The longest time between two messages.
    pub resend_max: Duration,
    /// How long an address is sought before it is an error.
    pub limit: Duration,
}

/// What a client says of itself in every message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The interface's hardware address.
    pub mac: Mac,
    /// By what the server knows it, unless `options` say something else.
    pub id: Vec<u8>,
    /// Further options.
    pub options: Vec<(u8, Vec<u8>)>,
    /// Have answers sent to everybody.
    pub broadcast: bool,
    /// Its patience.
    pub timing: Timing,
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Everybody on the link.
    Everybody,
    /// The server, from the leased address.
    Server(Ipv4Addr),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// Send a message.
    Send(Message, To),
    /// Ask whether somebody has this address.
    Probe(Ipv4Addr),
    /// The lease is ours, or ours for longer.
    Hold(Terms),
    /// The server wants the address back at once; another is sought.
    Revoked,
    /// There is no lease and none is sought any more. For an address that was held before, it must
    /// not be used any longer.
    Over(String),
}

/// Where a client is.
#[derive(Debug, Clone, PartialEq)]
enum State {
    /// Waiting for an offer.
    Selecting,
    /// Waiting for the ACK of an offer. Until `until` others may say that they have the address.
    Requesting { offer: Message, until: Duration },
    /// The ACK is there; others may still say that they have the address.
    Probing { terms: Terms, until: Duration },
    /// Holding a lease.
    Bound(Terms),
    /// Asking its server to go on (T1).
    Renewing(Terms),
    /// Asking any server (T2).
    Rebinding(Terms),
    /// Neither holding nor seeking.
    Over,
}

/// A client at work. Every function gives what is to be done, in order.
#[derive(Debug)]
pub struct Machine {
    client: Client,
    state: State,
    transaction: u32,
    /// When this search or renewal began.
    began: Duration,
    /// When the question of `transaction` was first asked, and when it was last.
    asked: Duration,
    sent: Duration,
    /// When the next message is due.
    due: Duration,
    delay: Delay,
    declined: u32,
    /// Who has the offered address.
    taken: Option<Mac>,
    tally: Tally,
    dice: Dice,
}

impl Machine {
    /// A client without a lease, which begins to seek one, and its first deeds.
    pub fn seek(client: Client, seed: u64, now: Duration) -> (Self, Vec<Deed>) {
        let mut machine = Self::new(client, State::Over, seed, now);
        let deeds = machine.begin(now);
        (machine, deeds)
    }

    /// A client that holds a lease already.
    pub fn resume(client: Client, terms: Terms, seed: u64, now: Duration) -> Self {
        Self::new(client, State::Bound(terms), seed, now)
    }

    fn new(client: Client, state: State, seed: u64, now: Duration) -> Self {
        let delay = Delay::new(client.timing.resend_max);
        Self {
            client,
            state,
            transaction: 0,
            began: now,
            asked: now,
            sent: now,
            due: now,
            delay,
            declined: 0,
            taken: None,
            tally: Tally::default(),
            dice: Dice(seed | 1),
        }
    }

    /// The lease that is held.
    pub fn terms(&self) -> Option<&Terms> {
        match &self.state {
            State::Bound(terms) | State::Renewing(terms) | State::Rebinding(terms) => Some(terms),
            _ => None,
        }
    }

    /// Whether answers are waited for, so that the link must be listened to.
    pub fn is_talking(&self) -> bool {
        !matches!(self.state, State::Bound(_) | State::Over)
    }

    /// Whether there is nothing to do any more.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// When [`Self::tick`] is to be called next; `None` for never.
    pub fn wake(&self) -> Option<Duration> {
        match &self.state {
            State::Selecting | State::Requesting { .. } => Some(self.due.min(self.limit())),
            State::Probing { until, .. } => Some(*until),
            State::Bound(terms) => terms.renewal(),
            State::Renewing(terms) => Some(earlier(self.due, terms.rebinding())),
            State::Rebinding(terms) => Some(earlier(self.due, terms.expiry())),
            State::Over => None,
        }
    }

    /// What is due by now.
    pub fn tick(&mut self, now: Duration) -> Vec<Deed> {
        if self.wake().is_none_or(|wake| now < wake) {
            return Vec::new();
        }
        match self.state.clone() {
            State::Selecting | State::Requesting { .. } if now >= self.limit() => {
                self.state = State::Over;
                vec![Deed::Over(self.tally.in_words(self.client.timing.limit))]
            }
            State::Selecting if now >= self.asked + self.client.timing.timeout => self.ask(now),
            State::Selecting => vec![self.send(now, self.discover(now), To::Everybody)],
            State::Requesting { .. } if now >= self.asked + self.client.timing.timeout => {
                self.ask(now)
            }
            State::Requesting { offer, .. } => {
                vec![self.send(now, self.request(&offer, now), To::Everybody)]
            }
            State::Probing { terms, .. } => self.settle(terms, now),
            State::Bound(terms) => {
                self.start_asking(now);
                self.state = State::Renewing(terms);
                self.keep_asking(now)
            }
            State::Renewing(_) | State::Rebinding(_) => self.keep_asking(now),
            State::Over => Vec::new(),
        }
    }

    /// A server's message.
    pub fn hear(&mut self, message: &Message, from: Ipv4Addr, now: Duration) -> Vec<Deed> {
        if message.transaction != self.transaction || message.mac != self.client.mac {
            return Vec::new();
        }
        let server = message.address(option::SERVER).unwrap_or(from);
        match (self.state.clone(), message.kind) {
            (State::Selecting, Kind::Offer) if !message.yours.is_unspecified() => {
                self.tally.hear(message, server);
                // One question with its own limit; but the same transaction (RFC 2131, section 3.1).
                self.asked = now;
                self.taken = None;
                self.delay = Delay::new(self.client.timing.resend_max);
                let (least, most) = PROBE_TIME;
                let until = now + (now.saturating_sub(self.sent) * PROBE_FACTOR).clamp(least, most);
                self.state = State::Requesting { offer: message.clone(), until };
                let request = self.request(message, now);
                vec![self.send(now, request, To::Everybody), Deed::Probe(message.yours)]
            }
            (State::Requesting { offer, until }, Kind::Ack) => {
                self.tally.hear(message, server);
                let terms = Terms { ack: message.clone(), since: self.sent };
                // Nobody was asked about another address than the offered one.
                if terms.address() == offer.yours && now < until && self.taken.is_none() {
                    self.state = State::Probing { terms, until };
                    return Vec::new();
                }
                self.settle(terms, now)
            }
            (State::Requesting { .. }, Kind::Nak) => {
                self.tally.hear(message, server);
                self.state = State::Selecting;
                // Not at once: the server may say no for ever.
                self.asked = Duration::ZERO;
                self.due = now + self.delay.next(&mut self.dice);
                Vec::new()
            }
            (State::Renewing(_) | State::Rebinding(_), Kind::Ack) => {
                let terms = Terms { ack: message.clone(), since: self.sent };
                self.state = State::Bound(terms.clone());
                vec![Deed::Hold(terms)]
            }
            (State::Renewing(_) | State::Rebinding(_), Kind::Nak) => {
                let mut deeds = vec![Deed::Revoked];
                deeds.extend(self.begin(now));
                deeds
            }
            _ => Vec::new(),
        }
    }

    /// Somebody says that an address is theirs.
    pub fn hear_claim(&mut self, address: Ipv4Addr, mac: Mac, now: Duration) -> Vec<Deed> {
        if mac == self.client.mac {
            return Vec::new();
        }
        match self.state.clone() {
            State::Requesting { offer, .. } if offer.yours == address => {
                self.taken = Some(mac);
                Vec::new()
            }
            State::Probing { terms, .. } if terms.address() == address => {
                self.taken = Some(mac);
                self.settle(terms, now)
            }
            _ => Vec::new(),
        }
    }

    /// Ends it, and gives a lease back that is held.
    pub fn stop(&mut self, now: Duration) -> Vec<Deed> {
        let held = self.terms().cloned().or_else(|| match &self.state {
            State::Probing { terms, .. } => Some(terms.clone()),
            _ => None,
        });
        self.state = State::Over;
        let Some(terms) = held else { return Vec::new() };
        self.transaction = self.dice.roll();
        let mut message = self.message(Kind::Release, now);
        message.client = terms.address();
        message.broadcast = false;
        message.options.retain(|(code, _)| *code == option::CLIENT_ID);
        let Some(server) = terms.server() else { return Vec::new() };
        message.set(option::SERVER, server.octets());
        // Not from the address to the server: the kernel would have to ask for the server's hardware
        // address first, and the link may be gone by then.
        vec![Deed::Send(message, To::Everybody)]
    }

    /// Begins to seek a lease.
    fn begin(&mut self, now: Duration) -> Vec<Deed> {
        self.began = now;
        self.declined = 0;
        self.tally = Tally::default();
        self.delay = Delay::new(self.client.timing.resend_max);
        self.ask(now)
    }

    /// Asks for offers, as a new question.
    fn ask(&mut self, now: Duration) -> Vec<Deed> {
        self.transaction = self.dice.roll();
        self.asked = now;
        self.state = State::Selecting;
        vec![self.send(now, self.discover(now), To::Everybody)]
    }

    /// Begins to ask for a longer lease.
    fn start_asking(&mut self, now: Duration) {
        self.transaction = self.dice.roll();
        self.began = now;
        self.delay = Delay::new(self.client.timing.resend_max);
    }

    /// Asks for a longer lease, or finds that it is too late.
    fn keep_asking(&mut self, now: Duration) -> Vec<Deed> {
        let passed = |time: Option<Duration>| time.is_some_and(|time| now >= time);
        if let State::Renewing(terms) = &self.state
            && passed(terms.rebinding())
        {
            let terms = terms.clone();
            self.start_asking(now);
            self.state = State::Rebinding(terms);
        }
        let (terms, to) = match &self.state {
            State::Renewing(terms) => {
                (terms.clone(), terms.server().map_or(To::Everybody, To::Server))
            }
            State::Rebinding(terms) => (terms.clone(), To::Everybody),
            _ => return Vec::new(),
        };
        if passed(terms.expiry()) {
            self.state = State::Over;
            let text = format!("the lease of {} is over; no server renewed it", terms.address());
            return vec![Deed::Over(text)];
        }
        let mut message = self.message(Kind::Request, now);
        message.client = terms.address();
        vec![self.send(now, message, to)]
    }

    /// Takes a lease whose address nobody else claims, or refuses it.
    fn settle(&mut self, terms: Terms, now: Duration) -> Vec<Deed> {
        let Some(other) = self.taken.take() else {
            self.state = State::Bound(terms.clone());
            return vec![Deed::Hold(terms)];
        };
        self.tally.taken(terms.address(), other);
        self.declined += 1;
        let mut message = self.message(Kind::Decline, now);
        message.options.retain(|(code, _)| *code == option::CLIENT_ID);
        message.set(option::REQUESTED_ADDRESS, terms.address().octets());
        if let Some(server) = terms.server() {
            message.set(option::SERVER, server.octets());
        }
        message.broadcast = false;
        let mut deeds = vec![Deed::Send(message, To::Everybody)];
        if self.declined >= MOST_DECLINES {
            self.state = State::Over;
            deeds.push(Deed::Over(self.tally.in_words(now - self.began)));
        } else {
            deeds.extend(self.ask(now));
        }
        deeds
    }

    fn limit(&self) -> Duration {
        self.began + self.client.timing.limit
    }

    /// Counts a message and says when the next is due.
    fn send(&mut self, now: Duration, message: Message, to: To) -> Deed {
        self.tally.send(message.kind);
        self.sent = now;
        self.due = now + self.delay.next(&mut self.dice);
        Deed::Send(message, to)
    }

    fn discover(&self, now: Duration) -> Message {
        self.message(Kind::Discover, now)
    }

    fn request(&self, offer: &Message, now: Duration) -> Message {
        let mut message = self.message(Kind::Request, now);
        message.set(option::REQUESTED_ADDRESS, offer.yours.octets());
        if let Some(server) = offer.option(option::SERVER) {
            message.set(option::SERVER, server);
        }
        message
    }

    fn message(&self, kind: Kind, now: Duration) -> Message {
        let mut message = Message::new(kind, self.transaction, self.client.mac);
        let seconds = now.saturating_sub(self.began).as_secs();
        message.seconds = u16::try_from(seconds).unwrap_or(u16::MAX);
        message.broadcast = self.client.broadcast;
        message.set(option::LONGEST, LONGEST_MESSAGE.to_be_bytes());
        message.set(option::CLIENT_ID, [b"\0", self.client.id.as_slice()].concat());
        for (code, value) in &self.client.options {
            message.set(*code, value.as_slice());
        }
        message
    }
}

fn earlier(one: Duration, other: Option<Duration>) -> Duration {
    other.map_or(one, |other| one.min(other))
}

/// Numbers that need not be hard to guess but should differ (xorshift64).
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }
}
