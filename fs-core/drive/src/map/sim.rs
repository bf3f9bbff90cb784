//! For simulations: a drive's maps in memory, which keep after a power cut what the real ones do: what was
//! persisted, and of what was committed since any beginning.

use super::cells::{Cells, Copies, Stored};
use super::{DriveMap, MapOpenError};
use bytes::Bytes;
use env::Random;
use map::{MapError, MemoryMap, OrderedMap, OrderedMapMut, Visit, WriteSet};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use types::ShardId;

/// The maps of a drive in memory. They outlive those who open them, as files do. Clones are the same.
#[derive(Clone)]
pub struct SimMaps {
    disk: Arc<Mutex<Disk>>,
    random: Arc<dyn Random>,
}

#[derive(Default)]
struct Disk {
    copies: BTreeMap<(ShardId, u64), Kept>,
    dead: bool,
    /// Who opened it in an earlier life has lost it.
    life: u64,
}

#[derive(Clone, Default)]
struct Content {
    map: Arc<MemoryMap>,
    mark: Option<Bytes>,
}

impl Content {
    fn apply(&mut self, changes: &WriteSet, mark: &Bytes) {
        let map = Arc::make_mut(&mut self.map);
        for (key, change) in changes.iter() {
            match change {
                Some(value) => map.put(key, value.clone()),
                None => map.delete(key),
            }
        }
        self.mark = Some(mark.clone());
    }
}

/// A copy of a shard's map.
#[derive(Default)]
struct Kept {
    now: Content,
    persisted: Content,
    /// What was committed since.
    since: Vec<(WriteSet, Bytes)>,
}

impl SimMaps {
    /// Of an empty drive; `random` decides what a power cut leaves.
    #[must_use]
    pub fn new(random: Arc<dyn Random>) -> SimMaps {
        SimMaps { disk: Arc::default(), random }
    }

    /// Opens them; who had them open before has lost them.
    ///
    /// # Errors
    /// [`MapOpenError::Engine`] while the drive is dead.
    pub fn open(&self) -> Result<DriveMap, MapOpenError> {
        let life = {
            let mut disk = self.disk.lock();
            disk.life += 1;
            disk.life
        };
        let opened = Opened { disk: self.disk.clone(), life };
        opened.alive(|_| ()).map_err(refused)?;
        Ok(DriveMap::over(Arc::new(opened)))
    }

    /// The power goes: of what was not persisted all of each copy is kept, nothing, or a part.
    pub fn cut_power(&self) {
        let mut disk = self.disk.lock();
        disk.life += 1;
        let mood = self.random.below(3);
        for kept in disk.copies.values_mut() {
            let all = kept.since.len();
            let left = match mood {
                0 => 0,
                1 => all,
                _ => self.random.below(all as u64 + 1) as usize,
            };
            for (changes, mark) in kept.since.drain(..).take(left) {
                kept.persisted.apply(&changes, &mark);
            }
            kept.now = kept.persisted.clone();
        }
    }

    /// Whether nothing can be read or written from now on.
    pub fn set_dead(&self, dead: bool) {
        self.disk.lock().dead = dead;
    }
}

fn refused(error: MapError) -> MapOpenError {
    MapOpenError::Engine(error.to_string())
}

/// The maps as one life has them.
#[derive(Clone)]
struct Opened {
    disk: Arc<Mutex<Disk>>,
    life: u64,
}

impl Opened {
    fn alive<T>(&self, ask: impl FnOnce(&mut Disk) -> T) -> Result<T, MapError> {
        let mut disk = self.disk.lock();
        if disk.dead || disk.life != self.life {
            return Err(MapError::Broken("the drive is gone".to_owned()));
        }
        Ok(ask(&mut disk))
    }
}

impl Copies for Opened {
    fn all(&self) -> Vec<(ShardId, u64)> {
        self.disk.lock().copies.keys().copied().collect()
    }

    fn open(&self, shard: ShardId, generation: u64) -> Result<Arc<dyn Cells>, MapOpenError> {
        let name = (shard, generation);
        self.alive(|disk| {
            disk.copies.entry(name).or_default();
        })
        .map_err(refused)?;
        Ok(Arc::new(CopyOf { maps: self.clone(), name }))
    }

    fn keep_new(&self) -> Result<(), MapOpenError> {
        Ok(())
    }

