//! Medians, quartiles and extremes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Of a list of times, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    /// A quarter of the times are shorter.
    pub lower: f64,
    /// A quarter of the times are longer.
    pub upper: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Nothing for an empty list.
    pub fn of(times: impl Iterator<Item = Duration>) -> Option<Self> {
        let mut times: Vec<_> = times.map(microseconds).collect();
        times.sort_unstable_by(f64::total_cmp);
        Some(Self {
            median: quantile(&times, 0.5)?,
            lower: quantile(&times, 0.25)?,
            upper: quantile(&times, 0.75)?,
            min: *times.first()?,
            max: *times.last()?,
        })
    }
}

/// The place in a sorted list below which this share of it lies; between two entries in proportion.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "lists are short, and shares from 0 to 1"
)]
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = sorted.len().checked_sub(1)? as f64 * share;
    let below = *sorted.get(place.floor() as usize)?;
    let above = *sorted.get(place.ceil() as usize)?;
    Some(below + (above - below) * place.fract())
}

/// A time as the reports have it, to the tenth of a microsecond.
pub fn microseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e7).round() / 10.0
}

/// How many times as long, to three digits behind the point.
pub fn ratio(this: f64, that: f64) -> Option<f64> {
    (that > 0.0).then(|| (this / that * 1e3).round() / 1e3)
}
