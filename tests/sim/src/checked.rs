//! fsck over what a simulation leaves, on the one drive that its stripes in memory would be on.

use cluster::{ClusterMap, DomainId, DriveInfo, DriveState, Scheme};
use drive::{ChunkInfo, ChunkKey, Shape};
use fsck::{Chunks, Report};
use map::{MapError, OrderedMap};
use std::collections::BTreeMap;
use types::limits::BLOCK_BYTES;
use types::{ChunkId, DriveId, GroupId, StripeId};

/// The drive of all chunks.
pub const DRIVE: DriveId = DriveId(0);

/// A map of the one drive.
///
/// # Errors
/// None that could be: one drive carries one chunk.
pub fn one_drive() -> Result<ClusterMap, cluster::MapError> {
    let drive = DriveInfo { id: DRIVE, domain: DomainId(0), weight: 1, state: DriveState::Up };
    ClusterMap::create([1; 16], Scheme::NONE, vec![drive])
}

/// The chunk of a stripe in memory.
#[must_use]
pub fn chunk(stripe: StripeId, length: usize) -> ChunkInfo {
    let key = ChunkKey { group: GroupId(0), chunk: ChunkId { stripe, index: 0 } };
    // Stripes are at most 1 MiB long here.
    let shape = Shape { data: 1, parity: 0, cells: 1, stripe_length: length as u32 };
    ChunkInfo { key, shape, blocks: length.div_ceil(BLOCK_BYTES) as u16 }
}

/// What fsck says of `map` and these stripes.
///
/// # Errors
/// When the map cannot be read.
pub fn checked(map: &dyn OrderedMap, stripes: &BTreeMap<StripeId, usize>) -> Result<Report, MapError> {
    let mut chunks = Chunks::new(one_drive().map_err(|error| MapError::Broken(error.to_string()))?);
    chunks.listed(DRIVE);
    for (stripe, length) in stripes {
        chunks.add(DRIVE, &[chunk(*stripe, *length)]);
    }
    fsck::check(map, chunks)?.finish(map)
}
