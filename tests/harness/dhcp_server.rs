//! A DHCP server on a link of a host, which does as a test tells it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use causeway::dhcp::message::{Kind, Message, option};
use causeway::kernel::mac::Mac;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt,
};

use super::Host;

/// What the server does.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Addresses to hand out, in this order; each client keeps its own.
    pub pool: Vec<Ipv4Addr>,
    /// Of every lease.
    pub seconds: u32,
    /// T1, if it is told.
    pub renewal: Option<u32>,
    /// T2, if it is told.
    pub rebinding: Option<u32>,
    /// Further options of offers and ACKs; an empty value takes one away.
    pub options: Vec<(u8, Vec<u8>)>,
    /// Answers nothing at all.
    pub is_silent: bool,
    /// Answers nothing that is sent to it alone.
    pub ignores_unicast: bool,
    /// Answers no REQUEST.
    pub ignores_requests: bool,
    /// Hands out what clients say that others have.
    pub keeps_offering: bool,
    /// Refuses every REQUEST.
    pub refuses: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            pool: (5..=20).map(|last| Ipv4Addr::new(10, 9, 0, last)).collect(),
            seconds: 3600,
            renewal: None,
            rebinding: None,
            options: vec![
                (option::SUBNET_MASK, vec![255, 255, 255, 0]),
                (option::ROUTER, vec![10, 9, 0, 1]),
            ],
            is_silent: false,
            ignores_unicast: false,
            ignores_requests: false,
            keeps_offering: false,
            refuses: false,
        }
    }
}

/// A message that came, and whether it was sent to the server alone.
#[derive(Clone, Debug)]
pub struct Heard {
    pub message: Message,
    pub is_unicast: bool,
}

#[derive(Default)]
struct State {
    manner: Manner,
    heard: Vec<Heard>,
    leases: BTreeMap<Vec<u8>, Ipv4Addr>,
    declined: Vec<Ipv4Addr>,
}

/// The server; it ends when dropped.
pub struct DhcpServer {
    state: Arc<Mutex<State>>,
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// The server's address.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

impl DhcpServer {
    /// Starts a server on `link` of the host, which must have [`SERVER`] as its address.
    pub fn start(host: &Host, link: &str, manner: Manner) -> Self {
        let state = Arc::new(Mutex::new(State { manner, ..State::default() }));
        let ends = Arc::new(AtomicBool::new(false));
        // The kernel gives a datagram to the socket whose address fits best.
        let sockets = [SERVER, Ipv4Addr::UNSPECIFIED].map(|address| {
            host.inside(|| {
                let flags = SockFlag::SOCK_CLOEXEC;
                let socket = socket(AddressFamily::Inet, SockType::Datagram, flags, None);
                let socket = socket.expect("a socket");
                setsockopt(&socket, sockopt::ReuseAddr, &true).expect("share the port");
                let place = SockaddrIn::from(SocketAddrV4::new(address, 67));
                bind(socket.as_raw_fd(), &place).expect("the server's port");
                setsockopt(&socket, sockopt::BindToDevice, &link.into()).expect("bind to the link");
                let socket = UdpSocket::from(socket);
                socket.set_broadcast(true).expect("may broadcast");
                socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
                socket
            })
        });
        let threads = sockets
            .into_iter()
            .enumerate()
            .map(|(place, socket)| {
                let (state, ends) = (Arc::clone(&state), Arc::clone(&ends));
                thread::spawn(move || serve(&socket, place == 0, &state, &ends))
            })
            .collect();
        Self { state, ends, threads }
    }

    /// Changes what the server does from now on.
    pub fn change(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.state.lock().expect("the server").manner);
    }

    /// Every message of a kind that came.
    pub fn heard(&self, kind: Kind) -> Vec<Heard> {
        let state = self.state.lock().expect("the server");
        state.heard.iter().filter(|heard| heard.message.kind == kind).cloned().collect()
    }

