//! The keys of host-local, and the range sets that come of them.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde_json::Value;

use super::error::{Error, Problem};
use super::exclusion::Exclusion;
use super::range::{Range, RangeSet, Span, number};
use crate::protocol::config::{filled, optional_cidr, optional_ip, section_at};
use crate::protocol::result::Route;
use crate::protocol::version::Version;

/// `ipam`, as far as host-local reads it. `rangeStart`, `rangeEnd` and `gateway` beside it count
/// only together with `subnet`, as in the reference plugin.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Keys {
    /// A range by itself, before those of `ranges`: the subnet to lease from, such as
    /// `10.1.0.0/16`.
    #[serde(deserialize_with = "optional_cidr")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    subnet: Option<IpNetwork>,
    /// The first address to lease; the subnet's second without it.
    #[serde(deserialize_with = "optional_ip")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    range_start: Option<IpAddr>,
    /// The last address to lease; without it the subnet's last, of IPv4 the last but one.
    #[serde(deserialize_with = "optional_ip")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    range_end: Option<IpAddr>,
    /// The gateway, which is never leased; the subnet's second address without it.
    #[serde(deserialize_with = "optional_ip")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    gateway: Option<IpAddr>,
    /// Our own: what is never leased: addresses, subnets, or spans such as `10.1.0.5-10.1.0.9`.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    exclude: Vec<Exclusion>,
    /// Sets of ranges; an attachment gets one address of each set.
    ranges: Vec<Vec<RangeKeys>>,
    /// Routes for the container.
    pub routes: Vec<Route>,
    /// Where leases are kept, in a folder for each network; `/var/lib/cni/networks` without it.
    #[serde(deserialize_with = "filled")]
    pub data_dir: Option<String>,
    /// A file such as `/etc/resolv.conf`, whose contents become the result's `dns`.
    #[serde(deserialize_with = "filled")]
    pub resolv_conf: Option<String>,
}

/// One range as it is written.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct RangeKeys {
    /// The subnet to lease from, such as `10.1.0.0/16`; its prefix length goes with every address.
    #[serde(deserialize_with = "optional_cidr")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    subnet: Option<IpNetwork>,
    /// The first address to lease; the subnet's second without it.
    #[serde(deserialize_with = "optional_ip")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    range_start: Option<IpAddr>,
    /// The last address to lease; without it the subnet's last, of IPv4 the last but one.
    #[serde(deserialize_with = "optional_ip")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    range_end: Option<IpAddr>,
    /// The gateway, which is never leased; the subnet's second address without it.
    #[serde(deserialize_with = "optional_ip")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    gateway: Option<IpAddr>,
    /// Our own: what is never leased: addresses, subnets, or spans such as `10.1.0.5-10.1.0.9`.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    exclude: Vec<Exclusion>,
}

/// Where in the configuration a range set stands.
#[derive(Clone, Copy)]
enum Place {
    /// The keys of a range in `ipam` itself.
    Top,
    Ranges(usize),
    Runtime(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => f.write_str("ipam"),
            Self::Ranges(index) => write!(f, "ipam.ranges[{index}]"),
            Self::Runtime(index) => write!(f, "runtimeConfig.ipRanges[{index}]"),
        }
    }
}

impl Place {
    fn of_range(self, index: usize) -> String {
        match self {
            Self::Top => self.to_string(),
            _ => format!("{self}[{index}]"),
        }
    }

    fn refuse(self, problem: Problem) -> Error {
        Error::Config { path: self.to_string(), problem }
    }

    fn refuse_key(self, index: usize, key: impl fmt::Display, problem: Problem) -> Error {
        Error::Config { path: format!("{}.{key}", self.of_range(index)), problem }
    }
}

