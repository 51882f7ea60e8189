//! Which addresses of a range are leased, one bit each, so that a free one is found behind a long
//! run of leases without trying them all.
//!
//! The file `.causeway-used:<start>-<end>` is made when it is first needed and kept up to date from
//! then on, as long as the directory's mark ([`super::directory`]) stands; bit n%8 of byte n/8 is
//! address start+n. It may be wrong all the same, after the configuration has changed to another
//! range and back. So it only says where to try first: whether an address is free is decided by
//! making its lease file.

use std::fs::File;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;

use nix::fcntl::OFlag;

use super::directory::Directory;
use super::error::Error;
use super::range::{Range, number};

/// The largest range that has a bitmap, in addresses; its file has 16 KiB.
const LARGEST: u128 = 1 << 17;

const PREFIX: &str = ".causeway-used:";

/// The bitmap of one range.
pub struct Bitmap {
    first: u128,
    bytes: Vec<u8>,
    file: Option<File>,
}

/// Whether a file of that name is a bitmap.
pub fn is_name(name: &str) -> bool {
    name.starts_with(PREFIX)
}

fn name(range: &Range) -> String {
    format!("{PREFIX}{}-{}", range.address(range.span.first), range.address(range.span.last))
}

/// The bytes of a range's bitmap; none if it is too large to have one.
fn length(range: &Range) -> Option<usize> {
    let size = range.size();
    if size <= LARGEST { usize::try_from(size.div_ceil(8)).ok() } else { None }
}

impl Bitmap {
    /// The bitmap on disk; none if there is none, or if it cannot be this range's.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(directory: &Directory, range: &Range) -> Result<Option<Self>, Error> {
        let Some(length) = length(range) else { return Ok(None) };
        let name = name(range);
        let Some(mut file) = directory.open(&name, OFlag::O_RDWR)? else { return Ok(None) };
        // One byte more, to see that there is none.
        let mut bytes = vec![0; length + 1];
        let read = directory.read(&name, &mut file, &mut bytes, true)?;
        bytes.truncate(length);
        Ok((read == Some(length)).then_some(Self {
            first: range.span.first,
            bytes,
            file: Some(file),
        }))
    }

    /// The bitmap of a range of which these addresses are leased, not on disk yet; none if the
    /// range is too large to have one.
    pub fn of(range: &Range, leased: &[IpAddr]) -> Option<Self> {
        let mut bitmap =
            Self { first: range.span.first, bytes: vec![0; length(range)?], file: None };
        for address in leased.iter().filter(|address| range.contains(**address)) {
            bitmap.set(number(*address), true);
        }
        Some(bitmap)
    }

    fn place(&self, number: u128) -> Option<(usize, u8)> {
        let bit = usize::try_from(number.checked_sub(self.first)?).ok()?;
        Some((bit / 8, 1 << (bit % 8)))
    }

    /// Sets or clears the bit of an address, in memory.
    pub fn set(&mut self, number: u128, leased: bool) {
        if let Some((index, bit)) = self.place(number)
            && let Some(byte) = self.bytes.get_mut(index)
        {
            *byte = if leased { *byte | bit } else { *byte & !bit };
        }
    }

    /// The first address from `from` on whose bit is clear. May be past the end of the range.
    pub fn next_clear(&self, from: u128) -> Option<u128> {
        let (start, bit) = self.place(from.max(self.first))?;
        // The bits below `from` count as set.
        let first = self.bytes.get(start)? | (bit - 1);
        let (index, byte) = if first == u8::MAX {
            let rest = self.bytes.get(start + 1..)?;
            let full = rest.chunks_exact(8).take_while(|chunk| *chunk == [u8::MAX; 8]).count() * 8;
            let mut rest = rest.iter().enumerate().skip(full);
            let (index, byte) = rest.find(|(_, byte)| **byte != u8::MAX)?;
            (start + 1 + index, *byte)
        } else {
            (start, first)
        };
        let bit = byte.trailing_ones();
        Some(self.first + u128::try_from(index).ok()? * 8 + u128::from(bit))
    }

    /// Writes the whole bitmap to disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, directory: &Directory, range: &Range) -> Result<(), Error> {
        let name = name(range);
        // A kill in the midst leaves the directory unmarked, and then the bitmap is thrown away.
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
        let file = directory.open(&name, flags)?;
        directory.note_bitmaps();
        let written = file.map_or(Ok(()), |file| file.write_all_at(&self.bytes, 0));
        written.map_err(|source| directory.error(&name, "write the bitmap", source))
    }

    /// Writes the bit of one address to disk, if the bitmap is there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_one(
        &self,
        directory: &Directory,
        range: &Range,
        number: u128,
    ) -> Result<(), Error> {
        let (Some(file), Some((index, _))) = (&self.file, self.place(number)) else {
            return Ok(());
        };
        let Some(byte) = self.bytes.get(index) else { return Ok(()) };
        let written = file.write_all_at(&[*byte], index as u64);
        written.map_err(|source| directory.error(&name(range), "write the bitmap", source))
    }
}

