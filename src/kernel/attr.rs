//! Netlink attributes: length, kind and value, padded to four bytes (linux/netlink.h `nlattr`).
//!
//! nf_tables wants every number in network byte order, strings with their NUL, and nesting marked.

/// `NLA_F_NESTED` of linux/netlink.h.
const NESTED: u16 = 0x8000;
/// The part of an attribute's kind that is the kind: without `NLA_F_NESTED` and
/// `NLA_F_NET_BYTEORDER`.
const KIND: u16 = 0x3fff;
/// The length of `struct nlattr`.
const HEADER: usize = 4;

/// Writes attributes, and messages of them, one after the other into one buffer.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A writer with room for `capacity` bytes before it has to grow.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// What has been written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what has been written and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The number of bytes written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes as they are, without attribute header: message headers.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Overwrites bytes written before; used to fill in a length once it is known.
    pub fn patch(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at.saturating_add(bytes.len())) {
            place.copy_from_slice(bytes);
        }
    }

    /// An attribute of raw bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.header(kind, value.len());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    /// A string attribute, with the NUL that the kernel expects.
    pub fn string(&mut self, kind: u16, value: &str) {
        self.header(kind, value.len().saturating_add(1));
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.pad();
    }

    /// A 32-bit number in network byte order.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.header(kind, 4);
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// A 64-bit number in network byte order.
    pub fn u64(&mut self, kind: u16, value: u64) {
        self.header(kind, 8);
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// An attribute that holds attributes, which `inside` writes.
    pub fn nested(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.header(kind | NESTED, 0);
        inside(self);
        let length = self.bytes.len().saturating_sub(start);
        self.patch(start, &short(length).to_ne_bytes());
    }

    fn header(&mut self, kind: u16, value: usize) {
        self.bytes.extend_from_slice(&short(HEADER.saturating_add(value)).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
    }

    fn pad(&mut self) {
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
    }
}

/// An attribute's length field. What is too long for it cannot be sent anyway: the kernel refuses
/// the message, since its attributes no longer add up.
fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// One attribute as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its kind, without flags.
    pub kind: u16,
    /// Whether it is marked as holding attributes; kernels before 5.2 do not mark what they send.
    pub nested: bool,
    /// Its value, without padding.
    pub value: &'a [u8],
}

/// Reads attributes in their order; ends at the first that is malformed.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of the attributes in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let [a, b, c, d] = *self.rest.first_chunk::<HEADER>()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let kind = u16::from_ne_bytes([c, d]);
        let value = self.rest.get(HEADER..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Attribute { kind: kind & KIND, nested: kind & NESTED != 0, value })
    }
}

/// The value of the first attribute of `kind`.
pub fn find(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    Reader::new(attributes)
        .find(|attribute| attribute.kind == kind)
        .map(|attribute| attribute.value)
}

/// The number in the first attribute of `kind`, read in network byte order.
pub fn find_u32(attributes: &[u8], kind: u16) -> Option<u32> {
    find(attributes, kind)?.try_into().ok().map(u32::from_be_bytes)
}

/// The 64-bit number in the first attribute of `kind`, read in network byte order.
pub fn find_u64(attributes: &[u8], kind: u16) -> Option<u64> {
    find(attributes, kind)?.try_into().ok().map(u64::from_be_bytes)
}

/// The string in the first attribute of `kind`, without its NUL; `None` also when it is not UTF-8.
pub fn find_str(attributes: &[u8], kind: u16) -> Option<&str> {
    text(find(attributes, kind)?)
}

/// The bytes before the first NUL as text; `None` when they are not UTF-8.
pub fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()
}

/// Whether every attribute of `wanted` is in `found` with the same value, in any order; `found` may
/// have more.
///
/// The kernel adds attributes when it lists what it was given and sorts them its own way, so
/// comparing bytes would find differences where there are none.
pub fn contains(found: &[u8], wanted: &[u8]) -> bool {
    Reader::new(wanted).all(|wanted| {
        find(found, wanted.kind).is_some_and(|value| {
            value == wanted.value || (wanted.nested && contains(value, wanted.value))
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_it_reads() {
        let mut writer = Writer::default();
        writer.string(1, "nat");
        writer.u32(2, 7);
        writer.nested(3, |inside| {
            inside.bytes(1, &[1, 2, 3, 4, 5]);
            inside.u64(2, 0x0102_0304_0506_0708);
        });
        let bytes = writer.as_bytes();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(find_str(bytes, 1), Some("nat"));
        assert_eq!(find_u32(bytes, 2), Some(7));
        let inside = find(bytes, 3).unwrap();
        assert_eq!(find(inside, 1), Some(&[1u8, 2, 3, 4, 5][..]));
        assert_eq!(find_u64(inside, 2), Some(0x0102_0304_0506_0708));
        assert!(Reader::new(bytes).nth(2).unwrap().nested);
    }

    #[test]
    fn nested_empty_attribute_has_four_bytes() {
        let mut writer = Writer::default();
        writer.nested(2, |_| {});
        assert_eq!(writer.as_bytes(), [4, 0, 2, 0x80]);
    }

    #[test]
    fn malformed_lengths_end_the_reading() {
        assert_eq!(Reader::new(&[2, 0, 1, 0]).count(), 0);
        assert_eq!(Reader::new(&[200, 0, 1, 0, 9]).count(), 0);
        assert_eq!(Reader::new(&[5, 0, 1]).count(), 0);
        assert_eq!(Reader::new(&[5, 0, 1, 0, 9]).count(), 1);
    }

    #[test]
    fn contains_ignores_order_and_additions_but_not_values() {
        let write = |order: &[u16], number: u32| {
            let mut writer = Writer::default();
            for kind in order {
                writer.nested(*kind, |inside| inside.u32(1, number + u32::from(*kind)));
            }
            writer.as_bytes().to_vec()
        };
        assert!(contains(&write(&[3, 2, 1], 5), &write(&[1, 2], 5)));
        assert!(!contains(&write(&[1, 2], 5), &write(&[1, 2, 3], 5)));
        assert!(!contains(&write(&[1, 2], 6), &write(&[1, 2], 5)));
    }
}
