//! Stripes over simulated drives: plain use, faults of every kind, power cuts.

mod crash;
mod faults;
mod space;

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
