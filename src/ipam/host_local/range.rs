//! Ranges of addresses, and sets of ranges that together serve one address of an attachment.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use crate::protocol::result::IpConfig;

/// An address as a number; only addresses of one family compare.
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// Addresses from `first` to `last`, both included, as [`number`]s of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: u128,
    /// The last; not below `first`.
    pub last: u128,
}

impl Span {
    /// Whether the address of that number is in it.
    pub fn contains(self, number: u128) -> bool {
        (self.first..=self.last).contains(&number)
    }

    fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Consecutive addresses of one subnet that may be leased, but for those that are barred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The subnet, whose prefix length leased addresses get.
    pub subnet: IpNetwork,
    /// The gateway that is told with an address.
    pub gateway: IpAddr,
    /// What `rangeStart` and `rangeEnd` bound.
    pub span: Span,
    /// Never handed out: gateways and `exclude`; sorted, apart from each other, and all touching
    /// the range. [`Range::bar`] keeps it so.
    barred: Vec<Span>,
}

impl Range {
    /// A range of which nothing is barred yet.
    pub fn new(subnet: IpNetwork, gateway: IpAddr, span: Span) -> Self {
        Self { subnet, gateway, span, barred: Vec::new() }
    }

    /// Never hands these addresses out.
    pub fn bar(&mut self, spans: impl IntoIterator<Item = Span>) {
        self.barred.extend(spans.into_iter().filter(|span| span.overlaps(self.span)));
        self.barred.sort_unstable_by_key(|span| span.first);
        let mut merged: Vec<Span> = Vec::with_capacity(self.barred.len());
        for span in self.barred.drain(..) {
            match merged.last_mut() {
                Some(last) if span.first <= last.last.saturating_add(1) => {
                    last.last = last.last.max(span.last);
                }
                _ => merged.push(span),
            }
        }
        self.barred = merged;
    }

    /// Whether the address is between start and end, barred or not.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.is_of_family(address) && self.span.contains(number(address))
    }

    /// Whether the address of that number may not be handed out.
    pub fn is_barred(&self, number: u128) -> bool {
        self.next_allowed(number) != Some(number)
    }

    /// The first number from `from` on that may be handed out.
    pub fn next_allowed(&self, from: u128) -> Option<u128> {
        let from = from.max(self.span.first);
        let next = self.barred.partition_point(|span| span.last < from);
        let allowed = match self.barred.get(next) {
            // Barred spans are apart, so what follows one is in no other.
            Some(span) if span.first <= from => span.last.checked_add(1)?,
            _ => from,
        };
        (allowed <= self.span.last).then_some(allowed)
    }

    /// The first number after `from` that may not be handed out, if any; for `from` that may.
    pub fn next_barred(&self, from: u128) -> Option<u128> {
        let next = self.barred.partition_point(|span| span.last < from);
        self.barred.get(next).map(|span| span.first)
    }

    /// How many addresses may be handed out.
    pub fn allowed(&self) -> u128 {
        let barred = self.barred.iter().map(|span| {
            let (first, last) = (span.first.max(self.span.first), span.last.min(self.span.last));
            (last - first).saturating_add(1)
        });
        self.size().saturating_sub(barred.fold(0, u128::saturating_add))
    }

    /// Whether the two have an address in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.is_of_family(other.gateway) && self.span.overlaps(other.span)
    }

    /// Whether the address is of this range's family.
    pub fn is_of_family(&self, address: IpAddr) -> bool {
        self.subnet.is_ipv4() == address.is_ipv4()
    }

    /// The address of a number.
    pub fn address(&self, number: u128) -> IpAddr {
        match self.subnet {
            IpNetwork::V4(_) => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
            IpNetwork::V6(_) => Ipv6Addr::from(number).into(),
        }
    }

    /// How many addresses there are between start and end; [`u128::MAX`] also for one more.
    pub fn size(&self) -> u128 {
        (self.span.last - self.span.first).saturating_add(1)
    }

    /// An address of this range as the attachment gets it.
    pub fn ip_config(&self, address: IpAddr) -> IpConfig {
        // The prefix length comes from a network of the same family, so it fits.
        let network = IpNetwork::new(address, self.subnet.prefix());
        IpConfig {
            interface: None,
            address: network.unwrap_or_else(|_| address.into()),
            gateway: Some(self.gateway),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.address(self.span.first), self.address(self.span.last));
        write!(f, "{} ({first}-{last})", self.subnet)
    }
}

/// Ranges of one family, of which an attachment gets one address; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSet {
    /// The ranges, in the order in which they are used up.
    pub ranges: Vec<Range>,
}

impl RangeSet {
    /// The range that contains the address.
    pub fn range_of(&self, address: IpAddr) -> Option<&Range> {
        self.ranges.iter().find(|range| range.contains(address))
    }

