//! How fast and in what bursts, in the numbers that the kernel and the reference plugin use.

/// How long a packet may wait in a queue that is full, in microseconds.
const LATENCY: f64 = 25_000.0;
/// Microseconds of a second.
const SECOND: f64 = 1_000_000.0;
/// Ticks of a microsecond, the unit in which the kernel is told of bursts: one is 64 nanoseconds
/// (`PSCHED_SHIFT`, net/pkt_sched.h; /proc/net/psched).
const TICKS: f64 = 15.625;

/// A rate with its burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bytes per second.
    pub rate: u64,
    /// Bytes.
    pub burst: u32,
}

/// What the kernel is told besides the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depths {
    /// How long the burst takes at the rate, in ticks.
    pub buffer: u32,
    /// Bytes that may wait.
    pub limit: u32,
}

impl Shape {
    /// The depths. What does not fit is the most that does: 274 seconds, and 4 GiB.
    pub fn depths(&self) -> Depths {
        // A conversion with `as` ends at the bounds of the type.
        Depths {
            buffer: (self.burst_time().trunc() * TICKS) as u32,
            limit: (self.waiting() as u32).saturating_add(self.burst),
        }
    }

    /// The depths as the reference plugin has them, in whose 32 bits what does not fit is lost
    /// (measured on amd64).
    pub fn wrapped_depths(&self) -> Depths {
        let low = |number: f64| number as i64 as u32;
        Depths {
            buffer: low(f64::from(low(self.burst_time())) * TICKS),
            limit: low(self.waiting()).wrapping_add(self.burst),
        }
    }

    /// Whether the kernel can keep it: the queue for 25 ms must be below 4 GiB, and the burst at
    /// least a tick long.
    pub fn is_feasible(&self) -> bool {
        self.waiting() <= f64::from(u32::MAX) && self.depths().buffer > 0
    }

    /// The time that the burst takes at the rate, in microseconds.
    fn burst_time(&self) -> f64 {
        f64::from(self.burst) * SECOND / self.rate as f64
    }

    /// Bytes that pass in [`LATENCY`].
    fn waiting(&self) -> f64 {
        self.rate as f64 * LATENCY / SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_tc_reckons() {
        // tc qdisc add … tbf rate 1mbit burst 32kb latency 25ms
        let shape = Shape { rate: 125_000, burst: 32 * 1024 };
        assert_eq!(shape.depths(), Depths { buffer: 4_096_000, limit: 3125 + 32 * 1024 });
        assert_eq!(shape.wrapped_depths(), shape.depths());
        assert!(shape.is_feasible());
    }

    #[test]
    fn what_does_not_fit_is_the_most() {
        // What the kubelet asks for where nobody has said a burst: 2^31 - 1 bits.
        let shape = Shape { rate: 125_000, burst: i32::MAX as u32 / 8 };
        assert_eq!(shape.depths().buffer, u32::MAX);
        assert_eq!(shape.wrapped_depths().buffer, 3_489_660_803);
        let shape = Shape { rate: 20_000_000_000, burst: u32::MAX - 1 };
        assert_eq!(shape.depths().limit, u32::MAX);
        assert!(shape.is_feasible());
    }

    #[test]
    fn what_the_kernel_cannot_keep() {
        assert!(!Shape { rate: u64::MAX / 8, burst: u32::MAX }.is_feasible());
        assert!(!Shape { rate: 4_000_000_000, burst: 1000 }.is_feasible());
        assert!(!Shape { rate: 125_000, burst: 0 }.is_feasible());
    }
}
