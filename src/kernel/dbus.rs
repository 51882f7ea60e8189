//! A client of D-Bus (specification, version 0.43), as small as firewalld needs it: blocking calls
//! with texts as arguments over a unix socket.
//!
//! The crates that there are bring an asynchronous runtime, procedural macros or a C library for
//! three calls of one shape.

pub mod message;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use message::{Kind, Message, Value};

/// The variable that names the system bus.
const ADDRESS: &str = "DBUS_SYSTEM_BUS_ADDRESS";
/// Where the system bus is without it.
const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The bus itself, as the one who is called.
pub const BUS: Object<'static> = Object {
    name: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus's address is of a kind that is not spoken.
    #[error("the bus address {0:?} has no unix:path= or unix:abstract=; correct {ADDRESS}")]
    Address(String),
    /// The socket failed, or nobody answered in time.
    #[error("the system bus cannot be spoken to: {0}")]
    Io(#[from] io::Error),
    /// The bus does not let this user in.
    #[error("the system bus does not let this user in: {0}")]
    NotLetIn(String),
    /// What came makes no sense.
    #[error("an answer on the system bus could not be understood")]
    Garbled,
    /// The one who was called refused.
    #[error("{name}: {text}")]
    Refused {
        /// The error's name.
        name: String,
        /// What it says.
        text: String,
    },
}

/// Who is called.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// A bus name.
    pub name: &'a str,
    /// The object's path.
    pub path: &'a str,
    /// The interface that has the method.
    pub interface: &'a str,
}

/// A connection to a bus.
pub struct Bus {
    stream: BufReader<UnixStream>,
    serial: u32,
}

impl Bus {
    /// Connects to the system bus: that of DBUS_SYSTEM_BUS_ADDRESS, or the usual one.
    ///
    /// # Errors
    /// [`Error::Io`] when there is none, and see [`Error`].
    pub fn system() -> Result<Self, Error> {
        let address = std::env::var(ADDRESS).ok().filter(|address| !address.is_empty());
        Self::connect(address.as_deref().unwrap_or(SYSTEM_BUS))
    }

    /// Connects to the bus at an address, in the specification's form.
    ///
    /// # Errors
    /// As [`Self::system`].
    pub fn connect(address: &str) -> Result<Self, Error> {
        let stream = open(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut bus = Self { stream: BufReader::new(stream), serial: 0 };
        // As the specification has it: who we are is in the socket's credentials, too. All goes out
        // at once, since nothing in it depends on an answer.
        let uid: String =
            nix::unistd::geteuid().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut hello = format!("\0AUTH EXTERNAL {uid}\r\nBEGIN\r\n").into_bytes();
        let greeting = bus.call_message(BUS, "Hello", &[]);
        hello.extend(greeting.encode());
        bus.stream.get_mut().write_all(&hello)?;
        let mut line = String::new();
        bus.stream.by_ref().take(1024).read_line(&mut line)?;
        if !line.starts_with("OK ") {
            return Err(Error::NotLetIn(line.trim_end().to_owned()));
        }
        bus.answer_to(greeting.serial)?;
        Ok(bus)
    }

    /// Calls a method and gives what it returned. A service that is not there is not started.
    ///
    /// # Errors
    /// [`Error::Refused`] when the one who is called refuses or is not there; and see [`Error`].
    pub fn call(
        &mut self,
        object: Object<'_>,
        member: &str,
        arguments: &[Value],
    ) -> Result<Vec<Value>, Error> {
        let message = self.call_message(object, member, arguments);
        self.send(&message)?;
        self.answer_to(message.serial)
    }

    /// Sends a message as it is.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn send(&mut self, message: &Message) -> Result<(), Error> {
        Ok(self.stream.get_mut().write_all(&message.encode())?)
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Garbled`].
    pub fn receive(&mut self) -> Result<Message, Error> {
        let mut fixed = [0; message::FIXED];
        self.stream.read_exact(&mut fixed)?;
        let rest = Message::rest(&fixed).ok_or(Error::Garbled)?;
        let mut bytes = fixed.to_vec();
        bytes.resize(bytes.len().saturating_add(rest), 0);
        self.stream.read_exact(bytes.get_mut(message::FIXED..).unwrap_or_default())?;
        Message::decode(&bytes).ok_or(Error::Garbled)
    }

    fn call_message(&mut self, object: Object<'_>, member: &str, arguments: &[Value]) -> Message {
        self.serial = self.serial.wrapping_add(1).max(1);
        Message {
            serial: self.serial,
            path: Some(object.path.to_owned()),
            interface: Some(object.interface.to_owned()),
            member: Some(member.to_owned()),
            destination: Some(object.name.to_owned()),
            body: arguments.to_vec(),
            ..Message::new(Kind::Call)
        }
    }

    /// Waits for the answer to a call; what else comes, such as signals, is not for us.
    fn answer_to(&mut self, serial: u32) -> Result<Vec<Value>, Error> {
        loop {
            let message = self.receive()?;
            if message.reply_to != Some(serial) {
                continue;
            }
            match message.kind {
                Kind::Return => return Ok(message.body),
                Kind::Error => {
                    let text = match message.body.into_iter().next() {
                        Some(Value::Text(text)) => text,
                        _ => "no reason was given".to_owned(),
                    };
                    return Err(Error::Refused { name: message.error.unwrap_or_default(), text });
                }
                Kind::Call | Kind::Signal => {}
            }
        }
    }
}

/// Connects to the first of the addresses that can be connected to.
fn open(addresses: &str) -> Result<UnixStream, Error> {
    let mut error = Error::Address(addresses.to_owned());
    for address in addresses.split(';') {
        let Some(pairs) = address.strip_prefix("unix:") else { continue };
        for (key, value) in pairs.split(',').filter_map(|pair| pair.split_once('=')) {
            let value = unescaped(value);
            let connected = match key {
                "path" => UnixStream::connect(PathBuf::from(std::ffi::OsString::from_vec(value))),
                "abstract" => SocketAddr::from_abstract_name(value)
                    .and_then(|address| UnixStream::connect_addr(&address)),
                _ => continue,
            };
            match connected {
                Ok(stream) => return Ok(stream),
                Err(refused) => error = refused.into(),
            }
        }
    }
    Err(error)
}

/// Takes the `%xx` out of a value of an address.
fn unescaped(value: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_unescaped() {
        assert_eq!(unescaped("/run/a%20b%2"), b"/run/a b%2");
        assert_eq!(unescaped("%"), b"%");
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        assert!(matches!(Bus::connect("tcp:host=localhost,port=1"), Err(Error::Address(_))));
        assert!(matches!(Bus::connect("unix:path=/nonexistent/bus"), Err(Error::Io(_))));
    }
}
