#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::*;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 5);

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(1_000_000 + milliseconds)
}

fn client() -> Client {
    Client {
        mac: MAC,
        id: b"abc/net/eth0".to_vec(),
        options: vec![(option::REQUEST_LIST, vec![3, 1])],
        broadcast: false,
        timing: Timing {
            timeout: Duration::from_secs(10),
            resend_max: Duration::from_secs(62),
            limit: Duration::from_secs(208),
        },
    }
}

/// The one message among deeds.
fn sent(deeds: &[Deed]) -> (&Message, To) {
    let mut sent = deeds.iter().filter_map(|deed| match deed {
        Deed::Send(message, to) => Some((message, *to)),
        _ => None,
    });
    let one = sent.next().unwrap_or_else(|| panic!("nothing sent: {deeds:?}"));
    assert!(sent.next().is_none(), "{deeds:?}");
    one
}

fn reply(kind: Kind, to: &Message, lease_seconds: u32) -> Message {
    let mut reply = Message::new(kind, to.transaction, to.mac);
    if kind != Kind::Nak {
        reply.yours = ADDRESS;
        reply.set(option::LEASE_TIME, lease_seconds.to_be_bytes());
        reply.set(option::SUBNET_MASK, [255, 255, 255, 0]);
    }
    reply.set(option::SERVER, SERVER.octets());
    reply
}

/// A machine that holds a lease from time 0 (milliseconds) on.
fn bound(lease_seconds: u32) -> Machine {
    let (mut machine, deeds) = Machine::seek(client(), 1, at(0));
    let offer = reply(Kind::Offer, sent(&deeds).0, lease_seconds);
    let deeds = machine.hear(&offer, SERVER, at(0));
    let ack = reply(Kind::Ack, sent(&deeds).0, lease_seconds);
    assert_eq!(machine.hear(&ack, SERVER, at(1)), []);
    assert!(matches!(machine.tick(at(10))[..], [Deed::Hold(_)]));
    machine
}

#[test]
fn an_address_is_sought_asked_for_and_probed() {
    let (mut machine, deeds) = Machine::seek(client(), 1, at(0));
    let (discover, to) = sent(&deeds);
    assert_eq!((discover.kind, to), (Kind::Discover, To::Everybody));
    assert_eq!(discover.option(option::CLIENT_ID).unwrap(), b"\0abc/net/eth0");
    assert_eq!(discover.option(option::REQUEST_LIST).unwrap(), [3, 1]);
    let offer = reply(Kind::Offer, discover, 100);
    let mut strange = offer.clone();
    strange.transaction ^= 1;
    assert_eq!(machine.hear(&strange, SERVER, at(1)), []);

    let deeds = machine.hear(&offer, SERVER, at(2));
    let (request, to) = sent(&deeds);
    assert_eq!((request.kind, to), (Kind::Request, To::Everybody));
    assert_eq!(request.address(option::REQUESTED_ADDRESS), Some(ADDRESS));
    assert_eq!(request.address(option::SERVER), Some(SERVER));
    assert!(request.client.is_unspecified());
    assert_eq!(deeds[1], Deed::Probe(ADDRESS));

    let ack = reply(Kind::Ack, request, 100);
    assert_eq!(machine.hear(&ack, SERVER, at(3)), []);
    assert_eq!(machine.wake(), Some(at(10)));
    assert_eq!(machine.tick(at(9)), []);
    let held = Terms { ack, since: at(2) };
    assert_eq!(machine.tick(at(10)), [Deed::Hold(held)]);
    assert!(!machine.is_talking());
    assert_eq!(machine.wake(), Some(at(50_002)));
}

/// Others are given longer where the server itself takes longer, and never for ever.
#[test]
fn a_claim_is_waited_for_as_the_server_is_quick() {
    for (offered, until) in [(0, 3), (1, 5), (2, 10), (3, 13), (5000, 5010)] {
        let (mut machine, deeds) = Machine::seek(client(), 1, at(0));
        let deeds = machine.hear(&reply(Kind::Offer, sent(&deeds).0, 100), SERVER, at(offered));
        let ack = reply(Kind::Ack, sent(&deeds).0, 100);
        assert_eq!(machine.hear(&ack, SERVER, at(offered)), []);
        assert_eq!(machine.wake(), Some(at(until)), "an offer after {offered} ms");
    }
}