/// Sets or clears the bit of one address in its range's bitmap, if there is one on disk.
///
/// # Errors
/// [`Error::Io`].
pub fn note(
    directory: &Directory,
    range: &Range,
    address: IpAddr,
    leased: bool,
) -> Result<(), Error> {
    if !directory.has_bitmaps() || length(range).is_none() {
        return Ok(());
    }
    let name = name(range);
    let Some(file) = directory.open(&name, OFlag::O_RDWR)? else { return Ok(()) };
    let failed = |source| directory.error(&name, "write the bitmap", source);
    let mut part = Bitmap { first: range.span.first, bytes: Vec::new(), file: None };
    let Some((index, _)) = part.place(number(address)) else { return Ok(()) };
    part.bytes = vec![0];
    part.first += 8 * index as u128;
    // What cannot be read so is no file; it is set aside when the whole of it is read.
    if file.read_at(&mut part.bytes, index as u64).is_ok_and(|read| read == 1) {
        part.set(number(address), leased);
        file.write_all_at(&part.bytes, index as u64).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::ipam::host_local::range::Span;

    fn range(last: u128) -> Range {
        let base = number("fd00::".parse().unwrap());
        let span = Span { first: base + 10, last: base + 10 + last };
        Range::new("fd00::/64".parse().unwrap(), "fd00::1".parse().unwrap(), span)
    }

    #[test]
    fn the_next_clear_bit_from_everywhere() {
        let range = range(299);
        let base = range.span.first;
        let free = [0_u128, 1, 9, 64, 65, 199, 299];
        let leased: Vec<IpAddr> =
            (0..300).filter(|n| !free.contains(n)).map(|n| range.address(base + n)).collect();
        let bitmap = Bitmap::of(&range, &leased).unwrap();
        for from in 0..300 {
            let expected = free.iter().copied().find(|n| *n >= from).unwrap();
            assert_eq!(bitmap.next_clear(base + from), Some(base + expected), "from {from}");
        }
        assert_eq!(bitmap.next_clear(0), Some(base));
    }

    #[test]
    fn a_full_bitmap_has_none() {
        let range = range(799);
        let all: Vec<IpAddr> = (0..800).map(|n| range.address(range.span.first + n)).collect();
        let mut bitmap = Bitmap::of(&range, &all).unwrap();
        assert_eq!(bitmap.next_clear(0), None);
        bitmap.set(range.span.first + 799, false);
        assert_eq!(bitmap.next_clear(0), Some(range.span.first + 799));
        bitmap.set(range.span.first + 799, true);
        bitmap.set(range.span.first - 1, false);
        bitmap.set(range.span.first + 800, false);
        assert_eq!(bitmap.next_clear(0), None, "bits outside are nobody's");
    }

    #[test]
    fn large_ranges_have_none() {
        assert!(Bitmap::of(&range((1 << 17) - 1), &[]).is_some());
        assert!(Bitmap::of(&range(1 << 17), &[]).is_none());
    }
}
