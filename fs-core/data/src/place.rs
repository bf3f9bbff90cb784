//! Where a stripe is: what metadata keep of it.

use crate::DataError;
use cluster::{Cell, ClusterMap, Scheme};
use drive::{ChunkKey, Shape};
use serde::{Deserialize, Serialize};
use types::limits::{BLOCK_BYTES, CHUNK_BYTES_MAX};
use types::{ChunkId, GroupId, StripeId};

/// A stripe that was written. Index i of its chunks lies in the cell of the i-th lowest bit set in `cells`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct StripePlace {
    /// The stripe.
    pub stripe: StripeId,
    /// Its group.
    pub group: GroupId,
    /// Its own scheme: the cluster's, or a narrower one with the same parity.
    pub scheme: Scheme,
    /// The cells of the group that hold a chunk, one bit each.
    pub cells: u32,
    /// Bytes of data.
    pub length: u32,
}

impl StripePlace {
    /// Bytes of each chunk: length / D, rounded up to whole blocks.
    #[must_use]
    pub fn chunk_length(&self) -> u32 {
        chunk_length(self.length, self.scheme.data())
    }

    /// Bytes that the stripe takes on the drives, headers included.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        stored_bytes(self.length, self.scheme)
    }

    pub(crate) fn shape(&self) -> Shape {
        Shape {
            data: self.scheme.data() as u8,
            parity: self.scheme.parity() as u8,
            cells: self.cells,
            stripe_length: self.length,
        }
    }

    pub(crate) fn key(&self, index: usize) -> ChunkKey {
        ChunkKey { group: self.group, chunk: ChunkId { stripe: self.stripe, index: index as u8 } }
    }

    /// The cell of each chunk, by index.
    pub(crate) fn cells(&self, map: &ClusterMap) -> Result<Vec<Cell>, DataError> {
        let bad = |why: &str| Err(DataError::BadPlace(format!("{why}: {self:?}")));
        let Some(group) = map.group(self.group) else { return bad("no such group") };
        if self.cells.count_ones() as usize != self.scheme.width() {
            return bad("cells and scheme disagree");
        }
        if self.cells.checked_shr(group.cells.len() as u32).unwrap_or(0) != 0 {
            return bad("the group has fewer cells");
        }
        if self.length == 0 || self.chunk_length() as usize > CHUNK_BYTES_MAX {
            return bad("impossible length");
        }
        let chosen = group.cells.iter().enumerate().filter(|(n, _)| self.cells >> n & 1 == 1);
        Ok(chosen.map(|(_, cell)| *cell).collect())
    }
}

pub(crate) fn chunk_length(length: u32, data: usize) -> u32 {
    let blocks = u64::from(length).div_ceil((data * BLOCK_BYTES) as u64);
    u32::try_from(blocks * BLOCK_BYTES as u64).unwrap_or(u32::MAX)
}

pub(crate) fn stored_bytes(length: u32, scheme: Scheme) -> u64 {
    stored_in(length, scheme.data(), scheme.parity())
}

/// Bytes that so much data take in so many chunks, headers included.
pub(crate) fn stored_in(length: u32, data: usize, parity: usize) -> u64 {
    (u64::from(chunk_length(length, data)) + BLOCK_BYTES as u64) * (data + parity) as u64
}

/// How many data chunks a stripe of this length has where so many cells of its group can take one; 0 where they are
/// too few.
pub(crate) fn data_chunks(length: u32, wanted: Scheme, usable: usize) -> usize {
    let data = usable.saturating_sub(wanted.parity()).min(wanted.data());
    // Too short for a block in each chunk: one data chunk and its parity.
    if (length as usize) < data * BLOCK_BYTES { 1 } else { data }
}

/// Bytes that a run of so much data takes, as stripes where so many cells of each group can take a chunk.
pub(crate) fn stored_of_run(bytes: u64, wanted: Scheme, usable: usize) -> u64 {
    let chunks = |length: u32| data_chunks(length, wanted, usable).max(1);
    let one = |length: u32| if length == 0 { 0 } else { stored_in(length, chunks(length), wanted.parity()) };
    // At most 16 MiB.
    let longest = (wanted.data() * CHUNK_BYTES_MAX) as u32;
    let narrow = (chunks(longest) * CHUNK_BYTES_MAX) as u32;
    let whole = |of: u32| (bytes / u64::from(of), (bytes % u64::from(of)) as u32);
    let ((narrows, tail), (longs, rest)) = (whole(narrow), whole(longest));
    let known = narrows.saturating_mul(one(narrow)).saturating_add(one(tail));
    // Where it turns out only then, each that is too long is cut in parts.
    let cut = |length: u32| u64::from(length / narrow) * one(narrow) + one(length % narrow);
    known.max(longs.saturating_mul(cut(longest)).saturating_add(cut(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_the_data_divided_and_rounded_up() {
        for (length, data, chunk) in [
            (1, 1, 4096),
            (4096, 1, 4096),
            (4097, 1, 8192),
            (1 << 20, 1, 1 << 20),
            (1, 4, 4096),
            (16384, 4, 4096),
            (16385, 4, 8192),
            (4 << 20, 4, 1 << 20),
            (16 << 20, 16, 1 << 20),
        ] {
            assert_eq!(chunk_length(length, data), chunk, "{length} {data}");
        }
        assert_eq!(stored_bytes(4 << 20, "4+2".parse().unwrap()), 6 * ((1 << 20) + 4096));
    }
}
