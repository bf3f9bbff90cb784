//! The chunk store on a simulated device: plain use, faults, and power cuts everywhere.

mod crash;
mod points;

use super::*;
use crate::chunk::{Shape, block_crcs};
use crate::{DriveError, Purpose, Writer};
use bytes::Bytes;
use env::sim::SimDisk;
use env::{Random, SeededRandom};
use std::cell::RefCell;
use types::{ChunkId, GroupId, StripeId};

pub(super) const WRITER: Writer = Writer { id: 1, epoch: 1 };
pub(super) const DISK_BYTES: u64 = 8 << 20;

pub(super) fn key(stripe: u64) -> ChunkKey {
    ChunkKey { group: GroupId((stripe % 3) as u16), chunk: ChunkId { stripe: StripeId(stripe), index: 0 } }
}

pub(super) fn content(stripe: u64, version: u64, blocks: usize) -> Bytes {
    thread_local! {
        /// Making them takes longer than all that is done with them.
        static MADE: RefCell<HashMap<(u64, u64, usize), Bytes>> = RefCell::default();
    }
    let make = || {
        let random = SeededRandom::new(stripe * 1000 + version);
        let mut data = vec![0; blocks * BLOCK_BYTES];
        random.fill(&mut data);
        data.into()
    };
    MADE.with_borrow_mut(|made| made.entry((stripe, version, blocks)).or_insert_with(make).clone())
}

pub(super) fn request(key: ChunkKey, data: Bytes) -> WriteChunk {
    let shape = Shape { data: 1, parity: 0, cells: 1, stripe_length: data.len() as u32 };
    let crcs = block_crcs(key.chunk, 0, &data);
    WriteChunk { key, shape, writer: WRITER, data, crcs, replace: false, purpose: Purpose::Ordinary }
}

pub(super) async fn formatted(disk: &SimDisk) -> ChunkStore {
    let random = SeededRandom::new(5);
    ChunkStore::format(&disk.file(), DriveId(7), Incarnation([3; 16]), &random).await.unwrap();
    ChunkStore::open(disk.file(), &random).await.unwrap()
}

