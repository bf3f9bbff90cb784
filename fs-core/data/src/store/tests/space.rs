//! What stripes take, and what is left of full drives.

use super::*;

/// What is promised is what is taken.
#[tokio::test(start_paused = true)]
async fn it_is_known_before_what_a_run_takes() {
    for (scheme, drives) in [("4+2", 6u32), ("8+2", 10), ("16+4", 20)] {
        let bench = Bench::new(1, drives, scheme, 16 << 20).await;
        let mut id = 0;
        for away in 0..3 {
            let there = drives - away;
            bench.stripes.update(bench.map.clone(), peers(&bench.stores[..there as usize])).unwrap();
            for length in
                [1, 30 << 10, 60 << 10, 64 << 10, 200_000, 1 << 20, (5 << 20) + 1, (16 << 20) + 5000]
            {
                let next = || {
                    id += 1;
                    StripeId(id)
                };
                let places = bench.stripes.write_run(next, content(1, length)).await.unwrap();
                let taken: u64 = places.iter().map(StripePlace::stored_bytes).sum();
                let known = bench.stripes.stored_bytes(length as u64);
                let least = if away == 0 { known } else { known / 100 * 95 };
                assert!(
                    (least..=known).contains(&taken),
                    "{scheme} without {away}, {length}: {known} for {taken}"
                );
                bench.stripes.free_all(&places).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn freeing_gives_all_space_back_and_fails_closed() {
    let bench = Bench::new(1, 6, "4+2", 16 << 20).await;
    let before: Vec<u64> = bench.stores.iter().map(|s| s.stat().free).collect();
    let mut places = Vec::new();
    for id in 0..10 {
        places.push(bench.write(id, 1 + id as usize * 9000).await);
    }
    bench.disks[2].set_faults(|f| f.dead = true);
    let results = bench.stripes.free_all(&places).await;
    for (place, result) in places.iter().zip(&results) {
        let on_it = place.cells(&bench.map).unwrap().iter().any(|cell| cell.drive == DriveId(2));
        assert_eq!(matches!(result, Err(DataError::Unavailable(_))), on_it, "{result:?}");
    }
    assert!(results.iter().filter(|result| result.is_err()).count() > 5);
    bench.disks[2].set_faults(|f| f.dead = false);
    let free: Vec<u64> = bench.stores.iter().map(|s| s.stat().free).collect();
    assert!(free[2] < before[2], "nothing was freed where the drive did not say so");
    // The drive's device failed under its feet: it takes no more writes until it is opened again.
    for store in &bench.stores {
        store.close().await;
    }
    let (stores, stripes) = Bench::open(&bench.map, &bench.disks, 2).await;
    for _ in 0..2 {
        assert!(stripes.free_all(&places).await.iter().all(Result::is_ok));
    }
    assert_eq!(stores.iter().map(|s| s.stat().free).collect::<Vec<_>>(), before);
    assert!(stripes.read(&places[3], 0..1).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_drive_that_is_away_keeps_only_what_is_on_it() {
    let bench = Bench::new(1, 9, "4+2", 16 << 20).await;
    let mut places = Vec::new();
    for id in 0..40 {
        places.push(bench.write(id, 50_000).await);
    }
    let away = DriveId(4);
    let mut fewer = peers(&bench.stores);
    fewer.remove(&away);
    bench.stripes.update(bench.map.clone(), fewer).unwrap();
    let results = bench.stripes.free_all(&places).await;
    let on_it = |place: &StripePlace| place.cells(&bench.map).unwrap().iter().any(|cell| cell.drive == away);
    for (place, result) in places.iter().zip(&results) {
        assert_eq!(result.is_err(), on_it(place));
    }
    let kept = places.iter().filter(|place| on_it(place)).count() as u64;
    assert!(0 < kept && kept < 40);
    for store in &bench.stores {
        assert_eq!(store.stat().chunks, if store.drive() == away { kept } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_cluster_says_so_and_keeps_what_was_promised() {
    let bench = Bench::new(1, 6, "4+2", 8 << 20).await;
    let empty = bench.stripes.capacity().await;
    let raw: u64 = bench.stores.iter().map(|s| s.stat().total).sum();
    assert!(empty.total < raw * 4 / 6 && empty.total > raw * 6 / 10, "{empty:?} {raw}");
    let mut written = Vec::new();
    let full = loop {
        let id = written.len() as u64;
        match bench.stripes.write(StripeId(id), bench.stripes.pick_group(), content(id, 200_000)).await {
            Ok(place) => written.push(place),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, DataError::NoSpace | DataError::Narrow { .. }), "{full:?}");
    let mut id = 10_000;
    let next_id = || {
        id += 1;
        StripeId(id)
    };
    assert_eq!(bench.stripes.write_run(next_id, content(3, 2 << 20)).await, Err(DataError::NoSpace));
    assert!(written.len() as u64 * 200_000 > empty.free * 8 / 10);
    tokio::time::advance(Duration::from_secs(1)).await;
    let left = bench.stripes.capacity().await;
    let stored: u64 = written.iter().map(StripePlace::stored_bytes).sum();
    assert_eq!((left.stored, bench.stripes.stored_bytes(200_000) * written.len() as u64), (stored, stored));
    assert!(left.room < bench.stripes.stored_bytes(200_000) * 2, "{left:?}");
    // What was acknowledged on a promise goes in all the same.
    for id in 20_000..20_002 {
        let (group, data) = (bench.stripes.pick_group(), content(id, 20_000));
        written.push(bench.stripes.write_for(Purpose::Promised, StripeId(id), group, data).await.unwrap());
    }
    for place in &written {
        bench.check(place).await;
    }
    assert!(bench.stripes.free_all(&written).await.iter().all(Result::is_ok));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(bench.stripes.capacity().await, empty);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_cut_to_what_drives_and_free_space_allow() {
    let bench = Bench::new(1, 6, "4+2", 24 << 20).await;
    let (data, mut id) = (content(5, 9 << 20), 0);
    let mut next_id = || {
        id += 1;
        StripeId(id)
    };
    let whole = bench.stripes.write_run(&mut next_id, data.clone()).await.unwrap();
    assert_eq!(whole.iter().map(|p| p.length).collect::<Vec<_>>(), [4 << 20, 4 << 20, 1 << 20]);
    for n in [1, 4] {
        bench.disks[n].set_faults(|f| f.dead = true);
    }
    let narrow = bench.stripes.write_run(&mut next_id, data.slice(..5 << 20)).await.unwrap();
    assert!(narrow.len() >= 3 && narrow.iter().all(|p| p.scheme.to_string() == "2+2"), "{narrow:?}");
    let mut read = Vec::new();
    for place in &narrow {
        read.extend_from_slice(&bench.stripes.read(place, 0..place.length).await.unwrap());
    }
    assert!(read == data[..5 << 20]);

    // One drive, full, and every second small chunk freed again: no long run is left.
    let bench = Bench::new(2, 1, "1+0", 8 << 20).await;
    let mut small = Vec::new();
    while let Ok(place) = bench.stripes.write(next_id(), GroupId(0), content(1, 30_000)).await {
        small.push(place);
    }
    let freed: Vec<StripePlace> = small.iter().copied().step_by(2).collect();
    assert!(bench.stripes.free_all(&freed).await.iter().all(Result::is_ok));
    let refused = bench.stripes.write(next_id(), GroupId(0), data.slice(..1 << 20)).await;
    assert!(matches!(refused, Err(DataError::Narrow { .. })), "{refused:?}");
    let run = bench.stripes.write_run(&mut next_id, data.slice(..1 << 20)).await.unwrap();
    assert!(run.len() > 10, "{}", run.len());
    let before = bench.stores[0].stat().free;
    let too_much = bench.stripes.write_run(&mut next_id, data.clone()).await;
    assert_eq!(too_much, Err(DataError::NoSpace));
    assert_eq!(bench.stores[0].stat().free, before, "a run that failed leaves nothing");
}
