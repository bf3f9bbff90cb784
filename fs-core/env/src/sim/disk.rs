//! A device in memory that forgets, tears, reorders, lies, lags and dies as its seed says.

mod image;

pub use image::{DiskFate, DiskImage};

use crate::block::{SharedBlockFile, check_range, check_transfer};
use crate::random::{Random, SeededRandom};
use crate::{AlignedBuf, BlockError, BlockFile, IoFuture};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use types::limits::BLOCK_BYTES;

/// What the device writes as one: the rest of a write may be lost without it.
const SECTOR_BYTES: usize = 512;

/// Shared between the states of a device, so that keeping one is cheap.
type Blocks = BTreeMap<u64, Arc<[u8; BLOCK_BYTES]>>;

/// How the device misbehaves from now on.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Every operation fails.
    pub dead: bool,
    /// Every operation takes this long.
    pub delay: Duration,
    /// The next sync fails, and what it should have kept may be lost.
    pub fail_next_sync: bool,
    /// The next write goes this many bytes beside its place.
    pub misdirect_next_write: Option<i64>,
    /// The next write is acknowledged and forgotten.
    pub lose_next_write: bool,
    /// Reads of these bytes fail.
    pub unreadable: Vec<std::ops::Range<u64>>,
}

struct State {
    /// What a power cut leaves.
    durable: Blocks,
    /// What reads see.
    current: Blocks,
    /// Writes since the last sync, oldest first.
    pending: Vec<(u64, Arc<AlignedBuf>)>,
    faults: Faults,
    operations: u64,
    cut_at: Option<u64>,
    /// Handles of an earlier life are dead.
    life: u64,
    powered: bool,
    /// What there was at each write and sync, if that is wanted.
    images: Option<Vec<DiskImage>>,
}

/// A simulated device. Clones share it.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    random: Arc<SeededRandom>,
    length: u64,
}

impl SimDisk {
    /// `length` zero bytes, a multiple of 4 KiB.
    #[must_use]
    pub fn new(seed: u64, length: u64) -> SimDisk {
        assert!(length > 0 && length.is_multiple_of(BLOCK_BYTES as u64));
        SimDisk::of(State::blank(), seed, length)
    }

    fn of(state: State, seed: u64, length: u64) -> SimDisk {
        SimDisk { state: Arc::new(Mutex::new(state)), random: Arc::new(SeededRandom::new(seed)), length }
    }

    /// A handle for this life of the device; useless after the next power cut.
    #[must_use]
    pub fn file(&self) -> SharedBlockFile {
        Arc::new(SimFile { disk: self.clone(), life: self.state.lock().life })
    }

    /// Changes how the device misbehaves.
    pub fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state.lock().faults);
    }

    /// Writes and syncs so far (in all lives): the points at which power can be cut.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Cuts power when the write or sync of this number begins (see [`SimDisk::operations`]).
    pub fn cut_power_at(&self, operation: Option<u64>) {
        self.state.lock().cut_at = operation;
    }

    /// Cuts power now: of every 512-byte sector written since the last sync, any version survives.
    pub fn cut_power(&self) {
        self.state.lock().cut(&self.random);
    }

    /// Whether power is on.
    #[must_use]
    pub fn powered(&self) -> bool {
        self.state.lock().powered
    }

    /// Power returns; take a new [`SimDisk::file`]. Faults stay.
    pub fn power_on(&self) {
        let mut state = self.state.lock();
        if state.powered {
            state.cut(&self.random);
        }
        state.powered = true;
        state.cut_at = None;
    }

    /// Flips one bit of what is stored.
    pub fn flip_bit(&self, byte: u64, bit: u8) {
        let state = &mut *self.state.lock();
        for blocks in [&mut state.durable, &mut state.current] {
            let block = blocks.entry(byte / BLOCK_BYTES as u64).or_insert_with(|| Arc::new([0; BLOCK_BYTES]));
            Arc::make_mut(block)[(byte % BLOCK_BYTES as u64) as usize] ^= 1 << (bit % 8);
        }
    }

    /// What reads would see, faults aside: for tests that look at the disk itself.
    #[must_use]
    pub fn peek(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        copy_out(&self.state.lock().current, offset, &mut out);
        out
    }
}

impl State {
    fn blank() -> State {
        State {
            durable: Blocks::new(),
            current: Blocks::new(),
            pending: Vec::new(),
            faults: Faults::default(),
            operations: 0,
            cut_at: None,
            life: 0,
            powered: true,
            images: None,
        }
    }

    fn cut(&mut self, random: &SeededRandom) {
        // Every version of a sector, oldest first.
        let mut sectors: BTreeMap<u64, Vec<(usize, usize)>> = BTreeMap::new();
        for (write, (offset, data)) in self.pending.iter().enumerate() {
            for part in 0..data.len() / SECTOR_BYTES {
                let sector = offset / SECTOR_BYTES as u64 + part as u64;
                sectors.entry(sector).or_default().push((write, part * SECTOR_BYTES));
            }
        }
        // Nothing, everything, sector by sector, block by block, all up to some write: each finds other mistakes.
        let mood = random.below(5);
        let whole_writes = random.below(self.pending.len() as u64 + 1) as usize;
        let (mut block, mut of_block) = (None, 0);
        for (sector, versions) in sectors {
            let this = Some(sector / (BLOCK_BYTES / SECTOR_BYTES) as u64);
            if this != block {
                (block, of_block) = (this, random.next());
            }
            let choices = versions.len() as u64 + 1;
            let kept = match mood {
                0 => 0,
                1 => versions.len(),
                2 => random.below(choices) as usize,
                3 => (of_block % choices) as usize,
                _ => versions.iter().filter(|(write, _)| *write < whole_writes).count(),
            };
            if let Some(&(write, at)) = kept.checked_sub(1).and_then(|k| versions.get(k)) {
                let bytes = &self.pending[write].1[at..at + SECTOR_BYTES];
                copy_in(&mut self.durable, sector * SECTOR_BYTES as u64, bytes);
            }
        }
        self.pending.clear();
        self.current = self.durable.clone();
        self.powered = false;
        self.life += 1;
    }

