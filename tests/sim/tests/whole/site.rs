//! Drives that outlive the processes that run on them, and one process after another.

use crate::bugs::{Bug, Forgetful};
use crate::drive::{Drive, Fate, Way};
use cluster::{CellState, ClusterMap, DomainId, DriveInfo, DriveState, Scheme, SlotTable};
use data::{ChunkPeer, DataError, StripeStore, StripeStoreConfig};
use drive::log::{DriveLog, LogOptions};
use drive::{ChunkKey, ChunkStore, Writer};
use env::sim::SimClock;
use env::{Clock, Random, SeededRandom};
use frontend::{DataPlane, Frontend, Options, PlacedStripe, stripe_place};
use map::{Machine, MapError};
use metadata::{
    Home, Locking, MapSeat, MetadataError, Shard, ShardConfig, ShardOptions, ShardSet, ShardSetConfig,
};
use namespace::Namespace;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use types::limits::COMMAND_BYTES_MAX;
use types::{DriveId, FileId, FsError, FsId, GroupId, ShardId, StripeId};

pub(crate) type Files = Frontend<ShardSet<Shard>, DataPlane>;

/// Small, so that a shard that is in the way of others is told so.
const LOG: LogOptions = LogOptions { file_bytes: 16 << 10, purge_bytes: 32 << 10 };
/// What takes longer never ends.
const LIFE_MAX: Duration = Duration::from_secs(300);
/// Distance of the ids of drives that follow each other in one place.
const LIVES: u32 = 100;

/// A cluster, and how it is split.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Size {
    pub(crate) drives: u32,
    pub(crate) scheme: &'static str,
    pub(crate) shards: u16,
}

/// What is there when the power is off.
pub(crate) struct Site {
    random: Arc<SeededRandom>,
    drives: Vec<Drive>,
    map: Arc<Mutex<ClusterMap>>,
    slots: SlotTable,
    options: Options,
    shards: ShardOptions,
    bug: Option<Bug>,
    lives: u32,
    /// A life has begun in which everything was there.
    founded: bool,
    /// How far all lives together have come.
    age: Duration,
    /// The drives that faults may meet: as many as may be lost.
    victims: Vec<usize>,
}

/// A process that runs.
pub(crate) struct Core {
    pub(crate) files: Files,
    pub(crate) top: FileId,
    pub(crate) began: Instant,
    store: StripeStore,
    shards: ShardSet<Shard>,
    chunks: BTreeMap<DriveId, Arc<ChunkStore>>,
    map: Arc<Mutex<ClusterMap>>,
    slots: SlotTable,
}

impl Site {
    pub(crate) fn new(seed: u64, size: Size, bug: Option<Bug>) -> Site {
        let random = Arc::new(SeededRandom::new(seed));
        let drives: Vec<Drive> = (0..size.drives).map(|n| Drive::new(n, &random)).collect();
        let info = |drive: &Drive| {
            let (id, domain) = (drive.id, DomainId(drive.id.0));
            DriveInfo { id, domain, weight: 1, state: DriveState::Up }
        };
        let scheme: Scheme = size.scheme.parse().unwrap();
        let map = ClusterMap::create([7; 16], scheme, drives.iter().map(info).collect()).unwrap();
        let slots = SlotTable::even(size.shards).unwrap();
        let options = Options {
            grace: Duration::from_secs(5),
            dirty_age: Duration::from_millis(1 + random.below(200)),
            dirty_file_bytes: 4096 << random.below(6),
            fold_age: Duration::from_millis(1 + random.below(2000)),
            fold_bytes: if random.below(2) == 0 { 1 } else { 4 << 20 },
            // None, less than there is to read, or more.
            read_cache_bytes: [0, 100_000, 64 << 20][random.below(3) as usize],
            ..Options::default()
        };
        let shards = ShardOptions {
            persist_commands: 5 + random.below(100),
            persist_bytes: 16 << 20,
            queue_bytes: 2 * COMMAND_BYTES_MAX as u32,
            fill_bytes: 200 + random.below(5000) as usize,
        };
        let mut victims: Vec<usize> = (0..drives.len()).collect();
        while victims.len() > scheme.parity() {
            victims.remove(random.below(victims.len() as u64) as usize);
        }
        let map = Arc::new(Mutex::new(map));
        let (lives, founded, age) = (0, false, Duration::ZERO);
        Site { random, drives, map, slots, options, shards, bug, lives, founded, age, victims }
    }

