//! Real drives in real folders: 4+2 over six, closed, two of them deleted, read, replaced, rebuilt.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use cluster::{ClusterMap, DomainId, DriveInfo, DriveState};
use data::{ChunkPeer, StripePlace, StripeStore, StripeStoreConfig};
use drive::{ChunkStore, DriveDirectory, Writer};
use env::{Engine, SystemRandom};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use types::{DriveId, StripeId};

const CLUSTER: [u8; 16] = [9; 16];

type Drives = BTreeMap<DriveId, (DriveDirectory, Arc<ChunkStore>)>;

fn info(id: u32, domain: u32) -> DriveInfo {
    DriveInfo { id: DriveId(id), domain: DomainId(domain), weight: 64, state: DriveState::Up }
}

fn content(id: u64, length: usize) -> Bytes {
    (0..length).map(|n| (n as u64 * 7 + n as u64 / 4096 + id * 13) as u8).collect::<Vec<u8>>().into()
}

async fn make(root: &Path, id: u32) -> (DriveDirectory, Arc<ChunkStore>) {
    let path = root.join(format!("drive{id}"));
    let made = DriveDirectory::create(&path, &CLUSTER, DriveId(id), 64 << 20, Engine::Auto, &SystemRandom);
    let (directory, store) = made.await.unwrap();
    (directory, Arc::new(store))
}

fn peers(drives: &Drives) -> BTreeMap<DriveId, Arc<dyn ChunkPeer>> {
    drives.iter().map(|(id, (_, store))| (*id, Arc::new(store.clone()) as Arc<dyn ChunkPeer>)).collect()
}

fn open(map: &ClusterMap, drives: &Drives, epoch: u64) -> StripeStore {
    let writer = Writer { id: 1, epoch };
    let config =
        StripeStoreConfig { map: map.clone(), peers: peers(drives), writer, random: Arc::new(SystemRandom) };
    StripeStore::open(config).unwrap()
}

async fn check(stripes: &StripeStore, places: &[StripePlace]) {
    for place in places {
        let read = stripes.read(place, 0..place.length).await.unwrap();
        assert!(read == content(place.stripe.0, place.length as usize), "{place:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_six_drives_are_deleted_and_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    let scheme = "4+2".parse().unwrap();
    let mut map = ClusterMap::create(CLUSTER, scheme, (0..6).map(|n| info(n, n)).collect()).unwrap();
    let mut drives = Drives::new();
    for id in 0..6 {
        drives.insert(DriveId(id), make(root, id).await);
    }
    let stripes = open(&map, &drives, 1);
    let mut writes = tokio::task::JoinSet::new();
    for id in 0..40u64 {
        let stripes = stripes.clone();
        writes.spawn(async move {
            let length = 1 + (id as usize * 54_321) % 2_000_000;
            stripes.write(StripeId(id), stripes.pick_group(), content(id, length)).await.unwrap()
        });
    }
    let mut places = writes.join_all().await;
    check(&stripes, &places).await;
    drop(stripes);
    for (_, store) in drives.values() {
        store.close().await;
    }
    drives.clear();

    // Two folders are gone; the other drives are opened again.
    for id in [1, 4] {
        std::fs::remove_dir_all(root.join(format!("drive{id}"))).unwrap();
    }
    for id in (0..6).filter(|id| ![1, 4].contains(id)) {
        let path = root.join(format!("drive{id}"));
        let opened = DriveDirectory::open(&path, &CLUSTER, DriveId(id), Engine::Auto, &SystemRandom);
        let (directory, store) = opened.await.unwrap();
        drives.insert(DriveId(id), (directory, Arc::new(store)));
    }
    let stripes = open(&map, &drives, 2);
    check(&stripes, &places).await;
    let id = StripeId(1000);
    places.push(stripes.write(id, stripes.pick_group(), content(1000, 500_000)).await.unwrap());
    check(&stripes, &places).await;

    // Two new drives take their cells; everything is rebuilt; two others may go.
    for (old, new) in [(1, 6), (4, 7)] {
        map.fail_drive(DriveId(old)).unwrap();
        map.add_drive(info(new, old)).unwrap();
        drives.insert(DriveId(new), make(root, new).await);
    }
    assert_eq!(map.replace_lost(), 0);
    stripes.update(map.clone(), peers(&drives)).unwrap();
    for place in &places {
        stripes.repair(place).await.unwrap();
    }
    let mut fewer = peers(&drives);
    fewer.retain(|id, _| ![0, 3].contains(&id.0));
    stripes.update(map.clone(), fewer).unwrap();
    check(&stripes, &places).await;
    stripes.update(map, peers(&drives)).unwrap();
    assert!(stripes.free_all(&places).await.iter().all(Result::is_ok));
    for (_, store) in drives.values() {
        assert_eq!(store.stat().chunks, 0);
        store.close().await;
    }
}
