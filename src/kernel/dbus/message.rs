//! Messages on the wire (D-Bus specification, "Message Protocol"), with the few types of values that
//! are needed here.

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Kind {
    Call = 1,
    Return = 2,
    Error = 3,
    Signal = 4,
}

/// A value in a message's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `s`, or `o` when it was read.
    Text(String),
    /// `b`.
    Flag(bool),
    /// `u`.
    Number(u32),
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// The sender's number for it; not 0.
    pub serial: u32,
    /// The serial of the call that it answers.
    pub reply_to: Option<u32>,
    /// The object that is called.
    pub path: Option<String>,
    /// The interface of the object that the method is of.
    pub interface: Option<String>,
    /// The method.
    pub member: Option<String>,
    /// The error's name.
    pub error: Option<String>,
    /// The bus name that it is for.
    pub destination: Option<String>,
    /// The bus name that it is from; the bus fills it in.
    pub sender: Option<String>,
    /// Its arguments, up to the first of a type not known here.
    pub body: Vec<Value>,
}

/// Bytes of the part of the header whose length does not vary.
pub(super) const FIXED: usize = 16;
/// The longest message that is read, in bytes.
const LONGEST: usize = 1 << 20;
/// Do not start the service that the message is for (`NO_AUTO_START`).
const NO_AUTO_START: u8 = 2;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SENDER: u8 = 7;
const SIGNATURE: u8 = 8;

impl Message {
    /// A message of a kind that says nothing yet.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            serial: 1,
            reply_to: None,
            path: None,
            interface: None,
            member: None,
            error: None,
            destination: None,
            sender: None,
            body: Vec::new(),
        }
    }

    /// Its bytes, little-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let mut signature = String::new();
        for value in &self.body {
            pad(&mut body, 4);
            match value {
                Value::Text(text) => put_text(&mut body, text),
                Value::Flag(flag) => put_u32(&mut body, u32::from(*flag)),
                Value::Number(number) => put_u32(&mut body, *number),
            }
            signature.push(value.kind());
        }
        let mut fields = Vec::new();
        for (code, kind, text) in [
            (PATH, b'o', &self.path),
            (INTERFACE, b's', &self.interface),
            (MEMBER, b's', &self.member),
            (ERROR_NAME, b's', &self.error),
            (DESTINATION, b's', &self.destination),
        ] {
            if let Some(text) = text {
                pad(&mut fields, 8);
                fields.extend_from_slice(&[code, 1, kind, 0]);
                put_text(&mut fields, text);
            }
        }
        if let Some(serial) = self.reply_to {
            pad(&mut fields, 8);
            fields.extend_from_slice(&[REPLY_SERIAL, 1, b'u', 0]);
            put_u32(&mut fields, serial);
        }
        if !signature.is_empty() {
            pad(&mut fields, 8);
            fields.extend_from_slice(&[SIGNATURE, 1, b'g', 0]);
            fields.push(u8::try_from(signature.len()).unwrap_or(u8::MAX));
            fields.extend_from_slice(signature.as_bytes());
            fields.push(0);
        }
        let mut message = vec![b'l', self.kind as u8, NO_AUTO_START, 1];
        put_length(&mut message, &body);
        put_u32(&mut message, self.serial);
        put_length(&mut message, &fields);
        message.append(&mut fields);
        pad(&mut message, 8);
        message.append(&mut body);
        message
    }

    /// How many bytes follow the header's fixed part; `None` for what is no message or too long.
    pub(crate) fn rest(fixed: &[u8; FIXED]) -> Option<usize> {
        let mut reader = Reader::new(fixed)?;
        let body = reader.at(4)?.u32()?;
        let fields = reader.at(12)?.u32()?;
        let fields = usize::try_from(fields).ok()?.checked_next_multiple_of(8)?;
        let rest = fields.checked_add(usize::try_from(body).ok()?)?;
        (rest <= LONGEST).then_some(rest)
    }

    /// Reads a whole message; `None` when it makes no sense.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes)?;
        let kind = match bytes.get(1)? {
            1 => Kind::Call,
            2 => Kind::Return,
            3 => Kind::Error,
            4 => Kind::Signal,
            _ => return None,
        };
        let mut message = Self::new(kind);
        message.serial = reader.at(8)?.u32()?;
        let fields = usize::try_from(reader.u32()?).ok()?.checked_add(FIXED)?;
        let mut signature = String::new();
        while reader.place < fields {
            reader.align(8)?;
            let code = reader.u8()?;
            let kind = reader.signature()?;
            let text = match kind.as_str() {
                "s" | "o" => Some(reader.text()?),
                "g" => Some(reader.signature()?),
                "u" => {
                    let number = reader.u32()?;
                    if code == REPLY_SERIAL {
                        message.reply_to = Some(number);
                    }
                    continue;
                }
                _ => return None,
            };
            match code {
                PATH => message.path = text,
                INTERFACE => message.interface = text,
                MEMBER => message.member = text,
                ERROR_NAME => message.error = text,
                DESTINATION => message.destination = text,
                SENDER => message.sender = text,
                SIGNATURE => signature = text.unwrap_or_default(),
                _ => {}
            }
        }
        reader.align(8)?;
        for kind in signature.chars() {
            message.body.push(match kind {
                's' | 'o' => Value::Text(reader.text()?),
                'b' => Value::Flag(reader.u32()? != 0),
                'u' => Value::Number(reader.u32()?),
                _ => break,
            });
        }
        Some(message)
    }
}

