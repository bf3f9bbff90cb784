//! The journal alone: long batches, many turns of the halves, cuts and rot anywhere.

use super::*;
use crate::chunk::{ChunkInfo, Incarnation, Shape};
use crate::index::{ChunkIndex, MemoryIndex};
use env::sim::SimDisk;
use env::{Random, SeededRandom};
use std::collections::BTreeMap;
use types::{ChunkId, DriveId, GroupId, StripeId};

const BYTES: u64 = 8 << 20;

type Model = BTreeMap<ChunkKey, Located>;

fn layout() -> Superblock {
    Superblock::plan(DriveId(0), Incarnation([4; 16]), BYTES)
}

fn records(random: &SeededRandom, count: u64) -> Vec<Record> {
    let one = |_| {
        let stripe = StripeId(random.below(1500));
        let key = ChunkKey { group: GroupId(0), chunk: ChunkId { stripe, index: 0 } };
        let shape = Shape { data: 1, parity: 0, cells: 1, stripe_length: 1 };
        let info = ChunkInfo { key, shape, blocks: 1 };
        if random.below(3) == 0 {
            Record::Free(key)
        } else {
            Record::Put(Located { info, unit: random.next() })
        }
    };
    (0..count).map(one).collect()
}

fn apply(model: &mut Model, records: &[Record]) {
    for record in records {
        match record {
            Record::Put(chunk) => drop(model.insert(chunk.info.key, *chunk)),
            Record::Free(key) => drop(model.remove(key)),
            Record::Fence(_) => {}
        }
    }
}

fn found(index: &MemoryIndex) -> Model {
    index.list(ChunkKey::FIRST, usize::MAX).into_iter().map(|chunk| (chunk.info.key, chunk)).collect()
}

/// Writes batches until power goes or `batches` are written; the one that was cut off comes back.
async fn history(
    journal: &mut Journal,
    model: &mut Model,
    random: &SeededRandom,
    batches: u64,
) -> Vec<Record> {
    for _ in 0..batches {
        let count = if random.below(3) == 0 { random.below(600) } else { random.below(5) };
        let batch = records(random, count);
        if !journal.has_room(batch.len()) {
            let live: Vec<Record> = model.values().copied().map(Record::Put).collect();
            if journal.checkpoint(&live, 0).await.is_err() {
                return Vec::new();
            }
        }
        if journal.append(&batch, 0).await.is_err() {
            return batch;
        }
        apply(model, &batch);
    }
    Vec::new()
}

async fn started(disk: &SimDisk) -> Journal {
    let mut journal = Journal::start(disk.file(), layout(), 1, 0);
    journal.checkpoint(&[], 0).await.unwrap();
    journal.file.sync().await.unwrap();
    journal
}

#[tokio::test(start_paused = true)]
async fn cuts_leave_all_batches_and_at_most_the_begin_of_one_more() {
    for seed in 0..60 {
        let disk = SimDisk::new(seed, BYTES);
        let random = SeededRandom::new(seed);
        let mut journal = started(&disk).await;
        let mut model = Model::new();
        for session in 2..8 {
            let soon = [4, 90][random.below(2) as usize];
            disk.cut_power_at(Some(disk.operations() + 1 + random.below(soon)));
            let cut_off = history(&mut journal, &mut model, &random, 60).await;
            disk.cut_power();
            disk.power_on();
            let recovered = recover(&disk.file(), &layout(), session).await.unwrap();
            let found = found(&recovered.index);
            let matches = (0..=cut_off.len()).step_by(RECORDS_PER_PAGE).chain([cut_off.len()]).find(|&n| {
                let mut possible = model.clone();
                apply(&mut possible, &cut_off[..n]);
                possible == found
            });
            let Some(kept) = matches else { panic!("seed {seed} session {session}: a state that never was") };
            apply(&mut model, &cut_off[..kept]);
            journal = recovered.journal;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rot_is_noticed_or_harmless() {
    let (mut noticed, mut harmless) = (0, 0);
    for seed in 0..150 {
        let disk = SimDisk::new(seed, BYTES);
        let random = SeededRandom::new(seed);
        let mut journal = started(&disk).await;
        let mut model = Model::new();
        history(&mut journal, &mut model, &random, 40 + random.below(60)).await;
        if !journal.has_room(0) {
            let live: Vec<Record> = model.values().copied().map(Record::Put).collect();
            journal.checkpoint(&live, 0).await.unwrap();
        }
        journal.append_clean(0).await.unwrap();
        journal.file.sync().await.unwrap();
        // The first page of either half is as likely as all the others.
        let layout = layout();
        let page = match random.below(4) {
            half @ 0..2 => layout.journal_at(half as usize),
            _ => layout.journal_at(0) + random.below(2 * layout.journal_units),
        };
        disk.flip_bit(page * 4096 + random.below(4096), 3);
        match recover(&disk.file(), &layout, 9).await {
            Ok(recovered) => {
                assert!(
                    found(&recovered.index) == model,
                    "seed {seed} page {page}: a state that is not the last"
                );
                harmless += 1;
            }
            Err(error) => {
                assert!(matches!(error, RecoverError::Damaged { .. }), "seed {seed}: {error}");
                noticed += 1;
            }
        }
    }
    assert!(noticed > 10 && harmless > 10, "{noticed} {harmless}");
}
