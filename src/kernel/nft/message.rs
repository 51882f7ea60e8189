//! Netlink messages of the nf_tables subsystem: header, `nfgenmsg`, attributes (nfnetlink.h).

use super::table::Family;
use crate::kernel::answer::Object;
use crate::kernel::attr::Writer;

pub use crate::kernel::answer::flags;

/// The message types (`enum nf_tables_msg_types`), without the subsystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Kind {
    NewTable = 0,
    GetTable = 1,
    DelTable = 2,
    NewChain = 3,
    GetChain = 4,
    DelChain = 5,
    NewRule = 6,
    GetRule = 7,
    DelRule = 8,
    NewSet = 9,
    GetSet = 10,
    DelSet = 11,
    NewElement = 12,
    GetElement = 13,
    DelElement = 14,
    NewGeneration = 15,
    GetGeneration = 16,
}

/// `NFNL_SUBSYS_NFTABLES`: the upper byte of a message's type, and a batch's resource.
const SUBSYSTEM: u8 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// `NFNL_BATCH_GENID` (linux/netfilter/nfnetlink.h).
const BATCH_GENERATION: u16 = 1;
/// The length of `struct nfgenmsg`.
const GENERIC: usize = 4;
/// Where `nlmsg_flags` is in the header.
const FLAGS_AT: usize = 6;

/// Several messages that go to the kernel in one datagram.
#[derive(Debug, Default)]
pub struct Messages {
    writer: Writer,
    sequence: u32,
    last: usize,
}

impl Messages {
    /// Starts anew: forgets what was written. Sequence numbers go on.
    pub fn clear(&mut self) {
        self.writer.clear();
        self.last = 0;
    }

    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        self.writer.as_bytes()
    }

    /// Opens a transaction. Gives the sequence number, as all writing methods do.
    pub fn begin(&mut self) -> u32 {
        self.put(BATCH_BEGIN, flags::REQUEST, 0, u16::from(SUBSYSTEM), |_| {})
    }

    /// As [`Self::begin`], for a transaction that the kernel refuses (`ERESTART`) when its rules are no longer
    /// of this generation ([`super::Socket::generation`]).
    pub fn begin_from(&mut self, generation: u32) -> u32 {
        self.put(BATCH_BEGIN, flags::REQUEST, 0, u16::from(SUBSYSTEM), |writer| {
            writer.u32(BATCH_GENERATION, generation);
        })
    }

    /// Closes a transaction.
    pub fn end(&mut self) -> u32 {
        let last = self.last;
        let sequence = self.put(BATCH_END, flags::REQUEST, 0, u16::from(SUBSYSTEM), |_| {});
        self.last = last;
        sequence
    }

    /// A request; `attributes` writes what it is about.
    pub fn request(
        &mut self,
        kind: Kind,
        more_flags: u16,
        family: Family,
        attributes: impl FnOnce(&mut Writer),
    ) -> u32 {
        let kind = u16::from_be_bytes([SUBSYSTEM, kind as u8]);
        self.put(kind, flags::REQUEST | more_flags, family as u8, 0, attributes)
    }

    /// Asks for an acknowledgement of the last request written, [`Self::end`] aside.
    pub fn acknowledge_last(&mut self) {
        let at = self.last.saturating_add(FLAGS_AT);
        let flags = self.writer.as_bytes().get(at..).and_then(|bytes| bytes.first_chunk::<2>());
        if let Some(flags) = flags {
            let flags = u16::from_ne_bytes(*flags) | flags::ACK;
            self.writer.patch(at, &flags.to_ne_bytes());
        }
    }

    fn put(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        resource: u16,
        attributes: impl FnOnce(&mut Writer),
    ) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        let start = self.writer.len();
        self.last = start;
        self.writer.raw(&[0; 4]);
        self.writer.raw(&kind.to_ne_bytes());
        self.writer.raw(&flags.to_ne_bytes());
        self.writer.raw(&self.sequence.to_ne_bytes());
        self.writer.raw(&[0; 4]);
        self.writer.raw(&[family, 0]);
        self.writer.raw(&resource.to_be_bytes());
        attributes(&mut self.writer);
        let length = self.writer.len().saturating_sub(start);
        self.writer.patch(start, &u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        self.sequence
    }
}

/// The attributes of an object that the kernel answered with.
pub fn attributes<'a>(object: &Object<'a>) -> &'a [u8] {
    object.body.get(GENERIC..).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_framed_as_nft_frames_it() {
        let mut messages = Messages::default();
        messages.begin();
        messages.request(Kind::NewTable, flags::CREATE, Family::Inet, |w| w.string(1, "t"));
        messages.end();
        messages.acknowledge_last();
        let bytes = messages.as_bytes();
        assert_eq!(bytes[..20], [20, 0, 0, 0, 0x10, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10]);
        // CREATE, ACK and REQUEST together; family 1 is NFPROTO_INET.
        assert_eq!(bytes[20..40], [28, 0, 0, 0, 0, 10, 5, 4, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(bytes[48..54], [20, 0, 0, 0, 0x11, 0]);
        assert_eq!(bytes.len(), 68);
    }
}
