//! A run of bytes of a file.

use serde::{Deserialize, Serialize};

/// `offset..end`, half open; `end` may be `u64::MAX` for "to the end of whatever comes".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ByteRange {
    /// The first byte.
    pub offset: u64,
    /// One past the last byte.
    pub end: u64,
}

impl ByteRange {
    /// From an offset and a length; the end saturates.
    #[must_use]
    pub const fn new(offset: u64, length: u64) -> ByteRange {
        ByteRange { offset, end: offset.saturating_add(length) }
    }

    /// Number of bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.offset)
    }

    /// Whether it holds no byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.end <= self.offset
    }

    /// Whether the two share a byte.
    #[must_use]
    pub const fn overlaps(&self, other: &ByteRange) -> bool {
        self.offset < other.end && other.offset < self.end
    }
}
