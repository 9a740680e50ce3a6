//! Reading little-endian numbers and strings from bytes that may end at any place.

use crate::{Error, Result};
use std::fmt::Display;
use std::ops::Range;

/// A place in the bytes of a file.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    place: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], place: &'a str) -> Self {
        Self { bytes, at: 0, place }
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `n` bytes, which are `what`.
    pub(super) fn take(&mut self, n: u64, what: impl Display) -> Result<&'a [u8]> {
        let left = self.left();
        match usize::try_from(n).ok().filter(|n| *n <= left) {
            Some(n) => {
                let bytes = &self.bytes[self.at..self.at + n];
                self.at += n;
                Ok(bytes)
            }
            None => Err(self.error(format!("{what} takes {n} bytes, but {left} are left"))),
        }
    }

    pub(super) fn u8(&mut self, what: impl Display) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u32(&mut self, what: impl Display) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: impl Display) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// `N` bytes as they are.
    pub(super) fn array<const N: usize>(&mut self, what: impl Display) -> Result<[u8; N]> {
        let bytes = self.take(N as u64, what)?;
        let mut array = [0; N];
        array.copy_from_slice(bytes);
        Ok(array)
    }

    /// Where a string's bytes lie: its length stands before it.
    pub(super) fn text(&mut self, what: impl Display) -> Result<Range<usize>> {
        let length = self.u64(&what)?;
        let start = self.at;
        self.take(length, what)?;
        Ok(start..self.at)
    }

    /// The number of items that follow, each of at least `least` bytes.
    pub(super) fn count(&mut self, least: usize, what: impl Display) -> Result<usize> {
        let count = self.u64(&what)?;
        let most = self.left() / least.max(1);
        match usize::try_from(count).ok().filter(|count| *count <= most) {
            Some(count) => Ok(count),
            None => Err(self.error(format!("{what} is {count}, but the file has room for {most}"))),
        }
    }

    /// The error that here is something wrong.
    pub(super) fn error(&self, what: impl Display) -> Error {
        let what = format!("is truncated or damaged at byte {}: {what}; fetch it again", self.at);
        Error::invalid(self.place, what)
    }
}