/// Every opening is another session, as in life.
pub(super) async fn reopened(disk: &SimDisk) -> ChunkStore {
    ChunkStore::open(disk.file(), &SeededRandom::new(disk.operations())).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_chunk_is_written_read_listed_freed_and_survives_reopening() {
    let disk = SimDisk::new(1, DISK_BYTES);
    let store = formatted(&disk).await;
    assert_eq!(store.drive(), DriveId(7));
    let empty = store.stat();
    for stripe in 0..10 {
        store.write(request(key(stripe), content(stripe, 0, 1 + stripe as usize * 20))).await.unwrap();
    }
    store.write(request(key(3), content(3, 0, 61))).await.unwrap();
    let listed = store.list(ChunkKey::FIRST, 100).unwrap();
    assert_eq!(listed.len(), 10);
    assert!(listed.is_sorted_by_key(|chunk| chunk.key));
    assert_eq!(store.list(listed[4].key, 3).unwrap(), listed[4..7]);
    store.free(vec![key(2), key(99)], WRITER).await.unwrap();
    assert_eq!(store.read(key(2), 0, 1).await, Err(DriveError::NotFound));
    for clean in [true, false] {
        if clean {
            store.close().await;
            assert_eq!(store.free(vec![], WRITER).await, Err(DriveError::Closed));
        } else {
            disk.cut_power();
            disk.power_on();
        }
        let store = reopened(&disk).await;
        for stripe in (0..10).filter(|&s| s != 2) {
            let blocks = 1 + stripe as u16 * 20;
            let all = store.read(key(stripe), 0, blocks).await.unwrap();
            assert_eq!(all.data, content(stripe, 0, blocks.into()));
            assert_eq!(all.crcs, block_crcs(key(stripe).chunk, 0, &all.data));
            let last = store.read(key(stripe), blocks - 1, 1).await.unwrap();
            assert_eq!(last.data, all.data.slice(all.data.len() - BLOCK_BYTES..));
        }
        assert_eq!(store.list(ChunkKey::FIRST, 100).unwrap().len(), 9);
        store.close().await;
    }
    let store = reopened(&disk).await;
    store.free((0..10).map(key).collect(), WRITER).await.unwrap();
    assert_eq!(store.stat().free, empty.free);
    assert_eq!(store.stat().longest, empty.longest);
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_refused() {
    let disk = SimDisk::new(1, DISK_BYTES);
    let store = formatted(&disk).await;
    let good = request(key(1), content(1, 0, 2));
    let invalid = |change: fn(&mut WriteChunk)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad
    };
    for bad in [
        invalid(|w| w.data = Bytes::new()),
        invalid(|w| w.data = Bytes::from(vec![0; 100])),
        invalid(|w| w.data = Bytes::from(vec![0; 257 * BLOCK_BYTES])),
        invalid(|w| w.shape.data = 0),
        invalid(|w| w.shape.data = 17),
        invalid(|w| w.shape.cells = 3),
        invalid(|w| w.key.chunk.index = 1),
    ] {
        assert!(matches!(store.write(bad).await, Err(DriveError::Invalid(_))));
    }
    assert!(matches!(store.write(invalid(|w| w.crcs[1] ^= 1)).await, Err(DriveError::Corrupt(_))));
    assert!(matches!(store.write(invalid(|w| w.crcs.truncate(1))).await, Err(DriveError::Corrupt(_))));
    store.write(good.clone()).await.unwrap();
    assert_eq!(store.write(good.clone()).await, Ok(()), "a retry");
    assert_eq!(store.write(request(key(1), content(1, 1, 2))).await, Err(DriveError::Conflict));
    assert_eq!(store.write(request(key(1), content(1, 0, 3))).await, Err(DriveError::Conflict));
    for (first, count) in [(0, 0), (2, 1), (1, 2), (u16::MAX, 2)] {
        assert!(matches!(store.read(key(1), first, count).await, Err(DriveError::Invalid(_))));
    }
    assert!(matches!(store.free(vec![key(1); 600], WRITER).await, Err(DriveError::Invalid(_))));
}

#[tokio::test(start_paused = true)]
async fn an_older_life_of_a_writer_is_refused_also_after_a_cut() {
    let disk = SimDisk::new(1, DISK_BYTES);
    let store = formatted(&disk).await;
    let at = |epoch, stripe| WriteChunk {
        writer: Writer { id: 1, epoch },
        ..request(key(stripe), content(stripe, 0, 1))
    };
    store.write(at(1, 1)).await.unwrap();
    store.write(at(3, 2)).await.unwrap();
    assert_eq!(store.write(at(1, 3)).await, Err(DriveError::Fenced { newest: 3 }));
    assert_eq!(store.free(vec![key(1)], WRITER).await, Err(DriveError::Fenced { newest: 3 }));
    disk.cut_power();
    disk.power_on();
    let store = reopened(&disk).await;
    assert_eq!(store.write(at(2, 3)).await, Err(DriveError::Fenced { newest: 3 }), "heard with a write");
    store.fence(Writer { id: 1, epoch: 5 }).await.unwrap();
    store.fence(Writer { id: 1, epoch: 5 }).await.unwrap();
    disk.cut_power();
    disk.power_on();
    let store = reopened(&disk).await;
    assert_eq!(store.write(at(4, 4)).await, Err(DriveError::Fenced { newest: 5 }));
    assert_eq!(store.fence(Writer { id: 1, epoch: 4 }).await, Err(DriveError::Fenced { newest: 5 }));
    store.write(at(5, 4)).await.unwrap();
    let other = Writer { id: 2, epoch: 1 };
    store.write(WriteChunk { writer: other, ..request(key(9), content(9, 0, 1)) }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_drive_refuses_and_what_is_held_back_serves_repair() {
    let disk = SimDisk::new(1, DISK_BYTES);
    let store = formatted(&disk).await;
    let mut written = 0;
    let refused = loop {
        match store.write(request(key(written), content(written, 0, 15))).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, DriveError::NoSpace);
    let stat = store.stat();
    assert!(stat.free < stat.held_back + 16 * 4096 && stat.free >= stat.held_back, "{stat:?}");
    let essential = WriteChunk { purpose: Purpose::Essential, ..request(key(1000), content(1000, 0, 15)) };
    // What was promised has half of what is held back, and repair the rest.
    let mut promised = Vec::new();
    while store
        .write(WriteChunk {
            purpose: Purpose::Promised,
            ..request(key(2000 + promised.len() as u64), content(2000 + promised.len() as u64, 0, 15))
        })
        .await
        .is_ok()
    {
        promised.push(key(2000 + promised.len() as u64));
    }
    let stat = store.stat();
    assert!(!promised.is_empty() && stat.free < stat.held_back / 2 + 16 * 4096, "{stat:?}");
    store.write(essential).await.unwrap();
    store.free(promised, WRITER).await.unwrap();
    store.free(vec![key(0), key(1), key(1000)], WRITER).await.unwrap();
    store.write(request(key(written), content(written, 0, 15))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn damage_is_never_returned_is_found_by_verifying_and_replaced() {
    let disk = SimDisk::new(1, DISK_BYTES);
    let store = formatted(&disk).await;
    for stripe in 0..8 {
        store.write(request(key(stripe), content(stripe, 0, 40))).await.unwrap();
    }
    let at = |stripe| store.locate(key(stripe)).unwrap();
    disk.flip_bit(at(0) + 500, 1); // in the header's unused part
    disk.flip_bit(at(1) + 4096 * 30 + 7, 0); // in a data block
    let stolen = disk.peek(at(3), 41 * 4096);
    let mut buffer = env::AlignedBuf::zeroed(stolen.len());
    buffer.copy_from_slice(&stolen);
    disk.file().write_at(at(2), buffer).await.unwrap(); // another chunk, whole, in the wrong place
    store.close().await;
    let store = reopened(&disk).await;
    for stripe in 0..3 {
        assert!(matches!(store.read(key(stripe), 0, 40).await, Err(DriveError::Corrupt(_))), "{stripe}");
    }
    assert!(matches!(store.read(key(1), 29, 1).await, Err(DriveError::Corrupt(_))));
    assert!(store.read(key(1), 30, 10).await.is_ok(), "the other blocks are whole");
    for stripe in 0..8 {
        match store.verify(key(stripe)).await {
            Ok(info) => assert!(stripe > 2 && info.blocks == 40, "{stripe}"),
            Err(error) => assert!(stripe < 3 && matches!(error, DriveError::Corrupt(_)), "{stripe} {error}"),
        }
    }
    assert_eq!(store.verify(key(8)).await, Err(DriveError::NotFound));
    assert_eq!(store.stat().corrupt, 7);
    let free = store.stat().free;
    for stripe in 0..3 {
        let again = WriteChunk { replace: true, ..request(key(stripe), content(stripe, 0, 40)) };
        store.write(again).await.unwrap();
        assert_eq!(store.read(key(stripe), 0, 40).await.unwrap().data, content(stripe, 0, 40));
    }
    assert_eq!(store.stat().free, free, "the old ones' space is free again");
    store.close().await;
    let store = reopened(&disk).await;
    for stripe in 0..8 {
        store.verify(key(stripe)).await.unwrap();
    }
    // What was read before is in memory; what is on the device counts.
    store.read(key(4), 0, 1).await.unwrap();
    disk.flip_bit(store.locate(key(4)).unwrap() + 500, 1);
    assert!(store.read(key(4), 0, 1).await.is_ok());
    assert!(matches!(store.verify(key(4)).await, Err(DriveError::Corrupt(_))));
}

#[tokio::test(start_paused = true)]
async fn lost_and_misdirected_writes_show() {
    let disk = SimDisk::new(1, DISK_BYTES);
    let store = formatted(&disk).await;
    disk.set_faults(|f| f.lose_next_write = true);
    store.write(request(key(1), content(1, 0, 4))).await.unwrap();
    disk.set_faults(|f| f.misdirect_next_write = Some(1 << 20));
    store.write(request(key(2), content(2, 0, 4))).await.unwrap();
    store.write(request(key(3), content(3, 0, 4))).await.unwrap();
    store.close().await;
    let store = reopened(&disk).await;
    assert!(matches!(store.read(key(1), 0, 4).await, Err(DriveError::Corrupt(_))));
    assert!(matches!(store.read(key(2), 0, 4).await, Err(DriveError::Corrupt(_))));
    assert!(store.read(key(3), 0, 4).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_failed_sync_stops_all_writes_but_no_reads() {
    let disk = SimDisk::new(1, DISK_BYTES);
    let store = formatted(&disk).await;
    store.write(request(key(1), content(1, 0, 4))).await.unwrap();
    disk.set_faults(|f| f.fail_next_sync = true);
    assert!(matches!(store.write(request(key(2), content(2, 0, 4))).await, Err(DriveError::Failed(_))));
    assert!(matches!(store.write(request(key(3), content(3, 0, 4))).await, Err(DriveError::Failed(_))));
    assert!(matches!(store.free(vec![key(1)], WRITER).await, Err(DriveError::Failed(_))));
    assert!(store.read(key(1), 0, 4).await.is_ok());
    assert!(store.stat().failed);
    store.close().await;
    assert!(!reopened(&disk).await.stat().failed);
}

#[tokio::test(start_paused = true)]
async fn writers_who_come_together_share_their_syncs() {
    let disk = SimDisk::new(1, DISK_BYTES);
    let store = Arc::new(formatted(&disk).await);
    let before = disk.operations();
    let mut all = tokio::task::JoinSet::new();
    for stripe in 0..100 {
        let store = store.clone();
        all.spawn(async move { store.write(request(key(stripe), content(stripe, 0, 1))).await });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap().unwrap();
    }
    // 100 data writes; a journal write and a sync for each batch.
    assert!(disk.operations() - before < 140, "{}", disk.operations() - before);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_index_is_rebuilt_from_the_chunks_and_a_torn_one_is_not() {
    let disk = SimDisk::new(1, DISK_BYTES);
    let store = formatted(&disk).await;
    for stripe in 0..20 {
        store.write(request(key(stripe), content(stripe, 0, 3))).await.unwrap();
    }
    store.free(vec![key(4)], WRITER).await.unwrap();
    store.write(request(key(20), content(20, 0, 3))).await.unwrap();
    assert_eq!(store.locate(key(20)).map(|at| at / 4096), Some(130 + 16), "in the freed place");
    let last = store.read(key(7), 0, 3).await.unwrap();
    store.close().await;
    // Pages of the first half: 0 the checkpoint, then one a batch.
    for page in [10u64, 0] {
        disk.flip_bit((2 + page) * 4096 + 70, 2);
        let store = reopened(&disk).await;
        let keys: Vec<u64> =
            store.list(ChunkKey::FIRST, 100).unwrap().iter().map(|c| c.key.chunk.stripe.0).collect();
        assert_eq!(keys.len(), 20, "{keys:?}");
        assert!(!keys.contains(&4), "its place was used again");
        assert_eq!(store.read(key(7), 0, 3).await.unwrap(), last);
        store.free(vec![key(99)], WRITER).await.unwrap();
        store.close().await;
        let store = reopened(&disk).await;
        assert_eq!(store.list(ChunkKey::FIRST, 100).unwrap().len(), 20);
    }
}

#[tokio::test(start_paused = true)]
async fn the_journal_turns_over_many_times() {
    let disk = SimDisk::new(1, DISK_BYTES);
    let mut store = formatted(&disk).await;
    for round in 0..40u64 {
        for n in 0..10 {
            let stripe = round * 10 + n;
            store.write(request(key(stripe), content(stripe, 0, 2))).await.unwrap();
            if stripe >= 20 {
                store.free(vec![key(stripe - 20)], WRITER).await.unwrap();
            }
        }
        if round % 7 == 0 {
            store.close().await;
            store = reopened(&disk).await;
        }
    }
    disk.cut_power();
    disk.power_on();
    let store = reopened(&disk).await;
    let keys: Vec<_> =
        store.list(ChunkKey::FIRST, 100).unwrap().iter().map(|c| c.key.chunk.stripe.0).collect();
    assert_eq!(keys.len(), 20);
    for stripe in keys {
        assert_eq!(store.read(key(stripe), 0, 2).await.unwrap().data, content(stripe, 0, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_drive_full_of_rot_gives_errors_and_never_wrong_bytes() {
    let mut whole = 0;
    for seed in 0..40 {
        let disk = SimDisk::new(seed, DISK_BYTES);
        let store = formatted(&disk).await;
        for stripe in 0..20 {
            store.write(request(key(stripe), content(stripe, 0, 1 + stripe as usize))).await.unwrap();
        }
        store.close().await;
        let random = SeededRandom::new(seed);
        for _ in 0..random.below(40) {
            // Half of it where superblock and journal begin, half where the chunks are.
            let unit = if random.below(2) == 0 { random.below(30) } else { 130 + random.below(260) };
            let at = unit * 4096 + random.below(4096);
            if random.below(4) == 0 {
                disk.file().write_at(unit * 4096, env::AlignedBuf::zeroed(4096)).await.unwrap();
            } else {
                disk.flip_bit(at, random.below(8) as u8);
            }
        }
        let Ok(store) = ChunkStore::open(disk.file(), &random).await else { continue };
        for stripe in 0..20u64 {
            let blocks = 1 + stripe as u16;
            match store.read(key(stripe), 0, blocks).await {
                Ok(read) => {
                    assert_eq!(read.data, content(stripe, 0, blocks.into()), "seed {seed}");
                    whole += 1;
                }
                Err(DriveError::NotFound | DriveError::Corrupt(_)) => {}
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        store.close().await;
    }
    assert!(whole > 100, "{whole}");
}

#[tokio::test(start_paused = true)]
async fn a_file_of_something_else_is_refused() {
    let disk = SimDisk::new(1, DISK_BYTES);
    let opened = ChunkStore::open(disk.file(), &SeededRandom::new(1)).await;
    assert!(matches!(opened.err(), Some(DriveError::Invalid(_))));
    formatted(&disk).await.close().await;
    disk.flip_bit(20, 0);
    reopened(&disk).await.close().await; // the second copy serves
    disk.flip_bit(4096 + 20, 0);
    let opened = ChunkStore::open(disk.file(), &SeededRandom::new(1)).await;
    assert!(matches!(opened.err(), Some(DriveError::Invalid(_))));
}
