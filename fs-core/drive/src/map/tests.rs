//! The drive's map against the contract, and across crashes.

use super::{DriveMap, MapOptions, ShardMap};
use bytes::Bytes;
use map::{MemoryMap, OrderedMap, OrderedMapMut, WriteSet};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use types::ShardId;

fn open(dir: &Path) -> (DriveMap, ShardMap) {
    let drive = DriveMap::open(dir, &MapOptions::default()).unwrap();
    let shard = copy_of(&drive, ShardId(3));
    (drive, shard)
}

fn copy_of(drive: &DriveMap, shard: ShardId) -> ShardMap {
    drive.newest(shard).unwrap().unwrap_or_else(|| drive.create(shard, 1).unwrap())
}

fn set(changes: &[(&[u8], Option<&'static [u8]>)]) -> WriteSet {
    let mut set = WriteSet::default();
    for (key, value) in changes {
        set.record(key, value.map(Bytes::from_static));
    }
    set
}

fn listed(map: &dyn OrderedMap, from: &[u8], to: &[u8], back: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    let mut visit = |k: &[u8], v: &[u8]| {
        all.push((k.to_vec(), v.to_vec()));
        true
    };
    if back { map.scan_back(from, to, &mut visit) } else { map.scan(from, to, &mut visit) }.unwrap();
    all
}

#[test]
fn it_answers_like_the_map_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (_drive, map) = open(dir.path());
    let mut model = MemoryMap::default();
    let mut state = 1_u64;
    let mut random = move |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % n
    };
    for round in 0..60_u64 {
        let mut changes = WriteSet::default();
        for _ in 0..20 {
            let key = random(200).to_be_bytes();
            let change = (random(3) > 0).then(|| Bytes::from(vec![round as u8; random(50) as usize]));
            match &change {
                Some(value) => model.put(&key, value.clone()),
                None => model.delete(&key),
            }
            changes.record(&key, change);
        }
        map.commit(&changes, &round.to_be_bytes()).unwrap();
        if round % 20 == 19 {
            map.persist().unwrap();
        }
        assert_eq!(map.mark().unwrap().unwrap(), Bytes::copy_from_slice(&round.to_be_bytes()));
        let (from, to) = (random(200).to_be_bytes(), random(200).to_be_bytes());
        for back in [false, true] {
            assert_eq!(listed(&map, &from, &to, back), listed(&model, &from, &to, back));
            assert_eq!(listed(&map.snapshot(), b"", &[0xff], back), listed(&model, b"", &[0xff], back));
        }
        let key = random(200).to_be_bytes();
        assert_eq!(map.get(&key).unwrap(), model.get(&key).unwrap());
        assert_eq!(map.snapshot().get(&key).unwrap(), model.get(&key).unwrap());
    }
}

#[test]
fn a_scan_stops_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let (_drive, map) = open(dir.path());
    map.commit(&set(&[(b"a", Some(b"1")), (b"b", Some(b"2")), (b"c", Some(b"3"))]), b"m").unwrap();
    let mut seen = Vec::new();
    map.scan(b"a", b"z", &mut |k, _| {
        seen.push(k.to_vec());
        seen.len() < 2
    })
    .unwrap();
    assert_eq!(seen, [b"a".to_vec(), b"b".to_vec()]);
}

#[test]
fn a_snapshot_does_not_see_later_commits() {
    let dir = tempfile::tempdir().unwrap();
    let (_drive, map) = open(dir.path());
    map.commit(&set(&[(b"a", Some(b"1"))]), b"m").unwrap();
    let before = map.snapshot();
    map.commit(&set(&[(b"a", Some(b"2")), (b"b", Some(b"2"))]), b"n").unwrap();
    assert_eq!(before.get(b"a").unwrap().unwrap(), Bytes::from_static(b"1"));
    assert_eq!(before.get(b"b").unwrap(), None);
    assert_eq!(map.snapshot().get(b"a").unwrap().unwrap(), Bytes::from_static(b"2"));
    fn sendable<T: Send + 'static>(_: &T) {}
    sendable(&before);
}

#[test]
fn the_mark_is_the_hosts_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (_drive, map) = open(dir.path());
    assert_eq!(map.mark().unwrap(), None);
    map.commit(&set(&[(b"a", Some(b"1"))]), b"mark").unwrap();
    assert_eq!(map.get(super::MARK_KEY).unwrap(), None);
    assert_eq!(listed(&map, &[0], &[0xff], false).len(), 1);
    assert!(map.commit(&set(&[(super::MARK_KEY, Some(b"x"))]), b"n").is_err());
    assert!(map.commit(&set(&[(b"", Some(b"x"))]), b"n").is_err());
    assert_eq!(map.mark().unwrap().unwrap(), Bytes::from_static(b"mark"));
}

