//! fsck over what a simulation leaves, on the one drive that its stripes in memory would be on.

use bytes::Bytes;
use cluster::{ClusterMap, DomainId, DriveInfo, DriveState, Scheme, SlotTable};
use drive::{ChunkInfo, ChunkKey, Shape};
use fsck::{Chunks, Report, Shards};
use map::{MapError, MemoryMap, OrderedMap, OrderedMapMut};
use std::collections::BTreeMap;
use types::limits::BLOCK_BYTES;
use types::{ChunkId, DriveId, GroupId, ShardId, StripeId};

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

/// What fsck says of `map`, as if it was one shard's, and these stripes.
///
/// # Errors
/// When the map cannot be read.
pub fn checked(map: &dyn OrderedMap, stripes: &BTreeMap<StripeId, usize>) -> Result<Report, MapError> {
    let (slots, stored) = parted(map, 1)?;
    checked_shards(&Shards::new(slots, stored)?, stripes)
}

/// `map` as so many shards store it, each the part of its slots.
///
/// # Errors
/// When the map cannot be read, or for a number of shards that cannot be.
pub fn parted(
    map: &dyn OrderedMap,
    shards: u16,
) -> Result<(SlotTable, BTreeMap<ShardId, MemoryMap>), MapError> {
    let slots = SlotTable::even(shards).map_err(|error| MapError::Broken(error.to_string()))?;
    let mut stored: BTreeMap<ShardId, MemoryMap> =
        slots.shards().into_iter().map(|shard| (shard, MemoryMap::default())).collect();
    map.scan(&[], &[0xff; 64], &mut |key, value| {
        if let Some(map) = stored.get_mut(&slots.shard(metadata::slot_of(key))) {
            map.put(&[&[1], key].concat(), Bytes::copy_from_slice(value));
        }
        true
    })?;
    Ok((slots, stored))
}

/// What fsck says of these shards and stripes.
///
/// # Errors
/// When a map cannot be read.
pub fn checked_shards<M: OrderedMap>(
    shards: &Shards<M>,
    stripes: &BTreeMap<StripeId, usize>,
) -> Result<Report, MapError> {
    let mut chunks = Chunks::new(one_drive().map_err(|error| MapError::Broken(error.to_string()))?);
    chunks.listed(DRIVE);
    for (stripe, length) in stripes {
        chunks.add(DRIVE, &[chunk(*stripe, *length)]);
    }
    let mut checked = fsck::check(shards, chunks)?;
    checked.look_at_shards(shards)?;
    checked.finish(shards)
}