#[test]
fn a_slow_server_is_not_waited_for_any_longer() {
    let (mut machine, deeds) = Machine::seek(client(), 1, at(0));
    let deeds = machine.hear(&reply(Kind::Offer, sent(&deeds).0, 100), SERVER, at(2));
    let ack = reply(Kind::Ack, sent(&deeds).0, 100);
    assert!(matches!(machine.hear(&ack, SERVER, at(500))[..], [Deed::Hold(_)]));
}

#[test]
fn an_identifier_of_ones_own_stands_in_every_message() {
    let mut client = client();
    client.options.push((option::CLIENT_ID, b"mine".to_vec()));
    let (mut machine, deeds) = Machine::seek(client, 1, at(0));
    assert_eq!(sent(&deeds).0.option(option::CLIENT_ID), Some(b"mine".as_slice()));
    let deeds = machine.hear(&reply(Kind::Offer, sent(&deeds).0, 100), SERVER, at(0));
    machine.hear(&reply(Kind::Ack, sent(&deeds).0, 100), SERVER, at(500));
    let deeds = machine.stop(at(600));
    assert_eq!(sent(&deeds).0.option(option::CLIENT_ID), Some(b"mine".as_slice()));
}

#[test]
fn silence_ends_at_the_limit_with_what_was_sent() {
    let (mut machine, deeds) = Machine::seek(client(), 1, at(0));
    let mut count = deeds.len();
    let mut transactions = vec![sent(&deeds).0.transaction];
    loop {
        let wake = machine.wake().unwrap();
        assert!(wake <= at(208_000));
        let deeds = machine.tick(wake);
        if let [Deed::Over(text)] = &deeds[..] {
            assert_eq!(wake, at(208_000));
            let expected =
                format!("no DHCP server answers: in 208 s sent {count} DISCOVER, heard nothing");
            assert_eq!(text, &expected);
            break;
        }
        count += 1;
        transactions.push(sent(&deeds).0.transaction);
    }
    assert!((8..20).contains(&count), "{count}");
    transactions.dedup();
    assert!(transactions.len() > 2, "a question is asked anew after its time");
    assert!(machine.is_over() && machine.wake().is_none());
}

#[test]
fn a_lost_request_is_sent_again_and_then_begun_anew() {
    let (mut machine, deeds) = Machine::seek(client(), 1, at(0));
    let deeds = machine.hear(&reply(Kind::Offer, sent(&deeds).0, 100), SERVER, at(0));
    let first = sent(&deeds).0.clone();
    let wake = machine.wake().unwrap();
    assert_eq!(wake, at(250));
    let deeds = machine.tick(wake);
    assert_eq!(sent(&deeds).0.kind, Kind::Request);
    assert_eq!(sent(&deeds).0.transaction, first.transaction);
    let deeds = machine.tick(at(30_000));
    assert_eq!(sent(&deeds).0.kind, Kind::Discover);
    assert_ne!(sent(&deeds).0.transaction, first.transaction);
}

#[test]
fn a_nak_is_followed_by_a_new_search_and_told() {
    let (mut machine, mut deeds) = Machine::seek(client(), 1, at(0));
    let mut now = at(0);
    let text = loop {
        if let [Deed::Over(text)] = &deeds[..] {
            break text.clone();
        }
        let discover = sent(&deeds).0.clone();
        deeds = machine.hear(&reply(Kind::Offer, &discover, 100), SERVER, now);
        let mut nak = reply(Kind::Nak, sent(&deeds).0, 0);
        nak.set(option::MESSAGE, *b"wrong network");
        assert_eq!(machine.hear(&nak, SERVER, now), []);
        let wake = machine.wake().unwrap();
        assert!(wake > now);
        now = wake;
        deeds = machine.tick(now);
    };
    assert!(text.starts_with("the DHCP server refuses: in 208 s sent "), "{text}");
    assert!(text.contains("NAK, the last from 10.9.0.1 (\"wrong network\")"), "{text}");
}