    pub(crate) fn random(&self) -> Arc<SeededRandom> {
        self.random.clone()
    }

    /// Draws what becomes of the drives that faults may meet, until the end of the next life.
    pub(crate) fn draw_fates(&mut self) {
        // A shard is made on all its homes or not at all.
        if !self.founded {
            return;
        }
        // Often all that may be lost at once is.
        let all = self.random.below(4) == 0;
        for n in self.victims.clone() {
            match self.random.below(6) {
                _ if all => self.replace(n),
                0 => self.replace(n),
                1 => self.drives[n].rot(&self.random),
                _ => {}
            }
            self.drives[n].fate = Drive::some_fate(&self.random);
        }
    }

    /// From now on all drives are fine.
    pub(crate) fn end_faults(&mut self) {
        self.drives.iter_mut().for_each(|drive| drive.fate = Fate::Fine);
    }

    /// As many drives go as may, none of those that faults have met. Whether any does.
    pub(crate) fn lose_others(&mut self) -> bool {
        let others: Vec<usize> = (0..self.drives.len()).filter(|n| !self.victims.contains(n)).collect();
        others.into_iter().take(self.victims.len()).for_each(|n| self.drives[n].fate = Fate::Away);
        !self.victims.is_empty()
    }

    /// Puts an empty drive in the place of one that is gone for good.
    fn replace(&mut self, n: usize) {
        let old = self.drives[n].id;
        let new = Drive::new(old.0 + LIVES, &self.random);
        let mut map = self.map.lock();
        map.fail_drive(old).unwrap();
        let (id, domain) = (new.id, DomainId(n as u32));
        map.add_drive(DriveInfo { id, domain, weight: 1, state: DriveState::Up }).unwrap();
        map.replace_lost();
        self.drives[n] = new;
    }

    /// A process from its start until `life` has ended; what it has not done by then it never will.
    pub(crate) fn live<T>(&mut self, life: impl AsyncFnOnce(&Core) -> T) -> T {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        let outcome = runtime.block_on(async {
            let began = Instant::now();
            let core = tokio::time::timeout(LIFE_MAX, self.start()).await.expect("it does not start");
            self.founded = true;
            let random = SeededRandom::new(self.random.next());
            let fates = self.drives.iter().map(|drive| drive.fare(&random));
            let outcome = tokio::select! {
                biased;
                outcome = tokio::time::timeout(LIFE_MAX, life(&core)) => outcome.expect("it hangs"),
                _ = futures_util::future::join_all(fates) => unreachable!("fates have no end"),
            };
            self.age += began.elapsed();
            outcome
        });
        // With it goes every task.
        drop(runtime);
        let mood = self.random.below(3);
        for drive in &self.drives {
            drive.lose_power(if mood == 2 { self.random.below(2) == 0 } else { mood == 1 });
        }
        outcome
    }

    async fn start(&mut self) -> Core {
        self.lives += 1;
        let began = Instant::now();
        let random = Arc::new(SeededRandom::new(self.random.next()));
        let clock = Arc::new(SimClock::new());
        clock.jump(self.age.as_secs() as i64 + i64::from(self.lives));
        let writer = Writer { id: 1, epoch: u64::from(self.lives) };
        let mut chunks = BTreeMap::new();
        // Often those that will not be lost have what others have only a while later.
        let others_lag = random.below(3) == 0;
        for n in 0..self.drives.len() {
            let lags = if others_lag { !self.victims.contains(&n) } else { random.below(2) == 0 };
            let lag = Duration::from_micros(if lags { random.below(8_000) } else { 0 });
            self.drives[n].begin(lag);
            if self.drives[n].fate == Fate::Away {
                continue;
            }
            let mut opened = self.drives[n].open_chunks(&random).await;
            if let Err(error) = &opened {
                assert!(self.victims.contains(&n), "drive {n} cannot be opened: {error}");
                // What it has lied about, or what has rotten, is its first block: somebody puts another in its place.
                if self.drives[n].fate == Fate::Fine {
                    self.replace(n);
                    self.drives[n].begin(lag);
                    opened = self.drives[n].open_chunks(&random).await;
                }
            }
            if let Ok(store) = opened {
                store.fence(writer).await.unwrap();
                chunks.insert(self.drives[n].id, Arc::new(store));
            }
        }
        let shards = self.open_shards(clock.clone(), &random).await;
        let peer = |(id, store): (&DriveId, &Arc<ChunkStore>)| {
            let way = Way { store: store.clone(), random: random.clone() };
            (*id, Arc::new(way) as Arc<dyn ChunkPeer>)
        };
        let (map, peers) = (self.map.lock().clone(), chunks.iter().map(peer).collect());
        let config = StripeStoreConfig { map, peers, writer, random: random.clone() };
        let store = StripeStore::open(config).unwrap();
        let plane = DataPlane::start(store.clone(), Arc::new(|| frontend::Room::Ample)).await;
        let options = self.options.clone();
        let files = match self.bug {
            Some(Bug::Reclamation) => {
                frontend::sim::start_freeing_early(shards.clone(), plane, options, clock, &*random).await
            }
            _ => Frontend::start(shards.clone(), plane, options, clock, &*random).await,
        };
        let files = files.unwrap();
        let top = FileId::root(files.make_filesystem("default", &*random).await.unwrap());
        let (map, slots) = (self.map.clone(), self.slots.clone());
        Core { files, top, began, store, shards, chunks, map, slots }
    }

