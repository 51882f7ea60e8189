//! Hardware addresses.

use std::fmt;
use std::net::Ipv6Addr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A hardware address of six bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Reads the colon, dash or dot notations of a six-byte address.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = match text.len() {
            17 => {
                let separator = text.chars().nth(2)?;
                if separator != ':' && separator != '-' {
                    return None;
                }
                let parts: Vec<&str> = text.split(separator).collect();
                if parts.len() != 6 || parts.iter().any(|part| part.len() != 2) {
                    return None;
                }
                parts.concat()
            }
            14 => {
                let parts: Vec<&str> = text.split('.').collect();
                if parts.len() != 3 || parts.iter().any(|part| part.len() != 4) {
                    return None;
                }
                parts.concat()
            }
            _ => return None,
        };
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let number = u64::from_str_radix(&digits, 16).ok()?;
        let [_, _, bytes @ ..] = number.to_be_bytes();
        Some(Self(bytes))
    }

    /// The IPv6 link-local address that follows from it (RFC 4862, section 5.3; RFC 4291, appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f].into()
    }

    /// Whether it can be the address of a link: not a group address and not all zero.
    pub fn is_unicast(self) -> bool {
        let [first, ..] = self.0;
        first & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| de::Error::custom(format!("\"{text}\" is not a hardware address")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_is_read() {
        let wanted = Some(Mac([0x0a, 0x58, 0x0a, 0x01, 0x00, 0xff]));
        for text in ["0a:58:0a:01:00:ff", "0A-58-0A-01-00-FF", "0a58.0a01.00ff"] {
            assert_eq!(Mac::parse(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "0a:58:0a:01:00",
            "0a:58:0a:01:00:f",
            "0a:58:0a:01:00:fg",
            "0a:58:0a:01:00-ff",
            "+a:58:0a:01:00:ff",
            "0a580a0100ff",
            "0a:58:0a:01:00:ff:00:01",
            "ä:58:0a:01:00:ff",
        ] {
            assert_eq!(Mac::parse(text), None, "{text}");
        }
    }

    #[test]
    fn group_and_zero_addresses_are_no_links() {
        assert!(Mac([2, 0, 0, 0, 0, 1]).is_unicast());
        assert!(!Mac([1, 0, 0x5e, 0, 0, 1]).is_unicast());
        assert!(!Mac([0; 6]).is_unicast());
    }

    #[test]
    fn it_is_written_with_colons() {
        assert_eq!(Mac([0x0a, 0x58, 0x0a, 0x01, 0x00, 0xff]).to_string(), "0a:58:0a:01:00:ff");
    }
}