#[test]
fn a_taken_address_is_declined_thrice() {
    let (mut machine, mut deeds) = Machine::seek(client(), 1, at(0));
    for round in 1..=3 {
        let discover = sent(&deeds[deeds.len() - 1..]).0.clone();
        assert_eq!(discover.kind, Kind::Discover);
        deeds = machine.hear(&reply(Kind::Offer, &discover, 100), SERVER, at(0));
        let ack = reply(Kind::Ack, sent(&deeds).0, 100);
        // Before the ACK as well as after.
        deeds = if round == 2 {
            assert_eq!(machine.hear_claim(ADDRESS, OTHER, at(1)), []);
            machine.hear(&ack, SERVER, at(2))
        } else {
            assert_eq!(machine.hear(&ack, SERVER, at(2)), []);
            assert_eq!(machine.hear_claim(ADDRESS, MAC, at(3)), []);
            assert_eq!(machine.hear_claim(SERVER, OTHER, at(3)), []);
            machine.hear_claim(ADDRESS, OTHER, at(3))
        };
        let (decline, _) = sent(&deeds[..1]);
        assert_eq!(decline.kind, Kind::Decline);
        assert_eq!(decline.address(option::REQUESTED_ADDRESS), Some(ADDRESS));
    }
    let Deed::Over(text) = &deeds[1] else { panic!("{deeds:?}") };
    assert!(text.contains("10.9.0.5, which 02:00:00:00:00:02 has"), "{text}");
}

#[test]
fn a_lease_is_renewed_with_its_server_at_t1() {
    let mut machine = bound(100);
    assert_eq!(machine.tick(at(49_999)), []);
    let deeds = machine.tick(at(50_000));
    let (request, to) = sent(&deeds);
    assert_eq!((request.kind, to), (Kind::Request, To::Server(SERVER)));
    assert_eq!(request.client, ADDRESS);
    assert_eq!(request.option(option::SERVER), None);
    assert_eq!(request.option(option::REQUESTED_ADDRESS), None);
    assert!(machine.is_talking() && machine.terms().is_some());
    let ack = reply(Kind::Ack, request, 100);
    let deeds = machine.hear(&ack, SERVER, at(50_005));
    assert_eq!(deeds, [Deed::Hold(Terms { ack, since: at(50_000) })]);
    assert_eq!(machine.wake(), Some(at(100_000)));
}

#[test]
fn a_lease_is_rebound_with_anybody_at_t2_and_ends_in_time() {
    let mut machine = bound(100);
    let mut now;
    let mut renewals = 0;
    let mut rebindings = 0;
    loop {
        now = machine.wake().unwrap();
        let deeds = machine.tick(now);
        if let [Deed::Over(text)] = &deeds[..] {
            assert_eq!(text, "the lease of 10.9.0.5 is over; no server renewed it");
            break;
        }
        match sent(&deeds).1 {
            To::Server(_) => {
                assert!(now < at(85_000) && rebindings == 0);
                renewals += 1;
            }
            To::Everybody => {
                assert!(now >= at(85_000));
                rebindings += 1;
            }
        }
    }
    assert_eq!(now, at(100_000));
    assert!(renewals > 3 && rebindings > 2, "{renewals} {rebindings}");
}

#[test]
fn a_daemon_that_slept_past_the_end_gives_the_lease_up() {
    let mut machine = bound(100);
    assert!(matches!(machine.tick(at(200_000))[..], [Deed::Over(_)]));
}

#[test]
fn a_lease_that_is_revoked_is_sought_anew() {
    let mut machine = bound(100);
    let deeds = machine.tick(at(50_000));
    let nak = reply(Kind::Nak, sent(&deeds).0, 0);
    let deeds = machine.hear(&nak, SERVER, at(50_001));
    assert_eq!(deeds[0], Deed::Revoked);
    assert_eq!(sent(&deeds).0.kind, Kind::Discover);
    assert!(machine.terms().is_none());
    // The limit counts from here.
    assert!(machine.tick(at(250_000)).iter().all(|deed| !matches!(deed, Deed::Over(_))));
}

#[test]
fn what_is_held_is_given_back() {
    let mut machine = bound(100);
    let deeds = machine.stop(at(1000));
    let (release, to) = sent(&deeds);
    assert_eq!((release.kind, to), (Kind::Release, To::Everybody));
    assert_eq!(release.client, ADDRESS);
    assert_eq!(release.option(option::CLIENT_ID).unwrap(), b"\0abc/net/eth0");
    assert_eq!(machine.stop(at(1001)), []);
    let (mut seeking, _) = Machine::seek(client(), 1, at(0));
    assert_eq!(seeking.stop(at(1)), []);
}

#[test]
fn a_lease_for_ever_is_left_alone() {
    let machine = bound(u32::MAX);
    assert_eq!(machine.wake(), None);
    assert!(machine.terms().is_some());
}
