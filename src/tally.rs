//! How many calls there were, how long they took and how they ended, since the node started: what
//! `causeway metrics` tells.
//!
//! Each plugin and verb has a small file of its own below [`PLACE`], which is memory and not a disk. A
//! call reads it, adds itself and writes it back under a lock: five system calls, some microseconds.
//! Counting never makes a call fail.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;

use crate::kernel::lock;

/// Where the counts are kept.
pub const PLACE: &str = "/run/causeway/calls";

/// The upper bounds of the classes that durations are sorted into, in microseconds; the last class has
/// none.
pub const BOUNDS: [u64; 14] = [
    500, 1_000, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000, 25_000, 50_000, 100_000, 250_000,
    1_000_000, 5_000_000,
];
const CLASSES: usize = BOUNDS.len() + 1;
/// Different error codes that a file has room for; what comes beyond is counted as code 0.
const CODES: usize = 24;
/// The first number of every file; another one is of another format.
const FORMAT: u64 = u64::from_le_bytes(*b"calls\0\0\x01");
const NUMBERS: usize = 2 + CLASSES + 2 * CODES;
const SIZE: usize = NUMBERS * 8;

/// What is known of the calls of one plugin with one verb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The sum of all durations, in microseconds.
    pub microseconds: u64,
    /// Calls by duration, in the classes of [`BOUNDS`] and one beyond.
    pub classes: [u64; CLASSES],
    /// Failures by the error's code.
    pub failures: Vec<(u32, u64)>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { microseconds: 0, classes: [0; CLASSES], failures: Vec::new() }
    }
}

impl Tally {
    /// All calls.
    pub fn calls(&self) -> u64 {
        self.classes.iter().fold(0, |sum, calls| sum.saturating_add(*calls))
    }

    fn add(&mut self, took: Duration, code: Option<u32>) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.microseconds = self.microseconds.saturating_add(micros);
        let class = BOUNDS.iter().take_while(|bound| micros > **bound).count();
        if let Some(calls) = self.classes.get_mut(class) {
            *calls = calls.saturating_add(1);
        }
        let Some(code) = code else { return };
        let is_known = self.failures.iter().any(|known| known.0 == code);
        // The last place is for all codes that have none.
        let code = if is_known || self.failures.len() < CODES - 1 { code } else { 0 };
        match self.failures.iter_mut().find(|known| known.0 == code) {
            Some((_, calls)) => *calls = calls.saturating_add(1),
            None => self.failures.push((code, 1)),
        }
    }

    /// What a file says; nothing when it is of another format or cut short.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut numbers =
            bytes.chunks_exact(8).filter_map(|chunk| chunk.try_into().ok().map(u64::from_le_bytes));
        if bytes.len() != SIZE || numbers.next() != Some(FORMAT) {
            return None;
        }
        let mut tally = Self { microseconds: numbers.next()?, ..Self::default() };
        for class in &mut tally.classes {
            *class = numbers.next()?;
        }
        while let (Some(code), Some(calls)) = (numbers.next(), numbers.next()) {
            if calls > 0 {
                tally.failures.push((u32::try_from(code).unwrap_or_default(), calls));
            }
        }
        Some(tally)
    }

    fn bytes(&self) -> Vec<u8> {
        let failures = self.failures.iter().flat_map(|(code, calls)| [u64::from(*code), *calls]);
        let mut bytes: Vec<u8> = [FORMAT, self.microseconds]
            .into_iter()
            .chain(self.classes)
            .chain(failures)
            .flat_map(u64::to_le_bytes)
            .collect();
        bytes.resize(SIZE, 0);
        bytes
    }
}

/// Counts a call of `plugin` with `verb`, neither of which comes from outside, that took so long and
/// failed with `code` or did not fail.
pub fn count(place: &Path, plugin: &str, verb: &str, took: Duration, code: Option<u32>) {
    if let Err(error) = try_count(place, plugin, verb, took, code) {
        log::debug!("the call is not counted in {}: {error}", place.display());
    }
}

fn try_count(
    place: &Path,
    plugin: &str,
    verb: &str,
    took: Duration,
    code: Option<u32>,
) -> io::Result<()> {
    let path = place.join(format!("{plugin}.{verb}"));
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(&path)
    };
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(place)?;
            open()?
        }
        other => other?,
    };
    lock::exclusive(&file)?;
    let mut tally = read_open(&file)?.unwrap_or_default();
    tally.add(took, code);
    file.write_all_at(&tally.bytes(), 0)
}

fn read_open(file: &File) -> io::Result<Option<Tally>> {
    let mut bytes = [0; SIZE];
    let length = file.read_at(&mut bytes, 0)?;
    Ok(Tally::read(bytes.get(..length).unwrap_or_default()))
}

/// All counts, as (plugin, verb, tally), in order of the names. Files of another format count as none.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn read(place: &Path) -> io::Result<Vec<(String, String, Tally)>> {
    let mut all = Vec::new();
    let entries = match fs::read_dir(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some((plugin, verb)) = name.to_str().and_then(|name| name.rsplit_once('.')) else {
            continue;
        };
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(entry.path());
        if let Some(tally) = file.ok().and_then(|file| read_open(&file).ok()?) {
            all.push((plugin.to_owned(), verb.to_owned(), tally));
        }
    }
    all.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    Ok(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut tally = Tally::default();
        for (micros, code) in [(1, None), (500, None), (501, Some(7)), (9_000_000, Some(7))] {
            tally.add(Duration::from_micros(micros), code);
        }
        assert_eq!(tally.calls(), 4);
        assert_eq!(tally.classes[0], 2, "bounds are inclusive");
        assert_eq!((tally.classes[1], tally.classes[CLASSES - 1]), (1, 1));
        assert_eq!(tally.failures, [(7, 2)]);
        assert_eq!(Tally::read(&tally.bytes()), Some(tally.clone()));
        let mut other = tally.bytes();
        other[7] = 2;
        assert_eq!(Tally::read(&other), None);
        assert_eq!(Tally::read(&tally.bytes()[..SIZE - 1]), None);
    }

    #[test]
    fn codes_beyond_the_room_are_counted_as_one() {
        let mut tally = Tally::default();
        for code in 1..=100 {
            tally.add(Duration::ZERO, Some(code));
        }
        assert_eq!(tally.failures.len(), CODES);
        assert_eq!(tally.failures.iter().map(|failure| failure.1).sum::<u64>(), 100);
        assert_eq!(Tally::read(&tally.bytes()), Some(tally));
    }

    #[test]
    fn many_at_once_are_all_counted() {
        let place = std::env::temp_dir().join(format!("causeway-tally-{}", std::process::id()));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        count(&place, "bridge", "ADD", Duration::from_millis(2), None);
                    }
                });
            }
        });
        // A file of another format is begun anew.
        fs::write(place.join("bridge.DEL"), "nonsense").unwrap();
        count(&place, "bridge", "DEL", Duration::from_millis(2), Some(100));
        let all = read(&place).unwrap();
        fs::remove_dir_all(&place).unwrap();
        let calls: Vec<_> =
            all.iter().map(|(plugin, verb, tally)| (&**plugin, &**verb, tally.calls())).collect();
        assert_eq!(calls, [("bridge", "ADD", 400), ("bridge", "DEL", 1)]);
    }
}
