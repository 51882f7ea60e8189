//! The checks: each looks at facts and says what is wrong. Nothing is read here.

pub(super) mod attachments;
pub(super) mod configuration;
pub(super) mod filters;
pub(super) mod leftovers;
pub(super) mod node;

/// A word for a shell: quoted if it needs to be.
pub(super) fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@,+=".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// `one`, or `one and 3 more`.
pub(super) fn and_more(first: &str, count: usize) -> String {
    match count {
        0 | 1 => first.to_owned(),
        count => format!("{first} and {} more", count - 1),
    }
}
