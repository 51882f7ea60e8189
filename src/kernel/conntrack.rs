//! Connection tracking by netlink (`nf_conntrack_netlink`): having the kernel forget UDP flows.
//!
//! A flow keeps the translation that its first packet met, so a client that goes on sending from the
//! same port would go on reaching a pod that is gone, or nobody. TCP ends by itself; UDP has to be
//! told.

pub(crate) mod message;

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt,
};

use self::message::{Flow, Requests};
use super::Error;
use super::answer::{Said, split};
use super::parting::Parting;
use super::raw;

/// A dump's datagram is at most this large (`netlink_dump`, net/netlink/af_netlink.c).
const ANSWER: usize = 32 * 1024;
/// Bytes for answers to the deletions of one such datagram: some 300 refusals of less than a kilobyte.
const REFUSALS: usize = 1024 * 1024;
/// What is missing when the kernel does not know the requests.
const FEATURE: &str =
    "netlink access to connection tracking (CONFIG_NF_CT_NETLINK, module nf_conntrack_netlink)";

/// Has the kernel of the calling thread's network namespace forget the UDP flows of one family that
/// began towards one of `ports`, whichever address they went to; gives how many these were. A flow
/// that ends meanwhile is fine.
///
/// The table is read as a stream that the kernel filters (from 5.8 on), so what this costs in memory
/// does not follow from the number of connections.
///
/// # Errors
/// [`Error::Missing`] when the kernel has no netlink access to connection tracking;
/// [`Error::Refused`] and [`Error::Socket`]. Flows may have been forgotten by then.
pub fn forget_udp(ports: &[u16], v6: bool) -> Result<usize, Error> {
    if ports.is_empty() {
        return Ok(0);
    }
    match Forgetting::start(ports, v6)?.run(true) {
        // Kernels refuse filters that they know only in part.
        Err(error) if error.is(Errno::EINVAL) || error.is(Errno::EOPNOTSUPP) => {}
        done => return done,
    }
    match Forgetting::start(ports, v6)?.run(false) {
        Err(error) if error.is(Errno::EINVAL) => Err(missing()),
        done => done,
    }
}

/// Reading and deleting at the same time, each on a socket of its own.
struct Forgetting<'p> {
    ports: &'p [u16],
    v6: bool,
    list: OwnedFd,
    deletion: OwnedFd,
    // Closed after the sockets: fields are dropped in their order.
    partings: Vec<Parting>,
    requests: Requests,
    forgotten: usize,
}

impl Drop for Forgetting<'_> {
    /// The mapping of the ports may have been removed a moment ago.
    fn drop(&mut self) {
        self.partings.extend([&self.list, &self.deletion].into_iter().filter_map(Parting::from));
    }
}

impl<'p> Forgetting<'p> {
    fn start(ports: &'p [u16], v6: bool) -> Result<Self, Error> {
        let (list, deletion) = (open()?, open()?);
        // Room for a refusal of every deletion that goes out at once.
        let _ = setsockopt(&deletion, sockopt::RcvBufForce, &REFUSALS);
        let partings = Vec::new();
        let requests = Requests::default();
        Ok(Self { ports, v6, list, deletion, partings, requests, forgotten: 0 })
    }

    fn run(mut self, filtered: bool) -> Result<usize, Error> {
        self.requests.clear();
        // One port is the kernel's to look for, too; of several it can only tell the protocol.
        let port = self.ports.first().copied().filter(|_| self.ports.len() == 1);
        let sequence = self.requests.list(self.v6, filtered, port);
        transmit(&self.list, self.requests.as_bytes())?;
        let mut answer = Vec::with_capacity(ANSWER);
        loop {
            receive(&self.list, &mut answer, MsgFlags::empty())?;
            let mut data = answer.as_slice();
            self.requests.clear();
            let mut over = false;
            while let Some((answer, rest)) = split(data) {
                data = rest;
                if answer.sequence != sequence {
                    continue;
                }
                match answer.said {
                    Said::Done => over = true,
                    Said::Refused(code, said) => return Err(refused("list UDP flows", code, said)),
                    Said::Object(object) => {
                        if let Some(flow) = Flow::read(object.body)
                            && flow.is_udp_to(self.ports)
                        {
                            self.requests.delete(self.v6, &flow);
                        }
                    }
                }
            }
            self.delete()?;
            if over {
                return Ok(self.forgotten);
            }
        }
    }

    /// Sends the deletions of one datagram's flows. Only refusals are answered, and they are there
    /// when the sending is over.
    fn delete(&mut self) -> Result<(), Error> {
        if self.requests.count() == 0 {
            return Ok(());
        }
        transmit(&self.deletion, self.requests.as_bytes())?;
        let mut answer = Vec::with_capacity(ANSWER);
        let mut gone = 0usize;
        let mut first = None;
        while receive(&self.deletion, &mut answer, MsgFlags::MSG_DONTWAIT)? {
            let mut data = answer.as_slice();
            while let Some((answer, rest)) = split(data) {
                data = rest;
                if let Said::Refused(code, said) = answer.said {
                    gone = gone.saturating_add(1);
                    if Errno::from_raw(code) != Errno::ENOENT {
                        first.get_or_insert_with(|| refused("forget a UDP flow", code, said));
                    }
                }
            }
        }
        self.forgotten = self.forgotten.saturating_add(self.requests.count().saturating_sub(gone));
        first.map_or(Ok(()), Err)
    }
}

fn open() -> Result<OwnedFd, Error> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )
    .map_err(|errno| match errno {
        Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT => missing(),
        errno => Error::Socket { doing: "open a netlink socket", errno },
    })?;
    // Texts with refusals, and no copy of the request in them; kernels before 4.12 do without.
    let _ = raw::socket_option(&socket, libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1);
    let _ = raw::socket_option(&socket, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1);
    Ok(socket)
}

fn transmit(socket: &OwnedFd, bytes: &[u8]) -> Result<(), Error> {
    raw::transmit(socket.as_fd(), bytes)
        .map_err(|errno| Error::Socket { doing: "send a request", errno })
}

/// Reads one datagram; not so when there is none and `flags` say not to wait.
fn receive(socket: &OwnedFd, buffer: &mut Vec<u8>, flags: MsgFlags) -> Result<bool, Error> {
    loop {
        match raw::receive(socket.as_fd(), buffer, flags) {
            Ok(()) => return Ok(true),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                buffer.clear();
                return Ok(false);
            }
            Err(errno) => return Err(Error::Socket { doing: "read an answer", errno }),
        }
    }
}

fn missing() -> Error {
    Error::Missing { feature: FEATURE.into(), needed_for: "forgetting stale UDP flows".into() }
}

fn refused(doing: &str, code: i32, said: Option<&str>) -> Error {
    let (errno, said) = (Errno::from_raw(code), said.map(str::to_owned));
    Error::Refused { doing: doing.to_owned(), errno, said }
}
