//! How much room text needs, and making it fit.
//!
//! Pictures are lettered in a monospaced face, whichever the viewer has: the advance of one is 0.6 of its
//! size or less, so what fits here fits there.

use std::borrow::Cow;
use std::cmp::Ordering;

use unicode_width::UnicodeWidthChar;

/// How many columns of a monospaced face a text takes.
pub fn columns(text: &str) -> usize {
    text.chars().map(|one| one.width().unwrap_or(1)).sum()
}

/// How many pixels a text of this size takes, at most.
pub fn width(text: &str, size: i32) -> i32 {
    let columns = i32::try_from(columns(text)).unwrap_or(i32::MAX / 10_000);
    // 0.61 em, rounded up.
    (columns * size * 61 + 99) / 100
}

/// The text with its middle left out if it takes more than `most` columns, and without what cannot be
/// seen: control characters, which no picture's format may hold.
pub fn fitting(text: &str, most: usize) -> String {
    let seen = |one: char| if one.is_control() { '\u{fffd}' } else { one };
    let text: String = text.chars().map(seen).collect();
    if columns(&text) <= most {
        return text;
    }
    let mut head = String::new();
    let mut tail: Vec<char> = Vec::new();
    let half = most.saturating_sub(1);
    let mut left = half.div_ceil(2);
    for one in text.chars() {
        let Some(rest) = left.checked_sub(one.width().unwrap_or(1)) else { break };
        left = rest;
        head.push(one);
    }
    let mut left = half - half.div_ceil(2);
    for one in text.chars().rev() {
        let Some(rest) = left.checked_sub(one.width().unwrap_or(1)) else { break };
        left = rest;
        tail.push(one);
    }
    head.push('…');
    head.extend(tail.iter().rev());
    head
}

/// The order in which people expect names: `web-2` before `web-10`.
pub fn natural(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    loop {
        if left.is_empty() || right.is_empty() {
            return left.len().cmp(&right.len()).then_with(|| one.cmp(other));
        }
        let (a, b) = (chunk(&mut left), chunk(&mut right));
        let order = match (a.parse::<u64>(), b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => a.cmp(b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Takes the digits, or what is none, from the front.
fn chunk<'t>(text: &mut &'t str) -> &'t str {
    let digit = |one: char| one.is_ascii_digit();
    let first = text.chars().next().is_some_and(digit);
    let end = text.find(|one: char| digit(one) != first).unwrap_or(text.len());
    let (chunk, rest) = text.split_at(end);
    *text = rest;
    chunk
}

/// A count with its noun: `1 pod`, `2 pods`.
pub fn counted(count: usize, noun: &str) -> Cow<'static, str> {
    let plural = if count == 1 { "" } else { "s" };
    Cow::Owned(format!("{count} {noun}{plural}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_loses_its_middle() {
        for (text, most, expected) in [
            ("short", 5, "short"),
            ("0123456789", 10, "0123456789"),
            ("0123456789a", 10, "01234…789a"),
            ("漢字漢字漢字", 6, "漢…字"),
            ("a\u{1b}[31mb\n", 20, "a\u{fffd}[31mb\u{fffd}"),
            ("ab", 1, "…"),
        ] {
            let fit = fitting(text, most);
            assert_eq!(fit, expected);
            assert!(columns(&fit) <= most, "{fit}");
        }
    }

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["web-10", "web-2", "db", "web-2a", "web", "10", "9"];
        names.sort_by(|one, other| natural(one, other));
        assert_eq!(names, ["9", "10", "db", "web", "web-2", "web-2a", "web-10"]);
    }
}
