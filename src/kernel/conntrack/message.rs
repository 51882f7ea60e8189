//! Messages of connection tracking (linux/netfilter/nfnetlink_conntrack.h).

use crate::kernel::answer::flags;
use crate::kernel::attr::{Writer, find};

/// `NFNL_SUBSYS_CTNETLINK` with `IPCTNL_MSG_CT_GET`.
const GET: u16 = 0x0101;
/// `NFNL_SUBSYS_CTNETLINK` with `IPCTNL_MSG_CT_DELETE`.
const DELETE: u16 = 0x0102;
/// The length of `struct nfgenmsg`.
const GENERIC: usize = 4;
/// `IPPROTO_UDP`.
const UDP: u8 = 17;

/// `enum ctattr_type`.
const TUPLE_ORIG: u16 = 1;
const ID: u16 = 12;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
/// `enum ctattr_tuple`.
const TUPLE_PROTO: u16 = 2;
/// `enum ctattr_l4proto`.
const PROTO_NUM: u16 = 1;
const PROTO_DST_PORT: u16 = 3;
/// `enum ctattr_filter`.
const FILTER_ORIG_FLAGS: u16 = 1;
const FILTER_REPLY_FLAGS: u16 = 2;
/// `CTA_FILTER_F_CTA_PROTO_NUM` and `CTA_FILTER_F_CTA_PROTO_DST_PORT` of the kernel's
/// net/netfilter/nf_internals.h; in this machine's byte order, unlike all else here.
const BY_PROTOCOL: u32 = 1 << 3;
const BY_PORT: u32 = 1 << 5;

/// What tells one flow from the others, as the kernel listed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow<'a> {
    /// Addresses, protocol and ports of its first packet.
    original: &'a [u8],
    id: Option<&'a [u8]>,
    zone: Option<&'a [u8]>,
}

impl<'a> Flow<'a> {
    /// Reads what follows a message's header; `None` for what is no flow.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let attributes = body.get(GENERIC..)?;
        let original = find(attributes, TUPLE_ORIG)?;
        Some(Self { original, id: find(attributes, ID), zone: find(attributes, ZONE) })
    }

    /// Whether it is of UDP and began towards one of `ports`.
    pub fn is_udp_to(&self, ports: &[u16]) -> bool {
        let is = || {
            let protocol = find(self.original, TUPLE_PROTO)?;
            let port: [u8; 2] = find(protocol, PROTO_DST_PORT)?.try_into().ok()?;
            let is_udp = find(protocol, PROTO_NUM)? == [UDP];
            Some(is_udp && ports.contains(&u16::from_be_bytes(port)))
        };
        is().unwrap_or(false)
    }
}

/// Requests that go out in one datagram.
#[derive(Debug, Default)]
pub struct Requests {
    writer: Writer,
    sequence: u32,
    count: usize,
}

