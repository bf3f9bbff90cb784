//! What a device holds at a persistence point, kept so that every way in which a power cut can end there is tried.

use super::{Blocks, SECTOR_BYTES, SimDisk, State, copy_in};
use crate::AlignedBuf;
use crate::random::{Random, SeededRandom};
use std::sync::Arc;

/// A device at one moment: what is durable, and the writes that are not.
#[derive(Clone)]
pub struct DiskImage {
    /// The number of the write or sync that was under way, see [`SimDisk::operations`].
    pub operation: u64,
    durable: Blocks,
    pending: Vec<(u64, Arc<AlignedBuf>)>,
    length: u64,
}

/// What a power cut leaves of the writes that no sync has covered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskFate {
    /// Those whose bit is set, oldest first, as a whole, in the order in which they were written.
    Writes(u32),
    /// Any version of each 512-byte sector, as this seed says.
    Torn(u64),
}

impl DiskImage {
    /// Writes that no sync has covered.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Every choice of whole writes where there are at most `choices` of these (of more: none, all, each alone),
    /// and `torn` ways of tearing them.
    #[must_use]
    pub fn fates(&self, choices: u32, torn: u64) -> Vec<DiskFate> {
        let count = self.pending.len().min(31) as u32;
        let all = (1u32 << count) - 1;
        let mut fates: Vec<DiskFate> = match 1u32 << count {
            subsets if subsets <= choices => (0..subsets).map(DiskFate::Writes).collect(),
            _ => [0, all].into_iter().chain((0..count).map(|n| 1 << n)).map(DiskFate::Writes).collect(),
        };
        if count > 0 {
            fates.extend((0..torn).map(|n| DiskFate::Torn(n << 32 | self.operation)));
        }
        fates
    }

    /// The device as it is after a power cut that ended so.
    #[must_use]
    pub fn after(&self, fate: DiskFate) -> SimDisk {
        let (seed, writes) = match fate {
            DiskFate::Writes(bits) => (u64::from(bits), bits),
            DiskFate::Torn(seed) => (seed, 0),
        };
        let random = SeededRandom::new(seed.wrapping_add(self.operation));
        let mut durable = self.durable.clone();
        for (n, (offset, data)) in self.pending.iter().enumerate() {
            for (part, sector) in data.chunks_exact(SECTOR_BYTES).enumerate() {
                // Of several versions of a sector the later one wins, so each of them can be what is left.
                let kept = match fate {
                    DiskFate::Writes(_) => writes >> n.min(31) & 1 == 1,
                    DiskFate::Torn(_) => random.below(2) == 0,
                };
                if kept {
                    copy_in(&mut durable, offset + (part * SECTOR_BYTES) as u64, sector);
                }
            }
        }
        let state = State { current: durable.clone(), durable, ..State::blank() };
        SimDisk::of(state, seed, self.length)
    }
}

impl SimDisk {
    /// The device as it is now; for a power cut between operations.
    #[must_use]
    pub fn image(&self) -> DiskImage {
        self.state.lock().image(self.length)
    }

    /// From now on keeps what the device holds at each write and sync; these go on as if nothing was.
    pub fn keep_images(&self) {
        self.state.lock().images = Some(Vec::new());
    }

    /// What was kept since [`SimDisk::keep_images`], oldest first.
    #[must_use]
    pub fn take_images(&self) -> Vec<DiskImage> {
        self.state.lock().images.take().unwrap_or_default()
    }
}

impl State {
    pub(super) fn image(&self, length: u64) -> DiskImage {
        let (durable, pending) = (self.durable.clone(), self.pending.clone());
        DiskImage { operation: self.operations, durable, pending, length }
    }
}
