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
    let chunk = u64::from(chunk_length(length, scheme.data()));
    (chunk + BLOCK_BYTES as u64) * scheme.width() as u64
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
