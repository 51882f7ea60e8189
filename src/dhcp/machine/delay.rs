//! How long to wait before a message is sent again.

use std::time::Duration;

use super::Dice;

/// The first message may have come before the link carries any.
const FIRST: Duration = Duration::from_millis(250);
/// The next few follow each other quickly, as with the reference.
const FAST: Duration = Duration::from_secs(2);
const FAST_COUNT: u32 = 5;
/// Then the time doubles, from this one on (RFC 2131, section 4.1).
const SLOW: Duration = Duration::from_secs(4);
/// Each is longer or shorter by up to a second, so that clients do not speak all at once.
const SPREAD: Duration = Duration::from_secs(1);

/// The times between the messages of one search or renewal.
#[derive(Debug)]
pub struct Delay {
    count: u32,
    most: Duration,
}

impl Delay {
    /// Delays of which none is longer than `most`.
    pub fn new(most: Duration) -> Self {
        Self { count: 0, most }
    }

    /// The next delay.
    pub fn next(&mut self, dice: &mut Dice) -> Duration {
        if self.count == 0 {
            self.count = 1;
            return FIRST.min(self.most);
        }
        let base = match self.count.checked_sub(FAST_COUNT) {
            None => FAST,
            Some(slow) => SLOW.saturating_mul(1 << slow.min(16)),
        };
        self.count = self.count.saturating_add(1);
        let spread = SPREAD.mul_f64(2.0 * f64::from(dice.roll()) / f64::from(u32::MAX));
        (base + spread - SPREAD).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_begin_quickly_and_grow_up_to_the_most() {
        let mut dice = Dice(42);
        let mut delay = Delay::new(Duration::from_secs(20));
        assert_eq!(delay.next(&mut dice), FIRST);
        for base in [2, 2, 2, 2, 4, 8, 16, 20, 20, 20] {
            let next = delay.next(&mut dice).as_secs_f64();
            assert!((f64::from(base) - next).abs() <= 1.0, "{next} is not about {base}");
            assert!(next <= 20.0);
        }
        let mut short = Delay::new(Duration::from_millis(50));
        assert_eq!(short.next(&mut dice), Duration::from_millis(50));
    }
}
