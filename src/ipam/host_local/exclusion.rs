//! Addresses that are never handed out, as `exclude` lists them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use thiserror::Error;

use super::range::{Span, number};
use crate::protocol::address::{AddressError, parse_cidr};

/// One entry of `exclude`: `"10.1.0.5"`, `"10.1.0.0/28"` or `"10.1.0.5-10.1.0.9"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exclusion {
    /// The first excluded address.
    pub first: IpAddr,
    /// The last one, of the same family and not before `first`.
    pub last: IpAddr,
}

impl Exclusion {
    /// The same as numbers.
    pub fn span(self) -> Span {
        Span { first: number(self.first), last: number(self.last) }
    }
}

/// Text that excludes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExclusionError {
    /// Not an address, or not a prefix length.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A subnet that is written as one of its addresses.
    #[error(
        "{given:?} has host bits set; write {network:?} for that subnet, or no prefix length for the address alone"
    )]
    HostBits {
        /// The offending text.
        given: String,
        /// The subnet.
        network: String,
    },
    /// The ends of a span are of two families, or the wrong way round.
    #[error(
        "{given:?} is not a span; write it as in \"10.1.0.5-10.1.0.9\", the lower address first"
    )]
    Span {
        /// The offending text.
        given: String,
    },
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl FromStr for Exclusion {
    type Err = ExclusionError;

    fn from_str(text: &str) -> Result<Self, ExclusionError> {
        if text.contains('/') {
            let network = parse_cidr(text)?;
            if network.ip() != network.network() {
                let network = format!("{}/{}", network.network(), network.prefix());
                return Err(ExclusionError::HostBits { given: text.to_owned(), network });
            }
            return Ok(Self { first: network.network(), last: network.broadcast() });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let address = |part: &str| {
            let parsed: Result<IpAddr, _> = part.trim().parse();
            let error = |_| AddressError::Address { given: text.to_owned() };
            parsed.map(|address| address.to_canonical()).map_err(error)
        };
        let (first, last) = (address(first)?, address(last)?);
        if first.is_ipv4() != last.is_ipv4() || first > last {
            return Err(ExclusionError::Span { given: text.to_owned() });
        }
        Ok(Self { first, last })
    }
}

impl<'de> Deserialize<'de> for Exclusion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        for (text, first, last) in [
            ("10.1.0.5", "10.1.0.5", "10.1.0.5"),
            ("10.1.0.0/28", "10.1.0.0", "10.1.0.15"),
            ("10.1.0.7/32", "10.1.0.7", "10.1.0.7"),
            ("10.1.0.5-10.1.0.9", "10.1.0.5", "10.1.0.9"),
            ("10.1.0.5 - 10.1.0.5", "10.1.0.5", "10.1.0.5"),
            ("fd00::/120", "fd00::", "fd00::ff"),
            ("fd00::5-fd00::1:0", "fd00::5", "fd00::1:0"),
            ("::ffff:10.1.0.5", "10.1.0.5", "10.1.0.5"),
        ] {
            let expected = Exclusion { first: first.parse().unwrap(), last: last.parse().unwrap() };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_excludes_nothing() {
        for (text, says) in [
            ("", "not an IP address"),
            ("10.1.0", "not an IP address"),
            ("-", "not an IP address"),
            ("10.1.0.5-", "not an IP address"),
            ("10.1.0.5-10.1.0.9-10.1.0.12", "not an IP address"),
            ("10.1.0.0/33", "prefix length"),
            ("10.1.0.5/24", "\"10.1.0.0/24\""),
            ("10.1.0.9-10.1.0.5", "lower address first"),
            ("10.1.0.5-fd00::5", "not a span"),
            ("10.1.0.0/24-10.2.0.0/24", "prefix length"),
        ] {
            let message = text.parse::<Exclusion>().unwrap_err().to_string();
            assert!(message.contains(says) && message.contains(text), "{text}: {message}");
        }
    }
}