impl Requests {
    /// Forgets what was written. Sequence numbers go on.
    pub fn clear(&mut self) {
        self.writer.clear();
        self.count = 0;
    }

    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        self.writer.as_bytes()
    }

    /// How many requests were written.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Asks for the flows of one family; `filtered` for those of UDP, and to `port`, alone. Kernels
    /// before 5.8 take no notice of the filter. Gives the sequence number.
    pub fn list(&mut self, v6: bool, filtered: bool, port: Option<u16>) -> u32 {
        self.put(GET, flags::REQUEST | flags::DUMP, v6, |writer| {
            if !filtered {
                return;
            }
            writer.nested(TUPLE_ORIG, |tuple| {
                tuple.nested(TUPLE_PROTO, |protocol| {
                    protocol.bytes(PROTO_NUM, &[UDP]);
                    if let Some(port) = port {
                        protocol.bytes(PROTO_DST_PORT, &port.to_be_bytes());
                    }
                });
            });
            let by = BY_PROTOCOL | port.map_or(0, |_| BY_PORT);
            writer.nested(FILTER, |filter| {
                filter.bytes(FILTER_ORIG_FLAGS, &by.to_ne_bytes());
                filter.bytes(FILTER_REPLY_FLAGS, &0u32.to_ne_bytes());
            });
        });
        self.sequence
    }

    /// Asks for one flow to be forgotten; the identification keeps a later one of the same addresses
    /// and ports safe.
    pub fn delete(&mut self, v6: bool, flow: &Flow<'_>) {
        self.put(DELETE, flags::REQUEST, v6, |writer| {
            writer.nested(TUPLE_ORIG, |tuple| tuple.raw(flow.original));
            for (kind, value) in [(ID, flow.id), (ZONE, flow.zone)] {
                if let Some(value) = value {
                    writer.bytes(kind, value);
                }
            }
        });
    }

    fn put(&mut self, kind: u16, flags: u16, v6: bool, attributes: impl FnOnce(&mut Writer)) {
        self.sequence = self.sequence.wrapping_add(1);
        self.count = self.count.saturating_add(1);
        let start = self.writer.len();
        self.writer.raw(&[0; 4]);
        self.writer.raw(&kind.to_ne_bytes());
        self.writer.raw(&flags.to_ne_bytes());
        self.writer.raw(&self.sequence.to_ne_bytes());
        self.writer.raw(&[0; 4]);
        let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
        self.writer.raw(&[u8::try_from(family).unwrap_or_default(), 0, 0, 0]);
        attributes(&mut self.writer);
        let length = self.writer.len().saturating_sub(start);
        self.writer.patch(start, &u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// A flow as the kernel lists it: 192.0.2.2:4444 to 192.0.2.1:`port`.
    fn listed(protocol: u8, port: u16, zone: Option<u16>) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.raw(&[2, 0, 0, 0]);
        writer.nested(TUPLE_ORIG, |tuple| {
            tuple.nested(1, |ip| {
                ip.bytes(1, &[192, 0, 2, 2]);
                ip.bytes(2, &[192, 0, 2, 1]);
            });
            tuple.nested(TUPLE_PROTO, |proto| {
                proto.bytes(PROTO_NUM, &[protocol]);
                proto.bytes(2, &4444u16.to_be_bytes());
                proto.bytes(PROTO_DST_PORT, &port.to_be_bytes());
            });
        });
        writer.u32(3, 8);
        writer.bytes(ID, &[1, 2, 3, 4]);
        if let Some(zone) = zone {
            writer.bytes(ZONE, &zone.to_be_bytes());
        }
        writer.as_bytes().to_vec()
    }

    #[test]
    fn protocol_and_original_port_decide() {
        for (protocol, port, is) in
            [(17, 53, true), (17, 8080, true), (17, 54, false), (6, 53, false), (132, 53, false)]
        {
            let bytes = listed(protocol, port, None);
            let flow = Flow::read(&bytes).unwrap();
            assert_eq!(flow.is_udp_to(&[53, 8080]), is, "{protocol} {port}");
        }
        // The source port is none of it.
        assert!(!Flow::read(&listed(17, 53, None)).unwrap().is_udp_to(&[4444]));
    }

    #[test]
    fn what_is_cut_off_is_no_flow() {
        let bytes = listed(17, 53, None);
        for length in 0..bytes.len() {
            let flow = Flow::read(&bytes[..length]);
            if length < 52 {
                assert!(flow.is_none_or(|flow| !flow.is_udp_to(&[53])), "{length}");
            }
        }
        assert_eq!(Flow::read(&[2, 0, 0, 0]), None);
    }

    #[test]
    fn a_deletion_names_tuple_id_and_zone_as_listed() {
        for zone in [None, Some(7)] {
            let bytes = listed(17, 53, zone);
            let mut requests = Requests::default();
            requests.delete(false, &Flow::read(&bytes).unwrap());
            let sent = requests.as_bytes();
            assert_eq!(sent[..4], u32::try_from(sent.len()).unwrap().to_ne_bytes());
            assert_eq!(sent[4..8], [2, 1, 1, 0]);
            let (asked, told) = (&sent[20..], &bytes[4..]);
            for kind in [TUPLE_ORIG, ID, ZONE] {
                assert_eq!(find(asked, kind), find(told, kind), "{kind}");
            }
            assert_eq!(find(asked, 3), None, "the status is no part of it");
        }
    }

    #[test]
    fn lists_are_asked_for_as_narrow_as_can_be() {
        let mut requests = Requests::default();
        let first = requests.list(true, true, Some(53));
        let sent = requests.as_bytes();
        assert_eq!(sent[4..8], [1, 1, 1, 3]);
        assert_eq!(sent[16], 10);
        let proto = find(find(&sent[20..], TUPLE_ORIG).unwrap(), TUPLE_PROTO).unwrap();
        assert_eq!(find(proto, PROTO_DST_PORT), Some(&[0, 53][..]));
        let filter = find(&sent[20..], FILTER).unwrap();
        assert_eq!(find(filter, FILTER_ORIG_FLAGS), Some(&0x28u32.to_ne_bytes()[..]));
        requests.clear();
        assert_eq!(requests.list(false, false, None), first + 1);
        assert_eq!(requests.as_bytes().len(), 20);
    }
}
