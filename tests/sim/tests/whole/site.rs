//! Drives that outlive the processes that run on them, and one process after another.

use cluster::{ClusterMap, DomainId, DriveInfo, DriveState, Scheme, SlotTable};
use data::{ChunkPeer, StripeStore, StripeStoreConfig};
use drive::log::sim::SimLog;
use drive::log::{DriveLog, LogOptions};
use drive::map::sim::SimMaps;
use drive::{ChunkStore, Incarnation, Writer};
use env::sim::{SimClock, SimDisk};
use env::{Clock, Random, SeededRandom};
use frontend::{DataPlane, Frontend, Options};
use metadata::{Home, Locking, MapSeat, Shard, ShardConfig, ShardOptions, ShardSet, ShardSetConfig};
use namespace::Namespace;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use types::limits::COMMAND_BYTES_MAX;
use types::{DriveId, FileId, ShardId};

pub(crate) type Files = Frontend<ShardSet<Shard>, DataPlane>;

/// Small, so that a shard that is in the way of others is told so.
const LOG: LogOptions = LogOptions { file_bytes: 64 << 10, purge_bytes: 128 << 10 };
const CHUNK_FILE_BYTES: u64 = 8 << 20;

/// One drive, or six of which any two may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Size {
    pub(crate) drives: u32,
    pub(crate) scheme: &'static str,
    pub(crate) shards: u16,
}

struct Drive {
    id: DriveId,
    incarnation: Incarnation,
    chunks: SimDisk,
    log: SimLog,
    maps: SimMaps,
}

/// What is there when the power is off.
pub(crate) struct Site {
    size: Size,
    random: Arc<SeededRandom>,
    drives: Vec<Drive>,
    map: ClusterMap,
    slots: SlotTable,
    pub(crate) options: Options,
    shards: ShardOptions,
    lives: u32,
    /// How far all lives together have come.
    age: Duration,
}

/// A process that runs.
pub(crate) struct Core {
    pub(crate) files: Files,
    pub(crate) top: FileId,
    shards: ShardSet<Shard>,
    chunks: BTreeMap<DriveId, Arc<ChunkStore>>,
    logs: Vec<DriveLog>,
    map: ClusterMap,
    slots: SlotTable,
}

impl Site {
    pub(crate) fn new(seed: u64, size: Size) -> Site {
        let random = Arc::new(SeededRandom::new(seed));
        let own = || -> Arc<dyn Random> { Arc::new(SeededRandom::new(random.next())) };
        let drive = |n| Drive {
            id: DriveId(n),
            incarnation: Incarnation([n as u8 + 1; 16]),
            chunks: SimDisk::new(random.next(), CHUNK_FILE_BYTES),
            log: SimLog::new(own()),
            maps: SimMaps::new(own()),
        };
        let drives: Vec<Drive> = (0..size.drives).map(drive).collect();
        let info = |drive: &Drive| {
            let (id, domain) = (drive.id, DomainId(drive.id.0));
            DriveInfo { id, domain, weight: 1, state: DriveState::Up }
        };
        let scheme: Scheme = size.scheme.parse().unwrap();
        let map = ClusterMap::create([7; 16], scheme, drives.iter().map(info).collect()).unwrap();
        let slots = SlotTable::even(size.shards).unwrap();
        let small = random.below(2) == 0;
        let options = Options {
            grace: Duration::from_secs(5),
            dirty_age: Duration::from_millis(1 + random.below(200)),
            dirty_file_bytes: 4096 << random.below(6),
            fold_age: Duration::from_millis(1 + random.below(2000)),
            fold_bytes: if small { 1 } else { 4 << 20 },
            ..Options::default()
        };
        let shards = ShardOptions {
            persist_commands: 5 + random.below(100),
            persist_bytes: 16 << 20,
            queue_bytes: 2 * COMMAND_BYTES_MAX as u32,
            fill_bytes: 200 + random.below(5000) as usize,
        };
        Site { size, random, drives, map, slots, options, shards, lives: 0, age: Duration::ZERO }
    }

    pub(crate) fn random(&self) -> Arc<SeededRandom> {
        self.random.clone()
    }

    /// A process from its start until `life` has ended; what it has not done by then it never will.
    pub(crate) fn live<T>(&mut self, life: impl AsyncFnOnce(&Core) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
        let outcome = runtime.block_on(async {
            let began = tokio::time::Instant::now();
            let core = self.start().await;
            let outcome = life(&core).await;
            self.age += began.elapsed();
            outcome
        });
        // With it goes every task.
        drop(runtime);
        self.lose_power();
        outcome
    }

