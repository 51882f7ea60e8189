//! A rtnetlink socket that sends requests in batches and reads their answers together (RFC 3549,
//! netlink(7)).
//!
//! Messages are made with rtnetlink's builders. Its own connection is not used: it is built for
//! long-running programs on an asynchronous runtime, and sends each request by itself.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket,
};

use super::answer::{Said, split};
use super::error::Error;
use super::raw;

pub use super::answer::flags;

/// A dump's datagram is at most this large when the receiver's buffer allows it
/// (`netlink_dump`, net/netlink/af_netlink.c).
const ANSWER: usize = 32 * 1024;
/// Bytes of requests that are sent at once; far below the default send buffer of 212,992 bytes.
const BATCH: usize = 16 * 1024;
/// Requests that are sent at once. Their acknowledgements, of which the kernel counts up to 2 KiB each,
/// must fit into the default receive buffer of 212,992 bytes: those that do not are lost.
const REQUESTS: usize = 100;

/// Reads one answer: its message type and the whole message in, what it says out.
pub type Reading<'r, T> = &'r mut dyn FnMut(u16, &[u8]) -> Result<Option<T>, Error>;

/// A request whose answer is still out.
struct Pending {
    sequence: u32,
    doing: String,
}

/// A rtnetlink socket of one network namespace: the one the thread was in when it was opened.
pub struct RouteSocket {
    socket: OwnedFd,
    sequence: u32,
    batch: Vec<u8>,
    pending: VecDeque<Pending>,
    answer: Vec<u8>,
}

