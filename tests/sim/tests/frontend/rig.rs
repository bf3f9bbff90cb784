//! A frontend over memory that can be started again, and short words for what tests do with it.

use bytes::Bytes;
use env::sim::SimClock;
use env::{Clock, SeededRandom};
use frontend::{Frontend, Options, Taken};
use metadata::ShardSet;
use namespace::queries::accounts;
use namespace::records::Account;
use sim::audit::{Audit, audit};
use sim::checked::checked_shards;
use sim::parts::{Life, MemoryShards, MemoryStripes, SimShard};
use sim::weather::Weather;
use std::sync::Arc;
use std::time::Duration;
use types::{Attr, Cred, FileId, FsError, Mode, Name, RequestId, SetAttr};
use vfs::*;

pub(crate) type Real = Frontend<ShardSet<SimShard>, MemoryStripes>;

/// What outlives a frontend.
pub(crate) struct Rig {
    pub(crate) shards: MemoryShards,
    pub(crate) stripes: MemoryStripes,
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    life: Life,
    lives: u64,
}

impl Rig {
    pub(crate) fn new(stripe_bytes: usize) -> Rig {
        Rig::in_weather(stripe_bytes, &Weather::default())
    }

    pub(crate) fn in_weather(stripe_bytes: usize, weather: &Weather) -> Rig {
        Rig::of_shards(5, stripe_bytes, weather)
    }

    /// One shard or many, as a seed has it.
    pub(crate) fn of_seed(seed: u64, stripe_bytes: usize, weather: &Weather) -> Rig {
        Rig::of_shards([1, 2, 5, 16][(seed % 4) as usize], stripe_bytes, weather)
    }

    pub(crate) fn of_shards(shards: u16, stripe_bytes: usize, weather: &Weather) -> Rig {
        let near = MemoryShards::new(shards, weather).unwrap();
        // All of these tests can be run with shards that are far away.
        let shards = if std::env::var_os("PLEXUS_SIM_FAR").is_some() { near.far(1) } else { near };
        Rig {
            shards,
            stripes: MemoryStripes::new(stripe_bytes).in_weather(weather),
            options: Options { grace: Duration::from_secs(5), ..Options::default() },
            clock: Arc::new(SimClock::new()),
            life: Life::default(),
            lives: 0,
        }
    }

    /// The same with shards behind a fabric.
    pub(crate) fn far(self, seed: u64) -> Rig {
        Rig { shards: self.shards.far(seed), ..self }
    }

    /// A frontend; a second one is a life after a crash of the first.
    pub(crate) async fn start(&mut self) -> (Real, FileId) {
        self.life.end();
        self.life = Life::default();
        self.lives += 1;
        let random = SeededRandom::new(self.lives);
        let stripes = self.stripes.in_life(&self.life);
        let of_shards = SeededRandom::new(1_000_000 + self.lives);
        // In bad weather a shard may not answer at once.
        let shards = loop {
            match self.shards.open(&self.life, self.lives as u32, self.clock.clone(), &of_shards).await {
                Ok(shards) => break shards,
                Err(metadata::MetadataError::Stopped(_)) => {}
                Err(error) => panic!("{error}"),
            }
        };
        let real = Frontend::start(shards, stripes, self.options.clone(), self.clock.clone(), &random);
        let real = real.await.unwrap();
        let fs = real.make_filesystem("default", &random).await.unwrap();
        (real, FileId::root(fs))
    }

    /// The map is in order, and every stripe that it knows is there.
    pub(crate) async fn audit(&self) {
        let map = self.shards.recovered().await.unwrap();
        let findings = audit(&map).unwrap();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
        let ids = self.stripes.ids();
        // What was never committed, or is freed and not yet forgotten, may be left.
        let beside = |damage: &fsck::Damage| damage.kind != fsck::Kind::OrphanChunk;
        let damage =
            checked_shards(&map, &ids).unwrap().damage.into_iter().filter(beside).collect::<Vec<_>>();
        assert!(damage.is_empty(), "{damage:#?}");
        for (stripe, length) in Audit::read(&map).unwrap().known_stripes() {
            assert_eq!(ids.get(&stripe), Some(&length), "{stripe:?} is not as the map knows it");
        }
    }

