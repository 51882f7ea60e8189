//! What can be wrong with a range of the configuration.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::exclusion::Exclusion;

/// A value of a range that cannot be; the words follow the key's path and a colon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A range without `subnet`.
    #[error("is missing; set it to the subnet to lease from, such as \"10.1.0.0/16\"")]
    NoSubnet,
    /// A set without ranges.
    #[error(
        "is an empty list; put a range such as {{\"subnet\": \"10.1.0.0/16\"}} into it, or remove it"
    )]
    NoRange,
    /// A subnet of fewer than four addresses.
    #[error("{subnet} is too small to lease from; use a prefix length of {most} or less")]
    TooSmall {
        /// The offending subnet.
        subnet: IpNetwork,
        /// Bits.
        most: u8,
    },
    /// A subnet that is written as one of its addresses.
    #[error("{given} has host bits set; write {given_network} to lease from that subnet")]
    HostBits {
        /// The offending subnet.
        given: IpNetwork,
        /// The subnet that it is in.
        given_network: IpNetwork,
    },
    /// An IPv4 subnet in IPv6 form.
    #[error("{subnet} is IPv4 in IPv6 form; write it as IPv4")]
    Mapped {
        /// The offending subnet.
        subnet: IpNetwork,
    },
    /// `rangeStart` or `rangeEnd` outside.
    #[error("{address} is not in the subnet {subnet}; choose an address of that subnet")]
    OutsideSubnet {
        /// The offending address.
        address: IpAddr,
        /// The subnet of the same range.
        subnet: IpNetwork,
    },
    /// `rangeEnd` before `rangeStart`.
    #[error("the rangeEnd {end} comes before the rangeStart {start}; a range goes upwards")]
    StartAfterEnd {
        /// `rangeStart`, or what stands in for it.
        start: IpAddr,
        /// `rangeEnd`, or what stands in for it.
        end: IpAddr,
    },
    /// `gateway` outside.
    #[error(
        "{address} is not in the subnet {subnet}, so containers could not reach it; choose an address of that subnet{}",
        link_local(subnet)
    )]
    GatewayOutside {
        /// The offending address.
        address: IpAddr,
        /// The subnet of the same range.
        subnet: IpNetwork,
    },
    /// Both families in one set.
    #[error(
        "{subnet} is of another family than {first}, the first subnet of this range set; give it a set of its own"
    )]
    MixedFamilies {
        /// The offending subnet.
        subnet: IpNetwork,
        /// The set's first subnet.
        first: IpNetwork,
    },
    /// Addresses in two ranges.
    #[error("{range} and {other} of {other_path} overlap; every address must be of one range only")]
    Overlap {
        /// The later range.
        range: String,
        /// The earlier range.
        other: String,
        /// The earlier range's path.
        other_path: String,
    },
    /// An exclusion that is not within the subnet.
    #[error("{exclusion} is not in the subnet {subnet}; exclude only addresses of that subnet")]
    ExclusionOutside {
        /// The offending addresses.
        exclusion: Exclusion,
        /// The subnet of the same range.
        subnet: IpNetwork,
    },
    /// `exclude` at the top, but no range there.
    #[error(
        "stands beside no `subnet`, so it would exclude nothing; move it into the range that it is for"
    )]
    ExclusionOfNothing,
    /// Gateways and exclusions leave no address.
    #[error("has no address to lease: all of {ranges} are gateways or excluded; widen the range")]
    NothingLeft {
        /// The set's ranges.
        ranges: String,
    },
}

fn link_local(subnet: &IpNetwork) -> &'static str {
    if subnet.is_ipv6() { ", or a link-local one" } else { "" }
}
