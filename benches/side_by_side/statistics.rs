//! Medians and extremes.

use std::time::Duration;

/// Of a list of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    pub median: Duration,
    pub min: Duration,
    pub max: Duration,
}

impl Spread {
    /// Nothing for an empty list.
    pub fn of(times: impl Iterator<Item = Duration>) -> Option<Self> {
        let mut times: Vec<_> = times.collect();
        times.sort_unstable();
        let upper = *times.get(times.len() / 2)?;
        let lower = *times.get(times.len().saturating_sub(1) / 2)?;
        Some(Self { median: (upper + lower) / 2, min: *times.first()?, max: *times.last()? })
    }
}

/// How many times as long, as people read it.
pub fn ratio(this: Duration, that: Duration) -> Option<f64> {
    (!that.is_zero()).then(|| this.as_secs_f64() / that.as_secs_f64())
}
