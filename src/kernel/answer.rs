//! Netlink's own framing: the flags of requests, and what the kernel answers (linux/netlink.h).

use super::attr;

/// `NLM_F_REQUEST` and the flags that requests combine.
pub mod flags {
    /// A request, as opposed to an answer.
    pub const REQUEST: u16 = 0x1;
    /// Answer also when all went well.
    pub const ACK: u16 = 0x4;
    /// Hear of one's own change, or of what one asks for where the answer is a notification.
    pub const ECHO: u16 = 0x8;
    /// Fail when it is already there.
    pub const EXCL: u16 = 0x200;
    /// `NLM_F_REPLACE`: what is there gives way.
    pub const REPLACE: u16 = 0x100;
    /// Make it when it is not there.
    pub const CREATE: u16 = 0x400;
    /// Put it at the end of what is there.
    pub const APPEND: u16 = 0x800;
    /// List all that match.
    pub const DUMP: u16 = 0x300;
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_MULTI: u16 = 0x2;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// The length of `struct nlmsghdr`.
const HEADER: usize = 16;

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
    /// An object.
    Object(Object<'a>),
}

/// An object that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object<'a> {
    /// The message's type.
    pub kind: u16,
    /// The whole message, header included.
    pub message: &'a [u8],
    /// What follows the header: the family's own header, then attributes.
    pub body: &'a [u8],
    /// Whether more may follow (`NLM_F_MULTI`).
    pub more: bool,
}

/// The first answer in `data` and what follows it; `None` at the end or when the length is wrong.
pub fn split(data: &[u8]) -> Option<(Answer<'_>, &[u8])> {
    let half = |at: usize| data.get(at..)?.first_chunk::<2>().map(|b| u16::from_ne_bytes(*b));
    let word = |at: usize| data.get(at..)?.first_chunk::<4>().map(|b| u32::from_ne_bytes(*b));
    let length = usize::try_from(word(0)?).ok()?;
    let kind = half(4)?;
    let flags = half(6)?;
    let message = data.get(..length)?;
    let body = message.get(HEADER..)?;
    let said = match kind {
        NLMSG_DONE | NLMSG_ERROR => match body.first_chunk::<4>().map(|b| i32::from_ne_bytes(*b)) {
            Some(code) if code < 0 => {
                let said = if flags & NLM_F_ACK_TLVS != 0 { extended(kind, body) } else { None };
                Said::Refused(code.saturating_neg(), said)
            }
            _ => Said::Done,
        },
        _ => Said::Object(Object { kind, message, body, more: flags & NLM_F_MULTI != 0 }),
    };
    let answer = Answer { sequence: word(8)?, torn: flags & NLM_F_DUMP_INTR != 0, said };
    Some((answer, data.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The text of an extended acknowledgement. In an error message the refused request's header stands
/// before it (`NETLINK_CAP_ACK` leaves its body out), at the end of a dump nothing does.
fn extended(kind: u16, body: &[u8]) -> Option<&str> {
    let skip = if kind == NLMSG_ERROR { 4 + HEADER } else { 4 };
    attr::find_str(body.get(skip..)?, NLMSGERR_ATTR_MSG)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::kernel::attr::Writer;

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
