//! A drive in simulation: chunks, log and map in memory, and what may be wrong with it.

use data::{ChunkPeer, PeerFuture};
use drive::log::sim::SimLog;
use drive::map::sim::SimMaps;
use drive::{ChunkStore, DriveError, DriveRequest, Incarnation};
use env::sim::SimDisk;
use env::{Random, SeededRandom};
use std::sync::Arc;
use std::time::Duration;
use types::DriveId;

const CHUNK_FILE_BYTES: u64 = 8 << 20;
/// The longest that a request or an answer is on its way.
const WAY_MAX: Duration = Duration::from_micros(300);

/// How a drive fares in one life of the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Fine,
    /// Everything takes so much longer.
    Slow(Duration),
    /// It fails at this time.
    Dies(Duration),
    /// It is not there.
    Away,
    /// From this time on it acknowledges writes that it loses or puts elsewhere.
    Lies(Duration),
}

#[derive(Clone)]
pub(crate) struct Drive {
    pub(crate) id: DriveId,
    pub(crate) incarnation: Incarnation,
    pub(crate) chunks: SimDisk,
    pub(crate) log: SimLog,
    pub(crate) maps: SimMaps,
    /// The chunk store was made.
    pub(crate) formatted: bool,
    pub(crate) fate: Fate,
}

impl Drive {
    /// An empty one.
    pub(crate) fn new(id: u32, random: &SeededRandom) -> Drive {
        let own = || -> Arc<dyn Random> { Arc::new(SeededRandom::new(random.next())) };
        let mut incarnation = [0; 16];
        random.fill(&mut incarnation);
        Drive {
            id: DriveId(id),
            incarnation: Incarnation(incarnation),
            chunks: SimDisk::new(random.next(), CHUNK_FILE_BYTES),
            log: SimLog::new(own()),
            maps: SimMaps::new(own()),
            formatted: false,
            fate: Fate::Fine,
        }
    }

    /// A fate, with more than one way to be fine.
    pub(crate) fn some_fate(random: &SeededRandom) -> Fate {
        let time = || Duration::from_micros(random.below(30_000));
        match random.below(8) {
            0 => Fate::Slow(Duration::from_micros(random.below(40_000))),
            1 => Fate::Dies(time()),
            2 => Fate::Away,
            3 => Fate::Lies(time()),
            _ => Fate::Fine,
        }
    }

    /// As it is at the beginning of a life, in which syncs of its log take so much longer than those of others.
    pub(crate) fn begin(&self, lag: Duration) {
        let delay = if let Fate::Slow(delay) = self.fate { delay } else { Duration::ZERO };
        self.chunks.set_faults(|faults| (faults.dead, faults.delay) = (false, delay));
        self.log.set_faults(|faults| (faults.dead, faults.delay) = (false, delay + lag));
        self.maps.set_dead(false);
    }

    /// Its chunks, made at the first time.
    pub(crate) async fn open_chunks(&mut self, random: &SeededRandom) -> Result<ChunkStore, DriveError> {
        if !self.formatted {
            ChunkStore::format(&self.chunks.file(), self.id, self.incarnation, random).await.unwrap();
            self.formatted = true;
        }
        ChunkStore::open(self.chunks.file(), random).await
    }

    /// Carries out its fate; goes on for ever.
    pub(crate) async fn fare(&self, random: &SeededRandom) {
        match self.fate {
            Fate::Fine | Fate::Slow(_) | Fate::Away => {}
            Fate::Dies(at) => {
                tokio::time::sleep(at).await;
                self.chunks.set_faults(|faults| faults.dead = true);
                self.log.set_faults(|faults| faults.dead = true);
                self.maps.set_dead(true);
            }
            Fate::Lies(at) => {
                tokio::time::sleep(at).await;
                loop {
                    let by = random.below(64) as i64 - 32;
                    self.chunks.set_faults(|faults| match random.below(2) {
                        0 => faults.lose_next_write = true,
                        _ => faults.misdirect_next_write = Some(by * 4096),
                    });
                    tokio::time::sleep(Duration::from_micros(1 + random.below(5000))).await;
                }
            }
        }
        std::future::pending().await
    }

    /// The power goes, and comes back; of the log's group that was on its way all is kept, or nothing.
    pub(crate) fn lose_power(&self, keeps: bool) {
        self.chunks.cut_power();
        self.chunks.power_on();
        self.chunks.set_faults(|faults| {
            (faults.lose_next_write, faults.misdirect_next_write) = (false, None);
        });
        self.log.cut_power(keeps);
        self.maps.cut_power();
    }

    /// Some of what it has rots.
    pub(crate) fn rot(&self, random: &SeededRandom) {
        for _ in 0..1 + random.below(20) {
            self.chunks.flip_bit(random.below(CHUNK_FILE_BYTES), random.below(8) as u8);
        }
    }
}

/// The way to a drive: not at once.
pub(crate) struct Way {
    pub(crate) store: Arc<ChunkStore>,
    pub(crate) random: Arc<SeededRandom>,
}

impl ChunkPeer for Way {
    fn call(&self, request: DriveRequest) -> PeerFuture {
        let takes = || Duration::from_micros(self.random.below(WAY_MAX.as_micros() as u64));
        let (there, back, store) = (takes(), takes(), self.store.clone());
        Box::pin(async move {
            tokio::time::sleep(there).await;
            let answer = store.call(request).await;
            tokio::time::sleep(back).await;
            answer
        })
    }
}
