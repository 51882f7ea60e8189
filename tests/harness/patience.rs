//! How long tests wait, on fast machines and on slow ones.

use std::time::Duration;

/// A whole number by which every time limit is stretched; scripts/vmtest sets it in the guest.
const FACTOR: &str = "CAUSEWAY_TEST_PATIENCE";

/// How long to hope for what must come. A good run never waits so long.
pub fn patience() -> Duration {
    stretched(Duration::from_secs(8))
}

/// How long to watch for what must not come.
pub fn silence() -> Duration {
    stretched(Duration::from_millis(250))
}

/// A time limit that fits an idle machine, made to fit this one.
pub fn stretched(limit: Duration) -> Duration {
    let factor = std::env::var(FACTOR).ok().map_or(1, |text| {
        text.parse().unwrap_or_else(|_| panic!("{FACTOR} must be a whole number, not {text:?}"))
    });
    limit * factor
}