    /// As [`Rig::audit`], and the sums that the frontend keeps are those of the map, as soon as it has heard of
    /// every command that took effect.
    pub(crate) async fn audit_of(&self, real: &Real) {
        self.audit().await;
        let expected = || {
            let mut all = Account::default();
            let map = self.shards.as_they_are().unwrap();
            let (slots, _) = accounts::of_slots(&map, types::Slot(0), usize::MAX).unwrap();
            slots.iter().for_each(|(_, account)| all = all.plus(account));
            let dead = all.data - all.live;
            Taken { live: all.stored, dead, garbage: all.garbage_stored, unfolded: all.unfolded_bytes }
        };
        for _ in 0..20 {
            if real.taken().await.unwrap() == expected() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(real.taken().await.unwrap(), expected());
    }

    /// Everything small goes into stripes as soon as it is there.
    pub(crate) fn fold_at_once(&mut self) {
        self.stripes = self.stripes.clone().worth_from(1);
        (self.options.fold_age, self.options.fold_bytes) = (Duration::from_millis(1), 1);
    }

    /// Background work has had its time; then nothing may be left of what was removed.
    pub(crate) async fn must_be_empty(&self) {
        tokio::time::sleep(self.options.grace + Duration::from_secs(10)).await;
        self.audit().await;
        let map = self.shards.recovered().await.unwrap();
        assert_eq!(Audit::read(&map).unwrap().remains(), []);
        assert_eq!(self.stripes.ids().len(), 0, "stripes are left");
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text.as_bytes().to_vec()).unwrap()
}

pub(crate) fn root() -> Ctx {
    Ctx::new(Cred::root())
}

/// As a change that may come again.
pub(crate) fn asking(request: RequestId) -> Ctx {
    Ctx { client: ClientId(request.client), request: Some(request), ..root() }
}

pub(crate) const BOTH: OpenAccess = OpenAccess { read: true, write: true };
pub(crate) const NONE: OpenAccess = OpenAccess { read: false, write: false };

pub(crate) async fn file<V: Vfs>(vfs: &V, dir: FileId, text: &str) -> FileId {
    let (name, kind, mode) = (name(text), NodeKind::File, Mode(0o644));
    vfs.mknod(&root(), Mknod { dir, name, kind, mode, set: SetAttr::default() }).await.unwrap().attr.file
}

pub(crate) async fn directory<V: Vfs>(vfs: &V, dir: FileId, text: &str) -> FileId {
    let (name, mode) = (name(text), Mode(0o755));
    vfs.mkdir(&root(), Mkdir { dir, name, mode, set: SetAttr::default() }).await.unwrap().attr.file
}

pub(crate) async fn open<V: Vfs>(vfs: &V, file: FileId) -> OpenId {
    let (target, access, deny) = (OpenTarget::File(file), BOTH, NONE);
    let (create, truncate, reclaim, for_execution) = (None, false, false, false);
    let request = Open { target, access, deny, create, truncate, reclaim, for_execution };
    vfs.open(&root(), request).await.unwrap().open
}

pub(crate) async fn close<V: Vfs>(vfs: &V, open: OpenId) {
    vfs.close(&root(), Close { open }).await.unwrap();
}

pub(crate) async fn unlink<V: Vfs>(vfs: &V, dir: FileId, text: &str) -> FsResult<RemoveReply> {
    vfs.unlink(&root(), Unlink { dir, name: name(text) }).await
}

pub(crate) async fn write<V: Vfs>(vfs: &V, file: FileId, offset: u64, data: &[u8]) -> FsResult<WriteReply> {
    let (offset, data) = (WriteOffset::At(offset), Bytes::copy_from_slice(data));
    vfs.write(&root(), Write { file, open: None, offset, data, durability: Durability::Unstable }).await
}

pub(crate) async fn commit<V: Vfs>(vfs: &V, file: FileId) -> FsResult<CommitReply> {
    let range = types::ByteRange { offset: 0, end: u64::MAX };
    vfs.commit(&root(), Commit { file, range }).await
}

pub(crate) async fn read<V: Vfs>(vfs: &V, file: FileId, offset: u64, length: u32) -> Bytes {
    vfs.read(&root(), Read { file, open: None, offset, length }).await.unwrap().data
}

pub(crate) async fn attr<V: Vfs>(vfs: &V, file: FileId) -> FsResult<Attr> {
    vfs.getattr(&root(), GetAttr { file }).await.map(|reply| reply.attr)
}

pub(crate) async fn truncate<V: Vfs>(vfs: &V, file: FileId, size: u64) -> FsResult<Attr> {
    let set = SetAttr { size: Some(size), ..SetAttr::default() };
    let request = SetAttrOf { file, open: None, set, if_ctime: None };
    vfs.setattr(&root(), request).await.map(|reply| reply.attr)
}

pub(crate) fn refused<T: std::fmt::Debug>(result: FsResult<T>, with: FsError) {
    assert_eq!(result.map(drop), Err(with));
}

/// Removes everything below `dir`.
pub(crate) async fn clear<V: Vfs>(vfs: &V, dir: FileId) {
    let mut left = vec![dir];
    let mut found = Vec::new();
    while let Some(dir) = left.pop() {
        let mut after = types::Cookie::START;
        loop {
            let request = ReadDir { dir, after, limit: 100, attrs: false };
            let reply = vfs.readdir(&root(), request).await.unwrap();
            for entry in reply.entries {
                after = entry.cookie;
                let is_directory = entry.kind == types::FileKind::Directory;
                left.extend(is_directory.then_some(entry.file));
                found.push((dir, entry.name, is_directory));
            }
            if reply.end {
                break;
            }
        }
    }
    for (dir, name, is_directory) in found.into_iter().rev() {
        if is_directory {
            vfs.rmdir(&root(), Rmdir { dir, name }).await.unwrap();
        } else {
            vfs.unlink(&root(), Unlink { dir, name }).await.unwrap();
        }
    }
}