    /// How many addresses are lent.
    pub fn leases(&self) -> usize {
        self.state.lock().expect("the server").leases.len()
    }

    /// Waits until every address was given back.
    #[track_caller]
    pub fn has_all_back(&self) {
        for _ in 0..500 {
            if self.leases() == 0 {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("in five seconds the server did not get its addresses back");
    }

    /// Forgets every lease, as a server does that is set up anew.
    pub fn forget(&self) {
        let mut state = self.state.lock().expect("the server");
        state.leases.clear();
    }
}

impl Drop for DhcpServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, is_unicast: bool, state: &Mutex<State>, ends: &AtomicBool) {
    let mut buffer = [0; 2048];
    while !ends.load(Ordering::Relaxed) {
        let Ok((length, _)) = socket.recv_from(&mut buffer) else { continue };
        let Some(message) = Message::read(&buffer[..length]) else { continue };
        let mut state = state.lock().expect("the server");
        let reply = state.answer(&message, is_unicast);
        state.heard.push(Heard { message: message.clone(), is_unicast });
        drop(state);
        let Some(reply) = reply else { continue };
        let to = if message.client.is_unspecified() || reply.kind == Kind::Nak {
            Ipv4Addr::BROADCAST
        } else {
            message.client
        };
        let _ = socket.send_to(&reply.to_bytes(), (to, 68));
    }
}

fn client(message: &Message) -> Vec<u8> {
    message.option(option::CLIENT_ID).map_or(message.mac.0.to_vec(), <[u8]>::to_vec)
}

impl State {
    fn answer(&mut self, message: &Message, is_unicast: bool) -> Option<Message> {
        let client = client(message);
        match message.kind {
            Kind::Release => {
                self.leases.remove(&client);
                return None;
            }
            Kind::Decline => {
                self.declined.extend(message.address(option::REQUESTED_ADDRESS));
                self.leases.remove(&client);
                return None;
            }
            _ => {}
        }
        let manner = &self.manner;
        let is_request = message.kind == Kind::Request;
        if manner.is_silent
            || (manner.ignores_unicast && is_unicast)
            || (manner.ignores_requests && is_request)
        {
            return None;
        }
        if is_request && manner.refuses {
            let mut nak = reply(Kind::Nak, message);
            nak.set(option::MESSAGE, *b"go away");
            return Some(nak);
        }
        let leased: Vec<_> = self.leases.values().copied().collect();
        let has = self.leases.get(&client).copied();
        let address = if is_request && has.is_none() && !message.client.is_unspecified() {
            // A lease that this server knows nothing of.
            manner.pool.contains(&message.client).then_some(message.client)
        } else {
            has.or_else(|| {
                let is_free = |one: &&Ipv4Addr| {
                    !leased.contains(one) && (manner.keeps_offering || !self.declined.contains(one))
                };
                manner.pool.iter().find(is_free).copied()
            })
        };
        let address = address?;
        let wanted = message.address(option::REQUESTED_ADDRESS).unwrap_or(message.client);
        if is_request && wanted != address {
            return Some(reply(Kind::Nak, message));
        }
        let mut answer = reply(if is_request { Kind::Ack } else { Kind::Offer }, message);
        answer.yours = address;
        answer.set(option::LEASE_TIME, manner.seconds.to_be_bytes());
        for (code, time) in
            [(option::RENEWAL_TIME, manner.renewal), (option::REBINDING_TIME, manner.rebinding)]
        {
            if let Some(time) = time {
                answer.set(code, time.to_be_bytes());
            }
        }
        for (code, value) in &manner.options {
            answer.set(*code, value.clone());
        }
        answer.options.retain(|(_, value)| !value.is_empty());
        if is_request {
            self.leases.insert(client, address);
        }
        Some(answer)
    }
}

fn reply(kind: Kind, to: &Message) -> Message {
    let mut reply = Message::new(kind, to.transaction, Mac(to.mac.0));
    reply.broadcast = to.broadcast;
    reply.set(option::SERVER, SERVER.octets());
    reply
}