impl Value {
    fn kind(&self) -> char {
        match self {
            Self::Text(_) => 's',
            Self::Flag(_) => 'b',
            Self::Number(_) => 'u',
        }
    }
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn put_u32(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn put_length(bytes: &mut Vec<u8>, of: &[u8]) {
    put_u32(bytes, u32::try_from(of.len()).unwrap_or(u32::MAX));
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_length(bytes, text.as_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
}

/// Reads values in the byte order that the message's first byte tells.
struct Reader<'a> {
    bytes: &'a [u8],
    place: usize,
    little: bool,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let little = match bytes.first()? {
            b'l' => true,
            b'B' => false,
            _ => return None,
        };
        Some(Self { bytes, place: 0, little })
    }

    fn at(&mut self, place: usize) -> Option<&mut Self> {
        self.place = place;
        Some(self)
    }

    fn align(&mut self, to: usize) -> Option<()> {
        self.place = self.place.checked_next_multiple_of(to)?;
        Some(())
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.place.checked_add(count)?;
        let taken = self.bytes.get(self.place..end)?;
        self.place = end;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4)?;
        let bytes = *self.take(4)?.first_chunk()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn text(&mut self) -> Option<String> {
        let length = self.u32()?;
        self.ended(usize::try_from(length).ok()?)
    }

    fn signature(&mut self) -> Option<String> {
        let length = self.u8()?;
        self.ended(usize::from(length))
    }

    /// Text with a NUL after it.
    fn ended(&mut self, length: usize) -> Option<String> {
        let text = std::str::from_utf8(self.take(length)?).ok()?.to_owned();
        self.take(1)?;
        Some(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn call() -> Message {
        Message {
            serial: 7,
            path: Some("/org/freedesktop/DBus".into()),
            interface: Some("org.freedesktop.DBus".into()),
            member: Some("RequestName".into()),
            destination: Some("org.freedesktop.DBus".into()),
            body: vec![Value::Text("a.b".into()), Value::Number(4), Value::Flag(true)],
            ..Message::new(Kind::Call)
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for message in [
            call(),
            Message { reply_to: Some(9), ..Message::new(Kind::Return) },
            Message {
                reply_to: Some(9),
                error: Some("org.example.Error".into()),
                body: vec![Value::Text("äöü".into())],
                ..Message::new(Kind::Error)
            },
        ] {
            let bytes = message.encode();
            let fixed = bytes.first_chunk().unwrap();
            assert_eq!(Message::rest(fixed).unwrap() + FIXED, bytes.len());
            assert_eq!(Message::decode(&bytes).unwrap(), message);
        }
    }

    #[test]
    fn a_message_cut_short_or_mangled_is_none() {
        let bytes = call().encode();
        for end in 0..bytes.len() {
            assert_eq!(Message::decode(&bytes[..end]), None, "{end}");
        }
        for place in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[place] = value;
                // It may be read as another message; it must not fail in another way.
                let _ = Message::decode(&bytes);
            }
        }
        assert_eq!(Message::rest(&[b'l', 1, 0, 1, 0, 0, 0, 0xff, 1, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(Message::rest(&[0; FIXED]), None);
    }
}