    fn delete(&self, shard: ShardId, generation: u64) -> Result<(), MapOpenError> {
        self.alive(|disk| drop(disk.copies.remove(&(shard, generation)))).map_err(refused)
    }

    fn disk_bytes(&self) -> Result<u64, MapOpenError> {
        Ok(0)
    }

    fn has_failed(&self) -> bool {
        false
    }
}

struct CopyOf {
    maps: Opened,
    name: (ShardId, u64),
}

impl CopyOf {
    fn kept<T>(&self, ask: impl FnOnce(&mut Kept) -> T) -> Result<T, MapError> {
        let gone = || MapError::Broken("it was deleted".to_owned());
        self.maps.alive(|disk| disk.copies.get_mut(&self.name).map(ask))?.ok_or_else(gone)
    }
}

impl Cells for CopyOf {
    fn commit(&self, changes: &WriteSet, mark: &[u8]) -> Result<(), MapError> {
        let mark = Bytes::copy_from_slice(mark);
        self.kept(|kept| {
            kept.now.apply(changes, &mark);
            kept.since.push((changes.clone(), mark));
        })
    }

    fn snapshot(&self) -> Box<dyn Stored> {
        Box::new(At(self.kept(|kept| kept.now.clone())))
    }

    fn persist(&self) -> Result<(), MapError> {
        self.kept(|kept| {
            kept.persisted = kept.now.clone();
            kept.since.clear();
        })
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}

impl Stored for CopyOf {
    fn mark(&self) -> Result<Option<Bytes>, MapError> {
        self.kept(|kept| kept.now.mark.clone())
    }
}

impl OrderedMap for CopyOf {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        self.kept(|kept| kept.now.map.get(key))?
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.kept(|kept| kept.now.map.clone())?.scan(from, to, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.kept(|kept| kept.now.map.clone())?.scan_back(from, to, visit)
    }
}

/// A copy at one moment, or why it could not be read then.
struct At(Result<Content, MapError>);

impl At {
    fn content(&self) -> Result<&Content, MapError> {
        self.0.as_ref().map_err(Clone::clone)
    }
}

impl Stored for At {
    fn mark(&self) -> Result<Option<Bytes>, MapError> {
        Ok(self.content()?.mark.clone())
    }
}

impl OrderedMap for At {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        self.content()?.map.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.content()?.map.scan(from, to, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.content()?.map.scan_back(from, to, visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use env::SeededRandom;

    fn set(n: u64) -> WriteSet {
        let mut set = WriteSet::default();
        set.record(b"n", Some(Bytes::copy_from_slice(&n.to_be_bytes())));
        set.record(&n.to_be_bytes(), Some(Bytes::new()));
        set
    }

    #[test]
    fn a_power_cut_leaves_any_commit_since_the_last_persist_and_all_before_it() {
        let mut left = std::collections::BTreeSet::new();
        for seed in 0..60 {
            let maps = SimMaps::new(Arc::new(SeededRandom::new(seed)));
            let drive = maps.open().unwrap();
            let map = drive.create(ShardId(1), 1).unwrap();
            let before = map.snapshot();
            for n in 1..=6u64 {
                map.commit(&set(n), &n.to_be_bytes()).unwrap();
                if n == 3 {
                    map.persist().unwrap();
                }
            }
            assert_eq!((before.get(b"n").unwrap(), before.mark().unwrap()), (None, None));
            maps.cut_power();
            assert!(map.commit(&set(7), b"7").is_err() && map.get(b"n").is_err());
            let map = maps.open().unwrap().newest(ShardId(1)).unwrap().unwrap();
            let n = map.get(b"n").unwrap().unwrap();
            assert_eq!(map.mark().unwrap(), Some(n.clone()), "the mark belongs to the content");
            let n = u64::from_be_bytes(n[..].try_into().unwrap());
            for m in 1..=6u64 {
                assert_eq!(map.get(&m.to_be_bytes()).unwrap().is_some(), m <= n);
            }
            left.insert(n);
        }
        assert_eq!(left, [3, 4, 5, 6].into());
    }

    #[test]
    fn a_dead_drive_gives_nothing() {
        let maps = SimMaps::new(Arc::new(SeededRandom::new(1)));
        let drive = maps.open().unwrap();
        let map = drive.create(ShardId(1), 1).unwrap();
        maps.set_dead(true);
        assert!(map.get(b"a").is_err() && map.persist().is_err() && map.snapshot().get(b"a").is_err());
        assert!(maps.open().is_err());
    }
}