impl Keys {
    /// Reads `ipam`.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn read(ipam: &Value) -> Result<Self, Error> {
        Ok(section_at("ipam", ipam, &[])?)
    }

    /// The range sets, in the order that numbers them: those of the runtime, the range at the top,
    /// then `ranges`.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::Config`], [`Error::NoRanges`], [`Error::TooManySets`].
    pub fn range_sets(
        &mut self,
        ip_ranges: Option<&Value>,
        version: Version,
    ) -> Result<Vec<RangeSet>, Error> {
        let mut written: Vec<(Place, Vec<RangeKeys>)> = Vec::new();
        if let Some(ip_ranges) = ip_ranges {
            let sets: Vec<Vec<RangeKeys>> = section_at("runtimeConfig.ipRanges", ip_ranges, &[])?;
            written.extend(sets.into_iter().enumerate().map(|(i, set)| (Place::Runtime(i), set)));
        }
        written.extend(self.top()?.map(|range| (Place::Top, vec![range])));
        let sets = std::mem::take(&mut self.ranges);
        written.extend(sets.into_iter().enumerate().map(|(i, set)| (Place::Ranges(i), set)));
        if written.is_empty() {
            return Err(Error::NoRanges);
        }

        let places: Vec<Place> = written.iter().map(|(place, _)| *place).collect();
        let mut sets: Vec<RangeSet> = Vec::with_capacity(written.len());
        for (place, ranges) in written {
            let set = range_set(place, &ranges)?;
            refuse_overlap(place, &set, &places, &sets)?;
            sets.push(set);
        }
        count_families(&sets, version)?;
        bar_gateways(&mut sets);
        for (set, place) in sets.iter().zip(places) {
            if set.ranges.iter().all(|range| range.next_allowed(0).is_none()) {
                return Err(place.refuse(Problem::NothingLeft { ranges: set.to_string() }));
            }
        }
        Ok(sets)
    }

    /// The range that stands in `ipam` itself.
    fn top(&mut self) -> Result<Option<RangeKeys>, Error> {
        if self.subnet.is_none() {
            if !self.exclude.is_empty() {
                return Err(Place::Top.refuse_key(0, "exclude", Problem::ExclusionOfNothing));
            }
            return Ok(None);
        }
        Ok(Some(RangeKeys {
            subnet: self.subnet,
            range_start: self.range_start,
            range_end: self.range_end,
            gateway: self.gateway,
            exclude: std::mem::take(&mut self.exclude),
        }))
    }
}

fn range_set(place: Place, written: &[RangeKeys]) -> Result<RangeSet, Error> {
    if written.is_empty() {
        return Err(place.refuse(Problem::NoRange));
    }
    let mut ranges: Vec<Range> = Vec::with_capacity(written.len());
    for (index, keys) in written.iter().enumerate() {
        let range = range(keys).map_err(|(key, problem)| place.refuse_key(index, key, problem))?;
        if let Some(first) = ranges.first()
            && !range.is_of_family(first.subnet.ip())
        {
            let problem = Problem::MixedFamilies { subnet: range.subnet, first: first.subnet };
            return Err(place.refuse_key(index, "subnet", problem));
        }
        if let Some(other) = ranges.iter().position(|other| other.overlaps(&range)) {
            return Err(overlap(place, index, &range, place, other, ranges.get(other)));
        }
        ranges.push(range);
    }
    Ok(RangeSet { ranges })
}