    fn machine(&self) -> Arc<dyn Machine> {
        match self.bug {
            Some(Bug::Replay) => Arc::new(Forgetful),
            _ => Arc::new(Namespace),
        }
    }

    async fn open_shards(&self, clock: Arc<dyn Clock>, random: &Arc<SeededRandom>) -> ShardSet<Shard> {
        let workers = env::sim::workers(random.clone());
        let parity = self.map.lock().scheme.parity();
        let (mut logs, mut maps) = (Vec::new(), Vec::new());
        for (n, drive) in self.drives.iter().enumerate().filter(|(_, drive)| drive.fate != Fate::Away) {
            let incarnation = u128::from_be_bytes(drive.incarnation.0);
            if n < 2 * parity + 1 {
                logs.push((incarnation, drive.log.open(LOG, &workers).unwrap()));
            }
            if n < parity + 1 {
                maps.push(MapSeat { map: drive.maps.open().unwrap(), incarnation });
            }
        }
        let slots = Arc::new(self.slots.clone());
        let mut opening = JoinSet::new();
        for id in slots.shards() {
            let home = |(incarnation, log): &(u128, DriveLog)| Home {
                log: log.shard(id),
                incarnation: *incarnation,
            };
            let config = ShardConfig {
                id,
                voter: 1,
                machine: self.machine(),
                slots: slots.clone(),
                homes: logs.iter().map(home).collect(),
                home_count: 2 * parity + 1,
                maps: maps.clone(),
                options: self.shards,
                workers: workers.clone(),
            };
            let early = self.bug == Some(Bug::Quorum);
            opening.spawn(async move {
                let opened = if early {
                    metadata::sim::open_acknowledging_early(config).await
                } else {
                    Shard::open(config).await
                };
                (id, opened.unwrap())
            });
        }
        let members: BTreeMap<ShardId, Shard> = opening.join_all().await.into_iter().collect();
        let (machine, executor, epoch) = (self.machine(), 1, self.lives);
        let config = ShardSetConfig { slots, members, machine, executor, epoch, clock };
        let opened = match self.bug {
            Some(Bug::TwoPhase) => metadata::sim::open_without_asking(config, &**random).await,
            _ => ShardSet::open(config, &**random).await,
        };
        opened.unwrap()
    }
}

/// Cells that are being filled: group, position, epoch.
fn filling(map: &ClusterMap) -> Vec<(GroupId, usize, u64)> {
    let of_group = |(id, group): (GroupId, &cluster::Group)| {
        let cells = group.cells.iter().enumerate();
        let filling = cells.filter(|(_, cell)| cell.state == CellState::Filling);
        filling.map(|(n, cell)| (id, n, cell.epoch)).collect::<Vec<_>>()
    };
    (0..).map(GroupId).zip(&map.groups).flat_map(of_group).collect()
}

impl Core {
    /// Ends in order, as when it is told to.
    pub(crate) async fn close(&self) {
        self.files.flush_all().await.unwrap();
        self.shards.finish().await;
        for (_, shard) in self.shards.members() {
            shard.close().await.unwrap();
        }
        for chunks in self.chunks.values() {
            chunks.close().await;
        }
    }