#[test]
fn shards_of_a_drive_do_not_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (drive, three) = open(dir.path());
    let four = copy_of(&drive, ShardId(4));
    three.commit(&set(&[(b"a", Some(b"1"))]), b"3").unwrap();
    assert_eq!(four.get(b"a").unwrap(), None);
    assert_eq!(four.mark().unwrap(), None);
    let mut shards = drive.shards();
    shards.sort();
    assert_eq!(shards, [ShardId(3), ShardId(4)]);
}

/// Copies what a drive's map has on disk: what another process, or this one after a crash, finds.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Every file below `dir`: what a change in the background would make look different.
fn files(dir: &Path) -> BTreeSet<(PathBuf, u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => all.extend(files(&path)),
            Ok(found) => drop(all.insert((path, found.ino(), found.len()))),
            Err(_) => {}
        }
    }
    all
}

/// Copies what is in use as it is at one moment: a compaction in the background may end in the midst.
fn copy_at_once(from: &Path) -> TempDir {
    loop {
        let (before, to) = (files(from), tempfile::tempdir().unwrap());
        if copy(from, to.path()).is_ok() && files(from) == before {
            return to;
        }
    }
}

fn journals(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    files.filter(|p| p.extension().is_some_and(|e| e == "jnl")).collect()
}

#[test]
fn what_was_persisted_survives_any_damage_to_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let (_drive, map) = open(dir.path());
    map.commit(&set(&[(b"a", Some(b"1")), (b"gone", Some(b"1"))]), b"1").unwrap();
    map.persist().unwrap();
    // Values that do not compress, so that there is a journal to damage.
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    for i in 0..50_u8 {
        let mut changes = set(&[(b"a", Some(b"2")), (b"gone", None)]);
        changes.record(&[b'k', i], Some((0..3000).map(|_| noise()).collect()));
        map.commit(&changes, b"2").unwrap();
    }
    let mut dropped = 0;
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("none", |_| {}),
        ("lost", Vec::clear),
        ("a lost page in the middle", |j| j[8192..12288].fill(0)),
        ("a flipped bit", |j| j[20_000] ^= 4),
        ("cut off", |j| j.truncate(33_333)),
    ];
    for (name, damage) in damages {
        let after = copy_at_once(dir.path());
        for journal in journals(after.path()) {
            let mut bytes = std::fs::read(&journal).unwrap();
            damage(&mut bytes);
            std::fs::write(&journal, bytes).unwrap();
        }
        if refused(after.path()) {
            dropped += 1;
        }
        let (drive, map) = open(after.path());
        // Either the old state or the new one, with the mark that belongs to it.
        let mark = map.mark().unwrap().unwrap();
        let new = mark == Bytes::from_static(b"2");
        assert!(new || mark == Bytes::from_static(b"1"), "{name}: {mark:?}");
        assert_eq!(map.get(b"a").unwrap().unwrap(), mark, "{name}");
        assert_eq!(map.get(b"gone").unwrap().is_none(), new, "{name}");
        // And it goes on from there.
        map.commit(&set(&[(b"a", Some(b"3"))]), b"3").unwrap();
        map.persist().unwrap();
        drop((map, drive));
        for journal in journals(after.path()) {
            std::fs::remove_file(journal).unwrap();
        }
        let (_drive, map) = open(after.path());
        assert_eq!(map.get(b"a").unwrap().unwrap(), Bytes::from_static(b"3"), "{name}");
        assert_eq!(map.mark().unwrap().unwrap(), Bytes::from_static(b"3"), "{name}");
        map.commit(&set(&[(b"a", Some(b"4"))]), b"4").unwrap();
        assert_eq!(map.get(b"a").unwrap().unwrap(), Bytes::from_static(b"4"), "{name}, journal removed");
    }
    assert!(dropped > 0, "no damage was one that the engine refuses");
}

/// Whether the engine alone would not open what is in `dir`.
fn refused(dir: &Path) -> bool {
    let trial = tempfile::tempdir().unwrap();
    copy(dir, trial.path()).unwrap();
    fjall::Database::builder(trial.path()).open().is_err()
}

#[test]
fn a_second_opening_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_drive, _map) = open(dir.path());
    let again = DriveMap::open(dir.path(), &MapOptions::default());
    assert!(matches!(again, Err(super::MapOpenError::InUse(_))));
}

#[test]
fn keys_beyond_the_engines_limit_are_not_there_and_do_not_disturb() {
    let dir = tempfile::tempdir().unwrap();
    let (_drive, map) = open(dir.path());
    let longest = vec![b'k'; 65_535];
    let longer = vec![b'k'; 65_536];
    let mut changes = WriteSet::default();
    changes.record(&longest, Some(Bytes::from_static(b"1")));
    map.commit(&changes, b"m").unwrap();
    changes.record(&longer, Some(Bytes::from_static(b"1")));
    assert!(map.commit(&changes, b"m").is_err());
    assert_eq!(map.get(&longer).unwrap(), None);
    assert_eq!(map.snapshot().get(&longer).unwrap(), None);
    for back in [false, true] {
        assert_eq!(listed(&map, b"a", &longer, back).len(), 1);
        assert_eq!(listed(&map, &longest, &longer, back).len(), 1);
        assert_eq!(listed(&map, &longer, b"l", back).len(), 0);
        assert_eq!(listed(&map, &longer, &vec![b'k'; 65_540], back).len(), 0);
    }
}

