//! Stripes over simulated drives: plain use, faults of every kind, power cuts.

mod crash;

use super::*;
use crate::peer::PeerFuture;
use cluster::{DomainId, DriveInfo, DriveState, Scheme};
use drive::{ChunkStore, Incarnation, Purpose, WriteChunk};
use env::sim::SimDisk;
use env::{SeededRandom, SystemRandom};
use proptest::prelude::*;
use types::limits::BLOCK_BYTES;

/// Drives, their stores, and a stripe store over them.
pub(super) struct Bench {
    pub(super) map: ClusterMap,
    pub(super) disks: Vec<SimDisk>,
    pub(super) stores: Vec<Arc<ChunkStore>>,
    pub(super) stripes: StripeStore,
}

pub(super) fn content(seed: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    env::Random::fill(&SeededRandom::new(seed), &mut bytes);
    bytes.into()
}

fn writer(epoch: u64) -> Writer {
    Writer { id: 1, epoch }
}

impl Bench {
    pub(super) async fn new(seed: u64, drives: u32, scheme: &str, bytes: u64) -> Bench {
        let info = |n| DriveInfo { id: DriveId(n), domain: DomainId(n), weight: 1, state: DriveState::Up };
        let scheme: Scheme = scheme.parse().unwrap();
        let map = ClusterMap::create([1; 16], scheme, (0..drives).map(info).collect()).unwrap();
        let disks: Vec<SimDisk> =
            (0..drives).map(|n| SimDisk::new(seed * 100 + u64::from(n), bytes)).collect();
        for (n, disk) in disks.iter().enumerate() {
            let life = Incarnation([n as u8; 16]);
            ChunkStore::format(&disk.file(), DriveId(n as u32), life, &SeededRandom::new(1)).await.unwrap();
        }
        let (stores, stripes) = Self::open(&map, &disks, 1).await;
        Bench { map, disks, stores, stripes }
    }

    pub(super) async fn open(
        map: &ClusterMap,
        disks: &[SimDisk],
        epoch: u64,
    ) -> (Vec<Arc<ChunkStore>>, StripeStore) {
        let mut stores = Vec::new();
        for disk in disks {
            let random = SeededRandom::new(disk.operations());
            stores.push(Arc::new(ChunkStore::open(disk.file(), &random).await.unwrap()));
        }
        let config = StripeStoreConfig {
            map: map.clone(),
            peers: peers(&stores),
            writer: writer(epoch),
            random: Arc::new(SeededRandom::new(epoch)),
        };
        (stores, StripeStore::open(config).unwrap())
    }

    async fn write(&self, id: u64, length: usize) -> StripePlace {
        let group = self.stripes.pick_group();
        self.stripes.write(StripeId(id), group, content(id, length)).await.unwrap()
    }

    async fn check(&self, place: &StripePlace) {
        let all = self.stripes.read(place, 0..place.length).await;
        assert!(all == Ok(content(place.stripe.0, place.length as usize)), "{place:?} {:?}", all.err());
    }

    /// The drive and the byte where a chunk begins.
    fn locate(&self, place: &StripePlace, index: usize) -> (usize, u64) {
        let cell = place.cells(&self.map).unwrap()[index];
        let drive = cell.drive.0 as usize;
        (drive, self.stores[drive].locate(place.key(index)).unwrap())
    }

