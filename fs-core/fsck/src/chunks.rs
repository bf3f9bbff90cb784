//! What the drives have, against what stripes need.

use crate::damage::{Findings, Kind};
use crate::{keys, records};
use cluster::{Cell, CellState, ClusterMap};
use drive::{ChunkInfo, ChunkKey, Shape};
use map::{MapError, OrderedMap};
use std::collections::{BTreeMap, BTreeSet};
use types::limits::{BLOCK_BYTES, CHUNK_BYTES_MAX, DATA_CHUNKS_MAX, PARITY_CHUNKS_MAX};
use types::{ChunkId, DriveId, FsId, InodeId, StripeId};

/// The chunks of all drives: about 48 bytes each. Listed before the map is looked at.
pub struct Chunks {
    map: ClusterMap,
    drives: BTreeSet<DriveId>,
    all: Vec<Listed>,
}

#[derive(Clone, Copy)]
struct Listed {
    key: ChunkKey,
    drive: DriveId,
    shape: Shape,
    blocks: u16,
    /// A stripe wants it, or it is going to be freed.
    known: bool,
}

impl Listed {
    fn place(&self) -> (StripeId, u8, DriveId, u16) {
        (self.key.chunk.stripe, self.key.chunk.index, self.drive, self.key.group.0)
    }
}

/// A live stripe that lacks chunks, unless a second look shows that it was freed.
struct Lacking {
    fs: FsId,
    stripe: StripeId,
    record: records::Stripe,
    missing: Vec<(DriveId, ChunkKey)>,
    away: usize,
}

/// A chunk that no stripe wants, unless a second look shows that it is freed or committed.
struct Leftover {
    drive: DriveId,
    key: ChunkKey,
}

/// What may be wrong, or may only have changed between the listing and the view.
#[derive(Default)]
pub(crate) struct Doubts {
    lacking: Vec<Lacking>,
    leftovers: Vec<Leftover>,
    /// Chunks that live stripes have on drives that were not listed.
    away: BTreeMap<DriveId, u64>,
}

impl Chunks {
    /// Of no drive yet.
    #[must_use]
    pub fn new(map: ClusterMap) -> Chunks {
        Chunks { map, drives: BTreeSet::new(), all: Vec::new() }
    }

    /// The drive is there; [`Chunks::add`] has, or will have, all its chunks.
    pub fn listed(&mut self, drive: DriveId) {
        self.drives.insert(drive);
    }

    /// Chunks that the drive has.
    pub fn add(&mut self, drive: DriveId, chunks: &[ChunkInfo]) {
        self.all.extend(chunks.iter().map(|&ChunkInfo { key, shape, blocks }| Listed {
            key,
            drive,
            shape,
            blocks,
            known: false,
        }));
    }

    pub(crate) fn cluster(&self) -> &ClusterMap {
        &self.map
    }

    pub(crate) fn count(&self) -> u64 {
        self.all.len() as u64
    }

    pub(crate) fn sort(&mut self) {
        self.all.sort_unstable_by_key(Listed::place);
    }

    /// The stripe is going to be freed wherever it is.
    pub(crate) fn garbage(&mut self, stripe: StripeId) {
        of(&mut self.all, stripe).iter_mut().for_each(|chunk| chunk.known = true);
    }

    /// The stripe must have all its chunks. An impossible place comes back as a sentence's end.
    pub(crate) fn live(
        &mut self,
        findings: &mut Findings,
        doubts: &mut Doubts,
        (fs, stripe): (FsId, StripeId),
        record: &records::Stripe,
    ) -> Result<(), &'static str> {
        let cells = cells(&self.map, record)?;
        let (shape, blocks) = expected(record);
        let Chunks { drives, all, .. } = self;
        let chunks = of(all, stripe);
        let (mut missing, mut away) = (Vec::new(), Vec::new());
        for (index, cell) in (0u8..).zip(cells) {
            let key = ChunkKey { group: types::GroupId(record.group), chunk: ChunkId { stripe, index } };
            if cell.state == CellState::Lost || !drives.contains(&cell.drive) {
                away.push(cell.drive);
                continue;
            }
            let Some(chunk) = chunks.iter_mut().find(|c| c.key == key && c.drive == cell.drive) else {
                missing.push((cell.drive, key));
                continue;
            };
            chunk.known = true;
            if chunk.shape != shape || chunk.blocks != blocks {
                findings.add(Kind::WrongChunk, None, || {
                    format!(
                        "chunk {index} of stripe {} on drive {} is of {:?} and {} blocks, not {shape:?} and {blocks}",
                        InodeId(stripe.0),
                        cell.drive.0,
                        chunk.shape,
                        chunk.blocks
                    )
                });
            }
        }
        let lost = away.len() > usize::from(record.parity_chunks);
        if lost || !missing.is_empty() {
            doubts.lacking.push(Lacking { fs, stripe, record: *record, missing, away: away.len() });
        }
        for drive in away {
            *doubts.away.entry(drive).or_default() += 1;
        }
        Ok(())
    }

    /// Every stripe was seen.
    pub(crate) fn finish(self, doubts: &mut Doubts) {
        let unknown = self.all.iter().filter(|chunk| !chunk.known);
        doubts.leftovers = unknown.map(|chunk| Leftover { drive: chunk.drive, key: chunk.key }).collect();
    }
}

