//! Copies of the map: filled under load, lost one by one, and never taken for what they are not.

use crate::cluster::{Cluster, ID, close, settled};
use crate::counter::{add, command, total};
use crate::crashes::{content, stored};
use bytes::Bytes;
use drive::log::{DriveLog, Mark};
use map::{Machine, MemoryMap};
use metadata::{MapState, MetadataError, Shard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Clients of their own keys, and commands whose effect depends on all before, until told to stop.
async fn load(shard: &Arc<Shard>, stop: &Arc<AtomicBool>) -> Vec<tokio::task::JoinHandle<u64>> {
    let mut clients = Vec::new();
    for client in 0..6_u8 {
        let (shard, stop) = (shard.clone(), stop.clone());
        clients.push(tokio::spawn(async move {
            let mut done = 0;
            while !stop.load(Ordering::Relaxed) || done < 50 {
                let key = [b'c', client, (done % 64) as u8];
                shard.submit(add(&key, 1)).await.unwrap();
                shard.submit(command(b'#', done, b"x")).await.unwrap();
                done += 1;
            }
            done
        }));
    }
    clients
}

async fn ended(clients: Vec<tokio::task::JoinHandle<u64>>) -> u64 {
    let mut sum = 0;
    for client in clients {
        sum += client.await.unwrap();
    }
    sum
}

fn state(shard: &Shard, incarnation: u128) -> MapState {
    let standing = shard.standing().borrow().clone();
    standing.maps.iter().find(|map| map.incarnation == incarnation).unwrap().state
}

async fn filled(cluster: &Cluster) -> (Vec<DriveLog>, Vec<drive::map::DriveMap>, Arc<Shard>) {
    let (logs, maps, shard) = cluster.open(&[0, 1, 2, 3, 4]).await;
    (logs, maps, Arc::new(shard.unwrap()))
}

/// All copies of the map say the same, and the shard can be opened on each alone.
async fn all_equal(cluster: &mut Cluster) {
    // What is purged while one stands alone the others would lack when it is their turn.
    cluster.options.persist_commands = 1_000_000;
    let mut contents = Vec::new();
    for n in cluster.seats.clone() {
        contents.push(stored(&cluster.map(n).newest(ID).unwrap().unwrap()));
    }
    assert!(contents.windows(2).all(|two| two[0] == two[1]));
    for n in cluster.seats.clone() {
        let (logs, maps, shard) = cluster.open(&[n, 3, 4]).await;
        let shard = shard.unwrap();
        assert_eq!(content(&shard.view().unwrap()), contents[0]);
        shard.close().await.unwrap();
        drop((shard, maps));
        close(logs).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_filled_while_the_shard_is_at_work_and_then_stands_alone() {
    let mut cluster = Cluster::new(5, 50);
    let (logs, maps, shard) = filled(&cluster).await;
    for n in 0..600_u64 {
        shard.submit(add(&[&b"k"[..], &n.to_be_bytes()].concat(), n)).await.unwrap();
    }
    add_until_purged(&shard, &logs[0]).await;
    shard.close().await.unwrap();
    drop((shard, maps));
    close(logs).await;
    // Two drives are replaced: the log does not reach back far enough for their maps.
    for n in [0, 2] {
        cluster.drives[n] = cluster.blank(n, 2);
    }
    let (logs, maps, shard) = filled(&cluster).await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients = load(&shard, &stop).await;
    assert_eq!(settled(&shard).await.maps_whole(), 3);
    stop.store(true, Ordering::Relaxed);
    let done = ended(clients).await;
    assert_eq!(total(&shard.view().unwrap(), b"done"), done);
    shard.close().await.unwrap();
    drop((shard, maps));
    close(logs).await;
    all_equal(&mut cluster).await;
}

/// Takes the tables of a drive's map away under its engine, which notices when it writes the next one.
fn break_map(cluster: &Cluster, n: usize) {
    let map = &cluster.drives[n].map;
    std::fs::rename(map.join("keyspaces"), map.join("gone")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maps_fail_one_after_the_other_and_no_client_notices_until_the_last() {
    let cluster = Cluster::new(5, 40);
    let (logs, maps, shard) = filled(&cluster).await;
    let [first, second, third] = [0, 1, 2].map(|n| cluster.drives[n].incarnation);
    assert_eq!(
        [first, second, third].map(|i| state(&shard, i)),
        [MapState::Primary, MapState::Whole, MapState::Whole]
    );
    let stop = Arc::new(AtomicBool::new(false));
    let clients = load(&shard, &stop).await;
    let mut standing = shard.standing();
    break_map(&cluster, 0);
    standing.wait_for(|now| now.maps_whole() == 2).await.unwrap();
    assert_eq!(
        [first, second, third].map(|i| state(&shard, i)),
        [MapState::Out, MapState::Primary, MapState::Whole]
    );
    break_map(&cluster, 2);
    standing.wait_for(|now| now.maps_whole() == 1).await.unwrap();
    assert_eq!(
        [first, second, third].map(|i| state(&shard, i)),
        [MapState::Out, MapState::Primary, MapState::Out]
    );
    stop.store(true, Ordering::Relaxed);
    let done = ended(clients).await;
    let before = content(&shard.view().unwrap());
    assert_eq!(total(&shard.view().unwrap(), b"done"), done);
    break_map(&cluster, 1);
    let last = loop {
        if let Err(e) = shard.submit(add(b"k", 1)).await {
            break e;
        }
    };
    assert!(matches!(last, MetadataError::Stopped(_)), "{last}");
    assert!(shard.view().is_err() && shard.close().await.is_err());
    assert!(!before.is_empty());
    drop((shard, maps));
    close(logs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_cannot_be_read_is_read_no_more() {
    let cluster = Cluster::new(5, 100_000);
    let (logs, maps, shard) = filled(&cluster).await;
    for n in 0..200_u64 {
        shard.submit(add(&[&b"k"[..], &n.to_be_bytes()].concat(), n + 1)).await.unwrap();
    }
    shard.close().await.unwrap();
    drop((shard, maps));
    close(logs).await;
    change_value(&cluster, 0, None);
    let (logs, maps, shard) = filled(&cluster).await;
    let [first, second] = [0, 1].map(|n| cluster.drives[n].incarnation);
    assert_eq!(state(&shard, first), MapState::Primary);
    let mut all = 0;
    let read = map::OrderedMap::scan(&shard.view().unwrap(), b"k", b"l", &mut |_, _| {
        all += 1;
        true
    });
    assert!(read.is_err(), "{all} read over a wrong value");
    let mut standing = shard.standing();
    standing.wait_for(|now| now.maps_whole() == 2).await.unwrap();
    assert_eq!([first, second].map(|i| state(&shard, i)), [MapState::Out, MapState::Primary]);
    for n in 0..200_u64 {
        assert_eq!(total(&shard.view().unwrap(), &[&b"k"[..], &n.to_be_bytes()].concat()), n + 1);
    }
    shard.close().await.unwrap();
    drop((shard, maps));
    close(logs).await;
}

/// Adds 1 until nothing of the present log is needed any more; how often.
async fn add_until_purged(shard: &Shard, drive: &DriveLog) -> u64 {
    let log = drive.shard(ID);
    let index = |id: Bytes| u64::from_be_bytes(id[8..].try_into().unwrap());
    let purged = || log.mark(Mark::Purged).unwrap().map_or(0, index);
    let last = log.bounds().map_or_else(purged, |bounds| bounds.last);
    let mut sum = 0;
    while purged() <= last {
        shard.submit(add(b"n", 1)).await.unwrap();
        sum += 1;
    }
    sum
}

/// Changes a value in the map of a drive, as a disk that mistakes one place for another would: without
/// `cell` it becomes another key's. What was there comes back.
fn change_value(cluster: &Cluster, n: usize, cell: Option<Vec<u8>>) -> Vec<u8> {
    let db = fjall::Database::builder(&cluster.drives[n].map).open().unwrap();
    let names = db.list_keyspace_names();
    let cells = db.keyspace(&names[0], fjall::KeyspaceCreateOptions::default).unwrap();
    let key = |n: u64| [&b"\x01k"[..], &n.to_be_bytes()].concat();
    let stored = |n: u64| cells.get(key(n)).unwrap().unwrap().to_vec();
    let (before, other) = (stored(71), stored(70));
    cells.insert(key(71), cell.unwrap_or(other)).unwrap();
    db.persist(fjall::PersistMode::SyncAll).unwrap();
    before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_filled_stale_and_foreign_copies_open_nothing() {
    let mut cluster = Cluster::new(5, 20);
    let (logs, maps, shard) = filled(&cluster).await;
    for n in 0..100_u64 {
        shard.submit(add(&[&b"k"[..], &n.to_be_bytes()].concat(), 1)).await.unwrap();
    }
    let before = add_until_purged(&shard, &logs[0]).await;
    shard.close().await.unwrap();
    drop((shard, maps));
    close(logs).await;
    // The third drive is another one; it cannot be filled to the end, because no copy can be read to the end.
    let kept = [0, 1].map(|n| change_value(&cluster, n, None));
    cluster.drives[2] = cluster.blank(2, 2);
    let (logs, maps, shard) = filled(&cluster).await;
    let mut standing = shard.standing();
    standing.wait_for(|now| now.maps[0].state == MapState::Out).await.unwrap();
    shard.close().await.unwrap();
    assert_eq!(state(&shard, cluster.drives[2].incarnation), MapState::Filling);
    drop((shard, maps));
    close(logs).await;
    for (n, cell) in kept.into_iter().enumerate() {
        change_value(&cluster, n, Some(cell));
    }
    let behind = |opened: Result<Shard, MetadataError>| match opened.err() {
        Some(MetadataError::Damaged(why)) => assert!(why.contains("the log begins after"), "{why}"),
        other => panic!("{other:?}"),
    };
    let (logs, maps, shard) = cluster.open(&[2, 3, 4]).await;
    behind(shard);
    drop(maps);
    close(logs).await;
    // The others go on without the first, which is stale then; made for another seat, it does not count either.
    let (logs, maps, shard) = cluster.open(&[1, 2, 3, 4]).await;
    let shard = shard.unwrap();
    settled(&shard).await;
    let sum = add_until_purged(&shard, &logs[0]).await;
    shard.close().await.unwrap();
    drop((shard, maps));
    close(logs).await;
    let (logs, maps, shard) = cluster.open(&[0, 3, 4]).await;
    behind(shard);
    drop(maps);
    close(logs).await;
    cluster.drives[1].incarnation ^= 1 << 100;
    cluster.seats = vec![1];
    let (logs, maps, shard) = cluster.open(&[0, 1, 2, 3, 4]).await;
    behind(shard);
    drop(maps);
    close(logs).await;
    cluster.drives[1].incarnation ^= 1 << 100;
    cluster.seats = vec![0, 1, 2];
    let (logs, maps, shard) = filled(&cluster).await;
    assert_eq!(settled(&shard).await.maps_whole(), 3);
    assert_eq!(total(&shard.view().unwrap(), b"n"), before + sum);
    shard.close().await.unwrap();
    drop((shard, maps));
    close(logs).await;
    all_equal(&mut cluster).await;
}

#[tokio::test]
async fn the_same_commands_on_any_copy_give_the_same_map() {
    let cluster = Cluster::new(3, 10);
    let (logs, maps, shard) = cluster.open(&[0, 1, 2]).await;
    let shard = shard.unwrap();
    let mut model = MemoryMap::default();
    for n in 0..100_u64 {
        let command = command(b'#', n * 7, &[n as u8; 30]);
        let expected: Bytes = crate::counter::Counter.apply(&mut model, &command).unwrap();
        assert_eq!(shard.submit(command).await.unwrap(), expected);
    }
    shard.close().await.unwrap();
    drop(shard);
    for map in maps {
        assert_eq!(stored(&map.newest(ID).unwrap().unwrap()), content(&model));
    }
    close(logs).await;
}
