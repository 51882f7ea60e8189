//! Rates from counters.

use std::time::Duration;

use crate::kernel::link::counters::Counters;

/// What is carried in a second, as the container sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Bytes that the container receives.
    pub rx_bytes: f64,
    /// Bytes that it sends.
    pub tx_bytes: f64,
    /// Packets that it receives.
    pub rx_packets: f64,
    /// Packets that it sends.
    pub tx_packets: f64,
    /// Packets of both ways that are dropped.
    pub drops: f64,
    /// All that was counted since the link was made.
    pub counters: Counters,
}

impl Rates {
    /// The rates between two counts; `None` when the counters went back, for it is another link then.
    pub fn between(then: Counters, now: Counters, time: Duration) -> Option<Self> {
        let seconds = time.as_secs_f64();
        if seconds <= 0.0 {
            return None;
        }
        // Exact up to 2^53, which is more than a link carries between two counts.
        let rate = |then: u64, now: u64| Some(now.checked_sub(then)? as f64 / seconds);
        let dropped = |counters: Counters| counters.rx_dropped.saturating_add(counters.tx_dropped);
        Some(Self {
            rx_bytes: rate(then.rx_bytes, now.rx_bytes)?,
            tx_bytes: rate(then.tx_bytes, now.tx_bytes)?,
            rx_packets: rate(then.rx_packets, now.rx_packets)?,
            tx_packets: rate(then.tx_packets, now.tx_packets)?,
            drops: rate(dropped(then), dropped(now))?,
            counters: now,
        })
    }

    /// Whether nothing was carried or dropped.
    pub fn is_idle(&self) -> bool {
        self.rx_packets + self.tx_packets + self.drops <= 0.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_differences_over_time() {
        let then = Counters { rx_bytes: 1000, tx_packets: 5, rx_dropped: 1, ..Counters::default() };
        let now = Counters { rx_bytes: 4000, tx_packets: 6, rx_dropped: 3, ..then };
        let rates = Rates::between(then, now, Duration::from_millis(500)).unwrap();
        assert_eq!((rates.rx_bytes, rates.tx_packets, rates.drops), (6000.0, 2.0, 4.0));
        assert!(!rates.is_idle());
        assert_eq!(Rates::between(now, then, Duration::from_secs(1)), None);
        assert_eq!(Rates::between(then, now, Duration::ZERO), None);
        assert!(Rates::between(now, now, Duration::from_secs(1)).unwrap().is_idle());
    }
}
