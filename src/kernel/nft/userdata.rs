//! Comments, kept the way `nft` keeps them, so that `nft list` shows them.
//!
//! The kernel stores "user data" with tables, chains, sets, rules and elements without reading it.
//! nft puts attributes of one byte kind and one byte length there; comments end with a NUL.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::expr::Meta;
use super::set::Field;
use crate::kernel::attr::Writer;

/// Kind 0 is the comment in the user data of tables, chains, rules and elements.
const COMMENT: u8 = 0;
/// In a set's user data, kind 0 is the byte order of the key ...
const SET_KEY_BYTE_ORDER: u8 = 0;
/// ... the key as an expression is kind 3 ...
const SET_KEY_TYPEOF: u8 = 3;
/// ... and the comment is kind 7.
const SET_COMMENT: u8 = 7;
/// Of an expression: which it is, and what belongs to it.
const EXPRESSION: u8 = 0;
const DETAILS: u8 = 1;
/// nft's numbers for expressions (`enum expr_types`).
const PAYLOAD: u32 = 7;
const META: u32 = 9;
const CONCATENATION: u32 = 13;
/// The longest comment that nft reads back (`NFTNL_UDATA_COMMENT_MAXLEN`).
const LONGEST: usize = 128;
/// Bytes of the hash that stands for what was cut off, as hex digits twice as many.
const HASH: usize = 16;

/// The comment that names `owner`: the owner itself when nft can print and read it, otherwise its
/// beginning, an ellipsis and a hash of the whole.
///
/// The same owner always gives the same comment, and a comment given as owner gives itself.
pub fn comment(owner: &str) -> String {
    let plain = |character: char| !character.is_control() && character != '"' && character != '\\';
    if owner.len() <= LONGEST && owner.chars().all(plain) {
        return owner.to_owned();
    }
    let room = LONGEST - '…'.len_utf8() - 2 * HASH;
    let mut comment = String::with_capacity(LONGEST);
    for character in owner.chars() {
        let character = if plain(character) { character } else { '_' };
        if comment.len() + character.len_utf8() > room {
            break;
        }
        comment.push(character);
    }
    comment.push('…');
    for byte in Sha256::digest(owner.as_bytes()).iter().take(HASH) {
        // Writing into a String cannot fail.
        let _ = write!(comment, "{byte:02x}");
    }
    comment
}

/// Writes the user data of a table, chain, rule or element: its comment, in attribute `kind`.
pub fn write_comment(writer: &mut Writer, kind: u16, comment: &str) {
    let mut data = Vec::with_capacity(comment.len().saturating_add(3));
    put_comment(&mut data, COMMENT, comment);
    writer.bytes(kind, &data);
}

/// Writes the user data of a set: the byte order of its key as nft numbers it (1 the host's, 2 the
/// network's, 0 mixed), what the key is made of where its type does not say it, and its comment.
pub fn write_set(
    writer: &mut Writer,
    kind: u16,
    key_byte_order: u32,
    key: &[Field],
    comment: Option<&str>,
) {
    let mut data = Vec::new();
    put_number(&mut data, SET_KEY_BYTE_ORDER, key_byte_order);
    if key.contains(&Field::NeighbourTarget) {
        put(&mut data, SET_KEY_TYPEOF, |data| put_concatenation(data, key));
    }
    if let Some(comment) = comment {
        put_comment(&mut data, SET_COMMENT, comment);
    }
    writer.bytes(kind, &data);
}

/// Writes a key as `typeof` has it, for instance `typeof iifname . @th,64,128` (`nftnl_udata_set_types`
/// of libnftnl; nft's `expr_build_udata`).
fn put_concatenation(data: &mut Vec<u8>, key: &[Field]) {
    put_number(data, EXPRESSION, CONCATENATION);
    put(data, DETAILS, |data| {
        for (place, field) in (0..).zip(key) {
            put(data, place, |data| match field {
                Field::NeighbourTarget => {
                    put_number(data, EXPRESSION, PAYLOAD);
                    // No protocol and no field of it; of the transport header; from bit, and bits.
                    put(data, DETAILS, |data| {
                        for (kind, value) in (0..).zip([0, 0, 3, 64, 128]) {
                            put_number(data, kind, value);
                        }
                    });
                }
                // Other fields do not stand beside that one.
                _ => {
                    put_number(data, EXPRESSION, META);
                    put(data, DETAILS, |data| put_number(data, 0, Meta::IncomingName as u32));
                }
            });
        }
    });
}

fn put_number(data: &mut Vec<u8>, kind: u8, number: u32) {
    put(data, kind, |data| data.extend_from_slice(&number.to_ne_bytes()));
}

/// Writes an attribute of at most 255 bytes.
fn put(data: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inside = Vec::new();
    write(&mut inside);
    data.push(kind);
    data.push(u8::try_from(inside.len()).unwrap_or(u8::MAX));
    data.append(&mut inside);
}

fn put_comment(data: &mut Vec<u8>, kind: u8, comment: &str) {
    let mut end = comment.len().min(LONGEST);
    while !comment.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    let comment = comment.get(..end).unwrap_or_default();
    data.push(kind);
    data.push(u8::try_from(comment.len().saturating_add(1)).unwrap_or(u8::MAX));
    data.extend_from_slice(comment.as_bytes());
    data.push(0);
}

/// The comment in the user data of a table, chain, rule or element.
pub fn read_comment(mut data: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = data {
        let value = rest.get(..usize::from(*length))?;
        if *kind == COMMENT {
            return crate::kernel::attr::text(value).map(str::to_owned);
        }
        data = rest.get(usize::from(*length)..)?;
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn short_owners_stay_whole() {
        assert_eq!(comment("net/abc/eth0"), "net/abc/eth0");
        let edge = "x".repeat(128);
        assert_eq!(comment(&edge), edge);
    }

    #[test]
    fn long_owners_are_cut_the_same_way_each_time_and_stay_distinct() {
        let one = format!("net/{}/eth0", "a".repeat(200));
        let two = format!("net/{}/eth1", "a".repeat(200));
        assert_eq!(comment(&one), comment(&one));
        assert_ne!(comment(&one), comment(&two));
        for owner in [one, two, "ä".repeat(70), "a\"b".into(), "line\nbreak".into(), "b\\".into()]
        {
            let short = comment(&owner);
            assert!(short.len() <= 128, "{short}");
            assert!(!short.contains(['"', '\n', '\\']), "{short}");
            assert!(short.contains('…'), "{short}");
            assert_eq!(comment(&short), short);
        }
    }

    #[test]
    fn comments_are_framed_as_nft_frames_them() {
        let mut writer = Writer::default();
        write_comment(&mut writer, 6, "o");
        assert_eq!(writer.as_bytes(), [8, 0, 6, 0, 0, 2, b'o', 0]);
        assert_eq!(read_comment(&[0, 2, b'o', 0]).as_deref(), Some("o"));
        assert_eq!(read_comment(&[9, 1, 5, 0, 2, b'o', 0]).as_deref(), Some("o"));
        assert_eq!(read_comment(&[0, 9, b'o', 0]), None);
        assert_eq!(read_comment(&[]), None);
    }

    #[test]
    fn a_set_tells_the_byte_order_of_its_key() {
        let mut writer = Writer::default();
        write_set(&mut writer, 13, 2, &[], Some("s"));
        assert_eq!(writer.as_bytes(), [14, 0, 13, 0, 0, 4, 2, 0, 0, 0, 7, 2, b's', 0, 0, 0]);
    }
}