    /// Counts a persistence point; true when power goes at it.
    fn point(&mut self, length: u64) -> bool {
        self.operations += 1;
        if self.images.is_some() {
            let image = self.image(length);
            self.images.get_or_insert_default().push(image);
        }
        self.cut_at.is_some_and(|at| self.operations >= at)
    }
}

fn copy_in(blocks: &mut Blocks, offset: u64, bytes: &[u8]) {
    let mut at = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let inside = (at % BLOCK_BYTES as u64) as usize;
        let n = rest.len().min(BLOCK_BYTES - inside);
        let block = blocks.entry(at / BLOCK_BYTES as u64).or_insert_with(|| Arc::new([0; BLOCK_BYTES]));
        Arc::make_mut(block)[inside..inside + n].copy_from_slice(&rest[..n]);
        at += n as u64;
        rest = &rest[n..];
    }
}

fn copy_out(blocks: &Blocks, offset: u64, out: &mut [u8]) {
    let mut done = 0;
    while done < out.len() {
        let at = offset + done as u64;
        let inside = (at % BLOCK_BYTES as u64) as usize;
        let n = (out.len() - done).min(BLOCK_BYTES - inside);
        match blocks.get(&(at / BLOCK_BYTES as u64)) {
            Some(block) => out[done..done + n].copy_from_slice(&block[inside..inside + n]),
            None => out[done..done + n].fill(0),
        }
        done += n;
    }
}

struct SimFile {
    disk: SimDisk,
    life: u64,
}

impl SimFile {
    fn run<T: Send + 'static>(
        &self,
        check: Result<(), BlockError>,
        work: impl FnOnce(&SimDisk, &mut State) -> Result<T, BlockError> + Send + 'static,
    ) -> IoFuture<T> {
        let (disk, life) = (self.disk.clone(), self.life);
        Box::pin(async move {
            check?;
            let delay = disk.state.lock().faults.delay;
            if delay.is_zero() {
                // Give the others a chance, as a real device does.
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(delay).await;
            }
            let mut state = disk.state.lock();
            if state.life != life || !state.powered || state.faults.dead {
                return Err(BlockError::Gone);
            }
            work(&disk, &mut state)
        })
    }
}

impl BlockFile for SimFile {
    fn len(&self) -> u64 {
        self.disk.length
    }

    fn read_at(&self, offset: u64, length: usize) -> IoFuture<AlignedBuf> {
        self.run(check_transfer(self.len(), offset, length), move |_, state| {
            let end = offset + length as u64;
            if state.faults.unreadable.iter().any(|bad| bad.start < end && offset < bad.end) {
                return Err(BlockError::Io { operation: "read", code: 5, message: "medium error".into() });
            }
            let mut data = AlignedBuf::zeroed(length);
            copy_out(&state.current, offset, &mut data);
            Ok(data)
        })
    }

    fn write_at(&self, offset: u64, data: AlignedBuf) -> IoFuture<()> {
        self.run(check_transfer(self.len(), offset, data.len()), move |disk, state| {
            let mut at = offset;
            if let Some(by) = state.faults.misdirect_next_write.take() {
                let last = disk.length - data.len() as u64;
                at = offset.saturating_add_signed(by).min(last) / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
            }
            if !std::mem::take(&mut state.faults.lose_next_write) {
                copy_in(&mut state.current, at, &data);
                state.pending.push((at, Arc::new(data)));
            }
            if state.point(disk.length) {
                state.cut(&disk.random);
                return Err(BlockError::Gone);
            }
            Ok(())
        })
    }

    fn sync(&self) -> IoFuture<()> {
        self.run(Ok(()), |disk, state| {
            if state.point(disk.length) {
                state.cut(&disk.random);
                return Err(BlockError::Gone);
            }
            if std::mem::take(&mut state.faults.fail_next_sync) {
                // As Linux does: the pages are marked clean, and nobody knows what arrived.
                let life = state.life;
                state.cut(&disk.random);
                state.powered = true;
                state.life = life;
                return Err(BlockError::Io { operation: "fdatasync", code: 5, message: "simulated".into() });
            }
            for (offset, data) in std::mem::take(&mut state.pending) {
                copy_in(&mut state.durable, offset, &data);
            }
            Ok(())
        })
    }

    fn write_synced(&self, offset: u64, data: AlignedBuf) -> IoFuture<()> {
        let (write, sync) = (self.write_at(offset, data), self.sync());
        Box::pin(async move {
            write.await?;
            sync.await
        })
    }

    fn discard(&self, offset: u64, length: u64) -> IoFuture<()> {
        self.run(check_range(self.len(), offset, length), |_, _| Ok(()))
    }
}

#[cfg(test)]
mod tests;