    /// What was not synced is as chance has it.
    fn lose_power(&self) {
        for drive in &self.drives {
            drive.chunks.cut_power();
            drive.chunks.power_on();
            drive.log.cut_power();
            drive.maps.cut_power();
        }
    }

    async fn start(&mut self) -> Core {
        self.lives += 1;
        let random = Arc::new(SeededRandom::new(self.random.next()));
        let clock = Arc::new(SimClock::new());
        clock.jump(self.age.as_secs() as i64 + i64::from(self.lives));
        let writer = Writer { id: 1, epoch: u64::from(self.lives) };
        let mut chunks = BTreeMap::new();
        for drive in &self.drives {
            if self.lives == 1 {
                let file = drive.chunks.file();
                ChunkStore::format(&file, drive.id, drive.incarnation, &*random).await.unwrap();
            }
            let store = Arc::new(ChunkStore::open(drive.chunks.file(), &*random).await.unwrap());
            store.fence(writer).await.unwrap();
            chunks.insert(drive.id, store);
        }
        let (shards, logs) = self.open_shards(clock.clone(), &random).await;
        let peer = |(id, store): (&DriveId, &Arc<ChunkStore>)| {
            (*id, Arc::new(store.clone()) as Arc<dyn ChunkPeer>)
        };
        let peers = chunks.iter().map(peer).collect();
        let map = self.map.clone();
        let config = StripeStoreConfig { map: map.clone(), peers, writer, random: random.clone() };
        let plane = DataPlane::start(StripeStore::open(config).unwrap()).await;
        let options = self.options.clone();
        let files = Frontend::start(shards.clone(), plane, options, clock, &*random).await.unwrap();
        let top = FileId::root(files.make_filesystem("default", &*random).await.unwrap());
        Core { files, top, shards, chunks, logs, map, slots: self.slots.clone() }
    }

    async fn open_shards(
        &self,
        clock: Arc<dyn Clock>,
        random: &Arc<SeededRandom>,
    ) -> (ShardSet<Shard>, Vec<DriveLog>) {
        let workers = env::sim::workers(random.clone());
        let parity = self.map.scheme.parity();
        let (mut logs, mut maps) = (Vec::new(), Vec::new());
        for (n, drive) in self.drives.iter().enumerate() {
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
            let home = |(incarnation, log): &(u128, DriveLog)| {
                Home { log: log.shard(id), incarnation: *incarnation }
            };
            let config = ShardConfig {
                id,
                voter: 1,
                machine: Arc::new(Namespace),
                slots: slots.clone(),
                homes: logs.iter().map(home).collect(),
                home_count: 2 * parity + 1,
                maps: maps.clone(),
                options: self.shards,
                workers: workers.clone(),
            };
            opening.spawn(async move { (id, Shard::open(config).await.unwrap()) });
        }
        let members: BTreeMap<ShardId, Shard> = opening.join_all().await.into_iter().collect();
        let (machine, executor, epoch) = (Arc::new(Namespace), 1, self.lives);
        let config = ShardSetConfig { slots, members, machine, executor, epoch, clock };
        let shards = ShardSet::open(config, &**random).await.unwrap();
        (shards, logs.into_iter().map(|(_, log)| log).collect())
    }

    pub(crate) fn size(&self) -> Size {
        self.size
    }
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

    /// The records of all shards agree with each other and with the chunks on the drives.
    pub(crate) async fn check(&self) {
        let views = self.shards.still_view().await.unwrap();
        let findings = sim::audit::audit(&views).unwrap();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
        let stored = |id: ShardId| {
            let member = self.shards.members().find(|(known, _)| *known == id).unwrap().1;
            (id, member.view_as(Locking::Nobody).unwrap().into_stored())
        };
        let stored = self.slots.shards().into_iter().map(stored).collect();
        let shards = fsck::Shards::new(self.slots.clone(), stored).unwrap();
        let mut chunks = fsck::Chunks::new(self.map.clone());
        for (id, store) in &self.chunks {
            let mut from = Some(drive::ChunkKey::FIRST);
            while let Some(at) = from {
                let listed = store.list(at, drive::service::LIST_MAX).unwrap();
                chunks.add(*id, &listed);
                from = listed.last().and_then(|last| last.key.next());
            }
            chunks.listed(*id);
        }
        let mut checked = fsck::check(&shards, chunks).unwrap();
        checked.look_at_shards(&shards).unwrap();
        let report = checked.finish(&shards).unwrap();
        let beside = |damage: &fsck::Damage| damage.kind != fsck::Kind::OrphanChunk;
        let damage: Vec<_> = report.damage.into_iter().filter(beside).collect();
        assert!(damage.is_empty(), "{damage:#?}");
        assert_eq!(self.logs.is_empty(), false);
    }
}