    async fn repaired(&self, count: u64) {
        while self.stripes.counters().repaired < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn peers(stores: &[Arc<ChunkStore>]) -> BTreeMap<DriveId, Arc<dyn ChunkPeer>> {
    let peer = |store: &Arc<ChunkStore>| Arc::new(store.clone()) as Arc<dyn ChunkPeer>;
    stores.iter().map(|store| (store.drive(), peer(store))).collect()
}

#[tokio::test(start_paused = true)]
async fn one_drive_without_protection_carries_stripes_of_every_length() {
    let bench = Bench::new(1, 1, "1+0", 32 << 20).await;
    assert_eq!(bench.stripes.stripe_bytes_max(), 1 << 20);
    for (id, length) in [(1, 1), (2, 4096), (3, 4097), (4, 100_000), (5, 1 << 20)] {
        let place = bench.write(id, length).await;
        assert_eq!((place.scheme, place.cells, place.length), (Scheme::NONE, 1, length as u32));
        bench.check(&place).await;
        let middle = bench.stripes.read(&place, length as u32 / 3..length as u32 / 2).await.unwrap();
        assert_eq!(middle, content(id, length).slice(length / 3..length / 2));
    }
    let bad = bench.stripes.write(StripeId(9), GroupId(0), Bytes::new()).await;
    assert!(matches!(bad, Err(DataError::Invalid(_))));
    let bad = bench.stripes.write(StripeId(9), GroupId(0), content(9, (1 << 20) + 1)).await;
    assert!(matches!(bad, Err(DataError::Invalid(_))));
    let bad = bench.stripes.write(StripeId(9), GroupId(1), content(9, 1)).await;
    assert!(matches!(bad, Err(DataError::BadPlace(_))));
}

#[test]
fn any_range_of_any_stripe_reads_back() {
    let case = (1..4usize, 1..200_000usize, any::<u32>(), any::<u32>(), 0..3usize, any::<u64>());
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    proptest!(config, |((which, length, a, b, dead, seed) in case)| {
        runtime().block_on(async {
            let (drives, scheme, parity) = [(1, "1+0", 0), (6, "4+2", 2), (5, "2+1", 1), (9, "5+4", 4)][which];
            let bench = Bench::new(seed % 1000, drives, scheme, 8 << 20).await;
            let place = bench.write(seed, length).await;
            for n in 0..dead.min(parity) {
                bench.disks[(seed as usize + n * 2) % drives as usize].set_faults(|f| f.dead = true);
            }
            let (mut from, mut to) = (a as usize % (length + 1), b as usize % (length + 1));
            if from > to {
                std::mem::swap(&mut from, &mut to);
            }
            let read = bench.stripes.read(&place, from as u32..to as u32).await.unwrap();
            assert_eq!(read, content(seed, length).slice(from..to));
            assert!(bench.stripes.read(&place, 0..place.length + 1).await.is_err());
        });
    });
}

#[tokio::test(start_paused = true)]
async fn short_stripes_are_mirrored_and_full_ones_cut() {
    let bench = Bench::new(1, 6, "4+2", 16 << 20).await;
    for (id, length, scheme, chunk) in [
        (1, 100, "1+2", 4096),
        (2, 4 * 4096 - 1, "1+2", 16384),
        (3, 4 * 4096, "4+2", 4096),
        (4, 1 << 20, "4+2", 1 << 18),
        (5, 4 << 20, "4+2", 1 << 20),
    ] {
        let place = bench.write(id, length).await;
        assert_eq!((place.scheme.to_string().as_str(), place.chunk_length()), (scheme, chunk));
        assert_eq!(place.cells.count_ones() as usize, place.scheme.width());
        bench.check(&place).await;
        let stored: u64 = bench.stores.iter().map(|s| s.stat().total - s.stat().free).sum();
        assert_eq!(stored, place.stored_bytes());
        bench.stripes.free(&place).await.unwrap();
    }
}

/// What is promised is what is taken.
#[tokio::test(start_paused = true)]
async fn it_is_known_before_what_a_run_takes() {
    for (scheme, drives) in [("4+2", 6u32), ("8+2", 10), ("16+4", 20)] {
        let bench = Bench::new(1, drives, scheme, 16 << 20).await;
        let mut id = 0;
        for away in 0..3 {
            let there = drives - away;
            bench.stripes.update(bench.map.clone(), peers(&bench.stores[..there as usize])).unwrap();
            for length in
                [1, 30 << 10, 60 << 10, 64 << 10, 200_000, 1 << 20, (5 << 20) + 1, (16 << 20) + 5000]
            {
                let next = || {
                    id += 1;
                    StripeId(id)
                };
                let places = bench.stripes.write_run(next, content(1, length)).await.unwrap();
                let taken: u64 = places.iter().map(StripePlace::stored_bytes).sum();
                let known = bench.stripes.stored_bytes(length as u64);
                let least = if away == 0 { known } else { known / 100 * 95 };
                assert!(
                    (least..=known).contains(&taken),
                    "{scheme} without {away}, {length}: {known} for {taken}"
                );
                bench.stripes.free_all(&places).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn any_two_drives_may_die_and_come_back() {
    let bench = Bench::new(1, 6, "4+2", 16 << 20).await;
    let mut places = Vec::new();
    for (id, length) in [(1, 500), (2, 70_000), (3, 300_000), (4, 16 * 1024)] {
        places.push(bench.write(id, length).await);
    }
    let mut id = 100;
    for a in 0..6 {
        for b in a + 1..6 {
            [a, b].iter().for_each(|&n| bench.disks[n].set_faults(|f| f.dead = true));
            for place in &places {
                bench.check(place).await;
            }
            // What is written now is protected as well, by the drives that are left.
            id += 1;
            let narrow = bench.write(id, 50_000).await;
            assert_eq!(narrow.scheme.to_string(), "2+2");
            let on: Vec<u32> = narrow.cells(&bench.map).unwrap().iter().map(|c| c.drive.0).collect();
            assert!(!on.contains(&(a as u32)) && !on.contains(&(b as u32)), "{on:?}");
            [a, b].iter().for_each(|&n| bench.disks[n].set_faults(|f| f.dead = false));
            tokio::time::advance(Duration::from_secs(6)).await;
            bench.check(&narrow).await;
        }
    }
    let counters = bench.stripes.counters();
    assert!(counters.reconstructed > 15 && counters.found == 0, "{counters:?}");
    for n in 0..3 {
        bench.disks[n].set_faults(|f| f.dead = true);
    }
    let lost = bench.stripes.read(&places[2], 0..300_000).await;
    assert!(matches!(lost, Err(DataError::Unavailable(_))), "{lost:?}");
    let refused = bench.stripes.write(StripeId(999), GroupId(0), content(1, 4 << 20)).await;
    assert!(matches!(refused, Err(DataError::Narrow { length_max: 1_048_576 })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drive_that_fails_under_a_write_costs_nothing_but_time() {
    let bench = Bench::new(1, 8, "4+2", 16 << 20).await;
    for n in 0..8u64 {
        bench.disks[n as usize].set_faults(|f| f.dead = true);
        let place = bench.write(n, 100_000).await;
        let on: Vec<u64> = place.cells(&bench.map).unwrap().iter().map(|c| u64::from(c.drive.0)).collect();
        assert!(!on.contains(&n), "{on:?}");
        bench.check(&place).await;
        bench.disks[n as usize].set_faults(|f| f.dead = false);
        tokio::time::advance(Duration::from_secs(6)).await;
    }
    assert!(bench.stripes.counters().rewritten > 0);
    // What the failed attempts left behind is gone.
    let stored: u64 = bench.stores.iter().map(|s| s.stat().chunks).sum();
    assert_eq!(stored, 8 * 6);
    // A drive that hangs is given up after a while.
    bench.disks[0].set_faults(|f| f.delay = Duration::from_secs(3600));
    for n in 10..20 {
        let place = bench.write(n, 100_000).await;
        bench.check(&place).await;
    }
}

#[tokio::test(start_paused = true)]
async fn damage_is_never_returned_always_repaired_and_counted() {
    let bench = Bench::new(1, 6, "4+2", 16 << 20).await;
    let place = bench.write(1, 200_000).await;
    for round in 0..3u64 {
        // Two chunks, differently each time: data, header, and both ends.
        for (n, index) in [(round as usize) % 6, (round as usize + 3) % 6].into_iter().enumerate() {
            let (drive, at) = bench.locate(&place, index);
            bench.disks[drive].flip_bit(at + 4096 * (n as u64 + round) + 11, 5);
        }
        // Memory of headers must not hide what is on the drive.
        let (stores, stripes) = Bench::open(&bench.map, &bench.disks, round + 2).await;
        let bench = Bench { map: bench.map.clone(), disks: bench.disks.clone(), stores, stripes };
        let report = bench.stripes.repair(&place).await.unwrap();
        assert_eq!(report.repaired.len(), 2);
        assert_eq!((bench.stripes.counters().found, bench.stripes.counters().repaired), (2, 2));
        bench.check(&place).await;
        assert_eq!(
            bench.stripes.repair(&place).await,
            Ok(RepairReport { whole: 6, ..RepairReport::default() })
        );
        for store in &bench.stores {
            store.close().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_meets_damage_repairs_it() {
    let bench = Bench::new(1, 6, "4+2", 16 << 20).await;
    let place = bench.write(1, 200_000).await;
    let (drive, at) = bench.locate(&place, 1);
    bench.disks[drive].flip_bit(at + 4096 + 11, 5);
    bench.check(&place).await;
    bench.repaired(1).await;
    assert_ne!(bench.locate(&place, 1), (drive, at), "written elsewhere on the drive");
    bench.check(&place).await;
    let counters = bench.stripes.counters();
    assert_eq!((counters.found, counters.repaired, counters.reconstructed), (1, 1, 1));
    // A chunk that vanished is damage too.
    bench.stores[drive].free(vec![place.key(1)], writer(1)).await.unwrap();
    bench.check(&place).await;
    bench.repaired(2).await;
}

#[tokio::test(start_paused = true)]
async fn without_protection_damage_is_an_error() {
    let bench = Bench::new(1, 1, "1+0", 16 << 20).await;
    let place = bench.write(1, 50_000).await;
    let (drive, at) = bench.locate(&place, 0);
    bench.disks[drive].flip_bit(at + 4096 * 3, 0);
    assert!(matches!(bench.stripes.read(&place, 0..50_000).await, Err(DataError::Lost(_))));
    assert_eq!(bench.stripes.read(&place, 30_000..50_000).await, Ok(content(1, 50_000).slice(30_000..)));
    assert!(matches!(bench.stripes.repair(&place).await, Err(DataError::Lost(_))));
}

/// A drive that answers well and wrong.
struct Liar {
    store: Arc<ChunkStore>,
    lie: fn(&mut DriveReply),
}

impl ChunkPeer for Liar {
    fn call(&self, request: DriveRequest) -> PeerFuture {
        let (answer, lie) = (self.store.call(request), self.lie);
        Box::pin(async move {
            let mut answer = answer.await?;
            lie(&mut answer);
            Ok(answer)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn lying_drives_are_found_out() {
    let bench = Bench::new(1, 6, "4+2", 16 << 20).await;
    let place = bench.write(1, 200_000).await;
    let lies: [fn(&mut DriveReply); 5] = [
        |reply| *reply = DriveReply::Done,
        |reply| {
            if let DriveReply::Data(found) = reply {
                found.data = Bytes::from(vec![0; found.data.len()]);
            }
        },
        |reply| {
            if let DriveReply::Data(found) = reply {
                found.info.key.chunk.index ^= 1;
            }
        },
        |reply| {
            if let DriveReply::Data(found) = reply {
                found.data.truncate(BLOCK_BYTES);
                found.crcs.truncate(1);
            }
        },
        |reply| {
            if let DriveReply::Data(found) = reply {
                found.info.shape.stripe_length -= 1;
            }
        },
    ];
    for lie in lies {
        let mut peers = peers(&bench.stores);
        for n in [0, 3] {
            peers.insert(DriveId(n), Arc::new(Liar { store: bench.stores[n as usize].clone(), lie }));
        }
        bench.stripes.update(bench.map.clone(), peers).unwrap();
        bench.check(&place).await;
    }
    assert!(bench.stripes.counters().found >= 5);
}

#[tokio::test(start_paused = true)]
async fn a_slow_drive_is_not_waited_for() {
    let bench = Bench::new(1, 6, "4+2", 16 << 20).await;
    let place = bench.write(1, 400_000).await;
    bench.check(&place).await;
    let (drive, _) = bench.locate(&place, 2);
    bench.disks[drive].set_faults(|f| f.delay = Duration::from_secs(8));
    for _ in 0..3 {
        let start = Instant::now();
        bench.check(&place).await;
        assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
    }
    assert_eq!(bench.stripes.counters().hedged, 3);
    assert_eq!(bench.stripes.counters().found, 0, "slow is not damaged");
}

#[tokio::test(start_paused = true)]
async fn freeing_gives_all_space_back_and_fails_closed() {
    let bench = Bench::new(1, 6, "4+2", 16 << 20).await;
    let before: Vec<u64> = bench.stores.iter().map(|s| s.stat().free).collect();
    let mut places = Vec::new();
    for id in 0..10 {
        places.push(bench.write(id, 1 + id as usize * 9000).await);
    }
    bench.disks[2].set_faults(|f| f.dead = true);
    let results = bench.stripes.free_all(&places).await;
    for (place, result) in places.iter().zip(&results) {
        let on_it = place.cells(&bench.map).unwrap().iter().any(|cell| cell.drive == DriveId(2));
        assert_eq!(matches!(result, Err(DataError::Unavailable(_))), on_it, "{result:?}");
    }
    assert!(results.iter().filter(|result| result.is_err()).count() > 5);
    bench.disks[2].set_faults(|f| f.dead = false);
    let free: Vec<u64> = bench.stores.iter().map(|s| s.stat().free).collect();
    assert!(free[2] < before[2], "nothing was freed where the drive did not say so");
    // The drive's device failed under its feet: it takes no more writes until it is opened again.
    for store in &bench.stores {
        store.close().await;
    }
    let (stores, stripes) = Bench::open(&bench.map, &bench.disks, 2).await;
    for _ in 0..2 {
        assert!(stripes.free_all(&places).await.iter().all(Result::is_ok));
    }
    assert_eq!(stores.iter().map(|s| s.stat().free).collect::<Vec<_>>(), before);
    assert!(stripes.read(&places[3], 0..1).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_drive_that_is_away_keeps_only_what_is_on_it() {
    let bench = Bench::new(1, 9, "4+2", 16 << 20).await;
    let mut places = Vec::new();
    for id in 0..40 {
        places.push(bench.write(id, 50_000).await);
    }
    let away = DriveId(4);
    let mut fewer = peers(&bench.stores);
    fewer.remove(&away);
    bench.stripes.update(bench.map.clone(), fewer).unwrap();
    let results = bench.stripes.free_all(&places).await;
    let on_it = |place: &StripePlace| place.cells(&bench.map).unwrap().iter().any(|cell| cell.drive == away);
    for (place, result) in places.iter().zip(&results) {
        assert_eq!(result.is_err(), on_it(place));
    }
    let kept = places.iter().filter(|place| on_it(place)).count() as u64;
    assert!(0 < kept && kept < 40);
    for store in &bench.stores {
        assert_eq!(store.stat().chunks, if store.drive() == away { kept } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn listings_are_whole_in_order_and_fail_closed() {
    let bench = Bench::new(1, 6, "4+2", 16 << 20).await;
    let mut places = Vec::new();
    for id in 0..100 {
        places.push(bench.write(id, 1 + id as usize * 700).await);
    }
    places.sort_by_key(|place| (place.group, place.stripe));
    let (mut listed, mut next, mut pages) = (Vec::new(), Some(StripeCursor::START), 0);
    while let Some(from) = next {
        let page = bench.stripes.list_stripes(from, 1).await.unwrap();
        listed.extend(page.stripes);
        next = page.next;
        pages += 1;
    }
    let whole = |place| ListedStripe { place, present: (1 << place.scheme.width()) - 1, strays: 0 };
    assert_eq!(listed, places.iter().copied().map(whole).collect::<Vec<_>>());
    assert!(pages > 2);

    // A chunk that is gone, and one that is where its stripe has none.
    let place = *places.iter().find(|place| place.scheme.width() == 6).unwrap();
    let (drive, _) = bench.locate(&place, 3);
    let data = bench.stores[drive].read(place.key(3), 0, 1).await.unwrap();
    bench.stores[drive].free(vec![place.key(3)], writer(1)).await.unwrap();
    let write = WriteChunk {
        key: place.key(3),
        shape: place.shape(),
        writer: writer(1),
        data: data.data,
        crcs: data.crcs,
        replace: false,
        purpose: Purpose::Ordinary,
    };
    let elsewhere = (0..6).find(|n| bench.locate(&place, 2).0 == *n).unwrap();
    bench.stores[elsewhere].write(write).await.unwrap();
    let from = StripeCursor { group: place.group, stripe: place.stripe };
    let page = bench.stripes.list_stripes(from, 1).await.unwrap();
    assert_eq!(page.stripes[0], ListedStripe { place, present: 0b11_0111, strays: 1 });
    let mut peers = peers(&bench.stores);
    peers.remove(&DriveId(4));
    bench.stripes.update(bench.map.clone(), peers).unwrap();
    assert!(matches!(
        bench.stripes.list_stripes(StripeCursor::START, 1).await,
        Err(DataError::Unavailable(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_full_cluster_says_so_and_keeps_what_was_promised() {
    let bench = Bench::new(1, 6, "4+2", 8 << 20).await;
    let empty = bench.stripes.capacity().await;
    let raw: u64 = bench.stores.iter().map(|s| s.stat().total).sum();
    assert!(empty.total < raw * 4 / 6 && empty.total > raw * 6 / 10, "{empty:?} {raw}");
    let mut written = Vec::new();
    let full = loop {
        let id = written.len() as u64;
        match bench.stripes.write(StripeId(id), bench.stripes.pick_group(), content(id, 200_000)).await {
            Ok(place) => written.push(place),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, DataError::NoSpace | DataError::Narrow { .. }), "{full:?}");
    let mut id = 10_000;
    let next_id = || {
        id += 1;
        StripeId(id)
    };
    assert_eq!(bench.stripes.write_run(next_id, content(3, 2 << 20)).await, Err(DataError::NoSpace));
    assert!(written.len() as u64 * 200_000 > empty.free * 8 / 10);
    tokio::time::advance(Duration::from_secs(1)).await;
    let left = bench.stripes.capacity().await;
    let stored: u64 = written.iter().map(StripePlace::stored_bytes).sum();
    assert_eq!((left.stored, bench.stripes.stored_bytes(200_000) * written.len() as u64), (stored, stored));
    assert!(left.room < bench.stripes.stored_bytes(200_000) * 2, "{left:?}");
    // What was acknowledged on a promise goes in all the same.
    for id in 20_000..20_002 {
        let (group, data) = (bench.stripes.pick_group(), content(id, 20_000));
        written.push(bench.stripes.write_for(Purpose::Promised, StripeId(id), group, data).await.unwrap());
    }
    for place in &written {
        bench.check(place).await;
    }
    assert!(bench.stripes.free_all(&written).await.iter().all(Result::is_ok));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(bench.stripes.capacity().await, empty);
}

#[tokio::test(start_paused = true)]
async fn a_drive_whose_sync_failed_reads_on_and_is_written_around() {
    let bench = Bench::new(1, 6, "4+2", 16 << 20).await;
    let before = bench.write(1, 100_000).await;
    bench.disks[3].set_faults(|f| f.fail_next_sync = true);
    let around = bench.write(2, 100_000).await;
    assert_eq!(around.scheme.to_string(), "3+2");
    tokio::time::advance(Duration::from_secs(1)).await;
    let again = bench.write(3, 100_000).await;
    assert_eq!(again.scheme.to_string(), "3+2", "not asked again while it is known");
    for place in [before, around, again] {
        bench.check(&place).await;
    }
    assert!(bench.stripes.capacity().await.free > 10 << 20);
    for disk in &bench.disks {
        disk.set_faults(|f| f.dead = true);
    }
    bench.stores.iter().for_each(|store| assert!(!store.stat().failed || store.drive() == DriveId(3)));
    assert!(matches!(
        bench.stripes.write(StripeId(9), GroupId(0), content(9, 9)).await,
        Err(DataError::Unavailable(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_run_is_cut_to_what_drives_and_free_space_allow() {
    let bench = Bench::new(1, 6, "4+2", 24 << 20).await;
    let (data, mut id) = (content(5, 9 << 20), 0);
    let mut next_id = || {
        id += 1;
        StripeId(id)
    };
    let whole = bench.stripes.write_run(&mut next_id, data.clone()).await.unwrap();
    assert_eq!(whole.iter().map(|p| p.length).collect::<Vec<_>>(), [4 << 20, 4 << 20, 1 << 20]);
    for n in [1, 4] {
        bench.disks[n].set_faults(|f| f.dead = true);
    }
    let narrow = bench.stripes.write_run(&mut next_id, data.slice(..5 << 20)).await.unwrap();
    assert!(narrow.len() >= 3 && narrow.iter().all(|p| p.scheme.to_string() == "2+2"), "{narrow:?}");
    let mut read = Vec::new();
    for place in &narrow {
        read.extend_from_slice(&bench.stripes.read(place, 0..place.length).await.unwrap());
    }
    assert!(read == data[..5 << 20]);

    // One drive, full, and every second small chunk freed again: no long run is left.
    let bench = Bench::new(2, 1, "1+0", 8 << 20).await;
    let mut small = Vec::new();
    while let Ok(place) = bench.stripes.write(next_id(), GroupId(0), content(1, 30_000)).await {
        small.push(place);
    }
    let freed: Vec<StripePlace> = small.iter().copied().step_by(2).collect();
    assert!(bench.stripes.free_all(&freed).await.iter().all(Result::is_ok));
    let refused = bench.stripes.write(next_id(), GroupId(0), data.slice(..1 << 20)).await;
    assert!(matches!(refused, Err(DataError::Narrow { .. })), "{refused:?}");
    let run = bench.stripes.write_run(&mut next_id, data.slice(..1 << 20)).await.unwrap();
    assert!(run.len() > 10, "{}", run.len());
    let before = bench.stores[0].stat().free;
    let too_much = bench.stripes.write_run(&mut next_id, data.clone()).await;
    assert_eq!(too_much, Err(DataError::NoSpace));
    assert_eq!(bench.stores[0].stat().free, before, "a run that failed leaves nothing");
}

#[tokio::test(start_paused = true)]
async fn an_older_life_can_write_and_free_nothing() {
    let bench = Bench::new(1, 6, "4+2", 16 << 20).await;
    let place = bench.write(1, 50_000).await;
    let config = StripeStoreConfig {
        map: bench.map.clone(),
        peers: peers(&bench.stores),
        writer: writer(5),
        random: Arc::new(SystemRandom),
    };
    let newer = StripeStore::open(config).unwrap();
    newer.write(StripeId(2), GroupId(0), content(2, 50_000)).await.unwrap();
    let zombie = bench.stripes.write(StripeId(3), GroupId(0), content(3, 50_000)).await;
    assert_eq!(zombie, Err(DataError::Fenced { newest: 5 }));
    assert_eq!(bench.stripes.free(&place).await, Err(DataError::Fenced { newest: 5 }));
    bench.check(&place).await;
}

#[tokio::test(start_paused = true)]
async fn a_replaced_drive_is_filled_by_repair() {
    let mut bench = Bench::new(1, 6, "4+2", 16 << 20).await;
    let mut places = Vec::new();
    for id in 0..12 {
        places.push(bench.write(id, 1 + id as usize * 9000).await);
    }
    let disk = SimDisk::new(77, 16 << 20);
    let life = Incarnation([77; 16]);
    ChunkStore::format(&disk.file(), DriveId(6), life, &SystemRandom).await.unwrap();
    bench.stores[2] = Arc::new(ChunkStore::open(disk.file(), &SystemRandom).await.unwrap());
    bench.disks[2] = disk;
    bench.map.fail_drive(DriveId(2)).unwrap();
    bench.stripes.update(bench.map.clone(), peers(&bench.stores)).unwrap();
    for place in &places {
        bench.check(place).await;
    }
    let new = DriveInfo { id: DriveId(6), domain: DomainId(2), weight: 1, state: DriveState::Up };
    bench.map.add_drive(new).unwrap();
    assert_eq!(bench.map.replace_lost(), 0);
    bench.stripes.update(bench.map.clone(), peers(&bench.stores)).unwrap();
    for place in &places {
        let report = bench.stripes.repair(place).await.unwrap();
        assert!(report.repaired.len() <= 1 && report.away.is_empty());
    }
    let chunks = bench.stores[2].stat().chunks;
    assert!(chunks > 4, "{chunks}");
    assert_eq!(bench.stripes.counters().repaired, chunks);
    // Two others may be lost now.
    for n in [0, 5] {
        bench.disks[n].set_faults(|f| f.dead = true);
    }
    for place in &places {
        bench.check(place).await;
    }
}

#[tokio::test(start_paused = true)]
async fn places_that_make_no_sense_are_refused() {
    let bench = Bench::new(1, 6, "4+2", 8 << 20).await;
    let good = bench.write(1, 50_000).await;
    for bad in [
        StripePlace { group: GroupId(99), ..good },
        StripePlace { cells: 0, ..good },
        StripePlace { cells: 0xffff_ffff, ..good },
        StripePlace { cells: 0b111_1100_0000, ..good },
        StripePlace { length: 0, ..good },
        StripePlace { length: u32::MAX, ..good },
    ] {
        assert!(matches!(bench.stripes.read(&bad, 0..0).await, Err(DataError::BadPlace(_))), "{bad:?}");
        assert!(matches!(bench.stripes.free(&bad).await, Err(DataError::BadPlace(_))), "{bad:?}");
        assert!(bench.stripes.repair(&bad).await.is_err(), "{bad:?}");
    }
    // A place that could be and is not: nothing is returned as if it were.
    let other = StripePlace { stripe: StripeId(2), ..good };
    assert!(matches!(bench.stripes.read(&other, 0..9).await, Err(DataError::Lost(_))));
    let longer = StripePlace { length: good.length + 1, ..good };
    assert!(matches!(bench.stripes.read(&longer, 0..9).await, Err(DataError::Lost(_))));
}
