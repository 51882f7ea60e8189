//! Addresses as they are written in configurations and results: with a prefix length, without
//! one, or with one at choice.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::IpNetwork;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

/// Text that is not an address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Not an IPv4 or IPv6 address.
    #[error(
        "{given:?} is not an IP address; write it as in \"10.1.0.5\" or \"fd00::5\", without leading zeros"
    )]
    Address {
        /// The offending text.
        given: String,
    },
    /// The prefix length is not there.
    #[error("{given:?} has no prefix length; write it as in \"10.1.0.5/24\" or \"fd00::5/64\"")]
    NoPrefix {
        /// The offending text.
        given: String,
    },
    /// The prefix length is not a number, or too long for the family.
    #[error("{given:?} has no valid prefix length; it must be a number from 0 to {most}")]
    Prefix {
        /// The offending text.
        given: String,
        /// Bits; 32 or 128.
        most: u8,
    },
}

/// An address that a runtime asks for; the prefix length is at choice (CONVENTIONS, `ips`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestedIp {
    /// The address.
    pub address: IpAddr,
    /// Bits; absent when the text had no `/`.
    pub prefix: Option<u8>,
}

impl RequestedIp {
    /// The address with its prefix length, if it has one.
    pub fn network(&self) -> Option<IpNetwork> {
        self.prefix.and_then(|prefix| IpNetwork::new(self.address, prefix).ok())
    }
}

impl FromStr for RequestedIp {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.contains('/') {
            let network = parse_cidr(text)?;
            Ok(Self { address: network.ip(), prefix: Some(network.prefix()) })
        } else {
            Ok(Self { address: parse_ip(text, text)?, prefix: None })
        }
    }
}

impl fmt::Display for RequestedIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            Some(prefix) => write!(f, "{}/{prefix}", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

impl<'de> Deserialize<'de> for RequestedIp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Parses an address with its prefix length, `address/prefix`; host bits are kept.
///
/// Stricter than [`IpNetwork`]'s own parser, which also takes a bare address and an IPv4 mask.
///
/// # Errors
/// [`AddressError`] says which half is wrong.
pub fn parse_cidr(text: &str) -> Result<IpNetwork, AddressError> {
    let Some((address, prefix)) = text.split_once('/') else {
        return Err(AddressError::NoPrefix { given: text.to_owned() });
    };
    let address = parse_ip(address, text)?;
    let wrong = || AddressError::Prefix {
        given: text.to_owned(),
        most: if address.is_ipv4() { 32 } else { 128 },
    };
    // A u8 would also parse "+24".
    if !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let prefix = prefix.parse().map_err(|_| wrong())?;
    IpNetwork::new(address, prefix).map_err(|_| wrong())
}

fn parse_ip(address: &str, given: &str) -> Result<IpAddr, AddressError> {
    address.parse().map_err(|_| AddressError::Address { given: given.to_owned() })
}

/// For `#[serde(deserialize_with = "cidr")]`: an address that must have a prefix length.
///
/// # Errors
/// The deserializer's, with the words of [`AddressError`].
pub fn cidr<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpNetwork, D::Error> {
    parse_cidr(&text(deserializer)?).map_err(D::Error::custom)
}

/// For `#[serde(default, deserialize_with = "optional_cidr")]`: as [`cidr`]; null is absent.
///
/// # Errors
/// As [`cidr`].
pub fn optional_cidr<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<IpNetwork>, D::Error> {
    Option::<Text>::deserialize(deserializer)?
        .map(|text| parse_cidr(&text.0).map_err(D::Error::custom))
        .transpose()
}

/// For `#[serde(default, deserialize_with = "optional_ip")]`: a bare address; null and the empty
/// string are absent, as in Go.
///
/// # Errors
/// The deserializer's, with the words of [`AddressError`].
pub fn optional_ip<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    Option::<Text>::deserialize(deserializer)?
        .filter(|text| !text.0.is_empty())
        .map(|text| parse_ip(&text.0, &text.0).map_err(D::Error::custom))
        .transpose()
}