    /// Every stripe that files need.
    async fn live_stripes(&self) -> Result<Vec<(FsId, PlacedStripe)>, FsError> {
        let mut all = Vec::new();
        for (_, fs) in self.files.filesystems().await? {
            let found = self.files.live_stripes(fs, StripeId(0), usize::MAX).await?;
            all.extend(found.into_iter().map(|stripe| (fs, stripe)));
        }
        Ok(all)
    }

    /// Makes every stripe whole, and notes which cells have all their chunks then. Whether nothing is lacking.
    pub(crate) async fn rebuild(&self) -> Result<bool, FsError> {
        let filling = filling(&self.map.lock());
        self.files.flush_all().await?;
        let mut whole = true;
        for (fs, stripe) in self.live_stripes().await? {
            let place = stripe_place(stripe).unwrap();
            match self.store.repair(&place).await {
                Ok(report) if self.files.knows_stripe(fs, stripe.stripe).await? => {
                    whole &= report.away.is_empty()
                }
                // Freed while it was repaired, and partly made again.
                Ok(_) => drop(self.store.free(&place).await),
                Err(error) => {
                    let lost = matches!(error, DataError::Lost(_));
                    assert!(!lost || !self.files.knows_stripe(fs, stripe.stripe).await?, "{error}");
                    whole = false;
                }
            }
        }
        if whole {
            let mut map = self.map.lock();
            for (group, cell, epoch) in filling {
                map.filled(group, cell, epoch);
            }
        }
        Ok(whole)
    }

    /// The records of all shards agree with each other and with the chunks on the drives.
    pub(crate) async fn check(&self) {
        // One copy of a map may be just about to take the place of another.
        while let Err(MapError::Away(_) | MapError::Broken(_)) = self.checked().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn still(&self) -> Result<metadata::Views<Shard>, MetadataError> {
        let open = || {
            let views = self.shards.view(Locking::Nobody);
            // In this process a view is opened by asking for it.
            self.shards.members().try_for_each(|(id, _)| views.of(id).map(drop))?;
            Ok(views)
        };
        self.shards.still(open).await
    }

    async fn checked(&self) -> Result<(), MapError> {
        let away = |error: MetadataError| MapError::Away(error.to_string());
        let views = self.still().await.map_err(away)?;
        let findings = sim::audit::audit(&views)?;
        assert!(findings.is_empty(), "{}", findings.join("\n"));
        let stored = |(id, shard): (ShardId, &Shard)| {
            Ok((id, shard.view_as(Locking::Nobody).map_err(away)?.into_stored()))
        };
        let stored = self.shards.members().map(stored).collect::<Result<_, MapError>>()?;
        let shards = fsck::Shards::new(self.slots.clone(), stored)?;
        let mut chunks = fsck::Chunks::new(self.map.lock().clone());
        for (id, store) in &self.chunks {
            let mut from = Some(ChunkKey::FIRST);
            while let Some(at) = from {
                let listed = store.list(at, drive::service::LIST_MAX).unwrap();
                chunks.add(*id, &listed);
                from = listed.last().and_then(|last| last.key.next());
            }
            chunks.listed(*id);
        }
        let mut checked = fsck::check(&shards, chunks)?;
        checked.look_at_shards(&shards)?;
        let report = checked.finish(&shards)?;
        // What a write has left that went elsewhere, and what faults have taken that parity makes good.
        let beside = [fsck::Kind::OrphanChunk, fsck::Kind::Degraded, fsck::Kind::Drive];
        let damage: Vec<_> = report.damage.into_iter().filter(|d| !beside.contains(&d.kind)).collect();
        assert!(damage.is_empty(), "{damage:#?}");
        Ok(())
    }

    /// When nothing is left of what was removed: what remains beside the root.
    pub(crate) async fn left(&self) -> Vec<String> {
        let views = self.still().await.unwrap();
        let records = sim::audit::Audit::read(&views).unwrap().remains();
        let mut left: Vec<String> = records.iter().map(|(what, count)| format!("{count} {what}")).collect();
        for (id, store) in &self.chunks {
            let chunks = store.list(ChunkKey::FIRST, drive::service::LIST_MAX).unwrap();
            left.extend(chunks.iter().map(|chunk| format!("{:?} on drive {}", chunk.key, id.0)));
        }
        left
    }

    /// Of everything that the data plane has met.
    pub(crate) fn counters(&self) -> data::Counters {
        self.store.counters()
    }
}