impl RouteSocket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Socket`] when the kernel gives none.
    pub fn open() -> Result<Self, Error> {
        let failed = |doing| move |errno| Error::Socket { doing, errno };
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )
        .map_err(failed("open a socket"))?;
        // Texts with refusals, and no copy of the request in acknowledgements; kernels before 4.12
        // do without.
        let _ = raw::socket_option(&socket, libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1);
        let _ = raw::socket_option(&socket, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1);
        // Dumps honour the interface index given (4.20 and later); readers filter as well.
        let _ = raw::socket_option(&socket, libc::SOL_NETLINK, libc::NETLINK_GET_STRICT_CHK, 1);
        Ok(Self {
            socket,
            sequence: 0,
            batch: Vec::with_capacity(1024),
            pending: VecDeque::new(),
            answer: Vec::with_capacity(ANSWER),
        })
    }

    /// Opens a socket that also hears of changes: `groups` is a mask of `RTMGRP_*`.
    ///
    /// # Errors
    /// [`Error::Socket`].
    pub fn listen(groups: u32) -> Result<Self, Error> {
        let socket = Self::open()?;
        bind(socket.socket.as_raw_fd(), &NetlinkAddr::new(0, groups))
            .map_err(|errno| Error::Socket { doing: "listen for changes", errno })?;
        Ok(socket)
    }

    /// Waits until something is heard, at most `milliseconds`, and gives the messages; none when there
    /// was nothing, or too much. What is there now is better asked for.
    ///
    /// # Errors
    /// [`Error::Socket`].
    pub fn hear(&mut self, milliseconds: u16) -> Result<&[u8], Error> {
        let failed = |errno| Error::Socket { doing: "wait for a change", errno };
        let mut wait = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut wait, PollTimeout::from(milliseconds)) {
            Ok(0) | Err(Errno::EINTR) => Ok(&[]),
            Ok(_) => {
                match raw::receive(self.socket.as_fd(), &mut self.answer, MsgFlags::MSG_DONTWAIT) {
                    Ok(()) => Ok(&self.answer),
                    Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => Ok(&[]),
                    Err(errno) => Err(failed(errno)),
                }
            }
            Err(errno) => Err(failed(errno)),
        }
    }

    /// Puts a request into the batch; [`Self::flush`] sends it. `doing` names it in errors: "add
    /// address 10.0.0.2/24 to eth0".
    ///
    /// A request must not depend on another in the same batch having worked: the kernel goes on
    /// after a failure.
    ///
    /// # Errors
    /// As [`Self::flush`], when the batch was full and had to be sent.
    pub fn queue(
        &mut self,
        message: RouteNetlinkMessage,
        more_flags: u16,
        doing: impl Into<String>,
    ) -> Result<(), Error> {
        if self.batch.len() > BATCH || self.pending.len() >= REQUESTS {
            self.flush()?;
        }
        let sequence = self.put(message, flags::REQUEST | flags::ACK | more_flags);
        self.pending.push_back(Pending { sequence, doing: doing.into() });
        Ok(())
    }

    /// Sends the batch and reads every answer.
    ///
    /// # Errors
    /// The first refusal, after all answers have been read; the rest of the batch was carried out.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.flush_despite(None)
    }

    /// As [`Self::flush`]; refusals with one error number do not count.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn flush_despite(&mut self, errno: Option<Errno>) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.send_batch()?;
        let mut first = None;
        while !self.pending.is_empty() {
            self.receive()?;
            let mut rest = self.answer.as_slice();
            while let Some((answer, tail)) = split(rest) {
                rest = tail;
                if self.pending.front().is_none_or(|one| one.sequence != answer.sequence) {
                    continue;
                }
                let Some(pending) = self.pending.pop_front() else { break };
                if let Said::Refused(code, said) = answer.said
                    && errno != Some(Errno::from_raw(code))
                {
                    first.get_or_insert(refused(pending.doing, code, said));
                }
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Sends the batch and one request at once and waits for all.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn order(
        &mut self,
        message: RouteNetlinkMessage,
        more_flags: u16,
        doing: impl Into<String>,
    ) -> Result<(), Error> {
        self.queue(message, more_flags, doing)?;
        self.flush()
    }

    /// Asks for one thing or, with [`flags::DUMP`], for all that match, after sending the batch.
    /// `read` gets each answer's type and the whole message, and passes over what it does not want.
    ///
    /// The crate that makes the messages could read them as well, but spends more time on attributes
    /// that nobody asked for than the kernel on the answer.
    ///
    /// # Errors
    /// [`Error::Refused`], among others with `ENODEV` for a link that is not there, and the
    /// reader's.
    pub fn ask<T>(
        &mut self,
        message: impl NetlinkSerializable + Clone,
        more_flags: u16,
        doing: impl Into<String>,
        read: Reading<'_, T>,
    ) -> Result<Vec<T>, Error> {
        self.flush()?;
        let doing = doing.into();
        // A dump that was overtaken by a change says so; ask again rather than give half a list.
        for _ in 0..8 {
            let sequence = self.put(message.clone(), flags::REQUEST | more_flags);
            self.send_batch()?;
            let (answers, torn) = self.collect(sequence, &doing, read)?;
            if !torn {
                return Ok(answers);
            }
        }
        Err(Error::Refused {
            doing,
            errno: Errno::EAGAIN,
            said: Some("the list kept changing".into()),
        })
    }

    fn collect<T>(
        &mut self,
        sequence: u32,
        doing: &str,
        read: Reading<'_, T>,
    ) -> Result<(Vec<T>, bool), Error> {
        let mut answers = Vec::new();
        let mut torn = false;
        loop {
            self.receive()?;
            let mut rest = self.answer.as_slice();
            while let Some((answer, tail)) = split(rest) {
                rest = tail;
                if answer.sequence != sequence {
                    continue;
                }
                torn |= answer.torn;
                match answer.said {
                    Said::Done => return Ok((answers, torn)),
                    Said::Refused(code, said) => return Err(refused(doing.to_owned(), code, said)),
                    Said::Object(object) => {
                        answers.extend(read(object.kind, object.message)?);
                        if !object.more {
                            return Ok((answers, torn));
                        }
                    }
                }
            }
        }
    }

    fn put(&mut self, message: impl NetlinkSerializable, message_flags: u16) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = message_flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let start = self.batch.len();
        self.batch.resize(start + message.buffer_len(), 0);
        if let Some(place) = self.batch.get_mut(start..) {
            message.serialize(place);
        }
        self.batch.resize(self.batch.len().next_multiple_of(4), 0);
        self.sequence
    }

    fn send_batch(&mut self) -> Result<(), Error> {
        let sent = raw::transmit(self.socket.as_fd(), &self.batch);
        self.batch.clear();
        sent.map_err(|errno| {
            self.pending.clear();
            Error::Socket { doing: "send", errno }
        })
    }

    fn receive(&mut self) -> Result<(), Error> {
        loop {
            match raw::receive(self.socket.as_fd(), &mut self.answer, MsgFlags::empty()) {
                Ok(()) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    self.pending.clear();
                    return Err(Error::Socket { doing: "read an answer", errno });
                }
            }
        }
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn refused(doing: String, code: i32, said: Option<&str>) -> Error {
    Error::Refused { doing, errno: Errno::from_raw(code), said: said.map(str::to_owned) }
}
