//! Power cuts at random points of long histories, and what must be there after any.
//! Whatever was acknowledged is there, whole; whatever was freed is not; nothing is ever wrong.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Step {
    Write(u64),
    Replace(u64),
    Free(u64),
    Reopen,
}

/// What must, may and must not be on the drive.
#[derive(Default)]
pub(super) struct Model {
    /// Acknowledged: stripe -> blocks.
    pub(super) there: BTreeMap<u64, usize>,
    /// A write or free of it was cut off.
    pub(super) maybe: BTreeMap<u64, usize>,
    /// Ids are never used again.
    pub(super) freed: BTreeSet<u64>,
}

pub(super) fn blocks_of(stripe: u64) -> usize {
    1 + (stripe * 7 % 5) as usize
}

impl Model {
    pub(super) async fn run(&mut self, disk: &SimDisk, store: ChunkStore, steps: &[Step]) {
        let mut store = store;
        for &step in steps {
            let alive = match step {
                Step::Write(stripe) if !self.there.contains_key(&stripe) && !self.freed.contains(&stripe) => {
                    let blocks = blocks_of(stripe);
                    let done = store.write(request(key(stripe), content(stripe, 0, blocks))).await;
                    match &done {
                        Ok(()) => drop(self.there.insert(stripe, blocks)),
                        Err(_) => drop(self.maybe.insert(stripe, blocks)),
                    }
                    done.is_ok()
                }
                Step::Replace(stripe) if self.there.contains_key(&stripe) => {
                    let again = request(key(stripe), content(stripe, 0, blocks_of(stripe)));
                    store.write(WriteChunk { replace: true, ..again }).await.is_ok()
                }
                Step::Free(stripe) => {
                    let done = store.free(vec![key(stripe)], WRITER).await;
                    if let Some(blocks) = self.there.remove(&stripe) {
                        match &done {
                            Ok(()) => drop(self.freed.insert(stripe)),
                            Err(_) => drop(self.maybe.insert(stripe, blocks)),
                        }
                    }
                    done.is_ok()
                }
                Step::Reopen => {
                    store.close().await;
                    match ChunkStore::open(disk.file(), &SeededRandom::new(disk.operations())).await {
                        Ok(opened) => store = opened,
                        Err(_) => return,
                    }
                    true
                }
                _ => true,
            };
            if !alive {
                return;
            }
        }
    }

    /// Checks the drive after the cut and learns how what was uncertain has ended.
    pub(super) async fn check(&mut self, store: &ChunkStore) {
        let listed = store.list(ChunkKey::FIRST, 4096).unwrap();
        let mut units = BTreeSet::new();
        for chunk in &listed {
            let stripe = chunk.key.chunk.stripe.0;
            assert!(!self.freed.contains(&stripe), "{stripe} came back to life");
            let blocks = self.there.get(&stripe).or(self.maybe.get(&stripe));
            assert_eq!(Some(usize::from(chunk.blocks)), blocks.copied(), "{stripe}");
            let content = content(stripe, 0, chunk.blocks.into());
            // Of large ones, which only fill the drive, both ends.
            let part = if chunk.blocks > 16 { 2 } else { chunk.blocks };
            for first in [0, chunk.blocks - part] {
                let at = usize::from(first) * BLOCK_BYTES;
                let part_of_it = content.slice(at..at + usize::from(part) * BLOCK_BYTES);
                let read = store.read(chunk.key, first, part).await;
                assert_eq!(read.map(|r| r.data), Ok(part_of_it), "{stripe}");
            }
            let unit = store.locate(chunk.key).unwrap() / 4096;
            assert!((unit..=unit + u64::from(chunk.blocks)).all(|u| units.insert(u)), "overlap");
        }
        let found: BTreeSet<u64> = listed.iter().map(|c| c.key.chunk.stripe.0).collect();
        for stripe in self.there.keys() {
            assert!(found.contains(stripe), "{stripe} was acknowledged and is gone");
        }
        for (stripe, blocks) in std::mem::take(&mut self.maybe) {
            if found.contains(&stripe) {
                self.there.insert(stripe, blocks);
            }
        }
        let stat = store.stat();
        assert_eq!(stat.total - stat.free, units.len() as u64 * 4096, "space leaks");
    }
}

#[tokio::test(start_paused = true)]
async fn random_long_histories_with_many_cuts() {
    for seed in 0..60 {
        let random = SeededRandom::new(seed);
        let disk = SimDisk::new(seed, DISK_BYTES);
        let mut store = formatted(&disk).await;
        let mut model = Model::default();
        let mut next = 0;
        for _ in 0..8 {
            let steps: Vec<Step> = (0..random.below(60))
                .map(|_| match random.below(20) {
                    0 => Step::Reopen,
                    1..3 => Step::Replace(random.below(next + 1)),
                    3..10 => Step::Free(random.below(next + 1)),
                    _ => {
                        next += 1;
                        Step::Write(next)
                    }
                })
                .collect();
            disk.cut_power_at(Some(disk.operations() + 1 + random.below(120)));
            model.run(&disk, store, &steps).await;
            disk.cut_power();
            disk.power_on();
            store = reopened(&disk).await;
            model.check(&store).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn writers_side_by_side_are_cut_off_together() {
    for seed in 0..60 {
        let random = SeededRandom::new(seed);
        let disk = SimDisk::new(seed, DISK_BYTES);
        let store = Arc::new(formatted(&disk).await);
        disk.cut_power_at(Some(disk.operations() + 1 + random.below(300)));
        let mut all = tokio::task::JoinSet::new();
        for lane in 0..40u64 {
            let store = store.clone();
            all.spawn(async move {
                let mut ends = Vec::new();
                // Later writes take the place of what others free meanwhile.
                for stripe in (0..5).map(|n| n * 40 + lane) {
                    let data = content(stripe, 0, blocks_of(stripe));
                    let wrote = store.write(request(key(stripe), data)).await;
                    let freed = match wrote {
                        Ok(()) if lane % 3 > 0 => Some(store.free(vec![key(stripe)], WRITER).await.is_ok()),
                        _ => None,
                    };
                    ends.push((stripe, wrote.is_ok(), freed));
                }
                ends
            });
        }
        let mut model = Model::default();
        while let Some(done) = all.join_next().await {
            for (stripe, wrote, freed) in done.unwrap() {
                match (wrote, freed) {
                    (true, None) => drop(model.there.insert(stripe, blocks_of(stripe))),
                    (true, Some(true)) => drop(model.freed.insert(stripe)),
                    _ => drop(model.maybe.insert(stripe, blocks_of(stripe))),
                }
            }
        }
        drop(store);
        disk.power_on();
        model.check(&reopened(&disk).await).await;
    }
}
