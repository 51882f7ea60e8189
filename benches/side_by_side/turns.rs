//! In which order contenders make the same call.
//!
//! What one call leaves for the kernel to do afterwards, and in the processor's caches, meets the next one. In
//! an order that only begins elsewhere each time, each would always come after the same other.

/// The order of a round: over the rounds every one of the possible orders comes equally often.
pub fn order(contenders: usize, round: usize) -> Vec<usize> {
    // A step that shares no factor with the number of orders of up to six contenders, so that orders that
    // differ little do not follow each other.
    let mut number = round * 7;
    let mut left: Vec<usize> = (0..contenders).collect();
    let mut order = Vec::with_capacity(contenders);
    while !left.is_empty() {
        order.push(left.remove(number % left.len()));
        number /= left.len() + 1;
    }
    order
}