    /// Once around the set, beginning after the address that was leased last, as (index of the
    /// range, part of it). If that address is of no range here, the way begins with the first.
    pub fn round(&self, last_leased: Option<IpAddr>) -> Vec<(usize, Span)> {
        let start = last_leased.and_then(|address| {
            let index = self.ranges.iter().position(|range| range.contains(address))?;
            Some((index, number(address)))
        });
        let whole = |index: usize| self.ranges.get(index).map(|range| (index, range.span));
        let Some((start, last)) = start else {
            return (0..self.ranges.len()).filter_map(whole).collect();
        };
        let Some((_, span)) = whole(start) else { return Vec::new() };
        let rest = (last < span.last).then(|| (start, Span { first: last + 1, last: span.last }));
        let others = (start + 1..self.ranges.len()).chain(0..start).filter_map(whole);
        let again = Some((start, Span { first: span.first, last }));
        rest.into_iter().chain(others).chain(again).collect()
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn span(first: &str, last: &str) -> Span {
        Span { first: number(ip(first)), last: number(ip(last)) }
    }

    fn range(subnet: &str, first: &str, last: &str) -> Range {
        let subnet: IpNetwork = subnet.parse().unwrap();
        Range::new(subnet, subnet.ip(), span(first, last))
    }

    fn allowed(range: &Range) -> Vec<String> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(number) = range.next_allowed(from) {
            found.push(range.address(number).to_string());
            let Some(next) = number.checked_add(1) else { break };
            from = next;
        }
        found
    }

    #[test]
    fn barred_spans_are_merged_and_jumped_over() {
        let mut range = range("10.1.0.0/24", "10.1.0.10", "10.1.0.20");
        range.bar([span("10.1.0.12", "10.1.0.13"), span("10.1.0.18", "10.1.0.99")]);
        range.bar([span("10.1.0.14", "10.1.0.14"), span("10.1.0.1", "10.1.0.9")]);
        range.bar([span("10.1.0.12", "10.1.0.15"), span("10.1.0.0", "10.1.0.10")]);
        assert_eq!(range.barred.len(), 3, "{:?}", range.barred);
        assert_eq!(allowed(&range), ["10.1.0.11", "10.1.0.16", "10.1.0.17"]);
        assert!(range.is_barred(number(ip("10.1.0.12"))));
        assert!(!range.is_barred(number(ip("10.1.0.16"))));
    }

    #[test]
    fn what_may_be_handed_out_is_counted() {
        let mut range = range("10.1.0.0/24", "10.1.0.10", "10.1.0.20");
        assert_eq!(range.allowed(), 11);
        range.bar([span("10.1.0.1", "10.1.0.12"), span("10.1.0.18", "10.1.0.99")]);
        assert_eq!(range.allowed(), 5);
        assert_eq!(range.next_barred(number(ip("10.1.0.13"))), Some(number(ip("10.1.0.18"))));
    }

    #[test]
    fn everything_may_be_barred() {
        let mut range = range("10.1.0.0/24", "10.1.0.10", "10.1.0.20");
        range.bar([span("10.1.0.0", "10.1.0.255")]);
        assert!(allowed(&range).is_empty());
    }

    #[test]
    fn the_last_address_of_all_is_no_edge_to_fall_off() {
        let last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let before = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe";
        let mut range = range("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126", before, last);
        assert_eq!(allowed(&range), [before, last]);
        range.bar([span(last, last)]);
        assert_eq!(allowed(&range), [before]);
        let set = RangeSet { ranges: vec![range] };
        assert_eq!(set.round(Some(ip(last))).len(), 1);
        assert_eq!(
            Range::new("::/0".parse().unwrap(), ip("::1"), Span { first: 0, last: u128::MAX })
                .size(),
            u128::MAX
        );
    }

    #[test]
    fn a_round_begins_after_the_last_and_ends_with_it() {
        let set = RangeSet {
            ranges: vec![
                range("10.1.0.0/24", "10.1.0.10", "10.1.0.12"),
                range("10.2.0.0/24", "10.2.0.10", "10.2.0.12"),
                range("10.3.0.0/24", "10.3.0.10", "10.3.0.12"),
            ],
        };
        let round = |last: Option<&str>| -> Vec<String> {
            let parts = set.round(last.map(ip));
            let numbers = |(index, span): (usize, Span)| {
                let range = &set.ranges[index];
                (span.first..=span.last).map(|number| range.address(number).to_string())
            };
            parts.into_iter().flat_map(numbers).collect()
        };
        let all = [
            "10.1.0.10",
            "10.1.0.11",
            "10.1.0.12",
            "10.2.0.10",
            "10.2.0.11",
            "10.2.0.12",
            "10.3.0.10",
            "10.3.0.11",
            "10.3.0.12",
        ];
        assert_eq!(round(None), all);
        assert_eq!(round(Some("10.9.0.1")), all, "a stranger");
        for (index, last) in all.iter().enumerate() {
            let mut expected = all.to_vec();
            expected.rotate_left(index + 1);
            assert_eq!(round(Some(last)), expected, "after {last}");
        }
    }

    #[test]
    fn families_do_not_mix() {
        let four = range("0.0.0.0/0", "0.0.0.1", "0.0.0.9");
        let six = range("::/64", "::1", "::9");
        assert!(!four.overlaps(&six) && !six.overlaps(&four));
        assert!(!four.contains(ip("::5")) && !six.contains(ip("0.0.0.5")));
        assert!(four.contains(ip("0.0.0.5")) && six.contains(ip("::5")));
    }
}