/// The chunks of a stripe among `all`, which are sorted.
fn of(all: &mut [Listed], stripe: StripeId) -> &mut [Listed] {
    let from = all.partition_point(|chunk| chunk.key.chunk.stripe < stripe);
    let to = all.partition_point(|chunk| chunk.key.chunk.stripe <= stripe);
    &mut all[from..to]
}

/// The cells of a stripe's chunks by index.
fn cells(map: &ClusterMap, record: &records::Stripe) -> Result<Vec<Cell>, &'static str> {
    let width = u32::from(record.data_chunks) + u32::from(record.parity_chunks);
    let data = usize::from(record.data_chunks);
    if !(1..=DATA_CHUNKS_MAX).contains(&data) || usize::from(record.parity_chunks) > PARITY_CHUNKS_MAX {
        return Err("has an impossible scheme");
    }
    if record.length == 0 || record.length as usize > data * CHUNK_BYTES_MAX {
        return Err("has an impossible length");
    }
    let group = map.group(types::GroupId(record.group)).ok_or("is in a group that is not there")?;
    if record.cells.count_ones() != width
        || record.cells.checked_shr(group.cells.len() as u32).unwrap_or(0) != 0
    {
        return Err("is in cells that do not fit its scheme or its group");
    }
    let chosen = group.cells.iter().enumerate().filter(|(n, _)| record.cells >> n & 1 == 1);
    Ok(chosen.map(|(_, cell)| *cell).collect())
}

/// What every chunk of a possible stripe says and how long it is.
fn expected(record: &records::Stripe) -> (Shape, u16) {
    let &records::Stripe { data_chunks, parity_chunks, cells, length, .. } = record;
    let shape = Shape { data: data_chunks, parity: parity_chunks, cells, stripe_length: length };
    let blocks = (length as usize).div_ceil(usize::from(data_chunks) * BLOCK_BYTES);
    // At most 256: the length was checked.
    (shape, u16::try_from(blocks).unwrap_or(u16::MAX))
}

impl Doubts {
    pub(crate) fn is_empty(&self) -> bool {
        self.lacking.is_empty() && self.leftovers.is_empty()
    }

    /// Keeps what is still missing or left, asked of the drives.
    pub(crate) fn ask(&mut self, present: &dyn Fn(DriveId, ChunkKey) -> bool) {
        for lacking in &mut self.lacking {
            lacking.missing.retain(|(drive, key)| !present(*drive, *key));
        }
        self.lacking.retain(|l| !l.missing.is_empty() || l.away > usize::from(l.record.parity_chunks));
        self.leftovers.retain(|leftover| present(leftover.drive, leftover.key));
    }

    /// Keeps what is still live, or still unknown, in a view that was taken after the drives were asked.
    pub(crate) fn look(
        &mut self,
        view: &dyn OrderedMap,
        filesystems: &[FsId],
        map: &ClusterMap,
    ) -> Result<(), MapError> {
        let read = |fs, stripe| -> Result<Option<records::Stripe>, MapError> {
            let value = view.get(&keys::stripe(fs, stripe))?;
            Ok(value.and_then(|value| records::decode(&value).ok()))
        };
        let mut lacking = Vec::new();
        for doubt in self.lacking.drain(..) {
            let same =
                |now: records::Stripe| (now.group, now.cells) == (doubt.record.group, doubt.record.cells);
            if read(doubt.fs, doubt.stripe)?.is_some_and(same) {
                lacking.push(doubt);
            }
        }
        self.lacking = lacking;
        let mut leftovers = Vec::new();
        for doubt in self.leftovers.drain(..) {
            let ChunkKey { group, chunk } = doubt.key;
            let mut wanted = false;
            for fs in filesystems {
                let here = |now: records::Stripe| {
                    let at = cells(map, &now).ok().and_then(|all| all.get(usize::from(chunk.index)).copied());
                    now.group == group.0 && at.is_some_and(|cell| cell.drive == doubt.drive)
                };
                wanted |= read(*fs, chunk.stripe)?.is_some_and(here);
                wanted |= view.get(&keys::garbage(*fs, chunk.stripe))?.is_some();
            }
            if !wanted {
                leftovers.push(doubt);
            }
        }
        self.leftovers = leftovers;
        Ok(())
    }

    /// What could not be explained is damage.
    pub(crate) fn finish(self, findings: &mut Findings) {
        for Lacking { fs, stripe, record, missing, away } in self.lacking {
            let gone = missing.len() + away;
            let lost = gone > usize::from(record.parity_chunks);
            let kind = if lost { Kind::Lost } else { Kind::Degraded };
            let named: Vec<String> = missing
                .iter()
                .map(|(drive, key)| format!("chunk {} on drive {}", key.chunk.index, drive.0))
                .collect();
            findings.add(kind, None, || {
                format!(
                    "stripe {} of filesystem {} lacks {gone} of its {}+{} chunks{}{}",
                    InodeId(stripe.0),
                    fs.0,
                    record.data_chunks,
                    record.parity_chunks,
                    if named.is_empty() { "" } else { ": " },
                    named.join(", ")
                )
            });
        }
        for (drive, chunks) in self.away {
            findings.add(Kind::Drive, None, || {
                format!("drive {} is not there, and should have {chunks} chunks of live stripes", drive.0)
            });
        }
        for Leftover { drive, key } in self.leftovers {
            findings.add(Kind::OrphanChunk, None, || {
                format!(
                    "chunk {} of stripe {} (group {}) on drive {} belongs to no live stripe",
                    key.chunk.index,
                    InodeId(key.chunk.stripe.0),
                    key.group.0,
                    drive.0
                )
            });
        }
    }
}
