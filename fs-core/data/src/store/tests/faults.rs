//! Drives that die, lie, damage or lag, and what comes back.

use super::*;

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
            // A lie does not come from this process, which has verified.
            if let DriveReply::Data(found) = &mut answer {
                found.verified = false;
            }
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