#[test]
fn a_later_generation_has_nothing_of_the_former_one_whatever_the_journal_has() {
    let dir = tempfile::tempdir().unwrap();
    let (drive, first) = open(dir.path());
    first.commit(&set(&[(b"a", Some(b"1")), (b"b", Some(b"1"))]), b"1").unwrap();
    let second = drive.create(ShardId(3), 7).unwrap();
    assert!(drive.create(ShardId(3), 7).is_err() && drive.create(ShardId(3), 4).is_err());
    assert_eq!((second.mark().unwrap(), second.get(b"a").unwrap()), (None, None));
    second.commit(&set(&[(b"a", Some(b"2"))]), b"2").unwrap();
    assert_eq!(first.get(b"a").unwrap().unwrap(), Bytes::from_static(b"1"));
    drive.keep_only(ShardId(3), Some(&second)).unwrap();
    second.persist().unwrap();
    // What reads from a copy that is deleted goes on reading.
    assert_eq!(first.snapshot().mark().unwrap().unwrap(), Bytes::from_static(b"1"));
    let after = copy_at_once(dir.path());
    for _ in 0..2 {
        let (drive, map) = open(after.path());
        assert_eq!(map.generation(), 7);
        assert_eq!(map.snapshot().mark().unwrap().unwrap(), Bytes::from_static(b"2"));
        assert_eq!(listed(&map, b"", b"z", false), [(b"a".to_vec(), b"2".to_vec())]);
        assert_eq!(drive.shards(), [ShardId(3)]);
    }
    drop((first, second));
    drive.keep_only(ShardId(3), None).unwrap();
    assert_eq!((drive.newest(ShardId(3)).unwrap().is_none(), drive.shards()), (true, Vec::new()));
}

#[test]
fn who_opened_it_before_writes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let (drive, first) = open(dir.path());
    first.commit(&set(&[(b"a", Some(b"1"))]), b"1").unwrap();
    let second = drive.newest(ShardId(3)).unwrap().unwrap();
    assert!(first.commit(&set(&[(b"a", Some(b"0"))]), b"0").is_err());
    second.commit(&set(&[(b"b", Some(b"2"))]), b"2").unwrap();
    assert_eq!(first.get(b"a").unwrap().unwrap(), Bytes::from_static(b"1"));
    let third = drive.create(ShardId(3), 2).unwrap();
    assert!(second.commit(&WriteSet::default(), b"3").is_err());
    third.commit(&WriteSet::default(), b"3").unwrap();
}

#[test]
fn a_map_of_the_first_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let db = fjall::Database::builder(dir.path()).open().unwrap();
    db.keyspace("shard.1.0", fjall::KeyspaceCreateOptions::default).unwrap();
    drop(db);
    let opened = DriveMap::open(dir.path(), &MapOptions::default());
    assert!(matches!(opened, Err(super::MapOpenError::UnknownFormat(name)) if name == "shard.1.0"));
}

/// The disk has no place for a table, as when the file system is full.
#[test]
fn a_map_that_met_an_error_of_the_disk_says_so_and_is_whole_when_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let (tables, away) = (dir.path().join("keyspaces"), dir.path().join("away"));
    let (drive, map) = open(dir.path());
    map.commit(&set(&[(b"a", Some(b"1"))]), b"m1").unwrap();
    map.persist().unwrap();
    map.commit(&set(&[(b"b", Some(b"2"))]), b"m2").unwrap();
    assert!(!drive.has_failed());
    std::fs::rename(&tables, &away).unwrap();
    std::fs::write(&tables, b"").unwrap();
    assert!(map.persist().is_err() && drive.has_failed());
    assert!(map.commit(&set(&[(b"c", Some(b"3"))]), b"m3").is_err());
    assert_eq!(map.get(b"b").unwrap().unwrap(), "2", "what is in memory can be read");
    drop((drive, map));

    std::fs::remove_file(&tables).unwrap();
    std::fs::rename(&away, &tables).unwrap();
    let (drive, map) = open(dir.path());
    assert!(!drive.has_failed());
    let (mark, b) = (map.mark().unwrap().unwrap(), map.get(b"b").unwrap());
    assert_eq!(b.is_some(), mark == "m2", "the mark belongs to the content");
    assert_eq!((map.get(b"a").unwrap().unwrap(), map.get(b"c").unwrap()), (Bytes::from("1"), None));
    map.commit(&set(&[(b"d", Some(b"4"))]), b"m4").unwrap();
    map.persist().unwrap();
}
