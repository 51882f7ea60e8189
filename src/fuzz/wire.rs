//! What comes over sockets from other programs and machines: DHCP, Go's RPC, D-Bus.

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Form, folder, fuzz};
use crate::dhcp::gob::Decoder;
use crate::dhcp::machine::{Client as Seeker, Machine, Timing};
use crate::dhcp::message::{self, Heard, Kind, Message, option};
use crate::dhcp::rpc::{ALLOCATE, Client, CmdArgs, Session};
use crate::dhcp::terms::Terms;
use crate::kernel::dbus::message as dbus;
use crate::kernel::mac::Mac;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

/// A server's message with everything in it that is looked at.
fn answer(kind: Kind) -> Message {
    let mut message = Message::new(kind, 7, MAC);
    message.yours = Ipv4Addr::new(10, 1, 0, 5);
    for (code, value) in [
        (1, vec![255, 255, 0, 0]),
        (3, vec![10, 1, 0, 1]),
        (6, vec![1, 1, 1, 1, 8, 8, 8, 8]),
        (15, b"example.com".to_vec()),
        (26, vec![5, 120]),
        (33, vec![192, 0, 2, 1, 10, 1, 0, 2]),
        (51, vec![0, 0, 14, 16]),
        (54, vec![10, 1, 0, 1]),
        (58, vec![0, 0, 7, 8]),
        (59, vec![0, 0, 12, 0]),
        (119, b"\x07example\x03com\x00\xc0\x00".to_vec()),
        (121, vec![24, 192, 0, 2, 10, 1, 0, 2, 0, 10, 1, 0, 1]),
    ] {
        message.set(code, value);
    }
    message
}

/// An ACK on the wire.
pub(super) fn ack() -> Vec<u8> {
    answer(Kind::Ack).to_bytes()
}

/// Asks terms for everything that they say.
pub(super) fn look_at(terms: &Terms) {
    let _ = (terms.address(), terms.network(), terms.server(), terms.gateway());
    let _ = (terms.renewal(), terms.rebinding(), terms.expiry());
    let _ = (terms.routes(None), terms.answer(Some(5)));
}

#[test]
fn dhcp_messages_are_read_or_passed_over() {
    let corpus = vec![ack(), answer(Kind::Offer).to_bytes(), answer(Kind::Nak).to_bytes()];
    fuzz("dhcp message", Form::Bytes, corpus, |input| {
        let Some(message) = Message::read(input) else { return };
        let _ = (message.option(option::CLIENT_ID), message.address(3), message.number(51));
        Message::read(&message.to_bytes()).expect("what we wrote ourselves");
        look_at(&Terms { ack: message.clone(), since: Duration::from_secs(5) });
        let timing = Timing {
            timeout: Duration::from_secs(5),
            resend_max: Duration::from_secs(60),
            limit: Duration::from_secs(60),
        };
        let seeker =
            Seeker { mac: MAC, id: b"id".to_vec(), options: Vec::new(), broadcast: true, timing };
        let mut now = Duration::from_secs(100);
        let (mut machine, deeds) = Machine::seek(seeker, 1, now);
        // The answers are to questions with this number.
        let mut transaction = sent(&deeds);
        for kind in [Kind::Offer, Kind::Ack, Kind::Ack] {
            let mut heard = message.clone();
            heard.kind = kind;
            heard.transaction = transaction.unwrap_or(heard.transaction);
            let deeds = machine.hear(&heard, Ipv4Addr::new(10, 1, 0, 1), now);
            transaction = sent(&deeds).or(transaction);
            for _ in 0..4 {
                now = machine.wake().unwrap_or(now).max(now + Duration::from_millis(1));
                transaction = sent(&machine.tick(now)).or(transaction);
            }
        }
    });
}

/// The number of the question that is asked by one of the deeds.
fn sent(deeds: &[crate::dhcp::machine::Deed]) -> Option<u32> {
    deeds.iter().find_map(|deed| match deed {
        crate::dhcp::machine::Deed::Send(message, _) => Some(message.transaction),
        _ => None,
    })
}

#[test]
fn dhcp_frames_are_read_or_passed_over() {
    let corpus = vec![
        message::broadcast_frame(&answer(Kind::Ack)),
        message::probe_frame(Ipv4Addr::new(10, 1, 0, 5), MAC),
    ];
    fuzz("dhcp frame", Form::Bytes, corpus, |input| {
        if let Some(Heard::Message(message, _)) = message::read_frame(input) {
            look_at(&Terms { ack: *message, since: Duration::ZERO });
        }
    });
}

/// A connection of which only what comes in matters.
struct Wire<'a>(&'a [u8]);

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn calls_of_the_dhcp_daemon_and_its_answers_are_read_or_refused() {
    fuzz("rpc", Form::Bytes, folder("dhcp"), |input| {
        if let Ok(mut session) = Session::accept(Wire(input)) {
            while let Ok(Some(_)) = session.next_call() {}
        }
        if let Ok(mut client) = Client::open(Wire(input)) {
            let args = CmdArgs {
                container_id: String::new(),
                netns: String::new(),
                ifname: String::new(),
                args: String::new(),
                path: String::new(),
                stdin: Vec::new(),
            };
            let _ = client.call(ALLOCATE, &args);
        }
    });
}

#[test]
fn gob_is_read_or_refused() {
    // Without the HTTP before it.
    let corpus = folder("dhcp").into_iter().map(|whole| {
        let end = whole.windows(2).position(|two| two == b"\n\n").map_or(0, |at| at + 2);
        whole[end..].to_vec()
    });
    fuzz("gob", Form::Bytes, corpus.collect(), |input| {
        let mut decoder = Decoder::new(input);
        while let Ok(Some(_)) = decoder.read() {}
    });
}

#[test]
fn messages_of_dbus_are_read_or_refused() {
    let mut corpus = Vec::new();
    for kind in [dbus::Kind::Call, dbus::Kind::Return, dbus::Kind::Error] {
        corpus.push(dbus::Message::new(kind).encode());
    }
    fuzz("dbus", Form::Bytes, corpus, |input| {
        dbus::Message::decode(input);
        if let Some(fixed) = input.first_chunk() {
            dbus::Message::rest(fixed);
        }
    });
}
