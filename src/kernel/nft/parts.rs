//! What rules are made of that somebody else has made, as far as anybody here asks: addresses,
//! interfaces, the names of iptables matches, and the decision.

use super::attribute;
use super::expr::{Compare, Header, Meta};
use crate::kernel::attr::{Reader, find, find_str, find_u32};

/// One expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Loads bytes of the network header, from an offset on.
    Network {
        /// Bytes.
        offset: u32,
        /// Bytes.
        length: u32,
    },
    /// Loads the name of the incoming interface.
    IncomingName,
    /// Loads the name of the outgoing interface.
    OutgoingName,
    /// Goes on only if what was loaded is, or is not, this.
    Compare(Compare, &'a [u8]),
    /// A match of iptables, by its name (`nft_compat`).
    Match(&'a str),
    /// Lets the packet pass.
    Accept,
    /// Throws it away.
    Drop,
    /// Goes back to the calling chain.
    Return,
    /// Calls a chain.
    Jump(&'a str),
    /// Counts packets.
    Counter,
    /// Anything else.
    Other,
}

/// Reads a rule's list of expressions.
pub(super) fn read(expressions: &[u8]) -> impl Iterator<Item = Part<'_>> {
    Reader::new(expressions).map(|expr| part(expr.value).unwrap_or(Part::Other))
}

fn part(expr: &[u8]) -> Option<Part<'_>> {
    let name = find_str(expr, attribute::EXPR_NAME)?;
    let data = || find(expr, attribute::EXPR_DATA);
    Some(match name {
        "payload" => {
            let (data, header) = (data()?, Header::Network as u32);
            if find_u32(data, 2)? != header {
                return None;
            }
            Part::Network { offset: find_u32(data, 3)?, length: find_u32(data, 4)? }
        }
        "meta" => match find_u32(data()?, 2)? {
            key if key == Meta::IncomingName as u32 => Part::IncomingName,
            key if key == Meta::OutgoingName as u32 => Part::OutgoingName,
            _ => return None,
        },
        "cmp" => {
            let data = data()?;
            let how = match find_u32(data, 2)? {
                how if how == Compare::Equal as u32 => Compare::Equal,
                how if how == Compare::NotEqual as u32 => Compare::NotEqual,
                _ => return None,
            };
            Part::Compare(how, find(find(data, 3)?, attribute::DATA_VALUE)?)
        }
        "match" => Part::Match(find_str(data()?, 1)?),
        "immediate" => {
            let verdict = find(find(data()?, 2)?, 2)?;
            match find_u32(verdict, 1)?.cast_signed() {
                1 => Part::Accept,
                0 => Part::Drop,
                -5 => Part::Return,
                -3 => Part::Jump(find_str(verdict, 2)?),
                _ => return None,
            }
        }
        "counter" => Part::Counter,
        _ => return None,
    })
}
