//! Go's encoding/gob, as far as the reference's dhcp daemon and its plugin speak it: structs, lists
//! and plain values.
//!
//! A stream is a sequence of messages, each with its length before it. A message holds either the
//! description of a type, under a negative number, or a value under its type's number. Fields are
//! known by name, and one with its zero value is left out; so both sides may have fields that the
//! other one lacks (package documentation of encoding/gob, "Encoding Details").

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::{Encoder, Struct, Type};

/// The numbers of types that need no description.
mod builtin {
    pub(super) const BOOL: i64 = 1;
    pub(super) const INT: i64 = 2;
    pub(super) const UINT: i64 = 3;
    pub(super) const FLOAT: i64 = 4;
    pub(super) const BYTES: i64 = 5;
    pub(super) const TEXT: i64 = 6;
    /// The number of the first type that a stream describes.
    pub(super) const FIRST_DESCRIBED: i64 = 64;
}

/// The longest message that is read, in bytes.
pub const LONGEST: usize = 1 << 20;

/// A stream that is not gob, or holds what this module does not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream broke off or failed.
    #[error("the stream failed: {0}")]
    Io(#[from] std::io::Error),
    /// The bytes make no sense.
    #[error("not gob: {0}")]
    Garbled(&'static str),
    /// A message that is longer than [`LONGEST`].
    #[error("a message of {0} bytes; {LONGEST} are the most")]
    TooLong(u64),
    /// A kind of type that none of the two programs sends.
    #[error("a type of a kind that is not read here: {0}")]
    Unsupported(&'static str),
}

/// A value with what its type tells of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A number with a sign.
    Int(i64),
    /// A number without.
    Uint(u64),
    /// A list of bytes.
    Bytes(Vec<u8>),
    /// A text.
    Text(String),
    /// A list or array.
    List(Vec<Value>),
    /// The fields that are there, by name.
    Struct(Vec<(String, Value)>),
}

impl Value {
    /// The field of this name; `None` when it is not there, which in gob means its zero value.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(fields) => {
                fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The text in a field; empty when there is none.
    pub fn text(&self, name: &str) -> &str {
        match self.field(name) {
            Some(Self::Text(text)) => text,
            _ => "",
        }
    }

    /// The bytes in a field; none when it is not there.
    pub fn bytes(&self, name: &str) -> &[u8] {
        match self.field(name) {
            Some(Self::Bytes(bytes)) => bytes,
            _ => &[],
        }
    }

    /// The number in a field.
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.field(name)? {
            Self::Int(number) => Some(*number),
            Self::Uint(number) => i64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The list in a field; empty when there is none.
    pub fn list(&self, name: &str) -> &[Self] {
        match self.field(name) {
            Some(Self::List(items)) => items,
            _ => &[],
        }
    }

    /// Whether it is what gob leaves out of a struct.
    fn is_zero(&self) -> bool {
        match self {
            Self::Bool(set) => !set,
            Self::Int(number) => *number == 0,
            Self::Uint(number) => *number == 0,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            // A struct is written also when all of its fields are left out.
            Self::Struct(_) => false,
        }
    }
}
