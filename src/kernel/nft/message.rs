//! Netlink messages of the nf_tables subsystem: header, `nfgenmsg`, attributes (nfnetlink.h).

use super::table::Family;
use crate::kernel::attr::Writer;

/// `NLM_F_REQUEST` and the flags that requests combine (linux/netlink.h).
pub mod flags {
    /// A request, as opposed to an answer.
    pub const REQUEST: u16 = 0x1;
    /// Answer also when all went well.
    pub const ACK: u16 = 0x4;
    /// Fail when it is already there.
    pub const EXCL: u16 = 0x200;
    /// Make it when it is not there.
    pub const CREATE: u16 = 0x400;
    /// Put a rule at the end of its chain.
    pub const APPEND: u16 = 0x800;
    /// List all that match.
    pub const DUMP: u16 = 0x300;
}

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
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_MULTI: u16 = 0x2;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// The length of `struct nlmsghdr`.
const HEADER: usize = 16;
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

/// One message of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The sequence number of the request that it answers.
    pub sequence: u32,
    /// Whether a dump says that it was overtaken by a change (`NLM_F_DUMP_INTR`).
    pub torn: bool,
    /// What it says.
    pub said: Said<'a>,
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// Done, or the end of a dump.
    Done,
    /// Refused, with the positive errno and the kernel's text.
    Refused(i32, Option<&'a str>),
    /// An object: its attributes, and whether more may follow (`NLM_F_MULTI`).
    Object(&'a [u8], bool),
}

/// The first answer in `data` and what follows it; `None` at the end or when the length is wrong.
pub fn split(data: &[u8]) -> Option<(Answer<'_>, &[u8])> {
    let half = |at: usize| data.get(at..)?.first_chunk::<2>().map(|b| u16::from_ne_bytes(*b));
    let word = |at: usize| data.get(at..)?.first_chunk::<4>().map(|b| u32::from_ne_bytes(*b));
    let length = usize::try_from(word(0)?).ok()?;
    let kind = half(4)?;
    let flags = half(FLAGS_AT)?;
    let body = data.get(HEADER..length)?;
    let said = match kind {
        NLMSG_DONE | NLMSG_ERROR => match body.first_chunk::<4>().map(|b| i32::from_ne_bytes(*b)) {
            Some(code) if code < 0 => {
                let said = if flags & NLM_F_ACK_TLVS != 0 { extended(kind, body) } else { None };
                Said::Refused(code.saturating_neg(), said)
            }
            _ => Said::Done,
        },
        _ => Said::Object(body.get(GENERIC..)?, flags & NLM_F_MULTI != 0),
    };
    let answer = Answer { sequence: word(8)?, torn: flags & NLM_F_DUMP_INTR != 0, said };
    Some((answer, data.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The text of an extended acknowledgement. In an error message the refused request's header stands
/// before it (`NETLINK_CAP_ACK` leaves its body out), at the end of a dump nothing does.
fn extended(kind: u16, body: &[u8]) -> Option<&str> {
    let skip = if kind == NLMSG_ERROR { 4 + HEADER } else { 4 };
    crate::kernel::attr::find_str(body.get(skip..)?, NLMSGERR_ATTR_MSG)
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

    #[test]
    fn refusals_carry_errno_and_text() {
        let mut data = Vec::new();
        data.extend_from_slice(&52u32.to_ne_bytes());
        data.extend_from_slice(&NLMSG_ERROR.to_ne_bytes());
        data.extend_from_slice(&NLM_F_ACK_TLVS.to_ne_bytes());
        data.extend_from_slice(&9u32.to_ne_bytes());
        data.extend_from_slice(&[0; 4]);
        data.extend_from_slice(&(-2i32).to_ne_bytes());
        data.extend_from_slice(&[0; 16]);
        let mut writer = Writer::default();
        writer.string(NLMSGERR_ATTR_MSG, "no table");
        data.extend_from_slice(writer.as_bytes());
        let (answer, rest) = split(&data).unwrap();
        assert_eq!(answer.sequence, 9);
        assert_eq!(answer.said, Said::Refused(2, Some("no table")));
        assert!(rest.is_empty());
        assert_eq!(split(&data[..30]), None);
    }
}
