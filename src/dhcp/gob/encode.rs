//! Writing a stream of gob.

use super::{Value, builtin};

/// A type as it is described to the other side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    /// A number with a sign.
    Int,
    /// A number without.
    Uint,
    /// A list of bytes.
    Bytes,
    /// A text.
    Text,
    /// A list of one type.
    List(&'static Type),
    /// A struct.
    Struct(&'static Struct),
}

/// The description of a struct.
#[derive(Debug, PartialEq)]
pub struct Struct {
    /// The type's name; nothing depends on it.
    pub name: &'static str,
    /// Names and types of its fields, in order.
    pub fields: &'static [(&'static str, Type)],
}

/// Writes values, and before the first of each type its description.
#[derive(Default)]
pub struct Encoder {
    described: Vec<Type>,
}

impl Encoder {
    /// The messages that give `value` as one of type `of`. What does not fit the type is written as
    /// nothing.
    pub fn encode(&mut self, of: Type, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        let id = self.describe(of, &mut out);
        let mut message = Vec::new();
        int(&mut message, id);
        if !matches!(of, Type::Struct(_)) {
            message.push(0);
        }
        write(&mut message, of, value);
        send(&mut out, &message);
        out
    }

    /// The number of a type, which is described, with those it is made of, unless it was before.
    fn describe(&mut self, of: Type, out: &mut Vec<u8>) -> i64 {
        match of {
            Type::Int => return builtin::INT,
            Type::Uint => return builtin::UINT,
            Type::Bytes => return builtin::BYTES,
            Type::Text => return builtin::TEXT,
            Type::List(_) | Type::Struct(_) => {}
        }
        if let Some(place) = self.described.iter().position(|known| *known == of) {
            return number(place);
        }
        let id = number(self.described.len());
        self.described.push(of);
        let mut message = Vec::new();
        int(&mut message, -id);
        match of {
            Type::List(item) => {
                let item = self.describe(*item, out);
                uint(&mut message, 2);
                common(&mut message, "", id);
                uint(&mut message, 1);
                int(&mut message, item);
            }
            Type::Struct(one) => {
                let fields: Vec<_> =
                    one.fields.iter().map(|(name, of)| (*name, self.describe(*of, out))).collect();
                uint(&mut message, 3);
                common(&mut message, one.name, id);
                if !fields.is_empty() {
                    uint(&mut message, 1);
                    uint(&mut message, fields.len() as u64);
                }
                for (name, of) in fields {
                    uint(&mut message, 1);
                    chunk(&mut message, name.as_bytes());
                    uint(&mut message, 1);
                    int(&mut message, of);
                    message.push(0);
                }
            }
            Type::Int | Type::Uint | Type::Bytes | Type::Text => {}
        }
        // The ends of the list's or struct's description and of what holds it.
        message.extend([0, 0]);
        send(out, &message);
        id
    }
}

fn number(place: usize) -> i64 {
    builtin::FIRST_DESCRIBED + place as i64
}

/// A `CommonType`, as the first field of a description.
fn common(message: &mut Vec<u8>, name: &str, id: i64) {
    uint(message, 1);
    if name.is_empty() {
        uint(message, 2);
    } else {
        uint(message, 1);
        chunk(message, name.as_bytes());
        uint(message, 1);
    }
    int(message, id);
    message.push(0);
}

fn write(message: &mut Vec<u8>, of: Type, value: &Value) {
    match (of, value) {
        (Type::Int, Value::Int(number)) => int(message, *number),
        (Type::Uint, Value::Uint(number)) => uint(message, *number),
        (Type::Bytes, Value::Bytes(bytes)) => chunk(message, bytes),
        (Type::Text, Value::Text(text)) => chunk(message, text.as_bytes()),
        (Type::List(item), Value::List(items)) => {
            uint(message, items.len() as u64);
            for one in items {
                write(message, *item, one);
            }
        }
        (Type::Struct(one), value) => {
            let mut last = 0;
            for (place, (name, of)) in one.fields.iter().enumerate() {
                let Some(field) = value.field(name).filter(|field| !field.is_zero()) else {
                    continue;
                };
                uint(message, (place + 1 - last) as u64);
                last = place + 1;
                write(message, *of, field);
            }
            message.push(0);
        }
        _ => message.push(0),
    }
}

fn send(out: &mut Vec<u8>, message: &[u8]) {
    uint(out, message.len() as u64);
    out.extend(message);
}

fn chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    uint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn int(out: &mut Vec<u8>, number: i64) {
    let bits = if number < 0 { (!number << 1) | 1 } else { number << 1 };
    uint(out, bits.cast_unsigned());
}

/// A number below 128 is its own byte; a longer one stands behind the count of its bytes, negated.
fn uint(out: &mut Vec<u8>, number: u64) {
    match u8::try_from(number) {
        Ok(byte) if byte < 0x80 => out.push(byte),
        _ => {
            let skip = (number.leading_zeros() / 8) as usize;
            out.push(((8 - skip) as u8).wrapping_neg());
            out.extend(number.to_be_bytes().iter().skip(skip));
        }
    }
}