/// A JSON string, and for anything else an error that asks for an address.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an IP address in a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Text::deserialize(deserializer).map(|text| text.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_cidr_keeps_its_host_bits() {
        for good in ["10.1.0.5/24", "0.0.0.0/0", "10.1.0.5/32", "::/0", "fd00::5/64", "fd00::5/128"]
        {
            assert_eq!(parse_cidr(good).unwrap().to_string(), good);
        }
    }

    #[test]
    fn a_cidr_is_strict() {
        let given = |text: &str| text.to_owned();
        for text in ["", "10.1.0.5", "fd00::5"] {
            assert_eq!(parse_cidr(text), Err(AddressError::NoPrefix { given: given(text) }));
        }
        for text in [
            "/24",
            "10.1.0/24",
            "10.1.0.05/24",
            "10.1.0.256/24",
            " 10.1.0.5/24",
            "fd00:::/64",
            "host/24",
            "fe80::1%eth0/64",
        ] {
            assert_eq!(parse_cidr(text), Err(AddressError::Address { given: given(text) }));
        }
        for (text, most) in [
            ("10.1.0.5/", 32),
            ("10.1.0.5/33", 32),
            ("10.1.0.5/256", 32),
            ("10.1.0.5/-1", 32),
            ("10.1.0.5/+24", 32),
            ("10.1.0.5/24 ", 32),
            ("10.1.0.5/24/24", 32),
            ("10.1.0.5/255.255.255.0", 32),
            ("fd00::5/129", 128),
        ] {
            assert_eq!(parse_cidr(text), Err(AddressError::Prefix { given: given(text), most }));
        }
    }

    #[test]
    fn a_requested_ip_may_have_a_prefix() {
        for (text, prefix) in [
            ("10.1.0.5", None),
            ("10.1.0.5/24", Some(24)),
            ("fd00::5", None),
            ("fd00::5/64", Some(64)),
        ] {
            let ip: RequestedIp = text.parse().unwrap();
            assert_eq!(ip.prefix, prefix);
            assert_eq!(ip.network().map(|network| network.prefix()), prefix);
            assert_eq!(ip.to_string(), text);
        }
        for text in ["", "10.1.0.5/", "10.1.0.5/33", "10.1", "10.1.0.05"] {
            assert!(text.parse::<RequestedIp>().is_err(), "{text}");
        }
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Keys {
        #[serde(deserialize_with = "cidr")]
        subnet: IpNetwork,
        #[serde(default, deserialize_with = "optional_cidr")]
        other: Option<IpNetwork>,
        #[serde(default, deserialize_with = "optional_ip")]
        gateway: Option<IpAddr>,
    }

    #[test]
    fn the_serde_forms() {
        let keys: Keys = serde_json::from_str(
            r#"{"subnet": "10.1.0.5/24", "other": "fd00::/64", "gateway": "10.1.0.1"}"#,
        )
        .unwrap();
        assert_eq!(keys.subnet, "10.1.0.5/24".parse().unwrap());
        assert_eq!(keys.other, Some("fd00::/64".parse().unwrap()));
        assert_eq!(keys.gateway, Some("10.1.0.1".parse().unwrap()));

        for absent in [
            r#"{"subnet": "10.1.0.5/24"}"#,
            r#"{"subnet": "10.1.0.5/24", "other": null, "gateway": null}"#,
            r#"{"subnet": "10.1.0.5/24", "gateway": ""}"#,
        ] {
            let keys: Keys = serde_json::from_str(absent).unwrap();
            assert_eq!((keys.other, keys.gateway), (None, None), "{absent}");
        }

        for (bad, says) in [
            (r#"{"subnet": "10.1.0.5"}"#, "no prefix length"),
            (r#"{"subnet": ""}"#, "no prefix length"),
            (r#"{"subnet": null}"#, "invalid type: null, expected an IP address"),
            (r#"{"subnet": 24}"#, "expected an IP address"),
            (r#"{"subnet": "::/0", "other": "x/1"}"#, "not an IP address"),
            (r#"{"subnet": "::/0", "gateway": "10.1.0.1/24"}"#, "not an IP address"),
        ] {
            let message = serde_json::from_str::<Keys>(bad).unwrap_err().to_string();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
