//! Messages and frames, there and back.

use super::*;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

fn message() -> Message {
    let mut message = Message::new(Kind::Request, 0x1234_5678, MAC);
    message.seconds = 7;
    message.broadcast = true;
    message.client = Ipv4Addr::new(10, 9, 0, 5);
    message.set(option::CLIENT_ID, *b"\0abc/net/eth0");
    message.set(option::REQUEST_LIST, [1, 3]);
    message
}

#[test]
fn a_message_comes_back_out_of_its_frame() {
    let frame = broadcast_frame(&message());
    assert_eq!(read_frame(&frame), Some(Heard::Message(Box::new(message()), message().client)));
}

#[test]
fn options_may_come_in_pieces() {
    let mut long = message();
    long.options = vec![(121, vec![1, 2]), (3, vec![10, 0, 0, 1]), (121, vec![3])];
    let back = Message::read(&long.to_bytes()).unwrap();
    assert_eq!(back.option(121), Some([1, 2, 3].as_slice()));
    assert_eq!(back.address(3), Some(Ipv4Addr::new(10, 0, 0, 1)));
}

#[test]
fn an_option_that_is_set_again_is_replaced() {
    let mut message = message();
    message.set(option::CLIENT_ID, *b"mine");
    assert_eq!(message.option(option::CLIENT_ID), Some(b"mine".as_slice()));
    assert_eq!(message.options.len(), 2);
}

#[test]
fn who_speaks_from_an_address_claims_it() {
    let address = Ipv4Addr::new(10, 9, 0, 5);
    let mut frame = probe_frame(address, MAC);
    assert_eq!(read_frame(&frame), None, "a probe is a question only");
    // The sender's address, behind two hardware headers.
    frame[28..32].copy_from_slice(&address.octets());
    assert_eq!(read_frame(&frame), Some(Heard::Claim(address, MAC)));
}

#[test]
fn damaged_frames_are_passed_over() {
    let good = broadcast_frame(&message());
    for cut in 0..good.len() {
        read_frame(&good[..cut]);
    }
    for place in 0..good.len() {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut bad = good.clone();
            bad[place] = byte;
            read_frame(&bad);
        }
    }
    let probe = probe_frame(Ipv4Addr::UNSPECIFIED, MAC);
    for cut in 0..probe.len() {
        read_frame(&probe[..cut]);
    }
}

/// RFC 2132, section 9.3: options in the fields for a file and a server name, of which the second
/// continues one of the first.
#[test]
fn options_may_be_in_the_fields_for_names() {
    let mut reply = Message::new(Kind::Ack, 1, MAC);
    reply.set(option::OVERLOAD, [3]);
    let mut bytes = reply.to_bytes();
    let file = [0, 3, 4, 10, 0, 0, 1, 121, 2, 1, 2, 255, 9, 9];
    bytes[108..108 + file.len()].copy_from_slice(&file);
    let name = [121, 1, 3, 51, 4, 0, 0, 1, 0, 255];
    bytes[44..44 + name.len()].copy_from_slice(&name);
    let read = Message::read(&bytes).unwrap();
    let options = [(3, vec![10, 0, 0, 1]), (121, vec![1, 2, 3]), (51, vec![0, 0, 1, 0])];
    assert_eq!(read.options, options);
    // Where the message does not say so, the fields are names.
    reply.options.clear();
    let mut bytes = reply.to_bytes();
    bytes[108..108 + file.len()].copy_from_slice(&file);
    assert_eq!(Message::read(&bytes).unwrap().options, []);
    // One that is cut off ends them.
    reply.set(option::OVERLOAD, [1]);
    let mut bytes = reply.to_bytes();
    bytes[108..236].fill(0);
    bytes[234..236].copy_from_slice(&[3, 200]);
    assert_eq!(Message::read(&bytes).unwrap().options, []);
}
