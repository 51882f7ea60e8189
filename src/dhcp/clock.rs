//! Time since the machine started, also while it slept: what leases run on, and what stays
//! comparable from one run of the daemon to the next.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Now.
pub fn now() -> Duration {
    // The clock is there on every kernel since 2.6.39, and nothing else can be wrong.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}
