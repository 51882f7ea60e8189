//! Keys, from the bytes that a terminal in raw mode sends for them.

use super::view::Sort;

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Sort(Sort),
    Invert,
    Network,
    Up,
    Down,
    PageUp,
    PageDown,
    Top,
    Bottom,
}

/// The keys in what was read at once. Terminals send the bytes of one key together, so an escape that
/// nothing follows is the key Esc.
pub(super) fn keys(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        bytes = rest;
        let key = match first {
            0x1b => {
                let (key, rest) = escaped(rest);
                bytes = rest;
                key
            }
            // Ctrl-C and Ctrl-D.
            b'q' | b'Q' | 0x03 | 0x04 => Some(Key::Quit),
            b'n' => Some(Key::Sort(Sort::Name)),
            b'r' => Some(Key::Sort(Sort::Received)),
            b't' => Some(Key::Sort(Sort::Sent)),
            b'p' => Some(Key::Sort(Sort::Packets)),
            b'd' => Some(Key::Sort(Sort::Drops)),
            b'a' => Some(Key::Sort(Sort::Age)),
            b'i' => Some(Key::Invert),
            b'f' => Some(Key::Network),
            b'k' => Some(Key::Up),
            b'j' => Some(Key::Down),
            b'g' => Some(Key::Top),
            b'G' => Some(Key::Bottom),
            b' ' => Some(Key::PageDown),
            _ => None,
        };
        keys.extend(key);
    }
    keys
}

/// What follows an escape: a key of several bytes (ECMA-48, "CSI", or "SS3" of a keypad), and the rest.
fn escaped(bytes: &[u8]) -> (Option<Key>, &[u8]) {
    let [kind, rest @ ..] = bytes else { return (Some(Key::Quit), bytes) };
    if !matches!(kind, b'[' | b'O') {
        return (None, rest);
    }
    let end = rest.iter().position(|byte| (0x40..=0x7e).contains(byte));
    let Some((sequence, rest)) = end.and_then(|end| rest.split_at_checked(end + 1)) else {
        return (None, &[]);
    };
    let key = match sequence {
        b"A" => Some(Key::Up),
        b"B" => Some(Key::Down),
        b"5~" => Some(Key::PageUp),
        b"6~" => Some(Key::PageDown),
        b"H" | b"1~" => Some(Key::Top),
        b"F" | b"4~" => Some(Key::Bottom),
        _ => None,
    };
    (key, rest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        for (bytes, expected) in [
            (&b"q"[..], vec![Key::Quit]),
            (b"\x1b", vec![Key::Quit]),
            (b"\x03", vec![Key::Quit]),
            (b"\x1b[A\x1b[B", vec![Key::Up, Key::Down]),
            (b"\x1bOA", vec![Key::Up]),
            (b"\x1b[5~j", vec![Key::PageUp, Key::Down]),
            (b"\x1b[1;5Ar", vec![Key::Sort(Sort::Received)]),
            (b"\x1b[", vec![]),
            (b"\x1b[200~", vec![]),
            (b"zz", vec![]),
        ] {
            assert_eq!(keys(bytes), expected, "{bytes:?}");
        }
    }
}
