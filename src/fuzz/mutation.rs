//! Mangling: of bytes, of words and of JSON.

use serde_json::{Map, Value, json};

use super::Form;

/// Numbers at which arithmetic goes wrong.
const EDGES: [u64; 16] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    15,
    16,
    0x7f,
    0x80,
    0xff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    u64::MAX,
];

/// Words that mean something somewhere.
const WORDS: [&str; 34] = [
    "",
    "-",
    "!",
    "/",
    "0",
    "-1",
    "..",
    "../../etc",
    "/proc/self",
    "0.0.0.0",
    "255.255.255.255",
    "10.1.0.5",
    "10.1.0.0/16",
    "10.1.0.0/33",
    "::",
    "::/0",
    "fd00::5/64",
    "::ffff:10.1.0.5",
    "fd00::/129",
    "02:00:00:00:00:01",
    "ff:ff:ff:ff:ff:ff",
    "eth0",
    "a-name-that-is-too-long-for-a-link",
    "1.1.0",
    "9.9.9",
    "bridge",
    "causeway",
    "host-local",
    "-A",
    "-j",
    ":",
    ",",
    "\u{0}\u{1}\u{7f}",
    "\u{e4}\u{1f980}\u{202e}",
];

/// The source of one input.
pub(super) struct Mutator(u64);

impl Mutator {
    /// What follows from a seed, a target's name and a number.
    pub(super) fn new(seed: u64, name: &str, number: u64) -> Self {
        // FNV-1a.
        let name = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(seed ^ name ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when that is 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// An input that comes of one of `corpus`.
    pub(super) fn mangle(&mut self, form: Form, corpus: &[Vec<u8>]) -> Vec<u8> {
        let start = self.one_of(corpus).clone();
        match form {
            Form::Bytes => self.mangle_bytes(start, corpus),
            Form::Words => self.mangle_words(&start),
            Form::Json => self.mangle_json(start, corpus),
        }
    }

    fn mangle_bytes(&mut self, mut bytes: Vec<u8>, corpus: &[Vec<u8>]) -> Vec<u8> {
        for _ in 0..=self.below(6) {
            let (at, length) = (self.below(bytes.len() + 1), self.below(24));
            let end = (at + length).min(bytes.len());
            match self.below(9) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let again = bytes[at..end].to_vec();
                    drop(bytes.splice(at..at, again));
                }
                3 => {
                    let new: Vec<u8> = (0..length).map(|_| self.next() as u8).collect();
                    drop(bytes.splice(at..at, new));
                }
                4 => {
                    let other = self.one_of(corpus);
                    let from = self.below(other.len() + 1);
                    let piece = &other[from..(from + length).min(other.len())];
                    drop(bytes.splice(at..end, piece.iter().copied()));
                }
                5 => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << self.below(8);
                    }
                }
                6 => {
                    let value = self.next() as u8;
                    bytes[at..end].fill(value);
                }
                // Lengths and numbers, of every width, in both orders of bytes.
                _ => {
                    let edge = *self.one_of(&EDGES);
                    let width = 1 << self.below(4);
                    let all = edge.to_le_bytes();
                    let mut number = all[..width].to_vec();
                    if self.below(2) == 0 {
                        number.reverse();
                    }
                    for (byte, new) in bytes.iter_mut().skip(at).zip(number) {
                        *byte = new;
                    }
                }
            }
        }
        bytes
    }

    fn mangle_words(&mut self, text: &[u8]) -> Vec<u8> {
        if self.below(4) == 0 {
            return self.mangle_bytes(text.to_vec(), &[text.to_vec()]);
        }
        let text = String::from_utf8_lossy(text).into_owned();
        let mut words: Vec<&str> = text.split_inclusive([' ', '\n', ';', '=', ':', ',']).collect();
        for _ in 0..=self.below(4) {
            let at = self.below(words.len());
            let new = *self.one_of(&WORDS);
            match self.below(4) {
                0 if at < words.len() => drop(words.remove(at)),
                1 if at < words.len() => words[at] = new,
                2 if at < words.len() => {
                    let other = words[self.below(words.len())];
                    words.insert(at, other);
                }
                _ => words.insert(at, new),
            }
        }
        words.concat().into_bytes()
    }

    fn mangle_json(&mut self, text: Vec<u8>, corpus: &[Vec<u8>]) -> Vec<u8> {
        let Ok(mut value) = serde_json::from_slice::<Value>(&text) else {
            return self.mangle_bytes(text, corpus);
        };
        for _ in 0..=self.below(3) {
            let mut places = 0;
            count(&value, &mut places);
            let mut place = self.below(places);
            self.change(&mut value, &mut place);
        }
        let text = serde_json::to_vec(&value).expect("JSON");
        if self.below(8) == 0 { self.mangle_bytes(text, corpus) } else { text }
    }

    /// Changes the value at a place, counted in the order of [`count`].
    fn change(&mut self, value: &mut Value, place: &mut usize) -> bool {
        if *place == 0 {
            self.replace(value);
            return true;
        }
        *place -= 1;
        match value {
            Value::Array(items) => items.iter_mut().any(|item| self.change(item, place)),
            Value::Object(keys) => keys.values_mut().any(|item| self.change(item, place)),
            _ => false,
        }
    }

    fn replace(&mut self, value: &mut Value) {
        match self.below(6) {
            // One less, one more, or another key.
            0 | 1 => match value {
                Value::Array(items) if !items.is_empty() => {
                    let at = self.below(items.len());
                    let item = items[at].clone();
                    if self.below(2) == 0 { drop(items.remove(at)) } else { items.push(item) }
                }
                Value::Object(keys) if !keys.is_empty() => {
                    let key = keys.keys().nth(self.below(keys.len())).cloned().unwrap_or_default();
                    let item = keys.remove(&key).unwrap_or_default();
                    match self.below(3) {
                        0 => {}
                        1 => drop(keys.insert(key.to_uppercase(), item)),
                        _ => drop(keys.insert((*self.one_of(&WORDS)).to_owned(), item)),
                    }
                }
                Value::String(text) => {
                    let bytes = std::mem::take(text).into_bytes();
                    *text = String::from_utf8_lossy(&self.mangle_words(&bytes)).into_owned();
                }
                other => *other = self.scalar(),
            },
            2 => {
                let inner = value.take();
                *value = if self.below(2) == 0 { json!([inner]) } else { json!({"a": inner}) };
            }
            _ => *value = self.scalar(),
        }
    }

    fn scalar(&mut self) -> Value {
        match self.below(9) {
            0 => Value::Null,
            1 => Value::Bool(self.below(2) == 0),
            2 => json!(*self.one_of(&EDGES)),
            3 => json!(-(i64::try_from(*self.one_of(&EDGES)).unwrap_or(i64::MAX)) - 1),
            4 => json!(1.5e300),
            5 => Value::Array(Vec::new()),
            6 => Value::Object(Map::new()),
            7 => json!("long ".repeat(self.below(200))),
            _ => json!(*self.one_of(&WORDS)),
        }
    }
}

/// Counts a value and all in it.
fn count(value: &Value, places: &mut usize) {
    *places += 1;
    match value {
        Value::Array(items) => items.iter().for_each(|item| count(item, places)),
        Value::Object(keys) => keys.values().for_each(|item| count(item, places)),
        _ => {}
    }
}