/// One range; what is wrong comes with the key at fault.
fn range(keys: &RangeKeys) -> Result<Range, (Cow<'static, str>, Problem)> {
    let wrong = |key: &'static str, problem| (Cow::Borrowed(key), problem);
    let subnet = keys.subnet.ok_or_else(|| wrong("subnet", Problem::NoSubnet))?;
    let wrong_subnet = |problem| Err(wrong("subnet", problem));
    let (bits, mapped) = match subnet {
        IpNetwork::V4(_) => (32, false),
        IpNetwork::V6(subnet) => (128, subnet.ip().to_ipv4_mapped().is_some()),
    };
    if mapped {
        return wrong_subnet(Problem::Mapped { subnet });
    }
    if subnet.prefix() > bits - 2 {
        return wrong_subnet(Problem::TooSmall { subnet, most: bits - 2 });
    }
    let network = subnet.network();
    if subnet.ip() != network {
        let given_network = IpNetwork::new(network, subnet.prefix()).unwrap_or(subnet);
        return wrong_subnet(Problem::HostBits { given: subnet, given_network });
    }

    let canonical = |address: &Option<IpAddr>| address.map(|address| address.to_canonical());
    let whole = Span { first: number(network), last: number(subnet.broadcast()) };
    let mut range = Range::new(subnet, network, whole);
    // The subnet has four addresses at least, so neither end can be passed.
    let after_network = whole.first + 1;
    let bound = |key, address, default| match address {
        Some(address) if !range.contains(address) => {
            Err(wrong(key, Problem::OutsideSubnet { address, subnet }))
        }
        Some(address) => Ok(number(address)),
        None => Ok(default),
    };
    let first = bound("rangeStart", canonical(&keys.range_start), after_network)?;
    let last_default = if subnet.is_ipv4() { whole.last - 1 } else { whole.last };
    let last = bound("rangeEnd", canonical(&keys.range_end), last_default)?;
    if first > last {
        let key = if keys.range_end.is_some() { "rangeEnd" } else { "rangeStart" };
        let (start, end) = (range.address(first), range.address(last));
        return Err(wrong(key, Problem::StartAfterEnd { start, end }));
    }
    let gateway = match canonical(&keys.gateway) {
        Some(address) if !range.contains(address) && !is_reachable_anyway(address, subnet) => {
            return Err(wrong("gateway", Problem::GatewayOutside { address, subnet }));
        }
        Some(address) => address,
        None => range.address(after_network),
    };
    for (index, &exclusion) in keys.exclude.iter().enumerate() {
        if !range.contains(exclusion.first) || !range.contains(exclusion.last) {
            let problem = Problem::ExclusionOutside { exclusion, subnet };
            return Err((format!("exclude[{index}]").into(), problem));
        }
    }
    range.gateway = gateway;
    range.span = Span { first, last };
    range.bar(keys.exclude.iter().map(|exclusion| exclusion.span()));
    Ok(range)
}

/// A link-local gateway is on the link whatever the subnet is (RFC 4291, section 2.5.6).
fn is_reachable_anyway(gateway: IpAddr, subnet: IpNetwork) -> bool {
    matches!(gateway, IpAddr::V6(gateway) if subnet.is_ipv6() && gateway.is_unicast_link_local())
}

fn refuse_overlap(
    place: Place,
    set: &RangeSet,
    earlier_places: &[Place],
    earlier: &[RangeSet],
) -> Result<(), Error> {
    for (other_place, other) in earlier_places.iter().zip(earlier) {
        for (index, range) in set.ranges.iter().enumerate() {
            if let Some(found) = other.ranges.iter().position(|one| one.overlaps(range)) {
                let other_range = other.ranges.get(found);
                return Err(overlap(place, index, range, *other_place, found, other_range));
            }
        }
    }
    Ok(())
}

fn overlap(
    place: Place,
    index: usize,
    range: &Range,
    other_place: Place,
    other_index: usize,
    other: Option<&Range>,
) -> Error {
    Error::Config {
        path: place.of_range(index),
        problem: Problem::Overlap {
            range: range.to_string(),
            other: other.map(Range::to_string).unwrap_or_default(),
            other_path: other_place.of_range(other_index),
        },
    }
}

fn count_families(sets: &[RangeSet], version: Version) -> Result<(), Error> {
    if version >= Version::V0_3_0 {
        return Ok(());
    }
    let is_v4 = |set: &&RangeSet| set.ranges.iter().any(|range| range.subnet.is_ipv4());
    let v4 = sets.iter().filter(is_v4).count();
    for (family, sets) in [("IPv4", v4), ("IPv6", sets.len() - v4)] {
        if sets > 1 {
            return Err(Error::TooManySets { version, family, sets });
        }
    }
    Ok(())
}

/// A gateway is never handed out, not even by another range than its own.
fn bar_gateways(sets: &mut [RangeSet]) {
    let gateways: Vec<IpAddr> =
        sets.iter().flat_map(|set| set.ranges.iter().map(|range| range.gateway)).collect();
    for range in sets.iter_mut().flat_map(|set| &mut set.ranges) {
        let of_family: Vec<Span> = gateways
            .iter()
            .filter(|gateway| range.is_of_family(**gateway))
            .map(|gateway| Span { first: number(*gateway), last: number(*gateway) })
            .collect();
        range.bar(of_family);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[path = "config_tests.rs"]
mod tests;
